//! fsopen(2), open_tree(2), move_mount(2), mount_setattr(2) (Linux 5.12), pivot_root(2): the new mount tree.
//!
//! Everything is attached by descriptor, relative to the new root, so no path of the host can be swapped under us
//! once it is open, and nothing needs a temporary directory.

use std::ffi::{CStr, CString};

use super::{BindFlags, Seen};
use crate::raw::{Errno, addr, call, ptr, word};

const OPEN_TREE_CLONE: usize = 1;
const OPEN_TREE_CLOEXEC: usize = libc::O_CLOEXEC as usize;
const AT_RECURSIVE: usize = 0x8000;
const AT_EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;
const AT_SYMLINK_NOFOLLOW: usize = libc::AT_SYMLINK_NOFOLLOW as usize;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;
const FSOPEN_CLOEXEC: usize = 1;
const FSMOUNT_CLOEXEC: usize = 1;
const FSCONFIG_SET_STRING: usize = 1;
const FSCONFIG_CMD_CREATE: usize = 6;

const ATTR_RDONLY: u64 = 1;
const ATTR_NOSUID: u64 = 2;
const ATTR_NODEV: u64 = 4;
const ATTR_NOEXEC: u64 = 8;

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

fn close(fd: usize) {
    // SAFETY: a descriptor that this module opened.
    let _ = unsafe { call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]) };
}

fn setattr(fd: usize, recursive: bool, set: u64) -> Result<(), Errno> {
    let attr = MountAttr { attr_set: set, ..MountAttr::default() };
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: an empty path and a struct mount_attr of the size given.
    unsafe { call(libc::SYS_mount_setattr, [fd, ptr(c""), flags, addr(&attr), size_of::<MountAttr>(), 0]).map(drop) }
}

fn attach(fd: usize, at: i32, target: &CStr) -> Result<(), Errno> {
    // SAFETY: two C strings.
    unsafe { call(libc::SYS_move_mount, [fd, ptr(c""), word(at), ptr(target), MOVE_MOUNT_F_EMPTY_PATH, 0]).map(drop) }
}

/// A detached mount of a new file system instance.
fn new_instance(kind: &CStr, options: &[(&CStr, &CStr)], attr: u64) -> Result<usize, Errno> {
    // SAFETY: C strings that live across the calls.
    unsafe {
        let fs = call(libc::SYS_fsopen, [ptr(kind), FSOPEN_CLOEXEC, 0, 0, 0, 0])?;
        let mut done = Ok(0);
        for (key, value) in options {
            done = done.and_then(|_| call(libc::SYS_fsconfig, [fs, FSCONFIG_SET_STRING, ptr(key), ptr(value), 0, 0]));
        }
        let mount = done
            .and_then(|_| call(libc::SYS_fsconfig, [fs, FSCONFIG_CMD_CREATE, 0, 0, 0, 0]))
            .and_then(|_| call(libc::SYS_fsmount, [fs, FSMOUNT_CLOEXEC, attr as usize, 0, 0, 0]));
        close(fs);
        mount
    }
}

fn mount_instance(kind: &CStr, options: &[(&CStr, &CStr)], attr: u64, root: i32, target: &CStr) -> Result<(), Errno> {
    let mount = new_instance(kind, options, attr)?;
    let done = attach(mount, root, target);
    close(mount);
    done
}

/// Recursive MS_PRIVATE on "/": nothing that is mounted here is seen outside, nor the reverse.
pub(crate) fn make_private() -> Result<(), Errno> {
    let flags = (libc::MS_REC | libc::MS_PRIVATE) as usize;
    // SAFETY: only the target is read for a propagation change.
    unsafe { call(libc::SYS_mount, [0, ptr(c"/"), 0, flags, 0, 0]).map(drop) }
}

/// The tmpfs of the new root, small: it holds mount points only.
pub(super) fn new_root(at: &CString) -> Result<i32, Errno> {
    let options = [(c"size", c"4m"), (c"mode", c"755")];
    let mount = new_instance(c"tmpfs", &options, ATTR_NOSUID | ATTR_NODEV)?;
    attach(mount, libc::AT_FDCWD, at)?;
    Ok(mount as i32)
}

/// An empty directory and an empty file without permissions, as read-only mounts that are attached nowhere. The caller has a mount namespace of its own,
/// in which their file system stays.
pub(crate) fn covers() -> Result<(usize, usize), Errno> {
    let mount = new_instance(c"tmpfs", &[(c"size", c"4k"), (c"mode", c"755")], 0)?;
    attach(mount, libc::AT_FDCWD, c"/")?;
    // SAFETY: integers and C strings.
    let cover = |name: &CStr| unsafe {
        let tree = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
        let fd = call(libc::SYS_open_tree, [mount, ptr(name), tree, 0, 0, 0])?;
        setattr(fd, false, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC).map(|()| fd)
    };
    // SAFETY: C strings.
    unsafe {
        call(libc::SYS_mkdirat, [mount, ptr(c"d"), 0, 0, 0, 0])?;
        call(libc::SYS_mknodat, [mount, ptr(c"f"), libc::S_IFREG as usize, 0, 0, 0])?;
    }
    Ok((cover(c"d")?, cover(c"f")?))
}

