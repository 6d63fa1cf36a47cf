//! Stand-ins: who waits in a guest's listener for whom.

use tipstaff_abi::bpf::SeccompData;
use tipstaff_sys::stand_in::Answer;
use tipstaff_trace::Tracer;
use tipstaff_trace::seam::Engine;

use super::held::NOBODY;
use super::{STAND_INS, Service, Waiting};
use crate::mediator::Mediator;

/// So many calls that are gone are remembered.
const GONE: usize = 64;

impl Service {
    /// Sends stand-ins for those who have none yet. What could not be: those get an answer.
    pub(super) fn stand(&mut self) {
        let mut standing = self.waiting.values().filter(|waiting| waiting.stand_in.is_some()).count();
        while standing < STAND_INS
            && let Some(ticket) = self.queue.pop_front()
        {
            let Some(waiting) = self.waiting.get_mut(&ticket) else { continue };
            let Some(listener) = self.listeners.get(&waiting.listener) else {
                waiting.answer = Some(NOBODY);
                continue;
            };
            match listener.clerk.stand(ticket) {
                Ok(stand_in) if self.anteroom.watch(ticket, stand_in.pidfd()) => {
                    waiting.stand_in = Some(stand_in);
                    standing += 1;
                }
                // Without room for one it waits for somebody else's, if there is one.
                _ if standing > 0 => return self.queue.push_front(ticket),
                _ => waiting.answer = Some(NOBODY),
            }
        }
    }

    /// A call does not wait any more: nobody finds it in the listener.
    pub(super) fn withdraw(&mut self, ticket: u64) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        self.queue.retain(|queued| *queued != ticket);
        if let Some(id) = waiting.id {
            self.ids.remove(&id);
        }
        if let Some(stand_in) = waiting.stand_in {
            self.anteroom.unwatch(ticket, stand_in.pidfd());
            // Killed, and waited for.
            drop(stand_in);
        }
        if self.gone.len() == GONE {
            self.gone.pop_front();
        }
        self.gone.push_back((ticket, waiting.tid, waiting.data));
        self.stand();
    }

    /// Whose call a supervisor has received.
    pub(super) fn received(&mut self, ticket: u64, id: u64) -> Option<(i32, SeccompData)> {
        if let Some(waiting) = self.waiting.get_mut(&ticket) {
            // What was read is memory of the guest's: a call has one id, so that what it says of others is not kept.
            if let Some(former) = waiting.id.replace(id) {
                self.ids.remove(&former);
            }
            self.ids.insert(id, ticket);
            return Some((waiting.tid, waiting.data));
        }
        let (_, tid, data) = self.gone.iter().find(|(gone, ..)| *gone == ticket)?;
        Some((*tid, *data))
    }

    /// A stand-in has ended: who waits for its answer.
    pub(super) fn ended(&mut self, ticket: u64) -> Option<i32> {
        let waiting: &mut Waiting = self.waiting.get_mut(&ticket)?;
        let stand_in = waiting.stand_in.take()?;
        self.anteroom.unwatch(ticket, stand_in.pidfd());
        let answer: Answer = stand_in.finish().unwrap_or(NOBODY);
        waiting.answer = Some(answer);
        let tid = waiting.tid;
        self.stand();
        Some(tid)
    }
}

impl Mediator {
    /// Between two stops: what has come for guests' listeners.
    pub(crate) fn serve(&mut self, tracer: &mut Tracer, engine: &dyn Engine) {
        loop {
            let Some(service) = &mut self.service else { return };
            if service.held.is_empty() && service.late.is_empty() {
                return;
            }
            if let Some(ended) = service.anteroom.take() {
                let answered: Vec<i32> = ended.into_iter().filter_map(|ticket| service.ended(ticket)).collect();
                answered.into_iter().for_each(|tid| self.kick(tid));
            }
            self.look_after_late(tracer, engine);
            self.look_after_installs();
            self.unanswerable();
            let Some(service) = &self.service else { return };
            // Each time anew: who has been woken once is woken by another child the next time. Without a process to spare for that they are looked after at the next stop of anybody.
            let Ok(stopper) = tracer.stopper() else { return };
            if service.anteroom.arm(Box::new(move || stopper.stop())) {
                return;
            }
        }
    }

    /// Those for whom there could be no stand-in.
    fn unanswerable(&mut self) {
        let Some(service) = &self.service else { return };
        let lost = |(_, waiting): (&u64, &Waiting)| {
            (waiting.answer == Some(NOBODY) && waiting.stand_in.is_none()).then_some(waiting.tid)
        };
        let lost: Vec<i32> = service.waiting.iter().filter_map(lost).collect();
        lost.into_iter()
            .filter(|tid| !self.kicks.contains(tid))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|tid| self.kick(tid));
    }
}
