//! rt_sigprocmask(2), rt_sigaction(2), signalfd(2), kill(2).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::raw::{Errno, addr, addr_mut, call, word};

/// A set of signals, bit N-1 for signal N (the kernel's 64-bit sigset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SigSet(pub u64);

impl SigSet {
    /// Every signal (the kernel leaves SIGKILL and SIGSTOP out).
    pub const ALL: Self = Self(u64::MAX);

    /// Every signal but those that C libraries send their own threads (32 to 34): a thread that blocks these holds up setuid(3) in the whole process
    /// (nptl(7)).
    pub const ALL_OF_A_HOST: Self = Self(!(0b111 << 31));

    /// A set of the given signals.
    pub fn of(signals: &[i32]) -> Self {
        Self(signals.iter().fold(0, |set, s| set | 1 << (s - 1)))
    }
}

const SIGSET_SIZE: usize = 8;

/// Sets the calling thread's mask and returns the old one. Child-safe.
pub fn set_mask(set: SigSet) -> SigSet {
    let mut old = SigSet::default();
    // SAFETY: both are 8-byte sets.
    let _ = unsafe {
        call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, addr(&set), addr_mut(&mut old), SIGSET_SIZE, 0, 0])
    };
    old
}

/// Adds to the calling thread's mask and returns the old one.
pub fn block(set: SigSet) -> SigSet {
    let mut old = SigSet::default();
    // SAFETY: both are 8-byte sets.
    let _ = unsafe {
        call(libc::SYS_rt_sigprocmask, [libc::SIG_BLOCK as usize, addr(&set), addr_mut(&mut old), SIGSET_SIZE, 0, 0])
    };
    old
}

/// A signalfd, non-blocking and close-on-exec. The signals must be blocked to arrive there.
pub fn fd(set: SigSet) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads an 8-byte set; the result is a new descriptor.
    unsafe { Ok(OwnedFd::from_raw_fd(fd_raw(set)?)) }
}

/// [`fd`] as a number, for the child.
///
/// # Safety
/// The caller owns the descriptor returned.
pub(crate) unsafe fn fd_raw(set: SigSet) -> Result<i32, Errno> {
    let flags = (libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as usize;
    // SAFETY: the kernel reads an 8-byte set.
    let fd = unsafe { call(libc::SYS_signalfd4, [word(-1), addr(&set), SIGSET_SIZE, flags, 0, 0])? };
    Ok(fd as i32)
}

/// A close-on-exec duplicate of a descriptor that we were given by number (`fd:N` on a command line); EBADF.
pub fn duplicate(fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor or fails.
    unsafe {
        let new = call(libc::SYS_fcntl, [word(fd), libc::F_DUPFD_CLOEXEC as usize, 3, 0, 0, 0])?;
        Ok(OwnedFd::from_raw_fd(new as i32))
    }
}

/// The next signal waiting in a signalfd, or None.
pub fn next(fd: BorrowedFd<'_>) -> Option<i32> {
    next_raw(fd.as_raw_fd())
}

pub(crate) fn next_raw(fd: i32) -> Option<i32> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: the kernel writes at most the buffer's size.
    let n = unsafe { call(libc::SYS_read, [word(fd), addr_mut(&mut info), info.len(), 0, 0, 0]) };
    match n {
        Ok(n) if n == info.len() => Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]])),
        _ => None,
    }
}

#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Every disposition back to the default. exec resets handlers but keeps what is ignored, so the ignored ones
/// are what matters here; SIGKILL and SIGSTOP answer EINVAL. Child-safe: the child does not share the table of
/// signal handlers (no CLONE_SIGHAND).
pub(crate) fn reset_dispositions() {
    let default = KernelSigaction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    for signal in 1..=64usize {
        // SAFETY: `default` is a kernel sigaction; no old one is asked for.
        let _ = unsafe { call(libc::SYS_rt_sigaction, [signal, addr(&default), 0, SIGSET_SIZE, 0, 0]) };
    }
}

/// Handlers and SIGPIPE back to the default; what else is ignored stays so, as nohup(1) wants it. For a child that unblocks signals
/// before its exec. Child-safe, as [`reset_dispositions`].
pub(crate) fn reset_handlers_and_sigpipe() {
    let default = KernelSigaction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
    for signal in 1..=64usize {
        let mut old = KernelSigaction { handler: libc::SIG_DFL, flags: 0, restorer: 0, mask: 0 };
        // SAFETY: the kernel writes one sigaction, then reads one.
        unsafe {
            let _ = call(libc::SYS_rt_sigaction, [signal, 0, addr_mut(&mut old), SIGSET_SIZE, 0, 0]);
            if old.handler > libc::SIG_IGN || signal == libc::SIGPIPE as usize {
                let _ = call(libc::SYS_rt_sigaction, [signal, addr(&default), 0, SIGSET_SIZE, 0, 0]);
            }
        }
    }
}

/// tgkill(2) of signal 0: whether a thread that has not been reaped belongs to a process.
pub fn thread_of(tgid: i32, tid: i32) -> bool {
    // SAFETY: no pointers. EPERM: there, but not ours to signal.
    let asked = unsafe { call(libc::SYS_tgkill, [tgid as usize, tid as usize, 0, 0, 0, 0]) };
    matches!(asked, Ok(_) | Err(Errno::PERM))
}

/// kill(2) of a process. ESRCH when there is none.
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // For kill(2), 0 and negative numbers are groups, and -1 is everybody.
    if pid <= 0 { Err(Errno::SRCH) } else { kill_raw(pid, signal) }
}

/// tgkill(2): a signal for one thread. ESRCH when there is none.
pub fn kill_thread(tgid: i32, tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call(libc::SYS_tgkill, [tgid as usize, tid as usize, signal as usize, 0, 0, 0]) }.map(drop)
}

/// kill(2), for the keeper and for the direct child.
pub(crate) fn kill_raw(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call(libc::SYS_kill, [pid as isize as usize, signal as usize, 0, 0, 0, 0])? };
    Ok(())
}

/// rt_sigqueueinfo(2): a signal with a siginfo for a process. EPERM for a si_code that only the kernel may use.
pub fn queue(pid: i32, info: &crate::ptrace::SigInfo) -> Result<(), Errno> {
    let args = [pid as usize, info.signal() as usize, info.bytes().as_ptr() as usize, 0, 0, 0];
    // SAFETY: the kernel reads one siginfo_t, 128 bytes.
    unsafe { call(libc::SYS_rt_sigqueueinfo, args) }.map(drop)
}

/// rt_tgsigqueueinfo(2): the same for one thread.
pub fn queue_thread(tgid: i32, tid: i32, info: &crate::ptrace::SigInfo) -> Result<(), Errno> {
    let args = [tgid as usize, tid as usize, info.signal() as usize, info.bytes().as_ptr() as usize, 0, 0];
    // SAFETY: the kernel reads one siginfo_t, 128 bytes.
    unsafe { call(libc::SYS_rt_tgsigqueueinfo, args) }.map(drop)
}
