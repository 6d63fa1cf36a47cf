//! What a prepared box has seen of the host, to be compared with what is there when it is wanted.
//!
//! A bind mount, a working directory and an open program hold their inode: while the box stands, no other file can get its number. So equal
//! device and inode are the same file. The table of mounts is watched by the kernel (proc_pid_mounts(5), POLLPRI).

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff_policy::lower::{Plan, ViewOp};
use tipstaff_sys::child::{GuestOp, SetupOp};

use crate::{Failure, Program};

/// What was where.
#[derive(Debug, PartialEq, Eq)]
struct Sight {
    path: PathBuf,
    /// Its last link is followed.
    follow: bool,
    /// Device and inode; None: nothing was there.
    identity: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(crate) struct Witness {
    seen: Vec<Sight>,
    /// Where the box has a tree of its own: copies of the host's mounts.
    mounts: Option<File>,
}

impl Witness {
    /// The table of mounts as it is now: to be had before the box is built.
    pub fn mounts(plan: &Plan) -> Result<Option<File>, Failure> {
        let table = plan.namespaces.mount.then(|| File::open("/proc/self/mountinfo")).transpose();
        table.map_err(|e| Failure::new("mount", e.into(), "open /proc/self/mountinfo"))
    }

    /// Of a box that stands.
    pub fn new(
        hosts: &Hosts,
        program: &Program,
        mounts: Option<File>,
        (setup, guest): (&[SetupOp], &[GuestOp]),
    ) -> Self {
        let mut witness = Self { seen: Vec::new(), mounts };
        let mut rules = hosts.rules.iter();
        for op in setup {
            match op {
                SetupOp::Bind { source, inside: false, seen, .. } => witness.add(path(source), false, seen.get()),
                // One for each rule, in their order.
                SetupOp::LandlockPath { path: at, seen, .. } if rules.next().is_none_or(|hosts| *hosts) => {
                    witness.add(path(at), true, seen.get());
                }
                _ => {}
            }
        }
        for op in guest {
            if let GuestOp::Chdir(at, seen) = op
                && hosts.cwd
            {
                witness.add(path(at), true, seen.get());
            }
        }
        // The box's own look at it was compared with what was pinned, wherever it lies.
        witness.add(&program.path, true, Some((program.dev, program.ino)));
        witness
    }

    fn add(&mut self, path: &Path, follow: bool, identity: Option<(u64, u64)>) {
        let sight = Sight { path: path.to_owned(), follow, identity };
        if !self.seen.contains(&sight) {
            self.seen.push(sight);
        }
    }

    /// All is still there, and nothing was mounted or unmounted.
    pub fn holds(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let unchanged = |mounts| matches!(poll(&mut [PollFd::new(mounts, PollFlags::PRI)], Some(&at_once)), Ok(0));
        self.mounts.as_ref().is_none_or(unchanged)
            && self.seen.iter().all(|Sight { path, follow, identity }| {
                let there = if *follow { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
                there.ok().map(|meta| (meta.dev(), meta.ino())) == *identity
            })
    }
}

/// Which of a plan's paths mean in the box what they mean on the host.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// Of each rule of Landlock.
    rules: Vec<bool>,
    cwd: bool,
}

impl Hosts {
    pub fn of(plan: &Plan) -> Self {
        let rules = plan.landlock.iter().flat_map(|landlock| &landlock.rules);
        Self {
            rules: rules.map(|(path, _)| is_the_hosts(plan, path)).collect(),
            cwd: is_the_hosts(plan, &plan.view.cwd),
        }
    }
}

fn path(text: &CString) -> &Path {
    Path::new(OsStr::from_bytes(text.as_bytes()))
}

/// What the box has under this path is what the host has there: the innermost step that made it is a bind of the same place, or the box has no
/// tree of its own.
fn is_the_hosts(plan: &Plan, path: &Path) -> bool {
    let mut innermost: Option<(usize, bool)> = None;
    for op in &plan.view.ops {
        let (target, hosts) = match op {
            ViewOp::Bind { source, target, .. } => (target.as_path(), source == target),
            // As on the host, but for those of our own /dev.
            ViewOp::Symlink(_, link) => (link.as_path(), !link.starts_with("/dev")),
            ViewOp::DiskDir(_, target, _)
            | ViewOp::Mkdir(target)
            | ViewOp::MakeFile(target)
            | ViewOp::Text(target, _) => (target.as_path(), false),
            ViewOp::Proc => (Path::new("/proc"), false),
            ViewOp::Devpts => (Path::new("/dev/pts"), false),
            _ => continue,
        };
        let depth = target.components().count();
        if path.starts_with(target) && innermost.is_none_or(|(deepest, _)| depth >= deepest) {
            innermost = Some((depth, hosts));
        }
    }
    !plan.namespaces.mount || innermost.is_some_and(|(_, hosts)| hosts)
}
