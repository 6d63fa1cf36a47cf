//! From a plan to a running box: a flat list of operations, prepared before the clone.
//!
//! [`Program::resolve`] finds and pins what will be executed, [`Host`] answers lowering's questions about the file
//! system, [`launch`] translates a [`tipstaff_policy::lower::Plan`] into operations and starts the keeper. Each failure is
//! a step and an errno, in words ([`Failure`]).
#![forbid(unsafe_code)]

mod failure;
mod guest;
mod host;
mod placeholders;
mod program;
mod request;
mod ruleset;
mod setup;
mod standing;
mod start;
mod witness;

pub use failure::Failure;
pub use host::RealHost;
pub use program::Program;
pub use request::{Request, Wiring};
pub use standing::{Idle, Standing, can_stand, stand};
pub use start::{Armed, Launched, Tracer, launch};
