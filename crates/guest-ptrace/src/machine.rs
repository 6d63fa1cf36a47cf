//! Who traces whom: virtual tracers, virtual tracees and what they are told. No system call: what happens comes in, what is to be done goes out.
//!
//! Threads are known by the number that our own PID namespace has for them.

mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tipstaff_abi::errno::{EIO, ESRCH};
use tipstaff_sys::ptrace::{Go, event, option};

pub use self::report::{Ended, Report, Select, Who};
use crate::request::{self, EXITKILL, Needs, Request};

const SIGTRAP: i32 = 5;
/// SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU.
const STOPPING: std::ops::RangeInclusive<i32> = 19..=22;
const LAST_SIGNAL: u64 = 64;

/// A stop, virtual or real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A call is entered.
    Entry,
    /// A call returns.
    Exit,
    /// A filter of the guest's own asks for its tracer.
    Seccomp,
    /// A signal is about to be delivered.
    Signal(i32),
    /// The process was stopped by this signal.
    Group(i32),
    /// PTRACE_EVENT_*.
    Event(i32),
    /// PTRACE_EVENT_STOP without a stopping signal.
    Trap,
}

/// A virtual tracee.
#[derive(Clone, Debug)]
pub struct Tracee {
    /// Its process.
    pub process: i32,
    /// The thread that may make requests.
    pub tracer: i32,
    /// That thread's process, whose threads may wait.
    pub tracer_process: i32,
    /// PTRACE_SEIZE, or born of a seized one.
    pub seized: bool,
    /// PTRACE_O_*.
    pub options: u32,
    /// How it was resumed last.
    pub mode: Go,
    /// The stop that it stands in.
    pub stop: Option<Stop>,
    /// PTRACE_LISTEN.
    pub listening: bool,
    /// What a wait has not been told of this stop: signal, and event above it.
    pub code: Option<i32>,
    /// The same as long as it stands in it: what its siginfo says.
    pub trap: i32,
    /// PTRACE_INTERRUPT is to be answered by a stop.
    pub interrupted: bool,
    /// A stopping signal was delivered to its process, and it has not stopped for it yet: the kernel tells the parent of this stop.
    pub stopping: bool,
    /// It is the one that a stopping signal was delivered to, and has not stopped for it yet: the first of its process to do so.
    pub leads: bool,
    /// Its process is stopped, whether or not it runs itself.
    pub grouped: bool,
    /// The stop of its process was told to the parent before it was traced.
    pub known: bool,
    /// Born a tracee, and not seen to stop.
    pub fresh: bool,
    /// Its real parent is the tracer's process.
    pub child: bool,
    /// Its number in the tracer's PID namespace.
    pub number: i32,
    /// What its last event tells of another task: that one's number in the tracer's PID namespace.
    pub other: i32,
    /// When it became a tracee, in the order of all.
    pub since: u64,
    /// Real user id, as its tracer's user namespace has it.
    pub uid: u32,
    /// struct rusage at its stop.
    pub usage: [u64; 18],
}

/// What becomes of a real stop of a virtual tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is held, and its tracer told.
    Show,
    /// It ends at once, as if it had not been.
    Pass,
    /// As [`Self::Pass`], with a SIGSTOP to come: a new tracee that was not seized.
    FirstStop,
    /// As [`Self::Show`], with the SIGSTOP still to come: its process is stopped already.
    ShowFirst,
}

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is answered: a value, or a negated errno.
    Done(i64),
    /// The real stop is to be asked.
    Move(Request),
    /// The stop ends.
    Resume {
        /// With this request.
        go: Go,
        /// And this signal.
        signal: i32,
        /// What it stood in.
        from: Stop,
    },
    /// The tracee is nobody's any more, and its stop ends with this signal.
    Detach {
        /// The signal.
        signal: i32,
        /// What it stood in.
        from: Stop,
    },
    /// PTRACE_LISTEN.
    Listen,
    /// PTRACE_INTERRUPT.
    Interrupt,
    /// SIGKILL.
    Kill,
}

/// A tracee whose tracer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Which.
    pub tid: i32,
    /// PTRACE_O_EXITKILL.
    pub killed: bool,
    /// The stop that it stands in, and the signal with which that ends.
    pub stop: Option<(Stop, i32)>,
}

