//! unshare(2), for one thread.

use std::os::fd::{FromRawFd, OwnedFd};

use crate::child;
use crate::raw::{Errno, call, ptr};

/// CLONE_FS: from now on working directory and umask are the calling thread's own.
pub fn directory_and_umask() -> Result<(), Errno> {
    // SAFETY: no pointers; other threads keep what they share.
    unsafe { call(libc::SYS_unshare, [libc::CLONE_FS as usize, 0, 0, 0, 0, 0]).map(drop) }
}

/// A new network namespace with nothing but a loopback interface that is up, for a box to come. The calling thread is in it from then on: it is to end.
pub fn network() -> Result<OwnedFd, Errno> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: integers, then a constant path; the descriptor is ours.
    unsafe {
        call(libc::SYS_unshare, [libc::CLONE_NEWNET as usize, 0, 0, 0, 0, 0])?;
        child::loopback_up()?;
        let path = ptr(c"/proc/thread-self/ns/net");
        let fd = call(libc::SYS_openat, [libc::AT_FDCWD as usize, path, flags, 0, 0, 0])?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}
