//! Between the tracer's loop and the handlers: who is asked at which stop, and how the stop ends.

use std::collections::HashMap;

use tipstaff_abi::{Arch, SyscallSet, Sysno};
use tipstaff_trace::{Address, Call, End, Halted, Observer, Reason, Resume, Stop, Task, Tracer};

use super::exec::{Approved, Runs};
use super::pool::{Answer, Pool};
use super::said::{another, refused, ruled};
use super::seam::{Asked as Says, Behind, Engine, Seam, Stopping};
use super::voice::Voice;
use crate::handler::{Asked, Entry, Guest, Handlers, Process, Return, Seen, Trap, Verdict};

const ENOSYS: i64 = 38;
/// Not an errno of programs: the kernel makes the call again as restart_syscall(2), from what it has kept itself.
const ERESTART_RESTARTBLOCK: i64 = -516;

pub(super) struct Guide {
    ask: Asker,
    /// Who shares the tracer.
    seam: Option<Box<dyn Seam>>,
}

/// Who asks the handlers.
struct Asker {
    handlers: Handlers,
    /// The calls that our filter stops.
    ours: SyscallSet,
    /// The data of its RET_TRACE.
    data: u16,
    voice: Voice,
    /// Calls that were made and whose return is waited for, by thread.
    flights: HashMap<i32, Flight>,
    /// Execs that somebody has looked at, by thread.
    execs: HashMap<i32, Approved>,
    pool: Option<Pool>,
    /// Threads that wait for a decision, by ticket.
    waiting: HashMap<u64, Waiting>,
}

/// A call on its way.
struct Flight {
    /// As the guest asked for it.
    asked: Call,
    /// As it is made.
    made: Call,
    /// Who wants to see its return.
    returns: Vec<usize>,
}

struct Waiting {
    tid: i32,
    flight: Flight,
    /// Who has deferred.
    seat: usize,
    /// What the handlers have found out so far.
    seen: Seen,
}

/// A stopped thread's memory.
struct Stopped<'a>(&'a Halted);

impl Guest for Stopped<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.0.memory().read(Address(address), into)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.0.memory().write(Address(address), bytes).is_ok()
    }

    fn stack(&self) -> Option<u64> {
        self.0.registers().ok().map(|registers| registers.sp())
    }

    fn process(&self, tid: i32) -> Option<i32> {
        Some(tid)
    }

    /// Nobody else gets the number of a tracee that we have not waited for.
    fn is_waiting(&self) -> bool {
        true
    }
}

/// A call that a thread waits with.
fn trap<'a>(call: &Call, process: i32, guest: &'a Stopped<'a>, seen: Seen) -> Trap<'a> {
    Trap {
        arch: call.arch,
        number: call.number,
        args: call.args,
        pid: process.into(),
        tid: guest.0.tid(),
        guest,
        looked: seen.looked.into(),
        memory: seen.memory.into(),
        approved: seen.approved.into(),
    }
}

impl Observer for Guide {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        let Some(seam) = &mut self.seam else { return self.ask.on_stop(task, stop) };
        if matches!(stop, Stop::Seccomp(_)) {
            let stopping = Stopping { task, awaited: self.ask.awaits(task.tid()) };
            match seam.asked(stopping, stop) {
                Says::No => {}
                Says::Takes(resume) => return resume,
                Says::Continued => {
                    let resume = self.ask.judged(task, stop).unwrap_or(Resume::Free);
                    let stopping = Stopping { task, awaited: self.ask.awaits(task.tid()) };
                    return seam.stopped(stopping, stop, resume);
                }
            }
        }
        if let Stop::Seccomp(seccomp) = stop
            && !self.ask.is_ours(seccomp.call(), seccomp.data())
        {
            let stopping = Stopping { task, awaited: self.ask.awaits(task.tid()) };
            if let Some(resume) = seam.foreign(stopping, stop) {
                return resume;
            }
        }
        let resume = self.ask.on_stop(task, stop);
        let stopping = Stopping { task, awaited: self.ask.awaits(task.tid()) };
        seam.stopped(stopping, stop, resume)
    }

    fn keeping(&self) -> bool {
        self.seam.as_ref().is_some_and(|seam| seam.keeping())
    }

    fn keeps(&self, task: &Task) -> bool {
        self.seam.as_ref().is_some_and(|seam| seam.keeps(task))
    }

    fn lingers(&self) -> bool {
        self.seam.as_ref().is_some_and(|seam| seam.lingers())
    }

    fn on_end(&mut self, task: &Task, end: End) {
        self.ask.on_end(task);
        if let Some(seam) = &mut self.seam {
            seam.ended(task, end);
        }
    }
}

