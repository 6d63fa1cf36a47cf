//! Between the engine's loop and the machine: what a real stop means to a guest's tracer.

mod calls;
mod forge;
mod news;
mod script;
mod shown;
mod tasks;
mod waiting;

pub(crate) use forge::has_signal;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tipstaff_abi::{Arch, SyscallSet};
use tipstaff_sys::ptrace::{Go, event};
use tipstaff_trace::seam::{Asked, Engine, Seam, Stopping};
use tipstaff_trace::{End, ForkKind, Registers, Resume, Stop as Real, Task, Tracer};

use crate::machine::{Fate, Machine, Stop};
use crate::names::Names;
use crate::service::Service;
use crate::signals::{Disposition, Mark, Owed, SI_USER, SIGCHLD, SIGSTOP, SIGTRAP};
use crate::waits::{Numbers, Wait};

/// si_code of a step: TRAP_TRACE.
const TRAP_TRACE: i32 = 2;

/// What cannot be done in the stop that caused it.
#[derive(Debug)]
pub(crate) enum Todo {
    /// A thread stands at the entry of ptrace(2).
    Request(i32),
    /// The kernel has granted an attach.
    Granted(i32, Box<Asking>),
    /// The call that a thread is held in returns this.
    Reply(i32, i64),
    /// A tracer is gone: what becomes of its tracee.
    Orphan(i32, Option<(Stop, i32)>),
    /// A zombie has been reaped.
    Buried(i32),
    /// A thread has stopped with its process.
    Grouped(i32),
    /// A thread has opened a file that may tell of tracing, and its call returns this.
    Opened(i32, i64, shown::Opening),
}

/// An attach about which the kernel is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub registers: Registers,
    pub target: Option<i32>,
    pub seize: bool,
    pub options: u32,
}

/// Where sigtimedwait(2) puts its siginfo.
#[derive(Clone, Copy, Debug)]
struct Taker {
    process: i32,
    address: u64,
}

