//! The real file system, as lowering asks about it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tipstaff_policy::lower::{COMMONDIR, Host, Kind};
use tipstaff_sys::Errno;
use tipstaff_sys::child::PLACEHOLDER_MODE;

use crate::Failure;

/// This machine's file system, as the caller sees it.
///
/// What is not there, or out of the caller's own reach, is absent. Any other error (no memory, no descriptor) says
/// nothing about the file: taken for absence it would drop a `deny` rule, so it is remembered and fails the launch.
#[derive(Debug, Default)]
pub struct RealHost {
    /// One lowering asks for the same directories again and again, and must get the same answer.
    /// By the bytes of the path: a path's own hash walks its components.
    known: RefCell<HashMap<OsString, Option<Kind>>>,
    trouble: RefCell<Option<(PathBuf, Errno)>>,
}

impl RealHost {
    fn absent<T>(&self, path: &Path, e: io::Error) -> Option<T> {
        const ABSENT: [i32; 5] = [2, 20, 13, 40, 36]; // ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG
        let errno = Errno::from(e);
        if !ABSENT.contains(&errno.0) {
            self.trouble.borrow_mut().get_or_insert_with(|| (path.to_owned(), errno));
        }
        None
    }

    /// What lowering concluded holds: every answer was one.
    pub fn check(&self) -> Result<(), Failure> {
        match &*self.trouble.borrow() {
            None => Ok(()),
            Some((path, errno)) => Err(Failure::new("lower", *errno, format_args!("look at {path:?}"))),
        }
    }
}

/// A directory that a box made to protect its name, with nothing in it but what boxes made. A box that ends meanwhile removes them: what has gone is
/// as absent as a placeholder.
fn is_placeholder(path: &Path, meta: &std::fs::Metadata, depth: u32) -> bool {
    // Sticky, and less whatever the umask of its maker takes away.
    if meta.permissions().mode() & 0o7022 != PLACEHOLDER_MODE & 0o7022 || depth == 0 {
        return false;
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) => return e.kind() == io::ErrorKind::NotFound,
    };
    entries.flatten().all(|entry| {
        let path = entry.path();
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => is_placeholder(&path, &meta, depth - 1),
            Ok(meta) => meta.is_file() && is_placeholder_text(&path, &meta),
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        }
    })
}

/// Whether this is the file that a box made to protect its name: it says what is so without it, or is about to.
fn is_placeholder_text(path: &Path, meta: &std::fs::Metadata) -> bool {
    path.file_name().is_some_and(|name| name == COMMONDIR.0)
        && (meta.len() == 0
            || meta.len() == COMMONDIR.1.len() as u64
                && std::fs::read(path)
                    .map_or_else(|e| e.kind() == io::ErrorKind::NotFound, |text| text == COMMONDIR.1.as_bytes()))
}

impl RealHost {
    fn look(&self, path: &Path) -> Option<Kind> {
        let meta = std::fs::symlink_metadata(path).or_else(|e| self.absent(path, e).ok_or(())).ok()?;
        Some(if meta.is_symlink() {
            Kind::Link(std::fs::read_link(path).or_else(|e| self.absent(path, e).ok_or(())).ok()?)
        } else if meta.is_dir() {
            // Another box protects a name that does not exist: neither does it for this one.
            if is_placeholder(path, &meta, 4) {
                return None;
            }
            Kind::Directory
        } else if is_placeholder_text(path, &meta) {
            return None;
        } else {
            Kind::File
        })
    }
}

impl Host for RealHost {
    fn kind(&self, path: &Path) -> Option<Kind> {
        if let Some(known) = self.known.borrow().get(path.as_os_str()) {
            return known.clone();
        }
        let kind = self.look(path);
        self.known.borrow_mut().insert(path.as_os_str().to_owned(), kind.clone());
        kind
    }

    fn list(&self, path: &Path) -> Vec<OsString> {
        let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = entries.or_else(|e| self.absent(path, e).ok_or(())).unwrap_or_default();
        let mut known = self.known.borrow_mut();
        // What getdents64(2) says of files need not be asked again, one by one. Directories can be placeholders, and links say where they lead.
        for entry in entries.iter().filter(|entry| entry.file_name() != COMMONDIR.0) {
            if entry.file_type().is_ok_and(|kind| !kind.is_dir() && !kind.is_symlink()) {
                known.entry(entry.path().into_os_string()).or_insert(Some(Kind::File));
            }
        }
        let mut names: Vec<OsString> = entries.into_iter().map(|e| e.file_name()).collect();
        names.sort();
        names
    }

    /// Nothing of it is remembered: a search asks once, in many directories.
    fn children(&self, path: &Path) -> Option<Vec<(OsString, bool)>> {
        let entries = std::fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        // EACCES, ENAMETOOLONG
        if entries.as_ref().is_err_and(|e| matches!(e.raw_os_error(), Some(13 | 36))) {
            return None;
        }
        let entries = entries.or_else(|e| self.absent(path, e).ok_or(())).unwrap_or_default();
        let directory = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        Some(entries.into_iter().map(|entry| (entry.file_name(), directory(&entry))).collect())
    }

    fn bytes(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        // A pipe would be waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= most).then_some(bytes)
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }
}
