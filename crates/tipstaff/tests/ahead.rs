//! Boxes that are prepared ahead, and keepers that have several: a box is what it would be if it had been started from the beginning, nothing of
//! the one before is in it, and nothing of it is left.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use tipstaff::policy::profile::Namespaces;
use tipstaff::{Command, Profile, Stdio, Verdict};
use tipstaff_testkit::{
    Machine, Process, User, Without, await_no_survivor, descendants, marker, survivors, this_program,
};

/// Boxes with every namespace, and boxes with none.
fn profiles() -> [Profile; 2] {
    let full = Profile::preset("python").expect("a preset");
    let mut light = full.clone();
    light.0.isolation.namespaces = Some(Namespaces::None);
    light.0.limits.memory = None;
    [full, light]
}

fn sh(script: &str, profile: &Profile, dir: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).profile(profile.clone()).current_dir(dir).stdin(Stdio::null());
    command
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("run");
    assert_eq!(output.report.verdict, Verdict::Ok, "{:?}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Threads of this process that prepare boxes.
fn preparers() -> usize {
    let names = fs::read_dir("/proc/self/task").expect("threads").flatten();
    names
        .filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "tipstaff-ahead\n"))
        .count()
}

/// Everybody below us who is neither a thread of ours nor in `known`, alive.
fn children() -> Vec<Process> {
    descendants(std::process::id().cast_signed()).into_iter().filter(|process| process.state != 'Z').collect()
}

/// Whether a box stands ready: somebody waits in it for the gate.
fn is_ready() -> bool {
    is_ready_beside(0)
}

/// The same beside so many processes of a box that runs.
fn is_ready_beside(running: usize) -> bool {
    let begun = Instant::now();
    while children().len() < running + 2 {
        if begun.elapsed() > Duration::from_millis(700) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // At the gate, and not only on the way to it.
    std::thread::sleep(Duration::from_millis(50));
    children().len() >= running + 2
}

/// Runs a command until a box of it stands ready: on a busy machine two spawns can be too far apart for one to be prepared.
fn until_ready(run: &mut dyn FnMut()) {
    for _ in 0..30 {
        run();
        if is_ready() {
            return;
        }
    }
    panic!("no box was prepared: {:?}", children());
}

#[test]
fn a_third_box_is_prepared_and_goes_with_its_command() {
    for profile in profiles() {
        let dir = tempfile::tempdir().expect("dir");
        let mut command = sh("echo $$", &profile, dir.path());
        said(&mut command);
        assert_eq!((preparers(), children().len()), (0, 0), "one box alone needs nobody");
        until_ready(&mut || drop(said(&mut command)));
        assert_eq!(preparers(), 1);
        said(&mut command);
        drop(command);
        assert_eq!((preparers(), children()), (0, vec![]));
    }
}

#[test]
fn a_host_can_say_no() {
    for profile in profiles() {
        let dir = tempfile::tempdir().expect("dir");
        let mut command = sh("true", &profile, dir.path());
        command.ahead(false);
        for _ in 0..4 {
            said(&mut command);
        }
        assert_eq!((preparers(), children()), (0, vec![]));
    }
}

#[test]
fn a_box_that_nobody_wants_goes_by_itself() {
    for profile in profiles() {
        let dir = tempfile::tempdir().expect("dir");
        let mut command = sh("true", &profile, dir.path());
        until_ready(&mut || drop(said(&mut command)));
        let begun = Instant::now();
        while preparers() + children().len() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", children());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(said(&mut command).is_empty(), "and the next box is started without it");
    }
}

#[test]
fn the_box_shows_what_is_there_when_it_is_spawned() {
    let [profile, _] = profiles();
    let dir = tempfile::tempdir().expect("dir");
    let work = dir.path().join("work");
    let write = |text: &str| {
        fs::create_dir(&work).expect("mkdir");
        fs::write(work.join("file"), text).expect("write");
    };
    write("0");
    let mut command = sh("cat file", &profile, &work);
    let mut ready = 0;
    for round in 0..40 {
        assert_eq!(said(&mut command), round.to_string());
        // After three that were of no use, no more are prepared.
        if ready < 3 && is_ready() {
            ready += 1;
        }
        // The same name, and with some luck the same inode number.
        fs::remove_dir_all(&work).expect("rm");
        write(&(round + 1).to_string());
    }
    assert!(ready > 0, "no box was prepared");
}

#[test]
fn a_program_that_was_exchanged_is_not_executed() {
    for profile in profiles() {
        let dir = tempfile::tempdir().expect("dir");
        let program = dir.path().join("program");
        let install = |from: &str| {
            let new = dir.path().join("new");
            fs::copy(from, &new).expect("copy");
            fs::rename(&new, &program).expect("rename");
        };
        install("/bin/true");
        let mut command = Command::new(&program);
        command.profile(profile.clone()).current_dir(dir.path()).stdin(Stdio::null());
        until_ready(&mut || assert_eq!(command.status().expect("run").verdict, Verdict::Ok));
        install("/bin/false");
        let error = command.status().expect_err("the plan is about another file");
        assert!(error.to_string().contains("replaced"), "{error}");
    }
}

#[test]
fn changes_of_the_command_and_of_the_host_are_seen() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    for profile in profiles() {
        let dir = tempfile::tempdir().expect("dir");
        let mut command = sh("echo \"<$A>\"; ulimit -Sd", &profile, dir.path());
        let before = said(&mut command);
        until_ready(&mut || assert_eq!(said(&mut command), before));
        command.env("A", "other");
        let with = before.replace("<>", "<other>");
        assert_ne!(before, with);
        until_ready(&mut || assert_eq!(said(&mut command), with));
        // A limit of ours, which the profile does not set, is inherited.
        let ours = getrlimit(Resource::Data);
        let mut less = ours;
        less.current = Some(1 << 30);
        setrlimit(Resource::Data, less).expect("setrlimit");
        let after = said(&mut command);
        setrlimit(Resource::Data, ours).expect("setrlimit");
        assert_eq!(after, "<other>\n1048576\n");
        assert_eq!(said(&mut command), with);
    }
}

