//! Calls that a guest's thread makes in our name, between two of its own.
//!
//! They start where a call of its own has returned, or where it was interrupted; an instruction that makes calls is known, and executed with other
//! registers. When all is done registers are what they were.

use tipstaff_sys::ptrace::Go;
use tipstaff_sys::ptrace_copy::{Fetch, Store, fetch, store};
use tipstaff_trace::seam::Stopping;
use tipstaff_trace::{Call, Registers, Resume, Stop as Real};

use super::Mediator;
use super::shown::Showing;

/// Everything but SIGKILL and SIGSTOP, which the kernel leaves out.
const ALL: [u8; 8] = [0xff; 8];

/// What a thread is made to do.
#[derive(Debug)]
pub(crate) struct Script {
    saved: Registers,
    /// The instruction that makes calls.
    gate: u64,
    /// The call that it is to make.
    made: Option<(i32, [u64; 4])>,
    job: Job,
}

/// What for.
#[derive(Debug)]
pub(crate) enum Job {
    /// A file is exchanged; the signal mask, behind which signals wait meanwhile.
    Show(Box<Showing>, Vec<u8>),
    /// A signal to itself.
    Send,
}

/// How a script goes on.
pub(crate) enum Next {
    /// With this call.
    Call(i32, [u64; 4]),
    /// Not at all: the guest's own call returns what it did, or this.
    Done(Option<i64>),
}

impl Mediator {
    /// A thread, at the return of a call, exchanges a file first. None: it cannot.
    pub(super) fn play(&mut self, tid: i32, stop: &Real, job: Showing, first: Next) -> Option<Resume> {
        let (Ok(saved), Next::Call(number, args)) = (stop.registers(), first) else { return None };
        let mask = fetch(tid, Fetch::SigMask, 8).ok()?;
        store(tid, Store::SigMask, 8, &ALL).ok()?;
        let gate = saved.ip().wrapping_sub(2);
        self.start(tid, stop, Script { saved, gate, made: None, job: Job::Show(Box::new(job), mask) }, number, args)
    }

    /// A thread makes a call first, and then what it was about to do.
    pub(super) fn start(
        &mut self,
        tid: i32,
        stop: &Real,
        mut script: Script,
        number: i32,
        args: [u64; 4],
    ) -> Option<Resume> {
        self.make(stop, &mut script, number, args).ok()?;
        self.scripts.insert(tid, script);
        Some(Resume::ToSyscall)
    }

    fn make(&self, stop: &Real, script: &mut Script, number: i32, args: [u64; 4]) -> Result<(), tipstaff_trace::Error> {
        script.made = Some((number, args));
        let mut registers = script.saved;
        registers.call_at(script.gate, number);
        for (index, value) in args.into_iter().enumerate() {
            registers.set_arg(self.arch, index, value);
        }
        stop.set_registers(&registers)
    }

    /// The instruction is the guest's, and may be another one by now: a thread that makes another call than it was to make is on its guest's business, and
    /// everybody is asked about that.
    pub(crate) fn keep_to_script(&mut self, tid: i32, call: &Call) {
        if let Some(script) = self.scripts.get(&tid)
            && !script.makes(call)
            && let Some(Script { job: Job::Show(_, mask), .. }) = self.scripts.remove(&tid)
        {
            let _ = store(tid, Store::SigMask, 8, &mask);
        }
    }

    /// A stop of a thread that makes calls in our name. None: it is an ordinary one.
    pub(super) fn played(&mut self, stopping: Stopping<'_>, stop: &mut Real, resume: Resume) -> Option<Resume> {
        let tid = stopping.task.tid();
        let value = match stop {
            Real::Left(left) => left.returned().value,
            Real::Entered(_) | Real::Seccomp(_) | Real::Interrupted(_) => return Some(Resume::ToSyscall),
            Real::Signal(signal) => {
                if self.sent {
                    let _ = self.mark.unveil(signal);
                }
                return Some(Resume::Exactly { go: Go::Syscall, signal: signal.signal() });
            }
            Real::Group(_) => return Some(Resume::AsBefore),
            _ => {
                self.scripts.remove(&tid);
                return None;
            }
        };
        let mut script = self.scripts.remove(&tid)?;
        if let Job::Show(showing, _) = &mut script.job {
            match self.showing((tid, stopping.task.process()), showing, value) {
                Next::Call(number, args) => {
                    if self.make(stop, &mut script, number, args).is_ok() {
                        self.scripts.insert(tid, script);
                        return Some(Resume::ToSyscall);
                    }
                }
                Next::Done(Some(value)) => script.saved.set_result(value),
                Next::Done(None) => {}
            }
        }
        // ESRCH: it has been killed.
        let _ = stop.set_registers(&script.saved);
        match script.job {
            Job::Show(_, mask) => {
                let _ = store(tid, Store::SigMask, 8, &mask);
                Some(self.exit(stopping, stop, script.saved.result(), resume))
            }
            Job::Send => {
                // A call that was interrupted is made again by the kernel when it looks for signals: it does for an interrupt.
                self.kicks.insert(tid);
                let _ = tipstaff_sys::ptrace::interrupt(tid);
                Some(self.go(stopping, Resume::Free))
            }
        }
    }
}

impl Script {
    /// A signal to itself, at any stop.
    pub(super) fn send(saved: Registers, gate: u64) -> Self {
        Self { saved, gate, made: None, job: Job::Send }
    }

    fn makes(&self, call: &Call) -> bool {
        self.made.is_some_and(|(number, args)| {
            call.number.cast_signed() == number && call.args[..4] == args && call.ip.0 == self.gate.wrapping_add(2)
        })
    }
}
