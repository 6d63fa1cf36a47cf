//! Tasks that come, execute a program, or are interrupted.

use tipstaff_sys::ptrace::event;
use tipstaff_trace::seam::Stopping;
use tipstaff_trace::{ForkKind, Reason, Resume, Stop as Real, Task};

use super::Mediator;
use crate::machine::Stop;
use crate::names;
use crate::signals::{Disposition, SI_USER, SIGTRAP};

const CLONE_PTRACE: u64 = 0x2000;

impl Mediator {
    pub(super) fn forked(
        &mut self,
        stopping: Stopping<'_>,
        stop: &Real,
        child: i32,
        kind: ForkKind,
        resume: Resume,
    ) -> Resume {
        let tid = stopping.task.tid();
        let untraced = self.cloning.remove(&tid);
        if untraced {
            self.flag_again(stop);
            self.unflagged.insert(child);
        }
        let mut traced = false;
        if self.machine.tracee(tid).is_some()
            && let Ok(registers) = stop.registers()
            && registers.number() == self.numbers.clone.cast_signed()
        {
            traced = registers.arg(self.arch, 0) & CLONE_PTRACE != 0;
        }
        let event = match kind {
            ForkKind::Fork => event::FORK,
            ForkKind::Vfork => event::VFORK,
            ForkKind::Clone => event::CLONE,
        };
        let (told, number) = self.begets(stopping.task, child, event, (untraced, traced));
        if let Some(tracee) = self.machine.tracee_mut(tid) {
            // PTRACE_EVENT_VFORK_DONE tells of it, too.
            tracee.other = number;
        }
        if !told {
            return self.go(stopping, resume);
        }
        self.show(stopping, Stop::Event(event), false, resume)
    }

    /// A task has a new one. Whether an event tells its tracer, and the number that the new one has there. CLONE_UNTRACED, CLONE_PTRACE.
    fn begets(&mut self, task: &Task, child: i32, event: i32, (untraced, traced): (bool, bool)) -> (bool, i32) {
        let (tid, process) = (task.tid(), task.process());
        if let Some(&disposition) = self.dispositions.get(&process) {
            self.dispositions.insert(child, disposition);
        }
        if self.signalfds.contains(&process) {
            self.signalfds.insert(child);
        }
        if let Some(service) = &mut self.service {
            service.born((tid, process), child);
        }
        self.has_child(process);
        let (inherits, told) = self.machine.born(tid, child, event, untraced, traced);
        let Some(tracer) = self.machine.tracee(tid).map(|tracee| tracee.tracer) else { return (false, 0) };
        let number = self.names.seen(tracer, child);
        if let Some(born) = self.machine.tracee_mut(child).filter(|_| inherits) {
            born.number = number;
        }
        (told, number)
    }

    /// Nobody tells of a task, which is a tracee all the same if its maker's options say so: its event would have been lost, not what came with it. `kin` is its
    /// maker, or another of the same process.
    pub(super) fn adopts(&mut self, kin: &Task, child: i32, kind: ForkKind) {
        let untraced = self.cloning.contains(&kin.tid());
        let asked = |event: i32| self.machine.tracee(kin.tid()).is_some_and(|tracee| tracee.options & 1 << event != 0);
        let event = match kind {
            ForkKind::Clone => event::CLONE,
            // Which of them is not seen any more.
            _ if asked(event::VFORK) && !asked(event::FORK) => event::VFORK,
            _ => event::FORK,
        };
        let _ = self.begets(kin, child, event, (untraced, false));
    }

    pub(super) fn executed(&mut self, stopping: Stopping<'_>, former: i32, resume: Resume) -> Resume {
        let tid = stopping.task.tid();
        if former != tid {
            self.names.forget(former);
            self.names.forget(tid);
        }
        let tracer = self.machine.tracee(former).map(|tracee| tracee.tracer_process);
        self.machine.executed(tid, former);
        self.gates.remove(&tid);
        if let Some(service) = &mut self.service {
            service.executed(tid, former);
        }
        if let Some(tracer) = tracer.filter(|_| former != tid) {
            // Whoever waits for the former number waits for nobody.
            self.look_again(tracer);
        }
        if let Some(disposition) = self.dispositions.get_mut(&tid) {
            *disposition = Disposition { ignored: disposition.ignored, ..Disposition::default() };
        }
        let Some(tracer) = self.machine.tracee(tid).map(|tracee| tracee.tracer) else {
            return self.go(stopping, resume);
        };
        let (number, own) = (self.names.seen(tracer, tid), self.names.seen(tid, tid));
        let Some(tracee) = self.machine.tracee_mut(tid) else { return resume };
        tracee.other = std::mem::replace(&mut tracee.number, number);
        tracee.uid = names::uid(tracer, tid);
        // A thread is nobody's child, and is the process now.
        tracee.child = names::parent(tid) == Some(tracee.tracer_process);
        if !tracee.seized && tracee.options & tipstaff_sys::ptrace::option::TRACEEXEC == 0 {
            let uid = names::uid(tid, tid).cast_signed();
            self.send_thread(tid, tid, SIGTRAP, SI_USER, [own, uid]);
        }
        self.show(stopping, Stop::Event(event::EXEC), false, resume)
    }

    pub(super) fn interrupted(
        &mut self,
        stopping: Stopping<'_>,
        stop: &Real,
        reason: Reason,
        resume: Resume,
    ) -> Resume {
        let tid = stopping.task.tid();
        let kicked = self.kicks.remove(&tid);
        if self.unflagged.remove(&tid) {
            self.flag_again(stop);
        }
        if reason == Reason::New {
            let (process, known) = (stopping.task.process(), self.machine.tracee(tid).is_some());
            if known {
                let parent = if process == tid { names::parent(tid) } else { None };
                if let Some(tracee) = self.machine.tracee_mut(tid) {
                    tracee.process = process;
                    tracee.child = parent == Some(tracee.tracer_process);
                }
            }
        }
        if let Some(resume) = self.send_forged(tid, stop) {
            return resume;
        }
        // Its first stop is ours, if it became a tracee in between.
        self.show(stopping, Stop::Trap, kicked || reason == Reason::New, resume)
    }
}
