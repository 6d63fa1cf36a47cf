//! `tipstaff trace`: what programs do, call by call.

mod alarm;
pub mod args;
mod calls;
mod explain;
mod filter;
mod follow;
mod inject;
mod outputs;
mod plan;
mod session;
mod world;

use crate::say;
use args::Trace;

/// Traces; the exit status.
pub fn call(args: &Trace) -> u8 {
    session::run(args).unwrap_or_else(|message| {
        say::error(message);
        say::FAILED
    })
}
