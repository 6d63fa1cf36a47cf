//! The system call instruction with its result as a value.
//!
//! The child of a clone that shares our memory must not touch libc's `errno`, which lives in the
//! thread-local storage of the thread that cloned; so these go straight to the kernel.

use core::ffi::CStr;
use core::fmt;

use crate::arch::syscall6;

/// An error number as the kernel returned it (1 to 4095).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

impl Errno {
    /// EPERM.
    pub const PERM: Self = Self(libc::EPERM);
    /// ENOENT.
    pub const NOENT: Self = Self(libc::ENOENT);
    /// ESRCH.
    pub const SRCH: Self = Self(libc::ESRCH);
    /// EINTR.
    pub const INTR: Self = Self(libc::EINTR);
    /// ECHILD.
    pub const CHILD: Self = Self(libc::ECHILD);
    /// EAGAIN.
    pub const AGAIN: Self = Self(libc::EAGAIN);
    /// EINVAL.
    pub const INVAL: Self = Self(libc::EINVAL);
    /// ENOSYS.
    pub const NOSYS: Self = Self(libc::ENOSYS);
    /// EEXIST.
    pub const EXIST: Self = Self(libc::EEXIST);
    /// ESTALE: the program is not the file that was pinned.
    pub const STALE: Self = Self(libc::ESTALE);
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match tipstaff_abi::errno::name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match tipstaff_abi::errno::text(self.0) {
            Some(text) => f.write_str(text),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl std::error::Error for Errno {}

impl From<Errno> for std::io::Error {
    fn from(e: Errno) -> Self {
        Self::from_raw_os_error(e.0)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(e: rustix::io::Errno) -> Self {
        Self(e.raw_os_error())
    }
}

impl From<std::io::Error> for Errno {
    fn from(e: std::io::Error) -> Self {
        Self(e.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// A system call with up to six words.
///
/// # Safety
/// The caller answers for what the call does: pointers live long enough and have the right shape,
/// file descriptors are the caller's to use.
#[inline(always)]
pub(crate) unsafe fn call(nr: libc::c_long, a: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    let ret = unsafe { syscall6(nr as usize, a) };
    if (-4095..0).contains(&ret) { Err(Errno(-ret as i32)) } else { Ok(ret as usize) }
}

/// Like [`call`], again on EINTR.
///
/// # Safety
/// As [`call`].
#[inline(always)]
pub(crate) unsafe fn call_retry(nr: libc::c_long, a: [usize; 6]) -> Result<usize, Errno> {
    loop {
        // SAFETY: passed on to the caller.
        match unsafe { call(nr, a) } {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// The address of a C string as an argument word.
#[inline(always)]
pub(crate) fn ptr(s: &CStr) -> usize {
    s.as_ptr() as usize
}

/// The address of a value as an argument word.
#[inline(always)]
pub(crate) fn addr<T>(v: &T) -> usize {
    core::ptr::from_ref(v) as usize
}

/// The address of a value that the kernel writes.
#[inline(always)]
pub(crate) fn addr_mut<T>(v: &mut T) -> usize {
    core::ptr::from_mut(v) as usize
}

/// A file descriptor as an argument word.
#[inline(always)]
pub(crate) fn word(fd: i32) -> usize {
    fd as isize as usize
}
