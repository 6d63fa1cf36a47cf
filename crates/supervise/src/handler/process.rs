//! A process of the box, known by more than its number.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff_sys::pidfd;

/// A process of the box. Its number can be another's once it is gone; its descriptor and its start time cannot.
#[derive(Clone, Debug)]
pub struct Process {
    pid: i32,
    parent: i32,
    started: u64,
    pidfd: Option<Arc<OwnedFd>>,
}

impl Process {
    /// Of a process that cannot go away meanwhile, or whose end does not matter.
    pub(crate) fn look(pid: i32) -> Self {
        let pidfd = pidfd::open(pid).ok().map(Arc::new);
        let (parent, started) = stat(pid).unwrap_or_default();
        Self { pid, parent, started, pidfd }
    }

    /// As it is numbered outside the box.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process that it is a child of, when it was made; 0 if that is outside our PID namespace.
    #[must_use]
    pub fn parent(&self) -> i32 {
        self.parent
    }

    /// When it was made, in clock ticks (1/100 s) since the machine started: `starttime` of proc_pid_stat(5).
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Its pidfd: pidfd_open(2). None where this process has no descriptor to spare.
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(|fd| fd.as_fd())
    }

    /// It has not ended yet: its number is still its own.
    #[must_use]
    pub fn lives(&self) -> bool {
        const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        match &self.pidfd {
            Some(fd) => poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&NOW)).is_ok_and(|n| n == 0),
            None => stat(self.pid).is_some_and(|(_, started)| started == self.started),
        }
    }
}

/// `ppid` and `starttime` of proc_pid_stat(5).
fn stat(pid: i32) -> Option<(i32, u64)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, a parenthesis too: what follows the last one is regular.
    let rest = String::from_utf8_lossy(text.get(text.iter().rposition(|b| *b == b')')? + 1..)?).into_owned();
    let mut fields = rest.split_ascii_whitespace();
    // Field 3 (state) is the first here.
    Some((fields.nth(1)?.parse().ok()?, fields.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_its_successor() {
        let me = Process::look(std::process::id().cast_signed());
        assert_eq!(me.parent(), rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get()));
        assert!(me.lives() && me.started() > 0 && me.pidfd().is_some());
        let mut child = std::process::Command::new("true").spawn().expect("spawn");
        let known = Process::look(child.id().cast_signed());
        child.wait().expect("wait");
        assert!(!known.lives());
        assert!(!Process { pidfd: None, ..known }.lives());
        assert!(!Process { pidfd: None, started: 1, ..me }.lives(), "another one of this number");
    }
}
