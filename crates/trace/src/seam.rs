//! The seam of a tracer's loop: who else may hold a stop.
//!
//! A task has one tracer, so whoever gives guests a ptrace(2) of their own has to share ours. Two look at each stop: in **front** whoever the loop is
//! for (the handlers of a box, the writer of a trace), and behind it the **seam**, which says last how the stop ends. A guest's tracer sees a call before
//! the front does where the kernel shows it before its filter, at the entry stop, and what it then writes into the registers is what the front is
//! asked about; and what a call returns is put right before the front sees it.
//!
//! [`Shared`] is both as one [`Observer`], and one turn of the loop.

use std::fmt;

use tipstaff_abi::{Arch, SyscallSet};

use crate::{Call, End, Error, ForkKind, Observer, Resume, Stop, Task, Tracer, Turn};

/// Who stops.
#[derive(Clone, Copy, Debug)]
pub struct Stopping<'a> {
    /// The task.
    pub task: &'a Task,
    /// The front waits for the return of its call: it has to be resumed so that this is seen.
    pub awaited: bool,
}

/// What a guest's supervisor makes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It has no say.
    No,
    /// The stop ends like this.
    Takes(Resume),
    /// It lets the kernel make the call: the front is asked about it, as its registers are now, whoever's stop it is. The kernel would ask no other filter.
    Continued,
}

