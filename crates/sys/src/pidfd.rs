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

/// A pidfd of one thread: PIDFD_THREAD (Linux 6.9), close-on-exec. It is readable when that thread has ended. EINVAL: an older kernel.
pub fn open_thread(tid: i32) -> Result<OwnedFd, Errno> {
    // PIDFD_THREAD is O_EXCL.
    // SAFETY: no pointers; the result is a new descriptor.
    unsafe {
        let fd = call(libc::SYS_pidfd_open, [tid as usize, libc::O_EXCL as usize, 0, 0, 0, 0])?;
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
