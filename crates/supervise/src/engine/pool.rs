//! Deferred decisions: a few threads that may be slow, and one that knows what time it is.
//!
//! Nothing is started before the first deferral. A full pool, a panic and a deadline all answer with the errno that the handler gave.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tipstaff_trace::Stopper;

use crate::handler::{Action, Deferred, Verdict};

const WORKERS: usize = 4;
/// Waiting for a worker; what comes on top is answered at once.
const QUEUE: usize = 64;

type Work = Box<dyn FnOnce() -> Action + Send>;

/// A decision that has come.
pub(super) struct Answer {
    pub ticket: u64,
    pub verdict: Verdict,
}

/// Where answers arrive, and what wakes the tracer up for them.
#[derive(Default)]
struct Tray {
    answers: Vec<Answer>,
    stopper: Option<Stopper>,
}

enum Word {
    Asked { ticket: u64, until: Instant, errno: u16, by: String },
    Done { ticket: u64, action: Option<Action> },
}

pub(super) struct Pool {
    jobs: SyncSender<(u64, Work)>,
    clerk: Sender<Word>,
    tray: Arc<Mutex<Tray>>,
    next: u64,
}

impl Pool {
    pub fn start() -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<(u64, Work)>(QUEUE);
        let (clerk, words) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..WORKERS {
            let (queue, clerk) = (Arc::clone(&queue), clerk.clone());
            thread::Builder::new().name("deferred".into()).spawn(move || work(&queue, &clerk))?;
        }
        let tray = Arc::new(Mutex::new(Tray::default()));
        let theirs = Arc::clone(&tray);
        thread::Builder::new().name("deadlines".into()).spawn(move || keep_time(&words, &theirs))?;
        Ok(Self { jobs, clerk, tray, next: 0 })
    }

    /// Takes a decision in hand; its ticket. None: the pool is full.
    pub fn take(&mut self, deferred: Deferred, by: &str) -> Option<u64> {
        let ticket = self.next;
        let until = Instant::now() + deferred.deadline;
        let asked = Word::Asked { ticket, until, errno: deferred.errno, by: by.to_owned() };
        self.clerk.send(asked).ok()?;
        if self.jobs.try_send((ticket, deferred.work)).is_err() {
            // Nobody waits for this ticket, so its deadline will find nobody.
            return None;
        }
        self.next += 1;
        Some(ticket)
    }

    /// What has come. `stopper` ends the tracer's wait when more does.
    pub fn answers(&self, stopper: Option<Stopper>) -> Vec<Answer> {
        let mut tray = self.tray.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = std::mem::take(&mut tray.answers);
        if answers.is_empty() {
            tray.stopper = stopper;
        }
        answers
    }
}

fn work(queue: &Mutex<Receiver<(u64, Work)>>, clerk: &Sender<Word>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((ticket, work)) = job else { return };
        let action = catch_unwind(AssertUnwindSafe(work)).ok();
        if clerk.send(Word::Done { ticket, action }).is_err() {
            return;
        }
    }
}

fn keep_time(words: &Receiver<Word>, tray: &Mutex<Tray>) {
    let mut open: BTreeMap<u64, (Instant, u16, String)> = BTreeMap::new();
    loop {
        let next = open.values().map(|(until, ..)| *until).min();
        let word = match next {
            None => words.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => words.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match word {
            Ok(Word::Asked { ticket, until, errno, by }) => {
                open.insert(ticket, (until, errno, by));
            }
            Ok(Word::Done { ticket, action }) => {
                // Too late: it has been answered.
                let Some((_, errno, by)) = open.remove(&ticket) else { continue };
                put(tray, ticket, verdict(action, errno, by));
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                let due: Vec<u64> = open.iter().filter(|(_, (until, ..))| *until <= now).map(|(t, _)| *t).collect();
                for ticket in due {
                    if let Some((_, errno, by)) = open.remove(&ticket) {
                        put(tray, ticket, Verdict::Errno { errno, by });
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn verdict(action: Option<Action>, errno: u16, by: String) -> Verdict {
    match action {
        Some(Action::Allow | Action::Pass) => Verdict::Make,
        Some(Action::Return(value)) => Verdict::Return(value),
        Some(Action::Kill) => Verdict::Kill { by },
        Some(Action::Errno(errno)) => Verdict::Errno { errno: errno.clamp(1, 4095), by },
        Some(Action::Defer(_)) | None => Verdict::Errno { errno, by },
    }
}

fn put(tray: &Mutex<Tray>, ticket: u64, verdict: Verdict) {
    let mut tray = tray.lock().unwrap_or_else(PoisonError::into_inner);
    tray.answers.push(Answer { ticket, verdict });
    if let Some(stopper) = tray.stopper.take() {
        stopper.stop();
    }
}
