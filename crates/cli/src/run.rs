//! `tipstaff run`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff::policy::profile::{Loader, Profile};
use tipstaff::{Child, Command, Error, Report, Stdio};
use tipstaff_sys::madvise;
use tipstaff_sys::signal::{self, SigSet};

use crate::args::{Options, Run};
use crate::say;

/// The named profile with the options over it.
pub fn profile(options: &Options) -> Result<Profile, String> {
    let name = options.profile.as_deref().unwrap_or(OsStr::new("default"));
    let (base, files) = Loader::from_env().load_with_files(name).map_err(|e| e.to_string())?;
    let mut profile = Profile::merge(base, options.to_profile()?);
    // The rules of the next run are not this one's to write.
    profile.filesystem.protect.extend(files);
    Ok(profile)
}

/// Where the report goes.
enum Destination {
    File(File, PathBuf),
    Stdout,
    Nowhere,
}

impl Destination {
    /// Opened before anything is started, so that a report that cannot be written refuses the run.
    fn open(name: Option<&OsStr>) -> Result<Self, String> {
        let Some(name) = name else { return Ok(Self::Nowhere) };
        if name == "-" {
            return Ok(Self::Stdout);
        }
        let path = match name.as_bytes().strip_prefix(b"fd:") {
            Some(number) => {
                let number = str::from_utf8(number).ok().and_then(|n| n.parse::<u32>().ok());
                let number = number.ok_or_else(|| format!("--report {name:?}: write fd:N with a number"))?;
                PathBuf::from(format!("/proc/self/fd/{number}"))
            }
            None => PathBuf::from(name),
        };
        let fd = name.as_bytes().starts_with(b"fd:");
        let opened = if fd { inherited(&path) } else { Stdio::file(&path, true) };
        opened.map(|file| Self::File(file, path)).map_err(|e| format!("--report {name:?}: {}", say::words(&e)))
    }

    fn write(self, report: &Report) -> Result<(), String> {
        let line = || format!("{}\n", report.to_json());
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => {
                std::io::stdout().write_all(line().as_bytes()).map_err(|e| format!("--report -: {}", say::words(&e)))
            }
            Self::File(file, path) => {
                put(file, &path, &line()).map_err(|e| format!("--report {path:?}: {}", say::words(&e)))
            }
        }
    }
}

/// The file may lie where the guest could write: what it put there goes, and a name that leads elsewhere now is an error.
fn put(mut file: File, path: &std::path::Path, line: &str) -> std::io::Result<()> {
    let ours = file.metadata()?;
    if ours.is_file() && !path.starts_with("/proc/self/fd") {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(line.as_bytes())?;
        let there = std::fs::symlink_metadata(path)?;
        let same = (there.dev(), there.ino()) == (ours.dev(), ours.ino()) || there.is_symlink();
        let same = same && std::fs::metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (ours.dev(), ours.ino()));
        return if same { Ok(()) } else { Err(std::io::Error::other("replaced during the run; do not trust it")) };
    }
    file.write_all(line.as_bytes())
}

/// A duplicate of a descriptor that we were given, and not a second opening of its file: a pipe or socket has no other
/// way, and a file keeps its offset.
fn inherited(path: &std::path::Path) -> std::io::Result<File> {
    let number = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()).unwrap_or(-1);
    signal::duplicate(number).map(File::from).map_err(Into::into)
}

/// Runs; the exit status.
pub fn call(run: &Run) -> u8 {
    let destination = match Destination::open(run.report.as_deref()) {
        Ok(destination) => destination,
        Err(message) => {
            say::error(message);
            return say::FAILED;
        }
    };
    // A panic in the supervisor has ended the box by unwinding; the report still says what became of the run.
    let attempted = std::panic::catch_unwind(|| attempt(run))
        .unwrap_or_else(|_| Err(Error::Io(std::io::Error::other("internal error in the supervisor"))));
    let report = match attempted {
        Ok(report) => {
            if !run.quiet {
                say::summary(&report);
            }
            report
        }
        Err(e) => {
            // A panic has said so already.
            if !matches!(&e, Error::Io(e) if e.kind() == std::io::ErrorKind::Other) {
                say::error(&e);
            }
            e.report()
        }
    };
    let status = report.exit_status();
    match destination.write(&report) {
        Ok(()) => status,
        Err(message) => {
            say::error(message);
            say::FAILED
        }
    }
}

fn attempt(run: &Run) -> Result<Report, Error> {
    let wrong = |message: String| Error::Usage(message);
    let mut profile = profile(&run.options).map_err(wrong)?;
    let argv = if run.argv.is_empty() { profile.program.argv.clone().unwrap_or_default() } else { run.argv.clone() };
    let Some((program, args)) = argv.split_first() else {
        return Err(wrong("no program given: name one after `--`".to_owned()));
    };
    if profile.program.tty.is_none() && profile.limits.output.and_then(|o| o.value()).is_none() {
        let streams = [&profile.program.stdin, &profile.program.stdout, &profile.program.stderr];
        profile.program.tty = (streams.iter().all(|s| s.is_none()) && on_a_terminal()).then_some(true);
    }
    let files =
        [&mut profile.program.stdin, &mut profile.program.stdout, &mut profile.program.stderr].map(Option::take);
    let dir = profile.program.cwd.clone().unwrap_or_default();
    let mut command = Command::new(program);
    // Opening a FIFO waits for its other side: before our signals are blocked, so that ^C still ends that.
    for (number, path) in files.into_iter().enumerate().filter_map(|(n, path)| Some((n, path?))) {
        let path = dir.join(path);
        let file = Stdio::file(&path, number != 0);
        let option = ["--stdin", "--stdout", "--stderr"][number];
        let file = file.map_err(|e| wrong(format!("{option} {path:?}: {}", say::words(&e))))?;
        match number {
            0 => command.stdin(file),
            1 => command.stdout(file),
            _ => command.stderr(file),
        };
    }
    command.args(args).profile(profile).forward_signals(signals()?);
    command.profile_name(run.options.profile.as_deref().unwrap_or(OsStr::new("default")));
    if let Some(name) = &run.name {
        command.name(name);
    }
    wait(command.spawn_unwatched()?)
}

/// Waits for the end. What the start needed of our own code is given back when the run lasts: a box may run for hours beside many
/// others, and waiting takes a tenth of it.
fn wait(mut child: Child) -> Result<Report, Error> {
    const SHORT: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    while let Some(left) = SHORT.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        let left = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        // EINTR, and whatever else is wrong, is seen by the next round or by the wait.
        let _ = poll(&mut [PollFd::new(&child, PollFlags::IN)], Some(&left));
        if let Some(report) = child.try_wait()? {
            return Ok(report);
        }
    }
    madvise::release_program();
    child.wait()
}

fn on_a_terminal() -> bool {
    use rustix::stdio::{stderr, stdin, stdout};
    [stdin(), stdout(), stderr()].into_iter().all(rustix::termios::isatty)
}

/// SIGHUP, SIGINT, SIGQUIT, SIGTERM and SIGWINCH as a descriptor. They stay blocked in us; the guest starts with
/// nothing blocked.
fn signals() -> Result<OwnedFd, Error> {
    let set = SigSet::of(&[1, 2, 3, 15, 28]);
    signal::block(set);
    Ok(signal::fd(set).map_err(std::io::Error::from)?)
}
