//! SIGKILL at every stop, and tracers that are killed.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tipstaff_testkit::Signal;
use tipstaff_trace::{Config, End, Observer, Resume, Stop, Task, Tracer, Turn};

use crate::kit::{Recorder, What, guest};

fn kill(pid: i32) -> rustix::io::Result<()> {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("a process"), Signal::KILL)
}

/// Kills the process in its `at`th stop, while it stands there.
struct Killer {
    at: usize,
    stops: usize,
    killed: Option<i32>,
    seen: Recorder,
}

impl Observer for Killer {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        self.seen.on_stop(task, stop);
        self.stops += 1;
        if self.stops == self.at {
            self.killed = Some(task.process());
            kill(task.process()).expect("kill");
            // A child in a group-stop, whose parent is gone, would stay there for ever, as it would untraced.
            for seen in &self.seen.0 {
                if let What::Forked(tipstaff_trace::ForkKind::Fork, child) = seen.what {
                    // It may have ended.
                    let _ = kill(child);
                }
            }
        }
        // Some requests, which now meet a dead tracee.
        let _ = stop.registers();
        let _ = stop.memory().text(tipstaff_trace::Address(4096), 10);
        Resume::AsBefore
    }

    fn on_end(&mut self, task: &Task, end: End) {
        self.seen.on_end(task, end);
    }
}

#[test]
fn sigkill_at_any_stop_is_an_end_and_no_error() {
    for way in ["fork", "vfork", "thread", "stop"] {
        for at in 1.. {
            let mut killer = Killer { at, stops: 0, killed: None, seen: Recorder::default() };
            let mut tracer = Tracer::new(Config::default());
            let launched = tracer.launch(&guest("lifecycle").arg(way), &mut killer);
            assert_eq!(tracer.run(&mut killer), Ok(Turn::Empty), "{way}, stop {at}");
            let Some(process) = killer.killed else { break };
            match launched {
                Ok(_) => {
                    killer.seen.expect_whole();
                    let end = killer.seen.end(process);
                    // At its very last stop it has its status already.
                    assert!(
                        matches!(end, Some(End::Killed { signal: 9, .. } | End::Exited(_))),
                        "{way}, stop {at}: {end:?}"
                    );
                }
                Err(e) => assert!(e.to_string().contains("before it had started"), "{e}"),
            }
        }
    }
}

/// Not a test of its own: the tracer that the next ones kill. Its first argument comes by the environment.
#[test]
#[ignore = "a tool of the other tests"]
fn victim_tracer() {
    let mut tracer = Tracer::new(Config::default());
    match std::env::var("TRACE_PID") {
        Ok(pid) => tracer.attach(pid.parse().expect("a pid"), &mut Quiet).expect("attach"),
        Err(_) => {
            let sleeper = tipstaff_testkit::guest("sleeper");
            let mark = std::env::var("TRACE_MARK").expect("a mark");
            let tree = format!("while :; do {0} 0 {mark} & {0} 0 {mark} & true | true; done", sleeper.display());
            tracer.launch(&tipstaff_trace::Launch::new("/bin/sh").args(["-c", &tree]), &mut Quiet).expect("launch");
        }
    }
    let _ = tracer.run(&mut Quiet);
}

struct Quiet;

impl Observer for Quiet {
    fn on_stop(&mut self, _: &Task, _: &mut Stop) -> Resume {
        Resume::AsBefore
    }
}

fn victim() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["--ignored", "--exact", "kills::victim_tracer", "--nocapture"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn random_pause(round: u64, most_ms: u64) -> Duration {
    // Spread over the whole range, never twice the same.
    Duration::from_micros(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (most_ms * 1000))
}

#[test]
fn a_killed_tracer_leaves_nothing_that_it_launched() {
    let mut lived = 0;
    for round in 0..20 {
        let mark = tipstaff_testkit::marker();
        let mut tracer = victim().env("TRACE_MARK", &mark).spawn().expect("tracer");
        // Half of them at any moment from the start on, the others when somebody is there.
        let begun = Instant::now();
        while round % 2 == 0 && tipstaff_testkit::survivors(&mark).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nobody is launched");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(20) + random_pause(round, 60));
        lived += tipstaff_testkit::survivors(&mark).len();
        tracer.kill().expect("kill");
        assert_eq!(tracer.wait().expect("wait").signal(), Some(9));
        assert_eq!(tipstaff_testkit::await_no_survivor(&mark, &[], Duration::from_secs(20)), [], "round {round}");
    }
    assert!(lived > 0, "there was somebody to be left");
}

#[test]
fn a_killed_tracer_leaves_an_attached_program_unharmed() {
    for round in 0..10 {
        let program =
            Command::new(tipstaff_testkit::guest("napper")).arg("400").stdout(Stdio::piped()).spawn().expect("program");
        let mut tracer = victim().env("TRACE_PID", program.id().to_string()).spawn().expect("tracer");
        std::thread::sleep(Duration::from_millis(10) + random_pause(round, 150));
        tracer.kill().expect("kill");
        tracer.wait().expect("wait");
        let out = program.wait_with_output().expect("program");
        assert!(out.status.success(), "{:?} {}", out.status, String::from_utf8_lossy(&out.stdout));
    }
}
