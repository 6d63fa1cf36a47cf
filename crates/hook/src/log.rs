//! A log that is a file: an engine keeps a hook's standard error only where the hook fails, and a collector has none.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::Options;

/// A log of that size becomes `NAME.old`, so two of them bound what is kept.
const MOST: u64 = 1 << 20;

/// Where lines about one container go.
#[derive(Debug)]
pub struct Log {
    file: Option<File>,
    id: String,
}

impl Options {
    /// The log's path.
    pub fn log_path(&self) -> PathBuf {
        self.log.clone().unwrap_or_else(|| self.runtime_dir.join("log"))
    }
}

impl Log {
    /// Opens the log. Where that fails, lines go to standard error alone: a full disk must not keep a container from running.
    pub fn open(path: &Path, id: &str) -> Self {
        Self { file: open(path).ok(), id: id.to_owned() }
    }

    /// The file, to be a collector's standard error.
    pub fn file(&self) -> Option<File> {
        self.file.as_ref()?.try_clone().ok()
    }

    /// One line, in the log only.
    pub fn line(&mut self, text: &str) {
        if let Some(file) = &mut self.file {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            // One write for the line: many hooks may write at a time.
            let line =
                format!("{}.{:03} {} {}\n", now.as_secs(), now.subsec_millis(), self.id, tipstaff_abi::one_line(text));
            let _ = file.write_all(line.as_bytes());
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.len() > MOST) {
        std::fs::rename(path, path.with_extension("old"))?;
    }
    let flags = OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)
}
