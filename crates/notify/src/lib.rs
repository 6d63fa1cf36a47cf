//! Seccomp user notifications as values that are answered exactly once: seccomp_unotify(2).
//!
//! A [`Listener`] yields [`Notification`]s. Each is consumed by its answer; one that is dropped unanswered answers
//! itself with an errno, so that a guest is never left waiting, and never let through by accident. There is no
//! answer that lets the kernel run the call: what this crate serves today are calls that a filter has refused.
#![forbid(unsafe_code)]

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tipstaff_abi::bpf::SeccompData;
use tipstaff_sys::{Errno, seccomp};

/// The supervisor's end of a filter.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

/// A call that waits for its answer.
#[derive(Debug)]
#[must_use = "dropping a notification refuses its call with ENOSYS"]
pub struct Notification<'a> {
    listener: &'a Listener,
    id: u64,
    pid: u32,
    data: SeccompData,
    answered: bool,
}

/// What a look at the listener found.
#[derive(Debug)]
pub enum Next<'a> {
    /// A call waits.
    Call(Notification<'a>),
    /// Nobody waits now.
    Nothing,
    /// The last task under the filter is gone: nothing will ever come.
    Ended,
}

/// Takes a listener out of the channel into which the guest's first process sent it.
pub fn receive(channel: BorrowedFd<'_>) -> io::Result<Listener> {
    let fd = receive_fd(channel)?;
    seccomp::notif_sync_wake_up(fd.as_fd());
    Ok(Listener { fd })
}

/// Takes a descriptor out of a channel (SCM_RIGHTS, close-on-exec) without waiting.
pub fn receive_fd(channel: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0u8; 1];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fds.last().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Listener {
    /// The next call, without waiting. RECV itself blocks when the caller died between poll and RECV, and on old
    /// kernels for ever once all targets are gone; so poll(2) is asked first, and HUP is the end.
    pub fn next(&self) -> io::Result<Next<'_>> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        let ready = fds[0].revents();
        if !ready.contains(PollFlags::IN) {
            return Ok(if ready.contains(PollFlags::HUP) { Next::Ended } else { Next::Nothing });
        }
        match seccomp::notif_recv(self.fd.as_fd()) {
            Ok(notif) => Ok(Next::Call(Notification {
                listener: self,
                id: notif.id,
                pid: notif.pid,
                data: notif.data,
                answered: false,
            })),
            // The caller was killed, or interrupted: ordinary.
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => Ok(Next::Nothing),
            Err(e) => Err(e.into()),
        }
    }
}

impl Notification<'_> {
    /// What the filter saw: number, architecture, argument words.
    pub fn data(&self) -> &SeccompData {
        &self.data
    }

    /// Thread that made the call, in our PID namespace; None when it is not visible there.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid).filter(|pid| *pid != 0)
    }

    /// Refuses the call. That the caller is gone meanwhile is no error.
    pub fn refuse(mut self, errno: i32) -> io::Result<()> {
        self.answer(errno)
    }

    /// Leaves the call waiting for ever: for a box that is being killed, so that no guest code runs between the
    /// decision and the kill. SIGKILL ends the wait.
    pub fn leave_to_die(mut self) {
        self.answered = true;
    }

    fn answer(&mut self, errno: i32) -> io::Result<()> {
        self.answered = true;
        let resp = seccomp::NotifResp { id: self.id, val: 0, error: -errno.clamp(1, 4095), flags: 0 };
        match seccomp::notif_send(self.listener.fd.as_fd(), &resp) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

impl Drop for Notification<'_> {
    fn drop(&mut self) {
        const ENOSYS: i32 = 38;
        if !self.answered {
            let _ = self.answer(ENOSYS);
        }
    }
}
