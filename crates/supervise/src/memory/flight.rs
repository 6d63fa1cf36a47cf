//! Memfds on their way between two processes: in no process's table, but in the receive queue of a unix socket.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FileType, Stat, fstat};
use tipstaff_sys::{peek, pidfd};

use crate::procfs::read;

/// A socket that waits in a socket that waits in a socket.
const DEPTH: u32 = 3;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Blocks of the memfds, in bytes, by inode.
    pub memfds: BTreeMap<u64, u64>,
    /// Something waits that could not be looked at.
    pub unknown: bool,
}

/// Looks into these sockets (process and descriptor) for what lies on `device`, the kernel's own tmpfs.
pub(super) fn look(sockets: &[(i32, String)], device: u64, buffer: &mut Vec<u8>) -> Flight {
    let mut flight = Flight::default();
    for (pid, fd) in sockets {
        let waiting = waiting(&format!("/proc/{pid}/fdinfo/{fd}"), buffer);
        if waiting == 0 {
            continue;
        }
        match fd.parse().ok().and_then(|number| pidfd::get_fd(pidfd::open(*pid).ok()?.as_fd(), number).ok()) {
            Some(socket) => {
                let memfds = &mut flight.memfds;
                let whole = each(&socket, waiting, buffer, &mut |_, stat| {
                    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                    if regular && stat.st_dev == device {
                        memfds.insert(stat.st_ino, stat.st_blocks.unsigned_abs() * 512);
                    }
                });
                flight.unknown |= !whole;
            }
            None => flight.unknown = true,
        }
    }
    flight
}

/// Descriptors that wait in a socket: `scm_fds` in proc_pid_fdinfo(5), Linux 5.13. 0 for anything else.
pub(crate) fn waiting(fdinfo: &str, buffer: &mut Vec<u8>) -> u64 {
    let text = read(fdinfo, buffer).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("scm_fds:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// Shows every descriptor that waits in a socket, `waiting` of them, and in the sockets that wait there. False: some could not be looked at.
pub(crate) fn each(socket: &OwnedFd, waiting: u64, buffer: &mut Vec<u8>, see: &mut dyn FnMut(&OwnedFd, &Stat)) -> bool {
    descend(socket, waiting, DEPTH, buffer, see)
}

fn descend(
    socket: &OwnedFd,
    waiting_here: u64,
    depth: u32,
    buffer: &mut Vec<u8>,
    see: &mut dyn FnMut(&OwnedFd, &Stat),
) -> bool {
    let Ok(found) = peek::descriptors(socket.as_fd()) else { return false };
    // Fewer than there are: too many for us, or a message without bytes, which can be seen only once.
    let mut whole = !found.cut && (found.fds.len() as u64) >= waiting_here;
    for fd in found.fds {
        let Ok(stat) = fstat(&fd) else { continue };
        see(&fd, &stat);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Socket {
            let inner = waiting(&format!("/proc/self/fdinfo/{}", fd.as_raw_fd()), buffer);
            whole &= inner == 0 || (depth > 0 && descend(&fd, inner, depth - 1, buffer, see));
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
        socketpair,
    };

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).expect("socketpair")
    }

    fn send(socket: &OwnedFd, fd: &OwnedFd) {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(socket, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("sendmsg");
    }

    #[test]
    fn a_memfd_in_a_socket_in_a_socket_is_found() {
        let memfd = memfd_create("flight", MemfdFlags::CLOEXEC).expect("memfd");
        rustix::io::write(&memfd, &[1u8; 8192]).expect("write");
        let stat = fstat(&memfd).expect("fstat");
        let (inner, outer) = (pair(), pair());
        let me = std::process::id().cast_signed();
        let sockets = [(me, outer.1.as_raw_fd().to_string())];
        let look = || look(&sockets, stat.st_dev, &mut Vec::new());
        let empty = look();
        assert!(empty.memfds.is_empty() && !empty.unknown);
        send(&inner.0, &memfd);
        send(&outer.0, &inner.1);
        drop(memfd);
        for _ in 0..2 {
            let found = look();
            assert_eq!(found.memfds, BTreeMap::from([(stat.st_ino, 8192)]));
            assert!(!found.unknown);
        }
    }

    #[test]
    fn what_waits_where_nobody_has_accepted_is_unknown() {
        use std::os::unix::net::{UnixListener, UnixStream};
        if tipstaff_sys::ids::release() < (6, 0) {
            return eprintln!("skipped: Linux 6.0 tells what waits in a socket that listens");
        }
        let memfd = memfd_create("flight", MemfdFlags::CLOEXEC).expect("memfd");
        let stat = fstat(&memfd).expect("fstat");
        let directory = tempfile::tempdir().expect("directory");
        let door = UnixListener::bind(directory.path().join("s")).expect("bind");
        let client = OwnedFd::from(UnixStream::connect(directory.path().join("s")).expect("connect"));
        let sockets = [(std::process::id().cast_signed(), door.as_raw_fd().to_string())];
        let look = || look(&sockets, stat.st_dev, &mut Vec::new());
        assert!(!look().unknown, "a connection that brings nothing");
        send(&client, &memfd);
        drop((client, memfd));
        assert!(look().unknown);
        drop(door.accept().expect("a connection"));
        assert!(!look().unknown);
    }
}