impl Guide {
    pub fn new(handlers: Handlers, (seam, data): (Option<Box<dyn Seam>>, u16), voice: Voice) -> Self {
        let mut ask = Asker::new(handlers, data, voice);
        if let Some(seam) = &seam {
            ask.ours = ask.ours.union(&seam.wants(ask.ours.arch()));
        }
        Self { ask, seam }
    }

    /// Tells the handlers of a new process, if they want to know.
    pub fn born(&mut self, pid: i32) {
        self.ask.born(pid);
    }

    /// Ends the stops that have been decided.
    pub fn settle(&mut self, tracer: &mut Tracer) {
        let seam = &mut self.seam;
        self.ask.settle(tracer, &mut |tracer, tid, resume, awaited| through(seam, tracer, tid, resume, awaited));
    }

    /// What the seam has to do between two stops.
    pub fn act(&mut self, tracer: &mut Tracer) {
        let Some(mut seam) = self.seam.take() else { return };
        seam.act(tracer, &mut self.ask);
        self.seam = Some(seam);
    }

    /// Nothing has come, and the seam lingers.
    pub fn idle(&mut self, tracer: &mut Tracer) {
        let Some(mut seam) = self.seam.take() else { return };
        seam.idle(tracer, &mut self.ask);
        self.seam = Some(seam);
    }
}

/// How a stop that was held for a decision ends, after whoever shares the tracer has seen it.
fn through(seam: &mut Option<Box<dyn Seam>>, tracer: &mut Tracer, tid: i32, resume: Resume, awaited: bool) {
    let Some(seam) = seam else { return tracer.release(tid, resume) };
    tracer.settle(tid, |task, stop| seam.stopped(Stopping { task, awaited }, stop, resume));
}

impl Engine for Asker {
    fn awaits(&self, tid: i32) -> bool {
        self.flights.contains_key(&tid)
    }

    fn judge(&mut self, tracer: &mut Tracer, tid: i32, end: Behind<'_>) {
        tracer.settle(tid, |task, stop| {
            let resume = self.judged(task, stop).unwrap_or(Resume::Free);
            let stopping = Stopping { task, awaited: self.awaits(task.tid()) };
            end(stopping, stop, resume)
        });
    }
}

