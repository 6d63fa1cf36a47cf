//! What a path means to a guest: path_resolution(7), walked from outside.
//!
//! openat2(2) with RESOLVE_IN_ROOT follows no magic link, and `/proc/self` would be ours. So each component is opened here by itself
//! (O_PATH: nothing is opened that could block or act), in the guest's root, from its working directory or descriptor.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, StatxFlags, fstat, fstatfs, openat, readlinkat, statx,
};
use rustix::io::Errno;
use tipstaff_abi::errno::{ELOOP, ENOENT, ENOTDIR};

use super::Trap;

/// AT_FDCWD: a relative path starts at the working directory.
pub const AT_FDCWD: i32 = -100;
/// MAXSYMLINKS.
const LINKS: usize = 40;
/// PROC_ROOT_INO.
const PROC_ROOT: u64 = 1;
const HERE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// What happens to a symbolic link that stands at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It is followed.
    Follow,
    /// It is meant itself (O_NOFOLLOW, AT_SYMLINK_NOFOLLOW, unlink(2) and so on), unless a slash follows it.
    Keep,
}

/// Where a path leads.
#[derive(Debug)]
pub struct Found {
    path: PathBuf,
    file: Option<OwnedFd>,
    named: bool,
    /// A component before the last one does not exist.
    cut: bool,
}

impl Found {
    /// The path without links and dots, as the guest's root has it; for a last component that does not exist, its directory's and the name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself (O_PATH); None if its last component does not exist, as where a file is to be created.
    #[must_use]
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// A directory on the way does not exist: the kernel answers ENOENT.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// It stands somewhere in a tree. Pipes, sockets, memfds and removed files, which `/proc/PID/fd` leads to, do not.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.named
    }
}

impl Trap<'_> {
    /// Looks a path up as the kernel would for the caller now: its root, working directory or descriptor, links, magic links. Errors are those
    /// of the lookup. The guest can change all of this afterwards: see the [module's table](super).
    pub fn find(&self, dirfd: i32, path: &Path, last: Last) -> Result<Found, u16> {
        self.look(dirfd, path, last, false).and_then(|found| if found.cut { Err(ENOENT) } else { Ok(found) })
    }

    /// As [`Self::find`]; where a directory on the way does not exist, the path as it is written from there on. `inside`: the directory is
    /// the root (RESOLVE_IN_ROOT of openat2(2)).
    pub(crate) fn look(&self, dirfd: i32, path: &Path, last: Last, inside: bool) -> Result<Found, u16> {
        if path.as_os_str().is_empty() {
            return Err(ENOENT);
        }
        // Descriptors, directories and links can be changed as memory can.
        self.looked.set(true);
        let mut walk = Walk::of(self.tid())?;
        if inside {
            walk.inner = Some(walk.start(dirfd)?);
        }
        let at = if inside || path.is_absolute() { walk.root()? } else { walk.start(dirfd)? };
        walk.go(at, path.as_os_str(), last)
    }

    /// What a descriptor of the caller refers to (AT_EMPTY_PATH).
    pub fn find_fd(&self, fd: i32) -> Result<Found, u16> {
        self.looked.set(true);
        let walk = Walk::of(self.tid())?;
        let file = walk.start(fd)?;
        walk.found(file, None)
    }
}

struct Walk {
    tid: i32,
    root: OwnedFd,
    /// A root below the root.
    inner: Option<OwnedFd>,
}

fn code(errno: Errno) -> u16 {
    errno.raw_os_error() as u16
}

fn here(at: impl AsFd, name: impl rustix::path::Arg, flags: OFlags) -> Result<OwnedFd, u16> {
    openat(at, name, HERE | flags, Mode::empty()).map_err(code)
}

impl Walk {
    fn of(tid: i32) -> Result<Self, u16> {
        Ok(Self { tid, root: here(CWD, format!("/proc/{tid}/root"), OFlags::empty())?, inner: None })
    }

    fn root(&self) -> Result<OwnedFd, u16> {
        here(self.inner.as_ref().unwrap_or(&self.root), ".", OFlags::empty())
    }

    fn start(&self, dirfd: i32) -> Result<OwnedFd, u16> {
        let tid = self.tid;
        // A thread can have descriptors of its own (CLONE_FILES left out): not its leader's.
        if dirfd == AT_FDCWD {
            return here(CWD, format!("/proc/{tid}/cwd"), OFlags::empty());
        }
        const EBADF: u16 = 9;
        here(CWD, format!("/proc/{tid}/fd/{dirfd}"), OFlags::empty()).map_err(|e| if e == ENOENT { EBADF } else { e })
    }

