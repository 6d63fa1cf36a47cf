//! What the tracer and the session do together for listeners of guests' own.
//!
//! A thread that waits for a guest's supervisor waits in our listener, at an instruction pointer of ours. The session receives its call there, and leaves it waiting; the
//! tracer, which cannot be woken by descriptors, finds it here. The session also hears of the end of stand-ins ([`tipstaff_sys::stand_in`]).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use tipstaff_notify::Notification;

/// Ends the wait of the tracer.
pub type Wake = Box<dyn FnOnce() + Send>;

/// Between the tracer of a box and its session.
pub struct Anteroom {
    held_at: u64,
    ends: OwnedFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Threads that are about to wait in our listener, or do.
    expected: BTreeSet<i32>,
    /// Their calls, when they have been received.
    calls: BTreeMap<i32, Notification>,
    /// Threads whose call somebody waits for.
    awaited: BTreeSet<i32>,
    /// Stand-ins whose answer the tracer is about to see itself.
    attended: BTreeSet<u64>,
    /// Stand-ins that have ended.
    ended: Vec<u64>,
    /// Something has come that the tracer waits for.
    news: bool,
    wake: Option<Wake>,
}

impl std::fmt::Debug for Anteroom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Anteroom")
    }
}

impl State {
    fn tell(&mut self) {
        self.news = true;
        if let Some(wake) = self.wake.take() {
            wake();
        }
    }
}

impl Anteroom {
    /// `held_at`: the instruction pointer at which the filter notifies whatever call it is.
    pub fn new(held_at: u64) -> std::io::Result<Self> {
        Ok(Self { held_at, ends: epoll::create(CreateFlags::CLOEXEC)?, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instruction pointer at which calls are held.
    #[must_use]
    pub fn held_at(&self) -> u64 {
        self.held_at
    }

    /// A thread is about to wait in our listener. `awaited`: the tracer wants to know when it does.
    pub fn expect(&self, tid: i32, awaited: bool) {
        let mut state = self.state();
        state.expected.insert(tid);
        // Of an earlier wait.
        state.calls.remove(&tid);
        if awaited {
            state.awaited.insert(tid);
        }
    }

    /// A thread does not wait any more.
    pub fn forget(&self, tid: i32) {
        let mut state = self.state();
        state.expected.remove(&tid);
        state.awaited.remove(&tid);
        state.calls.remove(&tid);
    }

    /// Uses the call with which a thread waits. None: it has not been received; then the tracer is woken when it is.
    pub fn with<T>(&self, tid: i32, act: impl FnOnce(&Notification) -> T) -> Option<T> {
        let mut state = self.state();
        match state.calls.get(&tid).filter(|call| call.is_waiting()) {
            Some(call) => Some(act(call)),
            None => {
                state.awaited.insert(tid);
                None
            }
        }
    }

    /// A stand-in is to be told of when it ends.
    pub fn watch(&self, ticket: u64, pidfd: BorrowedFd<'_>) -> bool {
        epoll::add(&self.ends, pidfd, EventData::new_u64(ticket), EventFlags::IN | EventFlags::ONESHOT).is_ok()
    }

    /// A stand-in is none any more.
    pub fn unwatch(&self, ticket: u64, pidfd: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.ends, pidfd);
        let mut state = self.state();
        state.attended.remove(&ticket);
        state.ended.retain(|ended| *ended != ticket);
    }

    /// The tracer is about to see for itself what a stand-in is answered.
    pub fn attend(&self, ticket: u64) {
        self.state().attended.insert(ticket);
    }

    /// It has seen nothing.
    pub fn leave(&self, ticket: u64) {
        let mut state = self.state();
        if state.attended.remove(&ticket) && state.ended.contains(&ticket) {
            state.news = true;
        }
    }

    /// What the tracer waits for has come: stand-ins that have ended. None: nothing.
    pub fn take(&self) -> Option<Vec<u64>> {
        let mut state = self.state();
        if !std::mem::take(&mut state.news) {
            return None;
        }
        let State { ended, attended, .. } = &mut *state;
        Some(ended.extract_if(.., |ticket| !attended.contains(ticket)).collect())
    }

    /// `wake` is called when something comes. False: it has come already.
    pub fn arm(&self, wake: Wake) -> bool {
        let mut state = self.state();
        if state.news {
            return false;
        }
        state.wake = Some(wake);
        true
    }

    /// Readable when a stand-in has ended: for the session.
    pub(crate) fn ends(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }

    /// A call has been received at our instruction pointer. Some: of somebody who was not expected.
    pub(crate) fn arrive(&self, call: Notification) -> Option<Notification> {
        let tid = call.pid()?.cast_signed();
        let mut state = self.state();
        if !state.expected.contains(&tid) {
            return Some(call);
        }
        state.calls.insert(tid, call);
        if state.awaited.remove(&tid) {
            state.tell();
        }
        None
    }

    /// Stand-ins have ended.
    pub(crate) fn hear(&self) {
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 16];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let Ok((ready, _)) = epoll::wait(&self.ends, &mut events, Some(&now)) else { return };
        let mut state = self.state();
        for event in ready {
            let ticket = event.data.u64();
            state.ended.push(ticket);
            if !state.attended.contains(&ticket) {
                state.tell();
            }
        }
    }
}
