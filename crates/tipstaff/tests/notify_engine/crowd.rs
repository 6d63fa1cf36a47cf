//! Many callers, and boxes beside each other under one thread.

use std::io::Read;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tipstaff::{Action, Child, Stdio, Verdict};

use crate::guests::{boxed, closure};

const PROCESSES: &str = "64";
/// A machine that does a hundred other things meets it too; the bench has the goal, 10 ms and 100 ms.
const GENEROUS: Duration = Duration::from_secs(60);

fn start(guest: &str, args: &[&str]) -> Child {
    let mut command = boxed(guest, args);
    command.handler(|| closure(&["getppid"], |trap| Action::Return(trap.args()[0].cast_signed())));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("spawn")
}

fn text(child: &mut Child) -> String {
    let mut text = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut text).expect("text");
    text
}

/// Leaves the supervision to the thread for all boxes.
fn ended(child: &mut Child) -> Verdict {
    loop {
        poll(&mut [PollFd::from_borrowed_fd(child.as_fd(), PollFlags::IN)], None).expect("poll");
        if let Some(report) = child.try_wait().expect("dispatch") {
            return report.verdict;
        }
    }
}

#[test]
fn a_storm_loses_and_misroutes_nothing_and_leaves_others_alone() {
    let calls = if tipstaff_testkit::full_drill() { 1_000_000 } else { 64_000 };
    let mut crowd = start("crowd", &[PROCESSES, &calls.to_string()]);
    let mut other = start("asks", &["300", "100"]);
    let said = text(&mut other);
    assert!(said.contains("\"calls\":300,\"wrong\":0,"), "{said}");
    assert_eq!(ended(&mut other), Verdict::Ok);
    assert_eq!(text(&mut crowd), format!("begun\ncalls {calls}, wrong 0\n"));
    assert_eq!(ended(&mut crowd), Verdict::Ok);
}

#[test]
fn a_box_is_killed_in_the_middle_of_its_storm() {
    for _ in 0..5 {
        let mut crowd = start("crowd", &[PROCESSES, "1000000000"]);
        let mut begun = [0; 6];
        crowd.stdout.as_mut().expect("piped").read_exact(&mut begun).expect("it has begun");
        std::thread::sleep(Duration::from_millis(20));
        let killed = Instant::now();
        crowd.killer().kill();
        assert_eq!(ended(&mut crowd), Verdict::Signaled);
        assert!(killed.elapsed() < GENEROUS, "{:?}", killed.elapsed());
    }
}

#[test]
fn boxes_with_handlers_leave_nothing() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("proc").count();
    let children = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("proc").flatten();
        let texts = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
        texts.map(|text| text.split_whitespace().count()).sum::<usize>()
    };
    let eight = || {
        let mut children: Vec<Child> = (0..8).map(|_| start("crowd", &["4", "40"])).collect();
        for child in &mut children {
            assert_eq!((text(child).as_str(), ended(child)), ("begun\ncalls 40, wrong 0\n", Verdict::Ok));
        }
    };
    // Threads and what they share stay. What one box still has for a moment here is less than what forty leave.
    eight();
    let (before, threads) = (descriptors(), std::fs::read_dir("/proc/self/task").expect("proc").count());
    for _ in 0..5 {
        eight();
    }
    // The thread for all boxes lets go of a box a moment after it has said that it has ended.
    let there = || (descriptors(), children(), std::fs::read_dir("/proc/self/task").expect("proc").count());
    let grown = |(fds, children, tasks): (usize, usize, usize)| fds > before || children > 0 || tasks > threads;
    let begun = Instant::now();
    while grown(there()) && begun.elapsed() < GENEROUS {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!grown(there()), "{:?} after {before} descriptors and {threads} threads", there());
}
