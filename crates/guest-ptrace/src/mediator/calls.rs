//! Calls that the filter has stopped, from their entry to their return.

use tipstaff_sys::ptrace_copy::{Fetch, Store, fetch, store};
use tipstaff_trace::seam::Stopping;
use tipstaff_trace::{Call, Resume, Stop as Real};

use super::{Mediator, Todo};
use crate::access;
use crate::machine::Stop;
use crate::signals::{Disposition, SIGCHLD, SIGTRAP, TRAP_BRKPT};
use crate::waits::Wait;
use tipstaff_sys::ptrace::Go;

const CLONE_UNTRACED: u64 = 0x0080_0000;
/// The kernel makes the call again, or fails it with EINTR: ERESTARTSYS and its kin.
const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;

/// Whether the next instruction of a stopped thread makes a call, or the kernel makes its last one again.
pub(super) fn makes_call(tid: i32) -> bool {
    // syscall, int 0x80, sysenter.
    const INSTRUCTIONS: [[u8; 2]; 3] = [[0x0f, 0x05], [0xcd, 0x80], [0x0f, 0x34]];
    let Ok(registers) = tipstaff_sys::ptrace::registers(tid) else { return false };
    let mut next = [0; 2];
    registers.number() >= 0 && RESTARTS.contains(&registers.result())
        || crate::moves::read(tid, registers.ip(), &mut next).is_ok() && INSTRUCTIONS.contains(&next)
}

impl Mediator {
    /// A call, as the kernel has told it in this stop.
    pub(super) fn called(&mut self, stopping: Stopping<'_>, stop: &Real, resume: Resume) -> Resume {
        // What the handlers have made of it; refused, it has no number.
        let call = if stop.touched() { stop.call_now() } else { stop.call().copied() };
        match call.filter(|call| call.arch == self.arch) {
            Some(call) => self.comes_to(stopping, stop, call, resume),
            None => self.go(stopping, resume),
        }
    }

