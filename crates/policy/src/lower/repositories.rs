//! Git repositories below directories that may be written: what git runs there, or is led by, on the host's next command.
//!
//! Only what is there can be found. A repository that a box makes is not: the kernel has no rule for a name that may come up anywhere.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::git_config;
use super::host::{Host, Kind};

/// Below a repository's own directory.
const LED_BY: [&str; 4] = ["hooks", "config", "config.worktree", "commondir"];
/// Whoever has more than this would wait for his box.
const MOST_DIRECTORIES: usize = 300_000;
/// Each costs some mounts and placeholders.
const MOST_REPOSITORIES: usize = 300;
/// Each costs some mounts.
const MOST_CLOSED: usize = 3_000;
/// PATH_MAX, and room for the names that are protected there.
const LONGEST: usize = 4000;
/// git's own limit for configurations that lead to others.
const MOST_DEEP: usize = 10;
/// git's own limit for a `.git` that is a file.
const MOST_BYTES: u64 = 1 << 20;

/// The walk through the directories.
pub(super) struct Search<'a> {
    host: &'a dyn Host,
    /// Places that are left out: denied, or not writable after all.
    skip: &'a dyn Fn(&Path) -> bool,
    names: Vec<PathBuf>,
    looked: usize,
    found: usize,
    closed: usize,
}

impl<'a> Search<'a> {
    pub fn new(host: &'a dyn Host, skip: &'a dyn Fn(&Path) -> bool) -> Self {
        Self { host, skip, names: Vec::new(), looked: 0, found: 0, closed: 0 }
    }

    /// What is to be protected in and below these directories; or why that cannot be said.
    pub fn below(mut self, roots: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
        let mut todo: Vec<(PathBuf, bool)> = roots.iter().map(|root| (root.clone(), false)).collect();
        while let Some((dir, inside)) = todo.pop() {
            self.look(&dir, inside, &mut todo);
            if self.looked > MOST_DIRECTORIES {
                return Err(format!("more than {MOST_DIRECTORIES} directories to look for repositories in"));
            }
            if self.found > MOST_REPOSITORIES {
                return Err(format!("more than {MOST_REPOSITORIES} repositories to protect"));
            }
            if self.closed > MOST_CLOSED {
                return Err(format!("more than {MOST_CLOSED} directories that cannot be looked into"));
            }
            // Nobody can mount there, and who is inside still gets there step by step.
            if let Some(root) = roots.iter().find(|root| dir.starts_with(root) && dir.as_os_str().len() > LONGEST) {
                let top: PathBuf = dir.components().take(root.components().count() + 1).collect();
                return Err(format!("a path of more than {LONGEST} bytes below {top:?}"));
            }
        }
        Ok(self.names)
    }

    fn repository(&mut self, dir: &Path) {
        self.found += 1;
        self.names.extend(LED_BY.map(|name| dir.join(name)));
        let tree = if dir.file_name() == Some(OsStr::new(".git")) { dir.parent() } else { None };
        self.configured(dir, tree);
    }

    /// What the configuration of a repository names: further ones, and where hooks are, in its working tree.
    fn configured(&mut self, dir: &Path, tree: Option<&Path>) {
        let mut todo = VecDeque::from(["config", "config.worktree"].map(|name| (dir.join(name), 0)));
        let mut seen = Vec::new();
        let (mut hooks, mut trees) = (Vec::new(), Vec::from_iter(tree.map(Path::to_path_buf)));
        while let Some((config, depth)) = todo.pop_front() {
            if seen.contains(&config) || depth > MOST_DEEP || self.found > MOST_REPOSITORIES {
                continue;
            }
            let led = git_config::led(&self.host.bytes(&config, MOST_BYTES).unwrap_or_default());
            let beside = config.parent().unwrap_or(dir);
            todo.extend(led.includes.iter().filter_map(|path| Some((below(beside, path)?, depth + 1))));
            trees.extend(led.worktree.and_then(|path| below(dir, &path)));
            hooks.extend(led.hooks);
            // These two are protected anyway.
            if seen.len() > 1 {
                self.found += 1;
                self.names.push(config.clone());
            }
            seen.push(config);
        }
        if trees.is_empty() {
            trees.push(dir.to_path_buf());
        }
        for path in trees.iter().flat_map(|tree| hooks.iter().filter_map(|path| below(tree, path))) {
            // A whole working tree that nobody may write would be no use.
            if !plain(dir).starts_with(plain(&path)) {
                self.found += 1;
                self.names.push(path);
            }
        }
    }

