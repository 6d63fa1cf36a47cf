//! seccomp(2) and the ioctls of seccomp_unotify(2).

use std::os::fd::{AsRawFd, BorrowedFd};

use tipstaff_abi::bpf::{Insn, SeccompData};

use crate::raw::{Errno, addr, addr_mut, call, word};

const SET_MODE_FILTER: usize = 1;
const GET_ACTION_AVAIL: usize = 2;
const GET_NOTIF_SIZES: usize = 3;
const FLAG_NEW_LISTENER: usize = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: usize = 1 << 5;
const ADDFD_SETFD: u32 = 1;
const ADDFD_SEND: u32 = 2;

/// SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel runs the call. Never after a decision on guest memory.
pub const FLAG_CONTINUE: u32 = 1;

/// `nr` of `_IOWR('!', n, struct)`.
const fn iowr(n: u32, size: usize) -> usize {
    (3 << 30 | (size as u32) << 16 | 0x21 << 8 | n) as usize
}

/// `_IOW('!', n, u64)`.
const fn iow(n: u32, size: usize) -> usize {
    (1 << 30 | (size as u32) << 16 | 0x21 << 8 | n) as usize
}

/// struct seccomp_notif.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Notif {
    /// Unique while the call waits.
    pub id: u64,
    /// Thread id in the listener's PID namespace; 0 when it cannot be said.
    pub pid: u32,
    /// Always 0 today.
    pub flags: u32,
    /// What the filter saw.
    pub data: SeccompData,
}

/// struct seccomp_notif_resp.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct NotifResp {
    /// The id received.
    pub id: u64,
    /// Return value.
    pub val: i64,
    /// Negative errno, or 0.
    pub error: i32,
    /// [`FLAG_CONTINUE`] or 0.
    pub flags: u32,
}

/// How many filters the calling thread is under (PR_GET_SECCOMP(2const); `Seccomp_filters` of proc_pid_status(5), Linux 5.9, else at least 1).
pub fn filters() -> u16 {
    // SAFETY: prctl with integers.
    if unsafe { call(libc::SYS_prctl, [libc::PR_GET_SECCOMP as usize, 0, 0, 0, 0, 0]) } == Ok(0) {
        return 0;
    }
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")?.trim().parse().ok());
    count.unwrap_or(1)
}

/// Receives one notification; the descriptor may block. ENOENT: the caller died meanwhile; EINTR: a signal.
pub fn notif_recv(listener: BorrowedFd<'_>) -> Result<Notif, Errno> {
    // SAFETY: plain data; the kernel demands that the buffer is zeroed.
    let mut notif: Notif = unsafe { core::mem::zeroed() };
    let request = iowr(0, size_of::<Notif>());
    // SAFETY: the kernel writes one struct seccomp_notif of the size in the request.
    unsafe { call(libc::SYS_ioctl, [word(listener.as_raw_fd()), request, addr_mut(&mut notif), 0, 0, 0])? };
    Ok(notif)
}

/// Answers. ENOENT: the caller died or was interrupted meanwhile.
pub fn notif_send(listener: BorrowedFd<'_>, resp: &NotifResp) -> Result<(), Errno> {
    let request = iowr(1, size_of::<NotifResp>());
    // SAFETY: the kernel reads one struct seccomp_notif_resp.
    unsafe { call(libc::SYS_ioctl, [word(listener.as_raw_fd()), request, addr(resp), 0, 0, 0])? };
    Ok(())
}

/// Whether a received call still waits: what was read from its memory before this holds.
pub fn notif_id_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    let request = iow(2, 8);
    // SAFETY: the kernel reads one u64.
    unsafe { call(libc::SYS_ioctl, [word(listener.as_raw_fd()), request, addr(&id), 0, 0, 0]).is_ok() }
}

/// struct seccomp_notif_addfd.
#[repr(C)]
struct NotifAddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

/// Puts a copy of a descriptor of ours into the caller's table and answers with its number, both at once:
/// SECCOMP_IOCTL_NOTIF_ADDFD with SECCOMP_ADDFD_FLAG_SEND (Linux 5.14). The kernel chooses the lowest free number, or it is `at`, which is closed
/// first. ENOENT: the caller is gone; EMFILE: its table is full; then it still waits.
pub fn notif_add_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    at: Option<u32>,
    cloexec: bool,
) -> Result<i32, Errno> {
    add_fd(listener, id, fd, ADDFD_SEND | if at.is_some() { ADDFD_SETFD } else { 0 }, at.unwrap_or(0), cloexec)
}

/// Puts a copy of a descriptor of ours in the place of the caller's `at` (Linux 5.9); its call still waits for an answer. ENOENT: the caller is gone; EBADF:
/// no such number can be.
pub fn notif_replace_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    at: u32,
    cloexec: bool,
) -> Result<(), Errno> {
    add_fd(listener, id, fd, ADDFD_SETFD, at, cloexec).map(drop)
}

