//! `tipstaff hook`: what a container engine runs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{TypedValueParser, ValueParser};
use clap::{Args, Subcommand};
use tipstaff::policy::value::parse_duration;
use tipstaff_hook::{Done, Installed, OnError, Options};

use crate::say;

/// No state is that long.
const MOST_STATE: u64 = 16 << 20;

/// Record a container: an OCI hook, run by the engine with the container's state on standard input.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Hook {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the engine's configuration, which has it run this hook for containers with the annotation.
    Install {
        /// The engine's directory for hooks.
        #[arg(long, value_name = "DIR", default_value = tipstaff_hook::HOOKS_DIR)]
        dir: PathBuf,
        /// Print it instead.
        #[arg(long)]
        print: bool,
        #[command(flatten)]
        how: How,
    },
    /// Collect for one hook after the other.
    #[command(hide = true)]
    Collect,
}

/// How it behaves.
#[derive(Debug, Args)]
struct How {
    /// A container that cannot be recorded does not start (fail), or runs unrecorded with a line in the log (run).
    #[arg(long, value_name = "WHAT", default_value = "fail", value_parser = ValueParser::new(str::parse::<OnError>))]
    on_error: OnError,
    /// Profiles may be written in this directory and below, and nowhere else; repeatable [default: /var/lib/tipstaff/profiles].
    #[arg(long, value_name = "DIR")]
    output_root: Vec<PathBuf>,
    /// A recording that has not begun by then has failed.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time())]
    time_limit: Duration,
    /// Save what has been seen so often, for the case that the collector is killed.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time())]
    flush: Duration,
    /// The private directory in which start and end of a container meet.
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// What happened, a line each [default: `log` in the private directory].
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn time() -> ValueParser {
    let positive = |text: String| match parse_duration(&text) {
        Ok(Duration::ZERO) => Err("it must be more than nothing".to_owned()),
        parsed => parsed.map_err(|e| e.to_string()),
    };
    ValueParser::new(clap::builder::StringValueParser::new().try_map(positive))
}

impl How {
    fn options(&self) -> Result<Options, String> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(|e| format!("{path:?}: {}", say::words(&e)));
        let mut options = Options {
            on_error: self.on_error,
            time_limit: self.time_limit,
            flush: self.flush,
            log: self.log.as_deref().map(absolute).transpose()?,
            ..Options::default()
        };
        if !self.output_root.is_empty() {
            options.roots = self.output_root.iter().map(|root| absolute(root)).collect::<Result<_, _>>()?;
        }
        if let Some(dir) = &self.runtime_dir {
            options.runtime_dir = absolute(dir)?;
        }
        Ok(options)
    }
}

/// Does it; the exit status.
pub fn call(hook: &Hook) -> u8 {
    let done = match &hook.action {
        Some(Action::Collect) => return tipstaff_hook::collect(),
        Some(Action::Install { dir, print, how }) => install(dir, *print, how),
        None => run(&hook.how),
    };
    done.map_or_else(
        |message| {
            say::error(message);
            say::FAILED
        },
        |()| 0,
    )
}

fn run(how: &How) -> Result<(), String> {
    let options = how.options()?;
    let mut state = Vec::new();
    let read = std::io::stdin().lock().take(MOST_STATE).read_to_end(&mut state);
    read.map_err(|e| format!("standard input: {}", say::words(&e)))?;
    match tipstaff_hook::run(&state, &options).map_err(|e| e.to_string())? {
        Done::Records(notes) => notes.iter().for_each(say::note),
        Done::Nothing(why) => say::note(why),
        Done::Unrecorded(why) => say::note(format_args!("runs unrecorded: {why}")),
        Done::Written(said) => said.iter().for_each(say::note),
    }
    Ok(())
}

fn install(dir: &Path, print: bool, how: &How) -> Result<(), String> {
    let options = how.options()?;
    let binary = std::env::current_exe().map_err(|e| format!("this program's path: {}", say::words(&e)))?;
    if print {
        print!("{}", tipstaff_hook::configuration(&binary, &options).map_err(|e| e.to_string())?);
        return Ok(());
    }
    let Installed { path, made } = tipstaff_hook::install(dir, &binary, &options).map_err(|e| e.to_string())?;
    println!("{}", path.display());
    if let Some(root) = made {
        say::note(format_args!("made {root:?} for profiles"));
    }
    Ok(())
}
