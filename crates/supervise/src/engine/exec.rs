//! What was approved is what runs: an exec, compared at PTRACE_EVENT_EXEC.
//!
//! A handler looks at a path and at arguments in memory that other threads of the guest can change before the kernel reads it. At the exec
//! event none of them exists any more, and no instruction of the new program has run: `/proc/PID/exe` is the file that the kernel
//! opened, and `/proc/PID/cmdline` the arguments that it copied. What was approved is taken from the very bytes that the handlers have read
//! ([`Snapshot`](crate::handler::Snapshot)), and looked up in the guest's view.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use tipstaff_abi::errno::{EACCES, ELOOP};

use crate::handler::{AT_FDCWD, Last, Trap, identity};

const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_EMPTY_PATH: u64 = 0x1000;
/// BINPRM_BUF_SIZE: what the kernel looks at of a script.
const LINE: usize = 256;
/// exec_binprm() follows five interpreters and gives up with ELOOP at the next.
const DEPTH: usize = 6;

/// The file that will run, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approved {
    /// What the path leads to, as the guest's root has it; of a script, the script.
    pub path: PathBuf,
    file: (u64, u64),
    argv: Vec<OsString>,
}

impl Approved {
    /// What the kernel would execute now. Err: the errno that it would answer; the exec is not made.
    pub fn of(trap: &Trap<'_>) -> Result<Self, u16> {
        let at = trap.name() == Some("execveat");
        let args = trap.args();
        let (dirfd, path, argv, flags) = if at { (args[0] as i32, 1, 2, args[4]) } else { (AT_FDCWD, 0, 1, 0) };
        let path = trap.path(path)?;
        let mut argv = trap.argv(argv)?.0;
        let empty = path.as_os_str().is_empty() && flags & AT_EMPTY_PATH != 0;
        let last = if flags & AT_SYMLINK_NOFOLLOW == 0 { Last::Follow } else { Last::Keep };
        let mut found = if empty { trap.find_fd(dirfd)? } else { trap.find(dirfd, &path, last)? };
        let mut name = if empty {
            PathBuf::from(format!("/dev/fd/{dirfd}"))
        } else if dirfd == AT_FDCWD || path.is_absolute() {
            path
        } else {
            // alloc_bprm() calls it so.
            Path::new("/dev/fd").join(dirfd.to_string()).join(path)
        };
        // Linux gives a program without arguments an empty one (5.18).
        if argv.is_empty() {
            argv.push(OsString::new());
        }
        let named = found.path().to_owned();
        for _ in 0..DEPTH {
            let Some(file) = found.file() else { return Err(tipstaff_abi::errno::ENOENT) };
            // Nothing else can be executed, and opening a FIFO would hold us up.
            let regular = fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
            if !regular {
                return Err(if last == Last::Keep { ELOOP } else { EACCES });
            }
            let Some((interpreter, argument)) = script(file) else {
                let file = identity(file).ok_or(EACCES)?;
                return Ok(Self { path: named, file, argv });
            };
            // binfmt_script: interpreter, its argument, the script, and the arguments without the first.
            let mut with = vec![interpreter.clone().into_os_string()];
            with.extend(argument);
            with.push(name.into_os_string());
            with.extend(argv.drain(..).skip(1));
            argv = with;
            found = trap.find(AT_FDCWD, &interpreter, Last::Follow)?;
            name = interpreter;
        }
        Err(ELOOP)
    }

    /// Compares with what runs now in `pid`, which stands at its exec event.
    pub fn compare(&self, pid: i32) -> Runs {
        let exe = || openat(CWD, format!("/proc/{pid}/exe"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let same = match exe() {
            Ok(exe) => identity(exe) == Some(self.file),
            Err(errno) => return if gone(errno) { Runs::Nothing } else { Runs::Another },
        };
        let wanted = self.argv.iter().flat_map(|arg| arg.as_bytes().iter().copied().chain([0]));
        if same && std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.iter().copied().eq(wanted)) {
            return Runs::Approved;
        }
        // A second SIGKILL ends the stop that the first one ended in, and the memory goes while we look.
        if exe().is_err_and(gone) { Runs::Nothing } else { Runs::Another }
    }
}

/// What an exec has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// What was approved.
    Approved,
    /// Something else, or it cannot be told.
    Another,
    /// The process has been killed and has no program any more.
    Nothing,
}

