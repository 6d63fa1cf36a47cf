//! What a tracer is told, and how: the end of its wait, SIGCHLD.

use tipstaff_sys::ptrace::{self, SigInfo};
use tipstaff_sys::ptrace_copy::{Fetch, fetch};
use tipstaff_trace::{End, SignalDelivery, Status, Stopped, Task};

use super::{Mediator, Todo};
use crate::machine::{Orphan, Report, Stop};
use crate::names::{self, in_group};
use crate::signals::{CLD_STOPPED, Owed, SIGCHLD, child};
use crate::waits::{Wait, told, word};

const SIGKILL: i32 = 9;

impl Mediator {
    /// A tracee has stopped, and its tracer is to know.
    pub(crate) fn stop_news(&mut self, tid: i32) {
        let Some(tracee) = self.machine.tracee_mut(tid) else { return };
        let (stop, code) = (tracee.stop, tracee.code.unwrap_or(0));
        let grouped = matches!(stop, Some(Stop::Group(_)));
        let fresh = grouped && std::mem::replace(&mut tracee.stopping, false) && !tracee.grouped;
        tracee.grouped |= grouped;
        // The parent of a stopped process is told by the kernel, and it is the same one. Once, when the last thread has stopped.
        let announced = self.announced.remove(&tid) && grouped;
        if !grouped {
            self.swapped.remove(&tid);
        }
        let by_kernel = announced || fresh && tracee.child && tracee.process == tid && names::threads(tid) == 1;
        // do_notify_parent_cldstop() tells of group_exit_code, which a wait has taken.
        let stop = if tracee.known && grouped { Some(Stop::Group(0)) } else { stop };
        let (process, tracer, number, uid) = (tracee.tracer_process, tracee.tracer, tracee.number, tracee.uid);
        let news = Report { tid, number, status: code << 8, stop, uid, usage: [0; 18] };
        self.news(process, tracer, &news, by_kernel);
        self.refresh(tid);
    }

    fn news(&mut self, process: i32, tracer: i32, news: &Report, by_kernel: bool) {
        let tid = news.tid;
        let waiter = self.waits.iter_mut().find(|(waiter, wait)| {
            let matches = |tid, group| in_group(**waiter, tid, group);
            // Who does not hang is back in a moment, and asks again.
            wait.process == process
                && wait.hangs()
                && wait.select.takes((tid, news.number), (tracer, process), &matches)
        });
        if let Some((&waiter, wait)) = waiter {
            wait.kicked = true;
            self.kicks.insert(waiter);
            // ESRCH: it has been killed.
            let _ = ptrace::interrupt(waiter);
        }
        if !by_kernel {
            self.signal(process, tracer, news);
        }
    }

    /// A SIGCHLD is about to be delivered, of ours or of the kernel's. If the kernel tells of a stopped process that the receiver traces, it is the one that
    /// would have told of the first thread to stop: they do not queue, and ours comes too late or finds it pending.
    pub(super) fn tells_of_a_stop(&mut self, process: i32, signal: &Stopped<SignalDelivery>, ours: Option<SigInfo>) {
        let Some(info) = ours.or_else(|| signal.info().ok()).filter(|info| info.code() == CLD_STOPPED) else { return };
        let number = if ours.is_some() {
            self.machine.told_of_first(process, info.pid());
            // The kernel's was made ours, so ours is the other one.
            match self.machine.known_to(process, info.pid()).and_then(|tid| self.swapped.remove(&tid)) {
                Some(number) => number,
                None => return,
            }
        } else {
            let Some((first, number, coming)) = self.machine.first_to_stop(process, info.pid()) else { return };
            if coming {
                self.announced.insert(first);
            } else {
                self.swapped.insert(first, info.pid());
            }
            number
        };
        if number != info.pid() {
            let _ = signal.set_info(&child(CLD_STOPPED, [number, info.uid().cast_signed(), info.status()]));
        }
    }

    /// SIGCHLD for a tracer.
    fn signal(&mut self, process: i32, tracer: i32, news: &Report) {
        let disposition = self.dispositions.get(&process).copied().unwrap_or_default();
        if news.stop.is_some() && (disposition.ignored || disposition.no_stops) {
            return;
        }
        let (code, value) = told(news.stop, news.status);
        let owed = Owed { process, code, rest: [news.number, news.uid.cast_signed(), value] };
        // sig_ignored(): what is ignored is sent all the same to whoever is traced, or has it blocked. The latter its next stop shows; the first of
        // several is what is pending then.
        if self.signalfds.contains(&process) {
            self.forge(owed);
        } else if disposition.handled || self.machine.tracee(tracer).is_some() || self.takes(process) {
            self.send_owed(owed);
        } else {
            self.owed.entry(tracer).or_insert(owed);
        }
    }

