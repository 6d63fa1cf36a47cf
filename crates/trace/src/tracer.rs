//! The loop: one thread, all its tracees, one blocking wait.

use std::collections::{BTreeSet, VecDeque};

use tipstaff_abi::{Arch, Sysno};
use tipstaff_sys::ptrace::Go;
use tipstaff_sys::wait::{Change, Status, Usage};
use tipstaff_sys::waker::Waker;
use tipstaff_sys::{Errno, signal};

use crate::config::{Config, Stopper, Turn, Untraced};
use crate::early::Early;
use crate::launch::Launching;
use crate::next::Next;
use crate::observer::{End, Observer, Resume};
use crate::place::Place;
use crate::requeue::Requeued;
use crate::state::Running;
use crate::stop::Reason;
use crate::task::{Origin, State, Task, Tasks};
use crate::untraced::Guard;
use crate::{Error, Stop};

/// Traces programs that it starts ([`Tracer::launch`]) or finds ([`Tracer::attach`]), and all their descendants.
///
/// It belongs to one thread, the only one that may make requests, and waits for all tracees *and children* of that thread: a host that
/// has children of its own gives the tracer a thread to itself. When that thread ends, programs that were launched are killed, others
/// run on untraced. Dropping a tracer does the same at once, and waits for it.
///
/// A tracer stays on its thread; what ends its wait does not:
///
/// ```compile_fail,E0277
/// fn elsewhere<T: Send>() {}
/// elsewhere::<tipstaff_trace::Tracer>();
/// ```
///
/// ```
/// fn elsewhere<T: Send>() {}
/// elsewhere::<tipstaff_trace::Stopper>();
/// ```
#[derive(Debug)]
pub struct Tracer {
    pub(crate) config: Config,
    pub(crate) tasks: Tasks,
    /// Changes of tasks that nobody has told us of yet: a child's first stop can come before its parent's event.
    pub(crate) early: Early,
    /// Changes to handle before the next wait.
    pub(crate) ready: VecDeque<(i32, Change)>,
    pub(crate) waker: Option<Waker>,
    /// Zombies that the observer keeps.
    pub(crate) kept: BTreeSet<i32>,
    /// Of the task that ended last: whoever it has made may be all that is left.
    pub(crate) last_origin: Origin,
    pub(crate) launching: Option<Launching>,
    guard: Guard,
    /// Listeners of filters, kept open: while one is, guests cannot have their own (EBUSY).
    pub(crate) listeners: Vec<std::os::fd::OwnedFd>,
    /// Every stop ends in a detach.
    pub(crate) leaving: bool,
    dropping: bool,
    /// Ends of children that are no tracees.
    pub(crate) strays: Vec<(i32, Status)>,
    pub(crate) requeued: Requeued,
    execve: Vec<(Arch, u32)>,
    pub(crate) place: Place,
}

