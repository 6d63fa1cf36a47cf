//! A set of paths.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What an entry covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The path alone.
    Exact(PathBuf),
    /// A directory and everything below.
    Tree(PathBuf),
    /// The direct entries of a directory, not the directory.
    Children(PathBuf),
}

impl Entry {
    fn parse(text: &Path) -> Self {
        let bytes = text.as_os_str().as_bytes();
        let path = |bytes: &[u8]| {
            let path = if bytes.is_empty() { Path::new("/") } else { Path::new(OsStr::from_bytes(bytes)) };
            // Only an empty path, or a working directory that is gone, has no absolute form.
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
        };
        match bytes {
            [dir @ .., b'/', b'*'] => Self::Children(path(dir)),
            [dir @ .., b'/'] => Self::Tree(path(dir)),
            exact => Self::Exact(path(exact)),
        }
    }

    pub fn base(&self) -> &Path {
        let (Self::Exact(base) | Self::Tree(base) | Self::Children(base)) = self;
        base
    }

    fn with(&self, base: PathBuf) -> Self {
        match self {
            Self::Exact(_) => Self::Exact(base),
            Self::Tree(_) => Self::Tree(base),
            Self::Children(_) => Self::Children(base),
        }
    }
}

/// Exact paths, trees and directories, each found by a look-up for every component of the path that is asked about.
#[derive(Clone, Debug, Default)]
pub(super) struct PathSet {
    written: Vec<Entry>,
    exact: HashSet<PathBuf>,
    trees: HashSet<PathBuf>,
    parents: HashSet<PathBuf>,
    /// Directories above some entry.
    above: HashSet<PathBuf>,
}

impl PathSet {
    pub fn add(&mut self, text: &Path) {
        let entry = Entry::parse(text);
        // Where it leads counts too: that is how a path looks when it has been looked up.
        if let Ok(real) = std::fs::canonicalize(entry.base())
            && real != entry.base()
        {
            self.insert(&entry.with(real));
        }
        self.insert(&entry);
        self.written.push(entry);
    }

    fn insert(&mut self, entry: &Entry) {
        let base = entry.base().to_owned();
        self.above.extend(base.ancestors().skip(1).map(Path::to_owned));
        match entry {
            Entry::Exact(_) => self.exact.insert(base),
            Entry::Tree(_) => self.trees.insert(base),
            Entry::Children(_) => {
                self.above.insert(base.clone());
                self.parents.insert(base)
            }
        };
    }

    pub fn has(&self, path: &Path) -> bool {
        self.exact.contains(path)
            || path.parent().is_some_and(|parent| self.parents.contains(parent))
            || path.ancestors().any(|above| self.trees.contains(above))
    }

    /// Some entry lies below this directory.
    pub fn below(&self, path: &Path) -> bool {
        self.above.contains(path)
    }

    /// The entries as they were given.
    pub fn written(&self) -> impl Iterator<Item = &Entry> {
        self.written.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms() {
        let mut set = PathSet::default();
        ["/a/exact", "/a/tree/", "/a/dir/*"].iter().for_each(|entry| set.add(Path::new(entry)));
        let has = |path: &str| set.has(Path::new(path));
        assert!(has("/a/exact") && !has("/a/exact/below") && !has("/a/exactly"));
        assert!(has("/a/tree") && has("/a/tree/x") && has("/a/tree/x/y") && !has("/a/trees"));
        assert!(!has("/a/dir") && has("/a/dir/x") && !has("/a/dir/x/y"));
        assert!(!has("/a") && !has("/"));
        let below = |path: &str| set.below(Path::new(path));
        assert!(below("/") && below("/a") && below("/a/dir") && !below("/a/tree") && !below("/b"));
    }

    #[test]
    fn the_root_is_a_tree_and_a_directory() {
        let mut set = PathSet::default();
        set.add(Path::new("/*"));
        assert!(set.has(Path::new("/a")) && !set.has(Path::new("/a/b")) && !set.has(Path::new("/")));
        set.add(Path::new("/"));
        assert!(set.has(Path::new("/a/b")) && set.has(Path::new("/")));
    }

    #[test]
    fn a_link_counts_for_where_it_leads() {
        let dir = tempfile::tempdir().expect("directory");
        let top = std::fs::canonicalize(dir.path()).expect("path");
        std::fs::create_dir(top.join("real")).expect("directory");
        std::os::unix::fs::symlink("real", top.join("link")).expect("link");
        let mut set = PathSet::default();
        set.add(Path::new(&format!("{}/link/", top.display())));
        assert!(set.has(&top.join("link")) && set.has(&top.join("real/x")) && !set.has(&top));
    }
}
