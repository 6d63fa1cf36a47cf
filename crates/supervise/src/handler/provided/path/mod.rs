//! Which paths a program may read, write, look at and execute.

mod calls;
mod set;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tipstaff_abi::{Arch, SyscallSet, errno};
use tipstaff_policy::profile::{CwdAccess, PathRule, Profile};

use self::set::{Entry, PathSet};
use crate::handler::{AT_FDCWD, Action, Found, Handler, Last, Trap};

/// What a box has of its own. A profile that names one of these would show the host's instead.
const OWN: [&str; 6] = ["/tmp", "/var/tmp", "/dev", "/dev/shm", "/run", "/proc"];
/// How many refused paths are told apart.
const KINDS: usize = 1000;

/// A policy on paths, for accounting and for soft refusals.
///
/// An entry is `/a/b`: this path; `/a/b/`: the directory and everything below; `/a/b/*`: its direct entries. A write entry may also be read, an
/// exec entry too, and whatever may be used may be looked at (stat(2), access(2), chdir(2), …), with the directories on the way. Soft bans come
/// first. A path in no set is refused with EACCES, or kills ([`Self::kill`]).
///
/// Paths are looked up in the guest's view: links followed as the call would, `/proc/self/fd/N` too; `/proc/self/…` in an entry is the caller's
/// own. Where a directory on the way does not exist there, the rest counts as it is written. What the guest has open already is not asked about
/// again. An entry that is a link stands for itself and for where it led when it was added.
///
/// The guest's other threads can change a path after it was checked. So this alone refuses nothing for certain: [`Self::apply`] writes
/// the sets into the profile, where Landlock and the mount tree decide on what the kernel itself found. `Command::paths` of the `tipstaff` crate
/// does so.
#[derive(Clone, Debug, Default)]
pub struct PathPolicy {
    read: PathSet,
    write: PathSet,
    stat: PathSet,
    exec: PathSet,
    soft: Vec<(PathSet, u16)>,
    kill: bool,
    counts: PathCounts,
}

/// What a call wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Stat,
    Read,
    Write,
    Exec,
}

/// The figures of a [`PathPolicy`]: a handle that can be cloned and read at any time.
#[derive(Clone, Debug, Default)]
pub struct PathCounts(Arc<Mutex<PathTally>>);

/// How often each set allowed a path of a call, and which paths were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathTally {
    /// Allowed by the read set.
    pub read: u64,
    /// By the write set.
    pub write: u64,
    /// By the stat set, or as a directory on the way to an entry.
    pub stat: u64,
    /// By the exec set.
    pub exec: u64,
    /// Soft bans, by path.
    pub soft: BTreeMap<PathBuf, u64>,
    /// Paths in no set.
    pub refused: BTreeMap<PathBuf, u64>,
    /// Refusals of further paths, when a thousand were known.
    pub more: u64,
}