    /// `inside`: below a repository's own directory.
    fn look(&mut self, dir: &Path, inside: bool, todo: &mut Vec<(PathBuf, bool)>) {
        self.looked += 1;
        // What cannot be looked into is kept as it is, or a box would open it again.
        let Some(below) = self.host.children(dir) else {
            self.closed += 1;
            return self.names.push(dir.to_path_buf());
        };
        let has = |name: &str| below.iter().any(|(known, _)| known == name);
        let git = Some(OsStr::new(".git"));
        let inside = inside || dir.ancestors().any(|above| above.file_name() == git);
        // What an earlier box was kept from removing still shows what this is; elsewhere git's own rule.
        let shown = dir.file_name() == git || inside && (has("config") || has("hooks"));
        if shown || has("HEAD") && has("objects") && has("refs") {
            self.repository(dir);
            // Those of submodules, which lie deeper where their names have slashes, and of further working trees.
            todo.extend(["modules", "worktrees"].iter().filter(|name| has(name)).map(|name| (dir.join(name), true)));
            return;
        }
        // Of a further working tree: it leads to the repository.
        if inside && has("commondir") {
            self.names.extend(["commondir", "config.worktree"].map(|name| dir.join(name)));
            return;
        }
        if has(".git") {
            self.leads(dir, &dir.join(".git"));
        }
        let deeper = below.into_iter().filter(|(_, directory)| *directory).map(|(name, _)| dir.join(name));
        todo.extend(deeper.filter(|path| !(self.skip)(path)).map(|path| (path, inside)));
    }

    /// A `.git` of a submodule, of a further working tree, or one that is a link.
    fn leads(&mut self, dir: &Path, led: &Path) {
        let kind = self.host.kind(led);
        if !matches!(kind, Some(Kind::File | Kind::Link(_))) {
            return;
        }
        // It says where the repository is, whatever a box has made of that since.
        let text = self.host.bytes(led, MOST_BYTES).unwrap_or_default();
        if let Some(to) = text.strip_prefix(b"gitdir: ") {
            let end = to.iter().position(|byte| *byte == 0).unwrap_or(to.len());
            let to = dir.join(line(&to[..end]));
            self.repository(&to);
            // Of a further working tree: the configuration is the first one's, and the hooks' place is in this one.
            let common = self.host.bytes(&to.join("commondir"), MOST_BYTES);
            let common = common.map_or_else(|| to.clone(), |text| to.join(line(&text)));
            self.configured(&common, Some(dir));
        }
        match kind {
            // What it leads to is the repository, or such a file; that it leads there is kept with the names behind it.
            Some(Kind::Link(_)) => self.repository(led),
            _ => self.names.push(led.to_path_buf()),
        }
    }
}

/// Without the end of its line.
fn line(text: &[u8]) -> &OsStr {
    let last = text.iter().rposition(|byte| !b"\n\r".contains(byte));
    OsStr::from_bytes(last.map_or(&[], |last| &text[..=last]))
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

/// None: nowhere, or in a home, which nobody knows here.
fn below(dir: &Path, path: &[u8]) -> Option<PathBuf> {
    (!path.is_empty() && !path.starts_with(b"~") && !path.contains(&0)).then(|| dir.join(OsStr::from_bytes(path)))
}

/// By the two questions that every host answers.
pub(super) fn children(host: &(impl Host + ?Sized), path: &Path) -> Option<Vec<(OsString, bool)>> {
    let directory = |name: &OsString| host.kind(&path.join(name)) == Some(Kind::Directory);
    Some(host.list(path).into_iter().map(|name| (name.clone(), directory(&name))).collect())
}
