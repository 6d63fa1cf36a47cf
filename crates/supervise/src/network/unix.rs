//! Unix sockets by name: what a path means to a guest, pinned.
//!
//! The path is copied once and walked in the guest's view; what is found is held open (O_PATH) and judged: the box's root, a name beneath a
//! path of `filesystem.write`, a mount that can be written. The call is then made on what is held, by `/proc/self/fd/N` for a socket that is
//! there (connect(2), sendmsg(2) follow the link to the inode), from the pinned directory for one that is to be made. So no link, mount or
//! rename that comes afterwards leads it elsewhere.
//!
//! What the kernel looks at in the caller besides: ids (unix(7): write permission on the socket, search permission on the way). The deputy
//! has no capability, and makes the call only where its ids and groups are the caller's.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatVfsMountFlags, StatxFlags, fstat, fstatvfs, openat, statx};
use tipstaff_abi::errno::{EACCES, EADDRINUSE, ECONNREFUSED, EINTR, EINVAL, ENOENT};

use super::address::{self, AF_UNIX};
use crate::handler::{AT_FDCWD, Action, Denied, Found, Last, Trap};

/// sizeof(struct sockaddr_un): unix(7).
const ADDRESS: usize = 110;

/// What an address of a unix socket says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Path(PathBuf),
    /// A name without a file, which every process of the network namespace sees.
    Abstract,
    /// bind(2) would choose an abstract name.
    Unnamed,
}

/// Reads an address. Err: what the kernel would say to it.
pub(super) fn parse(bytes: &[u8]) -> Result<Name, u16> {
    if bytes.len() > ADDRESS || address::family(bytes).map(i32::from) != Some(AF_UNIX) {
        return Err(EINVAL);
    }
    match &bytes[2..] {
        [] => Ok(Name::Unnamed),
        [0, ..] => Ok(Name::Abstract),
        path => {
            // Up to the first null byte, or the end of the address: unix(7), "Pathname sockets".
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            Ok(Name::Path(OsStr::from_bytes(&path[..end]).into()))
        }
    }
}

/// struct sockaddr_un.
pub(super) fn bytes_of(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ADDRESS);
    bytes.extend((AF_UNIX as u16).to_ne_bytes());
    bytes.extend(path);
    bytes.push(0);
    bytes
}

/// Ids and groups, in the words of proc(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who(Vec<String>);

impl Who {
    fn read(status: &str) -> Self {
        let kept = |line: &&str| ["Uid:", "Gid:", "Groups:"].iter().any(|key| line.starts_with(key));
        Self(status.lines().filter(kept).map(|line| line.trim_end().to_owned()).collect())
    }

    /// The calling thread. It needs procfs(5), so it is asked before the thread is confined.
    pub fn this_thread() -> Option<Self> {
        std::fs::read_to_string("/proc/thread-self/status").ok().map(|status| Self::read(&status))
    }
}

/// Something of a guest's view that a call is about, held open.
pub(super) struct Pin {
    /// The socket's inode; None where one is to be made.
    file: Option<OwnedFd>,
    /// The directory that it stands in.
    directory: OwnedFd,
    path: PathBuf,
    caller: Who,
    umask: Mode,
}

pub(super) fn denied(rule: String, allow_with: Option<String>) -> Action {
    Action::Deny(Box::new(Denied { errno: EACCES, rule, allow_with }))
}

fn failed(errno: u16) -> Action {
    Action::Return(-i64::from(errno))
}

/// How deep a directory may lie for its way up to be looked at.
const DEPTH: usize = 128;

