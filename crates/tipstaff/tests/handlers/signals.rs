//! Calls that signals interrupt are what they are natively.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tipstaff::handler::{Entry, Return};
use tipstaff::{Action, Arch, Rewriter, SyscallSet};
use tipstaff_testkit::{Machine, User, also_elsewhere};

use crate::guests::{boxed, closure, text};

const CALLS: &[&str] = &["read", "poll", "nanosleep", "clock_nanosleep", "rt_sigaction", "write"];

#[test]
fn interrupted_calls_are_what_they_are_natively() {
    also_elsewhere("signals::interrupted_calls_are_what_they_are_natively", &[(User::Ordinary, Machine::Full)], || {
        let native = text(&boxed("restarts", &[]).output().expect("run"));
        assert_eq!(native.lines().count(), 6, "{native}");
        let mut command = boxed("restarts", &[]);
        command.handler(|| closure(CALLS, |_| Action::Pass));
        assert_eq!(text(&command.output().expect("run")), native);
        let mut command = boxed("restarts", &[]);
        command.rewriter(Watches::default);
        assert_eq!(text(&command.output().expect("run")), native, "with its returns seen too");
    });
}

/// Sees every return and changes none.
#[derive(Default)]
struct Watches;

impl Rewriter for Watches {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, CALLS.iter().copied())
    }

    fn on_entry(&mut self, _: &mut Entry<'_>) -> Action {
        Action::Pass
    }

    fn returns(&self, arch: Arch) -> SyscallSet {
        self.wants(arch)
    }
}

/// Reads one byte more than it is asked to.
struct OneMore {
    entries: Arc<AtomicU64>,
    restarts: Arc<AtomicU64>,
}

impl Rewriter for OneMore {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, ["read"])
    }

    fn on_entry(&mut self, entry: &mut Entry<'_>) -> Action {
        let length = entry.args()[2];
        if length == 4 {
            entry.set_arg(2, length + 1);
            self.entries.fetch_add(1, Ordering::Relaxed);
        }
        Action::Pass
    }

    fn returns(&self, arch: Arch) -> SyscallSet {
        self.wants(arch)
    }

    fn on_return(&mut self, returned: &mut Return<'_>) {
        if (-516..=-512).contains(&returned.value()) {
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn an_edit_is_applied_once_however_often_the_call_is_restarted() {
    let (entries, restarts): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
    let mut command = boxed("restarts", &[]);
    let (e, r) = (Arc::clone(&entries), Arc::clone(&restarts));
    command.rewriter(move || OneMore { entries: Arc::clone(&e), restarts: Arc::clone(&r) });
    let output = command.output().expect("run");
    let seen = text(&output);
    assert!(seen.contains("restart read 5 OK abcde, three signals"), "five bytes, not eight: {seen}");
    assert!(seen.contains("registers 0 4, read 5"), "the caller's register is its own: {seen}");
    let (entries, restarts) = (entries.load(Ordering::Relaxed), restarts.load(Ordering::Relaxed));
    // Three restarts of the first read, the second that ends with EINTR, and the last.
    assert!(restarts >= 3 && entries >= restarts + 2, "{entries} entries, {restarts} restarts");
}
