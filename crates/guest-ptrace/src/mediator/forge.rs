//! SIGCHLD where no stop shows its delivery: sigtimedwait(2), sigpending(2), signalfd(2).
//!
//! What sigtimedwait(2) takes is set right in the caller's memory when it returns. What is read from a signalfd(2) nobody sees, so there the signal is
//! true from the start: only a process itself may send one with a code of the kernel's (rt_sigqueueinfo(2)), and its first thread is made to.

use tipstaff_sys::ptrace::{self, SigInfo};
use tipstaff_trace::{Call, Resume, Stop as Real};

use super::script::Script;
use super::{Mediator, Taker};
use crate::moves::{read, write};
use crate::names::{mask, status};
use crate::signals::{Owed, SIGCHLD, child};
use crate::waits::EINTR;

const BLOCKED: u64 = 1 << (SIGCHLD - 1);
/// Below the stack pointer: what the ABI leaves to the program, and room for a siginfo.
const BELOW: u64 = 128 + 128;

impl Mediator {
    /// A call that takes signals, or tells of them. True: its return is to be seen.
    pub(super) fn takes_signals(&mut self, tid: i32, process: i32, call: &Call) -> bool {
        let numbers = self.numbers;
        let number = call.number;
        if number == numbers.sigtimedwait || number == numbers.sigpending {
            self.pay_all(process);
        }
        if number == numbers.sigtimedwait {
            self.takers.insert(tid, Taker { process, address: call.args[1] });
        } else if number == numbers.signalfd || number == numbers.signalfd4 {
            self.gates.insert(process, call.ip.0.wrapping_sub(2));
            let mut set = [0; 8];
            if read(tid, call.args[1], &mut set).is_ok() && u64::from_ne_bytes(set) & BLOCKED != 0 {
                self.signalfds.insert(process);
            }
        }
        number == numbers.sigtimedwait
    }

    /// A thread of this process is in sigtimedwait(2).
    pub(super) fn takes(&self, process: i32) -> bool {
        self.takers.values().any(|taker| taker.process == process)
    }

    /// What the threads of a process are owed they get now, if they have SIGCHLD blocked.
    fn pay_all(&mut self, process: i32) {
        let owed: Vec<_> = self.owed.extract_if(.., |_, owed| owed.process == process).collect();
        for (tid, owed) in owed {
            if mask(&status(tid), "SigBlk:") & BLOCKED != 0 {
                self.send_owed(owed);
            }
        }
    }

    /// sigtimedwait(2) returns.
    pub(super) fn taken(&mut self, tid: i32, value: i64) {
        let taker = self.takers.remove(&tid).filter(|taker| taker.address != 0 && value > 0);
        let Some(Taker { address, .. }) = taker else { return };
        let mut bytes = [0; 128];
        if read(tid, address, &mut bytes).is_ok()
            && let Some(told) = self.mark.told(&SigInfo::from_bytes(bytes))
        {
            let _ = write(tid, address, told.bytes());
        }
    }

    /// A process is to send itself a SIGCHLD.
    pub(super) fn forge(&mut self, owed: Owed) {
        let process = owed.process;
        if !self.gates.contains_key(&process) || ptrace::interrupt(process).is_err() {
            return self.send_owed(owed);
        }
        self.kicks.insert(process);
        self.forged.entry(process).or_default().push_back(owed);
    }

    /// Any stop ends what PTRACE_INTERRUPT has asked for.
    pub(super) fn still_to_send(&mut self, tid: i32) {
        if self.forged.contains_key(&tid) {
            self.kicks.insert(tid);
            let _ = ptrace::interrupt(tid);
        }
    }

    /// A thread has been interrupted: if there is something to send, it does.
    pub(super) fn send_forged(&mut self, tid: i32, stop: &Real) -> Option<Resume> {
        // What comes after the first one finds that pending, unless somebody takes it in between.
        let (owed, last) = {
            let queue = self.forged.get_mut(&tid)?;
            (queue.pop_front(), queue.is_empty())
        };
        if last {
            self.forged.remove(&tid);
        }
        let owed = owed?;
        let sends = self.sends(tid, stop, owed);
        if sends.is_none() {
            self.send_owed(owed);
        }
        sends
    }

    fn sends(&mut self, tid: i32, stop: &Real, Owed { code, rest, .. }: Owed) -> Option<Resume> {
        let gate = *self.gates.get(&tid)?;
        let mut saved = stop.registers().ok()?;
        // What the kernel does not make again: signal(7). Nothing but us has interrupted it if no signal is there.
        if self.numbers.not_restarted.contains(&saved.number().cast_unsigned())
            && saved.result() == EINTR
            && !has_signal(tid)
        {
            saved.again(saved.number());
            saved.set_number(-1);
        }
        let address = saved.sp().wrapping_sub(BELOW) & !15;
        write(tid, address, child(code, rest).bytes()).ok()?;
        let own = self.names.seen(tid, tid).cast_unsigned().into();
        let args = [own, SIGCHLD.cast_unsigned().into(), address, 0];
        self.start(tid, stop, Script::send(saved, gate), self.numbers.sigqueue.cast_signed(), args)
    }
}

/// A signal is pending that is not blocked.
pub(super) fn has_signal(tid: i32) -> bool {
    let status = status(tid);
    (mask(&status, "SigPnd:") | mask(&status, "ShdPnd:")) & !mask(&status, "SigBlk:") != 0
}
