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
        if opens_nothing(&call) {
            let file = File::open(&other).expect("ours");
            call.inject(file.as_fd(), true).expect("room");
        } else {
            call.proceed_unjudged();
        }
    });
    assert_eq!(running.wait().expect("ended"), Status::Exited(0));
    assert_eq!(std::fs::read_to_string(out).expect("written"), "another text\n");
}

/// Whether a call opens the file that is not there.
fn opens_nothing(call: &Notification) -> bool {
    let mut path = [0; 13];
    call.read(call.data().args[usize::from(name(call) != "open")], &mut path) == Ok(13) && path == *b"/no/such/file"
}

#[test]
fn a_descriptor_that_does_not_fit_is_a_refusal() {
    let scratch = Scratch::new(if User::Root.available() { User::Root } else { User::Ordinary });
    let other = scratch.file("other", "another text\n");
    let run = |limit: &str| {
        // Its three streams are all that it may have.
        let out = scratch.file("out", "");
        let file = out.display();
        let script = format!("exec >{file}; {limit}; {{ read line && echo got; }} </no/such/file; echo end");
        let filter = Filter::notifying(ARCH, ["openat", "open"]);
        let (running, listener) = Program::new("/bin/sh").args(["-c", &script]).start(&filter).expect("start");
        let mut said = None;
        end(&listener, |call| match opens_nothing(&call) {
            true => said = Some(call.inject(File::open(&other).expect("ours").as_fd(), true).map_err(|errno| errno.0)),
            false => call.proceed_unjudged(),
        });
        running.wait().expect("ended");
        (said.expect("it was opened").is_ok(), std::fs::read_to_string(out).expect("written"))
    };
    let (fits, text) = run("ulimit -n 3");
    assert!(!fits && !text.contains("got"), "{text:?}");
    // The control: where there is room.
    let (fits, text) = run("ulimit -n 64");
    assert!(fits && text.contains("got"), "{text:?}");
}

#[test]
fn a_descriptor_has_the_number_of_nobody_and_the_flag_that_was_said() {
    const O_CLOEXEC: u32 = 0o2_000_000;
    for cloexec in [true, false] {
        // Who reads from this stands still until the other end is closed.
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let filter = Filter::notifying(ARCH, ["openat", "open"]);
        let (running, listener) = Program::new("/bin/cat").args(["/no/such/file"]).start(&filter).expect("start");
        let (pid, mut ours) = (running.pid(), Some(ours));
        end(&listener, |call| {
            if !opens_nothing(&call) {
                return call.proceed_unjudged();
            }
            let names = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
            let before: Vec<_> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            let number = call.inject(theirs.as_fd(), cloexec).expect("room");
            assert!(!before.contains(&number.to_string()), "{number} was one of {before:?}");
            let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).expect("it stands");
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("proc_pid_fdinfo(5)");
            let flags = u32::from_str_radix(flags.trim(), 8).expect("octal");
            assert_eq!(flags & O_CLOEXEC != 0, cloexec, "{info}");
            ours = None;
        });
        assert_eq!(running.wait().expect("ended"), Status::Exited(0));
    }
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
