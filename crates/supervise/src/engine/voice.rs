//! What an engine's threads tell the session.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use tipstaff_policy::lower::DeniedCall;
use tipstaff_sys::clock;

/// Kinds of refused calls that wait to be heard: a guest must not fill our memory while nobody listens.
const KINDS: usize = 1000;

/// What has happened since the session last listened.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Calls that a handler refused, and execs that were not what was approved: first arguments, caller, how often.
    pub denied: BTreeMap<DeniedCall, ([u64; 6], u32, u64)>,
    /// More kinds than are kept.
    pub dropped: u64,
    /// The box must die, by a handler's order: since when, on CLOCK_MONOTONIC. Said before anybody was killed.
    pub kill: Option<u64>,
    /// A handler failed. The first one's words.
    pub fault: Option<String>,
    /// Tracing failed: the box dies.
    pub lost: Option<String>,
}

/// Both ends of the conversation.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    said: Arc<Mutex<Said>>,
    news: Arc<OwnedFd>,
}

impl Voice {
    pub fn new() -> std::io::Result<Self> {
        let news = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Self { said: Arc::default(), news })
    }

    /// Readable when something has been said.
    pub fn news(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }

    /// Makes the session listen.
    pub fn wake(&self) {
        let _ = rustix::io::write(&*self.news, &1u64.to_ne_bytes());
    }

    pub fn hear(&self) -> Said {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&*self.news, &mut count);
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn say(&self, what: impl FnOnce(&mut Said)) {
        what(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake();
    }

    /// Wakes nobody: the session listens at the end of the box at the latest, and wants these for its report alone. A program that is
    /// refused a hundred thousand times a second should not wake two threads each time.
    pub fn denied(&self, call: DeniedCall, args: [u64; 6], pid: i32) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, count)) = said.denied.get_mut(&call) {
            *count += 1;
        } else if said.denied.len() < KINDS {
            said.denied.insert(call, (args, pid.cast_unsigned(), 1));
        } else {
            said.dropped += 1;
        }
    }

    pub fn kill(&self) {
        let now = clock::monotonic_ns();
        self.say(|said| said.kill = said.kill.or(Some(now)));
    }

    pub fn fault(&self, words: String) {
        self.say(|said| said.fault = said.fault.take().or(Some(words)));
    }

    pub fn lost(&self, words: String) {
        self.say(|said| said.lost = said.lost.take().or(Some(words)));
    }
}
