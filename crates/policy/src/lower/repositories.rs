//! Git repositories below directories that may be written: what git runs there, or is led by, on the host's next command.
//!
//! Only what is there can be found. A repository that a box makes is not: the kernel has no rule for a name that may come up anywhere.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::host::{Host, Kind};

/// Below a repository's own directory.
const LED_BY: [&str; 4] = ["hooks", "config", "config.worktree", "commondir"];
/// Whoever has more than this would wait for his box.
const MOST_DIRECTORIES: usize = 300_000;
/// Each costs some mounts and placeholders.
const MOST_REPOSITORIES: usize = 300;

/// The walk through the directories.
pub(super) struct Search<'a> {
    host: &'a dyn Host,
    /// Places that are left out: denied, or not writable after all.
    skip: &'a dyn Fn(&Path) -> bool,
    names: Vec<PathBuf>,
    looked: usize,
    found: usize,
}

impl<'a> Search<'a> {
    pub fn new(host: &'a dyn Host, skip: &'a dyn Fn(&Path) -> bool) -> Self {
        Self { host, skip, names: Vec::new(), looked: 0, found: 0 }
    }

    /// What is to be protected in and below these directories; or why that cannot be said.
    pub fn below(mut self, roots: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
        let mut todo = roots.to_vec();
        while let Some(dir) = todo.pop() {
            self.look(&dir, &mut todo);
            if self.looked > MOST_DIRECTORIES {
                return Err(format!("more than {MOST_DIRECTORIES} directories to look for repositories in"));
            }
            if self.found > MOST_REPOSITORIES {
                return Err(format!("more than {MOST_REPOSITORIES} repositories to protect"));
            }
        }
        Ok(self.names)
    }

    fn repository(&mut self, dir: &Path) {
        self.found += 1;
        self.names.extend(LED_BY.map(|name| dir.join(name)));
    }

    fn look(&mut self, dir: &Path, todo: &mut Vec<PathBuf>) {
        self.looked += 1;
        // What cannot be looked into is kept as it is, or a box would open it again.
        let Some(below) = self.host.children(dir) else { return self.names.push(dir.to_path_buf()) };
        let has = |name: &str| below.iter().any(|(known, _)| known == name);
        let git = Some(std::ffi::OsStr::new(".git"));
        let inside = dir.ancestors().any(|above| above.file_name() == git);
        // What an earlier box was kept from removing still shows what this is; elsewhere git's own rule.
        let shown = dir.file_name() == git || inside && (has("config") || has("hooks"));
        if shown || has("HEAD") && has("objects") && has("refs") {
            self.repository(dir);
            // Those of submodules, which lie deeper where their names have slashes, and of further working trees.
            todo.extend(["modules", "worktrees"].iter().filter(|name| has(name)).map(|name| dir.join(name)));
            return;
        }
        // Of a further working tree: it leads to the repository.
        if inside && has("commondir") {
            self.names.extend(["commondir", "config.worktree"].map(|name| dir.join(name)));
            return;
        }
        // Of a submodule, or of a further working tree.
        let led = dir.join(".git");
        if has(".git") && self.host.kind(&led) == Some(Kind::File) {
            // It says where the repository is, whatever a box has made of that since.
            let text = self.host.text(&led).unwrap_or_default();
            if let Some(to) = text.strip_prefix("gitdir: ") {
                self.repository(&plain(&dir.join(to.trim_end_matches(['\n', '\r']))));
            }
            self.names.push(led);
        }
        let deeper = below.into_iter().filter(|(_, directory)| *directory).map(|(name, _)| dir.join(name));
        todo.extend(deeper.filter(|path| !(self.skip)(path)));
    }
}

/// Without `.` and `..`, by the names alone.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    out
}

/// By the two questions that every host answers.
pub(super) fn children(host: &(impl Host + ?Sized), path: &Path) -> Option<Vec<(OsString, bool)>> {
    let directory = |name: &OsString| host.kind(&path.join(name)) == Some(Kind::Directory);
    Some(host.list(path).into_iter().map(|name| (name.clone(), directory(&name))).collect())
}