/// A process without memory has no executable: proc_pid_exe(5).
fn gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH)
}

/// The interpreter that a script names and the one argument it gives it; None for anything else, and for what cannot be read.
fn script(file: impl AsFd) -> Option<(PathBuf, Option<OsString>)> {
    let mut line = Vec::new();
    let opened = File::open(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())).ok()?;
    opened.take(LINE as u64).read_to_end(&mut line).ok()?;
    shebang(&line)
}

/// As load_script() reads a file's first 256 bytes.
fn shebang(line: &[u8]) -> Option<(PathBuf, Option<OsString>)> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let text = line.strip_prefix(b"#!")?;
    let end = text.iter().position(|b| *b == b'\n');
    // Behind the end of a short file the kernel's buffer is zero; a name that fills the buffer has been cut off.
    let mut text = &text[..end.unwrap_or(text.len())];
    text = &text[text.iter().position(|b| !blank(b))?..];
    let whole = end.is_some() || line.len() < LINE || text.iter().any(|b| *b == 0 || blank(b));
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    let stop = |text: &[u8], also: fn(&u8) -> bool| text.iter().position(|b| *b == 0 || also(b));
    let Some(name_end) = stop(text, |b| matches!(b, b' ' | b'\t')) else {
        return whole.then(|| (PathBuf::from(OsStr::from_bytes(text)), None)).filter(|(name, _)| name != Path::new(""));
    };
    let (name, rest) = text.split_at(name_end);
    let argument = match rest.first() {
        Some(0) | None => None,
        Some(_) => rest.iter().position(|b| !blank(b)).map(|at| {
            let rest = &rest[at..];
            OsString::from_vec(rest[..stop(rest, |_| false).unwrap_or(rest.len())].to_vec())
        }),
    };
    let name = PathBuf::from(OsStr::from_bytes(name));
    (name != Path::new("")).then_some((name, argument.filter(|a| !a.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(String, Option<String>)> {
        let text = |s: OsString| s.into_string().expect("text");
        shebang(line.as_bytes()).map(|(name, arg)| (text(name.into_os_string()), arg.map(text)))
    }

    #[test]
    fn a_script_names_its_interpreter() {
        let sh = |arg: Option<&str>| Some(("/bin/sh".to_owned(), arg.map(str::to_owned)));
        assert_eq!(read("#!/bin/sh\necho"), sh(None));
        assert_eq!(read("#! \t/bin/sh  -e -x \t\n"), sh(Some("-e -x")), "one argument, blanks inside kept");
        assert_eq!(read("#!/bin/sh"), sh(None), "no line end");
        assert_eq!(read("#!/bin/sh\0-e\n"), sh(None), "a NUL ends the name");
        assert_eq!(read("#!/bin/sh -e\0x\n"), sh(Some("-e")));
        assert_eq!(read("#!/bin/sh\r\n"), Some(("/bin/sh\r".to_owned(), None)), "as the kernel reads it");
        for none in ["", "#", "#!", "#!\n/bin/sh", "#! \t\n", "\x7fELF", " #!/bin/sh"] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }

    #[test]
    fn what_runs_is_compared_and_the_dead_run_nothing() {
        let me = std::process::id().cast_signed();
        let file = identity(File::open("/proc/self/exe").expect("exe")).expect("file");
        let right = Approved { path: PathBuf::new(), file, argv: std::env::args_os().collect() };
        assert_eq!(right.compare(me), Runs::Approved);
        let mut other = right.clone();
        other.argv.push("more".into());
        assert_eq!(other.compare(me), Runs::Another);
        assert_eq!(Approved { file: (0, 0), ..right.clone() }.compare(me), Runs::Another);
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let pid = child.id().cast_signed();
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("not reaped");
        while !state().contains(") Z ") {
            std::thread::yield_now();
        }
        assert_eq!(right.compare(pid), Runs::Nothing, "a zombie");
        child.wait().expect("wait");
        assert_eq!(right.compare(pid), Runs::Nothing, "nobody");
    }

    #[test]
    fn a_name_that_fills_the_buffer_is_none() {
        let long = format!("#!/{}", "a".repeat(300));
        assert_eq!(shebang(&long.as_bytes()[..LINE]), None);
        let fits = format!("#!/{} ", "a".repeat(252));
        assert!(shebang(&fits.as_bytes()[..LINE]).is_some());
    }
}
