//! A network namespace apart: nobody's but its maker's, with nothing in it but a loopback that is up, and sockets in it.
//!
//! It belongs to a user namespace of its own, so an ordinary user can make one, and has every port of it for himself (user_namespaces(7),
//! network_namespaces(7)). A socket stays in the namespace in which it was made, whoever holds it. Only a process without other threads can make or enter a user
//! namespace, so that is done by one that shares our memory ([`crate::shared`]) and our descriptors, for as long as it takes; its caller waits.

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::child;
use crate::raw::{Errno, call, ptr, word};
use crate::shared::{Arena, CloneSpec, clone_vm};
use crate::wait;

/// The namespace. It goes with this and its last socket.
#[derive(Debug)]
pub struct Apart {
    user: OwnedFd,
    network: OwnedFd,
}

enum What {
    /// Descriptors of the namespaces that the process was made in.
    Name,
    /// A socket in the namespaces of these descriptors: socket(2)'s domain and type.
    Socket { user: i32, network: i32, domain: i32, kind: i32 },
}

struct Job {
    what: What,
    made: [AtomicI32; 2],
    errno: AtomicI32,
}

impl Apart {
    /// Makes it. EPERM, ENOSPC, EUSERS: no user namespace can be had (user_namespaces(7)); ENOENT: no procfs(5).
    pub fn new() -> Result<Self, Errno> {
        let [user, network] = run(What::Name, libc::CLONE_NEWUSER | libc::CLONE_NEWNET)?;
        Ok(Self { user: user.ok_or(Errno(libc::ENOENT))?, network: network.ok_or(Errno(libc::ENOENT))? })
    }

    /// socket(2) in it, close-on-exec, for the user who made it. EPERM: the caller is another user.
    pub fn socket(&self, domain: i32, kind: i32) -> Result<OwnedFd, Errno> {
        let (user, network) = (self.user.as_raw_fd(), self.network.as_raw_fd());
        let [socket, _] = run(What::Socket { user, network, domain, kind }, 0)?;
        socket.ok_or(Errno(libc::EBADF))
    }
}

fn run(what: What, namespaces: i32) -> Result<[Option<OwnedFd>; 2], Errno> {
    let arena = Arena::new()?;
    let job = Job { what, made: [AtomicI32::new(-1), AtomicI32::new(-1)], errno: AtomicI32::new(libc::ESRCH) };
    let flags = (namespaces | libc::CLONE_FILES) as u64;
    let spec = CloneSpec { namespaces: flags, vfork: true, ..CloneSpec::default() };
    let arg = core::ptr::from_ref(&job).cast_mut().cast::<c_void>();
    // SAFETY: this thread waits for the child's end (CLONE_VFORK, then `reap`), so arena and job outlive it.
    let (_, pidfd) = unsafe { clone_vm(&spec, &arena, 0, main, arg) }?;
    let _ = wait::reap(pidfd.as_fd(), true);
    let made = job.made.each_ref().map(|fd| {
        let fd = fd.load(SeqCst);
        // SAFETY: a new descriptor in the table that the child shared with us, which nobody else knows.
        (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    });
    match job.errno.load(SeqCst) {
        0 => Ok(made),
        errno => Err(Errno(errno)),
    }
}

extern "C" fn main(arg: *mut c_void) -> ! {
    // SAFETY: the job of `run`, which waits for us.
    let job = unsafe { &*arg.cast::<Job>() };
    let errno = make(job).err().map_or(0, |e| e.0);
    job.errno.store(errno, SeqCst);
    loop {
        // SAFETY: ends this process alone.
        let _ = unsafe { call(libc::SYS_exit_group, [0; 6]) };
    }
}

fn make(job: &Job) -> Result<(), Errno> {
    match job.what {
        What::Name => {
            child::loopback_up()?;
            let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
            for (made, path) in job.made.iter().zip([c"/proc/self/ns/user", c"/proc/self/ns/net"]) {
                // SAFETY: a constant path.
                let fd = unsafe { call(libc::SYS_openat, [word(libc::AT_FDCWD), ptr(path), flags, 0, 0, 0])? };
                made.store(fd as i32, SeqCst);
            }
        }
        What::Socket { user, network, domain, kind } => {
            for (fd, namespace) in [(user, libc::CLONE_NEWUSER), (network, libc::CLONE_NEWNET)] {
                // SAFETY: integers.
                unsafe { call(libc::SYS_setns, [word(fd), namespace as usize, 0, 0, 0, 0])? };
            }
            let kind = (kind | libc::SOCK_CLOEXEC) as usize;
            // SAFETY: integers.
            let fd = unsafe { call(libc::SYS_socket, [domain as usize, kind, 0, 0, 0, 0])? };
            job.made[0].store(fd as i32, SeqCst);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::socket::network_of;

    #[test]
    fn every_port_of_it_is_its_makers_and_it_is_apart() {
        let apart = match Apart::new() {
            Ok(apart) => apart,
            Err(e) => return eprintln!("skipped: no user namespace can be had ({e})"),
        };
        let socket = || UdpSocket::from(apart.socket(libc::AF_INET, libc::SOCK_DGRAM).expect("a socket"));
        let (server, client) = (socket(), socket());
        let at = crate::socket::bind(server.as_fd(), &[2, 0, 0, 53, 127, 84, 83, 53, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(at, Ok(()));
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
        assert_eq!(client.send_to(b"?", "127.84.83.53:53").expect("sent"), 1);
        let mut byte = [0];
        let (_, from) = server.recv_from(&mut byte).expect("a query");
        assert_eq!(server.send_to(b"!", from).expect("sent"), 1);
        assert_eq!(client.recv_from(&mut byte).expect("an answer").1.to_string(), "127.84.83.53:53");
        let here = UdpSocket::bind("127.0.0.1:0").expect("bind");
        if let (Some(one), Some(other), Some(third)) =
            (network_of(server.as_fd()), network_of(client.as_fd()), network_of(here.as_fd()))
        {
            assert!(one == other && one != third);
        }
    }
}
