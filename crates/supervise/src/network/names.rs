//! Names of unix sockets as their makers gave them.
//!
//! The kernel was given the last component of the path alone ([`super::unix`]), and says that to getsockname(2). Programs take it for the whole: a listener that is closed removes
//! "its" file by this name. So getsockname(2) is answered from here; whom it is not about goes to the kernel. Peers are told the last component too (accept(2), getpeername(2),
//! recvfrom(2)), by calls that must not be asked about: they wait for long, and nobody expects EINTR of them. An answer to such a name is led to where it was made.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::fstat;
use tipstaff_abi::errno::{EFAULT, EINVAL};
use tipstaff_sys::socket;

use super::unix::bytes_of;
use crate::handler::{Action, Trap};

/// How many are kept for a box; the kernel's own name is told of older ones.
const MOST: usize = 256;

/// A socket and what it was bound to.
struct Named {
    /// Its inode: every duplicate's too, and no other socket's while one is left.
    inode: u64,
    /// What the kernel has been given, struct sockaddr_un.
    short: Vec<u8>,
    /// What the guest gave.
    whole: Vec<u8>,
}

/// The names of one box.
#[derive(Default)]
pub(super) struct Names(VecDeque<Named>);

impl Names {
    /// The kernel's own answers are all right.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A socket is about to be bound to `path`, by its last component `name`.
    pub fn given(&mut self, socket: &OwnedFd, path: &Path, name: &[u8]) {
        let path = path.as_os_str().as_bytes();
        let Some(inode) = fstat(socket).ok().filter(|_| path != name).map(|stat| stat.st_ino) else { return };
        self.0.retain(|known| known.inode != inode);
        self.0.truncate(MOST - 1);
        self.0.push_front(Named { inode, short: bytes_of(name), whole: bytes_of(path) });
    }

    /// The name of a socket; None: the kernel's own is right.
    fn of(&self, socket: &OwnedFd) -> Option<&[u8]> {
        let inode = fstat(socket).ok()?.st_ino;
        let known = self.0.iter().find(|known| known.inode == inode)?;
        // The bind may have failed, or the number have come to another socket.
        (socket::name(socket.as_fd()).ok()? == known.short).then_some(&known.whole[..])
    }

    /// What a name means that a peer was told: one component, of one path alone.
    pub fn meant(&self, path: &Path) -> Option<&Path> {
        let short = bytes_of(path.as_os_str().as_bytes());
        let mut wholes = self.0.iter().filter(|known| known.short == short).map(|known| &known.whole);
        let whole = wholes.next().filter(|whole| wholes.all(|other| other == *whole))?;
        let path = whole.get(size_of::<u16>()..whole.len() - 1)?;
        Some(Path::new(OsStr::from_bytes(path)))
    }

    /// getsockname(2).
    pub fn tell(&self, trap: &Trap<'_>, socket: &OwnedFd) -> Action {
        let [_, into, length, ..] = trap.args();
        let Some(name) = self.of(socket) else { return Action::Pass };
        let failed = |errno: u16| Action::Return(-i64::from(errno));
        let mut room = [0; 4];
        if trap.read(length, &mut room) < room.len() {
            return failed(EFAULT);
        }
        let Ok(room) = usize::try_from(i32::from_ne_bytes(room)) else { return failed(EINVAL) };
        let told = &name[..room.min(name.len())];
        if !trap.is_waiting()
            || !trap.guest.write(into, told)
            || !trap.guest.write(length, &(name.len() as u32).to_ne_bytes())
        {
            return failed(EFAULT);
        }
        Action::Return(0)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_name_that_a_peer_was_told_means_one_path() {
        let [one, other, third] = [(); 3].map(|()| OwnedFd::from(UnixDatagram::unbound().expect("a socket")));
        let mut names = Names::default();
        names.given(&one, Path::new("/run/one/s"), b"s");
        names.given(&other, Path::new("here"), b"here");
        assert_eq!(names.meant(Path::new("s")), Some(Path::new("/run/one/s")));
        assert_eq!(names.meant(Path::new("here")), None, "the kernel's own is right");
        assert_eq!(names.meant(Path::new("./s")), None, "nobody was told that");
        names.given(&other, Path::new("/run/one/s"), b"s");
        assert_eq!(names.meant(Path::new("s")), Some(Path::new("/run/one/s")), "made again");
        names.given(&third, Path::new("run/s"), b"s");
        assert_eq!(names.meant(Path::new("s")), None, "of two nobody knows which");
    }
}