    fn go(&self, mut at: OwnedFd, path: &OsStr, last: Last) -> Result<Found, u16> {
        let mut rest: VecDeque<OsString> = VecDeque::new();
        push(&mut rest, path);
        let mut slash = ends_in_directory(path);
        let mut links = 0;
        // Where `at` was found by its name.
        let mut step = None;
        while let Some(name) = rest.pop_front() {
            if name == "." {
                continue;
            }
            if name == ".." {
                if !self.is_root(&at)? {
                    at = here(&at, "..", OFlags::DIRECTORY)?;
                }
                step = None;
                continue;
            }
            let is_last = rest.is_empty();
            let next = match here(&at, &*name, OFlags::NOFOLLOW) {
                Ok(next) => next,
                Err(ENOENT) => return self.missing(&at, &name, &rest),
                Err(errno) => return Err(errno),
            };
            let stat = fstat(&next).map_err(code)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind != FileType::Symlink {
                if kind != FileType::Directory && (!is_last || slash) {
                    return Err(ENOTDIR);
                }
                step = Some((std::mem::replace(&mut at, next), name));
                continue;
            }
            if is_last && last == Last::Keep && !slash {
                return self.found(next, Some((at, name)));
            }
            links += 1;
            if links > LINKS {
                return Err(ELOOP);
            }
            match self.link(&at, &name, &next)? {
                Link::To(file) => (at, step) = (file, None),
                Link::Says(to) => {
                    if to.as_bytes().starts_with(b"/") {
                        (at, step) = (self.root()?, None);
                    }
                    slash |= is_last && ends_in_directory(&to);
                    push(&mut rest, &to);
                }
            }
        }
        if slash && FileType::from_raw_mode(fstat(&at).map_err(code)?.st_mode) != FileType::Directory {
            return Err(ENOTDIR);
        }
        self.found(at, step)
    }

    /// Where the link `name`, open as `link`, leads. Below `/proc/PID` links are magic: only the kernel can follow them.
    fn link(&self, at: &OwnedFd, name: &OsStr, link: &OwnedFd) -> Result<Link, u16> {
        let text = || readlinkat(link, "", Vec::new()).map_err(code).map(|to| OsString::from_vec(to.into_bytes()));
        if fstatfs(link).map_err(code)?.f_type != PROC_SUPER_MAGIC {
            return text().map(Link::Says);
        }
        if fstat(at).map_err(code)?.st_ino != PROC_ROOT {
            return here(at, name, OFlags::empty()).map(Link::To);
        }
        if name != "self" && name != "thread-self" {
            return text().map(Link::Says);
        }
        // Theirs, not ours: as this procfs numbers them. Where it cannot number us, it is that of the guest's own namespace.
        let ours = readlinkat(at, "self", Vec::new()).is_ok();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.tid)).map_err(|_| ENOENT)?;
        let number = |key: &str| {
            let numbers = status.lines().find_map(|line| line.strip_prefix(key))?;
            let mut numbers = numbers.split_ascii_whitespace();
            if ours { numbers.next() } else { numbers.next_back() }
        };
        let (Some(process), Some(thread)) = (number("NStgid:"), number("NSpid:")) else { return Err(ENOENT) };
        let to = if name == "self" { process.to_owned() } else { format!("{process}/task/{thread}") };
        Ok(Link::Says(to.into()))
    }

    /// `..` of the root is the root. A mount's root can be bound elsewhere too, so the mount counts.
    fn is_root(&self, at: &OwnedFd) -> Result<bool, u16> {
        let id = |fd: BorrowedFd<'_>| -> Result<_, u16> {
            let seen = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::MNT_ID).map_err(code)?;
            Ok((seen.stx_dev_major, seen.stx_dev_minor, seen.stx_ino, seen.stx_mnt_id))
        };
        let here = id(at.as_fd())?;
        let inner = self.inner.as_ref().map(|inner| id(inner.as_fd())).transpose()?;
        Ok(here == id(self.root.as_fd())? || inner == Some(here))
    }

    fn found(&self, file: OwnedFd, step: Option<(OwnedFd, OsString)>) -> Result<Found, u16> {
        let linked = fstat(&file).map_err(code)?.st_nlink > 0;
        // A removed file that is mounted somewhere, as masks are, is what that name means.
        let (path, named) = match step {
            Some((directory, name)) if !linked => (self.text(&directory)?.join(name), true),
            _ => (self.text(&file)?, linked),
        };
        let named = named && path.is_absolute();
        Ok(Found { path, file: Some(file), named, cut: false })
    }

    fn missing(&self, directory: &OwnedFd, name: &OsStr, rest: &VecDeque<OsString>) -> Result<Found, u16> {
        let mut path = self.text(directory)?.join(name);
        for part in rest.iter().filter(|part| *part != ".") {
            if part == ".." {
                path.pop();
            } else {
                path.push(part);
            }
        }
        Ok(Found { path, file: None, named: true, cut: !rest.is_empty() })
    }

    /// The kernel's own words for it, less the path to the guest's root.
    fn text(&self, file: &OwnedFd) -> Result<PathBuf, u16> {
        let words = |fd: &OwnedFd| {
            readlinkat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new())
                .map(|text| PathBuf::from(OsString::from_vec(text.into_bytes())))
                .map_err(code)
        };
        let (file, root) = (words(file)?, words(&self.root)?);
        Ok(match file.strip_prefix(&root) {
            Ok(rest) if file.is_absolute() => Path::new("/").join(rest),
            _ => file,
        })
    }
}

enum Link {
    /// A text that is walked on.
    Says(OsString),
    /// The thing itself.
    To(OwnedFd),
}

