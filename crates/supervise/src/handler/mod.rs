//! Handlers: code of ours that is asked before a guest's system call is made.
//!
//! A [`Handler`] says which calls it wants, and only these stop. It sees a [`Trap`], which is the same under every engine, and
//! answers with an [`Action`]. Handlers are asked in the order in which they were added; the first that does not [`Action::Pass`]
//! decides, and if all pass the call is made. A handler that panics answers EPERM, and the report says `internal_error`.
//!
//! # What a decision may rest on
//! | argument | may decide |
//! |---|---|
//! | the six words: numbers, flags, descriptors' numbers | yes: they are in registers, and nobody but the tracer changes those |
//! | paths, structures, buffers: what an address leads to | to refuse, to answer, to count, to write down; never alone to allow |
//! | program and arguments of an exec | yes: see below |
//! | environment of an exec | as memory |
//! | what a descriptor's number refers to | as memory: another thread can put something else there (dup2(2)) |
//!
//! A guest's other threads, and whoever shares its memory, can change what was read before the kernel reads it again. A rule that must
//! hold against such a guest belongs into the profile, where Landlock or the mount tree decides on what the kernel itself found.
//! What the handlers of one stop read is one copy, so that at least they agree.
//!
//! An exec is the exception: if a handler has looked at any of it and it was allowed, the engine compares the executed
//! file and its arguments at PTRACE_EVENT_EXEC, when no code of the new program and no thread of the old one can run, and kills the
//! process if they are not what was approved.

mod arguments;
#[cfg(test)]
mod fake;
mod lookup;
mod process;
pub mod provided;
mod snapshot;
mod stack;
mod trap;

use std::fmt;
use std::time::Duration;

use tipstaff_abi::{Arch, SyscallSet};

pub use arguments::{Argv, SocketAddress};
pub(crate) use lookup::identity;
pub use lookup::{AT_FDCWD, Found, Last};
pub use process::Process;
pub(crate) use stack::{Asked, Verdict, caught};
pub use stack::{Handlers, WrongArch};
pub(crate) use trap::Seen;
pub use trap::{Entry, Guest, Return, Trap};

/// What becomes of a call.
pub enum Action {
    /// The next handler decides; after the last one the call is made.
    Pass,
    /// The call is made.
    Allow,
    /// The call is not made and fails with this errno (1 to 4095).
    Errno(u16),
    /// The call is not made and returns this value.
    Return(i64),
    /// The box is killed; the verdict is `policy_violation`.
    Kill,
    /// The call is not made, because of a rule: the report names it.
    Deny(Box<Denied>),
    /// Decided elsewhere: whatever may be slow must not hold up the other tasks of the box.
    Defer(Deferred),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("Pass"),
            Self::Allow => f.write_str("Allow"),
            Self::Errno(errno) => write!(f, "Errno({errno})"),
            Self::Return(value) => write!(f, "Return({value})"),
            Self::Kill => f.write_str("Kill"),
            Self::Deny(denied) => write!(f, "Deny({denied:?})"),
            Self::Defer(deferred) => write!(f, "Defer({:?})", deferred.deadline),
        }
    }
}

/// A refusal in the words of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What the call fails with (1 to 4095).
    pub errno: u16,
    /// The rule, and what it was applied to.
    pub rule: String,
    /// What would allow it; None where nothing does.
    pub allow_with: Option<String>,
}

/// A decision that comes later, while the caller alone waits.
pub struct Deferred {
    /// Who decides.
    pub(crate) work: Later,
    pub(crate) deadline: Duration,
    /// What counts if the work has not answered by then, panics, or finds no room.
    pub(crate) otherwise: Box<Action>,
    /// What the report says if it does not answer in time; None: nothing, that is an answer like any other.
    pub(crate) late: Option<String>,
    /// Asks whoever decides to come to an end, since the caller has a signal to take; they then answer soon, with ERESTARTSYS if nothing was done.
    /// None: the call can be made again at any time.
    pub(crate) recall: Option<Recall>,
}

/// Asks for an answer, from any thread and more than once.
pub(crate) type Recall = Box<dyn Fn() + Send>;

pub(crate) type Work = Box<dyn FnOnce() -> Action + Send>;
/// Gives the answer, from any thread. Dropped, it refuses: nobody is left who would answer.
pub(crate) struct Reply(Option<Box<dyn FnOnce(Action) + Send>>);

impl Reply {
    pub fn new(give: impl FnOnce(Action) + Send + 'static) -> Self {
        Self(Some(Box::new(give)))
    }

