//! Taking the network away from a box that runs.
//!
//! First the rules, then what is there: whatever is made on a guest's behalf is looked at again when it has been made, so it is either refused
//! or found among the sockets of the box. A descriptor that is in flight (SCM_RIGHTS, not yet received) is in nobody's table, but in the receive queue of
//! a unix socket of the box; what waits there and cannot be looked at is thrown away. So is a connection that nobody has accepted, if a descriptor waits in it, and the socket that listens for it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Stat;
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketFlags, accept_with, recv, shutdown, sockopt};
use tipstaff_sys::{ids, pidfd};

use super::deputy::ring;
use crate::memory::flight;

/// A connection that was accepted, or a descriptor that moved, while the first look went past it is found by the second: nobody can make more.
const LOOKS: usize = 2;

/// Takes the network away from a box that runs. What was taken stays taken.
#[derive(Clone, Debug, Default)]
pub struct Tighten {
    dropped: Arc<AtomicBool>,
    /// Wakes who makes calls for the box.
    bell: Arc<Mutex<Option<Arc<OwnedFd>>>>,
    /// Names that the box has asked its name server for in vain, and how often.
    unknown: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// Names of which is told that they were asked for.
const NAMES: usize = 256;

impl Tighten {
    /// From now on nobody can be reached, and nobody can listen. Of the processes that `processes` names (all of the box, by their ids here; asked
    /// more than once), the sockets of TCP and UDP are shut down, too, whoever listens among them: shutdown(2) in both directions. How many sockets
    /// there were. A process that goes meanwhile takes its sockets along. Before Linux 6.9, a thread with a descriptor table of its own
    /// (CLONE_FILES) keeps what is only there.
    pub fn drop_network<I: IntoIterator<Item = i32>>(&self, processes: impl Fn() -> I) -> usize {
        self.dropped.store(true, Ordering::SeqCst);
        if let Some(bell) = &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
            ring(bell);
        }
        let mut shut = BTreeSet::new();
        for _ in 0..LOOKS {
            for process in processes() {
                shut_process(process, &mut shut);
            }
        }
        shut.len()
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    /// A name was asked for that no rule names. Of what no host is called nothing is told: a guest chooses these bytes.
    pub(super) fn unknown(&self, name: &str) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if name.is_empty() || !name.bytes().all(plain) {
            return;
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = unknown.get_mut(name) {
            *times += 1;
        } else if unknown.len() < NAMES {
            unknown.insert(name.to_owned(), 1);
        }
    }

    /// The names that were asked for in vain, and how often. They are told once.
    pub(crate) fn unknown_names(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.unknown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn wakes(&self, bell: &Arc<OwnedFd>) {
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(bell));
    }
}

/// Both directions, and a socket that listens stops. Unconnected ones say ENOTCONN, and are shut as well.
pub(super) fn shut_socket(socket: &OwnedFd) -> bool {
    let domain = sockopt::socket_domain(socket);
    let of_ip = domain.is_ok_and(|domain| [AddressFamily::INET, AddressFamily::INET6].contains(&domain));
    of_ip && shutdown(socket, Shutdown::Both).is_ok()
}

fn numbers(path: &str) -> impl Iterator<Item = i32> + use<> {
    let list = std::fs::read_dir(path).into_iter().flatten().flatten();
    list.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn shut_process(process: i32, shut: &mut BTreeSet<u64>) {
    let mut buffer = Vec::new();
    for tid in numbers(&format!("/proc/{process}/task")) {
        if tid != process && pidfd::shares_files(tid, process) {
            continue;
        }
        let Ok(owner) = pidfd::for_files(tid, || process) else { continue };
        for number in numbers(&format!("/proc/{process}/task/{tid}/fd")) {
            let Ok(socket) = pidfd::get_fd(owner.as_fd(), number) else { continue };
            if shut_socket(&socket) {
                shut.extend(rustix::fs::fstat(&socket).map(|stat| stat.st_ino));
                continue;
            }
            let waiting = flight::waiting(&format!("/proc/{process}/task/{tid}/fdinfo/{number}"), &mut buffer);
            let mut see = |fd: &OwnedFd, stat: &Stat| {
                if shut_socket(fd) {
                    shut.insert(stat.st_ino);
                }
            };
            if sockopt::socket_acceptconn(&socket) == Ok(true) {
                if waiting > 0 || (ids::release() < (6, 0) && has_unaccepted(&socket)) {
                    end_unaccepted(&socket, |connection| {
                        flight::each(&connection, 0, &mut buffer, &mut see);
                    });
                }
                continue;
            }
            if waiting > 0 && !flight::each(&socket, waiting, &mut buffer, &mut see) {
                throw_away(&socket);
            }
        }
    }
}

/// Before Linux 6.0 nobody says what waits in connections that nobody has accepted.
fn has_unaccepted(listener: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&now)) != Ok(0)
}

