//! Calls that follow each other: a thread of their own receives them, and decides as the loop would.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tipstaff::{Action, Command, Report, Stdio, Verdict};
use tipstaff_testkit::{Machine, User, Without, also_elsewhere, guest, is_on};

use crate::guests::{boxed, closure, show, text, with_guests};

const RECEIVER: &str = "receiver";
/// As the thread of a test is called.
type Names = Arc<Mutex<Vec<String>>>;

fn here() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// Gives getppid(2) its own argument back; which threads have been asked, in their order, each turn once.
fn echo(command: &mut Command) -> Names {
    let names = Names::default();
    let theirs = Names::clone(&names);
    command.handler(move || {
        let names = Names::clone(&theirs);
        closure(&["getppid"], move |trap| {
            let mut names = names.lock().expect("names");
            let here = here();
            if names.last() != Some(&here) {
                names.push(here);
            }
            Action::Return(trap.args()[0].cast_signed())
        })
    });
    names
}

fn receivers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc").flatten();
    tasks.filter(|task| std::fs::read(task.path().join("comm")).is_ok_and(|name| name == b"receiver\n")).count()
}

/// What a thread still does after the last task of its box has ended.
fn no_receiver_is_left(before: usize) {
    let begun = Instant::now();
    while receivers() > before {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} threads still receive", receivers());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_idly(child: &mut tipstaff::Child) -> Report {
    loop {
        poll(&mut [PollFd::from_borrowed_fd(child.as_fd(), PollFlags::IN)], None).expect("poll");
        if let Some(report) = child.try_wait().expect("dispatch") {
            return report;
        }
    }
}

#[test]
fn many_calls_get_a_thread_and_few_get_none() {
    let test = "hot::many_calls_get_a_thread_and_few_get_none";
    // A kernel that old does not end a RECV with the last task.
    let old = (User::Root, Machine::Without(Without::SyncWakeUp));
    also_elsewhere(test, &[(User::Ordinary, Machine::Full), old], || {
        let ends = !is_on(old.1);
        for (args, hot) in [(["20000", "0"], true), (["300", "1000"], false)] {
            let mut command = boxed("asks", &args);
            let names = echo(&mut command);
            let output = command.stdin(Stdio::null()).output().expect("output");
            assert_eq!(output.report.verdict, Verdict::Ok, "{output:?}");
            assert!(text(&output).contains(&format!("\"calls\":{},\"wrong\":0,", args[0])), "{output:?}");
            let names = names.lock().expect("names").clone();
            assert_ne!(names[0], RECEIVER, "the loop has the first calls");
            assert_eq!(names.iter().any(|name| name == RECEIVER), hot && ends, "{names:?}");
        }
        no_receiver_is_left(0);
    });
}

#[test]
fn the_thread_ends_when_the_calls_do() {
    // The same box asks much, and then seldom.
    let asks = guest("asks");
    let script = format!("{0} 20000 && {0} 800 1500", show(&asks));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).profile(with_guests());
    let names = echo(&mut command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("spawn");
    assert_eq!(wait_idly(&mut child).verdict, Verdict::Ok);
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(said.matches("\"wrong\":0,").count() == 2, "{said}");
    let names = names.lock().expect("names").clone();
    // A machine that stands still for a moment makes them seldom, too.
    assert_eq!((names[0].as_str(), names[1].as_str()), ("tipstaff", RECEIVER), "{names:?}");
    assert_eq!(names.last().map(String::as_str), Some("tipstaff"), "the loop has it again: {names:?}");
    no_receiver_is_left(0);
}

/// The answer to the n-th call.
type Decide = fn(u64) -> Action;

fn late() -> Action {
    Action::defer(Duration::from_secs(10), 13, || Action::Return(1))
}

#[test]
fn it_refuses_defers_and_kills_as_the_loop_does() {
    let ways: [(&str, Decide); 3] = [
        ("refuses", |n| if n % 100 == 7 { Action::Errno(13) } else { Action::Return(1) }),
        ("defers", |n| if n % 100 == 7 { late() } else { Action::Return(1) }),
        ("kills", |n| if n == 9000 { Action::Kill } else { Action::Return(1) }),
    ];
    for (what, decide) in ways {
        let (asked, threads) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(BTreeSet::new())));
        let mut command = boxed("asks", &["10000"]);
        let (counter, names) = (Arc::clone(&asked), Arc::clone(&threads));
        command.handler(move || {
            let (counter, names) = (Arc::clone(&counter), Arc::clone(&names));
            closure(&["getppid"], move |_| {
                names.lock().expect("names").insert(here());
                decide(counter.fetch_add(1, Ordering::SeqCst))
            })
        });
        let output = command.stdin(Stdio::null()).output().expect("output");
        assert!(threads.lock().expect("names").contains(RECEIVER), "{what}: no thread received");
        let report = &output.report;
        match what {
            "kills" => {
                assert_eq!(report.verdict, Verdict::PolicyViolation, "{report:?}");
                assert_eq!(asked.load(Ordering::SeqCst), 9001, "nothing is answered after the order");
            }
            _ => {
                assert_eq!((report.verdict, asked.load(Ordering::SeqCst)), (Verdict::Ok, 10_000), "{what}: {report:?}");
                let refused: u64 = report.denials.iter().map(|denial| denial.count).sum();
                assert_eq!(refused, if what == "refuses" { 100 } else { 0 }, "{what}: {report:?}");
            }
        }
    }
    no_receiver_is_left(0);
}

#[test]
fn decisions_that_come_later_get_through_a_storm() {
    let mut command = boxed("crowd", &["64", "64000"]);
    command.handler(|| {
        let mut asked = 0u64;
        closure(&["getppid"], move |trap| {
            let token = trap.args()[0].cast_signed();
            asked += 1;
            match asked % 97 {
                // The session's loop settles these, while the receiver has its hands full.
                0 => Action::defer(Duration::from_secs(30), 13, move || Action::Return(token)),
                _ => Action::Return(token),
            }
        })
    });
    let output = command.stdin(Stdio::null()).output().expect("output");
    assert_eq!((output.report.verdict, text(&output).as_str()), (Verdict::Ok, "begun\ncalls 64000, wrong 0\n"));
    no_receiver_is_left(0);
}

#[test]
fn refusals_without_a_handler_are_all_counted() {
    let mut command = boxed("calls", &["mounts=20000"]);
    let output = command.stdin(Stdio::null()).output().expect("output");
    assert_eq!((output.report.verdict, text(&output).as_str()), (Verdict::Ok, "mounts 20000\n"), "{output:?}");
    let counted: u64 = output.report.denials.iter().filter(|d| d.syscall == "mount").map(|d| d.count).sum();
    assert_eq!(counted, 20_000, "{output:?}");
    no_receiver_is_left(0);
}

#[test]
fn a_panic_refuses_the_call_and_ends_as_in_the_loop() {
    let mut command = boxed("asks", &["10000"]);
    command.handler(|| {
        let mut asked = 0;
        closure(&["getppid"], move |_| {
            asked += 1;
            assert_ne!(asked, 9000, "at noon");
            Action::Return(1)
        })
    });
    let report = command.stdin(Stdio::null()).output().expect("output").report;
    assert_eq!(report.verdict, Verdict::InternalError, "{report:?}");
    assert!(report.error.as_ref().is_some_and(|e| format!("{e:?}").contains("at noon")), "{report:?}");
    assert_eq!(report.denials.iter().map(|d| d.count).sum::<u64>(), 1, "{report:?}");
    no_receiver_is_left(0);
}
