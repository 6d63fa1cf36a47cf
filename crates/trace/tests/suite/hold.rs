//! A stop can be held and released later.

use tipstaff_trace::{Config, End, Observer, Resume, Stop, Task, Tracer, Turn};

use crate::kit::{Recorder, What, guest};

/// Holds each new child in its first stop.
#[derive(Default)]
struct HoldNew(Recorder);

impl Observer for HoldNew {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        self.0.on_stop(task, stop);
        let first = matches!(Recorder::what(stop, task), What::Interrupted(tipstaff_trace::Reason::New));
        if first { Resume::Hold } else { Resume::AsBefore }
    }

    fn on_end(&mut self, task: &Task, end: End) {
        self.0.on_end(task, end);
    }
}

fn held(way: &str) -> (Tracer, HoldNew, i32, i32) {
    let mut tracer = Tracer::new(Config::default());
    let mut seen = HoldNew::default();
    let pid = tracer.launch(&guest("lifecycle").arg(way), &mut seen).expect("launch").pid;
    loop {
        assert_eq!(tracer.step(&mut seen), Ok(Turn::Handled));
        let held = tracer.tasks().iter().find(|task| task.is_held()).map(Task::tid);
        if let Some(child) = held {
            return (tracer, seen, pid, child);
        }
    }
}

#[test]
fn a_held_child_waits_until_it_is_released() {
    let (mut tracer, mut seen, pid, child) = held("fork");
    assert_eq!(tracer.tasks().get(child).and_then(Task::parent), Some(pid));
    assert!(tracer.held(child).is_some_and(|stop| stop.registers().is_ok()));
    assert!(tracer.held(pid).is_none());
    tracer.release(child, Resume::AsBefore);
    assert!(tracer.held(child).is_none());
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
    assert_eq!((seen.0.end(pid), seen.0.end(child)), (Some(End::Exited(0)), Some(End::Exited(3))));
}

#[test]
fn a_held_child_can_be_killed_or_let_go() {
    let (mut tracer, mut seen, pid, child) = held("fork");
    tracer.release(child, Resume::Kill);
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
    assert!(matches!(seen.0.end(child), Some(End::Killed { signal: 9, .. })));
    assert_eq!(seen.0.end(pid), Some(End::Exited(1)));

    let (mut tracer, mut seen, pid, child) = held("fork");
    tracer.release(child, Resume::Detach);
    assert!(tracer.tasks().get(child).is_none());
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
    assert_eq!(seen.0.end(pid), Some(End::Exited(0)));
}

#[test]
fn a_dropped_tracer_takes_held_tasks_along() {
    let (tracer, _, pid, child) = held("fork");
    drop(tracer);
    for tid in [pid, child] {
        let state = std::fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }
}

/// Holds the leader in the call in which it waits for its thread.
#[derive(Default)]
struct HoldLeader(Recorder);

impl Observer for HoldLeader {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        self.0.on_stop(task, stop);
        let waits = task.tid() == task.process() && matches!(Recorder::what(stop, task), What::Entered("futex"));
        if waits { Resume::Hold } else { Resume::AsBefore }
    }

    fn on_end(&mut self, task: &Task, end: End) {
        self.0.on_end(task, end);
    }
}

#[test]
fn an_exec_ends_a_stop_that_is_held() {
    let exit = tipstaff_testkit::guest("exit");
    let mut tracer = Tracer::new(Config::default());
    let mut seen = HoldLeader::default();
    let pid = tracer.launch(&guest("threadexec").arg(exit).arg("5"), &mut seen).expect("launch").pid;
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
    seen.0.expect_whole();
    assert_eq!(seen.0.end(pid), Some(End::Exited(5)));
    let replaced = |what: &What| matches!(what, What::End(End::Replaced { .. }, Some("futex")));
    assert!(seen.0.position(pid, replaced).is_some(), "{:#?}", seen.0);
}