/// Who traces whom.
#[derive(Debug, Default)]
pub struct Machine {
    tracees: BTreeMap<i32, Tracee>,
    ended: Vec<Ended>,
    /// Zombies that nobody is to be told of any more.
    graves: Vec<i32>,
    /// Who was the first to stop with its process, or is going to be.
    led: BTreeMap<i32, i32>,
    /// Tracees that there have been.
    count: u64,
}

const fn failed(errno: u16) -> Step {
    Step::Done(-(errno as i64))
}

impl Tracee {
    /// Whether it is a process whose real parent is its tracer.
    fn is_child(&self, tid: i32) -> bool {
        self.child && self.process == tid
    }

    /// What wait4(2) says of a stop, without the 0x7f.
    fn code_of(&self, stop: Stop) -> i32 {
        match stop {
            Stop::Entry | Stop::Exit if self.options & option::TRACESYSGOOD != 0 => SIGTRAP | 0x80,
            Stop::Entry | Stop::Exit => SIGTRAP,
            Stop::Seccomp => SIGTRAP | event::SECCOMP << 8,
            Stop::Signal(signal) => signal,
            Stop::Group(signal) if self.seized => signal | event::STOP << 8,
            Stop::Group(signal) => signal,
            Stop::Event(event) => SIGTRAP | event << 8,
            Stop::Trap => SIGTRAP | event::STOP << 8,
        }
    }

    fn shows(&self, stop: Stop, ours: bool) -> bool {
        match stop {
            Stop::Entry => matches!(self.mode, Go::Syscall | Go::Emulate | Go::EmulateStep),
            Stop::Exit => self.mode == Go::Syscall,
            Stop::Seccomp => self.options & option::TRACESECCOMP != 0,
            Stop::Signal(_) | Stop::Group(_) => true,
            Stop::Event(event) => self.options & 1 << event != 0,
            // Who was not seized knows no such stop.
            Stop::Trap => self.seized && (!ours || self.interrupted),
        }
    }
}

impl Machine {
    /// A virtual tracee.
    #[must_use]
    pub fn tracee(&self, tid: i32) -> Option<&Tracee> {
        self.tracees.get(&tid)
    }

    /// One to change.
    pub fn tracee_mut(&mut self, tid: i32) -> Option<&mut Tracee> {
        self.tracees.get_mut(&tid)
    }

    /// All of them.
    pub fn tracees(&self) -> impl Iterator<Item = (i32, &Tracee)> {
        self.tracees.iter().map(|(&tid, tracee)| (tid, tracee))
    }

    /// The tracee that a thread knows by this number.
    #[must_use]
    pub fn called(&self, tracer: i32, number: i32) -> Option<i32> {
        let lives = self.tracees().find(|(_, t)| t.tracer == tracer && t.number == number).map(|(tid, _)| tid);
        lives.or_else(|| self.ended.iter().find(|e| e.tracer == tracer && e.number == number).map(|e| e.tid))
    }

    /// A thread has become a tracee.
    pub fn attach(&mut self, tid: i32, tracee: Tracee) {
        self.tracees.insert(tid, Tracee { since: self.count, ..tracee });
        self.count += 1;
    }

    /// A tracee has made a task. Whether that is a tracee too, and whether an event tells of it. `untraced`, `traced`: CLONE_UNTRACED,
    /// CLONE_PTRACE.
    pub fn born(&mut self, maker: i32, child: i32, event: i32, untraced: bool, traced: bool) -> (bool, bool) {
        let Some(parent) = self.tracees.get(&maker) else { return (false, false) };
        let told = !untraced && parent.options & 1 << event != 0;
        // CLONE_UNTRACED takes the event away, and with it what goes along with the event alone: ptrace_init_task().
        let inherits = told || traced;
        // Who was taken for an orphan is one already.
        if inherits && !self.tracees.contains_key(&child) {
            let tracee = Tracee {
                process: child,
                mode: Go::Free,
                stop: None,
                listening: false,
                code: None,
                trap: 0,
                interrupted: false,
                stopping: false,
                leads: false,
                grouped: false,
                known: false,
                fresh: true,
                child: false,
                number: 0,
                other: 0,
                since: self.count,
                ..parent.clone()
            };
            self.count += 1;
            self.tracees.insert(child, tracee);
        }
        (inherits, told)
    }