impl Tracer {
    /// A tracer for the calling thread, without tracees.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let archs = Arch::native().map_or(&[][..], Arch::with_compat);
        let named = |name| archs.iter().filter_map(move |&arch| Some((arch, Sysno::by_name(arch, name)?.0)));
        Self {
            config,
            tasks: Tasks::default(),
            early: Early::default(),
            ready: VecDeque::new(),
            waker: None,
            kept: BTreeSet::new(),
            last_origin: Origin::Attached,
            launching: None,
            guard: Guard::new(archs),
            listeners: Vec::new(),
            leaving: false,
            dropping: false,
            strays: Vec::new(),
            requeued: Requeued::default(),
            execve: named("execve").collect(),
            place: Place::new(config.follow),
        }
    }

    /// Two tracees take turns: `goes` is held and will be resumed before the next wait, `stopped` is held and will not be. Nothing follows from it
    /// but where the tracer's thread runs, and only if it [follows](Config::follow).
    pub fn take_turns(&mut self, goes: i32, stopped: i32) {
        self.place.take_turns(goes, stopped);
    }

    /// Every traced task.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Keeps [`Task::usage`] from here on, or no longer. Costs getrusage(2) at each stop.
    pub fn keep_usage(&mut self, keep: bool) {
        self.config.usage = keep;
    }

    /// A handle that ends the wait. Costs a child process that sleeps until then.
    pub fn stopper(&mut self) -> Result<Stopper, Errno> {
        if self.waker.is_none() {
            self.place.rest();
            self.waker = Some(Waker::new()?);
        }
        self.waker.as_ref().map(|waker| Stopper(waker.wake())).ok_or(Errno::CHILD)
    }

    /// Children of this thread that ended and were no tracees: pid and status. The wait cannot leave them out, so a host that has some
    /// finds them here.
    pub fn take_strays(&mut self) -> Vec<(i32, Status)> {
        std::mem::take(&mut self.strays)
    }

    /// Handles changes until there is no tracee left, or something else ends the wait: never [`Turn::Handled`] or [`Turn::Idle`].
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Turn, Error> {
        loop {
            match self.step(observer)? {
                Turn::Handled | Turn::Idle => {}
                turn => return Ok(turn),
            }
        }
    }

    /// Waits for one change and handles it.
    pub fn step(&mut self, observer: &mut dyn Observer) -> Result<Turn, Error> {
        let (tid, change) = match self.ready.pop_front() {
            Some(ready) => ready,
            None => {
                if self.tasks.is_empty() {
                    self.adopt(observer);
                    if self.tasks.is_empty() {
                        self.bury_all();
                        self.place.rest();
                        return Ok(Turn::Empty);
                    }
                    return Ok(Turn::Handled);
                }
                self.place.waits();
                let mut usage = Usage::default();
                let Next { tid, change } = match self.next(observer, &mut usage) {
                    Ok(Some(next)) => next,
                    Ok(None) if self.ready.is_empty() => return Ok(Turn::Idle),
                    Ok(None) => return Ok(Turn::Handled),
                    Err(Errno::INTR) => return Ok(Turn::Interrupted),
                    Err(Errno::CHILD) => {
                        self.bury_all();
                        self.lost(observer);
                        self.place.rest();
                        return Ok(Turn::Empty);
                    }
                    Err(errno) => return Err(Error::Refused { request: "wait4", errno }),
                };
                if self.waker.as_ref().is_some_and(|waker| waker.pid() == tid) {
                    self.waker = None;
                    return Ok(Turn::Asked);
                }
                self.place.stopped(tid);
                if let Some(task) = self.tasks.get_mut(tid).filter(|_| self.config.usage) {
                    task.usage = usage;
                }
                (tid, change)
            }
        };
        if self.tasks.get(tid).is_none()
            && let Change::Stopped(code) = change
            && code >> 8 == tipstaff_sys::ptrace::event::EXIT
        {
            self.adopt_dying(tid);
        }
        if self.tasks.get(tid).is_none() {
            let running = self.tasks.iter().filter(|task| matches!(task.state, State::Running(_)) && !task.exiting);
            self.early.came(tid, change, running.map(|task| (task.tid, task.process)));
            self.adopt(observer);
            return Ok(Turn::Handled);
        }
        match change {
            Change::Ended(status) => self.ended(tid, status.into(), observer),
            Change::Stopped(code) => self.stopped(tid, code, observer)?,
        }
        Ok(Turn::Handled)
    }

    /// Ends a stop that the observer held. Nothing happens if it was not held, or has been killed meanwhile.
    pub fn release(&mut self, tid: i32, resume: Resume) {
        let Some(task) = self.tasks.get_mut(tid) else { return };
        match std::mem::replace(&mut task.state, State::Handled) {
            State::Held(stop) => self.finish(tid, stop, resume, &mut Nobody),
            other => task.state = other,
        }
    }

    /// Ends a stop that the observer held, as is decided now; [`Resume::Hold`] goes on holding it. Nothing happens if it was not held.
    pub fn settle(&mut self, tid: i32, decide: impl FnOnce(&Task, &mut Stop) -> Resume) {
        let Some(task) = self.tasks.get_mut(tid) else { return };
        match std::mem::replace(&mut task.state, State::Handled) {
            State::Held(mut stop) => {
                let resume = decide(task, &mut stop);
                self.finish(tid, stop, resume, &mut Nobody);
            }
            other => task.state = other,
        }
    }

    /// The stop that the observer holds.
    #[must_use]
    pub fn held(&mut self, tid: i32) -> Option<&mut Stop> {
        match &mut self.tasks.get_mut(tid)?.state {
            State::Held(stop) => Some(stop),
            _ => None,
        }
    }

    /// SIGKILL for every process that was launched, and their descendants. Their ends are reported as ever.
    pub fn kill(&mut self) {
        for task in self.tasks.iter() {
            if matches!(task.origin, Origin::Launched { .. }) {
                let _ = signal::kill(task.process, 9);
            }
        }
    }

    fn stopped(&mut self, tid: i32, code: i32, observer: &mut dyn Observer) -> Result<(), Error> {
        let mut stop = match Stop::decode(tid, code) {
            Ok(stop) => stop,
            // Killed in the stop: the wait says how.
            Err(Error::Died) => {
                self.runs(tid, Running::new(tid));
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let hidden = self.launch_hides(tid);
        if !self.early.is_empty() {
            match &stop {
                // They are no more but for the one, or another program by now.
                Stop::Executed(exec) => self.early.strike_process(tid, exec.former()),
                Stop::Forked(forked) => self.told(tid, forked.child(), forked.fork_kind()),
                _ => self.early.strike(tid),
            }
            self.adopt(observer);
        }
        if let Stop::Executed(exec) = &stop {
            self.collapse(tid, exec.former(), observer);
        }
        let Some(task) = self.tasks.get_mut(tid) else { return Ok(()) };
        let was = std::mem::replace(&mut task.state, State::Handled);
        let fresh = std::mem::replace(&mut task.fresh, false);
        let mut shown = !hidden;
        if !matches!(stop, Stop::Exiting(_)) {
            self.requeued.passed(task.process, tid);
        }
        match &mut stop {
            // Suppressed; EINVAL is for signals that there are not.
            Stop::Signal(signal) if self.requeued.again(task.process, signal) => {
                let _ = signal.deliver(None);
                shown = false;
            }
            Stop::Group(_) => self.requeued.settled(task.process),
            Stop::Exiting(_) => task.exiting = true,
            Stop::Interrupted(_) => stop.set_reason(match (was, fresh, task.origin) {
                (State::Listening, ..) => Reason::Continued,
                (_, true, Origin::Attached) if task.parent.is_none() => Reason::Attached,
                (_, true, _) => Reason::New,
                _ => Reason::Asked,
            }),
            Stop::Entered(entered) => {
                task.call = Some(*entered.call());
                task.forked = false;
            }
            Stop::Seccomp(seccomp) => {
                let entered = task.call.is_some();
                task.call = Some(*seccomp.call());
                if entered {
                    stop.set_entered();
                } else {
                    task.forked = false;
                }
            }
            Stop::Left(left) => {
                shown &= task.call.is_some() || self.config.returns;
                if self.config.untraced == Untraced::Forbid && !task.forked && left.returned().value > 0 {
                    self.guard.returned(task, left.returned().value as i32);
                }
            }
            Stop::Forked(forked) => {
                task.forked = true;
                let (child, kind) = (forked.child(), forked.fork_kind());
                self.born(tid, child, kind);
            }
            _ => {}
        }
        if let Stop::Left(left) = &stop {
            self.launch_returned(tid, left.returned());
        }
        if matches!(stop, Stop::Executed(_)) {
            self.launch_executed(tid);
        }
        let mut resume = Resume::AsBefore;
        if let Some(task) = self.tasks.get(tid).filter(|_| shown) {
            resume = observer.on_stop(task, &mut stop);
        }
        if self.leaving {
            resume = Resume::Detach;
        }
        self.finish(tid, stop, resume, observer);
        Ok(())
    }

    /// Ends a stop as the observer wants it.
    fn finish(&mut self, tid: i32, stop: Stop, resume: Resume, observer: &mut dyn Observer) {
        let launching = self.launching.as_ref().is_some_and(|launching| launching.pid() == tid);
        let Some(task) = self.tasks.get_mut(tid) else { return };
        let filtered = task.origin == Origin::Launched { filtered: true };
        let launched = matches!(task.origin, Origin::Launched { .. });
        let resume = match resume {
            // A dropped tracer reaps what it launched.
            Resume::Detach if filtered || launched && self.dropping => Resume::Kill,
            Resume::Hold if launching => Resume::AsBefore,
            other => other,
        };
        let calling = match stop {
            Stop::Entered(_) => !self.config.filtered_untraced,
            Stop::Seccomp(_) => true,
            _ => false,
        };
        if self.config.untraced != Untraced::Escape && calling && !matches!(resume, Resume::Hold) {
            self.guard.entering(&stop, self.config.untraced == Untraced::Forbid);
        }
        if matches!(stop, Stop::Left(_)) && resume != Resume::Hold {
            task.call = None;
        }
        match resume {
            Resume::ToSyscall => task.go = Go::Syscall,
            Resume::Free => task.go = Go::Free,
            Resume::Exactly { go, signal } => {
                if signal == 0 && matches!(stop, Stop::Signal(_)) {
                    self.requeued.passed(task.process, tid);
                }
                task.go = go;
                if matches!(go, Go::Free | Go::Step | Go::Block) {
                    task.call = None;
                }
                task.state = State::Running(stop.exactly(go, signal));
                return;
            }
            Resume::Listen => {
                stop.listen();
                task.state = State::Listening;
                return;
            }
            Resume::AsBefore => {}
            Resume::Hold => {
                task.state = State::Held(stop);
                return;
            }
            Resume::Detach => {
                stop.detach();
                if let Some(task) = self.tasks.remove(tid) {
                    observer.on_end(&task, End::Detached);
                }
                return;
            }
            Resume::Kill => {
                let _ = signal::kill(task.process, 9);
            }
        }
        let go = if launching { Go::Syscall } else { task.go };
        if matches!(go, Go::Free | Go::Step | Go::Block) {
            // The return will not be seen.
            task.call = None;
        }
        let group = matches!(stop, Stop::Group(_));
        let running = stop.resume(go);
        task.state = if group { State::Listening } else { State::Running(running) };
    }

    fn runs(&mut self, tid: i32, running: Running) {
        if let Some(task) = self.tasks.get_mut(tid) {
            task.state = State::Running(running);
        }
    }

    pub(crate) fn ended(&mut self, tid: i32, end: End, observer: &mut dyn Observer) {
        let hidden = self.launch_hides(tid);
        if !self.early.is_empty() {
            self.early.strike(tid);
            self.adopt(observer);
        }
        if let Some(task) = self.tasks.remove(tid) {
            self.last_origin = task.origin;
            self.requeued.ended(task.process, tid);
            if task.process == tid {
                self.requeued.settled(tid);
            }
            self.launch_ended(tid, end);
            if !hidden {
                observer.on_end(&task, end);
            }
        }
    }

    /// A task that nobody has told of yet ends, and so may its maker, killed in the very call, by a thread that executes a program and
    /// waits for both. What it did before is over.
    fn adopt_dying(&mut self, tid: i32) {
        drop(self.early.take(tid));
        let process = self.tasks.process_of(tid);
        let kin = self.tasks.iter().find(|task| task.process == process).or_else(|| self.tasks.iter().next());
        let origin = kin.map_or(self.last_origin, |task| task.origin);
        self.tasks.insert(Task::new(tid, process, None, origin, self.config.start));
    }

    fn lost(&mut self, observer: &mut dyn Observer) {
        for tid in self.tasks.tids() {
            self.ended(tid, End::Lost, observer);
        }
        self.early.clear();
    }

    pub(crate) fn is_execve(&self, call: &crate::Call) -> bool {
        self.execve.contains(&(call.arch, call.number))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.launching = None;
        self.dropping = true;
        self.bury_all();
        self.kill();
        // A wait that fails has nobody left to wait for.
        let _ = self.leave(&mut Nobody);
    }
}

/// Sees nothing.
struct Nobody;

impl Observer for Nobody {
    fn on_stop(&mut self, _: &Task, _: &mut Stop) -> Resume {
        Resume::AsBefore
    }
}