impl Asker {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        match stop {
            Stop::Seccomp(seccomp) if !self.is_ours(seccomp.call(), seccomp.data()) => {
                // A filter of the guest's own asks for a tracer, and the guest has none: seccomp(2), SECCOMP_RET_TRACE.
                self.edit(stop, |registers| {
                    registers.set_number(-1);
                    registers.set_result(-ENOSYS);
                })
            }
            Stop::Seccomp(seccomp) => {
                let call = *seccomp.call();
                self.execs.remove(&task.tid());
                let flight = Flight { asked: call, made: call, returns: Vec::new() };
                self.ask(flight, task.process(), stop, 0, Seen::default())
            }
            Stop::Left(left) => {
                let value = left.returned().value;
                match self.flights.remove(&task.tid()) {
                    Some(flight) => self.left(flight, value, task.process(), stop),
                    None => Resume::Free,
                }
            }
            Stop::Entered(entered) if entered.call().name() != Some("restart_syscall") => {
                // What was waited for has become EINTR, and a signal handler runs.
                self.flights.remove(&task.tid());
                Resume::Free
            }
            Stop::Executed(exec) => {
                let (tid, former) = (task.tid(), exec.former());
                if let Some(flight) = self.flights.remove(&former) {
                    // Whoever executed has the leader's number now, and a new program's registers.
                    let flight = Flight { asked: flight.made, ..flight };
                    self.flights.insert(tid, flight);
                }
                if former != tid {
                    self.gone(former);
                }
                match self.execs.remove(&former) {
                    Some(approved) if approved.compare(tid) == Runs::Another => {
                        self.not_approved(tid);
                        self.voice.kill();
                        Resume::Kill
                    }
                    _ => Resume::AsBefore,
                }
            }
            // A new process in its first stop: it has not run an instruction.
            Stop::Interrupted(first) if first.reason() == Reason::New && task.process() == task.tid() => {
                self.born(task.tid());
                Resume::AsBefore
            }
            _ => Resume::AsBefore,
        }
    }

    fn on_end(&mut self, task: &Task) {
        let tid = task.tid();
        self.flights.remove(&tid);
        self.execs.remove(&tid);
        // Its number may be another's before the answer comes.
        self.waiting.retain(|_, waiting| waiting.tid != tid);
        self.gone(tid);
    }
}

impl Asker {
    fn new(handlers: Handlers, data: u16, voice: Voice) -> Self {
        let arch = Arch::native().unwrap_or(Arch::X86_64);
        // clone(2) stops for CLONE_UNTRACED, which the tracer takes out.
        let ours = handlers.wants(arch).union(&SyscallSet::from_names(arch, ["clone"]));
        let (flights, execs, waiting) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { handlers, ours, data, voice, flights, execs, pool: None, waiting }
    }

    fn born(&mut self, pid: i32) {
        if self.handlers.knows_processes()
            && let Some(fault) = self.handlers.born(&Process::look(pid))
        {
            self.voice.fault(fault);
        }
    }

    /// Tells the handlers that a thread's number is free.
    fn gone(&mut self, tid: i32) {
        if let Some(fault) = self.handlers.gone(tid) {
            self.voice.fault(fault);
        }
    }

    /// Decides the call that the registers hold now. None: it is none of ours.
    fn judged(&mut self, task: &Task, stop: &Stop) -> Option<Resume> {
        let (registers, known) = (stop.registers().ok()?, *stop.call()?);
        let number = registers.number().cast_unsigned();
        let args = std::array::from_fn(|index| registers.arg(known.arch, index));
        let call = Call { number, args, ..known };
        if !self.is_ours(&call, self.data) {
            return None;
        }
        self.execs.remove(&task.tid());
        let flight = Flight { asked: call, made: call, returns: Vec::new() };
        Some(self.ask(flight, task.process(), stop, 0, Seen::default()))
    }

    fn is_ours(&self, call: &Call, data: u16) -> bool {
        data == self.data && call.arch == self.ours.arch() && self.ours.contains(Sysno(call.number))
    }

    /// Asks the handlers from seat `from` on.
    fn ask(&mut self, mut flight: Flight, process: i32, stop: &Stop, from: usize, seen: Seen) -> Resume {
        let guest = Stopped(stop);
        let mut entry = Entry::new(trap(&flight.made, process, &guest, seen));
        let mut asked = self.handlers.ask(&mut entry, from, &mut flight.returns);
        if let Some(fault) = asked.fault.take() {
            self.voice.fault(fault);
        }
        let trap = entry.trap;
        flight.made = Call { number: trap.number, args: trap.args, ..flight.made };
        if let Verdict::Defer(deferred) = asked.verdict {
            if self.pool.is_none() {
                self.pool = Pool::start().ok();
            }
            let seat = asked.by.unwrap_or_default();
            let ticket = match self.pool.as_mut() {
                Some(pool) => pool.take(deferred),
                None => Err((crate::Action::Errno(tipstaff_abi::errno::EPERM), None)),
            };
            match ticket {
                Ok(ticket) => {
                    let seen = trap.into_seen();
                    let tid = guest.0.tid();
                    self.waiting.insert(ticket, Waiting { tid, flight, seat, seen });
                    return Resume::Hold;
                }
                Err((action, fault)) => {
                    if let Some(words) = fault {
                        self.voice.fault(format!("handler {}: {words}", self.handlers.name(asked.by)));
                    }
                    asked.verdict = Verdict::of(action);
                }
            }
        }
        self.decided(asked, flight, &trap, stop)
    }

