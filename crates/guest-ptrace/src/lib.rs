//! The kernel's part of ptrace(2), played for guests.
//!
//! A task has one tracer, and under the ptrace engine that is ours. So a guest's own ptrace(2) is answered here: the guest's tracer is a
//! **virtual** one, its tracees stand in our stops, and a virtual stop is a real stop that is not ended. Linux 6.18 is the specification.
//!
//! Two halves. [`machine`] is pure: who traces whom, which stop is shown, what a request needs, what a wait finds. [`Mediator`] is the
//! adapter between it and the loop of the ptrace engine ([`tipstaff_trace::seam::Seam`]): memory, real requests, signals, waits.
//!
//! Beside it, in `service`: seccomp listeners of guests' own, served beside the box's.
//!
//! ```text
//!                 TRACEME, ATTACH, SEIZE,           a real stop that the mode
//!                 or born of a tracee               and the options show
//!  untraced ────────────────────────────▶ running ────────────────────────────▶ stopped ──┐ code: told once,
//!     ▲                                    │  ▲  ◀──────────────────────────────   │      │ by wait4, waitid
//!     │                                    │  │    CONT, SYSCALL, SINGLESTEP, …    │ ◀────┘
//!     │  DETACH, end of the tracer         │  │                             LISTEN │ (seized, EVENT_STOP)
//!     ├────────────────────────────────────┘  │   SIGCONT, stop, INTERRUPT         ▼
//!     │                                       │ stopped ◀──────────────────── listening
//!     └── from any ── SIGKILL, exit ──▶ zombie: told once to the tracer
//! ```
#![forbid(unsafe_code)]

mod access;
mod calls;
mod descriptor;
pub mod machine;
mod mediator;
mod moves;
mod names;
mod proc;
pub mod request;
mod service;
mod signals;
mod waits;

pub use mediator::Mediator;
pub use tipstaff_trace::seam::Seam;
