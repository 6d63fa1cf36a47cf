//! A wait from its entry to its return.

use tipstaff_sys::wait::{Change, Look, look};
use tipstaff_trace::seam::{Engine, Stopping};
use tipstaff_trace::{Registers, Resume, Stop as Real, Tracer};

use super::Mediator;
use super::forge::has_signal;
use crate::machine::{Report, Who};
use crate::names::{self, in_group};
use crate::waits::{ECHILD, ERESTARTNOHAND, ERESTARTSYS, Wait, word};

/// So many stops of others a thread is held for at the entry of its wait.
const PATIENCE: u32 = 16;
const FLAGS: u64 = 0xc000_0000;

impl Mediator {
    /// A wait is entered.
    pub(super) fn waits(
        &mut self,
        stopping: Stopping<'_>,
        stop: &Real,
        args: [u64; 6],
        (by_id, parks): (bool, bool),
        resume: Resume,
    ) -> Resume {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        let poll = self.polls.remove(&tid);
        self.redone.remove(&tid);
        let entered = Wait::entered((tid, process), by_id, args);
        let Some(mut wait) = entered else { return self.go(stopping, resume) };
        if !self.machine.traces(process) {
            return self.unwatched(stopping, wait, resume);
        }
        let grouped = |target, group| in_group(tid, target, group);
        if let Some(report) = self.found(tid, &wait) {
            let Ok(registers) = stop.registers() else { return self.go(stopping, resume) };
            return self.answer(stopping, stop, registers, wait.tell(tid, &report), resume);
        }
        if !self.machine.waits(&wait.select, &grouped) {
            return self.unwatched(stopping, wait, resume);
        }
        // What does not hang and finds nothing is told nothing by the kernel either, unless there is no child at all; so nobody has to see its return.
        if !wait.hangs() && wait.asks_for_any_end() && self.machine.has_living_child(process, &self.dying) {
            return self.unwatched(stopping, wait, resume);
        }
        if parks && wait.hangs() && self.machine.runs(process) {
            self.parked.insert(tid, 0);
            return Resume::Hold;
        }
        let Ok(entry) = stop.registers() else { return self.go(stopping, resume) };
        let alone = match wait.select.who {
            // A thread, or a process that is somebody else's child.
            Who::One(number) => self.machine.known_to(process, number).is_some_and(|target| !self.is_child(target)),
            Who::Thread(target) => !self.is_child(target),
            Who::Any => wait.select.thread.is_none() && self.childless.get(&process) == Some(&(wait.flags & FLAGS)),
            Who::Group(_) => false,
        };
        if poll || alone {
            if !wait.hangs() {
                return self.answer(stopping, stop, entry, wait.nothing(tid), resume);
            }
            let mut registers = entry;
            registers.set_number(self.numbers.ppoll.cast_signed());
            for index in 0..5 {
                registers.set_arg(self.arch, index, 0);
            }
            if stop.set_registers(&registers).is_err() {
                return self.go(stopping, resume);
            }
            wait.poll = true;
        }
        wait.watched = true;
        wait.registers = Some(entry);
        self.waits.insert(tid, wait);
        Resume::ToSyscall
    }

    /// Threads that are held at the entry of their wait: who is told something now goes on, and `all` others make their wait.
    ///
    /// A tracee that was resumed a moment ago is likely to stop before anything else happens, and a wait that is answered at its entry costs one stop, one
    /// that is made and interrupted three.
    pub(super) fn look_after_parked(&mut self, all: bool, tracer: &mut Tracer, engine: &dyn Engine) {
        let parked: Vec<i32> = self.parked.keys().copied().collect();
        for tid in parked {
            let turns = self.parked.remove(&tid).unwrap_or(PATIENCE);
            let parks = !all && turns < PATIENCE;
            tracer.settle(tid, |task, stop| {
                // An answer at the entry is no stop: what came meanwhile found the mask that is there now.
                self.pay(tid);
                let stopping = Stopping { task, awaited: engine.awaits(tid) };
                let Some(call) = stop.call_now() else { return Resume::Free };
                self.waits(stopping, stop, call.args, (call.number == self.numbers.waitid, parks), Resume::Free)
            });
            if let Some(again) = self.parked.get_mut(&tid) {
                *again = turns + 1;
            }
        }
    }

