//! The OCI hook: a container is recorded from before its first instruction to its end, and leaves a seccomp profile.
//!
//! ```text
//!  runtime ── state ─▶ hook, prestart ── card ─▶ collector, one for all containers (its own session, its own life)
//!                        waits ◀── ready, or why not ──┤ records: the threads of init, who joins its control groups or PID namespace
//!  runtime ── state ─▶ hook, poststop ── id ────▶      │ flushes now and then
//!                        waits ◀── what was written ───┘ writes the profile; ends with its last container
//! ```
//!
//! - `state`, `stage`, `annotation`, `name`, `bundle`: what the runtime says, as values.
//! - `place`: where the two ends find each other: a private directory with a locked card for each container.
//! - `start`, `collector`, `finish`: the three processes.
//! - `install`: the engine's configuration.
#![forbid(unsafe_code)]

mod annotation;
mod bundle;
mod channel;
mod error;
mod finish;
mod install;
mod log;
mod name;
mod options;
mod place;
mod stage;
mod start;
mod state;
mod wire;

pub use error::Error;
pub use install::{Installed, install};
pub use options::{OnError, Options};

/// What the system says of an error, without its number.
pub(crate) fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    match e.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or_default().to_lowercase(),
        None => text,
    }
}