impl PathCounts {
    /// The figures so far.
    #[must_use]
    pub fn tally(&self) -> PathTally {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, what: impl FnOnce(&mut PathTally)) {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl PathTally {
    fn refuse(&mut self, soft: bool, path: &Path) {
        let known = self.soft.len() + self.refused.len();
        let paths = if soft { &mut self.soft } else { &mut self.refused };
        match paths.get_mut(path) {
            Some(count) => *count += 1,
            None if known < KINDS => drop(paths.insert(path.to_owned(), 1)),
            None => self.more += 1,
        }
    }
}

impl PathPolicy {
    /// A policy that allows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// May be read. A relative entry starts at the caller's working directory.
    #[must_use]
    pub fn read(mut self, entry: impl AsRef<Path>) -> Self {
        self.read.add(entry.as_ref());
        self
    }

    /// May be written, created, removed, renamed, changed in mode, owner and times; and read.
    #[must_use]
    pub fn write(mut self, entry: impl AsRef<Path>) -> Self {
        self.write.add(entry.as_ref());
        self
    }

    /// May be looked at, not opened.
    #[must_use]
    pub fn stat(mut self, entry: impl AsRef<Path>) -> Self {
        self.stat.add(entry.as_ref());
        self
    }

    /// May be executed, and read.
    #[must_use]
    pub fn exec(mut self, entry: impl AsRef<Path>) -> Self {
        self.exec.add(entry.as_ref());
        self
    }

    /// Is refused with this errno (1 to 4095), whatever the other sets say: a soft ban.
    #[must_use]
    pub fn ban(mut self, entry: impl AsRef<Path>, errno: u16) -> Self {
        let mut set = PathSet::default();
        set.add(entry.as_ref());
        self.soft.push((set, errno));
        self
    }

    /// A path in no set kills the box: `policy_violation`.
    #[must_use]
    pub fn kill(mut self) -> Self {
        self.kill = true;
        self
    }

    /// The figures: shared by all clones of this policy.
    #[must_use]
    pub fn counts(&self) -> PathCounts {
        self.counts.clone()
    }

    /// Makes the sets the profile's own `read`, `write` and `exec` lists, instead of what it had there, takes the working directory out of the
    /// view, and denies what is banned softly. Entries that do not exist are left out: what is created below a writable directory may be
    /// used. What is returned are the entries that the profile cannot say as narrowly, and which only the handler narrows:
    /// `/a/b/*` shows all of `/a/b`, and a soft ban of that form is no denial. A stat entry shows nothing. `/tmp`, `/var/tmp`, `/dev`, `/dev/shm`,
    /// `/run` and `/proc` stay the box's own.
    pub fn apply(&self, profile: &mut Profile) -> Vec<PathBuf> {
        let fs = &mut profile.filesystem;
        let mut wider = Vec::new();
        for (set, list) in [(&self.read, &mut fs.read), (&self.write, &mut fs.write), (&self.exec, &mut fs.exec)] {
            list.clear();
            for entry in set.written().filter(|entry| !OWN.iter().any(|own| entry.base() == Path::new(own))) {
                list.push(PathRule::if_exists(entry.base()));
                if matches!(entry, Entry::Children(_)) {
                    wider.push(entry.base().join("*"));
                }
            }
        }
        for entry in self.soft.iter().flat_map(|(set, _)| set.written()) {
            match entry {
                Entry::Children(base) => wider.push(base.join("*")),
                other => fs.deny.push(PathRule::if_exists(other.base())),
            }
        }
        fs.cwd = Some(CwdAccess::None);
        wider
    }

    fn judge(&self, need: Need, found: &Found, trap: &Trap<'_>) -> Action {
        let path = own_proc(found.path(), trap);
        let path = path.as_deref().unwrap_or(found.path());
        if !found.is_named() && need != Need::Exec {
            // A pipe, a socket, a removed file: reached through a descriptor that it has.
            return Action::Pass;
        }
        if let Some((_, errno)) = self.soft.iter().find(|(set, _)| set.has(path)) {
            self.counts.note(|tally| tally.refuse(true, path));
            return Action::Errno(*errno);
        }
        let (read, write, exec) = (self.read.has(path), self.write.has(path), self.exec.has(path));
        let on_the_way = || [&self.read, &self.write, &self.exec, &self.stat].into_iter().any(|set| set.below(path));
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = match need {
            Need::Exec if exec && found.is_named() => &mut counts.exec,
            Need::Write if write => &mut counts.write,
            Need::Read | Need::Stat if read => &mut counts.read,
            Need::Read | Need::Stat if write => &mut counts.write,
            Need::Read | Need::Stat if exec => &mut counts.exec,
            Need::Stat if self.stat.has(path) || on_the_way() => &mut counts.stat,
            _ => {
                counts.refuse(false, path);
                return if self.kill { Action::Kill } else { Action::Errno(errno::EACCES) };
            }
        };
        *counter += 1;
        Action::Pass
    }
}

/// `/proc/PID` of the caller itself as `/proc/self`, so that entries can name it.
fn own_proc(path: &Path, trap: &Trap<'_>) -> Option<PathBuf> {
    if !path.starts_with("/proc") {
        return None;
    }
    let own = trap.find(AT_FDCWD, Path::new("/proc/self"), Last::Follow).ok()?;
    Some(Path::new("/proc/self").join(path.strip_prefix(own.path()).ok()?))
}

impl Handler for PathPolicy {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, calls::ROWS.iter().map(|row| row.call))
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let Some(name) = trap.name() else { return Action::Pass };
        for row in calls::ROWS.iter().filter(|row| row.call == name) {
            match row.wish(trap) {
                Ok(None) => {}
                Ok(Some(wish)) => match self.judge(wish.need, &wish.found, trap) {
                    Action::Pass if wish.found.is_cut() => return Action::Return(-i64::from(errno::ENOENT)),
                    Action::Pass => {}
                    refused => return refused,
                },
                // A lookup that fails is no refusal. The kernel is not asked: it might find something by then.
                Err(errno) => return Action::Return(-i64::from(errno)),
            }
        }
        Action::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake::Fake;
    use super::*;

    fn ask(policy: &mut PathPolicy, call: &str, args: &[u64], path: &Path) -> Action {
        use std::os::unix::ffi::OsStrExt;
        let guest = Fake::default();
        guest.put(0x1000, path.as_os_str().as_bytes());
        guest.put(0x1000 + path.as_os_str().len() as u64, &[0]);
        policy.on_syscall(&mut guest.call(Arch::X86_64, call, args))
    }

    #[test]
    fn sets_imply_one_another_and_bans_come_first() {
        let dir = tempfile::tempdir().expect("directory");
        let top = std::fs::canonicalize(dir.path()).expect("path");
        for name in ["r", "w", "x", "s"] {
            std::fs::create_dir(top.join(name)).expect("directory");
            std::fs::write(top.join(name).join("file"), "").expect("file");
        }
        let below = |name: &str| format!("{}/{name}/", top.display());
        let mut policy = PathPolicy::new().read(below("r")).write(below("w")).exec(below("x")).stat(below("s"));
        policy = policy.ban(top.join("r/banned"), 2);
        let file = |name: &str| top.join(name).join("file");
        let mut open = |path: &Path, flags: u64| match ask(&mut policy, "open", &[0x1000, flags], path) {
            Action::Pass => 0,
            Action::Errno(errno) => i64::from(errno),
            Action::Return(value) => -value,
            other => panic!("{other:?}"),
        };
        assert_eq!(["r", "w", "x", "s"].map(|n| open(&file(n), 0)), [0, 0, 0, 13], "read");
        assert_eq!(["r", "w", "x", "s"].map(|n| open(&file(n), 2)), [13, 0, 13, 13], "write");
        assert_eq!(open(&file("s"), 0o10_000_000), 0, "O_PATH looks only");
        assert_eq!(open(&top.join("w/new"), 0o101), 0, "creation");
        assert_eq!(open(&top.join("r/banned"), 0), 2);
        assert_eq!(open(&top.join("r/nowhere/x"), 0), 2, "ENOENT of the lookup");
        assert_eq!(open(&top.join("nowhere/../r/x"), 0), 2, "ENOENT of the lookup");
        assert_eq!(open(&top.join("nowhere/x"), 0), 13, "a refusal does not tell what is there");
        assert_eq!(open(&top.join("r/../w/../s/file"), 0), 13);
        let mut stat = |path: &Path| matches!(ask(&mut policy, "stat", &[0x1000], path), Action::Pass);
        assert!(stat(&file("s")) && stat(&top) && stat(Path::new("/")) && !stat(&top.join("elsewhere")));
        let mut exec = |path: &Path| matches!(ask(&mut policy, "execve", &[0x1000], path), Action::Pass);
        assert!(exec(&file("x")) && !exec(&file("r")) && !exec(&file("w")));
        let tally = policy.counts().tally();
        assert_eq!((tally.read, tally.write, tally.exec, tally.stat), (3, 3, 2, 4));
        assert_eq!(tally.soft, BTreeMap::from([(top.join("r/banned"), 1)]));
        assert_eq!(tally.refused.get(&file("s")), Some(&3));
    }

    #[test]
    fn both_paths_of_a_rename_count() {
        let dir = tempfile::tempdir().expect("directory");
        let top = std::fs::canonicalize(dir.path()).expect("path");
        std::fs::create_dir(top.join("w")).expect("directory");
        let mut policy = PathPolicy::new().write(format!("{}/w/", top.display())).kill();
        let guest = Fake::default();
        let path = |at: u64, name: &str| guest.put(at, format!("{}/{name}\0", top.display()).as_bytes());
        path(0x1000, "w/a");
        path(0x2000, "w/b");
        let mut rename = || policy.on_syscall(&mut guest.call(Arch::X86_64, "rename", &[0x1000, 0x2000]));
        assert!(matches!(rename(), Action::Pass));
        path(0x2000, "b");
        assert!(matches!(rename(), Action::Kill));
    }

    #[test]
    fn a_descriptor_alone_names_no_path() {
        let mut policy = PathPolicy::new();
        let empty = Path::new("");
        let mut fstat = |flags| ask(&mut policy, "newfstatat", &[0, 0x1000, 0, flags], empty);
        assert!(matches!(fstat(0x1000), Action::Pass));
        assert!(matches!(fstat(0), Action::Return(-2)));
        assert!(matches!(ask(&mut policy, "utimensat", &[0, 0], empty), Action::Pass), "NULL: futimens(3)");
    }

    #[test]
    fn the_profile_says_it_too() {
        let mut profile = Profile::default();
        profile.filesystem.read.push(PathRule::new("/everything"));
        let policy = PathPolicy::new()
            .read("/usr/")
            .exec("/usr/bin/*")
            .write("/nowhere/out")
            .write("/tmp/")
            .ban("/usr/secret/", 2);
        let wider = policy.apply(&mut profile);
        let paths = |rules: &[PathRule]| rules.iter().map(|r| r.path.display().to_string()).collect::<Vec<_>>();
        let fs = &profile.filesystem;
        assert_eq!((paths(&fs.read), paths(&fs.exec)), (vec!["/usr".to_owned()], vec!["/usr/bin".to_owned()]));
        assert_eq!(
            (paths(&fs.write), paths(&fs.deny)),
            (vec!["/nowhere/out".into()], vec!["/usr/secret".into()]),
            "no host's /tmp"
        );
        assert_eq!((fs.cwd, wider), (Some(CwdAccess::None), vec![PathBuf::from("/usr/bin/*")]));
    }
}