#[test]
fn a_box_that_stands_holds_no_pipe_of_the_host_open() {
    for profile in profiles() {
        let dir = tempfile::tempdir().expect("dir");
        let mut command = sh("cat", &profile, dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (mut ready, mut late) = (0, 0);
        for round in 0..30 {
            let mut child = command.spawn().expect("spawn");
            let mut to = child.stdin.take().expect("stdin");
            let mut from = child.stdout.take().expect("stdout");
            if ready == 3 {
                break;
            }
            // The keeper and cat.
            let stands = round > 0 && is_ready_beside(2);
            let standing = children();
            let text = format!("round {round}");
            to.write_all(text.as_bytes()).expect("write");
            let begun = Instant::now();
            // cat ends with its input: when the last holder of our end is gone.
            drop(to);
            let mut back = String::new();
            from.read_to_string(&mut back).expect("read");
            assert_eq!(back, text);
            // Not only when the next box has given up: it still stands, or so little time has gone. A machine that is busy for all of its second proves nothing.
            assert_eq!(child.wait().expect("wait").verdict, Verdict::Ok);
            let both = standing.iter().filter(|process| process.lives()).count() >= 2;
            let soon = begun.elapsed() < Duration::from_millis(900);
            ready += u32::from(stands && (both || soon));
            late += u32::from(!both && !soon);
        }
        assert!(ready > 0, "no box was prepared, or its pipe is held");
        assert!(late <= 3, "{late} times the end came only when the next box had given up");
    }
}

#[test]
fn nothing_of_one_box_is_in_the_next() {
    for profile in profiles() {
        let light = matches!(profile.0.isolation.namespaces, Some(Namespaces::None));
        let dir = tempfile::tempdir().expect("dir");
        let mark = marker();
        // A daemon that outlives its parent, a file, CPU time, a death by signal. The light box has no /tmp of its own.
        let touch = if light { String::new() } else { format!(": > /tmp/{mark}; ") };
        let script = format!(
            "test -e /tmp/{mark} && exit 3; {touch}i=0; while test $i -lt 20000; do i=$((i+1)); done; \
             setsid sh -c 'sleep 1000; : {mark}' > /dev/null 2>&1 & sleep 0.05; kill -9 $$"
        );
        let mut command = sh(&script, &profile, dir.path());
        command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let mut quiet = sh("exit 0", &profile, dir.path());
        quiet.stdout(Stdio::null()).stderr(Stdio::null());
        for _ in 0..6 {
            let mut child = command.spawn().expect("spawn");
            let killer = child.killer();
            let report = child.wait().expect("wait");
            assert_eq!((report.verdict, report.signal.map(|s| s.number)), (Verdict::Signaled, Some(9)));
            assert!(report.cpu_ns.total > 1_000_000);
            drop(child);
            let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
            assert!(left.is_empty(), "{left:#?}");
            // A handle on a box that is gone reaches no other.
            let mut next = command.spawn().expect("spawn");
            killer.kill();
            killer.signal(15);
            let report = next.wait().expect("wait");
            assert_eq!((report.verdict, report.signal.map(|s| s.number)), (Verdict::Signaled, Some(9)));
            assert!(report.limits_hit.is_empty() && report.denials.is_empty());
            let report = quiet.status().expect("run");
            assert_eq!((report.verdict, report.exit_code), (Verdict::Ok, Some(0)));
        }
        // In a box without namespaces the keeper is seen: some boxes had the same one, which is what this test is about.
        let mut parents = sh("echo $PPID", &profile, dir.path());
        let file = dir.path().join("parents");
        let out = fs::File::create(&file).expect("file");
        parents.stdout(out).stderr(Stdio::null());
        // On a busy machine two spawns can be too far apart.
        let again = (0..60).any(|round| {
            assert_eq!(parents.status().expect("run").verdict, Verdict::Ok);
            let text = fs::read_to_string(&file).expect("text");
            assert_eq!(text.lines().count(), round + 1);
            let distinct: std::collections::BTreeSet<&str> = text.lines().collect();
            assert!(light || distinct.iter().all(|parent| *parent == "1"), "{text}");
            round > 1 && distinct.len() <= round
        });
        assert!(again, "no keeper had a second box");
    }
}

/// In the environment of the process that is killed.
const MARK: &str = "TIPSTAFF_TEST_AHEAD";

/// Not a test by itself: the host that `nothing_survives_the_host` starts and kills.
#[test]
fn host() {
    let Ok(mark) = std::env::var(MARK) else { return };
    let dir = tempfile::tempdir().expect("dir");
    let mut commands = profiles().map(|profile| {
        let script = format!("setsid sh -c 'sleep 1000; : {mark}' > /dev/null 2>&1 & sleep 0.002; exit 0");
        let mut command = sh(&script, &profile, dir.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    });
    loop {
        for command in &mut commands {
            let _ = command.spawn_unwatched().expect("spawn").wait();
        }
    }
}

fn drill(user: User, machine: Machine, points: u64) {
    if machine.unavailable(user).is_some() {
        return;
    }
    let start = |mark: &str| {
        let mut command = this_program(user, machine);
        command.args(["host", "--exact", "--nocapture"]).env(MARK, mark);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command.spawn().expect("a test program runs")
    };
    let mut reached = 0;
    for point in 0..points {
        let mark = marker();
        let mut child = start(&mark);
        let begun = Instant::now();
        while survivors(&mark).is_empty() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Boxes that run, stand ready, are prepared, have ended: every few milliseconds each.
        std::thread::sleep(Duration::from_micros(point.wrapping_mul(0x9e37_79b9) % 60_000));
        let known = descendants(child.id().cast_signed());
        reached += u64::from(known.len() > 2);
        let name = format!("tipstaff-{}-", child.id());
        child.kill().expect("a child");
        let left = await_no_survivor(&mark, &known, tipstaff_testkit::GONE);
        child.wait().expect("a child");
        assert!(left.is_empty(), "{user:?}, {machine:?}, point {point}: {left:#?}");
        let begun = Instant::now();
        while groups(Path::new("/sys/fs/cgroup"), &name) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{name}: groups are left");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    assert!(reached > points / 4, "only {reached} of {points} points hit more than one box");
}

fn groups(dir: &Path, name: &str) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| usize::from(entry.file_name().to_string_lossy().starts_with(name)) + groups(&entry.path(), name))
        .sum()
}

#[test]
fn nothing_survives_the_host() {
    let points = if tipstaff_testkit::full_drill() { 500 } else { 40 };
    let user = if User::Root.available() { User::Root } else { User::Ordinary };
    drill(user, Machine::Full, points);
    drill(User::Ordinary, Machine::Full, points / 2);
    drill(user, Machine::Without(Without::Namespaces), points / 4);
}
