//! The real file system, as lowering asks about it.

use std::ffi::OsString;
use std::path::Path;

use tipstaff_policy::lower::{Host, Kind};

/// This machine's file system, as the caller sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealHost;

impl Host for RealHost {
    fn kind(&self, path: &Path) -> Option<Kind> {
        let meta = std::fs::symlink_metadata(path).ok()?;
        Some(if meta.is_symlink() {
            Kind::Link(std::fs::read_link(path).ok()?)
        } else if meta.is_dir() {
            Kind::Directory
        } else {
            Kind::File
        })
    }

    fn list(&self, path: &Path) -> Vec<OsString> {
        let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
        let mut names: Vec<OsString> = entries.flatten().map(|e| e.file_name()).collect();
        names.sort();
        names
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }
}
