//! connect(2), bind(2), sendmsg(2), getsockname(2) and getsockopt(2) with addresses, data and control messages as bytes: for calls that are made on
//! somebody else's behalf, whose arguments are a copy of theirs.

use core::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::raw::{Errno, addr, addr_mut, call, word};

/// MSG_DONTWAIT.
pub const MSG_DONTWAIT: u32 = 0x40;
/// MSG_NOSIGNAL.
pub const MSG_NOSIGNAL: u32 = 0x4000;
/// sizeof(struct sockaddr_storage): no address is longer.
pub const ADDRESS_MAX: usize = 128;

/// connect(2). The address is the family's structure as bytes.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let words = [word(socket.as_raw_fd()), address.as_ptr() as usize, address.len(), 0, 0, 0];
    // SAFETY: the kernel reads `len` bytes of a live slice.
    unsafe { call(libc::SYS_connect, words).map(drop) }
}

/// bind(2).
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let words = [word(socket.as_raw_fd()), address.as_ptr() as usize, address.len(), 0, 0, 0];
    // SAFETY: the kernel reads `len` bytes of a live slice.
    unsafe { call(libc::SYS_bind, words).map(drop) }
}

/// sendmsg(2): how many bytes were taken. An empty address or control buffer is none. Descriptors in the control buffer are the caller's.
pub fn send(socket: BorrowedFd<'_>, address: &[u8], data: &[u8], control: &[u8], flags: u32) -> Result<usize, Errno> {
    let mut iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast::<c_void>(), iov_len: data.len() };
    // SAFETY: plain data; zero is a value of every field.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    if !address.is_empty() {
        message.msg_name = address.as_ptr().cast_mut().cast();
        message.msg_namelen = address.len() as u32;
    }
    message.msg_iov = core::ptr::from_mut(&mut iov);
    message.msg_iovlen = 1;
    if !control.is_empty() {
        message.msg_control = control.as_ptr().cast_mut().cast();
        message.msg_controllen = control.len() as _;
    }
    // SAFETY: sendmsg only reads what the header names, all of it live slices of the lengths given.
    unsafe { call(libc::SYS_sendmsg, [word(socket.as_raw_fd()), addr(&message), flags as usize, 0, 0, 0]) }
}

/// getsockname(2) as bytes.
pub fn name(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut bytes = [0u8; ADDRESS_MAX];
    let mut len = ADDRESS_MAX as u32;
    // SAFETY: the kernel writes at most ADDRESS_MAX bytes, and the true length.
    unsafe {
        call(libc::SYS_getsockname, [word(socket.as_raw_fd()), addr_mut(&mut bytes), addr_mut(&mut len), 0, 0, 0])?
    };
    Ok(bytes[..(len as usize).min(ADDRESS_MAX)].to_vec())
}

/// Which network namespace a socket is in, as a number that no other has since the machine started: SO_NETNS_COOKIE. None before Linux 5.14.
pub fn network_of(socket: BorrowedFd<'_>) -> Option<u64> {
    const SO_NETNS_COOKIE: usize = 71;
    let mut cookie = 0u64;
    let mut len = size_of::<u64>() as u32;
    let words = [
        word(socket.as_raw_fd()),
        libc::SOL_SOCKET as usize,
        SO_NETNS_COOKIE,
        addr_mut(&mut cookie),
        addr_mut(&mut len),
        0,
    ];
    // SAFETY: the kernel writes one u64, and its length.
    unsafe { call(libc::SYS_getsockopt, words).ok().map(|_| cookie) }
}