/// Plays the kernel's part for the guests of one box.
#[derive(Debug)]
pub struct Mediator {
    pub(crate) arch: Arch,
    /// Every call stops at its entry, and no filter of ours sends any.
    pub(crate) every: bool,
    /// There are others besides those that are traced, and the kernel serves them.
    pub(crate) beyond: bool,
    pub(crate) numbers: Numbers,
    pub(crate) mark: Mark,
    /// Signals of ours are on their way.
    pub(crate) sent: bool,
    sequence: i32,
    pub(crate) machine: Machine,
    pub(crate) names: Names,
    /// Threads in wait4(2) and waitid(2).
    pub(crate) waits: BTreeMap<i32, Wait>,
    /// Threads that are held at the entry of a wait that has found nothing yet, since their tracees are about to stop; and for how many stops.
    pub(crate) parked: BTreeMap<i32, u32>,
    /// SIGCHLD for a tracer that is sent if that has it blocked, which its next stop shows.
    pub(crate) owed: BTreeMap<i32, Owed>,
    /// Threads whose next wait is a ppoll.
    pub(crate) polls: BTreeSet<i32>,
    /// Calls that were answered without being made, of threads whose registers somebody may look at, or on whose way lies another's filter: number and
    /// result.
    pub(crate) answered: BTreeMap<i32, (i32, i64)>,
    /// Threads before a call that will not be made: PTRACE_SYSEMU.
    pub(crate) unmade: BTreeSet<i32>,
    /// Threads that enter their wait again, which nobody is shown.
    pub(crate) redone: BTreeSet<i32>,
    /// Processes that the kernel has said have no children, in a wait with these flags.
    pub(crate) childless: BTreeMap<i32, u64>,
    /// Tracees that are about to end, and how.
    pub(crate) dying: BTreeMap<i32, i32>,
    /// PTRACE_INTERRUPT of ours that has not come to a stop.
    pub(crate) kicks: BTreeSet<i32>,
    pub(crate) asking: BTreeMap<i32, Box<Asking>>,
    /// Stopped threads that come into the stop that an attach waits for; who waits.
    pub(crate) trapping: BTreeMap<i32, i32>,
    /// Threads that make a clone with CLONE_UNTRACED, which the call is made without.
    cloning: BTreeSet<i32>,
    /// Whom they have made, in whose registers it is missing too.
    unflagged: BTreeSet<i32>,
    /// What Yama's file tells, where the box has a scope of its own.
    scope: Option<u8>,
    /// Threads that open a file which may tell of tracing.
    opening: BTreeMap<i32, shown::Opening>,
    /// Threads that make calls in our name.
    pub(crate) scripts: BTreeMap<i32, script::Script>,
    windows: VecDeque<shown::Window>,
    /// Threads in sigtimedwait(2).
    takers: BTreeMap<i32, Taker>,
    /// Processes that have had a signalfd(2) for SIGCHLD.
    signalfds: BTreeSet<i32>,
    /// Where a process makes calls: the last such instruction seen.
    gates: BTreeMap<i32, u64>,
    /// SIGCHLD that processes are to send themselves.
    forged: BTreeMap<i32, VecDeque<Owed>>,
    /// Threads whose process is stopped.
    pub(crate) still: BTreeSet<i32>,
    pub(crate) dispositions: BTreeMap<i32, Disposition>,
    /// No longer traced by a guest, and still running as their tracer wanted.
    pub(crate) leftover: BTreeSet<i32>,
    /// Traced by a parent that is outside the box.
    pub(crate) lone: BTreeSet<i32>,
    /// Threads of whose stop the kernel has told already.
    pub(crate) announced: BTreeSet<i32>,
    /// Threads of whose stop the kernel's signal tells, and of whom ours is to tell instead.
    pub(crate) swapped: BTreeMap<i32, i32>,
    /// Threads that have stopped with their process, and are told of when the one has stopped that was to stop first.
    pub(crate) grouped: Vec<i32>,
    pub(crate) todo: VecDeque<Todo>,
    /// Guests' listeners, where they are served.
    pub(crate) service: Option<Box<Service>>,
}

impl Mediator {
    /// For a box of this architecture.
    #[must_use]
    pub fn new(arch: Arch) -> Self {
        Self {
            arch,
            every: false,
            beyond: false,
            numbers: Numbers::of(arch),
            mark: Mark::new(),
            sent: false,
            sequence: 0,
            machine: Machine::default(),
            names: Names::default(),
            waits: BTreeMap::new(),
            parked: BTreeMap::new(),
            owed: BTreeMap::new(),
            polls: BTreeSet::new(),
            answered: BTreeMap::new(),
            unmade: BTreeSet::new(),
            redone: BTreeSet::new(),
            childless: BTreeMap::new(),
            dying: BTreeMap::new(),
            kicks: BTreeSet::new(),
            asking: BTreeMap::new(),
            trapping: BTreeMap::new(),
            cloning: BTreeSet::new(),
            unflagged: BTreeSet::new(),
            scope: None,
            opening: BTreeMap::new(),
            scripts: BTreeMap::new(),
            windows: VecDeque::new(),
            takers: BTreeMap::new(),
            signalfds: BTreeSet::new(),
            gates: BTreeMap::new(),
            forged: BTreeMap::new(),
            still: BTreeSet::new(),
            dispositions: BTreeMap::new(),
            leftover: BTreeSet::new(),
            lone: BTreeSet::new(),
            announced: BTreeSet::new(),
            swapped: BTreeMap::new(),
            grouped: Vec::new(),
            todo: VecDeque::new(),
            service: None,
        }
    }

    /// Guests are told that this is Yama's scope. It is for others to enforce.
    #[must_use]
    pub fn telling(self, scope: Option<u8>) -> Self {
        Self { scope, ..self }
    }

