//! One container that is recorded.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tipstaff_recording::Run;

use crate::place::{Claim, Place};
use crate::publish::publish;
use crate::wire::{Card, End};

/// Whoever can watch a container.
pub trait Records {
    /// What watches one.
    type Watch: Watches;

    /// Begins to watch; with what there is to say about how.
    ///
    /// # Errors
    /// Why it cannot be watched.
    fn start(&mut self, card: &Card) -> Result<(Self::Watch, Vec<String>), String>;
}

/// What watches a container.
pub trait Watches: Send + 'static {
    /// What has been seen so far.
    ///
    /// # Errors
    /// Why it cannot be told.
    fn snapshot(&mut self) -> Result<Run, String>;

    /// Watches no longer; what has been seen.
    ///
    /// # Errors
    /// Why it cannot be told.
    fn stop(self) -> Result<Run, String>;
}

/// A container that is recorded.
pub struct Job<W> {
    card: Card,
    lock: Claim,
    watch: W,
    /// Readable when the container's first process has ended, and with it its PID namespace. None where it has none of its own: others may go on then.
    init: Option<OwnedFd>,
    next_flush: Instant,
}

impl<W: Watches> Job<W> {
    /// Begins to record.
    pub fn start<R: Records<Watch = W>>(
        recorder: &mut R,
        card: Card,
        lock: Claim,
    ) -> Result<(Self, Vec<String>), String> {
        let pid = Pid::from_raw(card.pid).ok_or_else(|| format!("{} is no process id", card.pid))?;
        // Taken before the recording begins: a number that is somebody else's by then would be noticed by no one.
        let init = pidfd_open(pid, PidfdFlags::empty());
        let init = init.map_err(|e| format!("process {}: {}", card.pid, crate::words(&e.into())))?;
        let (watch, notes) = recorder.start(&card)?;
        let init = card.bundle.pid_namespace.then_some(init);
        let next_flush = Instant::now() + Duration::from_millis(card.flush_ms);
        Ok((Self { card, lock, watch, init, next_flush }, notes))
    }

    /// What to poll for the container's end.
    pub fn init(&self) -> Option<&OwnedFd> {
        self.init.as_ref()
    }

    /// When the next flush is due.
    pub fn next_flush(&self) -> Instant {
        self.next_flush
    }

    /// Saves what has been seen so far.
    pub fn flush(&mut self, place: &Place) -> Result<(), String> {
        self.next_flush = Instant::now() + Duration::from_millis(self.card.flush_ms);
        let run = self.watch.snapshot()?;
        place.save(&self.card.id, run).map_err(|e| e.to_string())
    }

    /// Its container has ended: what is left to do is to stop watching and to write the profile.
    pub fn ended(self) -> (Card, W, Claim) {
        (self.card, self.watch, self.lock)
    }
}

/// Ends a recording, makes its profile and writes it.
pub fn compose(place: &Place, card: Card, watch: impl Watches) -> End {
    match watch.stop() {
        Ok(run) => publish(place, &card, run, Vec::new()),
        Err(why) => {
            let failed = Some(format!("what was recorded cannot be read: {why}"));
            End { output: card.output, failed, ..End::default() }
        }
    }
}
