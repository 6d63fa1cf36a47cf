//! The operations that run between clone and exec, as data, and the one loop that executes them.
//!
//! Everything in an operation was prepared before the clone: C strings, numbers, descriptors. The executor
//! allocates nothing, takes no lock and touches no thread-local storage, since it runs in memory that it shares
//! with the process that prepared it ([`crate::shared`]). A failure is the index of the operation and an errno;
//! the preparing side prints it with the operation's own words ([`SetupOp::words`], [`GuestOp::words`]).
//!
//! Two lists: [`SetupOp`] runs once in the box's keeper (namespaces, mounts), [`GuestOp`] in the guest's first
//! process, in the order of the man pages that matter: session, control groups, descriptors, ids, directory,
//! signals, Landlock, limits, seccomp, exec.

mod guest;
pub(crate) mod mounts;
mod seen;
mod setup;

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;

use crate::raw::{Errno, addr_mut, call_retry, word};

pub use guest::GuestOp;
pub use seen::Seen;
pub use setup::{BindFlags, SetupOp};

pub(crate) use guest::run as run_guest;
pub(crate) use setup::{State as SetupState, loopback_up, run as run_setup};

/// Where [`SetupOp::Yama`] leaves what was there before.
pub const BEHIND: &CStr = c".kernel";

/// A NULL-terminated array of C strings, as execve(2) wants it.
#[derive(Debug)]
pub struct CStrings {
    strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the pointers lead into `strings`, which are owned, never changed and of stable address.
unsafe impl Send for CStrings {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for CStrings {}

impl CStrings {
    /// From owned strings; they keep their order.
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(core::ptr::null());
        Self { strings, pointers }
    }

    /// The strings.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    pub(crate) fn as_word(&self) -> usize {
        self.pointers.as_ptr() as usize
    }
}

/// Waits until an eventfd says 1, at most `patience` seconds. Anything else, and the end of the supervisor (a pidfd), is a refusal. Child-safe.
pub(crate) fn told_to_go(eventfd: i32, supervisor: i32, patience: Option<u32>) -> Result<(), Errno> {
    let poll = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut fds = [poll(eventfd), poll(supervisor)];
    let mut answer = 0u64;
    let mut limit = libc::timespec { tv_sec: patience.unwrap_or(0).into(), tv_nsec: 0 };
    // The kernel writes what is left of it.
    let limit = if patience.is_some() { addr_mut(&mut limit) } else { 0 };
    // SAFETY: an array of two pollfd, a timespec, and eight bytes of a local.
    unsafe {
        call_retry(libc::SYS_ppoll, [addr_mut(&mut fds), 2, limit, 0, 0, 0])?;
        if fds[0].revents != 0 {
            call_retry(libc::SYS_read, [word(eventfd), addr_mut(&mut answer), 8, 0, 0, 0])?;
        }
    }
    if answer == 1 { Ok(()) } else { Err(Errno::PERM) }
}

/// A path in an operation's words: quoted, bytes that are not printable escaped.
pub(crate) fn quoted(path: &CString) -> String {
    format!("{:?}", OsStr::from_bytes(path.as_bytes()))
}

/// Mode of a directory that only protects its name: sticky, which no tool makes of its own accord.
pub const PLACEHOLDER_MODE: u32 = 0o1755;

/// A descriptor that the preparing side keeps open until the child has executed.
pub type ChildFd = RawFd;