/// How a stop ends that the front would end like this.
pub type Behind<'a> = &'a mut dyn FnMut(Stopping<'_>, &mut Stop, Resume) -> Resume;

/// Whom the loop is for.
pub trait Front: Observer {
    /// Whether this RET_TRACE is of a filter of ours. Another is a guest's own.
    fn is_ours(&self, call: &Call, data: u16) -> bool;

    /// Whether the return of this thread's call is waited for.
    fn awaits(&self, tid: i32) -> bool;

    /// A thread is held in a stop of a call, and about to make it as its registers are now ([`Stop::call_now`]). None: that is no business of ours.
    fn judged(&mut self, task: &Task, stop: &mut Stop) -> Option<Resume>;

    /// Whether it is asked about calls that a thread is made to make in its guest's place, too: whoever decides is.
    fn decides(&self) -> bool;
}

/// What the seam asks of the front about held stops.
pub trait Engine {
    /// As [`Front::awaits`].
    fn awaits(&self, tid: i32) -> bool;

    /// The call that a thread is held before is decided now, and made or not. `end` says how the stop ends behind the front.
    fn judge(&mut self, tracer: &mut Tracer, tid: i32, end: Behind<'_>);

    /// The call at whose return a thread is held returns what its registers say now.
    fn returned(&mut self, task: &Task, stop: &mut Stop) -> Resume;
}

impl<F: Front> Engine for F {
    fn awaits(&self, tid: i32) -> bool {
        Front::awaits(self, tid)
    }

    fn judge(&mut self, tracer: &mut Tracer, tid: i32, end: Behind<'_>) {
        tracer.settle(tid, |task, stop| {
            let resume = self.judged(task, stop).unwrap_or(Resume::Free);
            let stopping = Stopping { task, awaited: Front::awaits(self, tid) };
            end(stopping, stop, resume)
        });
    }

    fn returned(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        stop.returns_now();
        self.on_stop(task, stop)
    }
}

/// Who shares the tracer.
pub trait Seam: Send {
    /// The calls it wants to see, by number; whoever makes the filter has asked for them.
    fn wants(&self, arch: Arch) -> SyscallSet;

    /// A RET_TRACE, before anybody else is asked: a guest's supervisor may have a say, whoever's stop it is.
    fn asked(&mut self, stopping: Stopping<'_>, stop: &mut Stop) -> Asked {
        let _ = (stopping, stop);
        Asked::No
    }

    /// A stop that the front has not seen. Some: nor will it, and this is how it ends. `foreign`: a RET_TRACE of a filter that is not ours.
    fn first(&mut self, stopping: Stopping<'_>, stop: &mut Stop, foreign: bool) -> Option<Resume>;

    /// A stop that the front would end like this; how it ends.
    fn stopped(&mut self, stopping: Stopping<'_>, stop: &mut Stop, resume: Resume) -> Resume;

    /// A thread is being made to make calls that are not its guest's.
    fn plays(&self, tid: i32) -> bool;

    /// Whether what a task has used ([`Task::usage`]) will be asked for.
    fn counts(&self) -> bool;

    /// Whether the end of some task is to leave a zombie: [`Self::keeps`] says of which.
    fn keeping(&self) -> bool;

    /// Whether this task, which has ended, stays a zombie until [`Tracer::bury`].
    fn keeps(&self, task: &Task) -> bool;

    /// [`Observer::on_adopt`].
    fn adopted(&mut self, kin: &Task, task: &Task, kind: ForkKind) {
        let _ = (kin, task, kind);
    }

    /// A task is no more, or a zombie that is kept.
    fn ended(&mut self, task: &Task, end: End);

    /// [`Self::idle`] is to be called before the next wait blocks.
    fn lingers(&self) -> bool {
        false
    }

    /// Nothing has come, and the next wait may block: for those who [linger](Self::lingers).
    fn idle(&mut self, tracer: &mut Tracer, engine: &mut dyn Engine) {
        let _ = (tracer, engine);
    }

    /// Between two stops: what concerns other tasks than the one that stopped.
    fn act(&mut self, tracer: &mut Tracer, engine: &mut dyn Engine);
}

impl fmt::Debug for dyn Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seam")
    }
}

/// A front, and a seam behind it if there is one.
#[derive(Debug)]
pub struct Shared<F> {
    /// Whom the loop is for.
    pub front: F,
    seam: Option<Box<dyn Seam>>,
}

impl<F: Front> Shared<F> {
    /// Both together.
    pub fn new(front: F, seam: Option<Box<dyn Seam>>) -> Self {
        Self { front, seam }
    }

    /// One turn: what is to be done between two stops, then [`Tracer::step`].
    pub fn step(&mut self, tracer: &mut Tracer) -> Result<Turn, Error> {
        if let Some(seam) = &mut self.seam {
            seam.act(tracer, &mut self.front);
            tracer.keep_usage(seam.counts());
        }
        let turn = tracer.step(self)?;
        if let (Turn::Idle, Some(seam)) = (turn, &mut self.seam) {
            seam.idle(tracer, &mut self.front);
        }
        Ok(turn)
    }

    /// Ends a stop that the front held, as [`Tracer::release`] does, after the seam has seen it.
    pub fn release(&mut self, tracer: &mut Tracer, tid: i32, resume: Resume) {
        let Some(seam) = &mut self.seam else { return tracer.release(tid, resume) };
        let awaited = Front::awaits(&self.front, tid);
        tracer.settle(tid, |task, stop| seam.stopped(Stopping { task, awaited }, stop, resume));
    }
}

impl<F: Front> Observer for Shared<F> {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        let Self { front, seam: Some(seam) } = self else { return self.front.on_stop(task, stop) };
        let tid = task.tid();
        let foreign = matches!(&stop, Stop::Seccomp(seccomp) if !front.is_ours(seccomp.call(), seccomp.data()));
        let stopping = Stopping { task, awaited: Front::awaits(front, tid) };
        if matches!(stop, Stop::Seccomp(_)) {
            match seam.asked(stopping, stop) {
                Asked::No => {}
                Asked::Takes(resume) => return resume,
                Asked::Continued => {
                    let resume = front.judged(task, stop).unwrap_or(Resume::Free);
                    let stopping = Stopping { task, awaited: Front::awaits(front, tid) };
                    return seam.stopped(stopping, stop, resume);
                }
            }
        }
        if let Some(resume) = seam.first(stopping, stop, foreign) {
            return resume;
        }
        let resume = if seam.plays(tid) && !front.decides() { Resume::AsBefore } else { front.on_stop(task, stop) };
        let stopping = Stopping { task, awaited: Front::awaits(front, tid) };
        seam.stopped(stopping, stop, resume)
    }

    fn on_attach(&mut self, task: &Task) {
        self.front.on_attach(task);
    }

    fn on_adopt(&mut self, kin: &Task, task: &Task, kind: ForkKind) {
        self.front.on_adopt(kin, task, kind);
        if let Some(seam) = &mut self.seam {
            seam.adopted(kin, task, kind);
        }
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
        self.front.on_end(task, end);
        if let Some(seam) = &mut self.seam {
            seam.ended(task, end);
        }
    }
}
