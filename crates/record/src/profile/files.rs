//! The files of a Tipstaff profile.
//!
//! A path that was named once is not what the next run will name: libraries get new versions, directories new files. So paths are generalised, and only
//! where that gives little away:
//!
//! - What every box has of its own is left out: /proc, the devices of /dev, what was made in /tmp, /var/tmp, /dev/shm and /run.
//! - Files of the system that anybody can read (/usr, /lib, /bin, /sbin, /opt) count as their directory, and a directory whose parent has several such as
//!   the parent, but no higher than two components.
//! - What was made is a right to write in its directory, since the next run makes another name; what was only changed is a right to that file.
//! - What is below the working directory is the working directory's, to be read or written.
//! - A directory of which only the existence was looked at is no reason to show what is in it; what is shown below it shows it, too.
//! - Everything else is there as it was named. What failed, fails again: it is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tipstaff_policy::profile::{CwdAccess, Filesystem, PathRule};
use tipstaff_recording::{Access, Recording};
use tipstaff_report::Bytes;

pub(super) struct Found {
    pub(super) filesystem: Filesystem,
    pub(super) notes: Vec<String>,
}

/// A box has its own.
const OWN: [&str; 3] = ["/proc", "/sys/devices/system/cpu", "/sys/devices/system/node"];
const DEVICES: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts"];
/// Who executes dynamic programs needs these, and the kernel opens them without a call: ld.so(8).
const LOADERS: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];
/// A box has its own, empty at its start.
const PRIVATE: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];
/// Trees of the system without secrets.
const PUBLIC: [&str; 8] = ["/usr", "/lib", "/lib64", "/lib32", "/libx32", "/bin", "/sbin", "/opt"];
/// As many directories side by side are their parent.
const SEVERAL: usize = 3;
/// Never more than this much of a path is left out: /usr/share, not /usr.
const LEAST: usize = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Use {
    read: bool,
    /// Of a directory: its entries.
    list: bool,
    look: bool,
    write: bool,
    create: bool,
    exec: bool,
}

/// `is_directory`: whether a path is one, on the machine that the profile is made for.
pub(super) fn filesystem(
    recording: &Recording,
    directories: &BTreeSet<Bytes>,
    is_directory: &dyn Fn(&Path) -> bool,
) -> Found {
    let uses = uses(recording);
    let cwd: Vec<PathBuf> = directories.iter().map(path).filter(|cwd| is_narrow(cwd)).collect();
    let mut filesystem = Filesystem::default();
    let mut notes = Vec::new();
    let (mut read, mut write, mut exec) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut made: BTreeSet<PathBuf> = BTreeSet::new();
    for (name, used) in &uses {
        let name = path(name);
        if !name.is_absolute() {
            notes.push(format!("{}: nobody could say where it is; add it to [filesystem] by hand", name.display()));
            continue;
        }
        if is_below(&name, &OWN) || is_below(&name, &DEVICES) {
            continue;
        }
        if cwd.iter().any(|cwd| name.starts_with(cwd)) {
            let access = if used.write || used.create { CwdAccess::Write } else { CwdAccess::Read };
            if filesystem.cwd != Some(CwdAccess::Write) {
                filesystem.cwd = Some(access);
            }
            if used.exec {
                exec.insert(name);
            }
            continue;
        }
        if is_below(&name, &PRIVATE)
            && (used.create
                || made.iter().any(|made| name.starts_with(made))
                || PRIVATE.iter().any(|own| name == Path::new(own)))
        {
            made.insert(name);
            continue;
        }
        let parent = || name.parent().map(Path::to_owned);
        if used.create {
            write.extend(parent().filter(|parent| is_narrow(parent)).or_else(|| Some(name.clone())));
        } else if used.write {
            write.insert(name.clone());
        }
        if used.exec {
            exec.insert(name.clone());
        }
        let public = is_below(&name, &PUBLIC);
        let shown = used.read || used.list && is_narrow(&name) || used.look && (public || !is_directory(&name));
        if shown && is_narrow(&name) {
            // What a directory holds is listed: it stands for itself.
            read.insert(if public && !used.list { directory(&name) } else { name.clone() });
        }
    }
    let read = outermost(gathered(read));
    let write = outermost(write);
    if !exec.is_empty() {
        exec.extend(LOADERS.map(PathBuf::from));
    }
    let exec = outermost(exec);
    // What may be written or executed may be read.
    let read = read.into_iter().filter(|path| !write.iter().chain(&exec).any(|above| path.starts_with(above)));
    filesystem.read = rules(read);
    filesystem.write = rules(write.iter().cloned());
    filesystem.exec = rules(exec);
    Found { filesystem, notes }
}