    /// A verdict that is none to wait for.
    fn decided(&mut self, mut asked: Asked, flight: Flight, trap: &Trap<'_>, stop: &Stop) -> Resume {
        let mut unverifiable = false;
        if matches!(asked.verdict, Verdict::Make)
            && trap.looked.get()
            && matches!(trap.name(), Some("execve" | "execveat"))
        {
            match trap.approved() {
                Ok(approved) => drop(self.execs.insert(trap.tid, approved)),
                // The kernel is not asked, since by then it may find another program.
                Err(errno) => (asked.verdict, unverifiable) = (Verdict::Errno(errno), true),
            }
        }
        let result = match asked.verdict {
            Verdict::Make => None,
            Verdict::Return(value) => Some(value),
            Verdict::Errno(errno) => {
                // A program that is not there is no refusal.
                if !unverifiable {
                    self.denied_call(&flight.made, trap.tid, asked.by, Some(errno));
                }
                Some(-i64::from(errno))
            }
            Verdict::Deny(denied) => {
                let errno = denied.errno;
                let call = ruled(trap.name(), flight.made.number, flight.made.arch, *denied);
                self.voice.denied(call, flight.made.args, trap.tid);
                Some(-i64::from(errno))
            }
            Verdict::Kill => {
                self.denied_call(&flight.made, trap.tid, asked.by, None);
                self.voice.kill();
                return Resume::Kill;
            }
            // Answered above, and answers do not defer.
            Verdict::Defer(_) => Some(-i64::from(tipstaff_abi::errno::EPERM)),
        };
        let (was, made) = (&flight.asked, &flight.made);
        let changed = was.number != made.number || was.args != made.args;
        let resume = match result {
            Some(value) => self.edit(stop, |registers| {
                registers.set_number(-1);
                registers.set_result(value);
            }),
            None if changed => self.edit(stop, |registers| {
                for (index, value) in made.args.iter().enumerate() {
                    registers.set_arg(made.arch, index, *value);
                }
                registers.set_number(made.number.cast_signed());
            }),
            None => Resume::Free,
        };
        if resume == Resume::Kill || flight.returns.is_empty() && (result.is_some() || !changed) {
            return resume;
        }
        // A call that was not made left the caller's registers as they were.
        let flight = if result.is_some() { Flight { asked: flight.made, ..flight } } else { flight };
        self.flights.insert(trap.tid, flight);
        Resume::ToSyscall
    }

