//! eBPF on the syscall tracepoints: what programs use, seen without holding them up.
//!
//! One [`Observer`] loads a set of programs once; any number of [`Recording`]s share them, so that a call of a bystander costs the same with one
//! recording or with twenty. What a recording has seen is [`Observed`], plain data, at any moment ([`Recording::snapshot`]) and at the end
//! ([`Recording::stop`]); the target never waits and never notices. With the last descriptor of the observer's process the kernel removes
//! everything.
//!
//! # How it sees
//! * **Membership** is in the task itself (task storage): inherited at `task_newtask`, given to every thread of what is attached to, and to
//!   whoever joins a recorded control group or PID namespace. An exec from a thread that is not the leader keeps it.
//! * **Counts** are one table of numbers per executable and phase, one copy per CPU: no event is sent, so none can be lost.
//! * **Everything else** (argument tuples, results, refusals, paths, addresses, capabilities) are sets in hash tables; what finds no room is
//!   counted in [`Completeness`].
//!
//! Needs CAP_BPF and CAP_PERFMON, type information of the kernel (BTF), and Linux 5.17, and works under lockdown=integrity. [`probe`] says
//! whether it can be had.
#![forbid(unsafe_code)]

mod asm;
mod btf;
mod cgroup;
mod error;
mod layout;
mod maps;
mod observed;
mod observer;
mod options;
mod probe;
mod programs;
mod read;
mod recording;
mod seed;
mod specs;

pub use error::{Error, Unavailable};
pub use observed::{
    Address, Arguments, Call, Capability, Completeness, ExeId, Executable, File, FileUse, Key, Observed, Phase,
    Refusal, Refused, Results, Socket, Tuple,
};
pub use observer::Observer;
pub use options::{Options, Returns, Setup, Target};
pub use probe::probe;
pub use recording::Recording;