/// The keeper's umask is 0.
pub(super) fn mkdir(root: i32, path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: a C string.
    unsafe {
        match call(libc::SYS_mkdirat, [word(root), ptr(path), mode as usize, 0, 0, 0]) {
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

pub(super) fn make_file(root: i32, path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: a C string.
    unsafe {
        match call(libc::SYS_mknodat, [word(root), ptr(path), (libc::S_IFREG | mode) as usize, 0, 0, 0]) {
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

pub(super) fn symlink(root: i32, target: &CStr, link: &CStr) -> Result<(), Errno> {
    // SAFETY: two C strings.
    unsafe {
        match call(libc::SYS_symlinkat, [ptr(target), word(root), ptr(link), 0, 0, 0]) {
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// `seen` takes what the source was.
pub(super) fn bind(
    from: i32,
    source: &CString,
    root: i32,
    target: &CString,
    flags: BindFlags,
    seen: Option<&Seen>,
) -> Result<(), Errno> {
    let tree = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
    let tree = tree | if flags.recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: a C string.
    let fd = unsafe { call(libc::SYS_open_tree, [word(from), ptr(source), tree, 0, 0, 0])? };
    if let Some(seen) = seen {
        seen.look(fd as i32);
    }
    let mut set = ATTR_NOSUID;
    if flags.read_only {
        set |= ATTR_RDONLY;
    }
    if flags.no_dev {
        set |= ATTR_NODEV;
    }
    if flags.no_exec {
        set |= ATTR_NOEXEC;
    }
    let done = setattr(fd, flags.recursive, set).and_then(|()| attach(fd, root, target));
    close(fd);
    done
}

/// A tmpfs for everything private, so that its size bounds the sum.
pub(super) fn disk(at: &CString, size: Option<&CString>) -> Result<i32, Errno> {
    let attr = ATTR_NOSUID | ATTR_NODEV;
    let mount = match size {
        Some(size) => new_instance(c"tmpfs", &[(c"size", size), (c"mode", c"755")], attr)?,
        None => new_instance(c"tmpfs", &[(c"mode", c"755")], attr)?,
    };
    attach(mount, libc::AT_FDCWD, at)?;
    Ok(mount as i32)
}

pub(super) fn proc(root: i32, target: &CString) -> Result<(), Errno> {
    let attr = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
    // `ptraceable` (Linux 5.8) hides the keeper, whose command line is the supervisor's, from group 0 as well, which
    // `invisible` lets see everything.
    match mount_instance(c"proc", &[(c"hidepid", c"ptraceable")], attr, root, target) {
        Err(Errno::INVAL) => mount_instance(c"proc", &[(c"hidepid", c"2")], attr, root, target),
        other => other,
    }
}

/// A tmpfs for some names, attached nowhere yet.
pub(super) fn small_tree() -> Result<i32, Errno> {
    let attr = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
    new_instance(c"tmpfs", &[(c"size", c"64k"), (c"mode", c"755")], attr).map(|mount| mount as i32)
}

/// Attaches a tree, read-only from then on, at a directory, which is found at [`super::BEHIND`] in the tree. Closes it.
pub(super) fn put_before(tree: i32, root: i32, target: &CStr) -> Result<(), Errno> {
    mkdir(tree, super::BEHIND, 0o755)?;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
    // SAFETY: a C string.
    let behind = unsafe { call(libc::SYS_open_tree, [word(root), ptr(target), flags, 0, 0, 0])? };
    // Before Linux 6.15 a mount that is not attached takes no other.
    let done = attach(word(tree), root, target)
        .and_then(|()| attach(behind, tree, super::BEHIND))
        .and_then(|()| setattr(word(tree), false, ATTR_RDONLY));
    close(behind);
    close(word(tree));
    done
}

pub(super) fn devpts(root: i32, target: &CString) -> Result<(), Errno> {
    let options = [(c"mode", c"620"), (c"ptmxmode", c"666")];
    mount_instance(c"devpts", &options, ATTR_NOSUID | ATTR_NOEXEC, root, target)
}

pub(super) fn placeholder(path: &CString) -> Result<(), Errno> {
    mkdir(libc::AT_FDCWD, path, super::PLACEHOLDER_MODE)
}

/// As long as it is empty nobody may open it but root, who must be quick.
pub(super) fn placeholder_text(path: &CString, text: &str) -> Result<(), Errno> {
    let flags = (libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC) as usize;
    // SAFETY: a C string, and data that lives across the calls.
    unsafe {
        let fd = match call(libc::SYS_openat, [word(libc::AT_FDCWD), ptr(path), flags, 0, 0, 0]) {
            Ok(fd) => fd,
            Err(Errno::EXIST) => return Ok(()),
            Err(e) => return Err(e),
        };
        let done = call(libc::SYS_write, [fd, text.as_ptr() as usize, text.len(), 0, 0, 0])
            .and_then(|_| call(libc::SYS_fchmod, [fd, 0o644, 0, 0, 0, 0]));
        close(fd);
        done.map(drop)
    }
}

pub(super) fn unlink(root: i32, path: &CString, directory: bool) -> Result<(), Errno> {
    let flags = if directory { libc::AT_REMOVEDIR as usize } else { 0 };
    // SAFETY: a C string.
    unsafe { call(libc::SYS_unlinkat, [word(root), ptr(path), flags, 0, 0, 0]).map(drop) }
}

/// The new root becomes "/", read-only; the old one is gone. pivot_root(".", ".") stacks the old root on the new
/// one, so that no directory is needed for it.
pub(super) fn pivot(root: i32) -> Result<(), Errno> {
    setattr(word(root), false, ATTR_RDONLY)?;
    // SAFETY: constant paths and a descriptor of ours.
    unsafe {
        call(libc::SYS_fchdir, [word(root), 0, 0, 0, 0, 0])?;
        call(libc::SYS_pivot_root, [ptr(c"."), ptr(c"."), 0, 0, 0, 0])?;
        call(libc::SYS_umount2, [ptr(c"."), libc::MNT_DETACH as usize, 0, 0, 0, 0])?;
        call(libc::SYS_chdir, [ptr(c"/"), 0, 0, 0, 0, 0])?;
    }
    close(word(root));
    Ok(())
}