fn add_fd(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    flags: u32,
    at: u32,
    cloexec: bool,
) -> Result<i32, Errno> {
    let fd_flags = if cloexec { libc::O_CLOEXEC.cast_unsigned() } else { 0 };
    notif_add_fd_as(listener, id, fd, (flags, at, fd_flags))
}

/// SECCOMP_IOCTL_NOTIF_ADDFD with `flags`, `newfd` and `newfd_flags` as somebody else has asked for. EINPROGRESS: the call has not been received; EINVAL, EBUSY and
/// others as seccomp_unotify(2) has them.
pub fn notif_add_fd_as(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    (flags, newfd, newfd_flags): (u32, u32, u32),
) -> Result<i32, Errno> {
    let add = NotifAddFd { id, flags, srcfd: fd.as_raw_fd().cast_unsigned(), newfd, newfd_flags };
    let request = iow(3, size_of::<NotifAddFd>());
    // SAFETY: the kernel reads one struct seccomp_notif_addfd.
    unsafe { call(libc::SYS_ioctl, [word(listener.as_raw_fd()), request, addr(&add), 0, 0, 0]) }.map(|fd| fd as i32)
}

/// Makes the kernel wake the other side on the same CPU (Linux 6.6): SECCOMP_IOCTL_NOTIF_SET_FLAGS with
/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP. False: the kernel does not know it.
pub fn notif_sync_wake_up(listener: BorrowedFd<'_>) -> bool {
    // SAFETY: the flags are passed by value.
    unsafe { call(libc::SYS_ioctl, [word(listener.as_raw_fd()), iow(4, 8), 1, 0, 0, 0]).is_ok() }
}

/// A RECV that waits returns (ENOENT) when the last task under the filter has ended: Linux 6.11. Before, it waits for ever, and nothing tells the two
/// kernels apart but their number.
pub fn notif_recv_ends() -> bool {
    crate::ids::release() >= (6, 11)
}

/// Whether the kernel knows an action (`SECCOMP_RET_*`), and, by that, seccomp(2) at all.
pub fn action_available(action: u32) -> bool {
    // SAFETY: the kernel reads one u32.
    unsafe { call(libc::SYS_seccomp, [GET_ACTION_AVAIL, 0, addr(&action), 0, 0, 0]).is_ok() }
}

/// The kernel's sizes of the notification structures match ours. A larger kernel structure would be written
/// past our buffer, so a listener is not used then.
pub fn notif_sizes_match() -> bool {
    let mut sizes = [0u16; 3];
    // SAFETY: the kernel writes one struct seccomp_notif_sizes (three u16).
    let done = unsafe { call(libc::SYS_seccomp, [GET_NOTIF_SIZES, 0, addr_mut(&mut sizes), 0, 0, 0]) };
    done.is_ok() && sizes == [size_of::<Notif>() as u16, size_of::<NotifResp>() as u16, size_of::<SeccompData>() as u16]
}

/// Words that nobody can guess, for the launcher's own calls under a filter: three registers of sendmsg(2) that the kernel ignores.
pub fn secret() -> Result<[u64; 3], Errno> {
    let mut words = [0u64; 3];
    for word in &mut words {
        let mut bytes = [0u8; 8];
        // Up to 256 bytes come whole (getrandom(2)).
        if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())? != bytes.len() {
            return Err(Errno(libc::EIO));
        }
        *word = u64::from_ne_bytes(bytes);
    }
    Ok(words)
}

/// What ends the wait of a call that a listener has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A fatal signal.
    Killable,
    /// Any signal: the call is made again, or fails with EINTR.
    Interruptible,
}

#[repr(C)]
struct Fprog {
    len: u16,
    filter: *const Insn,
}

/// Installs a filter on the calling thread; needs no_new_privs. With `listener` the result is the listener's
/// descriptor (close-on-exec). Child-safe.
///
/// [`Wait::Killable`]: once a call has been received, only a fatal signal ends its wait (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19): without that,
/// a signal would make the kernel ask again while the first question is being answered.
pub(crate) fn install(program: &[Insn], listener: Option<Wait>) -> Result<Option<i32>, Errno> {
    let prog = Fprog { len: program.len() as u16, filter: program.as_ptr() };
    // SAFETY: `prog` points at `len` instructions, which the kernel copies. No TSYNC, so a positive result can
    // only be the listener.
    let install = |flags| unsafe { call(libc::SYS_seccomp, [SET_MODE_FILTER, flags, addr(&prog), 0, 0, 0]) };
    let installed = match listener {
        None => return install(0).map(|_| None),
        Some(Wait::Interruptible) => install(FLAG_NEW_LISTENER),
        Some(Wait::Killable) => match install(FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV) {
            // An older kernel: the flag is unknown to it.
            Err(Errno::INVAL) => install(FLAG_NEW_LISTENER),
            other => other,
        },
    };
    installed.map(|fd| Some(fd as i32))
}
