//! What an answer is to its caller, and what becomes of callers that are gone.

use std::os::fd::AsFd;

use crate::asker::{Asker, KILLABLE, PLAIN, await_readable, signal, until};
use rustix::process::Signal;
use tipstaff_notify::{Gone, Next, NotRegisters};
use tipstaff_testkit::{Machine, User, also_elsewhere};

const ORDINARY: [(User, Machine); 1] = [(User::Ordinary, Machine::Full)];

#[test]
fn every_answer_arrives() {
    also_elsewhere("answers::every_answer_arrives", &ORDINARY, || {
        let mut asker = Asker::new(KILLABLE, &["call"; 5]);
        let call = asker.call();
        assert_eq!(call.pid(), Some(asker.pid().cast_unsigned()));
        call.refuse(13).expect("answered");
        assert_eq!(asker.line(), "call EACCES, 0 signals");
        asker.call().give(4711).expect("answered");
        assert_eq!(asker.line(), "call 4711, 0 signals");
        asker.call().proceed().expect("nothing was read");
        assert_eq!(asker.line(), format!("call {}, 0 signals", std::process::id()), "the kernel made it");
        drop(asker.call());
        assert_eq!(asker.line(), "call ENOSYS, 0 signals", "forgotten is refused");
        // Zero is no errno: it would be success.
        asker.call().refuse(0).expect("answered");
        assert_eq!(asker.line(), "call EPERM, 0 signals");
        assert!(asker.next().is_none(), "POLLHUP is the end");
        asker.end();
    });
}

#[test]
fn a_call_whose_memory_was_read_is_not_left_to_the_kernel() {
    let mut asker = Asker::new(KILLABLE, &["text=something", "text=something"]);
    let mut text = [0; 9];
    let call = asker.call();
    assert_eq!((call.read(call.data().args[0], &mut text), &text), (Ok(9), b"something"));
    assert_eq!(call.proceed(), Err(NotRegisters));
    assert_eq!(asker.line(), "text EPERM, 0 signals");
    let call = asker.call();
    assert_eq!(call.read(call.data().args[0], &mut text), Ok(9));
    call.proceed_unjudged();
    assert_eq!(asker.line(), format!("text {}, 0 signals", std::process::id()), "by name it is");
}

#[test]
fn memory_ends_where_it_ends() {
    let mut asker = Asker::new(KILLABLE, &["edge", "hole", "call"]);
    let mut bytes = [0; 64];
    let call = asker.call();
    assert_eq!((call.read(call.data().args[0], &mut bytes), &bytes[..8]), (Ok(8), &b"abcdefgh"[..]));
    call.give(1).expect("answered");
    let call = asker.call();
    assert_eq!(call.read(call.data().args[0], &mut bytes), Ok(0));
    call.give(2).expect("answered");
    let call = asker.call();
    // The kernel's half of the address space, and its very end.
    assert_eq!(call.read(1 << 63, &mut bytes), Ok(0));
    assert_eq!(call.read(u64::MAX, &mut bytes), Ok(0));
    call.give(3).expect("answered");
    assert_eq!([asker.line(), asker.line(), asker.line()].map(|line| line.split(' ').nth(1).map(str::to_owned)), {
        ["1,", "2,", "3,"].map(|text| Some(text.to_owned()))
    });
}

#[test]
fn memory_that_may_not_be_read_is_none() {
    also_elsewhere("answers::memory_that_may_not_be_read_is_none", &ORDINARY, || {
        let mut asker = Asker::new(KILLABLE, &["text=hidden", "secret"]);
        let mut text = [0; 6];
        let call = asker.call();
        assert_eq!(call.read(call.data().args[0], &mut text), Ok(6), "positive control");
        call.give(1).expect("answered");
        let call = asker.call();
        // Root has CAP_SYS_PTRACE.
        let readable = if User::me() == 0 { 6 } else { 0 };
        assert_eq!(call.read(call.data().args[0], &mut text), Ok(readable));
        assert_eq!(call.proceed(), Err(NotRegisters), "that nothing could be read is a reading too");
        assert_eq!([asker.line(), asker.line()], ["text 1, 0 signals", "secret EPERM, 0 signals"]);
    });
}

