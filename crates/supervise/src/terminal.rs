//! Our own terminal while the box has one: its size, and raw mode.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Rows and columns of a terminal; the usual 24 by 80 where it is none.
pub fn size_of(terminal: BorrowedFd<'_>) -> (u16, u16) {
    tcgetwinsize(terminal).map_or((24, 80), |size| (size.ws_row, size.ws_col))
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
