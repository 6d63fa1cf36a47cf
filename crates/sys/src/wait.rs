//! waitid(2) on a pidfd, with __WALL: our children have no SIGCHLD as exit signal until they exec.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw::{Errno, call_retry, word};

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// exit(2) with this code (0 to 255).
    Exited(i32),
    /// Ended by this signal; `core` when a core was (or would have been) written.
    Signaled {
        /// The signal's number.
        signal: i32,
        /// WCOREDUMP.
        core: bool,
    },
}

impl Status {
    /// From the status word of wait4(2).
    pub fn from_wait(status: i32) -> Self {
        let signal = status & 0x7f;
        if signal == 0 { Self::Exited(status >> 8 & 0xff) } else { Self::Signaled { signal, core: status & 0x80 != 0 } }
    }
}

/// Reaps the child behind a pidfd. `Ok(None)` when `hang` is false and it still runs; ECHILD when somebody
/// else reaped it.
pub fn reap(pidfd: BorrowedFd<'_>, hang: bool) -> Result<Option<Status>, Errno> {
    const P_PIDFD: usize = 3;
    // SAFETY: siginfo_t is plain data, zero is valid.
    let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
    let flags = libc::WEXITED | libc::__WALL | if hang { 0 } else { libc::WNOHANG };
    let info_ptr = core::ptr::from_mut(&mut info) as usize;
    // SAFETY: the kernel writes one siginfo_t; no rusage is asked for.
    unsafe { call_retry(libc::SYS_waitid, [P_PIDFD, word(pidfd.as_raw_fd()), info_ptr, flags as usize, 0, 0])? };
    // SAFETY: waitid filled the SIGCHLD member of the union, or left it zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => Status::Exited(status),
        code => Status::Signaled { signal: status, core: code == libc::CLD_DUMPED },
    }))
}
