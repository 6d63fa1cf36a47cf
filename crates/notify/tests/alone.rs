//! The crate alone: a program, its listener, and each kind of answer.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::fd::AsFd;

use tipstaff_abi::{Arch, Sysno};
use tipstaff_notify::{Filter, Listener, Next, Notification, Program, Running};
use tipstaff_sys::wait::Status;
use tipstaff_testkit::{Scratch, User, guest};

const ARCH: Arch = Arch::X86_64;

fn start(calls: &[&str], args: &[&str]) -> (Running, Listener) {
    Program::new(guest("calls")).args(args).start(&Filter::notifying(ARCH, calls.iter().copied())).expect("start")
}

fn name(call: &Notification) -> &'static str {
    Sysno(call.data().nr.cast_unsigned()).name(ARCH).expect("a call")
}

fn end(listener: &Listener, mut answer: impl FnMut(Notification)) -> usize {
    let mut calls = 0;
    while let Next::Call(call) = listener.wait().expect("listen") {
        calls += 1;
        answer(call);
    }
    calls
}

#[test]
fn the_programs_own_exec_is_the_first_call() {
    let (running, listener) = start(&["execve", "getppid"], &["getppid"]);
    let mut seen = Vec::new();
    end(&listener, |call| {
        seen.push(name(&call));
        assert_eq!(call.pid().map(u32::cast_signed), Some(running.pid()));
        call.proceed().expect("registers only");
    });
    assert_eq!(seen, ["execve", "getppid"]);
    assert_eq!(running.wait().expect("ended"), Status::Exited(0));
}

#[test]
fn a_refused_exec_is_an_error_of_the_start() {
    let (running, listener) = start(&["execve"], &[]);
    assert_eq!(end(&listener, |call| call.refuse(13).expect("sent")), 1);
    assert_eq!(running.wait().expect_err("no exec").raw_os_error(), Some(13));
    let filter = Filter::notifying(ARCH, ["getppid"]);
    let (running, _listener) = Program::new("/no/such/program").start(&filter).expect("start");
    assert_eq!(running.wait().expect_err("no file").raw_os_error(), Some(2));
}

#[test]
fn dropped_means_refused() {
    let (running, listener) = start(&["getppid"], &["getppid"]);
    assert_eq!(end(&listener, drop), 1);
    // ENOSYS, which the guest prints and does not mind.
    assert_eq!(running.wait().expect("ended"), Status::Exited(0));
}

#[test]
fn what_was_read_is_not_left_to_the_kernel() {
    let scratch = Scratch::new(if User::Root.available() { User::Root } else { User::Ordinary });
    let file = scratch.file("file", "text");
    let word = format!("cat={}", file.display());
    for (reads, error) in [(false, false), (true, true)] {
        let (running, listener) = start(&["openat", "open"], &[&word]);
        let mut judged = None;
        end(&listener, |call| {
            if reads {
                let mut bytes = [0; 4];
                let index = usize::from(name(&call) != "open");
                assert_eq!(call.read(call.data().args[index], &mut bytes), Ok(4));
                assert!(bytes.starts_with(b"/"));
            }
            judged = Some(call.proceed().is_err());
        });
        assert_eq!(judged, Some(error), "the filter saw an open");
        running.wait().expect("ended");
    }
}

#[test]
fn a_descriptor_is_the_answer() {
    let scratch = Scratch::new(if User::Root.available() { User::Root } else { User::Ordinary });
    let other = scratch.file("other", "another text");
    let out = scratch.file("out", "");
    let script = format!("read line < /no/such/file; echo \"$line\" > {}", out.display());
    let filter = Filter::notifying(ARCH, ["openat", "open"]);
    let (running, listener) = Program::new("/bin/sh").args(["-c", &script]).start(&filter).expect("start");
    end(&listener, |call| {
        let mut path = [0; 13];
        let index = usize::from(name(&call) != "open");
        let got = call.read(call.data().args[index], &mut path);
        if got == Ok(13) && path == *b"/no/such/file" {
            let file = File::open(&other).expect("ours");
            call.inject(file.as_fd(), true).expect("room");
        } else {
            call.proceed_unjudged();
        }
    });
    assert_eq!(running.wait().expect("ended"), Status::Exited(0));
    assert_eq!(std::fs::read_to_string(out).expect("written"), "another text\n");
}

#[test]
fn a_killed_caller_is_ordinary_and_the_end_is_told() {
    let (running, listener) = start(&["getppid"], &["getppid"]);
    let Next::Call(call) = listener.wait().expect("listen") else { panic!("no call") };
    assert!(call.is_waiting());
    running.kill();
    while call.is_waiting() {
        std::thread::yield_now();
    }
    assert!(call.read(0x1000, &mut [0]).is_err(), "nothing is believed of whoever is gone");
    call.give(1).expect("nobody minds");
    assert!(matches!(listener.wait().expect("listen"), Next::Ended));
    assert_eq!(running.wait().expect("ended"), Status::Signaled { signal: 9, core: false });
}

#[test]
fn a_dropped_program_is_gone() {
    let (running, listener) = start(&["getppid"], &["getppid"]);
    let pid = running.pid();
    drop(running);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(matches!(listener.wait().expect("listen"), Next::Ended));
}