    /// Not a box: whoever is traced may trace others and be their parent, and that is the kernel's business. Nor is it hidden from anybody that we
    /// trace: files of proc(5) are left as they are.
    #[must_use]
    pub fn beyond(self) -> Self {
        Self { beyond: true, ..self }
    }

    /// No filter sends the calls that [`Seam::wants`]: the tracer stops every call at its entry ([`Resume::ToSyscall`]), and goes on doing so.
    #[must_use]
    pub fn at_every_entry(self) -> Self {
        Self { every: true, ..self }
    }

    /// The real request for what a guest's tracer has asked for. Where every call has to stop, only the end of a step can come from the kernel:
    /// a step that makes a call is one to its return (and [`Self::exit`] makes the trap).
    pub(crate) fn real(&self, tid: i32, go: Go) -> Go {
        match go {
            Go::Free if self.every => Go::Syscall,
            Go::Step | Go::Block if self.every && calls::makes_call(tid) => Go::Syscall,
            go => go,
        }
    }

    /// Nobody traces it but us.
    pub(crate) fn free(&self) -> Resume {
        if self.every { Resume::ToSyscall } else { Resume::Free }
    }

    /// How a stop ends that no guest is shown.
    pub(crate) fn go(&mut self, stopping: Stopping<'_>, resume: Resume) -> Resume {
        let tid = stopping.task.tid();
        self.interrupt_again(tid);
        match (self.machine.tracee(tid), resume) {
            (_, Resume::Kill | Resume::Detach | Resume::Hold | Resume::Exactly { .. } | Resume::Listen) => resume,
            _ if stopping.awaited => Resume::ToSyscall,
            (Some(tracee), _) => Resume::Exactly { go: self.real(tid, tracee.mode), signal: 0 },
            (None, Resume::AsBefore) if self.leftover.remove(&tid) => self.free(),
            (None, Resume::Free) => self.free(),
            (None, resume) => resume,
        }
    }

    /// Any stop ends what PTRACE_INTERRUPT has asked for: one that nobody is shown has to be followed by another.
    pub(crate) fn interrupt_again(&self, tid: i32) {
        if self.machine.tracee(tid).is_some_and(|tracee| tracee.interrupted) {
            let _ = tipstaff_sys::ptrace::interrupt(tid);
        }
    }

    /// A real stop of a virtual tracee, or of anybody: held if a guest is shown it.
    pub(crate) fn show(&mut self, stopping: Stopping<'_>, stop: Stop, ours: bool, resume: Resume) -> Resume {
        let (tid, process) = (stopping.task.tid(), stopping.task.process());
        let Some(tracee) = self.machine.tracee_mut(tid) else { return self.go(stopping, resume) };
        // Killed at once, a thread's first stop is that of its end: until then nobody has said whose it is.
        if tracee.fresh {
            tracee.process = process;
        }
        let fate = self.machine.stopped(tid, stop, ours);
        // As the kernel has it, out of nothing: SI_USER, by nobody.
        if matches!(fate, Fate::FirstStop | Fate::ShowFirst) {
            self.send_thread(process, tid, SIGSTOP, SI_USER, [0; 2]);
        }
        match fate {
            Fate::Show | Fate::ShowFirst => {
                if let Some(tracee) = self.machine.tracee_mut(tid) {
                    tracee.usage = stopping.task.usage().raw;
                }
                self.stop_news(tid);
                return Resume::Hold;
            }
            Fate::Pass | Fate::FirstStop => {}
        }
        self.go(stopping, resume)
    }

    /// The call at whose entry a thread stands is not made, and returns this. Who is traced himself has the call's number in his registers behind
    /// it, as if it had been made: that costs one stop more.
    pub(crate) fn answer(
        &mut self,
        stopping: Stopping<'_>,
        stop: &Real,
        mut registers: Registers,
        value: i64,
        resume: Resume,
    ) -> Resume {
        let (tid, number) = (stopping.task.tid(), registers.number());
        registers.set_number(-1);
        registers.set_result(value);
        let _ = stop.set_registers(&registers);
        if self.every || self.machine.tracee(tid).is_some() {
            self.answered.insert(tid, (number, value));
            return Resume::ToSyscall;
        }
        self.go(stopping, resume)
    }