    /// A watched wait returns. True: it enters again.
    pub(super) fn returned(&mut self, tid: i32, stop: &Real, wait: &Wait, value: i64) -> bool {
        let grouped = |target, group| in_group(tid, target, group);
        let Some(mut registers) = wait.registers else { return false };
        let interrupted = matches!(value, ERESTARTSYS | ERESTARTNOHAND);
        let nothing = !wait.hangs() && value == 0 && (!wait.by_id || self.found_nobody(tid, wait));
        if value == ECHILD && !wait.poll && wait.select.who == Who::Any && wait.select.thread.is_none() {
            self.childless.insert(wait.process, wait.flags & FLAGS);
            self.machine.childless(wait.process);
        }
        if let Some(child) = wait.ended_child(tid, value).filter(|&child| self.machine.tells(wait.process, child))
            && !wait.keeps()
        {
            // An end before that one, of a thread of its process, which is told first.
            let earlier = self.found(tid, wait);
            self.machine.told(wait.process, child, earlier.is_some());
            if let Some(report) = earlier {
                registers.set_result(wait.tell(tid, &report));
                let _ = stop.set_registers(&registers);
            }
            return false;
        }
        if interrupted || nothing || value == ECHILD {
            if let Some(report) = self.found(tid, wait) {
                registers.set_result(wait.tell(tid, &report));
                let _ = stop.set_registers(&registers);
                return false;
            }
            if value == ECHILD && self.machine.waits(&wait.select, &grouped) {
                if !wait.hangs() {
                    registers.set_result(wait.nothing(tid));
                    let _ = stop.set_registers(&registers);
                    return false;
                }
                self.polls.insert(tid);
                return self.again(tid, stop, registers);
            }
            if wait.poll {
                // The kernel makes it again, or fails it with EINTR, as SA_RESTART says.
                registers.set_result(if value == ERESTARTNOHAND { ERESTARTSYS } else { value });
                let _ = stop.set_registers(&registers);
            }
            return false;
        }
        // A stopped child of its own, which as a tracee it is told of otherwise: wait_consider_task() does not look at group-stops of tracees.
        if let Some(child) = wait.stopped_child(tid, value)
            && self.machine.known_to(wait.process, child).is_some()
        {
            return self.again(tid, stop, registers);
        }
        false
    }

    /// A wait that has returned is made again, from these registers; by the kernel, which does that unless there is a signal with a handler: behind that
    /// nobody waits who would not outside (SA_RESTART). True: it enters again, which nobody is shown.
    fn again(&mut self, tid: i32, stop: &Real, mut registers: Registers) -> bool {
        registers.set_result(ERESTARTSYS);
        if stop.set_registers(&registers).is_err() || has_signal(tid) {
            return false;
        }
        // The kernel looks at such a result where it looks for signals: it does for an interrupt.
        self.kicks.insert(tid);
        let _ = tipstaff_sys::ptrace::interrupt(tid);
        true
    }

    /// What the table has for a wait. A zombie that it tells of is reaped.
    fn found(&mut self, tid: i32, wait: &Wait) -> Option<Report> {
        let mut report = self.machine.report(&wait.select, wait.keeps(), &|target, group| in_group(tid, target, group));
        // A thread whose process has ended since then has ended with that: wait_task_zombie().
        if let Some(report) = report.as_mut().filter(|report| report.stop.is_none())
            && let Ok(Some((_, Change::Ended(status)))) = look(report.tid, Look::End, None)
        {
            report.status = word(status);
        }
        self.bury();
        report
    }

    /// A process whose real parent is its tracer: the kernel knows it as that one's child.
    fn is_child(&self, target: i32) -> bool {
        self.machine.tracee(target).is_some_and(|tracee| tracee.child && tracee.process == target)
    }

    fn found_nobody(&self, tid: i32, wait: &Wait) -> bool {
        let mut pid = [0; 4];
        wait.result == 0 || crate::moves::read(tid, wait.result + 16, &mut pid).is_ok() && pid == [0; 4]
    }

    /// A wait that nobody watched has been interrupted by us: its process had no tracees when it was entered.
    pub(super) fn woken(&mut self, tid: i32, stop: &Real, wait: &Wait) {
        let Ok(mut registers) = stop.registers() else { return };
        let number = if wait.by_id { self.numbers.waitid } else { self.numbers.wait4 };
        if registers.number().cast_unsigned() != number || registers.result() != ERESTARTSYS {
            return;
        }
        if let Some(report) = self.found(tid, wait) {
            registers.set_result(wait.tell(tid, &report));
            let _ = stop.set_registers(&registers);
        }
    }

    /// A wait that the kernel answers, and whose return nobody sees.
    fn unwatched(&mut self, stopping: Stopping<'_>, mut wait: Wait, resume: Resume) -> Resume {
        wait.raced = self.machine.is_owed(wait.process);
        self.waits.insert(stopping.task.tid(), wait);
        self.go(stopping, resume)
    }

    /// A wait that nobody watched is over, and an end came meanwhile: if that child is gone, it was told of.
    pub(super) fn raced(&mut self, process: i32) {
        self.machine.reaped(process, &|tid| names::status(tid).is_empty());
    }

    /// A process has a child more: who waits as if it had none is to look again.
    pub(crate) fn has_child(&mut self, process: i32) {
        self.childless.remove(&process);
        self.look_again(process);
    }

    /// Those of a process that wait in the place of the kernel's wait make it again.
    pub(super) fn look_again(&mut self, process: i32) {
        for (&tid, wait) in self.waits.iter_mut().filter(|(_, wait)| wait.process == process && wait.poll) {
            wait.kicked = true;
            self.kicks.insert(tid);
            let _ = tipstaff_sys::ptrace::interrupt(tid);
        }
    }
}