impl Pin {
    /// The socket that a path leads to.
    pub fn socket(trap: &Trap<'_>, path: &Path, shown: &Shown<'_>) -> Result<Self, Action> {
        let found = trap.find(AT_FDCWD, path, Last::Follow).map_err(failed)?;
        let file = found.file().and_then(|file| file.try_clone_to_owned().ok()).ok_or_else(|| failed(ENOENT))?;
        let kind = fstat(&file).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if kind != Ok(FileType::Socket) {
            return Err(failed(ECONNREFUSED));
        }
        // The directory under its name of now: another one would have to let itself be searched too.
        let parent = found.path().parent().unwrap_or(Path::new("/"));
        let directory = trap.find(AT_FDCWD, parent, Last::Follow).map_err(failed)?;
        Self::new(trap, &found, &directory, Some(file), shown)
    }

    /// The directory in which a socket is to be made, and its name there.
    pub fn place(trap: &Trap<'_>, path: &Path, shown: &Shown<'_>) -> Result<(Self, Vec<u8>), Action> {
        let bytes = path.as_os_str().as_bytes();
        let cut = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let (parent, name) = bytes.split_at(cut);
        match name {
            b"" => return Err(failed(ENOENT)),
            b"." | b".." => return Err(failed(EADDRINUSE)),
            _ => {}
        }
        let parent = if parent.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(parent) };
        let directory = trap.find(AT_FDCWD, parent.as_ref(), Last::Follow).map_err(failed)?;
        Ok((Self::new(trap, &directory, &directory, None, shown)?, name.to_vec()))
    }

    fn new(
        trap: &Trap<'_>,
        found: &Found,
        directory: &Found,
        file: Option<OwnedFd>,
        shown: &Shown<'_>,
    ) -> Result<Self, Action> {
        let what = file.as_ref().map_or("a unix socket in", |_| "the unix socket");
        shown.judge(trap, what, found, file.is_some())?;
        let directory =
            directory.file().and_then(|file| file.try_clone_to_owned().ok()).ok_or_else(|| failed(ENOENT))?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", trap.tid())).map_err(|_| failed(ENOENT))?;
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        let umask = umask.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o077);
        // All of this was found under the caller's number.
        if !trap.is_waiting() {
            return Err(failed(EINTR));
        }
        let path = found.path().to_owned();
        Ok(Self { file, directory, path, caller: Who::read(&status), umask: Mode::from_raw_mode(umask) })
    }

    /// The address under which the kernel finds what is held.
    pub fn address(&self) -> Vec<u8> {
        let file = self.file.as_ref().unwrap_or(&self.directory);
        bytes_of(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())
    }

    /// Whether the calling thread, which is `own`, may stand for the caller here.
    pub fn admits(&self, own: Option<&Who>) -> Result<(), Action> {
        if own != Some(&self.caller) {
            let rule = format!("network rules by address: {:?} by a user other than the supervisor's", self.path);
            return Err(denied(rule, Some("--net host".to_owned())));
        }
        self.search().map_err(failed)
    }

    /// Every directory on the way up can be searched by this thread, which has no capability: path_resolution(7).
    fn search(&self) -> Result<(), u16> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let code = |e: rustix::io::Errno| e.raw_os_error() as u16;
        let id = |fd: &OwnedFd| {
            statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID)
                .map(|seen| (seen.stx_dev_major, seen.stx_dev_minor, seen.stx_ino, seen.stx_mnt_id))
                .map_err(code)
        };
        let mut at = openat(&self.directory, ".", flags, Mode::empty()).map_err(code)?;
        for _ in 0..DEPTH {
            let up = openat(&at, "..", flags, Mode::empty()).map_err(code)?;
            if id(&up)? == id(&at)? {
                return Ok(());
            }
            at = up;
        }
        Err(EACCES)
    }

    /// Makes a socket of this name in the directory, as the caller would: its umask, its ids. The thread must have a working directory and a
    /// umask of its own (CLONE_FS left out), for bind(2) knows no directory descriptor.
    pub fn make(&self, socket: &OwnedFd, name: &[u8]) -> Result<(), u16> {
        rustix::process::fchdir(&self.directory).map_err(|e| e.raw_os_error() as u16)?;
        let before = rustix::process::umask(self.umask);
        let done = tipstaff_sys::socket::bind(socket.as_fd(), &bytes_of(name));
        rustix::process::umask(before);
        // A directory of the box is not to be kept in use.
        let _ = rustix::process::chdir("/");
        done.map_err(|e| e.0 as u16)
    }
}

