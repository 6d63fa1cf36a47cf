//! SIGKILL of a supervisor with handlers at any moment: nothing of its boxes is left.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tipstaff::Action;
use tipstaff_testkit::{
    Machine, Process, User, Without, await_no_survivor, descendants, marker, survivors, this_program,
};

use crate::guests::{boxed, closure};

/// In the environment of the process that is killed: the mark of its tree.
const MARK: &str = "TIPSTAFF_TEST_TREE";
const CALLS: &[&str] = &["clone", "rt_sigaction", "wait4", "clock_nanosleep", "setsid", "prctl"];

/// Not a test by itself: the supervisor that `nothing_survives` starts and kills.
#[test]
fn supervisor() {
    let Ok(mark) = std::env::var(MARK) else { return };
    let tree = || {
        let mut command = boxed("tree", &[&mark, "stopped"]);
        command.handler(|| {
            let mut calls = 0;
            closure(CALLS, move |trap| {
                calls += 1;
                // Answers of every kind are on their way when it dies.
                match calls % 7 {
                    0 if trap.name() == Some("clock_nanosleep") => {
                        Action::after(Duration::from_millis(3), Action::Allow)
                    }
                    1 => Action::defer(Duration::from_secs(9), 1, || Action::Allow),
                    _ => Action::Pass,
                }
            })
        });
        command
    };
    let _one = tree().spawn().expect("spawn");
    // The other one by this thread.
    let _ = tree().status();
}

fn drill(user: User, machine: Machine, points: u64) {
    if machine.unavailable(user).is_some() {
        return;
    }
    let start = |mark: &str| {
        let mut command = this_program(user, machine);
        command.args(["killed::supervisor", "--exact", "--nocapture"]).env(MARK, mark);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("a test program runs")
    };
    let begun = Instant::now();
    let mark = marker();
    let mut first = start(&mark);
    // Some of those that are seen once are gone a moment later: they only make others.
    while survivors(&mark).len() < 24 {
        if begun.elapsed() > Duration::from_secs(60) {
            first.kill().expect("a child");
            panic!("positive control: the mark is seen while the trees live");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let up = begun.elapsed().as_micros() as u64;
    let end = |child: &mut std::process::Child, mark: &str, point: u64| {
        let known: Vec<Process> = descendants(child.id().cast_signed());
        child.kill().expect("a child");
        let left = await_no_survivor(mark, &known, tipstaff_testkit::GONE);
        child.wait().expect("a child");
        assert!(left.is_empty(), "{user:?}, {machine:?}, point {point}: {left:#?}");
        known.len()
    };
    end(&mut first, &mark, 0);
    let mut reached = 0;
    for point in 1..=points {
        let mark = marker();
        let mut child = start(&mark);
        // Spread over a start and as long again; the moment is the point of the drill.
        std::thread::sleep(Duration::from_micros(point.wrapping_mul(0x9e37_79b9) % (2 * up)));
        reached += u64::from(end(&mut child, &mark, point) > 0);
    }
    assert!(reached > points / 4, "only {reached} of {points} points hit a living box");
}

#[test]
fn nothing_survives() {
    let points = if tipstaff_testkit::full_drill() { 1000 } else { 100 };
    let user = if User::Root.available() { User::Root } else { User::Ordinary };
    drill(user, Machine::Full, points);
    drill(User::Ordinary, Machine::Full, points / 2);
    drill(User::Ordinary, Machine::Without(Without::UserNamespace), points / 4);
    drill(user, Machine::Without(Without::Namespaces), points / 4);
}
