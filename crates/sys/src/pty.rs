//! pty(7), ioctl_tty(2): a terminal made inside the box, so that it has a name there. Child-safe.

use std::ffi::CStr;

use crate::raw::{Errno, addr, call, call_retry, ptr, word};

/// TIOCSCTTY: makes a terminal the controlling terminal of the calling session leader.
pub(crate) fn set_controlling_raw(fd: i32) -> Result<(), Errno> {
    // SAFETY: the argument is an integer.
    unsafe { call(libc::SYS_ioctl, [word(fd), libc::TIOCSCTTY as usize, 0, 0, 0, 0])? };
    Ok(())
}

/// Opens the multiplexer and unlocks the new terminal (TIOCSPTLCK).
pub(crate) fn open_master_raw(ptmx: &CStr) -> Result<i32, Errno> {
    let flags = (libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) as usize;
    let unlock = 0i32;
    // SAFETY: a C string, and an int that the ioctl reads.
    unsafe {
        let master = call_retry(libc::SYS_openat, [word(libc::AT_FDCWD), ptr(ptmx), flags, 0, 0, 0])?;
        call(libc::SYS_ioctl, [master, libc::TIOCSPTLCK as usize, addr(&unlock), 0, 0, 0])?;
        Ok(master as i32)
    }
}

/// The other side (TIOCGPTPEER, Linux 4.13): by descriptor, whatever /dev/pts looks like.
pub(crate) fn open_peer_raw(master: i32) -> Result<i32, Errno> {
    let flags = (libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) as usize;
    // SAFETY: the argument is an integer.
    let peer = unsafe { call(libc::SYS_ioctl, [word(master), libc::TIOCGPTPEER as usize, flags, 0, 0, 0])? };
    Ok(peer as i32)
}

/// TIOCSWINSZ.
pub(crate) fn set_size_raw(fd: i32, (rows, columns): (u16, u16)) -> Result<(), Errno> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads a struct winsize.
    unsafe { call(libc::SYS_ioctl, [word(fd), libc::TIOCSWINSZ as usize, addr(&size), 0, 0, 0])? };
    Ok(())
}
