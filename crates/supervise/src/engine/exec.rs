//! What was approved is what runs: an exec, compared at PTRACE_EVENT_EXEC.
//!
//! A handler looks at a path and at arguments in memory that other threads of the guest can change before the kernel reads it. At the exec
//! event none of them exists any more, and no instruction of the new program has run: `/proc/PID/exe` is the file that the kernel
//! opened, and `/proc/PID/cmdline` the arguments that it copied. What was approved is resolved at the entry, in the guest's view.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

use crate::handler::Trap;

const AT_FDCWD: i32 = -100;
const AT_EMPTY_PATH: u64 = 0x1000;
/// BINPRM_BUF_SIZE: what the kernel looks at of a script.
const LINE: usize = 256;
/// The kernel follows four interpreters.
const DEPTH: usize = 5;

/// The file that will run, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Approved {
    file: (u64, u64),
    argv: Vec<OsString>,
}

impl Approved {
    /// What the kernel would execute now. None: it cannot be told, and the exec is not made.
    pub fn of(trap: &Trap<'_>) -> Option<Self> {
        let at = trap.name() == Some("execveat");
        let (dirfd, path, argv, flags) =
            if at { (trap.args[0] as i32, 1, 2, trap.args[4]) } else { (AT_FDCWD, 0, 1, 0) };
        let path = trap.path(path).ok()?;
        let argv = trap.argv(argv).ok()?.0;
        let tid = trap.tid();
        let (mut file, mut name) = if path.as_os_str().is_empty() && flags & AT_EMPTY_PATH != 0 {
            (
                openat(CWD, format!("/proc/{tid}/fd/{dirfd}"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?,
                PathBuf::from(format!("/dev/fd/{dirfd}")),
            )
        } else {
            let shown = if dirfd == AT_FDCWD || path.is_absolute() {
                path.clone()
            } else {
                Path::new("/dev/fd").join(dirfd.to_string()).join(&path)
            };
            (resolve(tid, dirfd, &path)?, shown)
        };
        let mut argv = argv;
        // Linux gives a program without arguments an empty one (5.18).
        if argv.is_empty() {
            argv.push(OsString::new());
        }
        for _ in 0..DEPTH {
            let Some((interpreter, argument)) = script(tid, file.as_fd()) else {
                let stat = fstat(&file).ok()?;
                return Some(Self { file: (stat.st_dev, stat.st_ino), argv });
            };
            let mut with = vec![interpreter.clone().into_os_string()];
            with.extend(argument);
            with.push(name.into_os_string());
            with.extend(argv.drain(..).skip(1));
            argv = with;
            file = resolve(tid, AT_FDCWD, &interpreter)?;
            name = interpreter;
        }
        None
    }

    /// What runs now in `pid`, which stands at its exec event.
    pub fn is_what_runs(&self, pid: i32) -> bool {
        let exe = openat(CWD, format!("/proc/{pid}/exe"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let same = exe.is_ok_and(|exe| fstat(&exe).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == self.file));
        let Ok(cmdline) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let wanted = self.argv.iter().flat_map(|arg| arg.as_bytes().iter().copied().chain([0]));
        same && cmdline.iter().copied().eq(wanted)
    }
}

/// Opens (O_PATH) what a path means to a guest: its root, its directory, its descriptors, its symbolic links.
pub(crate) fn resolve(tid: i32, dirfd: i32, path: &Path) -> Option<OwnedFd> {
    let root =
        openat(CWD, format!("/proc/{tid}/root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let root = root.ok()?;
    let whole = if path.is_absolute() {
        path.to_owned()
    } else {
        let link = if dirfd == AT_FDCWD { format!("/proc/{tid}/cwd") } else { format!("/proc/{tid}/fd/{dirfd}") };
        // As the guest's own root sees it: the link is told relative to ours, which contains the guest's.
        let ours = std::fs::read_link(link).ok()?;
        let base = std::fs::read_link(format!("/proc/{tid}/root")).ok()?;
        Path::new("/").join(ours.strip_prefix(&base).unwrap_or(&ours)).join(path)
    };
    let relative = whole.strip_prefix("/").unwrap_or(&whole);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    openat2(root, relative, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT).ok()
}

/// The interpreter that a script names and the one argument it gives it, as binfmt_script reads them; None for anything else.
fn script(tid: i32, file: rustix::fd::BorrowedFd<'_>) -> Option<(PathBuf, Option<OsString>)> {
    use std::os::fd::AsRawFd;
    let _ = tid;
    let mut line = Vec::new();
    let opened = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    opened.take(LINE as u64).read_to_end(&mut line).ok()?;
    let text = line.strip_prefix(b"#!")?;
    let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    let text = text[..end].trim_ascii();
    let space = text.iter().position(|b| *b == b' ' || *b == b'\t').unwrap_or(text.len());
    let (name, rest) = text.split_at(space);
    let rest = rest.trim_ascii();
    let argument = (!rest.is_empty()).then(|| OsString::from_vec(rest.to_vec()));
    Some((PathBuf::from(OsStr::from_bytes(name)), argument))
}
