//! getpid(2), geteuid(2), getegid(2), uname(2): what the man pages say cannot fail, with an answer when it does.

use crate::raw::{addr_mut, call};

fn number(nr: libc::c_long) -> u32 {
    // SAFETY: no arguments.
    unsafe { call(nr, [0; 6]) }.map_or(u32::MAX, |n| n as u32)
}

/// Our process id in our own PID namespace.
pub fn pid() -> i32 {
    number(libc::SYS_getpid) as i32
}

/// Effective user id.
pub fn uid() -> u32 {
    number(libc::SYS_geteuid)
}

/// Effective group id.
pub fn gid() -> u32 {
    number(libc::SYS_getegid)
}

/// Major and minor version of the kernel; zeros when it does not say.
pub fn release() -> (u32, u32) {
    // SAFETY: plain data that the kernel fills.
    let mut name: libc::utsname = unsafe { core::mem::zeroed() };
    // SAFETY: one struct utsname.
    if unsafe { call(libc::SYS_uname, [addr_mut(&mut name), 0, 0, 0, 0, 0]) }.is_err() {
        return (0, 0);
    }
    let text: String = name.release.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect();
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Takes every supplementary group from the calling thread; other threads keep theirs (setgroups(2): the kernel's call is about one thread).
/// EPERM: without CAP_SETGID, or switched off in this user namespace.
pub fn clear_groups_of_this_thread() -> Result<(), crate::Errno> {
    // SAFETY: of no groups none is read.
    unsafe { call(libc::SYS_setgroups, [0; 6]).map(drop) }
}

/// Thread id of the caller.
pub fn tid() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { call(libc::SYS_gettid, [0; 6]) }.unwrap_or(0) as i32
}
