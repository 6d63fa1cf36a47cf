//! The exit statuses of the contract.

use crate::samples::*;
use tipstaff_report::*;

fn status(outcome: Outcome) -> u8 {
    judge(outcome).exit_status()
}

#[test]
fn the_programs_own() {
    for code in [0, 1, 42, 121, 127, 255] {
        assert_eq!(i32::from(status(outcome(Ending::Exited(code)))), code);
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for (signal, expected) in [(1, 129), (9, 137), (11, 139), (15, 143), (64, 192)] {
        assert_eq!(status(signaled(signal)), expected);
    }
}

#[test]
fn each_limit_has_its_own() {
    let table = [
        (Cause::Cpu, 124),
        (Cause::Wall, 124),
        (Cause::Idle, 124),
        (Cause::Memory, 122),
        (Cause::Output, 123),
        (Cause::Policy, 121),
        (Cause::SupervisorFault, 125),
        (Cause::User, 137),
    ];
    for (cause, expected) in table {
        assert_eq!(status(killed_for(cause)), expected, "{cause:?}");
    }
    assert_eq!(status(with_event(outcome(Ending::Exited(1)), Limit::Processes, S)), 123);
}

#[test]
fn a_launch_that_failed() {
    let table = [
        ("exec", Some("ENOENT"), 127),
        ("exec", Some("EACCES"), 126),
        ("exec", Some("ENOEXEC"), 126),
        ("exec", None, 126),
        ("chdir", Some("ENOENT"), 125),
        ("mount", Some("EPERM"), 125),
    ];
    for (step, errno, expected) in table {
        let error = RunError::new(step, errno, "x");
        assert_eq!(status(Outcome::never_started(error)), expected, "{step} {errno:?}");
    }
}
