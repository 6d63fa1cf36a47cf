//! Functions that are late, hang or panic.

use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tipstaff::{Command, Decision, Interest, PolicyFn, Stdio, Subject, Verdict};
use tipstaff_testkit::Gate;

use crate::guests::{boxed, text, with_guests};

const LONG: Duration = Duration::from_secs(600);

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).profile(with_guests());
    command
}

/// Hangs on every program called `sleep`.
fn hangs(command: &mut Command, gate: &Gate, deadline: Duration) {
    let gate = gate.clone();
    command.policy_fn(move || {
        let gate = gate.clone();
        let decide = move |event: &tipstaff::Event| {
            if matches!(event.subject(), Subject::Exec { path, .. } if path.ends_with("sleep")) {
                gate.wait();
            }
            Decision::Allow
        };
        PolicyFn::new(Interest::EXEC, decide).deadline(deadline)
    });
}

#[test]
fn a_late_decision_is_a_refusal_and_is_told() {
    let gate = Gate::default();
    let mut command = shell("/bin/sleep 0; echo $?; /bin/echo on");
    // Who is not held up decides within it, on a busy machine as well.
    hangs(&mut command, &gate, Duration::from_secs(3));
    let output = command.output().expect("run");
    gate.open();
    assert_eq!(text(&output), "126\non\n", "{output:?}");
    assert_eq!(output.report.verdict, Verdict::InternalError, "{output:?}");
    let words = output.report.error.expect("told").message.to_string();
    assert!(words.starts_with("handler policy: no decision about exec /") && words.contains("within 3s"), "{words}");
    let mut command = shell("/bin/sleep 0; echo $?; /bin/echo on");
    let open = Gate::default();
    open.open();
    hangs(&mut command, &open, Duration::from_secs(60));
    assert_eq!(text(&command.output().expect("run")), "0\non\n", "in time");
}

#[test]
fn a_panic_is_a_refusal_and_is_told() {
    let mut command = shell("/bin/true; echo $?");
    command.policy_fn(|| PolicyFn::new(Interest::EXEC, |_| panic!("far away")));
    let output = command.output().expect("run");
    assert_eq!((text(&output).as_str(), output.report.verdict), ("126\n", Verdict::InternalError), "{output:?}");
    assert_eq!(output.report.error.expect("told").message.to_string(), "handler policy: far away");
}

#[test]
fn a_function_that_hangs_holds_up_its_caller_alone() {
    let gate = Gate::default();
    // More than the pool has threads at first.
    let script =
        "for i in 1 2 3 4 5 6 7 8; do /bin/sleep 0 & done; for i in 1 2 3; do /bin/echo on; done; wait; echo end";
    let mut command = shell(script);
    hangs(&mut command, &gate, LONG);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("spawn");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().and_then(Result::ok).unwrap_or_default();
    assert_eq!([next(), next(), next()], ["on", "on", "on"], "while eight decisions hang");
    // Another box, with a function of its own.
    let mut other = shell("/bin/echo other");
    other.policy_fn(|| PolicyFn::new(Interest::EXEC, |_| Decision::Allow));
    assert_eq!(text(&other.output().expect("run")), "other\n");
    gate.open();
    assert_eq!(next(), "end");
    assert_eq!(child.wait().expect("wait").verdict, Verdict::Ok);
}

#[test]
fn a_function_that_hangs_does_not_hold_up_the_kill() {
    let gate = Gate::default();
    let mut command = shell("/bin/sleep 0 & echo on; wait");
    hangs(&mut command, &gate, LONG);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("spawn");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let begun = Instant::now();
    child.killer().kill();
    let verdict = child.wait().expect("wait").verdict;
    let took = begun.elapsed();
    gate.open();
    assert_eq!(verdict, Verdict::Signaled);
    assert!(took < LONG / 10, "{took:?}");
}

#[test]
fn each_box_has_its_own() {
    let made = Arc::new(Mutex::new(0));
    let count = made.clone();
    let mut command = boxed("steps", &[]);
    command.policy_fn(move || {
        *count.lock().expect("count") += 1;
        let mine = Mutex::new(0);
        let decide = move |_: &tipstaff::Event| {
            let mut mine = mine.lock().expect("mine");
            *mine += 1;
            if *mine > 1 { Decision::Errno(13) } else { Decision::Allow }
        };
        PolicyFn::new(Interest::default(), decide).calls(["getppid"])
    });
    for _ in 0..2 {
        command.stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("spawn");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(b"pid\npid\n").expect("written");
        drop(stdin);
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert_eq!(lines.map_while(Result::ok).collect::<Vec<_>>(), ["OK", "EACCES"]);
        child.wait().expect("wait");
    }
    assert!(*made.lock().expect("count") >= 2);
}
