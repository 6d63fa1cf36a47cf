//! What is done on a guest's behalf, in steps that do not wait.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{OFlags, fcntl_getfl};
use tipstaff_abi::errno::{EAGAIN, EINPROGRESS, EINTR};
use tipstaff_policy::lower::NetworkPlan;
use tipstaff_sys::socket::{self, MSG_DONTWAIT, MSG_NOSIGNAL};

use super::address;
use super::deputy::{connect, goes_on};
use super::unix::Pin;
use crate::handler::{Action, Denied};

/// How far a call has come.
pub(super) enum Turn {
    /// Answered.
    Done(Action),
    /// To be tried again when the socket can be written.
    Wait,
}

/// A call on somebody's socket.
pub(super) enum Act {
    /// To an address that is allowed, or to nobody; the pin is what the address leads to.
    Connect(Vec<u8>, Option<Pin>),
    /// An address that is allowed.
    Bind(Vec<u8>),
    /// A unix socket of this name in a directory.
    Make(Pin, Vec<u8>),
    /// Only if its port is one that may be listened on.
    Listen(i32, Arc<NetworkPlan>),
    /// One message, or those of sendmmsg(2).
    Send(Sending),
}

/// Messages on their way.
pub(super) struct Sending {
    pub messages: Vec<Message>,
    /// sendmmsg(2) returns messages, sendmsg(2) bytes.
    pub counts: bool,
    /// A datagram goes whole or not at all; a stream takes what it can.
    pub stream: bool,
    pub flags: u32,
    /// Messages, and bytes of the next one, that are gone.
    pub sent: usize,
    pub bytes: usize,
}

/// One message, all of it ours.
#[derive(Default)]
pub(super) struct Message {
    /// Empty: to whom the socket is connected.
    pub to: Vec<u8>,
    /// What `to` leads to.
    pub pin: Option<Pin>,
    pub data: Vec<u8>,
    pub control: Vec<u8>,
    /// Descriptors that `control` names.
    pub carried: Vec<OwnedFd>,
}

fn returned(value: i64) -> Turn {
    Turn::Done(Action::Return(value))
}

fn failed(errno: u16) -> Turn {
    returned(-i64::from(errno))
}

/// The guest does not want to wait. Asked each time: O_NONBLOCK can change meanwhile.
fn impatient(socket: &OwnedFd) -> bool {
    fcntl_getfl(socket).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

impl Act {
    /// What a call fails with that has waited for as long as SO_SNDTIMEO lets it: socket(7).
    pub fn late(&self) -> u16 {
        match self {
            Self::Connect(_, None) => EINPROGRESS,
            _ => EAGAIN,
        }
    }

    /// What a call returns that is ended before it is done; None: nothing of it is done.
    pub fn partial(&self) -> Option<i64> {
        match self {
            // Of sendmmsg(2), a message that has gone ends the wait.
            Self::Send(sending) if sending.bytes > 0 => Some(sending.bytes as i64),
            _ => None,
        }
    }

    /// Whether it reaches somebody, or lets itself be reached, for itself: not what goes to whom the socket is connected.
    pub fn reaches(&self) -> bool {
        match self {
            Self::Connect(..) | Self::Bind(_) | Self::Make(..) | Self::Listen(..) => true,
            Self::Send(sending) => sending.messages.iter().any(|message| !message.to.is_empty()),
        }
    }

    /// What of the guest's view the call is about.
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        let (one, many) = match self {
            Self::Connect(_, pin) => (pin.as_ref(), &[][..]),
            Self::Make(pin, _) => (Some(pin), &[][..]),
            Self::Send(sending) => (None, &sending.messages[..]),
            Self::Bind(_) | Self::Listen(..) => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().filter_map(|message| message.pin.as_ref()))
    }

    /// Goes as far as it can without waiting.
    pub fn attempt(&mut self, socket: &OwnedFd) -> Turn {
        match self {
            Self::Connect(to, _) => match connect(socket, to) {
                Ok(()) => returned(0),
                Err(errno) if goes_on(errno) && !impatient(socket) => Turn::Wait,
                Err(errno) => failed(errno),
            },
            Self::Bind(to) => match socket::bind(socket.as_fd(), to) {
                Ok(()) => returned(0),
                Err(e) => failed(e.0 as u16),
            },
            Self::Make(pin, name) => match pin.make(socket, name) {
                Ok(()) => returned(0),
                Err(errno) => failed(errno),
            },
            Self::Listen(backlog, plan) => listen(socket, *backlog, plan),
            Self::Send(sending) => sending.attempt(socket),
        }
    }
}

fn listen(socket: &OwnedFd, backlog: i32, plan: &NetworkPlan) -> Turn {
    let name = match socket::name(socket.as_fd()) {
        Ok(name) => name,
        Err(e) => return failed(e.0 as u16),
    };
    if let Some(port) = address::port(&name)
        && !(port != 0 && (plan.may_bind(port) || plan.may_bind(0)))
    {
        let port = if port == 0 { "a port that the kernel chooses".to_owned() } else { format!("port {port}") };
        let rule = format!("network.bind: {port} is not in the list");
        let denied = Denied { errno: tipstaff_abi::errno::EACCES, rule, allow_with: Some("--bind 0".to_owned()) };
        return Turn::Done(Action::Deny(Box::new(denied)));
    }
    match rustix::net::listen(socket, backlog) {
        Ok(()) => returned(0),
        Err(e) => failed(e.raw_os_error() as u16),
    }
}

impl Sending {
    fn attempt(&mut self, socket: &OwnedFd) -> Turn {
        let patient = self.flags & MSG_DONTWAIT == 0;
        let flags = self.flags | MSG_DONTWAIT | MSG_NOSIGNAL;
        while let Some(message) = self.messages.get(self.sent) {
            // Descriptors go with the first byte.
            let control = if self.bytes == 0 { &message.control[..] } else { &[] };
            match socket::send(socket.as_fd(), &message.to, &message.data[self.bytes..], control, flags) {
                Ok(n) if self.stream && self.bytes + n < message.data.len() => {
                    self.bytes += n;
                    if !patient || impatient(socket) {
                        return returned(self.bytes as i64);
                    }
                }
                Ok(_) if self.counts => (self.sent, self.bytes) = (self.sent + 1, 0),
                Ok(n) => return returned((self.bytes + n) as i64),
                Err(e) if e.0 == i32::from(EINTR) => {}
                Err(e) if e.0 == i32::from(EAGAIN) && self.sent == 0 && patient && !impatient(socket) => {
                    return Turn::Wait;
                }
                // What is gone is told; the error comes again with the next call.
                Err(_) if self.sent > 0 => break,
                Err(_) if self.bytes > 0 => return returned(self.bytes as i64),
                Err(e) => return failed(e.0 as u16),
            }
        }
        returned(self.sent as i64)
    }
}

impl Message {
    /// One control message that carries descriptors: cmsg(3), SCM_RIGHTS, as 64-bit programs lay it out.
    pub fn carry(&mut self, descriptors: Vec<OwnedFd>) {
        const SOL_SOCKET: i32 = 1;
        const SCM_RIGHTS: i32 = 1;
        let mut body = Vec::new();
        for fd in &descriptors {
            body.extend(fd.as_raw_fd().to_ne_bytes());
        }
        self.control.extend(super::message::control(SOL_SOCKET, SCM_RIGHTS, &body));
        self.carried.extend(descriptors);
    }
}