    fn left(&mut self, flight: Flight, value: i64, process: i32, stop: &Stop) -> Resume {
        let guest = Stopped(stop);
        let trap = trap(&flight.made, process, &guest, Seen::default());
        let mut returned = Return { trap, value, changed: false };
        if let Some(fault) = self.handlers.show(&mut returned, &flight.returns) {
            self.voice.fault(fault);
        }
        let (was, made, result) = (flight.asked, flight.made, returned.changed.then_some(returned.value));
        // sigreturn(2) has loaded other registers.
        let restore = (was.number != made.number || was.args != made.args)
            && !matches!(made.name(), Some("rt_sigreturn" | "sigreturn"));
        if restore || result.is_some() {
            let resume = self.edit(stop, |registers| {
                if restore {
                    // System calls leave argument registers alone, and compilers count on it. And the kernel makes an interrupted call
                    // again from what is in them: the handlers then see what the guest asked for, and change it once.
                    for (index, value) in was.args.iter().enumerate() {
                        registers.set_arg(was.arch, index, *value);
                    }
                    registers.set_number(was.number.cast_signed());
                }
                if let Some(value) = result {
                    registers.set_result(value);
                }
            });
            if resume == Resume::Kill {
                return resume;
            }
        }
        if value == ERESTART_RESTARTBLOCK && !flight.returns.is_empty() {
            self.flights.insert(stop.tid(), Flight { asked: made, ..flight });
            return Resume::ToSyscall;
        }
        Resume::Free
    }

    /// Ends the stops that have been decided.
    fn settle(&mut self, tracer: &mut Tracer, end: &mut dyn FnMut(&mut Tracer, i32, Resume, bool)) {
        while !self.waiting.is_empty() {
            let answers = match (tracer.stopper(), &self.pool) {
                (Ok(stopper), Some(pool)) => pool.answers(Box::new(move || stopper.stop())),
                // Nobody could wake us for an answer: all are refused.
                _ => {
                    self.voice.fault("tracer: no memory or process left to wait for decisions".to_owned());
                    let refuse = |&ticket| Answer {
                        ticket,
                        action: crate::Action::Errno(tipstaff_abi::errno::EPERM),
                        fault: None,
                    };
                    self.waiting.keys().map(refuse).collect()
                }
            };
            if answers.is_empty() {
                return;
            }
            for answer in answers {
                self.answered(answer, tracer, end);
            }
        }
    }

    fn answered(&mut self, answer: Answer, tracer: &mut Tracer, end: &mut dyn FnMut(&mut Tracer, i32, Resume, bool)) {
        let Some(waiting) = self.waiting.remove(&answer.ticket) else { return };
        let Waiting { tid, flight, seat, seen } = waiting;
        if let Some(words) = answer.fault {
            self.voice.fault(format!("handler {}: {words}", self.handlers.name(Some(seat))));
        }
        let process = tracer.tasks().get(tid).map_or(tid, Task::process);
        // Gone if it was killed meanwhile.
        let Some(stop) = tracer.held(tid) else { return };
        let resume = match answer.action {
            crate::Action::Pass => self.ask(flight, process, stop, seat + 1, seen),
            // Rules of the profile have the last word.
            crate::Action::Allow if seat < self.handlers.first_rule() => {
                let from = self.handlers.first_rule();
                self.ask(flight, process, stop, from, seen)
            }
            action => {
                let guest = Stopped(stop);
                let trap = trap(&flight.made, process, &guest, seen);
                let asked = Asked { verdict: Verdict::of(action), by: Some(seat), fault: None };
                self.decided(asked, flight, &trap, stop)
            }
        };
        end(tracer, tid, resume, self.flights.contains_key(&tid));
    }

    /// Changes registers. If that fails the guest must not go on as it was.
    fn edit(&self, stop: &Stop, change: impl FnOnce(&mut tipstaff_trace::Registers)) -> Resume {
        let edited = stop.registers().and_then(|mut registers| {
            change(&mut registers);
            stop.set_registers(&registers)
        });
        match edited {
            Ok(()) | Err(tipstaff_trace::Error::Died) => Resume::Free,
            Err(e) => {
                self.voice.lost(format!("tracer: {e}"));
                Resume::Kill
            }
        }
    }

    fn denied_call(&self, call: &Call, tid: i32, by: Option<usize>, errno: Option<u16>) {
        let denied = refused(call.name(), call.number, call.arch, self.handlers.name(by), errno);
        self.voice.denied(denied, call.args, tid);
    }

    fn not_approved(&self, tid: i32) {
        self.voice.denied(another(Arch::native()), [0; 6], tid);
    }
}
