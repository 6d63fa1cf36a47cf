//! How a tracer behaves, and how its loop comes back.

use tipstaff_sys::ptrace::Go;
use tipstaff_sys::waker::Wake;

/// How a tracer behaves.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How a new task runs until an observer says otherwise.
    pub start: Go,
    /// What becomes of CLONE_UNTRACED.
    pub untraced: Untraced,
    /// The filter of every tracee stops each clone(2) with CLONE_UNTRACED: then it is left as it is at entry stops, behind which it may not be
    /// made after all.
    pub filtered_untraced: bool,
    /// While stops come thick, run as a SCHED_IDLE thread on the CPU of the tracee, where that can be undone; a stop then costs a tenth.
    /// Tracees are never touched.
    pub follow: bool,
    /// Keep [`Task::usage`](crate::Task::usage), as [`Tracer::keep_usage`](crate::Tracer::keep_usage) has it.
    pub usage: bool,
    /// Show also returns of calls whose entry was not shown: a task that is resumed with [`Go::Syscall`] in the middle of one. They have
    /// no [`Task::call`](crate::Task::call).
    pub returns: bool,
    /// RET_TRACE of filters that are not ours is a stop too, also where a program runs without a filter of ours or was attached to; else it is
    /// ENOSYS there, as without a tracer (seccomp(2)).
    pub foreign: bool,
}

impl Config {
    /// For a tracer that somebody shares: [`seam`](crate::seam).
    #[must_use]
    pub fn shared(self) -> Self {
        Self { returns: true, foreign: true, ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            start: Go::Syscall,
            untraced: Untraced::Escape,
            filtered_untraced: false,
            follow: true,
            usage: false,
            returns: false,
            foreign: false,
        }
    }
}

/// What becomes of CLONE_UNTRACED, by which a program makes a child that its tracer never sees: clone(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Untraced {
    /// It is left as it is.
    #[default]
    Escape,
    /// It is taken out of clone(2), at its entry or seccomp stop; clone3(2), which keeps it in memory, is left as it is.
    Follow,
    /// As [`Self::Follow`], and clone3(2) is answered ENOSYS. With [`Go::Free`] the filter must have both calls traced, on every architecture
    /// that it lets through.
    Forbid,
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
