//! A thread that receives the calls of one box, as long as they follow each other.
//!
//! A loop that waits for many things asks epoll_wait(2) before each RECV; a thread that waits for nothing else waits in RECV itself, and the kernel goes from the caller
//! to it and back. Only a call or the end of the last task wakes it: so it learns that it does not pay any more with a later call, and there are at most [`MOST`]
//! of them. Everything else (deadlines, decisions that have come, kills) stays with the session's loop.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::epoll::{self, EventData, EventFlags};
use tipstaff_notify::{Listener, Next};
use tipstaff_policy::lower::FilterPlan;
use tipstaff_sys::signal::{self, SigSet};

use super::answers::{Answers, Pace};
use super::token;
use crate::engine::{Answered, Said, Voice};
use crate::procfs;

/// In one process. More boxes than CPUs are never busy at once; but one that has become silent keeps its thread.
const MOST: usize = 64;
static HERE: AtomicUsize = AtomicUsize::new(0);

/// The session's end of it.
#[derive(Debug)]
pub(super) struct Receiver {
    voice: Voice,
}

/// One of [`MOST`].
struct Place;

impl Place {
    fn take() -> Option<Self> {
        HERE.fetch_update(SeqCst, SeqCst, |here| (here < MOST).then_some(here + 1)).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        HERE.fetch_sub(1, SeqCst);
    }
}

impl Receiver {
    /// Hands the listener over from the session's epoll set. Err: there is no thread to be had, and nothing has changed.
    pub fn start(
        listener: &Listener,
        filter: &Arc<FilterPlan>,
        answers: &Arc<Mutex<Answers>>,
        epoll: impl AsFd,
    ) -> io::Result<Self> {
        let place = Place::take().ok_or(io::ErrorKind::WouldBlock)?;
        let voice = Voice::new()?;
        epoll::add(&epoll, voice.news(), EventData::new_u64(token::RECEIVER), EventFlags::IN)?;
        let work = Work {
            listener: listener.clone(),
            filter: Arc::clone(filter),
            answers: Arc::clone(answers),
            voice: voice.clone(),
            _place: place,
        };
        thread::Builder::new().name("receiver".into()).spawn(move || work.run())?;
        // Nothing has been lost if a call has come already: whoever is first receives it. But the loop must not ask any more.
        let _ = epoll::delete(&epoll, listener);
        Ok(Self { voice })
    }

    /// It has given the listener back: nothing more is to be heard of it.
    pub fn forget(&self, epoll: impl AsFd) {
        let _ = epoll::delete(epoll, self.voice.news());
    }

    /// What it has said since.
    pub fn hear(&self) -> Said {
        self.voice.hear()
    }
}

struct Work {
    listener: Listener,
    filter: Arc<FilterPlan>,
    answers: Arc<Mutex<Answers>>,
    voice: Voice,
    _place: Place,
}

impl Work {
    fn run(self) {
        // A host's signal handlers run in its own threads.
        signal::set_mask(SigSet::ALL);
        let mut pace = Pace::default();
        loop {
            let call = match self.listener.wait() {
                Ok(Next::Call(call)) => call,
                Ok(Next::Ended | Next::Nothing) => return,
                Err(e) => return self.voice.lost(format!("the listener cannot be read: {e}")),
            };
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            if answers.serve(call, &self.filter) == Answered::Kill {
                self.voice.kill();
            }
            if procfs::was_blind() {
                self.voice.lost(procfs::BLIND_WORDS.to_owned());
            }
            if pace.is_cold() {
                answers.rests = true;
                return self.voice.wake();
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if thread::panicking() {
            self.voice.lost("the thread that answers the box's calls has panicked".to_owned());
        }
    }
}
