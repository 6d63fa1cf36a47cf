//! pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::raw::{Errno, call, word};

/// A pidfd of a process (Linux 5.3), close-on-exec.
pub fn open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers; the result is a new descriptor.
    unsafe {
        let fd = call(libc::SYS_pidfd_open, [pid as usize, 0, 0, 0, 0, 0])?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Sends a signal to the process behind a pidfd: never to a stranger who got its number. ESRCH when it is gone.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: a null siginfo is allowed.
    unsafe { call(libc::SYS_pidfd_send_signal, [word(pidfd.as_raw_fd()), signal as usize, 0, 0, 0, 0])? };
    Ok(())
}

/// A copy of a descriptor of that process, close-on-exec (Linux 5.6). EBADF: it has none of that number; EPERM: we may not trace it.
pub fn get_fd(pidfd: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers; the result is a new descriptor.
    unsafe {
        let fd = call(libc::SYS_pidfd_getfd, [word(pidfd.as_raw_fd()), word(number), 0, 0, 0, 0])?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}
