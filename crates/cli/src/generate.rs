//! Man pages and completions, from the same definition as the parser.

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::say;

/// Writes them; the exit status.
pub fn call(directory: &Path) -> u8 {
    match write(directory) {
        Ok(()) => 0,
        Err(e) => {
            say::error(format_args!("{directory:?}: {}", say::words(&e)));
            say::FAILED
        }
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "tipstaff", directory)?;
    }
    Ok(())
}
