//! landlock(7): the three system calls. Rules are added inside the box, after its mount tree stands,
//! where only raw system calls may run; so the sets of rights are plain words here.

use core::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::child::Seen;
use crate::raw::{Errno, addr, call, ptr, word};

/// LANDLOCK_ACCESS_FS_*: rights on files and directories.
pub mod fs {
    /// Execute a file.
    pub const EXECUTE: u64 = 1 << 0;
    /// Open a file for writing.
    pub const WRITE_FILE: u64 = 1 << 1;
    /// Open a file for reading.
    pub const READ_FILE: u64 = 1 << 2;
    /// Open or list a directory.
    pub const READ_DIR: u64 = 1 << 3;
    /// Remove or rename a directory.
    pub const REMOVE_DIR: u64 = 1 << 4;
    /// Remove or rename a file.
    pub const REMOVE_FILE: u64 = 1 << 5;
    /// Create a character device.
    pub const MAKE_CHAR: u64 = 1 << 6;
    /// Create a directory.
    pub const MAKE_DIR: u64 = 1 << 7;
    /// Create a regular file.
    pub const MAKE_REG: u64 = 1 << 8;
    /// Create a unix socket.
    pub const MAKE_SOCK: u64 = 1 << 9;
    /// Create a FIFO.
    pub const MAKE_FIFO: u64 = 1 << 10;
    /// Create a block device.
    pub const MAKE_BLOCK: u64 = 1 << 11;
    /// Create a symbolic link.
    pub const MAKE_SYM: u64 = 1 << 12;
    /// Link or rename between directories (ABI 2).
    pub const REFER: u64 = 1 << 13;
    /// Truncate (ABI 3).
    pub const TRUNCATE: u64 = 1 << 14;
    /// ioctl(2) on devices (ABI 5).
    pub const IOCTL_DEV: u64 = 1 << 15;

    /// Every right that an ABI knows.
    pub const fn all(abi: u32) -> u64 {
        match abi {
            0 => 0,
            1 => (1 << 13) - 1,
            2 => (1 << 14) - 1,
            3 | 4 => (1 << 15) - 1,
            _ => (1 << 16) - 1,
        }
    }

    /// The rights that make sense on something that is not a directory.
    pub const FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
}

/// LANDLOCK_ACCESS_NET_*: TCP ports (ABI 4).
pub mod net {
    /// Bind a TCP socket.
    pub const BIND_TCP: u64 = 1 << 0;
    /// Connect a TCP socket.
    pub const CONNECT_TCP: u64 = 1 << 1;
}

/// LANDLOCK_SCOPE_* (ABI 6).
pub mod scope {
    /// Abstract unix sockets outside the domain cannot be connected.
    pub const ABSTRACT_UNIX_SOCKET: u64 = 1 << 0;
    /// Tasks outside the domain cannot be signalled.
    pub const SIGNAL: u64 = 1 << 1;
}

/// struct landlock_ruleset_attr.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RulesetAttr {
    /// Handled file system rights: denied unless a rule allows them.
    pub handled_access_fs: u64,
    /// Handled network rights.
    pub handled_access_net: u64,
    /// Scopes.
    pub scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

#[repr(C)]
struct NetPortAttr {
    allowed_access: u64,
    port: u64,
}

const RULE_PATH_BENEATH: usize = 1;
const RULE_NET_PORT: usize = 2;

/// The ABI version that the kernel offers; ENOSYS or EOPNOTSUPP when there is none.
pub fn abi() -> Result<u32, Errno> {
    const CREATE_RULESET_VERSION: usize = 1;
    // SAFETY: with this flag the attribute must be null and nothing is read or written.
    let version = unsafe { call(libc::SYS_landlock_create_ruleset, [0, 0, CREATE_RULESET_VERSION, 0, 0, 0])? };
    Ok(version as u32)
}

/// landlock_create_ruleset(2). The size is cut to what the ABI knows, so that older kernels take it.
pub fn create_ruleset(attr: &RulesetAttr, abi: u32) -> Result<OwnedFd, Errno> {
    let size = match abi {
        0..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    // SAFETY: `attr` is a landlock_ruleset_attr of at least `size` bytes; the result is a new descriptor.
    unsafe {
        let fd = call(libc::SYS_landlock_create_ruleset, [addr(attr), size, 0, 0, 0, 0])?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Allows a TCP port (0 to 65535).
pub fn add_port(ruleset: BorrowedFd<'_>, port: u16, access: u64) -> Result<(), Errno> {
    let attr = NetPortAttr { allowed_access: access, port: u64::from(port) };
    let fd = word(ruleset.as_raw_fd());
    // SAFETY: `attr` is a landlock_net_port_attr.
    unsafe { call(libc::SYS_landlock_add_rule, [fd, RULE_NET_PORT, addr(&attr), 0, 0, 0])? };
    Ok(())
}

/// Allows `access` beneath a path of the caller's own view. What is gone or out of reach grants nothing.
pub fn add_path(ruleset: BorrowedFd<'_>, path: &CStr, access: u64) -> Result<(), Errno> {
    add_path_raw(ruleset.as_raw_fd(), path, access, None)
}

/// Opens `path` (O_PATH) in the caller's view and allows `access` beneath it. Rights that only
/// directories have are taken out when it is not one (the kernel would answer EINVAL). Child-safe.
pub(crate) fn add_path_raw(ruleset: i32, path: &CStr, access: u64, seen: Option<&Seen>) -> Result<(), Errno> {
    let flags = (libc::O_PATH | libc::O_CLOEXEC) as usize;
    // SAFETY: openat, fstat, landlock_add_rule and close with values that live across the calls.
    unsafe {
        let fd = match call(libc::SYS_openat, [word(libc::AT_FDCWD), ptr(path), flags, 0, 0, 0]) {
            Ok(fd) => fd,
            // Gone since it was listed, or out of the caller's own reach: nothing is granted.
            Err(Errno::NOENT | Errno(libc::EACCES)) => return Ok(()),
            Err(e) => return Err(e),
        };
        let mut st: libc::stat = core::mem::zeroed();
        let mut result = call(libc::SYS_fstat, [fd, core::ptr::from_mut(&mut st) as usize, 0, 0, 0, 0]);
        if result.is_ok() {
            if let Some(seen) = seen {
                seen.set(&st);
            }
            let directory = st.st_mode & libc::S_IFMT == libc::S_IFDIR;
            let access = if directory { access } else { access & fs::FILE };
            let attr = PathBeneathAttr { allowed_access: access, parent_fd: fd as i32 };
            result = if access == 0 {
                Ok(0)
            } else {
                call(libc::SYS_landlock_add_rule, [word(ruleset), RULE_PATH_BENEATH, addr(&attr), 0, 0, 0])
            };
        }
        let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        result.map(drop)
    }
}

/// Confines the calling thread for good, and what it makes (landlock_restrict_self(2)); other threads stay as they are. Sets no_new_privs, which
/// the call demands.
pub fn restrict_thread(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: integers only (PR_SET_NO_NEW_PRIVS is a thread's own).
    unsafe { call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0, 0])? };
    restrict_self_raw(ruleset.as_raw_fd())
}

/// landlock_restrict_self(2); needs no_new_privs. Child-safe.
pub(crate) fn restrict_self_raw(ruleset: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { call(libc::SYS_landlock_restrict_self, [word(ruleset), 0, 0, 0, 0, 0])? };
    Ok(())
}
