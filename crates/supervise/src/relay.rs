//! Output that passes through us, counted.
//!
//! A relay reads from the guest's pipe only what it can hand on, so a slow reader slows the guest down as a pipe
//! would; it never blocks the loop. The byte budget is shared by stdout and stderr, and what is handed on is cut at
//! exactly the limit.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes kept in memory, shared with whoever reads them in the end.
pub type Captured = Arc<Mutex<Vec<u8>>>;

/// Where relayed bytes go.
#[derive(Debug)]
pub enum Sink {
    /// To a descriptor.
    Fd(OwnedFd),
    /// Into memory.
    Memory(Captured),
    /// The reader is gone, or nobody wanted them: counted and dropped.
    Nowhere,
}

/// One of the guest's output streams on its way.
#[derive(Debug)]
pub struct Relay {
    from: Option<File>,
    to: Sink,
    pending: Vec<u8>,
}

/// What a relay did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// As much as was there.
    Some,
    /// As much as is fair; there is more.
    More,
    /// The budget is used up and the guest has written more.
    Over,
    /// The guest's side is closed and everything is handed on.
    Ended,
}

/// POSIX: a write of up to this much to a pipe that poll(2) calls writable does not block.
const PIPE_BUF: usize = 4096;

impl Relay {
    /// `from` is the read end of the guest's pipe; it becomes non-blocking.
    pub fn new(from: OwnedFd, to: Sink) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&from, true)?;
        Ok(Self { from: Some(File::from(from)), to, pending: Vec::new() })
    }

    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.from.as_ref().map(AsFd::as_fd)
    }

    /// Something is read and waits for its reader.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The descriptor that must become writable before more can move.
    pub(crate) fn target(&self) -> Option<BorrowedFd<'_>> {
        match &self.to {
            Sink::Fd(fd) if self.is_stalled() => Some(fd.as_fd()),
            _ => None,
        }
    }

    /// Moves what is there. `left` is the shared budget; None is unlimited.
    pub(crate) fn pump(&mut self, counted: &mut u64, limit: Option<u64>) -> Moved {
        let mut chunk = [0u8; 65536];
        // A guest that writes without end must not keep the loop from its deadlines; what is left wakes us again.
        for _ in 0..16 {
            self.flush();
            if self.is_stalled() {
                return Moved::Some;
            }
            let Some(from) = &mut self.from else { return Moved::Ended };
            match from.read(&mut chunk) {
                Ok(0) => {
                    self.from = None;
                    return Moved::Ended;
                }
                Ok(n) => {
                    let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(*counted));
                    let take = (n as u64).min(room) as usize;
                    *counted += take as u64;
                    self.hand_on(&chunk[..take]);
                    if take < n {
                        // The pipe stays open: closing it would kill the guest by SIGPIPE before we can say why.
                        self.flush();
                        return Moved::Over;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Moved::Some,
                // A terminal's other side is closed (EIO), or the pipe broke: the stream has ended.
                Err(_) => {
                    self.from = None;
                    return Moved::Ended;
                }
            }
        }
        self.flush();
        if self.is_stalled() { Moved::Some } else { Moved::More }
    }

    fn hand_on(&mut self, bytes: &[u8]) {
        match &self.to {
            Sink::Memory(memory) => {
                memory.lock().unwrap_or_else(|e| e.into_inner()).extend_from_slice(bytes);
            }
            Sink::Fd(_) => self.pending.extend_from_slice(bytes),
            Sink::Nowhere => {}
        }
    }

    fn flush(&mut self) {
        while !self.pending.is_empty() {
            let Sink::Fd(fd) = &self.to else {
                self.pending.clear();
                return;
            };
            let mut fds = [PollFd::new(fd, PollFlags::OUT)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !poll(&mut fds, Some(&now)).is_ok_and(|n| n > 0) {
                return;
            }
            let n = self.pending.len().min(PIPE_BUF);
            match rustix::io::write(fd, &self.pending[..n]) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                // EPIPE and the like: the reader is gone. The guest's next write fails as it would have without us.
                Err(_) => {
                    self.to = Sink::Nowhere;
                    self.from = None;
                    self.pending.clear();
                }
            }
        }
    }

    /// After the guest has ended: hands on the rest, waiting for a slow reader as long as `wait` allows.
    pub(crate) fn drain(
        &mut self,
        counted: &mut u64,
        limit: Option<u64>,
        wait: &mut dyn FnMut(BorrowedFd<'_>) -> bool,
    ) -> Moved {
        let mut over = false;
        loop {
            match self.pump(counted, limit) {
                Moved::Over => {
                    over = true;
                    self.from = None;
                }
                Moved::Some | Moved::Ended if !self.is_stalled() => break,
                _ => {}
            }
            if self.target().is_some_and(|target| !wait(target)) {
                self.pending.clear();
                break;
            }
        }
        if over { Moved::Over } else { Moved::Ended }
    }
}
