//! The tipstaff command: parses, calls the library, prints.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod args;
mod doctor;
mod explain;
mod generate;
mod profiles;
mod run;
mod say;

fn main() -> ExitCode {
    ExitCode::from(match args::parse() {
        Ok(command) => command.call(),
        Err(status) => status,
    })
}
