//! What the tracer knows of each task, and all of them together.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use tipstaff_sys::ptrace::Go;
use tipstaff_sys::signal;
use tipstaff_sys::wait::Usage;

use crate::state::Running;
use crate::{Call, Stop};

/// A traced thread.
#[derive(Debug)]
pub struct Task {
    pub(crate) tid: i32,
    pub(crate) process: i32,
    pub(crate) parent: Option<i32>,
    pub(crate) origin: Origin,
    pub(crate) call: Option<Call>,
    pub(crate) usage: Usage,
    pub(crate) state: State,
    /// What the observer chose last.
    pub(crate) go: Go,
    /// Its first stop has not been seen.
    pub(crate) fresh: bool,
    /// The call in flight has made a task that we were told of.
    pub(crate) forked: bool,
    /// It has come to PTRACE_EVENT_EXIT: its end is next.
    pub(crate) exiting: bool,
}

/// How a task came to be traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We started its program, or an ancestor's. It dies with its tracer's thread (PTRACE_O_EXITKILL).
    Launched {
        /// A filter of ours is in force: its RET_TRACE calls are ENOSYS without a tracer.
        filtered: bool,
    },
    /// It, or an ancestor, ran before. It outlives its tracer.
    Attached,
}

#[derive(Debug)]
pub(crate) enum State {
    Running(Running),
    /// In a group-stop, and PTRACE_LISTENing.
    Listening,
    /// The observer holds it.
    Held(Stop),
    /// In the hands of the loop.
    Handled,
}

impl Task {
    pub(crate) fn new(tid: i32, process: i32, parent: Option<i32>, origin: Origin, go: Go) -> Self {
        Self {
            tid,
            process,
            parent,
            origin,
            call: None,
            usage: Usage::default(),
            state: State::Running(Running::new(tid)),
            go,
            fresh: true,
            forked: false,
            exiting: false,
        }
    }

    /// Its thread id.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Its process id (thread group id).
    #[must_use]
    pub fn process(&self) -> i32 {
        self.process
    }

    /// The thread that made it, as far as that was seen.
    #[must_use]
    pub fn parent(&self) -> Option<i32> {
        self.parent
    }

    /// How it came to be traced.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The call that it is in, if its return will be shown: from the entry or seccomp stop, when that was resumed with
    /// [`Resume::ToSyscall`](crate::Resume), to the exit stop inclusive.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        self.call.as_ref()
    }

    /// What it had used at its last stop; kept only when [`Config::usage`](crate::Config) asks for it.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether the observer holds it in a stop.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }

    /// Whether a group-stop holds it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, State::Listening)
    }
}

/// All traced tasks, by thread id.
#[derive(Debug, Default)]
pub struct Tasks(HashMap<i32, Task, BuildHasherDefault<Spread>>);

/// Thread ids come from the kernel, one after the other, so nobody can choose colliding ones; and each stop looks its task up several times.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i32(i32::from(*byte));
        }
    }

    fn write_i32(&mut self, n: i32) {
        // Fibonacci hashing: the table takes both the highest and the lowest bits.
        self.0 = (self.0 ^ u64::from(n.cast_unsigned())).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

impl Tasks {
    /// One.
    #[must_use]
    pub fn get(&self, tid: i32) -> Option<&Task> {
        self.0.get(&tid)
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        self.0.values()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get_mut(&mut self, tid: i32) -> Option<&mut Task> {
        self.0.get_mut(&tid)
    }

    pub(crate) fn insert(&mut self, task: Task) {
        self.0.insert(task.tid, task);
    }

    pub(crate) fn remove(&mut self, tid: i32) -> Option<Task> {
        self.0.remove(&tid)
    }

    pub(crate) fn tids(&self) -> Vec<i32> {
        self.0.keys().copied().collect()
    }

    /// The known process that a new thread belongs to, else itself.
    pub(crate) fn process_of(&self, tid: i32) -> i32 {
        let mut known: Vec<i32> = self.0.values().map(|task| task.process).collect();
        known.sort_unstable();
        known.dedup();
        known.into_iter().find(|&process| signal::thread_of(process, tid)).unwrap_or(tid)
    }
}
