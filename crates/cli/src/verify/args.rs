//! The arguments of `tipstaff verify` and `tipstaff heal`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::profile::args::Machine;
use crate::record::args::{BackendName, Format, LimitsName, PhaseName};

/// `tipstaff verify …`
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "tipstaff verify [OPTIONS] PROFILE -- CMD [ARG]...\n       tipstaff verify [OPTIONS] PROFILE --container ID\n       tipstaff verify [OPTIONS] PROFILE --recording FILE..."
)]
pub struct Verify {
    /// A name or a file: a Tipstaff profile, or OCI seccomp JSON of any engine.
    pub profile: OsString,
    #[command(flatten)]
    pub what: What,
    /// complain: nothing is refused, and what would have been is told; enforce: the program runs under the profile; both: one after the other.
    #[arg(long, value_name = "MODE", default_value = "both")]
    pub mode: Mode,
    #[command(flatten)]
    pub machine: Machine,
}

/// `tipstaff heal …`
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "tipstaff heal [OPTIONS] PROFILE -o OUT -- CMD [ARG]...\n       tipstaff heal [OPTIONS] PROFILE -o OUT --recording FILE..."
)]
pub struct Heal {
    /// A name or a file.
    pub profile: OsString,
    /// Write the profile with what it lacked to FILE, in its own form; `-`: standard output.
    #[arg(short = 'o', long, value_name = "FILE", required = true)]
    pub output: PathBuf,
    /// Another form.
    #[arg(long, value_name = "FORM")]
    pub format: Option<Format>,
    /// Which arguments of what is added are limited to what was seen.
    #[arg(long = "args", value_name = "WHICH", default_value = "safe")]
    pub limits: LimitsName,
    #[command(flatten)]
    pub what: What,
    #[command(flatten)]
    pub machine: Machine,
}

/// What a profile is held against.
#[derive(Debug, Args)]
pub struct What {
    /// Recordings that are there, or directories of such; repeatable.
    #[arg(long, value_name = "FILE", help_heading = "Against")]
    pub recording: Vec<PathBuf>,
    /// A running container, by its id, until it ends or ^C.
    #[arg(long, value_name = "ID", conflicts_with = "recording", help_heading = "Against")]
    pub container: Option<String>,
    /// Which parts of a container's life count.
    #[arg(long, value_name = "PHASE", value_delimiter = ',', default_values = ["runtime", "workload"], help_heading = "Against")]
    pub phases: Vec<PhaseName>,
    /// By what calls are seen: ebpf, ptrace or notify; the first that can be had unless one is named.
    #[arg(long, value_name = "BACKEND", help_heading = "Against")]
    pub backend: Option<BackendName>,
    /// The program and its arguments.
    #[arg(value_name = "CMD", last = true)]
    pub argv: Vec<OsString>,
}

/// `--mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Recorded unrestricted, then judged.
    Complain,
    /// Run under the profile.
    Enforce,
    /// Both.
    Both,
}
