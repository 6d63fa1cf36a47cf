//! Files of procfs.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;

/// A file of procfs; None when the process is gone or may not be looked at. Files of procfs have no size, so `std::fs::read`
/// would begin with small reads, and the kernel makes the text again for each. Names in it may be any bytes.
pub(crate) fn read<'a>(path: &str, buffer: &'a mut Vec<u8>) -> Option<Cow<'a, str>> {
    const FIRST: usize = 8192;
    if buffer.len() < FIRST {
        buffer.resize(FIRST, 0);
    }
    let mut file = File::open(path).ok()?;
    let mut filled = 0;
    loop {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
    }
    (filled > 0).then(|| String::from_utf8_lossy(&buffer[..filled]))
}
