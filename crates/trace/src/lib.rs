//! ptrace(2) with types: a request that the tracee's state forbids does not compile.
//!
//! Two layers. [`state`] has the tracee as a value that moves: [`Running`], one [`Stopped`] type per kind of stop, [`Zombie`]. The
//! [`Tracer`] has the loop over many of them: it starts programs ([`Launch`]) or attaches to them, follows every descendant, and hands
//! each stop to an [`Observer`], who says how it ends ([`Resume`]).
//!
//! ```
//! use tipstaff_trace::{Config, End, Launch, Observer, Resume, Stop, Task, Tracer};
//!
//! #[derive(Default)]
//! struct Counter {
//!     calls: u64,
//!     end: Option<End>,
//! }
//!
//! impl Observer for Counter {
//!     fn on_stop(&mut self, _task: &Task, stop: &mut Stop) -> Resume {
//!         self.calls += u64::from(matches!(stop, Stop::Entered(_)));
//!         Resume::AsBefore
//!     }
//!     fn on_end(&mut self, _task: &Task, end: End) {
//!         self.end = Some(end);
//!     }
//! }
//!
//! let mut tracer = Tracer::new(Config::default());
//! let mut counter = Counter::default();
//! tracer.launch(&Launch::new("true"), &mut counter)?;
//! tracer.run(&mut counter)?;
//! assert_eq!(counter.end, Some(End::Exited(0)));
//! assert!(counter.calls > 1); // execve, exit_group
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a stop is resumed with
//! * [`Resume::ToSyscall`] everywhere shows every call: [`Stop::Entered`], then [`Stop::Left`].
//! * With a filter that says RET_TRACE for the wanted calls and [`Resume::Free`] everywhere else, only these stop: [`Stop::Seccomp`]
//!   stands for the entry. To see the return too, resume it with `ToSyscall`, and the [`Stop::Left`] with `Free`.
//! * [`Resume::AsBefore`] is the answer for all other stops: it keeps a return that is still to be shown.
//!
//! # From outside
//! [`Tracer::stopper`] gives a handle that ends the wait from another thread or a signal handler, never too early and never too late;
//! [`Tracer::run`] then returns [`Turn::Asked`], and its caller says what that means: [`Tracer::kill`] and `run` to the end,
//! [`Tracer::detach`], or `run` again with a new stopper.
//!
//! # What a guest can do against it
//! A program that must not escape is launched with [`Launch::filter`], which holds a listener, and [`Untraced::Forbid`]. Nothing that
//! is read from its [`Memory`] may decide anything: it can change before the kernel reads it again.
#![forbid(unsafe_code)]

mod address;
mod attach;
mod call;
mod config;
mod early;
mod error;
mod family;
mod launch;
mod memory;
mod next;
mod observer;
mod place;
mod proc;
mod requeue;
pub mod seam;
pub mod state;
mod stop;
mod task;
mod tracer;
mod untraced;

pub use address::Address;
pub use attach::{AttachError, DetachError};
pub use call::{Call, Returned};
pub use config::{Config, Stopper, Turn, Untraced};
pub use error::Error;
pub use launch::{Launch, LaunchError, Launched, search};
pub use memory::{Memory, Text, TextEnd};
pub use next::reap;
pub use observer::{End, Observer, Resume};
pub use state::{Halted, Running, Stopped, Wait, Zombie};
pub use stop::{
    Entered, Executed, Exiting, ForkKind, Forked, Group, Interrupted, Left, Reason, Seccomp, SignalDelivery, Stop,
    VforkDone,
};
pub use task::{Origin, Task, Tasks};
pub use tipstaff_sys::Errno;
pub use tipstaff_sys::ptrace::{Go, Registers, SigInfo};
pub use tipstaff_sys::signal::SigSet;
pub use tipstaff_sys::wait::{Status, Usage};
pub use tracer::Tracer;