fn uses(recording: &Recording) -> BTreeMap<Bytes, Use> {
    let mut uses: BTreeMap<Bytes, Use> = BTreeMap::new();
    for run in recording.runs() {
        for file in run.files.iter().flat_map(|files| files.iter()) {
            if file.failed.is_some_and(|failed| failed >= file.count) {
                continue;
            }
            let used = uses.entry(file.path.clone()).or_default();
            match file.access {
                Access::Read => used.read = true,
                Access::List => used.list = true,
                Access::Stat => used.look = true,
                Access::Write => used.write = true,
                Access::Create => used.create = true,
                Access::Exec => used.exec = true,
            }
        }
        for executable in run.executables.iter() {
            uses.entry(executable.path.clone()).or_default().exec = true;
        }
    }
    uses
}

fn path(bytes: &Bytes) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes.as_bytes()))
}

fn is_below(name: &Path, above: &[&str]) -> bool {
    above.iter().any(|above| name.starts_with(above))
}

/// Whether a right to all of a directory is no right to half the machine.
fn is_narrow(directory: &Path) -> bool {
    let components = directory.components().count();
    let broad = ["/home", "/root", "/etc", "/var", "/usr", "/srv", "/opt", "/tmp", "/run", "/mnt", "/media"];
    components > 1 && !broad.iter().any(|broad| directory == Path::new(broad))
}

/// The directory that a public file counts as.
fn directory(name: &Path) -> PathBuf {
    match name.parent() {
        Some(parent) if parent.components().count() > LEAST => parent.to_owned(),
        _ => name.to_owned(),
    }
}

/// Public directories side by side are their parent, until there is nothing more to gather.
fn gathered(mut paths: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    loop {
        let mut by_parent: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for path in paths.iter().filter(|path| is_below(path, &PUBLIC)) {
            // The root counts as a component.
            if let Some(parent) = path.parent().filter(|parent| parent.components().count() > LEAST) {
                *by_parent.entry(parent.to_owned()).or_default() += 1;
            }
        }
        let full: Vec<PathBuf> =
            by_parent.into_iter().filter(|(_, n)| *n >= SEVERAL).map(|(parent, _)| parent).collect();
        let before = paths.len();
        paths.retain(|path| !full.iter().any(|parent| path.starts_with(parent) && path != parent));
        paths.extend(full);
        if paths.len() >= before {
            return paths;
        }
    }
}

/// Without those that others show already.
fn outermost(paths: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        // What is above stands before.
        if !kept.iter().any(|above| path.starts_with(above)) {
            kept.push(path);
        }
    }
    kept.into_iter().collect()
}

/// What is not there the next time is no error: programs look for much that need not be.
fn rules(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathRule> {
    paths.into_iter().map(PathRule::if_exists).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn public_directories_are_gathered_but_not_too_far() {
        let paths = set(&["/usr/lib/a", "/usr/lib/b", "/usr/lib/c", "/etc/a", "/etc/b", "/etc/c", "/usr/share/x"]);
        assert_eq!(gathered(paths), set(&["/usr/lib", "/etc/a", "/etc/b", "/etc/c", "/usr/share/x"]));
        let paths = set(&["/usr/a", "/usr/b", "/usr/c", "/usr/d"]);
        assert_eq!(gathered(paths.clone()), paths);
        assert_eq!(outermost(set(&["/a", "/a/b", "/ab", "/a-b"])), set(&["/a", "/ab", "/a-b"]));
    }

    #[test]
    fn a_file_counts_as_its_directory_but_not_as_a_tree_of_the_system() {
        assert_eq!(directory(Path::new("/usr/lib/x/y.so")), Path::new("/usr/lib/x"));
        assert_eq!(directory(Path::new("/usr/lib/y.so")), Path::new("/usr/lib"));
        assert_eq!(directory(Path::new("/lib/ld.so")), Path::new("/lib/ld.so"));
        assert!(is_narrow(Path::new("/var/lib")) && !is_narrow(Path::new("/var")) && !is_narrow(Path::new("/")));
    }
}
