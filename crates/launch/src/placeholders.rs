//! Names that are protected without existing: an empty directory stands there while a box needs it, or a file that says nothing new.
//!
//! Boxes in one directory share them. Each locks the parent directory (flock(2), shared) before it looks; at its end a
//! keeper removes a placeholder only if it gets the lock for itself, so the last one does. A placeholder must not go
//! earlier: rmdir(2) of a mount point in another mount namespace takes the mount away there.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, chmod, flock, mkdir, open};
use tipstaff_sys::child::PLACEHOLDER_MODE;
use tipstaff_sys::keeper::Leftover;

use crate::{Failure, setup};

/// Where, and what a file says; None is a directory.
pub(crate) type Placeholder = (PathBuf, Option<&'static str>);

/// What the keeper removes, deepest first.
pub(crate) fn leftovers(
    placeholders: &[Placeholder],
    raise: &dyn Fn(OwnedFd) -> Result<OwnedFd, Failure>,
) -> Result<Vec<Leftover>, Failure> {
    // A lock belongs to an open file description: one per parent, or we would stand in our own way.
    let mut parents: BTreeMap<&Path, OwnedFd> = BTreeMap::new();
    let mut leftovers = Vec::new();
    for (path, text) in placeholders {
        let parent = path.parent().unwrap_or(Path::new("/"));
        if !parents.contains_key(parent) {
            if placeholders.iter().any(|(p, _)| p == parent) {
                // With its mode from the first moment: another box that looks now must not take it for somebody's.
                let mode = Mode::from_raw_mode(PLACEHOLDER_MODE);
                if mkdir(parent, mode).is_ok() {
                    let _ = chmod(parent, mode);
                }
            }
            parents.insert(parent, raise(lock(parent)?)?);
        }
        let fd = parents.get(parent).map(OwnedFd::try_clone).transpose();
        let fd = fd.map_err(|e| Failure::new("mount", e.into(), "dup"))?;
        let name = CString::new(path.file_name().unwrap_or_default().as_bytes()).unwrap_or_default();
        if let Some(fd) = fd {
            leftovers.push(Leftover {
                parent: raise(fd)?,
                name,
                text: *text,
                shared: true,
                mounted: Some(setup::c(path)),
            });
        }
    }
    leftovers.reverse();
    Ok(leftovers)
}

fn lock(parent: &Path) -> Result<OwnedFd, Failure> {
    let fail = |e: rustix::io::Errno| Failure::new("mount", e.into(), format_args!("lock {parent:?}"));
    let fd = open(parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    flock(&fd, FlockOperation::LockShared).map_err(fail)?;
    Ok(fd)
}
