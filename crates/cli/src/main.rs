//! The tipstaff command: parses, calls the library, prints.
#![deny(unsafe_code)]
#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]

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

/// What the C library's start code calls: Rust's own `main` would look for bounds of its stack first, see [`tipstaff_sys::start`]. The GNU C library hands the
/// arguments to [`std::env::args_os`] by itself.
#[cfg(all(target_env = "gnu", not(test)))]
#[allow(unsafe_code)] // The name, which nothing else has here.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    tipstaff_sys::start::prepare();
    std::process::exit(i32::from(status()))
}

#[cfg(not(all(target_env = "gnu", not(test))))]
fn main() -> std::process::ExitCode {
    status().into()
}

/// Does what the command line says; the exit status.
fn status() -> u8 {
    say::one_line_panics();
    let called = std::panic::catch_unwind(|| match args::parse() {
        Ok(command) => command.call(),
        Err(status) => status,
    });
    // Unwinding has dropped, and by that killed, whatever was running.
    called.unwrap_or(say::FAILED)
}
