//! What ends the tracer's wait from outside: signals for us, and the end of a delay.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use tipstaff_sys::signal::{self, SigSet};
use tipstaff_trace::{Errno, Stopper, Tracer};

/// The threads that watch, and what they have seen.
pub struct Alarm {
    shared: Arc<Shared>,
    moments: Sender<Instant>,
}

struct Shared {
    stopper: Mutex<Stopper>,
    /// The last signal that came; 0: none.
    signal: AtomicI32,
}

impl Shared {
    fn ring(&self) {
        self.stopper.lock().unwrap_or_else(PoisonError::into_inner).stop();
    }
}

impl Alarm {
    /// Watches for `signals`, which the caller has blocked.
    pub fn start(tracer: &mut Tracer, signals: SigSet) -> Result<Self, Errno> {
        let shared = Arc::new(Shared { stopper: Mutex::new(tracer.stopper()?), signal: AtomicI32::new(0) });
        let signals = signal::fd(signals)?;
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || watch(&theirs, &signals));
        let (moments, asked) = mpsc::channel();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut next: Option<Instant> = None;
            loop {
                let left = next.map(|next| next.saturating_duration_since(Instant::now()));
                let told = match left {
                    Some(left) => asked.recv_timeout(left),
                    None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
                match told {
                    Ok(moment) => next = Some(next.map_or(moment, |next| next.min(moment))),
                    Err(RecvTimeoutError::Timeout) => {
                        next = None;
                        theirs.ring();
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        Ok(Self { shared, moments })
    }

    /// Ends the wait at this moment, or earlier.
    pub fn at(&self, moment: Instant) {
        // The thread lives as long as we do.
        let _ = self.moments.send(moment);
    }

    /// The wait has been ended: makes it possible again, then says which signal has come. In this order none is missed.
    pub fn rearm(&self, tracer: &mut Tracer) -> Result<Option<i32>, Errno> {
        *self.shared.stopper.lock().unwrap_or_else(PoisonError::into_inner) = tracer.stopper()?;
        Ok(Some(self.shared.signal.swap(0, SeqCst)).filter(|&signal| signal != 0))
    }

    /// The signal that has come, if any.
    pub fn signal(&self) -> Option<i32> {
        Some(self.shared.signal.load(SeqCst)).filter(|&signal| signal != 0)
    }
}

fn watch(shared: &Shared, signals: &OwnedFd) {
    loop {
        // EINTR, at most: then it is asked again.
        let _ = poll(&mut [PollFd::new(signals, PollFlags::IN)], None);
        while let Some(signal) = signal::next(std::os::fd::AsFd::as_fd(signals)) {
            shared.signal.store(signal, SeqCst);
            shared.ring();
        }
    }
}
