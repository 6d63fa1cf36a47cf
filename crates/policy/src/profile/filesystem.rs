//! What a program sees of the file system.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::value::words;

words! {
    /// How the working directory is seen, with everything below it.
    pub enum CwdAccess {
        /// Not at all, unless another rule shows it.
        None = "none",
        /// It can be read.
        Read = "read",
        /// It can be read and written.
        Write = "write",
    }
}

words! {
    /// Which /tmp (with /var/tmp and /dev/shm) a program sees.
    pub enum Tmp {
        /// Its own, empty at the start and gone at the end.
        Private = "private",
        /// The host's.
        Host = "host",
    }
}

words! {
    /// The lists of `[filesystem]`, for `replace`.
    pub enum PathList {
        /// `read` and `read_if_exists`.
        Read = "read",
        /// `write` and `write_if_exists`.
        Write = "write",
        /// `exec` and `exec_if_exists`.
        Exec = "exec",
        /// `deny` and `deny_if_exists`.
        Deny = "deny",
        /// `protect`.
        Protect = "protect",
        /// `mounts`.
        Mounts = "mounts",
    }
}

/// A path and everything below it. A relative path is relative to the working directory of the run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathRule {
    /// The path.
    pub path: PathBuf,
    /// Without this, a path that does not exist is an error.
    pub if_exists: bool,
}

impl PathRule {
    /// A path that must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), if_exists: false }
    }

    /// A path that need not exist.
    pub fn if_exists(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), if_exists: true }
    }
}

/// A part of the host that appears elsewhere in the box.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mount {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where it appears in the box: an absolute path.
    pub target: PathBuf,
    /// It cannot be written there; so unless `read_only = false`.
    pub read_only: bool,
}

/// What a program sees of the file system: nothing, but for what the lists show.
///
/// `read = ["/"]` means every top-level entry of `/` but `proc`, `sys`, `dev`, `run`, `tmp`, `boot` and `lost+found`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filesystem {
    /// Can be read.
    pub read: Vec<PathRule>,
    /// Can be read and written.
    pub write: Vec<PathRule>,
    /// Can be read and executed.
    pub exec: Vec<PathRule>,
    /// Cannot be seen, whatever shows the directories above.
    pub deny: Vec<PathRule>,
    /// Cannot be written, created, removed or replaced, whatever can be written above; need not exist.
    pub protect: Vec<PathBuf>,
    /// What git runs or is led by is protected in every repository that may be written.
    pub protect_git: Option<bool>,
    /// Directory that becomes `/`.
    pub root: Option<PathBuf>,
    /// Parts of the host that appear elsewhere.
    pub mounts: Vec<Mount>,
    /// Which /tmp is seen; private unless said otherwise.
    pub tmp: Option<Tmp>,
    /// Programs in a private /tmp can be executed.
    pub tmp_exec: Option<bool>,
    /// How the working directory is seen.
    pub cwd: Option<CwdAccess>,
    /// Lists that start afresh here instead of adding to the profile below.
    pub replace: Vec<PathList>,
}

impl Filesystem {
    pub(super) fn merge(mut base: Self, over: Self) -> Self {
        for list in &over.replace {
            match list {
                PathList::Read => base.read.clear(),
                PathList::Write => base.write.clear(),
                PathList::Exec => base.exec.clear(),
                PathList::Deny => base.deny.clear(),
                PathList::Protect => base.protect.clear(),
                PathList::Mounts => base.mounts.clear(),
            }
        }
        base.deny.retain(|denied| !over.allows(&denied.path));
        base.protect.retain(|path| !over.write.iter().any(|rule| rule.path == *path));
        Self {
            read: add(base.read, over.read),
            write: add(base.write, over.write),
            exec: add(base.exec, over.exec),
            deny: add(base.deny, over.deny),
            protect: super::append(base.protect, over.protect),
            protect_git: over.protect_git.or(base.protect_git),
            root: over.root.or(base.root),
            mounts: super::append(base.mounts, over.mounts),
            tmp: over.tmp.or(base.tmp),
            tmp_exec: over.tmp_exec.or(base.tmp_exec),
            cwd: over.cwd.or(base.cwd),
            replace: super::append(base.replace, over.replace),
        }
    }

    /// Whether a rule of this very path allows anything.
    fn allows(&self, path: &Path) -> bool {
        [&self.read, &self.write, &self.exec].into_iter().flatten().any(|rule| rule.path == path)
    }
}

/// Both lists, each path once: what must exist wins over what need not, and stands first.
pub(super) fn add(base: Vec<PathRule>, over: Vec<PathRule>) -> Vec<PathRule> {
    let (strict, lenient): (Vec<_>, Vec<_>) = base.into_iter().chain(over).partition(|rule| !rule.if_exists);
    // By their bytes: comparing paths component by component, each with each, took longer than reading the file.
    let mut known = HashSet::new();
    let rules = strict.into_iter().chain(lenient);
    rules.filter(|rule| known.insert(rule.path.as_os_str().to_owned())).collect()
}
