//! Attacks on the tracer, each with its positive control: without the protection it succeeds.

use tipstaff_trace::{Config, End, Go, Launch, Observer, Resume, Stop, Task, Untraced};

use crate::filter::{FREE, tracing};
use crate::kit::{Recorder, What, guest, run, run_with};

/// Refuses every openat with EACCES.
#[derive(Default)]
struct NoOpen {
    asked: u32,
}

impl Observer for NoOpen {
    fn on_stop(&mut self, _: &Task, stop: &mut Stop) -> Resume {
        if let Stop::Seccomp(s) = stop {
            self.asked += 1;
            let mut registers = s.registers().expect("registers");
            registers.set_number(-1);
            registers.set_result(-13);
            s.set_registers(&registers).expect("set");
        }
        Resume::AsBefore
    }
}

fn outrank(launch: Launch) -> (String, u32) {
    let mut observer = NoOpen::default();
    let (_, output) = run_with(FREE, launch.arg("/etc/passwd"), &mut observer);
    (output, observer.asked)
}

#[test]
fn a_guests_listener_cannot_outrank_us() {
    let (output, asked) = outrank(guest("outrank").filter(tracing(&["openat"])));
    assert_eq!(output, "EBUSY\nEACCES\n");
    assert!(asked > 0);
}

#[test]
fn control_without_our_listener_it_escapes() {
    let (output, asked) = outrank(guest("outrank").filter_without_listener(tracing(&["openat"])));
    assert_eq!(output, "OK\nOK\n");
    assert_eq!(asked, 0);
}

fn untraced(config: Config, launch: Launch) -> (String, usize, Option<End>) {
    let ran = run(config, launch);
    let calls = ran.seen.count(|what| matches!(what, What::Entered("getpriority") | What::Seccomp("getpriority", _)));
    let end = ran.end();
    (ran.output, calls, end)
}

#[test]
fn clone_untraced_is_taken_out() {
    let config = Config { untraced: Untraced::Forbid, ..Config::default() };
    assert_eq!(untraced(config, guest("untraced")), ("traced\n".into(), 1, Some(End::Exited(0))));
    // Seccomp-driven, too.
    let config = Config { start: Go::Free, ..config };
    let launch = guest("untraced").filter(tracing(&["clone", "clone3", "getpriority"]));
    assert_eq!(untraced(config, launch), ("traced\n".into(), 1, Some(End::Exited(0))));
}

#[test]
fn it_is_followed_with_clone3_as_it_is() {
    let config = Config { untraced: Untraced::Follow, ..Config::default() };
    assert_eq!(untraced(config, guest("untraced")), ("traced\n".into(), 1, Some(End::Exited(0))));
    let ran = run(config, guest("callcount").args(["4", "10"]));
    assert_eq!((ran.output.as_str(), ran.end()), ("40\n", Some(End::Exited(0))));
    assert_eq!(ran.seen.count(|what| *what == What::Left("clone3", -38)), 0);
}

#[test]
fn clone3_is_not_there() {
    let config = Config { untraced: Untraced::Forbid, ..Config::default() };
    assert_eq!(untraced(config, guest("untraced").arg("clone3")), (String::new(), 0, Some(End::Exited(7))));
    let config = Config { start: Go::Free, ..config };
    let launch = guest("untraced").arg("clone3").filter(tracing(&["clone", "clone3", "getpriority"]));
    assert_eq!(untraced(config, launch), (String::new(), 0, Some(End::Exited(7))));
}

#[test]
fn programs_fall_back_from_clone3() {
    // glibc makes threads by clone3 first.
    let config = Config { untraced: Untraced::Forbid, ..Config::default() };
    let ran = run(config, guest("callcount").args(["4", "10"]));
    assert_eq!((ran.output.as_str(), ran.end()), ("40\n", Some(End::Exited(0))));
    assert!(ran.seen.count(|what| *what == What::Left("clone3", -38)) >= 4);
}

#[test]
fn control_without_protection_the_child_is_untraced() {
    for launch in [guest("untraced"), guest("untraced").arg("clone3")] {
        assert_eq!(untraced(Config::default(), launch), ("untraced\n".into(), 0, Some(End::Exited(0))));
    }
}

/// Puts the flag back after us, as a guest's own tracer could: the protection looks at the registers last.
struct Reflag(Recorder);

impl Observer for Reflag {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        if let Stop::Entered(s) = stop
            && s.call().name() == Some("getppid")
        {
            let mut registers = s.registers().expect("registers");
            registers.set_number(56);
            registers.set_arg(s.call().arch, 0, 0x0080_0000 | 17);
            registers.set_arg(s.call().arch, 1, 0);
            s.set_registers(&registers).expect("set");
        }
        self.0.on_stop(task, stop)
    }
}

#[test]
fn a_call_that_the_observer_turns_into_a_clone_is_looked_at_too() {
    let config = Config { untraced: Untraced::Forbid, ..Config::default() };
    let mut seen = Reflag(Recorder::default());
    // The thread's getppid becomes a clone with CLONE_UNTRACED.
    run_with(config, guest("lifecycle").arg("thread"), &mut seen);
    assert!(seen.0.count(|what| matches!(what, What::Forked(tipstaff_trace::ForkKind::Fork, _))) > 0, "{:#?}", seen.0);
}
