//! A call that waits for its answer.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use tipstaff_abi::bpf::SeccompData;
use tipstaff_sys::seccomp::{FLAG_CONTINUE, Notif, NotifResp};
use tipstaff_sys::{Errno, process_vm, seccomp};

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
/// Not an errno of programs: the kernel runs a signal's handler and then makes the call again (SA_RESTART), or answers EINTR. It looks only if the
/// thread has been told of a signal (TIF_SIGPENDING): else the program itself gets this number.
const ERESTARTSYS: i32 = 512;
/// As ERESTARTSYS, and the kernel makes the call again whatever the handler says.
const ERESTARTNOINTR: i32 = 513;

/// A call that waits for its answer.
#[derive(Debug)]
#[must_use = "dropping a notification refuses its call with ENOSYS"]
pub struct Notification {
    listener: Arc<OwnedFd>,
    id: u64,
    pid: u32,
    data: SeccompData,
    /// Memory of the caller has been read.
    read: Cell<bool>,
    answered: bool,
}

/// The caller does not wait any more: it was killed, or a signal came before its call was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Memory was read, so the registers alone do not decide; the call has been refused with EPERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotRegisters;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the caller does not wait any more")
    }
}

impl std::fmt::Display for NotRegisters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("guest memory was read: the call cannot be left to the kernel, which would read it again")
    }
}

impl std::error::Error for Gone {}
impl std::error::Error for NotRegisters {}

impl Notification {
    pub(crate) fn new(listener: Arc<OwnedFd>, notif: &Notif) -> Self {
        let Notif { id, pid, data, .. } = *notif;
        Self { listener, id, pid, data, read: Cell::new(false), answered: false }
    }

    /// What the filter saw: number, architecture, argument words.
    pub fn data(&self) -> &SeccompData {
        &self.data
    }

    /// Thread that made the call, in our PID namespace; None when it is not visible there.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid).filter(|pid| *pid != 0)
    }

    /// Whether the caller still waits: whatever was found out under its number before is then true of it.
    pub fn is_waiting(&self) -> bool {
        seccomp::notif_id_valid(self.listener.as_fd(), self.id)
    }

    /// Reads the caller's memory; how many bytes could be read, from the first one: fewer where a page is absent or cannot be read.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<usize, Gone> {
        self.read.set(true);
        let tid = self.pid.cast_signed();
        let got = if tid == 0 { 0 } else { process_vm::read(tid, address, into).unwrap_or(0) };
        if self.is_waiting() { Ok(got) } else { Err(Gone) }
    }

    /// Writes the caller's memory; how many bytes were written. The caller is asked for before, since afterwards it would be too late.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<usize, Gone> {
        let tid = self.pid.cast_signed();
        if tid == 0 || !self.is_waiting() {
            return Err(Gone);
        }
        Ok(process_vm::write(tid, address, bytes).unwrap_or(0))
    }

    /// Lets the kernel make the call. Only if nothing was read: else it is refused.
    pub fn proceed(mut self) -> Result<(), NotRegisters> {
        if self.read.get() {
            let _ = self.answer(0, -EPERM, 0);
            return Err(NotRegisters);
        }
        let _ = self.answer(0, 0, FLAG_CONTINUE);
        Ok(())
    }

    /// Lets the kernel make the call, although memory was read: for a supervisor whose decision rests on something else (it only counts, or the kernel
    /// itself decides by Landlock or the mount tree, or what came of the call is verified where no code of the guest can run).
    pub fn proceed_unjudged(mut self) {
        let _ = self.answer(0, 0, FLAG_CONTINUE);
    }

    /// Refuses the call. That the caller is gone meanwhile is no error.
    pub fn refuse(mut self, errno: i32) -> io::Result<()> {
        self.answer(0, -errno.clamp(1, 4095), 0)
    }

    /// The call is not made and returns this.
    pub fn give(mut self, value: i64) -> io::Result<()> {
        // What would be an errno to the caller is given as one: the kernel takes either.
        self.answer(value, 0, 0)
    }

    /// The caller takes its pending signal, and then makes the call again or gets EINTR, as SA_RESTART says. Only for a thread that is known to have
    /// one that it does not block: any other gets the errno 512, which no program knows.
    pub fn restart(mut self) -> io::Result<()> {
        self.answer(0, -ERESTARTSYS, 0)
    }

    /// The caller makes the call again, after the handlers of its pending signals if it has any; it never fails for that. So a tracer that has asked for
    /// a stop (PTRACE_INTERRUPT) gets one, before the call.
    pub fn again(mut self) -> io::Result<()> {
        self.answer(0, -ERESTARTNOINTR, 0)
    }

    /// Gives the caller a copy of a descriptor and answers with its number, at once. Err: it could not take it, and has got that errno instead; the
    /// kernel is never asked to do it by itself.
    pub fn inject(mut self, fd: BorrowedFd<'_>, cloexec: bool) -> Result<i32, Errno> {
        match seccomp::notif_add_fd(self.listener.as_fd(), self.id, fd, None, cloexec) {
            Ok(number) => {
                self.answered = true;
                Ok(number)
            }
            Err(errno) => {
                let _ = self.answer(0, -errno.0.clamp(1, 4095), 0);
                Err(errno)
            }
        }
    }

    /// Puts a copy of a descriptor in the place of the caller's `at`, and leaves its call waiting. False: it could not be done, and nothing has changed.
    pub fn replace(&self, at: u32, fd: BorrowedFd<'_>, cloexec: bool) -> bool {
        seccomp::notif_replace_fd(self.listener.as_fd(), self.id, fd, at, cloexec).is_ok()
    }

    /// Gives the caller a copy of a descriptor with the flags, number and descriptor flags of struct seccomp_notif_addfd, and leaves its call waiting unless
    /// SECCOMP_ADDFD_FLAG_SEND is among the flags.
    pub fn add_fd(&self, fd: BorrowedFd<'_>, how: (u32, u32, u32)) -> Result<i32, Errno> {
        seccomp::notif_add_fd_as(self.listener.as_fd(), self.id, fd, how)
    }

    /// Leaves the call waiting for ever: for a box that is being killed, so that no guest code runs between the
    /// decision and the kill. SIGKILL ends the wait.
    pub fn leave_to_die(mut self) {
        self.answered = true;
    }

    fn answer(&mut self, val: i64, error: i32, flags: u32) -> io::Result<()> {
        self.answered = true;
        match seccomp::notif_send(self.listener.as_fd(), &NotifResp { id: self.id, val, error, flags }) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl Drop for Notification {
    fn drop(&mut self) {
        if !self.answered {
            let _ = self.answer(0, -ENOSYS, 0);
        }
    }
}