    fn comes_to(&mut self, stopping: Stopping<'_>, stop: &Real, call: Call, resume: Resume) -> Resume {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        if let Some(resume) = self.listener_call(stopping, stop, &call) {
            return resume;
        }
        let numbers = self.numbers;
        if let Some(opens) = self.opens(&call).filter(|_| !self.beyond) {
            if let Some(opening) = self.watches(tid, &opens) {
                self.opening.insert(tid, opening);
                self.interrupt_again(tid);
                return Resume::ToSyscall;
            }
        } else if self.takes_signals(tid, process, &call) {
            self.interrupt_again(tid);
            return Resume::ToSyscall;
        } else if call.number == numbers.clone {
            let flags = call.args[0];
            if flags & CLONE_UNTRACED != 0 && self.machine.tracee(tid).is_some() {
                // The guard behind us takes it out of the register.
                self.cloning.insert(tid);
                self.interrupt_again(tid);
                return Resume::ToSyscall;
            }
        } else if call.number == numbers.sigaction && call.args[0] as i32 == SIGCHLD && call.args[1] != 0 {
            let mut action = [0; 16];
            if crate::moves::read(tid, call.args[1], &mut action).is_ok() {
                let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|n| action[at + n]));
                let (handler, flags) = (word(0), word(8));
                let (no_stops, no_wait) = (flags & 1 != 0, flags & 2 != 0);
                let to = Disposition { ignored: handler == 1, handled: handler > 1, no_stops, no_wait };
                self.dispositions.insert(process, to);
            }
        } else if call.number == numbers.ptrace || call.number == numbers.wait4 || call.number == numbers.waitid {
            self.gates.insert(process, call.ip.0.wrapping_sub(2));
            if call.number == numbers.ptrace {
                self.todo.push_back(Todo::Request(tid));
                return Resume::Hold;
            }
            return self.waits(stopping, stop, call.args, (call.number == numbers.waitid, true), resume);
        }
        self.go(stopping, resume)
    }

    /// A call returns, which nobody has seen yet: its result becomes what it would be if the kernel's own ptrace(2) had served. Some: it does not
    /// return after all, or not yet.
    pub(super) fn mend(&mut self, stopping: Stopping<'_>, stop: &mut Real, wait: Option<Wait>) -> Option<Resume> {
        let tid = stopping.task.tid();
        let Real::Left(left) = &*stop else { return None };
        let value = left.returned().value;
        if self.cloning.remove(&tid) {
            // Nobody was made; and if the kernel makes the call again, it starts from what the guest has asked for.
            self.flag_again(stop);
        }
        if let Some((number, result)) = self.answered.remove(&tid)
            && let Ok(mut registers) = stop.registers()
        {
            registers.set_number(number);
            registers.set_result(result);
            let _ = stop.set_registers(&registers);
        }
        self.taken(tid, value);
        if let Some(asking) = self.asking.remove(&tid) {
            let mut registers = asking.registers;
            match access::answer(value) {
                Some(result) => {
                    registers.set_result(result);
                    let _ = stop.set_registers(&registers);
                }
                None => {
                    self.todo.push_back(Todo::Granted(tid, asking));
                    return Some(Resume::Hold);
                }
            }
        }
        if let Some(wait) = wait.filter(|wait| wait.watched)
            && self.returned(tid, stop, &wait, value)
        {
            // It enters its call again.
            self.redone.insert(tid);
            return Some(self.go(stopping, self.free()));
        }
        stop.returns_now();
        None
    }

    /// CLONE_UNTRACED is in the first argument's register again, where the guest has it.
    pub(super) fn flag_again(&self, stop: &Real) {
        // An error: it has been killed.
        let Ok(mut registers) = stop.registers() else { return };
        registers.set_arg(self.arch, 0, registers.arg(self.arch, 0) | CLONE_UNTRACED);
        let _ = stop.set_registers(&registers);
    }

    /// A call returns.
    pub(crate) fn exit(&mut self, stopping: Stopping<'_>, stop: &Real, value: i64, resume: Resume) -> Resume {
        let tid = stopping.task.tid();
        if self.open_returned(tid, value) {
            return Resume::Hold;
        }
        self.shown_exit(stopping, stop, resume)
    }

    /// A call returns, or one that was answered in a stop of its own.
    pub(crate) fn shown_exit(&mut self, stopping: Stopping<'_>, stop: &Real, resume: Resume) -> Resume {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        // PTRACE_SYSEMU_SINGLESTEP traps at no exit: report_single_step().
        let steps = |go| matches!(go, Go::Step | Go::Block);
        if self.machine.tracee(tid).is_some_and(|tracee| steps(tracee.mode)) {
            // The step over a call whose return somebody had to see: the trap that the kernel would have sent.
            let ip = stop.registers().map_or(0, |registers| registers.ip());
            unblock_trap(tid);
            self.send_thread(process, tid, SIGTRAP, TRAP_BRKPT, [ip as i32, (ip >> 32) as i32]);
            self.interrupt_again(tid);
            return self.free();
        }
        self.show(stopping, Stop::Exit, false, resume)
    }

    /// The handlers have decided about a call that a guest's tracer was shown at a filter of its own.
    pub(crate) fn judged(&mut self, stopping: Stopping<'_>, stop: &Real, resume: Resume) -> Resume {
        if matches!(resume, Resume::Kill | Resume::Detach | Resume::Hold) {
            return resume;
        }
        match stop.call_now().filter(|call| call.arch == self.arch) {
            Some(call) => self.comes_to(stopping, stop, call, resume),
            None => self.go(stopping, resume),
        }
    }
}

/// What the kernel forces on a thread is blocked no more: force_sig_info_to_task().
fn unblock_trap(tid: i32) {
    const TRAP: u8 = 1 << (SIGTRAP - 1);
    if let Ok(mut mask) = fetch(tid, Fetch::SigMask, 8)
        && mask[0] & TRAP != 0
    {
        mask[0] &= !TRAP;
        // ESRCH: it has been killed.
        let _ = store(tid, Store::SigMask, 8, &mask);
    }
}
