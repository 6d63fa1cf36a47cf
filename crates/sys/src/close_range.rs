//! close_range(2).

use crate::raw::{Errno, call};
use crate::rlimit;

/// CLOSE_RANGE_CLOEXEC (Linux 5.11).
const CLOEXEC: usize = 4;

/// Marks every descriptor from `first` up close-on-exec, so that a program which is started gets none of those that the caller did not open
/// itself and knows nothing of.
pub fn cloexec_from(first: u32) -> Result<(), Errno> {
    range(first, u32::MAX, CLOEXEC)
}

/// Closes a range: for a child that is about to execute a program, and owns all its descriptors.
pub(crate) fn close(first: u32, last: u32) -> Result<(), Errno> {
    range(first, last, 0)
}

fn range(first: u32, last: u32, flags: usize) -> Result<(), Errno> {
    // SAFETY: integers.
    match unsafe { call(libc::SYS_close_range, [first as usize, last as usize, flags, 0, 0, 0]) } {
        Ok(_) => Ok(()),
        Err(Errno::NOSYS | Errno::INVAL) => {
            // Linux before 5.9 or 5.11, or a container that hides the call: one by one, up to the limit that
            // bounded every number handed out so far.
            let end = rlimit::get(rlimit::RLIMIT_NOFILE).map_or(4096, |(_, hard)| hard.min(1 << 20)) as u32;
            for fd in first..=last.min(end) {
                // SAFETY: integers; EBADF is what most of them answer.
                let _ = unsafe {
                    if flags == 0 {
                        call(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0])
                    } else {
                        call(libc::SYS_fcntl, [fd as usize, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0, 0, 0])
                    }
                };
            }
            Ok(())
        }
        Err(e) => Err(e),
    }
}
