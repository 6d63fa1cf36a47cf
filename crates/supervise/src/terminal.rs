//! A terminal of the box's own, and ours in raw mode while it runs.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Both ends of a pseudoterminal, close-on-exec.
#[derive(Debug)]
pub struct Pty {
    /// Ours.
    pub master: OwnedFd,
    /// The guest's.
    pub slave: OwnedFd,
}

impl Pty {
    /// A new pseudoterminal with the size and modes of `like`, where that is a terminal.
    pub fn open(like: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags_noctty()
            .open(std::path::Path::new(&*name.to_string_lossy()))?;
        let slave = OwnedFd::from(slave);
        if let Some(like) = like {
            if let Ok(size) = tcgetwinsize(like) {
                tcsetwinsize(&master, size)?;
            }
            if let Ok(modes) = tcgetattr(like) {
                tcsetattr(&slave, OptionalActions::Now, &modes)?;
            }
        }
        Ok(Self { master, slave })
    }
}

/// O_NOCTTY: opening a terminal must not make it ours.
trait NoCtty {
    fn custom_flags_noctty(&mut self) -> &mut Self;
}

impl NoCtty for std::fs::OpenOptions {
    fn custom_flags_noctty(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32)
    }
}

/// Copies the size of one terminal to another.
pub(crate) fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(from) {
        let _: Result<(), _> = tcsetwinsize(to, Winsize { ..size });
    }
}

/// Our own terminal in raw mode; back to what it was when dropped.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Fails when `terminal` is none.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal: terminal.try_clone_to_owned()?, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal.as_fd(), OptionalActions::Drain, &self.before);
    }
}
