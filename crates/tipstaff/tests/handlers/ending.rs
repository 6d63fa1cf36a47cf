//! A supervisor that is killed takes its tracees along.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tipstaff::Action;
use tipstaff_testkit::{GONE, Machine, User, Without, await_no_survivor, marker, note_skip, survivors, this_program};

use crate::guests::{boxed, closure, text};

/// Names the mark of the guests in the process that is to be killed.
const MARK: &str = "TIPSTAFF_TEST_MARK";

/// Not a test by itself: the supervisor that is killed.
#[test]
fn the_victim() {
    let Some(mark) = std::env::var_os(MARK) else { return };
    let mark = mark.to_str().expect("text");
    let mut command = boxed("tree", &[mark]);
    command.handler(|| closure(&["setsid", "getuid"], |_| Action::Pass));
    drop(command.status());
}

fn killed(user: User, machine: Machine) {
    if let Some(why) = machine.unavailable(user) {
        return note_skip(why);
    }
    for delay in [0, 3, 30, 100] {
        let mark = marker();
        let mut command = this_program(user, machine);
        command.args(["ending::the_victim", "--exact", "--nocapture"]).env(MARK, &mark);
        let mut victim = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("spawn");
        let mut lines = BufReader::new(victim.stdout.take().expect("piped")).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready"));
        assert!(ready, "the tree grows");
        std::thread::sleep(Duration::from_millis(delay));
        let before = survivors(&mark);
        assert!(!before.is_empty(), "there is somebody to survive");
        victim.kill().expect("kill");
        victim.wait().expect("wait");
        let left = await_no_survivor(&mark, &before, GONE);
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn nobody_survives_root() {
    killed(User::Root, Machine::Full);
}

#[test]
fn nobody_survives_an_ordinary_user() {
    killed(User::Ordinary, Machine::Full);
}

#[test]
fn nobody_survives_without_namespaces() {
    killed(User::Root, Machine::Without(Without::Namespaces));
    killed(User::Ordinary, Machine::Without(Without::UserNamespace));
}

#[test]
fn a_dropped_child_is_a_dead_box() {
    let mark = marker();
    let mut command = boxed("tree", &[&mark]);
    command.handler(|| closure(&["setsid"], |_| Action::Pass));
    let child = command.stdout(tipstaff::Stdio::null()).spawn().expect("spawn");
    let start = Instant::now();
    // Its arguments are to be seen a moment after its exec.
    let before = loop {
        let before = survivors(&mark);
        if !before.is_empty() {
            break before;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "there is somebody to survive");
        std::thread::sleep(Duration::from_millis(1));
    };
    drop(child);
    assert_eq!(await_no_survivor(&mark, &before, GONE), []);
}

#[test]
fn nothing_is_left_in_the_host() {
    let count = |dir: &str| std::fs::read_dir(dir).expect(dir).count();
    let picture = || (count("/proc/self/fd"), count("/proc/self/task"));
    let run = || {
        let mut command = boxed("calls", &["getppid", "getuid"]);
        command.handler(|| closure(&["getppid"], |_| Action::defer(Duration::from_secs(60), 5, || Action::Return(1))));
        assert_eq!(text(&command.output().expect("run")).lines().next(), Some("getppid OK 1"));
    };
    run();
    let before = picture();
    (0..30).for_each(|_| run());
    // Threads that have nothing to wait for any more end soon, not at once.
    let start = Instant::now();
    let grown = || picture().0 > before.0 || picture().1 > before.1;
    while grown() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!grown(), "descriptors and threads: {before:?} before, {:?} after", picture());
    // Neither children that nobody waits for.
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    assert_eq!(children, "");
}
