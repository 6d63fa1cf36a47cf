//! When something is looked at next, on CLOCK_MONOTONIC, and the timer for it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

#[derive(Debug)]
pub(super) struct Due {
    pub cpu: Option<u64>,
    pub memory: Option<u64>,
    pub idle: Option<u64>,
    pub wall: Option<u64>,
    pub hard_kill: Option<u64>,
    /// Whoever cannot be ended is waited for no longer.
    pub give_up: Option<u64>,
    pub signals: Option<u64>,
    /// Stops, and the share of a CPU.
    pub custody: Option<u64>,
    timer: OwnedFd,
    /// What the timer is set to; 0: nothing.
    armed: u64,
}

impl Due {
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self {
            cpu: None,
            memory: None,
            idle: None,
            wall: None,
            hard_kill: None,
            give_up: None,
            signals: None,
            custody: None,
            timer,
            armed: 0,
        })
    }

    /// Readable when something is due.
    pub fn timer(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }

    /// The earliest thing that is due.
    pub fn next(&self) -> Option<u64> {
        let kill = [self.hard_kill, self.give_up];
        let all = [self.cpu, self.memory, self.idle, self.wall, self.signals, self.custody].into_iter().chain(kill);
        all.flatten().min()
    }

    /// The box is being killed: only the second kill is waited for, and the end of patience.
    pub fn only_the_kill(&mut self) {
        (self.cpu, self.memory, self.idle, self.wall, self.custody) = (None, None, None, None, None);
    }

    /// The timer has fired.
    pub fn fired(&mut self) {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.timer, &mut count);
        self.armed = 0;
    }

    /// Sets the timer for the earliest thing that is due, if it is another than before. Err: after several tries; nothing would wake the loop.
    pub fn arm(&mut self) -> io::Result<()> {
        // Zero disarms; a moment in the past fires at once.
        let at = self.next().map_or(0, |at| at.max(1));
        if at == self.armed {
            return Ok(());
        }
        let value = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        let set = || timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec);
        set().or_else(|_| set()).or_else(|_| set())?;
        self.armed = at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_cannot_be_set_is_told_each_time() {
        let mut due = Due { wall: Some(1), ..Due::new().expect("a timer") };
        due.arm().expect("set");
        let mut due = Due { timer: std::fs::File::open("/dev/null").expect("no timer").into(), ..due };
        due.arm().expect("set before");
        due.wall = Some(2);
        assert!(due.arm().is_err());
        assert!(due.arm().is_err(), "it is not taken for set");
    }
}