    pub fn give(mut self, action: Action) {
        if let Some(give) = self.0.take() {
            give(action);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(give) = self.0.take() {
            give(Action::Errno(tipstaff_abi::errno::EPERM));
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

/// Who decides later.
pub(crate) enum Later {
    /// A thread of a small pool.
    Pool(Work),
    /// Somebody with a thread of their own, who is told at once and must not block.
    Own(Box<dyn FnOnce(Reply) + Send>),
    /// Only time has to pass.
    Time,
}

impl Action {
    /// Decides elsewhere: `work` runs in the pool. If it has not answered by `deadline`, or the pool is full, or it panics or defers again, the
    /// call fails with `errno`. After [`Action::Pass`] the handlers behind this one are asked. Work that never ends keeps a thread of the pool.
    pub fn defer(deadline: Duration, errno: u16, work: impl FnOnce() -> Self + Send + 'static) -> Self {
        Self::Defer(Deferred {
            work: Later::Pool(Box::new(work)),
            deadline,
            otherwise: Box::new(Self::Errno(errno)),
            late: None,
            recall: None,
        })
    }

    /// Decides in a thread that is neither ours nor the pool's: `start` is called at once. What was begun there is ended by `recall` only.
    pub(crate) fn elsewhere(
        deadline: Duration,
        errno: u16,
        recall: Recall,
        start: impl FnOnce(Reply) + Send + 'static,
    ) -> Self {
        Self::Defer(Deferred {
            work: Later::Own(Box::new(start)),
            deadline,
            otherwise: Box::new(Self::Errno(errno)),
            late: None,
            recall: Some(recall),
        })
    }

    /// Decided, but carried out only after this time. Takes no thread.
    #[must_use]
    pub fn after(delay: Duration, action: Self) -> Self {
        Self::Defer(Deferred {
            work: Later::Time,
            deadline: delay,
            otherwise: Box::new(action),
            late: None,
            recall: None,
        })
    }
}

/// Is asked before a call is made. `&mut self`: one call at a time, so no lock is needed; not always by the same thread. It must not block: [`Action::defer`].
pub trait Handler: Send {
    /// The calls it wants to see, by the architecture that the box runs on. Asked once, before the box starts.
    fn wants(&self, arch: Arch) -> SyscallSet;

    /// Decides.
    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action;

    /// The box has started, and this process is the ancestor of all that will ever be in it; it runs no code of the guest. As it is numbered outside.
    fn on_start(&mut self, ancestor: i32) {
        let _ = ancestor;
    }

    /// It keeps something by thread, and wants to be told when one is gone: [`Self::on_gone`].
    fn keeps_threads(&self) -> bool {
        false
    }

    /// A thread that made calls is gone; its number may be another's soon. For those who [keep](Self::keeps_threads) something.
    fn on_gone(&mut self, tid: i32) {
        let _ = tid;
    }

    /// Every process is to be told to [`Self::on_process`] before it runs an instruction. The kernel gives that only to a tracer: the ptrace engine has
    /// it at no price; under notify each fork(2), vfork(2) and clone(2) that makes a process is asked about, its caller is traced for just that call, and
    /// a caller that a debugger in the box traces already is refused (EPERM). Asked once, before the box starts.
    fn knows_processes(&self) -> bool {
        false
    }

    /// A process has been made and has not run an instruction; it does so when this returns. The box's first one, which the launcher has made, is
    /// told too. For those who [know](Self::knows_processes) processes.
    fn on_process(&mut self, process: &Process) {
        let _ = process;
    }

    /// What the report calls it.
    fn name(&self) -> &str {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name)
    }
}

/// What only a tracer can do: change a call before it is made, and see and change what it returned.
pub trait Rewriter: Send {
    /// The calls it wants to see.
    fn wants(&self, arch: Arch) -> SyscallSet;

    /// Decides, or changes the arguments and passes. A changed call is filtered again, and handlers after this one see it changed.
    fn on_entry(&mut self, entry: &mut Entry<'_>) -> Action;

    /// The calls whose return it wants to see, among those of [`Rewriter::wants`].
    fn returns(&self, arch: Arch) -> SyscallSet {
        SyscallSet::new(arch)
    }

    /// A call returns.
    fn on_return(&mut self, returned: &mut Return<'_>) {
        let _ = returned;
    }

    /// A thread that made calls is gone; its number may be another's soon.
    fn on_gone(&mut self, tid: i32) {
        let _ = tid;
    }

    /// What the report calls it.
    fn name(&self) -> &str {
        let name = std::any::type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name)
    }
}
