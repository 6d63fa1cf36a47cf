//! unshare(2), for one thread.

use crate::raw::{Errno, call};

/// CLONE_FS: from now on working directory and umask are the calling thread's own.
pub fn directory_and_umask() -> Result<(), Errno> {
    // SAFETY: no pointers; other threads keep what they share.
    unsafe { call(libc::SYS_unshare, [libc::CLONE_FS as usize, 0, 0, 0, 0, 0]).map(drop) }
}
