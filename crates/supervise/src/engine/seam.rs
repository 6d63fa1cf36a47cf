//! The seam of the ptrace engine: who else may hold a stop.
//!
//! A task has one tracer, so whoever gives guests a ptrace(2) of their own has to share ours. It is asked at every stop behind the handlers: a
//! guest's tracer sees a call before they do only where the kernel shows it before its filter, at the entry stop, and what it then writes into
//! the registers is what they are asked about.

use std::fmt;

use tipstaff_abi::{Arch, SyscallSet};
use tipstaff_trace::{End, Resume, Stop, Task, Tracer};

/// Who stops.
#[derive(Clone, Copy, Debug)]
pub struct Stopping<'a> {
    /// The task.
    pub task: &'a Task,
    /// A handler waits for the return of its call: it has to be resumed so that this is seen.
    pub awaited: bool,
}

/// What a guest's supervisor makes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It has no say.
    No,
    /// The stop ends like this.
    Takes(Resume),
    /// It lets the kernel make the call: the handlers decide about it, as its registers are now, whoever's stop it is. The kernel would ask no other filter.
    Continued,
}

/// How a stop ends that the handlers would end like this.
pub type Behind<'a> = &'a mut dyn FnMut(Stopping<'_>, &mut Stop, Resume) -> Resume;

/// What else is to be asked about held stops.
pub trait Engine {
    /// A handler waits for the return of this thread's call.
    fn awaits(&self, tid: i32) -> bool;

    /// The call in whose RET_TRACE stop a thread is held is to be decided by the handlers now, and made or not. `end` says how the stop ends
    /// behind them.
    fn judge(&mut self, tracer: &mut Tracer, tid: i32, end: Behind<'_>);
}

/// Who shares the tracer.
pub trait Seam: Send {
    /// The calls it wants to see, by number; lowering has asked the filter for them.
    fn wants(&self, arch: Arch) -> SyscallSet;

    /// A RET_TRACE, before anybody else is asked: a guest's supervisor may have a say, whoever's stop it is.
    fn asked(&mut self, stopping: Stopping<'_>, stop: &mut Stop) -> Asked {
        let _ = (stopping, stop);
        Asked::No
    }

    /// A RET_TRACE of a filter that is not ours. Some: it is dealt with; None: it is answered as without a tracer.
    fn foreign(&mut self, stopping: Stopping<'_>, stop: &mut Stop) -> Option<Resume>;

    /// A stop that the handlers would end like this; how it ends.
    fn stopped(&mut self, stopping: Stopping<'_>, stop: &mut Stop, resume: Resume) -> Resume;

    /// Whether the end of some task is to leave a zombie: [`Self::keeps`] says of which.
    fn keeping(&self) -> bool;

    /// Whether this task, which has ended, stays a zombie until [`Tracer::bury`].
    fn keeps(&self, task: &Task) -> bool;

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
