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

/// A pidfd of one thread (PIDFD_THREAD, Linux 6.9), close-on-exec: [`get_fd`] then looks into this thread's own descriptor table. An older
/// kernel knows processes only; there a thread other than the leader must share the leader's table (kcmp(2)), else EPERM.
pub fn open_thread(tid: i32, process: i32) -> Result<OwnedFd, Errno> {
    const PIDFD_THREAD: usize = libc::O_EXCL as usize;
    const KCMP_FILES: usize = 2;
    // SAFETY: no pointers; the result is a new descriptor.
    match unsafe { call(libc::SYS_pidfd_open, [tid as usize, PIDFD_THREAD, 0, 0, 0, 0]) } {
        // SAFETY: as above.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
        Err(Errno::INVAL) if tid == process => open(process),
        Err(Errno::INVAL) => {
            // SAFETY: no pointers.
            let same = unsafe { call(libc::SYS_kcmp, [tid as usize, process as usize, KCMP_FILES, 0, 0, 0]) };
            if same == Ok(0) { open(process) } else { Err(Errno::PERM) }
        }
        Err(e) => Err(e),
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
