//! The tipstaff command: parses, calls the library, prints.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod args;
mod boxes;
mod doctor;
mod explain;
mod generate;
mod hook;
mod profile;
mod record;
mod run;
mod say;
mod trace;
mod usage;
mod verify;

fn main() -> ExitCode {
    say::one_line_panics();
    let called = std::panic::catch_unwind(|| match args::parse() {
        Ok(command) => command.call(),
        Err(status) => status,
    });
    // Unwinding has dropped, and by that killed, whatever was running.
    ExitCode::from(called.unwrap_or(say::FAILED))
}