    /// A stop that a guest is shown before anybody else; None: it is not.
    fn held(&mut self, stopping: Stopping<'_>, stop: Stop) -> Option<Resume> {
        Some(self.show(stopping, stop, false, Resume::AsBefore)).filter(|resume| *resume == Resume::Hold)
    }

    pub(crate) fn send_thread(&mut self, process: i32, tid: i32, signal: i32, code: i32, rest: [i32; 2]) {
        self.sent = true;
        self.sequence = self.sequence.wrapping_add(1);
        self.mark.thread((process, tid), signal, code, self.sequence, rest);
    }
}

impl Seam for Mediator {
    fn wants(&self, arch: Arch) -> SyscallSet {
        let served = if self.service.is_some() { &["seccomp", "ioctl"][..] } else { &[] };
        let served = SyscallSet::from_names(arch, served.iter().copied());
        served.union(&SyscallSet::from_names(
            arch,
            [
                "ptrace",
                "wait4",
                "waitid",
                "rt_sigaction",
                "clone",
                "open",
                "openat",
                "openat2",
                "rt_sigtimedwait",
                "rt_sigpending",
                "signalfd",
                "signalfd4",
            ],
        ))
    }

    fn asked(&mut self, stopping: Stopping<'_>, stop: &mut Real) -> Asked {
        if let Real::Seccomp(seccomp) = &*stop {
            self.keep_to_script(stopping.task.tid(), seccomp.call());
        }
        self.asks_listener(stopping, stop)
    }

    fn first(&mut self, stopping: Stopping<'_>, stop: &mut Real, foreign: bool) -> Option<Resume> {
        let tid = stopping.task.tid();
        if !self.still.is_empty() {
            self.still.remove(&tid);
        }
        if self.plays(tid) {
            return None;
        }
        let wait = self.waits.remove(&tid);
        if let Some(wait) = wait.filter(|wait| wait.raced) {
            self.raced(wait.process);
        }
        self.pay(tid);
        if !matches!(stop, Real::Interrupted(_)) {
            self.kicks.remove(&tid);
            self.still_to_send(tid);
        }
        match stop {
            Real::Seccomp(_) if foreign && self.machine.tracee(tid).is_some() => self.held(stopping, Stop::Seccomp),
            // One that is made again in our name has been shown.
            Real::Entered(_) if self.every && !self.redone.contains(&tid) => {
                let emulates = |go| matches!(go, Go::Emulate | Go::EmulateStep);
                if emulates(self.machine.tracee(tid)?.mode) {
                    self.unmade.insert(tid);
                }
                self.held(stopping, Stop::Entry)
            }
            Real::Left(_) => self.mend(stopping, stop, wait),
            Real::Signal(signal) => {
                // Behind a handler a wait that is made again is seen to be.
                self.redone.remove(&tid);
                let ours = self.sent.then(|| self.mark.unveil(signal)).flatten();
                if signal.signal() == SIGCHLD && (self.machine.has_led() || !self.swapped.is_empty()) {
                    self.tells_of_a_stop(stopping.task.process(), signal, ours);
                }
                None
            }
            Real::Interrupted(_) => {
                if let Some(wait) = wait.filter(|wait| wait.kicked && !wait.watched) {
                    self.woken(tid, stop, &wait);
                }
                None
            }
            _ => None,
        }
    }

