//! How a tracer behaves, and how its loop comes back.

use tipstaff_sys::ptrace::Go;
use tipstaff_sys::waker::Wake;

/// How a tracer behaves.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How a new task runs until an observer says otherwise.
    pub start: Go,
    /// CLONE_UNTRACED is taken out of clone(2), and clone3(2) is answered ENOSYS, at their entry or seccomp stops. With
    /// [`Go::Free`] the filter must have both calls traced, on every architecture that it lets through.
    pub no_untraced: bool,
    /// The filter of every tracee stops each clone(2) with CLONE_UNTRACED: then it is left as it is at entry stops, behind which it may not be
    /// made after all.
    pub filtered_untraced: bool,
    /// While stops come thick, run as a SCHED_IDLE thread on the CPU of the tracee, where that can be undone; a stop then costs a tenth.
    /// Tracees are never touched.
    pub follow: bool,
    /// Keep [`Task::usage`](crate::Task::usage). Costs getrusage(2) at each stop.
    pub usage: bool,
    /// Show also returns of calls whose entry was not shown: a task that is resumed with [`Go::Syscall`] in the middle of one. They have
    /// no [`Task::call`](crate::Task::call).
    pub returns: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            start: Go::Syscall,
            no_untraced: false,
            filtered_untraced: false,
            follow: true,
            usage: false,
            returns: false,
        }
    }
}

/// Why the loop has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// One change was handled ([`Tracer::step`](crate::Tracer::step) only).
    Handled,
    /// There was nothing to handle, and the observer [lingers](crate::Observer::lingers) ([`Tracer::step`](crate::Tracer::step) only).
    Idle,
    /// A [`Stopper`] asked for it. Nothing has been done to the tracees.
    Asked,
    /// A signal handler ran in this thread during the wait.
    Interrupted,
    /// There is no tracee left.
    Empty,
}

/// Ends the wait of a [`Tracer`](crate::Tracer), from any thread and from signal handlers. What to do then is for the tracer's thread to say:
/// [`Tracer::kill`](crate::Tracer::kill), [`Tracer::detach`](crate::Tracer::detach), or [`Tracer::run`](crate::Tracer::run) again.
#[derive(Clone, Debug)]
pub struct Stopper(pub(crate) Wake);

impl Stopper {
    /// Makes [`Tracer::run`](crate::Tracer::run) and [`Tracer::step`](crate::Tracer::step) return [`Turn::Asked`], now or when they next wait; never lost. Works once:
    /// the next one is had by [`Tracer::stopper`](crate::Tracer::stopper).
    pub fn stop(&self) {
        self.0.wake();
    }
}
