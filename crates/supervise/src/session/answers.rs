//! Calls that wait for an answer: received here as long as they are few, and by a thread of their own while they follow each other.

use std::sync::{MutexGuard, PoisonError};

use rustix::event::epoll::{self, EventData, EventFlags};
use tipstaff_notify::{Next, Notification};
use tipstaff_policy::lower::FilterPlan;
use tipstaff_report::Cause;
use tipstaff_sys::clock;

use super::receiver::Receiver;
use super::{MS, Session, token};
use crate::denials::Denials;
use crate::engine::{Answered, Engine, Said};

/// Notifications answered in one go.
const BUDGET: usize = 64;
/// How soon a signal is seen that a caller should take whose call is being decided.
const SIGNALS_EVERY: u64 = 10 * MS;
/// Calls between two looks at the clock.
const SOME: u32 = 256;
/// A thread pays when [`SOME`] calls come within this: 10,000 a second cost 1 % of a CPU less by it.
const HOT: u64 = 25 * MS;
/// And no longer when they take this.
const COLD: u64 = 250 * MS;

/// Who answers the calls of one box. Whoever has received a call asks here, one at a time.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub engine: Engine,
    pub denials: Denials,
    /// The receiver has given the listener back.
    pub rests: bool,
    /// The box has ended, and its report is being made.
    pub closed: bool,
}

impl Answers {
    /// Answers a call, or sees to it that it will be.
    pub fn serve(&mut self, call: Notification, filter: &FilterPlan) -> Answered {
        match &mut self.engine {
            // Dropped: ENOSYS.
            _ if self.closed => Answered::Done,
            Engine::Ptrace(ptrace)
                if let Some(anteroom) = ptrace.anteroom().filter(|anteroom| anteroom.held_at() == call.data().ip) =>
            {
                match anteroom.arrive(call) {
                    // A guest's tracer has found the place, and sent its tracee there: what the profile refuses it refuses there too.
                    Some(stranger) if stranger.is_waiting() && filter.refuses(stranger.data()) => {
                        self.denials.refuse(stranger, filter)
                    }
                    _ => Answered::Done,
                }
            }
            Engine::Notify(notify) if filter.is_asked(call.data()) => notify.serve(call, &mut self.denials),
            _ => self.denials.refuse(call, filter),
        }
    }
}

/// How fast calls follow each other.
#[derive(Debug, Default)]
pub(super) struct Pace {
    calls: u32,
    since: Option<u64>,
}

impl Pace {
    /// One more call. Every [`SOME`] calls: how long these have taken.
    fn beat(&mut self) -> Option<u64> {
        self.calls += 1;
        if self.calls < SOME {
            return None;
        }
        let now = clock::monotonic_ns();
        self.calls = 0;
        // How long the first ones took nobody knows.
        let since = self.since.replace(now);
        since.map(|since| now - since)
    }

    /// One more call, and a thread that receives them pays.
    pub fn is_hot(&mut self) -> bool {
        self.beat().is_some_and(|took| took <= HOT)
    }

    /// One more call, and such a thread does not pay any more.
    pub fn is_cold(&mut self) -> bool {
        self.beat().is_some_and(|took| took >= COLD)
    }
}

impl Session {
    pub(super) fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers what waits, at most [`BUDGET`] calls, so that one box cannot hold a loop over many.
    pub(super) fn serve_listener(&mut self) {
        if self.receive() == Answered::Kill {
            self.kill(Cause::Policy);
        }
        self.watch_waiting();
    }

    fn receive(&mut self) -> Answered {
        let (Some(listener), Some(filter)) = (&self.listener, &self.filter) else { return Answered::Done };
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for served in 0..BUDGET {
            // The loop has been told of the first one. Behind it there is mostly none, and looking costs a system call.
            let next = match served {
                0 => listener.next_of_ready(),
                1 if !self.crowded => return Answered::Done,
                _ => listener.next(),
            };
            let call = match next {
                Ok(Next::Call(call)) => call,
                Ok(Next::Nothing) | Err(_) => {
                    self.crowded = served > 1;
                    return Answered::Done;
                }
                Ok(Next::Ended) => return Answered::Done,
            };
            if answers.serve(call, filter) == Answered::Kill {
                return Answered::Kill;
            }
            if self.pace.is_hot() && self.receiver.is_none() && listener.waits_in_recv() {
                // From here on nobody else may receive: a RECV that finds nothing waits.
                if let Ok(receiver) = Receiver::start(listener, filter, &self.answers, &self.epoll) {
                    self.receiver = Some(receiver);
                    return Answered::Done;
                }
            }
        }
        self.crowded = true;
        Answered::Done
    }

    /// The thread that receives has something to say.
    pub(super) fn hear_receiver(&mut self) {
        let Some(receiver) = &self.receiver else { return };
        let said = receiver.hear();
        if std::mem::take(&mut self.answers().rests) {
            receiver.forget(&self.epoll);
            self.receiver = None;
            self.pace = Pace::default();
            if let Some(listener) = &self.listener {
                let _ = epoll::add(&self.epoll, listener, EventData::new_u64(token::LISTENER), EventFlags::IN);
            }
        }
        self.hear(said);
    }

    /// The box is empty: the last words of all who have answered.
    pub(super) fn hear_the_last(&mut self) {
        self.hear_receiver();
        let last = self.answers().engine.finish();
        self.hear(last);
    }

    /// From now on nothing is answered. What has been refused.
    pub(super) fn close(&mut self) -> Denials {
        let mut answers = self.answers();
        answers.closed = true;
        std::mem::take(&mut answers.denials)
    }

    pub(super) fn settle(&mut self) {
        let mut answers = self.answers();
        let Answers { engine, denials, .. } = &mut *answers;
        if let Engine::Notify(notify) = engine
            && notify.settle(denials) == Answered::Kill
        {
            drop(answers);
            self.kill(Cause::Policy);
        }
    }

    /// While calls wait for slow decisions, their callers' signals are looked at.
    pub(super) fn watch_waiting(&mut self) {
        let waits = matches!(&self.answers().engine, Engine::Notify(notify) if notify.has_waiting());
        if waits {
            self.due.signals.get_or_insert_with(|| clock::monotonic_ns() + SIGNALS_EVERY);
        }
    }

    pub(super) fn look_at_signals(&mut self, now: u64) {
        self.due.signals = None;
        let mut answers = self.answers();
        if let Engine::Notify(notify) = &mut answers.engine {
            notify.interrupt();
            let waits = notify.has_waiting();
            drop(answers);
            self.due.signals = waits.then_some(now + SIGNALS_EVERY);
        }
    }

    pub(super) fn hear(&mut self, said: Said) {
        let mut answers = self.answers();
        for (call, (args, pid, times)) in said.denied {
            answers.denials.count(call, args, Some(pid), times);
        }
        answers.denials.dropped += said.dropped;
        drop(answers);
        if let Some(words) = said.fault {
            self.fault.get_or_insert(words);
        }
        if let Some(at) = said.kill {
            // The tracer has said so before it killed, and we may hear of the end first.
            if self.cause.is_none() && self.keeper.ended_ns().is_none_or(|ended| at <= ended) {
                self.cause = Some((Cause::Policy, at.saturating_sub(self.keeper.started_ns())));
            }
            self.kill(Cause::Policy);
        }
        if let Some(words) = said.lost {
            self.fault.get_or_insert(words);
            self.kill(Cause::SupervisorFault);
        }
    }
}
