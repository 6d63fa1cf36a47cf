//! Terminal requests that rustix lacks.

use crate::raw::{Errno, call, word};

/// TIOCSCTTY: makes a terminal the controlling terminal of the calling session leader. Child-safe.
pub(crate) fn set_controlling_raw(fd: i32) -> Result<(), Errno> {
    // SAFETY: the argument is an integer.
    unsafe { call(libc::SYS_ioctl, [word(fd), libc::TIOCSCTTY as usize, 0, 0, 0, 0])? };
    Ok(())
}
