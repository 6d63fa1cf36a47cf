//! A guest that asks: `guests/asker.c`, its listener in our hand.

use std::io::{BufRead, BufReader, Lines};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use tipstaff_notify::{Listener, Next, Notification, receive};
use tipstaff_testkit::guest;

/// Longer is a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// With SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
pub const KILLABLE: &str = "killable";
/// Without, as before Linux 5.19.
pub const PLAIN: &str = "plain";

pub struct Asker {
    child: Child,
    pub listener: Listener,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Asker {
    pub fn new(kind: &str, words: &[&str]) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        let mut command = Command::new(guest("asker"));
        command.arg(kind).args(words).stdin(OwnedFd::from(theirs)).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the guest starts");
        // Ours alone must hold their end, so that a guest that fails is an end of file.
        drop(command);
        await_readable(ours.as_fd());
        let listener = receive(ours.as_fd()).expect("the listener");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, listener, lines }
    }

    /// The next call; None when nobody can ask any more.
    pub fn next(&self) -> Option<Notification> {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "nobody asks");
            await_readable(self.listener.as_fd());
            match self.listener.next().expect("a listener") {
                Next::Call(call) => return Some(call),
                Next::Nothing => {}
                Next::Ended => return None,
            }
        }
    }

    pub fn call(&self) -> Notification {
        self.next().expect("somebody asks")
    }

    /// What the guest says next.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The children of the guest's first thread.
    pub fn children(&self) -> Vec<i32> {
        let pid = self.pid();
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// The guest ends well.
    pub fn end(mut self) {
        assert!(self.child.wait().expect("a child").success());
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn await_readable(fd: rustix::fd::BorrowedFd<'_>) {
    let within = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&within)).expect("poll");
    assert!(ready > 0, "nothing within {PATIENCE:?}");
}

pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a number"), signal).expect("a process");
}

/// Waits until `holds`.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