#[test]
fn a_descriptor_arrives_as_it_is() {
    let mut asker = Asker::new(KILLABLE, &["fd", "fd", "full"]);
    for cloexec in [true, false] {
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        rustix::io::write(&write, b"text").expect("room");
        let number = asker.call().inject(read.as_fd(), cloexec).expect("room");
        assert!(number > 0);
        assert_eq!(asker.line(), format!("fd OK text, mode 0, cloexec {}", i32::from(cloexec)));
    }
    let (read, _) = rustix::pipe::pipe().expect("pipe");
    assert_eq!(asker.call().inject(read.as_fd(), true).map_err(|e| e.0), Err(24));
    assert_eq!(asker.line(), "full EMFILE, 0 signals", "and the kernel has not made the call");
}

#[test]
fn callers_die_at_every_stage() {
    also_elsewhere("answers::callers_die_at_every_stage", &ORDINARY, || {
        for kind in [KILLABLE, PLAIN] {
            let mut asker = Asker::new(kind, &["child", "child", "child", "child", "child", "child", "call"]);
            // Before it is received.
            await_readable(asker.listener.as_fd());
            signal(asker.children()[0], Signal::KILL);
            assert_eq!(asker.line(), "child signal 9");
            // The next one may ask already; what is there is never the dead one's.
            let call = asker.call();
            let pid = call.pid().expect("visible").cast_signed();
            assert!(asker.children().contains(&pid) && call.is_waiting());
            let die = |pid: i32| {
                signal(pid, Signal::KILL);
                until("the caller is gone", || !std::fs::exists(format!("/proc/{pid}/root")).unwrap_or(true));
            };
            // Before memory is read.
            die(pid);
            assert_eq!(call.read(0x1000, &mut [0; 8]), Err(Gone));
            assert!(!call.is_waiting());
            call.proceed_unjudged();
            // Before each answer. That nobody hears it is no error.
            for stage in 0..4 {
                assert_eq!(asker.line(), "child signal 9");
                let call = asker.call();
                die(call.pid().expect("visible").cast_signed());
                match stage {
                    0 => call.refuse(1).expect("no error"),
                    1 => call.give(1).expect("no error"),
                    2 => call.restart().expect("no error"),
                    _ => {
                        let (read, _) = rustix::pipe::pipe().expect("pipe");
                        assert_eq!(call.inject(read.as_fd(), true).map_err(|e| e.0), Err(2), "ENOENT");
                    }
                }
            }
            assert_eq!(asker.line(), "child signal 9");
            // No late answer has met the next one.
            let call = asker.call();
            assert!(call.is_waiting());
            call.give(77).expect("answered");
            assert_eq!(asker.line(), "call 77, 0 signals");
            assert!(asker.next().is_none());
            asker.end();
        }
    });
}

#[test]
fn the_end_is_told_once_and_for_all() {
    let asker = Asker::new(KILLABLE, &["call"]);
    let call = asker.call();
    assert!(matches!(asker.listener.next(), Ok(Next::Nothing)), "one call, one notification");
    signal(asker.pid(), Signal::KILL);
    assert!(asker.next().is_none());
    assert!(matches!(asker.listener.next(), Ok(Next::Ended)));
    assert!(call.refuse(1).is_ok());
}

#[test]
fn the_listener_is_not_the_guests() {
    also_elsewhere("answers::the_listener_is_not_the_guests", &ORDINARY, || {
        let mut asker = Asker::new(KILLABLE, &["open", "call", "take"]);
        let line = asker.line();
        assert!(line.starts_with("open 0 1 2") && !line.contains("listener"), "{line}");
        // The guest goes on when we hold the listener.
        asker.call().give(1).expect("answered");
        asker.line();
        if std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|scope| scope.trim() != "0") {
            return;
        }
        // Without a box around it a child of the same user can take every descriptor of ours, and knows a listener: why the box denies that.
        let line = asker.line();
        assert!(line.ends_with("listeners 1"), "{line}");
        asker.end();
    });
}