    fn stopped(&mut self, stopping: Stopping<'_>, stop: &mut Real, resume: Resume) -> Resume {
        if matches!(resume, Resume::Kill | Resume::Detach | Resume::Hold) {
            return resume;
        }
        let tid = stopping.task.tid();
        if self.service.is_some() {
            if let Some(resume) = self.held_stop(stopping, stop, resume) {
                return resume;
            }
            if let Real::Left(left) = stop {
                self.answered_request(stopping, left.returned().value);
            }
        }
        if !self.scripts.is_empty()
            && self.plays(tid)
            && let Some(resume) = self.played(stopping, stop, resume)
        {
            return resume;
        }
        match stop {
            Real::Seccomp(_) => self.called(stopping, stop, resume),
            Real::Entered(_) if self.every => self.called(stopping, stop, resume),
            Real::Entered(_) if self.redone.remove(&tid) => self.go(stopping, resume),
            Real::Entered(_) => self.show(stopping, Stop::Entry, false, resume),
            Real::Left(left) => {
                let value = left.returned().value;
                self.exit(stopping, stop, value, resume)
            }
            Real::Signal(signal) => {
                let number = signal.signal();
                let stray = self.leftover.contains(&tid) && number == SIGTRAP;
                if stray && signal.info().is_ok_and(|info| info.code() == TRAP_TRACE) {
                    let _ = signal.deliver(None);
                }
                self.show(stopping, Stop::Signal(number), false, resume)
            }
            Real::Group(group) => {
                let signal = group.signal();
                if let Some(caller) = self.trapping.remove(&tid) {
                    self.todo.push_back(Todo::Reply(caller, 0));
                }
                self.still.insert(tid);
                if self.machine.follows(tid) {
                    self.grouped.push(tid);
                    return Resume::Hold;
                }
                self.show(stopping, Stop::Group(signal), false, resume)
            }
            Real::Interrupted(interrupted) => {
                let reason = interrupted.reason();
                self.interrupted(stopping, stop, reason, resume)
            }
            Real::Forked(forked) => {
                let (child, kind) = (forked.child(), forked.fork_kind());
                self.forked(stopping, stop, child, kind, resume)
            }
            Real::VforkDone(_) => self.show(stopping, Stop::Event(event::VFORK_DONE), false, resume),
            Real::Executed(exec) => {
                let former = exec.former();
                self.executed(stopping, former, resume)
            }
            Real::Exiting(exiting) => {
                let status = exiting.status();
                self.exiting(stopping.task, status);
                // It makes no call any more, and its parent knows nothing yet.
                self.unhold(tid);
                if let Some(service) = &mut self.service {
                    service.leave(tid);
                }
                let ends = self.show(stopping, Stop::Event(event::EXIT), false, resume);
                if ends != Resume::Hold {
                    self.leaves(tid);
                }
                ends
            }
        }
    }

    fn plays(&self, tid: i32) -> bool {
        self.scripts.contains_key(&tid)
    }

    fn counts(&self) -> bool {
        self.machine.tracees().next().is_some()
    }

    fn keeping(&self) -> bool {
        !self.dying.is_empty()
    }

    fn keeps(&self, task: &Task) -> bool {
        self.machine.keeps(task.tid(), &|process| self.leaves_none(process))
    }

    fn adopted(&mut self, kin: &Task, task: &Task, kind: ForkKind) {
        self.adopts(kin, task.tid(), kind);
    }

    fn ended(&mut self, task: &Task, end: End) {
        self.end_news(task, end);
    }

    fn lingers(&self) -> bool {
        !self.parked.is_empty()
    }

    fn idle(&mut self, tracer: &mut Tracer, engine: &mut dyn Engine) {
        self.look_after_parked(true, tracer, engine);
    }

    fn act(&mut self, tracer: &mut Tracer, engine: &mut dyn Engine) {
        self.todo.extend(self.grouped.drain(..).map(Todo::Grouped));
        while let Some(todo) = self.todo.pop_front() {
            self.act_on(todo, tracer, engine);
        }
        self.look_after_parked(false, tracer, engine);
        self.serve(tracer, engine);
    }
}
