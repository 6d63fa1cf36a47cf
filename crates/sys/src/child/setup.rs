//! What the keeper does before the guest: the namespaces' insides and the mount tree.

use std::ffi::{CStr, CString};

use super::{ChildFd, Seen, mounts, quoted};
use crate::landlock;
use crate::raw::{Errno, call, call_retry, ptr, word};

/// How a bind mount is attached; applied recursively with mount_setattr(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindFlags {
    /// MOUNT_ATTR_RDONLY.
    pub read_only: bool,
    /// MOUNT_ATTR_NODEV: off for the few device nodes of the private /dev.
    pub no_dev: bool,
    /// MOUNT_ATTR_NOEXEC.
    pub no_exec: bool,
    /// Take submounts along (AT_RECURSIVE).
    pub recursive: bool,
}

/// One step of the keeper. Targets are relative to the new root; sources are paths in the host's view.
#[derive(Debug)]
pub enum SetupOp {
    /// Writes a file of the host's view: `setgroups`, `uid_map`, `gid_map` under /proc/self.
    WriteFile(CString, Vec<u8>),
    /// sethostname(2).
    Hostname(CString),
    /// Brings the loopback interface up.
    LoopbackUp,
    /// setns(2) into a network namespace that was made before ([`crate::unshare::network`]).
    EnterNetwork(ChildFd),
    /// Makes every mount private, so that nothing propagates out or in.
    PrivateMounts,
    /// A tmpfs that will be the root, attached over an existing directory of the host's view.
    NewRoot(CString),
    /// mkdir in the new root; a directory that is there already is fine.
    Mkdir(CString, u32),
    /// An empty file in the new root, with a mode.
    MakeFile(CString, u32),
    /// A file in the new root that everybody may read, and what it says.
    MakeText(CString, Vec<u8>),
    /// A symbolic link in the new root: target, link.
    Symlink(CString, CString),
    /// Binds a path of the host's view (or, with `inside`, of the new root) onto a target.
    Bind {
        /// What is bound.
        source: CString,
        /// Where, relative to the new root.
        target: CString,
        /// How.
        flags: BindFlags,
        /// The source is relative to the new root.
        inside: bool,
        /// What the source was, where it is the host's.
        seen: Seen,
    },
    /// The tmpfs behind the private directories: the directory of the host's view that it is attached to, under the new
    /// root to come, and `size=` in decimal. It goes out of sight with the old root.
    Disk(CString, Option<CString>),
    /// A directory of the disk, world-writable and sticky, at its target in the new root.
    DiskDir {
        /// Name on the disk.
        name: CString,
        /// Where, relative to the new root.
        target: CString,
        /// MOUNT_ATTR_NOEXEC.
        no_exec: bool,
    },
    /// A procfs of the new PID namespace (`hidepid=ptraceable`: only what the reader may trace is shown).
    Proc(CString),
    /// A directory of the new root's procfs gives its place to one that has `yama/ptrace_scope`, and goes to [`super::BEHIND`] in it.
    Yama {
        /// Which directory.
        target: CString,
        /// What the file says.
        scope: Vec<u8>,
        /// Symbolic links: target, link.
        beside: Vec<(CString, CString)>,
    },
    /// A devpts instance of the box's own.
    Devpts(CString),
    /// An empty directory in the host's view, or a file that says this, which protects a name that does not exist; removed at the end.
    /// Fails silently when it exists.
    Placeholder(CString, Option<&'static str>),
    /// Removes a name in the new root (a mask's source, once it is bound): path, is a directory.
    Unlink(CString, bool),
    /// Makes the new root read-only and pivots into it.
    PivotRoot,
    /// Allows rights beneath a path of the box's view, in the launch's ruleset.
    LandlockPath {
        /// Path in the box's view.
        path: CString,
        /// LANDLOCK_ACCESS_FS_*.
        access: u64,
        /// What it was.
        seen: Seen,
    },
    /// chdir("/"), so that the keeper pins no directory.
    Root,
    /// Waits for what the supervisor prepares meanwhile (the control groups): an eventfd, and the supervisor's pidfd.
    Prepared(ChildFd, ChildFd),
}

impl SetupOp {
    /// The step in words, for an error message.
    pub fn words(&self) -> String {
        match self {
            Self::WriteFile(path, _) => format!("write {}", quoted(path)),
            Self::Hostname(name) => format!("sethostname {}", quoted(name)),
            Self::LoopbackUp => "bring up the loopback interface".into(),
            Self::EnterNetwork(_) => "enter the network namespace".into(),
            Self::PrivateMounts => "make mounts private".into(),
            Self::NewRoot(at) => format!("mount the new root at {}", quoted(at)),
            Self::Mkdir(path, _) => format!("mkdir {}", quoted(path)),
            Self::MakeFile(path, _) | Self::MakeText(path, _) => format!("create {}", quoted(path)),
            Self::Symlink(_, link) => format!("symlink {}", quoted(link)),
            Self::Bind { source, target, .. } => format!("bind {} on {}", quoted(source), quoted(target)),
            Self::Disk(..) => "mount the private disk".into(),
            Self::DiskDir { target, .. } => format!("mount the private {}", quoted(target)),
            Self::Proc(target) => format!("mount proc on {}", quoted(target)),
            Self::Yama { target, .. } => format!("show ptrace_scope in {}", quoted(target)),
            Self::Devpts(target) => format!("mount devpts on {}", quoted(target)),
            Self::Placeholder(path, _) => format!("create the protected name {}", quoted(path)),
            Self::Unlink(path, _) => format!("unlink {}", quoted(path)),
            Self::PivotRoot => "pivot_root".into(),
            Self::LandlockPath { path, .. } => format!("landlock rule for {}", quoted(path)),
            Self::Root => "chdir \"/\"".into(),
            Self::Prepared(..) => "wait for the control groups".into(),
        }
    }
}

/// What one step leaves for the next.
pub(crate) struct State {
    /// Descriptor of the new root, -1 before [`SetupOp::NewRoot`].
    pub root: i32,
    /// Descriptor of the private disk, -1 before [`SetupOp::Disk`].
    pub disk: i32,
    /// Landlock's ruleset, -1 without.
    pub ruleset: i32,
}

fn write_file(directory: i32, path: &CStr, data: &[u8]) -> Result<(), Errno> {
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: open, write and close with data that lives across the calls.
    unsafe {
        let fd = call_retry(libc::SYS_openat, [word(directory), ptr(path), flags, 0, 0, 0])?;
        let done = call_retry(libc::SYS_write, [fd, data.as_ptr() as usize, data.len(), 0, 0, 0]);
        let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        done.map(drop)
    }
}

/// A tmpfs takes a short text whole.
fn make_text(directory: i32, path: &CStr, text: &[u8]) -> Result<(), Errno> {
    mounts::make_file(directory, path, 0o644)?;
    write_file(directory, path, text)
}

/// Sets IFF_UP on `lo`; the kernel gives it 127.0.0.1 and ::1 by that alone.
pub(crate) fn loopback_up() -> Result<(), Errno> {
    #[repr(C)]
    struct Ifreq {
        name: [u8; 16],
        flags: i16,
        pad: [u8; 22],
    }
    const SIOCSIFFLAGS: usize = 0x8914;
    let mut name = [0u8; 16];
    name[0] = b'l';
    name[1] = b'o';
    let request = Ifreq { name, flags: (libc::IFF_UP | libc::IFF_RUNNING) as i16, pad: [0; 22] };
    let kind = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize;
    // SAFETY: the ioctl reads one struct ifreq (40 bytes).
    unsafe {
        let fd = call(libc::SYS_socket, [libc::AF_INET as usize, kind, 0, 0, 0, 0])?;
        let done = call(libc::SYS_ioctl, [fd, SIOCSIFFLAGS, crate::raw::addr(&request), 0, 0, 0]);
        let _ = call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
        done.map(drop)
    }
}

/// Executes one step. Child-safe.
pub(crate) fn run(op: &SetupOp, state: &mut State) -> Result<(), Errno> {
    match op {
        SetupOp::WriteFile(path, data) => write_file(libc::AT_FDCWD, path, data),
        // SAFETY: sethostname reads `len` bytes of the name.
        SetupOp::Hostname(name) => unsafe {
            call(libc::SYS_sethostname, [ptr(name), name.as_bytes().len(), 0, 0, 0, 0]).map(drop)
        },
        SetupOp::LoopbackUp => loopback_up(),
        // SAFETY: integers.
        SetupOp::EnterNetwork(fd) => unsafe {
            call(libc::SYS_setns, [word(*fd), libc::CLONE_NEWNET as usize, 0, 0, 0, 0]).map(drop)
        },
        SetupOp::PrivateMounts => mounts::make_private(),
        SetupOp::NewRoot(at) => mounts::new_root(at).map(|fd| state.root = fd),
        SetupOp::Mkdir(path, mode) => mounts::mkdir(state.root, path, *mode),
        SetupOp::MakeFile(path, mode) => mounts::make_file(state.root, path, *mode),
        SetupOp::MakeText(path, text) => make_text(state.root, path, text),
        SetupOp::Symlink(target, link) => mounts::symlink(state.root, target, link),
        SetupOp::Bind { source, target, flags, inside, seen } => {
            let from = if *inside { state.root } else { libc::AT_FDCWD };
            mounts::bind(from, source, state.root, target, *flags, (!inside).then_some(seen))
        }
        SetupOp::Disk(at, size) => mounts::disk(at, size.as_ref()).map(|fd| state.disk = fd),
        SetupOp::DiskDir { name, target, no_exec } => {
            mounts::mkdir(state.disk, name, 0o1777)?;
            let flags = BindFlags { read_only: false, no_dev: true, no_exec: *no_exec, recursive: false };
            mounts::bind(state.disk, name, state.root, target, flags, None)
        }
        SetupOp::Proc(target) => mounts::proc(state.root, target),
        SetupOp::Yama { target, scope, beside } => {
            let cover = mounts::small_tree()?;
            mounts::mkdir(cover, c"yama", 0o555)?;
            make_text(cover, c"yama/ptrace_scope", scope)?;
            for (target, link) in beside {
                mounts::symlink(cover, target, link)?;
            }
            mounts::put_before(cover, state.root, target)
        }
        SetupOp::Devpts(target) => mounts::devpts(state.root, target),
        SetupOp::Placeholder(path, None) => mounts::placeholder(path),
        SetupOp::Placeholder(path, Some(text)) => mounts::placeholder_text(path, text),
        SetupOp::Unlink(path, directory) => mounts::unlink(state.root, path, *directory),
        SetupOp::PivotRoot => mounts::pivot(state.root),
        SetupOp::LandlockPath { path, access, seen } => {
            landlock::add_path_raw(state.ruleset, path, *access, Some(seen))
        }
        // SAFETY: a constant path.
        SetupOp::Root => unsafe { call(libc::SYS_chdir, [ptr(c"/"), 0, 0, 0, 0, 0]).map(drop) },
        SetupOp::Prepared(eventfd, supervisor) => super::told_to_go(*eventfd, *supervisor, None),
    }
}
