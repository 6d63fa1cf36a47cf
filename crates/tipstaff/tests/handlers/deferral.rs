//! Decisions that take their time.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use tipstaff::{Action, Profile, Stdio, Verdict};
use tipstaff_testkit::{Gate, guest};

use crate::guests::{boxed, closure, text};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn only_the_caller_waits() {
    let gate = Gate::default();
    let theirs = gate.clone();
    let mut command = boxed("waiting", &[]);
    command.handler(move || {
        let gate = theirs.clone();
        closure(&["getppid", "getuid"], move |trap| {
            if trap.name() == Some("getuid") {
                return Action::Pass;
            }
            let gate = gate.clone();
            Action::defer(LONG, 5, move || {
                gate.wait();
                Action::Allow
            })
        })
    });
    let mut child = command.stdout(Stdio::piped()).spawn().expect("spawn");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().and_then(Result::ok).unwrap_or_default();
    let mut first = [next(), next()];
    first.sort();
    assert_eq!(first, ["asking", "others done"], "although nobody has answered yet");
    gate.open();
    assert_eq!(next(), "answered OK");
    assert_eq!(child.wait().expect("wait").verdict, Verdict::Ok);
}

#[test]
fn a_deadline_answers() {
    let gate = Gate::default();
    let theirs = gate.clone();
    let mut command = boxed("waiting", &[]);
    command.handler(move || {
        let gate = theirs.clone();
        closure(&["getppid"], move |_| {
            let gate = gate.clone();
            Action::defer(Duration::from_millis(100), 5, move || {
                gate.wait();
                Action::Allow
            })
        })
    });
    let output = command.output().expect("run");
    gate.open();
    assert!(text(&output).contains("answered EIO"), "{output:?}");
    assert_eq!(output.report.verdict, Verdict::Ok);
}

#[test]
fn a_panic_in_the_pool_is_an_errno_and_an_internal_error() {
    let mut command = boxed("calls", &["getppid", "getuid"]);
    command.handler(|| closure(&["getppid"], |_| Action::defer(LONG, 5, || panic!("far away"))));
    let output = command.output().expect("run");
    assert!(text(&output).starts_with("getppid EIO -1\ngetuid OK"), "{output:?}");
    assert_eq!(output.report.verdict, Verdict::InternalError);
    let error = output.report.error.expect("told").message.to_string();
    assert_eq!(error, "handler closure: far away");
}

#[test]
fn every_answer_of_the_pool_counts() {
    let run = |answer: fn() -> Action| {
        let mut command = boxed("calls", &["getppid"]);
        command.handler(move || closure(&["getppid"], move |_| Action::defer(LONG, 5, answer)));
        command.handler(|| closure(&["getppid"], |_| Action::Return(8)));
        command.output().expect("run")
    };
    assert_eq!(text(&run(|| Action::Return(7))), "getppid OK 7\n");
    assert_eq!(text(&run(|| Action::Errno(13))), "getppid EACCES -1\n");
    assert_eq!(text(&run(|| Action::Pass)), "getppid OK 8\n", "the next one is asked");
    assert_ne!(text(&run(|| Action::Allow)), "getppid OK 8\n");
    assert_eq!(text(&run(|| Action::defer(LONG, 6, || Action::Allow))), "getppid EIO -1\n");
    assert_eq!(run(|| Action::Kill).report.verdict, Verdict::PolicyViolation);
}

#[test]
fn a_kill_ends_a_box_that_waits_for_a_decision() {
    let gate = Gate::default();
    let theirs = gate.clone();
    let mut command = boxed("waiting", &[]);
    command.handler(move || {
        let gate = theirs.clone();
        closure(&["getppid"], move |_| {
            let gate = gate.clone();
            Action::defer(LONG, 5, move || {
                gate.wait();
                Action::Allow
            })
        })
    });
    let mut child = command.stdout(Stdio::piped()).spawn().expect("spawn");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    // Once both have been said, one thread stands in its deferred call.
    (0..2).for_each(|_| drop(lines.next()));
    let begun = Instant::now();
    child.killer().kill();
    let report = child.wait().expect("wait");
    let took = begun.elapsed();
    gate.open();
    assert_eq!(report.verdict, Verdict::Signaled);
    assert!(took < LONG / 10, "{took:?}");
}

#[test]
fn limits_hold_while_a_decision_is_awaited() {
    let gate = Gate::default();
    let theirs = gate.clone();
    let mut command = boxed("waiting", &[]);
    command.profile(Profile::preset("default").expect("a preset").wall(Duration::from_millis(300)));
    command.handler(move || {
        let gate = theirs.clone();
        closure(&["getppid"], move |_| {
            let gate = gate.clone();
            Action::defer(LONG, 5, move || {
                gate.wait();
                Action::Allow
            })
        })
    });
    let report = command.status().expect("run");
    gate.open();
    assert_eq!(report.verdict, Verdict::TimeLimit);
}

#[test]
fn a_waiting_thread_may_vanish() {
    // The program ends by its first thread while the other one waits.
    let gate = Gate::default();
    let theirs = gate.clone();
    let mut command = boxed("waiting", &["leave"]);
    command.handler(move || {
        let gate = theirs.clone();
        closure(&["getppid"], move |_| {
            let gate = gate.clone();
            Action::defer(LONG, 5, move || {
                gate.wait();
                Action::Allow
            })
        })
    });
    let output = command.output().expect("run");
    gate.open();
    assert_eq!(output.report.verdict, Verdict::Ok, "{output:?}");
    assert!(!text(&output).contains("answered"));
}

#[test]
fn an_answer_does_not_meet_another_call_of_the_same_number() {
    // The first thread waits for a decision while another executes a program, which then waits under the first one's number.
    let (first, second) = (Gate::default(), Gate::default());
    let gates = [first.clone(), second.clone()];
    let calls = guest("calls");
    let dir = calls.parent().and_then(|dir| dir.to_str()).expect("a path of the kit");
    let mut command = boxed("execas", &["waiting", dir, "calls", "say=new", "getppid"]);
    command.handler(move || {
        let gates = gates.clone();
        let mut asked = 0;
        closure(&["getppid"], move |_| {
            let (gate, value) = (gates[asked.min(1)].clone(), asked as i64 + 1);
            asked += 1;
            Action::defer(LONG, 5, move || {
                gate.wait();
                Action::Return(value)
            })
        })
    });
    let mut child = command.stdout(Stdio::piped()).spawn().expect("spawn");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().and_then(Result::ok).unwrap_or_default();
    assert_eq!(next(), "say new");
    first.open();
    // Long enough for a wrong answer to arrive; a right one does not depend on it.
    std::thread::sleep(Duration::from_millis(50));
    second.open();
    assert_eq!(next(), "getppid OK 2");
    assert_eq!(child.wait().expect("wait").verdict, Verdict::Ok);
}
