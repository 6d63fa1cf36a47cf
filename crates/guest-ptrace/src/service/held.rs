//! Threads that wait in our listener for somebody else's answer.

use tipstaff_sys::ptrace::{self, Go};
use tipstaff_sys::ptrace_copy::{Fetch, Store, fetch, store};
use tipstaff_sys::stand_in::Answer;
use tipstaff_trace::seam::Stopping;
use tipstaff_trace::{Call, Registers, Resume, Stop as Real};

use super::install::Install;
use super::{ENOSYS, seen};
use crate::mediator::{Mediator, has_signal};
use crate::names::{mask, status};
use crate::waits::ERESTARTSYS;
use tipstaff_abi::bpf::SeccompData;

/// Signals that kill at once, where a program has not said otherwise: not those that are ignored, stop, or dump core. sig_fatal(), complete_signal().
const FATAL: u64 = !(signals(3..=8) | signals(11..=11) | signals(17..=25) | signals(28..=28) | signals(31..=31));

const fn signals(range: std::ops::RangeInclusive<u32>) -> u64 {
    let (first, last) = (*range.start(), *range.end());
    (u64::MAX >> (64 - (last - first + 1))) << (first - 1)
}

/// Signals that are ignored where a program has not said otherwise: SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
const IGNORED: u64 = signals(17..=18) | signals(23..=23) | signals(28..=28);

/// The signals of a thread.
#[derive(Clone, Copy, Debug)]
struct Signals {
    /// Pending, and not blocked.
    there: u64,
    /// They do nothing.
    ignored: u64,
    /// They kill at once.
    fatal: u64,
}

impl Signals {
    fn of(tid: i32) -> Self {
        let status = status(tid);
        let line = |key| mask(&status, key);
        let (caught, ignored) = (line("SigCgt:"), line("SigIgn:"));
        Self {
            there: (line("SigPnd:") | line("ShdPnd:")) & !line("SigBlk:"),
            ignored: ignored | IGNORED & !caught,
            fatal: FATAL & !caught & !ignored,
        }
    }
}

/// Signals that wait until a thread has done what it was made to do.
#[derive(Debug, Default)]
pub(super) struct Mask(Option<Vec<u8>>);

impl Mask {
    pub fn block(&mut self, tid: i32) {
        self.block_but(tid, 0);
    }

    /// All but those of `open` that are not blocked anyway.
    fn block_but(&mut self, tid: i32, open: u64) {
        let Ok(mask) = fetch(tid, Fetch::SigMask, 8) else { return };
        let was = self.0.get_or_insert(mask);
        let blocked = was.as_slice().try_into().map_or(0, u64::from_ne_bytes);
        let _ = store(tid, Store::SigMask, 8, &(blocked | !open).to_ne_bytes());
    }

    pub fn unblock(&self, tid: i32) {
        if let Some(mask) = &self.0 {
            let _ = store(tid, Store::SigMask, 8, mask);
        }
    }
}

/// A thread whose call does not return before somebody else says so.
#[derive(Debug)]
pub(super) struct Held {
    /// As they were at the entry of its call.
    pub saved: Registers,
    pub mask: Mask,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// It waits for a guest's supervisor, with this ticket.
    Asks(u64),
    /// It installs a filter with a listener.
    Installs(Box<Install>),
}

impl Held {
    pub fn asking(saved: Registers, ticket: u64) -> Self {
        Self { saved, mask: Mask::default(), what: What::Asks(ticket) }
    }

    /// It was to make a call in our name, and makes another: the instruction is the guest's, who has exchanged it. So it is on its guest's business, and everybody
    /// is asked about that.
    pub fn strays(&self, call: &Call) -> bool {
        matches!(&self.what, What::Installs(install) if !install.waits() && !install.is_made(call))
    }
}

/// A thread whose call is made once more, since its supervisor has continued it.
#[derive(Debug)]
pub(super) struct Continued {
    mask: Mask,
    data: SeccompData,
}

impl Continued {
    pub fn is(&self, call: &Call) -> bool {
        seen(call) == self.data
    }

    pub fn unblock(&self, tid: i32) {
        self.mask.unblock(tid);
    }
}

impl Mediator {
    /// A thread at the stop of its call is sent into our listener.
    pub(super) fn hold(&mut self, tid: i32, stop: &Real, held: Held) -> Resume {
        let Some(service) = &mut self.service else { return Resume::Kill };
        let awaited = matches!(held.what, What::Installs(_));
        service.anteroom.expect(tid, awaited);
        let mut registers = held.saved;
        registers.set_ip(service.anteroom.held_at());
        service.held.insert(tid, held);
        // Killed: its end is told.
        let _ = stop.set_registers(&registers);
        self.interrupt_again(tid);
        Resume::ToSyscall
    }

    /// It makes a call once more: to wait, or what it is made to do.
    pub(super) fn held_again(&mut self, tid: i32, stop: &Real) -> Resume {
        let Some(service) = &mut self.service else { return Resume::Kill };
        let Some(held) = service.held.remove(&tid) else { return Resume::ToSyscall };
        let answered = match &held.what {
            What::Installs(install) if !install.waits() => {
                service.held.insert(tid, held);
                return Resume::ToSyscall;
            }
            What::Installs(_) => false,
            What::Asks(ticket) => service.waiting.get(ticket).is_none_or(|waiting| waiting.answer.is_some()),
        };
        let resume = self.hold(tid, stop, held);
        if answered {
            self.kick(tid);
        }
        resume
    }

