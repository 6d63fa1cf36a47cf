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

/// What [`get_fd`] is asked with for descriptors of this thread: an older kernel than 6.9 knows processes only, and there a thread other than
/// the leader must share the leader's descriptor table (kcmp(2)), else EPERM.
pub fn for_files(tid: i32, process: impl Fn() -> i32) -> Result<OwnedFd, Errno> {
    match open_thread(tid) {
        Err(Errno::INVAL) if tid == process() => open(tid),
        Err(Errno::INVAL) => {
            let process = process();
            if shares_files(tid, process) { open(process) } else { Err(Errno::PERM) }
        }
        other => other,
    }
}

/// Whether two tasks have one descriptor table: kcmp(2). False also where the kernel does not say.
pub fn shares_files(one: i32, other: i32) -> bool {
    const KCMP_FILES: usize = 2;
    // SAFETY: no pointers.
    unsafe { call(libc::SYS_kcmp, [one as usize, other as usize, KCMP_FILES, 0, 0, 0]) == Ok(0) }
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
