//! waitid(2) on a pidfd, with __WALL: our children have no SIGCHLD as exit signal until they exec. wait4(2) for tracees.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw::{Errno, addr_mut, call, call_retry, word};

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

/// What wait4(2) says of a tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ended, and is reaped.
    Ended(Status),
    /// It stopped: the signal in the low byte, bit 7 for a syscall stop, and the PTRACE_EVENT in the byte above.
    Stopped(i32),
}

/// What a thread had used when its status changed: getrusage(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user mode, nanoseconds.
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// Largest resident set of its process, bytes.
    pub max_rss_bytes: u64,
    /// struct rusage, as the kernel wrote it.
    pub raw: [u64; 18],
}

/// What a look at tracees is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The next change, waited for; it stays to be told.
    Next,
    /// A stop, if there is one; it is told.
    Stop,
    /// An end, if there is one; it stays a zombie.
    End,
    /// An end, if there is one; it is reaped.
    Reap,
}

/// Looks at one tracee or child of this very thread, -1: at any of them; waitid(2) with __WALL and __WNOTHREAD. With `usage`, also what the task
/// used so far. EINTR when a signal handler ran; ECHILD when there is nobody.
pub fn look(tid: i32, what: Look, usage: Option<&mut Usage>) -> Result<Option<(i32, Change)>, Errno> {
    const P_ALL: usize = 0;
    const P_PID: usize = 1;
    let flags = libc::__WALL
        | libc::__WNOTHREAD
        | match what {
            Look::Next => libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT,
            Look::Stop => libc::WSTOPPED | libc::WNOHANG,
            Look::End => libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
            Look::Reap => libc::WEXITED | libc::WNOHANG,
        };
    let (kind, id) = if tid < 0 { (P_ALL, 0) } else { (P_PID, word(tid)) };
    // SAFETY: siginfo_t and rusage are plain data, zero is valid.
    let (mut info, mut rusage): (libc::siginfo_t, libc::rusage) = unsafe { core::mem::zeroed() };
    let rusage_ptr = if usage.is_some() { addr_mut(&mut rusage) } else { 0 };
    let args = [kind, id, addr_mut(&mut info), word(flags), rusage_ptr, 0];
    // SAFETY: the kernel writes one siginfo_t and, if asked, one struct rusage.
    unsafe { call(libc::SYS_waitid, args)? };
    // SAFETY: waitid filled the SIGCHLD member of the union, or left it zero.
    let (tid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if tid == 0 {
        return Ok(None);
    }
    if let Some(usage) = usage {
        *usage = Usage::of(&rusage);
    }
    Ok(Some((
        tid,
        match info.si_code {
            libc::CLD_EXITED => Change::Ended(Status::Exited(status)),
            code @ (libc::CLD_KILLED | libc::CLD_DUMPED) => {
                Change::Ended(Status::Signaled { signal: status, core: code == libc::CLD_DUMPED })
            }
            _ => Change::Stopped(status),
        },
    )))
}

/// Waits for a change of any tracee or child of this very thread (__WALL, __WNOTHREAD); with `usage`, also what the task used so
/// far. EINTR when a signal handler ran; ECHILD when there is nobody left.
pub fn any(usage: Option<&mut Usage>) -> Result<(i32, Change), Errno> {
    tracee(-1, usage)
}

/// Like [`any`], for one thread.
pub fn tracee(tid: i32, usage: Option<&mut Usage>) -> Result<(i32, Change), Errno> {
    wait4(tid, 0, usage)
}

/// Like [`any`], without waiting (WNOHANG).
pub fn any_now(usage: Option<&mut Usage>) -> Result<Option<(i32, Change)>, Errno> {
    let (tid, change) = wait4(-1, libc::WNOHANG, usage)?;
    Ok((tid > 0).then_some((tid, change)))
}

fn wait4(tid: i32, flags: i32, usage: Option<&mut Usage>) -> Result<(i32, Change), Errno> {
    let flags = (libc::__WALL | libc::__WNOTHREAD | flags) as usize;
    let mut status = 0i32;
    // SAFETY: rusage is plain data, zero is valid.
    let mut rusage: libc::rusage = unsafe { core::mem::zeroed() };
    let rusage_ptr = if usage.is_some() { addr_mut(&mut rusage) } else { 0 };
    let status_ptr = addr_mut(&mut status);
    // SAFETY: the kernel writes one int and, if asked, one struct rusage.
    let tid = unsafe { call(libc::SYS_wait4, [word(tid), status_ptr, flags, rusage_ptr, 0, 0])? };
    if let Some(usage) = usage {
        *usage = Usage::of(&rusage);
    }
    let change =
        if status & 0xff == 0x7f { Change::Stopped(status >> 8) } else { Change::Ended(Status::from_wait(status)) };
    Ok((tid as i32, change))
}

impl Usage {
    fn of(rusage: &libc::rusage) -> Self {
        let ns = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
        Self {
            user_ns: ns(rusage.ru_utime),
            system_ns: ns(rusage.ru_stime),
            max_rss_bytes: rusage.ru_maxrss as u64 * 1024,
            raw: words(rusage),
        }
    }
}

fn words(usage: &libc::rusage) -> [u64; 18] {
    let seconds = |t: libc::timeval| [t.tv_sec.cast_unsigned(), t.tv_usec.cast_unsigned()];
    let ([a, b], [c, d]) = (seconds(usage.ru_utime), seconds(usage.ru_stime));
    let u = usage;
    let rest = [
        u.ru_maxrss,
        u.ru_ixrss,
        u.ru_idrss,
        u.ru_isrss,
        u.ru_minflt,
        u.ru_majflt,
        u.ru_nswap,
        u.ru_inblock,
        u.ru_oublock,
        u.ru_msgsnd,
        u.ru_msgrcv,
        u.ru_nsignals,
        u.ru_nvcsw,
        u.ru_nivcsw,
    ];
    let mut words = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (word, value) in words[4..].iter_mut().zip(rest) {
        *word = value.cast_unsigned();
    }
    words
}
