//! The supervisor's end of a filter.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tipstaff_sys::Errno;
use tipstaff_sys::seccomp::{self, Notif};

use crate::Notification;

/// The supervisor's end of a filter.
#[derive(Clone, Debug)]
pub struct Listener {
    fd: Arc<OwnedFd>,
    /// A RECV that waits comes to an end with the last task.
    recv_ends: bool,
}

/// What a look at the listener found.
#[derive(Debug)]
pub enum Next {
    /// A call waits.
    Call(Notification),
    /// Nobody waits now.
    Nothing,
    /// The last task under the filter is gone: nothing will ever come.
    Ended,
}

/// Takes a listener out of the channel into which the guest's first process sent it.
pub fn receive(channel: BorrowedFd<'_>) -> io::Result<Listener> {
    let fd = receive_fd(channel)?;
    Ok(Listener::new(fd))
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
    /// A descriptor that seccomp(2) returned for SECCOMP_FILTER_FLAG_NEW_LISTENER. From now on the kernel wakes caller and listener on
    /// one CPU, where it can (Linux 6.6): the wake-up of another, idle CPU costs ten times the call.
    pub fn new(fd: OwnedFd) -> Self {
        let recv_ends = seccomp::notif_sync_wake_up(fd.as_fd()) && seccomp::notif_recv_ends();
        Self { fd: Arc::new(fd), recv_ends }
    }

    /// The next call, without waiting. RECV itself would block where nobody waits, and on old kernels for ever once all targets
    /// are gone; so poll(2) is asked first, and HUP is the end.
    pub fn next(&self) -> io::Result<Next> {
        let mut fds = [PollFd::new(&*self.fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        let ready = fds[0].revents();
        if !ready.contains(PollFlags::IN) {
            return Ok(if ready.contains(PollFlags::HUP) { Next::Ended } else { Next::Nothing });
        }
        self.next_of_ready()
    }

    /// Whether [`Listener::wait`] waits in RECV itself, which takes two system calls from each round. Not before Linux 6.11: there a RECV
    /// outlives the tasks that it waits for.
    pub fn waits_in_recv(&self) -> bool {
        self.recv_ends
    }

    /// The next call, or the end. Waits; a signal handler of ours does not end that.
    pub fn wait(&self) -> io::Result<Next> {
        loop {
            match self.wait_for_any()? {
                Next::Nothing => {}
                other => return Ok(other),
            }
        }
    }

    /// As [`Listener::wait`], but a call that was gone before it could be received is told, as [`Next::Nothing`]: its caller was killed, or interrupted by a
    /// signal. Where [`Listener::waits_in_recv`], each is told once: a call raises the count that RECV lowers, and takes nothing back when it goes.
    pub fn wait_for_any(&self) -> io::Result<Next> {
        loop {
            if self.recv_ends {
                match seccomp::notif_recv(self.fd.as_fd()) {
                    Ok(notif) => return Ok(self.call(&notif)),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    // A caller that is gone, or all of them.
                    Err(Errno::NOENT) => return Ok(if self.is_over()? { Next::Ended } else { Next::Nothing }),
                    Err(e) => return Err(e.into()),
                }
            } else {
                match self.next()? {
                    Next::Nothing => {}
                    other => return Ok(other),
                }
                match poll(&mut [PollFd::new(&*self.fd, PollFlags::IN)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
    }

    /// The last task under the filter is gone.
    fn is_over(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&*self.fd, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(fds[0].revents().contains(PollFlags::HUP))
    }

    /// The call that waits, after poll(2) or epoll has said POLLIN. Such a RECV does not block, if nobody else receives: each waiting call has raised
    /// the semaphore that RECV lowers, and one that is gone meanwhile leaves it raised (ENOENT).
    pub fn next_of_ready(&self) -> io::Result<Next> {
        match seccomp::notif_recv(self.fd.as_fd()) {
            Ok(notif) => Ok(self.call(&notif)),
            // The caller was killed, or interrupted: ordinary.
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => Ok(Next::Nothing),
            Err(e) => Err(e.into()),
        }
    }

    fn call(&self, notif: &Notif) -> Next {
        Next::Call(Notification::new(Arc::clone(&self.fd), notif))
    }
}
