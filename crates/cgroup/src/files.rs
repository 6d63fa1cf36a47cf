//! Reading and writing the little files of a group.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file of a group that is read often: kept open, read from offset 0.
#[derive(Debug)]
pub(crate) struct Gauge(File);

impl Gauge {
    pub(crate) fn open(dir: &Path, name: &str) -> io::Result<Self> {
        File::open(dir.join(name)).map(Self)
    }

    pub(crate) fn text(&self) -> io::Result<String> {
        let mut text = Vec::with_capacity(4096);
        let mut chunk = [0u8; 4096];
        loop {
            match self.0.read_at(&mut chunk, text.len() as u64) {
                Ok(0) => break,
                Ok(n) => text.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn number(&self) -> io::Result<u64> {
        number(&self.text()?)
    }
}

/// A number of tasks as pids.max takes it: the kernel refuses to write down one that it can never reach (PID_MAX_LIMIT, 4,194,304).
pub(crate) fn tasks(limit: u64) -> String {
    const MOST: u64 = 4 << 20;
    if limit < MOST { limit.to_string() } else { "max".to_owned() }
}

fn number(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// The value behind a key in a "key value" file.
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

pub(crate) fn write(dir: &Path, name: &str, value: &str) -> io::Result<()> {
    // One write(2): the kernel parses each write by itself.
    OpenOptions::new().write(true).open(dir.join(name))?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_whole_word() {
        let text = "oom 1\noom_kill 2\noom_kill_disable 0\n";
        assert_eq!(field(text, "oom_kill"), Some(2));
        assert_eq!(field(text, "oom"), Some(1));
        assert_eq!(field(text, "kill"), None);
    }
}