/// Shows the connections of a unix socket that nobody has accepted, and ends them and the socket: what waits in them is nowhere else. A socket that has been shut down
/// gives what it has, and then EINVAL; it never waits, whatever its owner does meanwhile with O_NONBLOCK or SO_RCVTIMEO.
fn end_unaccepted(listener: &OwnedFd, mut see: impl FnMut(OwnedFd)) {
    if shutdown(listener, Shutdown::Read).is_ok() {
        while let Ok(connection) = accept_with(listener, SocketFlags::CLOEXEC) {
            see(connection);
        }
    }
}

/// Receives what waits, and closes what comes along.
fn throw_away(socket: &OwnedFd) {
    // As many as a queue holds; somebody may go on sending, but nothing that leads anywhere.
    for _ in 0..65_536 {
        if !recv(socket, &mut [0; 65_536], RecvFlags::DONTWAIT).is_ok_and(|(got, _)| got > 0) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn dropping_the_network_shuts_the_sockets_of_the_processes_given() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
        let (mut ours, _) = listener.accept().expect("accept");
        let mut child =
            Command::new("sleep").arg("60").stdin(Stdio::from(OwnedFd::from(theirs))).spawn().expect("sleep(1)");
        ours.set_read_timeout(Some(Duration::from_millis(100))).expect("a time");
        let mut byte = [0];
        assert!(ours.read(&mut byte).is_err(), "the control: the connection is open");
        let tighten = Tighten::default();
        assert!(!tighten.is_dropped());
        assert_eq!(tighten.drop_network(|| [child.id() as i32]), 1);
        assert!(tighten.is_dropped());
        ours.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        assert_eq!(ours.read(&mut byte).expect("its end"), 0);
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// A unix socket to which something has been sent, in `boxes` of such sockets.
    fn in_flight(what: OwnedFd, boxes: usize) -> OwnedFd {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
        (0..boxes).fold(what, |what, _| {
            let flags = SocketFlags::CLOEXEC;
            let (from, to) =
                rustix::net::socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None).expect("a pair");
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds = [what.as_fd()];
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            let sent = rustix::net::sendmsg(from, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty());
            assert_eq!(sent, Ok(1));
            to
        })
    }

    #[test]
    fn what_waits_in_a_connection_that_nobody_has_accepted_is_shut_too() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
        use std::os::unix::net::{UnixListener, UnixStream};
        for with_socket in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
            let (mut ours, _) = listener.accept().expect("accept");
            let directory = tempfile::tempdir().expect("directory");
            let door = UnixListener::bind(directory.path().join("s")).expect("bind");
            let client = UnixStream::connect(directory.path().join("s")).expect("connect");
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds = [theirs.as_fd()];
            assert!(!with_socket || control.push(SendAncillaryMessage::ScmRights(&fds)));
            let sent = rustix::net::sendmsg(&client, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty());
            assert_eq!(sent, Ok(1));
            drop(theirs);
            let kept = door.try_clone().expect("dup");
            let mut child =
                Command::new("sleep").arg("60").stdin(Stdio::from(OwnedFd::from(door))).spawn().expect("sleep(1)");
            let shut = Tighten::default().drop_network(|| [child.id() as i32]);
            assert_eq!(shut, usize::from(with_socket));
            let mut byte = [0];
            ours.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
            assert_eq!(ours.read(&mut byte).expect("its end"), 0);
            if with_socket || ids::release() >= (6, 0) {
                assert_eq!(kept.accept().is_err(), with_socket, "a connection that brings nothing stays");
            }
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    #[test]
    fn what_is_in_flight_is_shut_too_and_what_is_too_deep_is_thrown_away() {
        for (boxes, counted) in [(1, 1), (3, 1), (6, 0)] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
            let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
            let (mut ours, _) = listener.accept().expect("accept");
            let queue = in_flight(theirs.into(), boxes);
            let mut child = Command::new("sleep").arg("60").stdin(Stdio::from(queue)).spawn().expect("sleep(1)");
            ours.set_read_timeout(Some(Duration::from_millis(100))).expect("a time");
            let mut byte = [0];
            assert!(ours.read(&mut byte).is_err(), "the control: the connection is open");
            assert_eq!(Tighten::default().drop_network(|| [child.id() as i32]), counted, "{boxes} deep");
            ours.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
            assert_eq!(ours.read(&mut byte).expect("its end"), 0, "{boxes} deep");
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }
}
