//! Signals while a call waits.

use crate::asker::{Asker, KILLABLE, PLAIN, signal, until};
use rustix::process::Signal;
use tipstaff_testkit::{Machine, User, also_elsewhere};

const ORDINARY: [(User, Machine); 1] = [(User::Ordinary, Machine::Full)];

/// A signal waits for this thread or its process.
fn pending(tid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let holds = |line: &str| {
        let set = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"));
        set.is_some_and(|set| u64::from_str_radix(set.trim(), 16).is_ok_and(|set| set != 0))
    };
    status.lines().any(holds)
}

#[test]
fn a_received_call_takes_its_signal_when_it_is_told_to() {
    also_elsewhere("signals::a_received_call_takes_its_signal_when_it_is_told_to", &ORDINARY, || {
        let mut asker = Asker::new(KILLABLE, &["alarm", "alarm+", "alarm"]);
        let call = asker.call();
        until("the alarm", || pending(asker.pid()));
        assert!(call.is_waiting(), "only fatal signals end the wait");
        call.restart().expect("answered");
        assert_eq!(asker.line(), "alarm EINTR, 1 signals");
        let call = asker.call();
        until("the alarm", || pending(asker.pid()));
        call.restart().expect("answered");
        // With SA_RESTART the same call is made again.
        asker.call().give(5).expect("answered");
        assert_eq!(asker.line(), "alarm+ 5, 1 signals");
        // Left alone, the signal comes after the answer.
        let call = asker.call();
        until("the alarm", || pending(asker.pid()));
        call.give(6).expect("answered");
        assert_eq!(asker.line(), "alarm 6, 1 signals");
    });
}

#[test]
fn a_fatal_signal_ends_the_wait_at_once() {
    for kind in [KILLABLE, PLAIN] {
        let asker = Asker::new(kind, &["call"]);
        let call = asker.call();
        signal(asker.pid(), Signal::TERM);
        assert!(asker.next().is_none(), "no handler, so it is gone");
        assert!(!call.is_waiting());
        call.refuse(1).expect("no error");
    }
}

#[test]
fn without_the_flag_a_signal_asks_again() {
    let mut asker = Asker::new(PLAIN, &["alarm+", "alarm"]);
    let first = asker.call();
    // The signal ends the wait, its handler runs, the call is made again.
    let second = asker.call();
    assert!(!first.is_waiting() && second.is_waiting());
    first.give(1).expect("nobody hears it");
    second.give(2).expect("answered");
    assert_eq!(asker.line(), "alarm+ 2, 1 signals", "an answer belongs to its question");
    let call = asker.call();
    assert_eq!(asker.line(), "alarm EINTR, 1 signals");
    assert!(!call.is_waiting());
    call.give(3).expect("nobody hears it");
}

#[test]
fn a_restart_is_only_for_whoever_has_a_signal() {
    let mut asker = Asker::new(KILLABLE, &["call", "pair"]);
    asker.call().restart().expect("answered");
    // ERESTARTSYS itself: what the engine must never cause.
    assert_eq!(asker.line(), "call E512, 0 signals");
    let calls = [asker.call(), asker.call()];
    signal(asker.pid(), Signal::USR1);
    until("the signal", || pending(asker.pid()));
    // A signal for the process is told to its first thread alone, although both seem to have it.
    for call in calls {
        let tid = call.pid().expect("visible").cast_signed();
        assert!(pending(tid));
        if tid == asker.pid() { call.restart() } else { call.give(8) }.expect("answered");
    }
    asker.call().give(9).expect("answered");
    let mut lines = [asker.line(), asker.line()].map(|line| line[..line.len().min(8)].to_owned());
    lines.sort();
    assert_eq!(lines, ["first 9,", "second 8"]);
}
