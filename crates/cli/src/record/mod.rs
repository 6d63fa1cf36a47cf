//! `tipstaff record`, `tipstaff recording`: from what a program does to the smallest profile that runs it.

pub mod args;
pub mod outputs;
pub mod recordings;
pub mod session;
mod summary;

use crate::say;
use args::{Record, RecordingAction};

/// Records; the exit status.
pub fn call(args: &Record) -> u8 {
    session::run(args).unwrap_or_else(said)
}

/// Looks at recordings; the exit status.
pub fn recording(action: &RecordingAction) -> u8 {
    recordings::run(action).unwrap_or_else(said)
}

fn said(message: String) -> u8 {
    say::error(message);
    say::FAILED
}
