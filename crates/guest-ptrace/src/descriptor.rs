//! Descriptors of guests' threads.

use std::os::fd::{AsFd, OwnedFd};

use tipstaff_sys::{Errno, pidfd};

/// A copy of a thread's descriptor: the same open file, with the rights with which it was opened. Nothing is opened by it, so nothing waits, and nothing can be
/// done that its owner could not do. EBADF, ESRCH: there is none.
pub(crate) fn copy_of(tid: i32, process: i32, fd: i32) -> Result<OwnedFd, Errno> {
    let of = pidfd::for_files(tid, || process)?;
    pidfd::get_fd(of.as_fd(), fd)
}
