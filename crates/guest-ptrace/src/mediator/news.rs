//! What a tracer is told, and how: the end of its wait, SIGCHLD.

use tipstaff_sys::ptrace;
use tipstaff_trace::{End, Task};

use super::{Mediator, Todo};
use crate::machine::{Orphan, Report, Stop};
use crate::names::{self, in_group, mask, status};
use crate::signals::SIGCHLD;
use crate::waits::told;

const SIGKILL: i32 = 9;
const BLOCKED: u64 = 1 << (SIGCHLD - 1);

impl Mediator {
    /// A tracee has stopped, and its tracer is to know.
    pub(crate) fn stop_news(&mut self, tid: i32) {
        let Some(tracee) = self.machine.tracee_mut(tid) else { return };
        let (stop, code) = (tracee.stop, tracee.code.unwrap_or(0));
        let grouped = matches!(stop, Some(Stop::Group(_)));
        let fresh = grouped && std::mem::replace(&mut tracee.stopping, false) && !tracee.grouped;
        tracee.grouped |= grouped;
        // The parent of a stopped process is told by the kernel, and it is the same one. Once, when the last thread has stopped.
        let by_kernel = fresh && tracee.child && tracee.process == tid && names::threads(tid) == 1;
        // do_notify_parent_cldstop() tells of group_exit_code, which a wait has taken.
        let stop = if tracee.known && grouped { Some(Stop::Group(0)) } else { stop };
        let (process, tracer, number, uid) = (tracee.tracer_process, tracee.tracer, tracee.number, tracee.uid);
        let news = Report { tid, number, status: code << 8, stop, uid, usage: [0; 18] };
        self.news(process, tracer, &news, by_kernel);
    }

    fn news(&mut self, process: i32, tracer: i32, news: &Report, by_kernel: bool) {
        let tid = news.tid;
        let waiter = self.waits.iter_mut().find(|(waiter, wait)| {
            let matches = |tid, group| in_group(**waiter, tid, group);
            wait.process == process && wait.select.takes((tid, news.number), (tracer, process), &matches)
        });
        let waiter = waiter.map(|(&waiter, wait)| {
            wait.kicked = true;
            waiter
        });
        if let Some(waiter) = waiter {
            self.kicks.insert(waiter);
            // ESRCH: it has been killed.
            let _ = ptrace::interrupt(waiter);
        }
        let disposition = self.dispositions.get(&process).copied().unwrap_or_default();
        if by_kernel || disposition.ignored || news.stop.is_some() && disposition.no_stops {
            return;
        }
        let (code, value) = told(news.stop, news.status);
        let rest = [news.number, news.uid.cast_signed(), value];
        if disposition.handled {
            self.sent = true;
            self.mark.process(process, SIGCHLD, code, rest);
            return;
        }
        // Nobody hears of it unless somebody has it blocked.
        match waiter.and_then(|waiter| self.waits.get_mut(&waiter)).filter(|wait| wait.watched) {
            Some(wait) => wait.owed = Some((code, rest)),
            None => {
                let blocks = |tid| mask(&status(tid), "SigBlk:") & BLOCKED != 0;
                if blocks(tracer) || blocks(process) {
                    self.sent = true;
                    self.mark.process(process, SIGCHLD, code, rest);
                }
            }
        }
    }

    /// A task is about to end: who its parent is, while that can be seen.
    pub(crate) fn exiting(&mut self, task: &Task) {
        let tid = task.tid();
        if task.process() == tid && self.machine.tracee(tid).is_some() {
            let parent = names::parent(tid);
            if let Some(tracee) = self.machine.tracee_mut(tid) {
                tracee.child = parent == Some(tracee.tracer_process);
            }
        }
    }

    pub(crate) fn end_news(&mut self, task: &Task, end: End) {
        let tid = task.tid();
        self.names.forget(tid);
        for set in [&mut self.polls, &mut self.redone, &mut self.kicks, &mut self.leftover, &mut self.lone] {
            set.remove(&tid);
        }
        self.waits.remove(&tid);
        self.answered.remove(&tid);
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
            self.childless.remove(&tid);
        }
        let status = match end {
            End::Exited(code) => code << 8,
            End::Killed { signal, core } => signal | if core { 0x80 } else { 0 },
            End::Replaced { .. } | End::Detached | End::Lost => {
                self.machine.replaced(tid);
                return;
            }
        };
        if let Some(ended) = self.machine.ended(tid, status, task.usage().raw).filter(|ended| !ended.by_kernel) {
            let ignored = self.dispositions.get(&ended.tracer_process).is_some_and(|d| d.ignored);
            if ignored {
                self.machine.reaped(tid);
            }
            let news = Report { tid, number: ended.number, status, stop: None, uid: ended.uid, usage: ended.usage };
            self.news(ended.tracer_process, ended.tracer, &news, false);
        }
    }
}