/// A trailing slash or dot asks for a directory.
fn ends_in_directory(path: &OsStr) -> bool {
    let bytes = path.as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.") || bytes == b"."
}

fn push(rest: &mut VecDeque<OsString>, path: &OsStr) {
    let parts = path.as_bytes().split(|b| *b == b'/').rev().filter(|part| !part.is_empty());
    parts.for_each(|part| rest.push_front(OsStr::from_bytes(part).to_owned()));
}

/// Device and inode.
pub(crate) fn identity(file: impl AsFd) -> Option<(u64, u64)> {
    fstat(file).ok().map(|Stat { st_dev, st_ino, .. }| (st_dev, st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::fake::Fake;
    use super::*;
    use tipstaff_abi::Arch;

    fn find(path: impl AsRef<Path>, last: Last) -> Result<PathBuf, u16> {
        let guest = Fake::default();
        guest.call(Arch::X86_64, "open", &[]).find(AT_FDCWD, path.as_ref(), last).map(|found| found.path)
    }

    #[test]
    fn links_are_followed_as_the_call_would() {
        let dir = tempfile::tempdir().expect("directory");
        let top = fs::canonicalize(dir.path()).expect("path");
        fs::create_dir(top.join("sub")).expect("directory");
        fs::write(top.join("sub/file"), "x").expect("file");
        symlink("sub", top.join("down")).expect("link");
        symlink(top.join("down/file"), top.join("sub/far")).expect("link");
        symlink("loop", top.join("loop")).expect("link");
        symlink("nothing", top.join("dangling")).expect("link");
        symlink("sub/", top.join("strict")).expect("link");
        let file = Ok(top.join("sub/file"));
        assert_eq!(find(top.join("down/../down//./far"), Last::Follow), file);
        assert_eq!(find(top.join("down/far"), Last::Keep), Ok(top.join("sub/far")));
        assert_eq!(find(top.join("down"), Last::Keep), Ok(top.join("down")));
        assert_eq!(find(format!("{}/down/", top.display()), Last::Keep), Ok(top.join("sub")), "a slash follows");
        assert_eq!(find(top.join("strict/file"), Last::Follow), file);
        assert_eq!(find(top.join("loop"), Last::Follow), Err(ELOOP));
        assert_eq!(find(top.join("dangling"), Last::Follow), Ok(top.join("nothing")), "what creation would make");
        assert_eq!(find(top.join("no/where"), Last::Follow), Err(ENOENT));
        assert_eq!(find(format!("{}/sub/file/", top.display()), Last::Follow), Err(ENOTDIR));
        assert_eq!(find(top.join("sub/file/more"), Last::Follow), Err(ENOTDIR));
        assert_eq!(find(top.join("new"), Last::Keep), Ok(top.join("new")));
        assert_eq!(find("/../../..", Last::Follow), Ok("/".into()));
        assert_eq!(find("", Last::Follow), Err(ENOENT));
    }

    #[test]
    fn descriptors_and_magic_links() {
        let dir = tempfile::tempdir().expect("directory");
        let top = fs::canonicalize(dir.path()).expect("path");
        fs::write(top.join("file"), "x").expect("file");
        let open = fs::File::open(&top).expect("open");
        let guest = Fake::default();
        let trap = guest.call(Arch::X86_64, "openat", &[]);
        let path = |found: Result<Found, u16>| found.map(|found| found.path);
        assert_eq!(path(trap.find(open.as_raw_fd(), "file".as_ref(), Last::Follow)), Ok(top.join("file")));
        assert_eq!(path(trap.find(9999, "file".as_ref(), Last::Follow)), Err(9), "EBADF");
        let magic = format!("/proc/self/fd/{}/file", open.as_raw_fd());
        assert_eq!(find(magic, Last::Follow), Ok(top.join("file")));
        let me = std::process::id();
        assert_eq!(find("/proc/self/status", Last::Follow), Ok(format!("/proc/{me}/status").into()));
        assert_eq!(find("/proc/thread-self", Last::Follow), Ok(format!("/proc/{me}/task/{me}").into()));
        assert_eq!(find("/proc/self/exe", Last::Follow).ok(), std::env::current_exe().ok());
        // A root below the root.
        symlink("/file", top.join("absolute")).expect("link");
        assert_eq!(path(trap.look(open.as_raw_fd(), "/absolute".as_ref(), Last::Follow, true)), Ok(top.join("file")));
        assert_eq!(path(trap.look(open.as_raw_fd(), "../../file".as_ref(), Last::Follow, true)), Ok(top.join("file")));
    }

    #[test]
    fn what_stands_nowhere_has_no_name() {
        let (read, _write) = rustix::pipe::pipe().expect("pipe");
        let removed = tempfile::tempfile().expect("file");
        let guest = Fake::default();
        let trap = guest.call(Arch::X86_64, "fstat", &[]);
        assert!(!trap.find_fd(read.as_raw_fd()).expect("pipe").is_named());
        assert!(!trap.find_fd(removed.as_raw_fd()).expect("file").is_named());
        assert!(trap.find(AT_FDCWD, "/".as_ref(), Last::Follow).expect("root").is_named());
    }
}
