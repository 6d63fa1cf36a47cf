//! The thread that supervises every box of this process whose owner does something else.
//!
//! One loop over many boxes: an epoll set of their own epoll sets. Each turn gives a box a bounded piece of work ([`Session::dispatch`]), so that one that is
//! flooded with calls holds the others up for no longer than that.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use tipstaff_report::Outcome;
use tipstaff_supervise::Session;
use tipstaff_sys::signal::SigSet;

/// A box and what has come of it.
#[derive(Debug)]
pub(crate) struct Kept {
    state: Mutex<State>,
    /// Readable when the owner has something to do: once there is an outcome, or, where nobody else supervises, whenever something is due.
    polled: OwnedFd,
    /// In the hall; None where the owner supervises by itself.
    number: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct State {
    /// None once the child has been dropped.
    pub session: Option<Session>,
    /// What the thread has found, until somebody takes it.
    outcome: Option<io::Result<Outcome>>,
}

struct Hall {
    epoll: OwnedFd,
    boxes: Mutex<Boxes>,
}

#[derive(Default)]
struct Boxes {
    known: HashMap<u64, Weak<Kept>>,
    next: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// The owner will supervise it: nobody else does.
    pub fn alone(session: Session) -> io::Result<Arc<Self>> {
        let polled = session.as_fd().try_clone_to_owned()?;
        Ok(Arc::new(Self { state: Mutex::new(State { session: Some(session), outcome: None }), polled, number: None }))
    }

    /// The thread supervises it.
    pub fn watched(session: Session) -> io::Result<Arc<Self>> {
        let hall = hall()?;
        let polled = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let number = {
            let mut boxes = lock(&hall.boxes);
            boxes.next += 1;
            boxes.next
        };
        let kept = Arc::new(Self {
            state: Mutex::new(State { session: Some(session), outcome: None }),
            polled,
            number: Some(number),
        });
        lock(&hall.boxes).known.insert(number, Arc::downgrade(&kept));
        if let Some(session) = &lock(&kept.state).session {
            epoll::add(&hall.epoll, session, EventData::new_u64(number), EventFlags::IN)?;
        }
        Ok(kept)
    }

    /// The box itself.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What the owner polls.
    pub fn polled(&self) -> BorrowedFd<'_> {
        self.polled.as_fd()
    }

    /// Supervises from here to the end.
    pub fn wait(&self) -> io::Result<Outcome> {
        let mut state = self.state();
        self.leave(&mut state);
        match state.outcome.take() {
            Some(outcome) => outcome,
            None => state.session()?.wait(),
        }
    }

    /// What is due, and the outcome if there is one.
    pub fn look(&self) -> io::Result<Option<Outcome>> {
        let mut state = self.state();
        match state.outcome.take() {
            Some(outcome) => outcome.map(Some),
            None => state.session()?.dispatch(),
        }
    }

    /// Ends the box, now.
    pub fn end(&self) {
        let mut state = self.state();
        self.leave(&mut state);
        state.session = None;
    }

    /// What is left of a box that has ended, for whoever drops it elsewhere.
    pub fn remains(&self) -> Option<Session> {
        let mut state = self.state();
        self.leave(&mut state);
        state.session.take()
    }

    fn leave(&self, state: &mut State) {
        if let (Some(number), Some(session)) = (self.number, &state.session)
            && let Ok(hall) = hall()
            && lock(&hall.boxes).known.remove(&number).is_some()
        {
            let _ = epoll::delete(&hall.epoll, session);
        }
    }
}

impl State {
    /// The box, which a child has as long as it lives.
    pub fn session(&mut self) -> io::Result<&mut Session> {
        self.session.as_mut().ok_or_else(|| io::Error::other("the box has been dropped"))
    }
}

/// Started with the first box that needs it.
fn hall() -> io::Result<&'static Hall> {
    static HALL: OnceLock<Hall> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(hall) = HALL.get() {
        return Ok(hall);
    }
    let _one = lock(&STARTING);
    if HALL.get().is_none() {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let theirs = epoll.try_clone()?;
        thread::Builder::new().name("tipstaff".into()).spawn(move || supervise(&theirs))?;
        let _ = HALL.set(Hall { epoll, boxes: Mutex::default() });
    }
    HALL.get().ok_or_else(|| io::Error::other("no thread to supervise boxes"))
}

fn supervise(epoll: &OwnedFd) {
    // A host's signal handlers run in its own threads.
    tipstaff_sys::signal::set_mask(SigSet::ALL_OF_A_HOST);
    let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 64];
    loop {
        let ready: Vec<u64> = match epoll::wait(epoll, &mut events, None) {
            Ok((ready, _)) => ready.iter().map(|event| event.data.u64()).collect(),
            Err(_) => Vec::new(),
        };
        let Ok(hall) = hall() else { return };
        for number in ready {
            let kept = lock(&hall.boxes).known.get(&number).and_then(Weak::upgrade);
            if let Some(kept) = kept {
                turn(&kept);
            }
        }
    }
}

/// One box's turn. Its owner may be busy with it, and then it does what is due.
fn turn(kept: &Kept) {
    let Ok(mut state) = kept.state.try_lock() else { return };
    if state.outcome.is_some() {
        return;
    }
    let Some(session) = &mut state.session else { return };
    let outcome = match session.dispatch() {
        Ok(None) => return,
        Ok(Some(outcome)) => Ok(outcome),
        Err(e) => Err(e),
    };
    state.outcome = Some(outcome);
    kept.leave(&mut state);
    let _ = rustix::io::write(&kept.polled, &1u64.to_ne_bytes());
}