    /// Ends a wait.
    pub(super) fn kick(&mut self, tid: i32) {
        self.kicks.insert(tid);
        // ESRCH: it has been killed.
        let _ = ptrace::interrupt(tid);
    }

    /// A stop of a thread that is held or makes a call once more. None: an ordinary one.
    pub(crate) fn held_stop(&mut self, stopping: Stopping<'_>, stop: &mut Real, resume: Resume) -> Option<Resume> {
        let tid = stopping.task.tid();
        let service = self.service.as_mut()?;
        let (held, continued) = (service.held.contains_key(&tid), service.continued.contains_key(&tid));
        if !held && !continued {
            return None;
        }
        match stop {
            Real::Left(left) if held => {
                let value = left.returned().value;
                Some(self.returns(stopping, stop, value, resume))
            }
            Real::Left(_) => {
                // Another filter has refused it meanwhile.
                service.continued.remove(&tid)?.unblock(tid);
                None
            }
            Real::Entered(_) | Real::Seccomp(_) | Real::Interrupted(_) => Some(Resume::ToSyscall),
            Real::Signal(signal) => {
                if self.sent {
                    self.mark.unveil(signal);
                }
                Some(Resume::Exactly { go: Go::Syscall, signal: signal.signal() })
            }
            Real::Group(_) => Some(Resume::AsBefore),
            _ => {
                self.unhold(tid);
                None
            }
        }
    }

    /// A thread is not held any more, and goes on from where it is.
    pub(super) fn lets_go(&mut self, tid: i32) {
        if let Some(held) = self.service.as_ref().and_then(|service| service.held.get(&tid)) {
            held.mask.unblock(tid);
        }
        self.unhold(tid);
    }

    /// A thread that is about to end is held no more, and waits for nobody.
    pub(crate) fn unhold(&mut self, tid: i32) {
        let Some(service) = &mut self.service else { return };
        service.continued.remove(&tid);
        service.late.remove(&tid);
        service.unasked(tid);
        if let Some(held) = service.held.remove(&tid) {
            service.anteroom.forget(tid);
            match held.what {
                What::Asks(ticket) => service.withdraw(ticket),
                What::Installs(install) => service.not_installed(&install),
            }
        }
    }

    /// The call of a held thread returns.
    fn returns(&mut self, stopping: Stopping<'_>, stop: &mut Real, value: i64, resume: Resume) -> Resume {
        let tid = stopping.task.tid();
        let Some(service) = &mut self.service else { return Resume::Kill };
        let Some(Held { mut saved, mut mask, what }) = service.held.remove(&tid) else { return resume };
        service.anteroom.forget(tid);
        let ticket = match what {
            What::Asks(ticket) => ticket,
            What::Installs(install) => return self.installs(stopping, stop, value, (saved, mask, install), resume),
        };
        let waiting = service.waiting.get(&ticket);
        let answer = waiting.and_then(|waiting| waiting.answer);
        let result = match answer {
            // The kernel has answered it: a descriptor was its answer.
            _ if value != ERESTARTSYS => value,
            Some(Answer::Value(value)) => {
                // Its supervisor's own number, which the kernel would take for one of its own: it looks because we have woken it.
                if (-516..=-512).contains(&value) && !has_signal(tid) {
                    saved.set_number(-1);
                }
                value
            }
            Some(Answer::Continue) => {
                let data = waiting.map(|waiting| waiting.data).unwrap_or_default();
                service.withdraw(ticket);
                mask.block(tid);
                service.continued.insert(tid, Continued { mask, data });
                return again(stop, saved);
            }
            None => {
                let received = waiting.is_some_and(|waiting| {
                    waiting.id.is_some() && service.listeners.get(&waiting.listener).is_some_and(|l| l.killable)
                });
                let signals = Signals::of(tid);
                // A traced task is woken for signals that it ignores too: sig_ignored(). One that nobody traces is not.
                let for_nothing = signals.there & !signals.ignored == 0 && self.machine.tracee(tid).is_none();
                if received && signals.there & signals.fatal == 0 {
                    // Only what kills it may end its wait now.
                    mask.block_but(tid, signals.fatal);
                }
                if for_nothing || received && signals.there & signals.fatal == 0 {
                    service.held.insert(tid, Held { saved, mask, what: What::Asks(ticket) });
                    return again(stop, saved);
                }
                ERESTARTSYS
            }
        };
        service.withdraw(ticket);
        self.finish(stopping, stop, (saved, &mask), result, resume)
    }

    /// The guest's own call returns.
    pub(super) fn finish(
        &mut self,
        stopping: Stopping<'_>,
        stop: &Real,
        (mut registers, mask): (Registers, &Mask),
        result: i64,
        resume: Resume,
    ) -> Resume {
        registers.set_result(result);
        let _ = stop.set_registers(&registers);
        mask.unblock(stopping.task.tid());
        self.exit(stopping, stop, result, resume)
    }
}

/// At the return of a call: it is made once more, with the registers that it had.
pub(super) fn again(stop: &Real, mut registers: Registers) -> Resume {
    let number = registers.number();
    registers.again(number);
    let _ = stop.set_registers(&registers);
    Resume::ToSyscall
}

/// Nobody has the listener.
pub(super) const NOBODY: Answer = Answer::Value(-ENOSYS);
