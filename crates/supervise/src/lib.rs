//! The event loop over one box: deadlines, usage, output, refused calls; in the end, an outcome.
//!
//! [`Session`] is the loop. It is pollable ([`std::os::fd::AsFd`]) and [`Session::dispatch`] does what is due without
//! waiting, so an event loop of the host's can drive it; [`Session::wait`] drives it by itself. There is no thread and
//! no tick: a timer is set for the earliest moment at which something could be over its limit. Without limits it only
//! looks at memory now and then, ever more rarely, so that the report has a figure.
//!
//! Whoever kills records why first ([`tipstaff_report::Cause`]): the verdict follows from that record.
#![forbid(unsafe_code)]

mod account;
mod cpu;
mod denials;
mod engine;
mod forks;
mod freeze;
pub mod handler;
mod hold;
mod inflight;
mod memory;
mod network;
mod policy_fn;
mod procfs;
mod relay;
mod session;
mod stat;
mod tasks;
mod terminal;
mod throttle;
mod usage;
mod yama;

pub use account::{Account, Shortage};
pub use engine::{Anteroom, Engine, Notify, Ptrace};
pub use forks::{Forks, Refused};
pub use freeze::Frozen;
pub use handler::{Action, Handler, Handlers, Rewriter};
pub use network::{Network, Tighten};
pub use policy_fn::{AuditTrail, Category, Decision, Dropped, Event, Interest, PolicyFn, Restrict, Subject};
pub use relay::{Captured, Relay, Sink};
pub use session::{Attendant, Look, LookProcess, Options, Session};
pub use terminal::{RawMode, size_of};
pub use yama::Yama;