    /// A thread that was `former` has executed a program, and is `tid` now. What it was to others it stays.
    pub fn executed(&mut self, tid: i32, former: i32) {
        self.led.remove(&tid);
        if former != tid {
            self.tracees.remove(&tid);
            if let Some(mut tracee) = self.tracees.remove(&former) {
                (tracee.process, tracee.stop, tracee.code, tracee.listening) = (tid, None, None, false);
                // The kernel forgets it, too, where another than the leader executes.
                tracee.interrupted = false;
                self.tracees.insert(tid, tracee);
            }
            for tracee in self.tracees.values_mut().filter(|tracee| tracee.tracer == former) {
                tracee.tracer = tid;
            }
        }
        // The new program starts without the trap flag, and the call does not trap at its return: only the next call does.
        if let Some(tracee) = self.tracees.get_mut(&tid).filter(|tracee| tracee.mode == Go::EmulateStep) {
            tracee.mode = Go::Emulate;
        }
    }

    /// A real stop. `ours`: a PTRACE_EVENT_STOP that somebody but the kernel has asked for.
    pub fn stopped(&mut self, tid: i32, stop: Stop, ours: bool) -> Fate {
        let Some(tracee) = self.tracees.get_mut(&tid) else { return Fate::Pass };
        // It has left its last stop in any case: SIGKILL.
        (tracee.stop, tracee.code, tracee.leads) = (None, None, false);
        let fresh = std::mem::replace(&mut tracee.fresh, false);
        if stop == Stop::Trap {
            // The kernel says so only where no stop of the process is in force.
            tracee.grouped = false;
            self.led.remove(&tracee.process);
        }
        if fresh && stop == Stop::Trap && !tracee.seized {
            return Fate::FirstStop;
        }
        if !tracee.shows(stop, ours && !fresh) {
            return Fate::Pass;
        }
        tracee.interrupted = false;
        tracee.listening = false;
        tracee.stop = Some(stop);
        tracee.trap = tracee.code_of(stop);
        tracee.code = Some(tracee.trap);
        if fresh && !tracee.seized { Fate::ShowFirst } else { Fate::Show }
    }

    /// Whether another thread of its process is about to stop first, for the same signal: do_signal_stop() makes all others stop, and is about to stop itself.
    #[must_use]
    pub fn follows(&self, tid: i32) -> bool {
        self.tracee(tid).is_some_and(|tracee| {
            self.tracees().any(|(other, t)| other != tid && t.process == tracee.process && t.leads)
        })
    }

    /// Whether some process has been stopped by a tracee of ours.
    #[must_use]
    pub fn has_led(&self) -> bool {
        !self.led.is_empty()
    }

    /// A tracer is being told of this tracee's stop by us: what the kernel tells later is of another.
    pub fn told_of_first(&mut self, parent: i32, number: i32) {
        let tracees = &self.tracees;
        self.led.retain(|_, first| tracees.get(first).is_none_or(|t| t.tracer_process != parent || t.number != number));
    }

    /// The kernel tells this process that its child, whom it calls so, has stopped. It tells a real parent when all threads have; a tracer that is the
    /// parent is told of each thread, and of this one first. What it calls that, and whether it has not been told.
    pub fn first_to_stop(&mut self, parent: i32, number: i32) -> Option<(i32, i32, bool)> {
        let (process, _) =
            self.tracees().find(|(tid, t)| t.is_child(*tid) && t.tracer_process == parent && t.number == number)?;
        let first = self.led.remove(&process)?;
        let tracee = self.tracee(first)?;
        Some((first, tracee.number, tracee.leads))
    }

