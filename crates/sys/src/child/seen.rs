//! What a step met at its path: stat(2)'s device and inode.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::raw::{addr_mut, call, ptr, word};

/// Device and inode of what a step met at its path, for whoever asks later whether that is still what is there. The child writes it into
/// memory that both sides see.
#[derive(Debug, Default)]
pub struct Seen {
    dev: AtomicU64,
    ino: AtomicU64,
}

impl Seen {
    /// Device and inode; None when nothing was met.
    pub fn get(&self) -> Option<(u64, u64)> {
        Some((self.dev.load(SeqCst), self.ino.load(SeqCst))).filter(|seen| *seen != (0, 0))
    }

    pub(crate) fn set(&self, st: &libc::stat) {
        self.dev.store(st.st_dev, SeqCst);
        self.ino.store(st.st_ino, SeqCst);
    }

    /// Looks at a descriptor, or with AT_FDCWD at the working directory. Child-safe.
    pub(crate) fn look(&self, fd: i32) {
        // SAFETY: plain data, which the kernel fills.
        let mut st: libc::stat = unsafe { core::mem::zeroed() };
        let words = [word(fd), ptr(c""), addr_mut(&mut st), libc::AT_EMPTY_PATH as usize, 0, 0];
        // SAFETY: an empty path and a struct stat.
        if unsafe { call(libc::SYS_newfstatat, words) }.is_ok() {
            self.set(&st);
        }
    }
}
