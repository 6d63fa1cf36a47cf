//! Callers that wait for a decision, and their signals.

use std::time::{Duration, Instant};

use tipstaff::{Action, Verdict};
use tipstaff_testkit::{Machine, User, also_elsewhere};

use crate::guests::{boxed, closure, text};

const ORDINARY: [(User, Machine); 1] = [(User::Ordinary, Machine::Full)];

#[test]
fn a_signal_interrupts_whom_it_is_for_and_nobody_else() {
    also_elsewhere("waits::a_signal_interrupts_whom_it_is_for_and_nobody_else", &ORDINARY, || {
        let run = |args: &[&str]| {
            let mut command = boxed("pair", args);
            command.handler(|| closure(&["creat"], |_| Action::after(Duration::from_secs(2), Action::Return(9))));
            let output = command.output().expect("run");
            let mut lines: Vec<String> = text(&output).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        // The first thread gets the signal of its process. The other one waits on: its answer is no ERESTARTSYS.
        assert_eq!(run(&[]), ["first EINTR", "second 9", "signals 1"]);
        assert_eq!(run(&["restart"]), ["first 9", "second 9", "signals 1"]);
    });
}

#[test]
fn a_kill_ends_a_wait_at_once() {
    let mut command = boxed("pair", &[]);
    command.handler(|| closure(&["creat"], |_| Action::after(Duration::from_secs(600), Action::Return(9))));
    let mut child = command.spawn().expect("spawn");
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    child.killer().kill();
    assert_eq!(child.wait().expect("wait").verdict, Verdict::Signaled);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn what_is_not_notified_is_never_interrupted() {
    // The default profile and a handler that wants something else: not a single EINTR, as natively.
    for call in ["fork", "openat", "connect", "close"] {
        let mut command = boxed("interrupted", &[call, "2000"]);
        command.handler(|| closure(&["getpriority"], |_| Action::Pass));
        let output = command.output().expect("run");
        let said = text(&output);
        assert!(said.starts_with(&format!("{call} 2000 EINTR 0 signals ")), "{output:?}");
        assert!(!said.trim().ends_with("signals 0"), "a timer that never fired: {said}");
    }
}