    /// A request of `caller` on `target`: everything but TRACEME, ATTACH and SEIZE, which make a tracee.
    pub fn request(&mut self, caller: i32, number: u64, target: Option<i32>, address: u64, data: u64) -> Step {
        let (request, needs) = request::of(number);
        let Some((target, tracee)) = target.and_then(|tid| Some((tid, self.tracees.get_mut(&tid)?))) else {
            // A zombie that nobody has waited for is its tracer's, in no stop.
            let ended = self.ended.iter().find(|e| e.tracer == caller && Some(e.tid) == target);
            return match (request, ended) {
                (Request::Kill, Some(_)) => Step::Done(0),
                (Request::Interrupt, Some(ended)) if ended.seized => Step::Done(0),
                (Request::Interrupt, Some(_)) => failed(EIO),
                _ => failed(ESRCH),
            };
        };
        // An exec took the number of another thread, whom the caller may mean, as long as it has not been told: looks_like_a_spurious_pid().
        let spurious =
            tracee.stop == Some(Stop::Event(event::EXEC)) && tracee.code.is_some() && tracee.other != tracee.number;
        let stop = tracee.stop.filter(|_| !tracee.listening && !spurious);
        if tracee.tracer != caller || needs == Needs::Stopped && stop.is_none() {
            return failed(ESRCH);
        }
        let resumes = matches!(request, Request::Resume(_) | Request::Detach);
        if resumes && data > LAST_SIGNAL {
            return failed(EIO);
        }
        let signal = data as i32;
        match (request, stop) {
            (Request::Kill, _) => Step::Kill,
            (Request::Interrupt, _) if !tracee.seized => failed(EIO),
            (Request::Interrupt, _) => {
                tracee.interrupted = true;
                Step::Interrupt
            }
            (Request::Resume(go), Some(from)) => {
                (tracee.mode, tracee.stop, tracee.code) = (go, None, None);
                let process = tracee.process;
                tracee.leads = matches!(from, Stop::Signal(_)) && STOPPING.contains(&signal);
                if tracee.leads {
                    self.led.insert(process, target);
                    for tracee in self.tracees.values_mut().filter(|tracee| tracee.process == process) {
                        (tracee.stopping, tracee.known) = (true, false);
                    }
                }
                Step::Resume { go, signal, from }
            }
            (Request::Detach, Some(from)) => {
                self.tracees.remove(&target);
                Step::Detach { signal, from }
            }
            (Request::Listen, Some(Stop::Trap | Stop::Group(_))) if tracee.seized => {
                tracee.listening = true;
                Step::Listen
            }
            (Request::Listen, _) => failed(EIO),
            (Request::SetOptions, _) => match request::options(data, tipstaff_abi::errno::EINVAL.into()) {
                Ok(options) => {
                    tracee.options = options;
                    Step::Done(0)
                }
                Err(errno) => Step::Done(-i64::from(errno)),
            },
            (Request::Confined, _) => failed(tipstaff_abi::errno::EACCES),
            (Request::Unknown, _) => failed(EIO),
            (other, _) => {
                let _ = address;
                Step::Move(other)
            }
        }
    }

    /// A thread is no more. If it traced somebody: its tracees.
    pub fn gone(&mut self, tid: i32) -> Vec<Orphan> {
        self.led.remove(&tid);
        let left: Vec<i32> = self.tracees().filter(|(_, t)| t.tracer == tid).map(|(tid, _)| tid).collect();
        let mut told = Vec::new();
        for target in left {
            let Some(tracee) = self.tracees.remove(&target) else { continue };
            // What was not told to anybody is what goes on: the kernel leaves the code where it is.
            let stop = tracee.stop.map(|stop| match (stop, tracee.code) {
                (Stop::Signal(signal), Some(_)) => (stop, signal),
                _ => (stop, 0),
            });
            told.push(Orphan { tid: target, killed: tracee.options & EXITKILL != 0, stop });
        }
        self.forget(|ended| ended.tracer == tid);
        told
    }

    /// Whether the kernel is to keep the zombie of this tracee until its tracer has been told: all but those whose real parent that is, who is told
    /// by the kernel; and also these if that one's children leave no zombies (`leaves_none`), since a traced one does: do_notify_parent().
    #[must_use]
    pub fn keeps(&self, tid: i32, leaves_none: &dyn Fn(i32) -> bool) -> bool {
        self.tracee(tid).is_some_and(|tracee| !tracee.is_child(tid) || leaves_none(tracee.tracer_process))
    }

    /// Zombies that are to be reaped.
    pub fn graves(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.graves)
    }

    fn forget(&mut self, which: impl Fn(&Ended) -> bool) {
        let gone = self.ended.extract_if(.., |ended| which(ended)).map(|ended| ended.tid);
        self.graves.extend(gone);
    }
}
