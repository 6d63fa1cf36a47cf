//! How hooks and the collector talk: unix(7), SOCK_SEQPACKET, one question and one answer a connection. A message is JSON, and may have a descriptor
//! with it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message is one packet, and no packet is longer.
const MOST: usize = 160 << 10;

/// Listens at a path.
pub fn listen(path: &str) -> rustix::io::Result<OwnedFd> {
    let socket = socket(SocketFlags::NONBLOCK)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 64)?;
    Ok(socket)
}

/// Connects to a path. ENOENT, ECONNREFUSED: nobody listens there.
pub fn connect(path: &str) -> rustix::io::Result<OwnedFd> {
    let socket = socket(SocketFlags::empty())?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// The next of those who connected. EAGAIN: there is none.
pub fn accept(listener: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::net::accept_with(listener, SocketFlags::CLOEXEC)
}

fn socket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags | SocketFlags::CLOEXEC, None)
}

/// Whether a message fits into a packet.
///
/// # Errors
/// It does not.
pub fn fits(message: &impl Serialize) -> std::io::Result<()> {
    encode(message).map(drop)
}

fn encode(message: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let text = serde_json::to_vec(message)?;
    if text.len() > MOST {
        return Err(std::io::Error::other(format!("a message of {} bytes, and {MOST} is the most", text.len())));
    }
    Ok(text)
}

/// Sends one message.
pub fn send(to: &OwnedFd, message: &impl Serialize, with: Option<BorrowedFd<'_>>) -> std::io::Result<()> {
    let text = encode(message)?;
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    let fds = with.map(|fd| [fd]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    rustix::net::sendmsg(to, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives one message before the deadline, with what came with it. None: the other side is gone, silent, or not one of ours.
pub fn receive<T: DeserializeOwned>(from: &OwnedFd, deadline: Instant) -> Option<(T, Option<OwnedFd>)> {
    wait(from.as_fd(), deadline).ok().filter(|&ready| ready)?;
    let mut text = vec![0u8; MOST];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = rustix::net::recvmsg(from, &mut [IoSliceMut::new(&mut text)], &mut control, flags).ok()?;
    let mut with = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            with = fds.next();
        }
    }
    Some((serde_json::from_slice(&text[..got.bytes]).ok()?, with))
}

/// Whether there is something to read before the deadline; the other side's end is something, too.
pub fn wait(fd: BorrowedFd<'_>, deadline: Instant) -> rustix::io::Result<bool> {
    loop {
        let left = timespec(deadline.saturating_duration_since(Instant::now()));
        match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// The kernel's form of a duration.
pub fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::thread;

    #[test]
    fn a_message_a_descriptor_an_answer() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("s").to_str().expect("UTF-8").to_owned();
        assert_eq!(connect(&path).expect_err("nobody"), Errno::NOENT);
        let listener = listen(&path).expect("a socket");
        assert_eq!(accept(&listener).expect_err("nobody yet"), Errno::AGAIN);
        let soon = Instant::now() + Duration::from_secs(60);
        let asked = thread::spawn(move || {
            let to = connect(&path).expect("a listener");
            let (mut read, write) = std::io::pipe().expect("a pipe");
            send(&to, &"what", Some(write.as_fd())).expect("sent");
            drop(write);
            let mut text = String::new();
            read.read_to_string(&mut text).expect("text");
            (text, receive::<Vec<i32>>(&to, soon).expect("an answer").0)
        });
        assert!(wait(listener.as_fd(), soon).expect("poll"));
        let from = accept(&listener).expect("somebody");
        let (text, with) = receive::<String>(&from, soon).expect("a message");
        assert_eq!(text, "what");
        std::fs::File::from(with.expect("a descriptor")).write_all(b"through it").expect("written");
        send(&from, &[1, 2], None).expect("answered");
        assert_eq!(asked.join().expect("no panic"), ("through it".to_owned(), vec![1, 2]));
        // Whoever has gone says nothing, and does not keep us.
        assert!(receive::<String>(&from, soon).is_none());
        assert!(Instant::now() < soon);
    }
}