/// What a box's sockets may stand beneath.
pub(super) struct Shown<'a> {
    /// `filesystem.write`, as the box sees it.
    pub writable: &'a [PathBuf],
    /// A process in the box's root that runs no code of the guest; 0: not known.
    pub ancestor: i32,
}

impl Shown<'_> {
    fn judge(&self, trap: &Trap<'_>, what: &str, found: &Found, is_file: bool) -> Result<(), Action> {
        let path = found.path();
        let said = |why: &str| format!("network rules by address: {what} {path:?} {why}");
        // Paths are the rules' only in the box's own root.
        if !self.is_root_of(trap.tid()) {
            return Err(denied(said("in another root"), None));
        }
        // What is only to be read may lie beneath what may be written; a mount tells, and connect(2) does not ask it.
        let mount = found.file().and_then(|file| fstatvfs(file).ok());
        let read_only = mount.is_none_or(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY));
        if read_only || !found.is_named() || !self.writable.iter().any(|top| path.starts_with(top)) {
            let top = path.parent().filter(|_| is_file).unwrap_or(path);
            let cure = format!("--write {}", top.display());
            return Err(denied(said("is beneath no path of filesystem.write"), Some(cure)));
        }
        Ok(())
    }

    fn is_root_of(&self, tid: i32) -> bool {
        let id = |pid: i32| {
            let seen = statx(
                rustix::fs::CWD,
                format!("/proc/{pid}/root"),
                AtFlags::empty(),
                StatxFlags::INO | StatxFlags::MNT_ID,
            )
            .ok()?;
            Some((seen.stx_dev_major, seen.stx_dev_minor, seen.stx_ino, seen.stx_mnt_id))
        };
        self.ancestor != 0 && id(tid).is_some_and(|root| id(self.ancestor) == Some(root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_the_kernel_ends_them() {
        let said = |rest: &[u8]| {
            let mut bytes = (AF_UNIX as u16).to_ne_bytes().to_vec();
            bytes.extend(rest);
            parse(&bytes)
        };
        assert_eq!(said(b""), Ok(Name::Unnamed));
        assert_eq!(said(b"\0/run/x"), Ok(Name::Abstract));
        assert_eq!(said(b"/run/x"), Ok(Name::Path("/run/x".into())), "the length ends it");
        assert_eq!(said(b"/run/x\0y"), Ok(Name::Path("/run/x".into())), "a null byte ends it");
        assert_eq!(said(&[b'x'; 108]), Ok(Name::Path("x".repeat(108).into())));
        assert_eq!(said(&[b'x'; 109]), Err(EINVAL));
        assert_eq!(parse(&[2, 0, 0, 80, 127, 0, 0, 1]), Err(EINVAL));
        assert_eq!(parse(&[1]), Err(EINVAL));
    }

    #[test]
    fn only_whoever_has_the_callers_ids_stands_for_it() {
        let own = Who::this_thread().expect("proc(5)");
        let directory = tempfile::tempdir().expect("directory");
        let open = |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("open");
        let pin = |caller: Who| Pin {
            file: None,
            directory: open(directory.path()),
            path: directory.path().to_owned(),
            caller,
            umask: Mode::from_raw_mode(0o077),
        };
        assert!(pin(own.clone()).admits(Some(&own)).is_ok());
        let other = Who::read("Uid:\t4294967294\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \n");
        assert!(matches!(pin(other.clone()).admits(Some(&own)), Err(Action::Deny(_))));
        assert!(matches!(pin(other).admits(None), Err(Action::Deny(_))), "an unknown self stands for nobody");
    }
}