    /// A thread leaves the stop behind which it ends. A leader is told of at once, though nobody can wait for it before its last thread has ended; then it
    /// is told of again: exit_notify(), release_task().
    pub(crate) fn leaves(&mut self, tid: i32) {
        let Some(status) = self.dying.get(&tid).copied() else { return };
        let Some(tracee) = self.machine.tracee(tid).filter(|tracee| tracee.process == tid) else { return };
        let (process, tracer, number, uid) = (tracee.tracer_process, tracee.tracer, tracee.number, tracee.uid);
        if names::threads(tid) > 1 {
            self.signal(process, tracer, &Report { tid, number, status, stop: None, uid, usage: [0; 18] });
        }
    }

    pub(super) fn send_owed(&mut self, Owed { process, code, rest }: Owed) {
        self.sent = true;
        self.mark.process(process, SIGCHLD, code, rest);
    }

    /// A thread has stopped: what it is owed it gets now, if it has SIGCHLD blocked.
    pub(super) fn pay(&mut self, tid: i32) {
        if self.owed.is_empty() {
            return;
        }
        if let Some(owed) = self.owed.remove(&tid)
            && fetch(tid, Fetch::SigMask, 8).is_ok_and(|mask| mask[2] & 1 << ((SIGCHLD - 1) % 8) != 0)
        {
            self.send_owed(owed);
        }
    }

    /// A task is about to end: who its parent is, while that can be seen.
    pub(crate) fn exiting(&mut self, task: &Task, status: Status) {
        let tid = task.tid();
        if self.machine.tracee(tid).is_none() {
            return;
        }
        self.dying.insert(tid, word(status));
        if task.process() == tid {
            let parent = names::parent(tid);
            let changed = self.machine.tracee_mut(tid).and_then(|tracee| {
                let child = parent == Some(tracee.tracer_process);
                (std::mem::replace(&mut tracee.child, child) != child).then_some(tracee.tracer_process)
            });
            if let Some(tracer) = changed {
                // Who is told, by the kernel or by us, is another now.
                self.look_again(tracer);
            }
        }
    }

    pub(crate) fn end_news(&mut self, task: &Task, end: End) {
        let tid = task.tid();
        self.names.forget(tid);
        self.unhold(tid);
        if let Some(service) = &mut self.service {
            service.leave(tid);
        }
        for set in [
            &mut self.polls,
            &mut self.redone,
            &mut self.kicks,
            &mut self.leftover,
            &mut self.lone,
            &mut self.announced,
            &mut self.cloning,
            &mut self.unflagged,
        ] {
            set.remove(&tid);
        }
        self.dying.remove(&tid);
        self.swapped.remove(&tid);
        self.waits.remove(&tid);
        self.parked.remove(&tid);
        self.opening.remove(&tid);
        self.scripts.remove(&tid);
        self.still.remove(&tid);
        self.takers.remove(&tid);
        self.owed.remove(&tid);
        self.answered.remove(&tid);
        self.unmade.remove(&tid);
        self.asking.remove(&tid);
        if let Some(caller) = self.trapping.remove(&tid) {
            self.todo.push_back(Todo::Reply(caller, 0));
        }
        self.trapping.retain(|_, caller| *caller != tid);
        for Orphan { tid: target, killed, stop } in self.machine.gone(tid) {
            if killed {
                let _ = tipstaff_sys::signal::kill(target, SIGKILL);
            }
            self.todo.push_back(Todo::Orphan(target, stop));
        }
        if tid == task.process() {
            self.dispositions.remove(&tid);
            self.signalfds.remove(&tid);
            self.gates.remove(&tid);
            self.forged.remove(&tid);
            self.childless.remove(&tid);
        }
        let status = match end {
            End::Exited(code) => Status::Exited(code),
            End::Killed { signal, core } => Status::Signaled { signal, core },
            End::Replaced { .. } | End::Detached | End::Lost => {
                self.machine.replaced(tid);
                self.bury();
                return;
            }
        };
        let (status, usage) = (word(status), task.usage().raw);
        let tracer = self.machine.tracee(tid).map(|tracee| tracee.tracer_process);
        let leaves_none = tracer.is_some_and(|tracer| self.leaves_none(tracer));
        let ended = self.machine.ended(tid, status, usage, &|_| leaves_none);
        if let Some(ended) = ended.as_ref().filter(|ended| ended.by_kernel) {
            let unwatched = |wait: &&mut Wait| wait.process == ended.tracer_process && !wait.watched;
            self.waits.values_mut().filter(unwatched).for_each(|wait| wait.raced = true);
        }
        if let Some(ended) = ended.filter(|ended| !ended.by_kernel) {
            let news = Report { tid, number: ended.number, status, stop: None, uid: ended.uid, usage: ended.usage };
            self.news(ended.tracer_process, ended.tracer, &news, false);
        }
        self.bury();
    }

    /// Whether a process has said that its children leave no zombies.
    pub(crate) fn leaves_none(&self, process: i32) -> bool {
        self.dispositions.get(&process).is_some_and(|d| d.ignored || d.no_wait)
    }

    /// Whoever was told of an end may ask others next: zombies are reaped at once.
    pub(crate) fn bury(&mut self) {
        for tid in self.machine.graves() {
            tipstaff_trace::reap(tid);
            self.todo.push_back(Todo::Buried(tid));
        }
    }
}
