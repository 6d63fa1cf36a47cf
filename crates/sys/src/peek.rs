//! recv(2) with MSG_PEEK, cmsg(3), unix(7): which descriptors wait in a unix socket, without taking them out.

use core::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::raw::{Errno, addr, addr_mut, call, word};

/// The most descriptors of one message: SCM_MAX_FD.
const MOST: usize = 253;
/// SCM_PIDFD (Linux 6.5): the sender, as a descriptor.
const SCM_PIDFD: i32 = 4;

/// What a peek found.
#[derive(Debug, Default)]
pub struct Peeked {
    /// Copies of the descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// There were more: no room in our own table (RLIMIT_NOFILE), or a message that is longer than the buffer.
    pub cut: bool,
}

/// Looks at every message that waits in a unix socket. SO_PEEK_OFF is moved meanwhile and put back: a reader that peeks at the same moment
/// itself may see a later part. A message without bytes is seen only once.
pub fn descriptors(socket: BorrowedFd<'_>) -> Result<Peeked, Errno> {
    let before = offset(socket)?;
    set_offset(socket, 0)?;
    let mut found = Peeked::default();
    // As many messages as a receive queue holds; each carries at least one byte further.
    let mut result = Ok(());
    for _ in 0..65_536 {
        match one(socket, &mut found) {
            Ok(()) => {}
            Err(Errno::AGAIN) => break,
            Err(e) => {
                result = Err(e);
                break;
            }
        }
    }
    set_offset(socket, before)?;
    result.map(|()| found)
}

fn offset(socket: BorrowedFd<'_>) -> Result<i32, Errno> {
    let (mut value, mut length) = (0i32, 4u32);
    let args = [
        word(socket.as_raw_fd()),
        libc::SOL_SOCKET as usize,
        libc::SO_PEEK_OFF as usize,
        addr_mut(&mut value),
        addr_mut(&mut length),
        0,
    ];
    // SAFETY: the kernel writes at most four bytes, and their number.
    unsafe { call(libc::SYS_getsockopt, args)? };
    Ok(value)
}

fn set_offset(socket: BorrowedFd<'_>, value: i32) -> Result<(), Errno> {
    let option = libc::SO_PEEK_OFF as usize;
    // SAFETY: the kernel reads four bytes.
    unsafe {
        call(
            libc::SYS_setsockopt,
            [word(socket.as_raw_fd()), libc::SOL_SOCKET as usize, option, addr(&value), size_of::<i32>(), 0],
        )?
    };
    Ok(())
}

/// The next message. AGAIN: there is none; also what a queue whose other end is closed answers at its end.
fn one(socket: BorrowedFd<'_>, found: &mut Peeked) -> Result<(), Errno> {
    let mut data = [MaybeUninit::<u8>::uninit(); 65_536];
    // Credentials and a pidfd may come before and behind.
    #[repr(C, align(8))]
    struct Control([u8; 16 + MOST * 4 + 4 + 256]);
    let mut control = Control([0; 16 + MOST * 4 + 4 + 256]);
    let mut vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: a struct of integers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message leads to two live buffers of the lengths that it says.
    let read = unsafe {
        call(libc::SYS_recvmsg, [word(socket.as_raw_fd()), addr_mut(&mut message), flags as usize, 0, 0, 0])?
    };
    let filled = message.msg_controllen.min(control.0.len());
    let mut own = Vec::new();
    take(&control.0[..filled], |kind, number| {
        // SAFETY: the kernel has just put this number into our table for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        if kind == libc::SCM_RIGHTS {
            own.push(fd);
        }
    });
    found.cut |= message.msg_flags & libc::MSG_CTRUNC != 0;
    if read == 0 && own.is_empty() {
        return Err(Errno::AGAIN);
    }
    found.fds.append(&mut own);
    Ok(())
}

/// Every descriptor in control data: struct cmsghdr is a length, a level, a type, and the next begins at a multiple of eight.
fn take(control: &[u8], mut got: impl FnMut(i32, i32)) {
    const HEAD: usize = 16;
    let mut rest = control;
    let int =
        |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
    while let Some(length) = rest.get(..8).and_then(|b| b.try_into().ok()).map(usize::from_ne_bytes) {
        if length < HEAD || length > rest.len() {
            return;
        }
        let (level, kind) = (int(rest, 8), int(rest, 12));
        if level == libc::SOL_SOCKET && (kind == libc::SCM_RIGHTS || kind == SCM_PIDFD) {
            for number in rest[HEAD..length].chunks_exact(4) {
                let number = int(number, 0);
                if number >= 0 {
                    got(kind, number);
                }
            }
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
        socketpair,
    };
    use std::io::IoSlice;
    use std::os::fd::AsFd;

    fn send(socket: &OwnedFd, fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        sendmsg(socket, &[IoSlice::new(b"xyz")], &mut control, SendFlags::empty()).expect("sendmsg");
    }

    #[test]
    fn all_that_waits_is_seen_and_stays() {
        for kind in [SocketType::DGRAM, SocketType::STREAM, SocketType::SEQPACKET] {
            let (one, two) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("socketpair");
            assert_eq!(descriptors(two.as_fd()).expect("empty").fds.len(), 0);
            send(&one, &[one.as_fd(), one.as_fd()]);
            send(&one, &[one.as_fd()]);
            for _ in 0..3 {
                let found = descriptors(two.as_fd()).expect("peeked");
                assert_eq!((found.fds.len(), found.cut), (3, false), "{kind:?}");
            }
            assert_eq!(offset(two.as_fd()), Ok(-1));
            let mut bytes = [0; 16];
            let length = rustix::io::read(&two, &mut bytes).expect("read");
            assert_eq!(&bytes[..length.min(3)], b"xyz");
        }
    }

    #[test]
    fn a_full_message_fits() {
        let (one, two) =
            socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).expect("socketpair");
        let many: Vec<_> = (0..MOST).map(|_| one.as_fd()).collect();
        send(&one, &many);
        let found = descriptors(two.as_fd()).expect("peeked");
        assert_eq!((found.fds.len(), found.cut), (MOST, false));
    }

    #[test]
    fn what_is_no_unix_socket_is_an_error() {
        let (read, _write) = rustix::pipe::pipe().expect("pipe");
        assert_eq!(descriptors(read.as_fd()).err(), Some(Errno(libc::ENOTSOCK)));
    }
}
