//! The seam: who sees a stop, and who decides how it ends.

use tipstaff_sys::ptrace::Go;
use tipstaff_sys::wait::Status;

use crate::{ForkKind, Stop, Task};

/// How a stop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// PTRACE_SYSCALL: the next entry or exit is shown too. After an entry or a seccomp stop that is the call's exit.
    ToSyscall,
    /// PTRACE_CONT: no entries and exits are shown, only what else stops it, a filter's RET_TRACE among it.
    Free,
    /// With exactly this request, a group-stop too, which all others listen to. In a signal-delivery-stop `signal` (0: none) takes the place of what
    /// [`SignalDelivery`](crate::SignalDelivery) would deliver; in other stops the kernel does with it what ptrace(2) says.
    Exactly {
        /// The request.
        go: Go,
        /// The signal.
        signal: i32,
    },
    /// PTRACE_LISTEN, in any stop of PTRACE_EVENT_STOP.
    Listen,
    /// As the same task was resumed last; a new one as [`Config::start`](crate::Config) says.
    AsBefore,
    /// Not yet: [`Tracer::release`](crate::Tracer::release) ends it.
    Hold,
    /// Give the task up. Where that is impossible ([`Origin`](crate::Origin)) it counts as [`Self::Kill`].
    Detach,
    /// SIGKILL for its process.
    Kill,
}

/// How a task left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The thread ended by itself, or its process did, with this status (0 to 255).
    Exited(i32),
    /// A signal ended it.
    Killed {
        /// The signal.
        signal: i32,
        /// A core was dumped.
        core: bool,
    },
    /// Another thread of its process executed a program, and took over the process: the kernel reports no end of this one. Its call,
    /// if it was in one, never returns.
    Replaced {
        /// The thread id that the executing thread had until then.
        by: i32,
    },
    /// We gave it up; it runs on.
    Detached,
    /// Somebody else in our process reaped it, or SIGCHLD is ignored: nobody can say how it ended.
    Lost,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        match status {
            Status::Exited(code) => Self::Exited(code),
            Status::Signaled { signal, core } => Self::Killed { signal, core },
        }
    }
}

/// Sees every stop of every tracee, in the order in which the kernel tells them, with two exceptions: a new task's first stop comes
/// after the [`Stop::Forked`] of its maker (or [`Self::on_adopt`]), and exit stops whose entry was not shown are left out (fork's return in the child).
pub trait Observer {
    /// `task` has stopped. For [`Stop::Left`], [`Task::call`] is the call that returns.
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume;

    /// `task` is traced from now on, and was running before.
    fn on_attach(&mut self, task: &Task) {
        let _ = task;
    }

    /// `task` will not be told of by its maker, which was killed in the very call. `kin` is the maker, or another thread of its process, and still there or about
    /// to end. Its first stop comes next.
    fn on_adopt(&mut self, kin: &Task, task: &Task, kind: ForkKind) {
        let _ = (kin, task, kind);
    }

    /// Whether the end of some task, which may come now, is to leave a zombie: [`Self::keeps`] says of which.
    fn keeping(&self) -> bool {
        false
    }

    /// `task` has ended. True: [`Self::on_end`] tells of it, and the zombie stays until [`Tracer::bury`](crate::Tracer::bury). So long its real parent is told
    /// nothing of it, nor of the end of a leader that it is a thread of, and an exec by another thread of its process waits.
    fn keeps(&self, task: &Task) -> bool {
        let _ = task;
        false
    }

    /// Something is to be decided before the next wait, unless a change is there already: then the loop comes back with
    /// [`Turn::Idle`](crate::Turn) instead of blocking.
    fn lingers(&self) -> bool {
        false
    }

    /// `task` is no more, for us. If [`Task::call`] is there, that call was never seen to return.
    fn on_end(&mut self, task: &Task, end: End) {
        let _ = (task, end);
    }
}
