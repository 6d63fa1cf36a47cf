//! Files of procfs.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::{File, ReadDir};
use std::io::{self, Read};

thread_local! {
    static BLIND: Cell<bool> = const { Cell::new(false) };
}

/// Without a descriptor to spare nothing can be looked at, and what is not seen must not be taken for what is not there.
fn noted<T>(result: io::Result<T>) -> Option<T> {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    if let Err(e) = &result
        && matches!(e.raw_os_error(), Some(ENFILE | EMFILE))
    {
        BLIND.set(true);
    }
    result.ok()
}

/// Limits that nobody can look at hold nobody: the box dies.
pub(crate) const BLIND_WORDS: &str =
    "the supervisor has no descriptor left (RLIMIT_NOFILE), so it cannot watch the box";

/// Whether a look of this thread has failed for want of a descriptor since this was asked last.
pub(crate) fn was_blind() -> bool {
    BLIND.take()
}

/// The same, and the answer stays.
pub(crate) fn is_blind() -> bool {
    BLIND.get()
}

/// A pidfd; None when the process is gone.
pub(crate) fn pidfd(pid: i32) -> Option<std::os::fd::OwnedFd> {
    noted(tipstaff_sys::pidfd::open(pid).map_err(io::Error::from))
}

/// A directory of procfs; None when the process is gone or may not be looked at.
pub(crate) fn list(path: &str) -> Option<ReadDir> {
    noted(std::fs::read_dir(path))
}

/// A file of procfs; None when the process is gone or may not be looked at. Files of procfs have no size, so `std::fs::read`
/// would begin with small reads, and the kernel makes the text again for each. Names in it may be any bytes.
pub(crate) fn read<'a>(path: &str, buffer: &'a mut Vec<u8>) -> Option<Cow<'a, str>> {
    const FIRST: usize = 8192;
    if buffer.len() < FIRST {
        buffer.resize(FIRST, 0);
    }
    let mut file = noted(File::open(path))?;
    let mut filled = 0;
    loop {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
    }
    (filled > 0).then(|| String::from_utf8_lossy(&buffer[..filled]))
}
