//! A program that waits for its tracer does not outlive it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tipstaff_sys::child::CStrings;
use tipstaff_sys::signal::SigSet;
use tipstaff_sys::traced::{Program, Traced};

const SUPERVISOR: &str = "TIPSTAFF_TEST_SUPERVISOR";

fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn who_was_not_seized_ends_with_the_supervisor() {
    if std::env::var_os(SUPERVISOR).is_some() {
        let program = Program {
            steps: Vec::new(),
            stop: false,
            mask: SigSet::of(&[]),
            filter: None,
            path: c"/bin/true".to_owned(),
            argv: CStrings::new(vec![c"true".to_owned()]),
            envp: CStrings::new(Vec::new()),
        };
        let child = Traced::start(program).expect("a child");
        println!("\nchild {}", child.pid());
        std::thread::sleep(Duration::from_secs(3600));
    }
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "who_was_not_seized_ends_with_the_supervisor", "--nocapture"]);
    let mut supervisor = command.env(SUPERVISOR, "1").stdout(Stdio::piped()).spawn().expect("this test");
    let lines = BufReader::new(supervisor.stdout.take().expect("a pipe")).lines();
    let pid = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("child ").map(str::to_owned));
    let pid = pid.expect("a child");
    // The control: it waits as long as its supervisor lives.
    std::thread::sleep(Duration::from_millis(300));
    assert!(lives(&pid), "it did not wait");
    supervisor.kill().expect("SIGKILL");
    supervisor.wait().expect("wait");
    let killed = Instant::now();
    while lives(&pid) {
        assert!(killed.elapsed() < Duration::from_secs(60), "{pid} survives");
        std::thread::sleep(Duration::from_millis(5));
    }
}
