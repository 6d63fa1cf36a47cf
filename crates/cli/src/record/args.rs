//! The arguments of `tipstaff record` and `tipstaff recording`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{TypedValueParser, ValueParser};
use clap::{Args, Subcommand, ValueEnum};
use tipstaff::policy::value::Setting;
use tipstaff_oci_seccomp::runtimes::Runtime;
use tipstaff_record::{Backend, Limits};

/// `tipstaff record …`
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "tipstaff record [OPTIONS] [--] CMD [ARG]...\n       tipstaff record [OPTIONS] -p PID[,PID]...\n       tipstaff record [OPTIONS] --cgroup PATH\n       tipstaff record [OPTIONS] --container ID"
)]
pub struct Record {
    /// Write a profile to FILE (`-`: standard output, at the end): its ending says in which form; repeatable.
    #[arg(short = 'o', long, value_name = "FILE", help_heading = "Where it goes")]
    pub output: Vec<PathBuf>,
    /// The form of every -o, whatever its ending.
    #[arg(long, value_name = "FORM", help_heading = "Where it goes")]
    pub format: Option<Format>,
    /// Write what was seen to FILE, for `tipstaff recording`, `verify` and `profile explain`.
    #[arg(long, value_name = "FILE", help_heading = "Where it goes")]
    pub recording: Option<PathBuf>,
    /// Keep what was seen in a file of its own in DIR, and make the profiles of all runs that are there.
    #[arg(long, value_name = "DIR", help_heading = "Where it goes")]
    pub store: Option<PathBuf>,
    /// Write all of this each TIME (10s) while the target runs, too.
    #[arg(long, value_name = "TIME", value_parser = duration(), help_heading = "Where it goes")]
    pub flush: Option<Duration>,
    /// No summary on standard error.
    #[arg(short, long, help_heading = "Where it goes")]
    pub quiet: bool,

    #[command(flatten)]
    pub profile: ProfileOptions,

    /// Files, sockets and capabilities too; so by itself where a Tipstaff profile is made.
    #[arg(long, help_heading = "What is recorded")]
    pub files: bool,
    /// How calls returned, too.
    #[arg(long, help_heading = "What is recorded")]
    pub results: bool,
    /// By what calls are seen: ebpf, ptrace or notify; the first that can be had unless one is named.
    #[arg(long, value_name = "BACKEND", help_heading = "What is recorded")]
    pub backend: Option<BackendName>,

    /// Record running processes and all their descendants; ^C lets go of them.
    #[arg(short = 'p', long = "attach", value_name = "PID[,PID]...", help_heading = "Target")]
    pub attach: Vec<String>,
    /// Record every process of a control group (its directory), and those below it.
    #[arg(long, value_name = "PATH", conflicts_with = "attach", help_heading = "Target")]
    pub cgroup: Option<PathBuf>,
    /// Record a running container of runc, crun or Podman, by its id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["attach", "cgroup"], help_heading = "Target")]
    pub container: Option<String>,
    /// The program and its arguments.
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub argv: Vec<OsString>,
}

/// What of a recording goes into a profile.
#[derive(Debug, Args)]
pub struct ProfileOptions {
    /// Never allow what this profile does not: docker-default, containers-default, or a file. What the program needs beyond is said.
    #[arg(long, value_name = "FLOOR", help_heading = "Profile")]
    pub floor: Option<OsString>,
    /// Which arguments are limited to what was seen.
    #[arg(long = "args", value_name = "WHICH", default_value = "safe", help_heading = "Profile")]
    pub limits: LimitsName,
    /// Which parts of a container's life count: setup, runtime, workload.
    #[arg(long, value_name = "PHASE", value_delimiter = ',', default_values = ["runtime", "workload"], help_heading = "Profile")]
    pub phases: Vec<PhaseName>,
    /// Let these container runtimes start the program under the profile: runc, crun; what they call for that is allowed, too.
    #[arg(long = "runtime", value_name = "NAME", value_delimiter = ',', value_parser = ValueParser::new(str::parse::<Runtime>), help_heading = "Profile")]
    pub runtimes: Vec<Runtime>,
}

/// `tipstaff recording …`
#[derive(Debug, Subcommand)]
pub enum RecordingAction {
    /// Put recordings together, and say which call was seen in how many runs.
    Merge {
        /// Files of recordings, or directories of such.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Write the recording, or a profile made of it, to FILE; its ending says in which form; repeatable.
        #[arg(short = 'o', long, value_name = "FILE")]
        output: Vec<PathBuf>,
        /// The form of every -o, whatever its ending.
        #[arg(long, value_name = "FORM")]
        format: Option<Format>,
        /// Print no table.
        #[arg(short, long)]
        quiet: bool,
        #[command(flatten)]
        profile: ProfileOptions,
    },
    /// Say what is in recordings: runs, how complete they are, calls.
    Show {
        /// Files of recordings, or directories of such.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The runtime specification's JSON (.json).
    Oci,
    /// JSON with Docker's extensions.
    Docker,
    /// JSON with those of Podman and CRI-O.
    Containers,
    /// A line of a Containerfile with such JSON: what Podman takes with --seccomp-policy=image.
    Label,
    /// A Tipstaff profile (.toml).
    Toml,
    /// The compiled filter, as the kernel takes it (.bpf).
    Bpf,
    /// The same in base64: what crun takes in the annotation run.oci.seccomp_bpf_data.
    BpfBase64,
    /// SystemCallFilter= lines of a systemd unit (.conf, .service).
    Systemd,
    /// What was seen (.rec, .recording.json).
    Recording,
}

/// `--backend`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    /// The kernel's tracepoints; the target does not wait.
    Ebpf,
    /// One stop per call.
    Ptrace,
    /// Every call asks.
    Notify,
}

impl From<BackendName> for Backend {
    fn from(name: BackendName) -> Self {
        match name {
            BackendName::Ebpf => Self::Ebpf,
            BackendName::Ptrace => Self::Ptrace,
            BackendName::Notify => Self::Notify,
        }
    }
}

/// `--args`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LimitsName {
    /// None.
    None,
    /// Those of which only a dangerous use is refused.
    Safe,
    /// All, to exactly what was seen.
    All,
}

impl From<LimitsName> for Limits {
    fn from(name: LimitsName) -> Self {
        match name {
            LimitsName::None => Self::None,
            LimitsName::Safe => Self::Safe,
            LimitsName::All => Self::All,
        }
    }
}

/// `--phases`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PhaseName {
    /// Before the filter.
    Setup,
    /// From the filter to the program.
    Runtime,
    /// The program.
    Workload,
}

impl From<PhaseName> for tipstaff_recording::Phase {
    fn from(name: PhaseName) -> Self {
        match name {
            PhaseName::Setup => Self::Setup,
            PhaseName::Runtime => Self::Runtime,
            PhaseName::Workload => Self::Workload,
        }
    }
}

fn duration() -> ValueParser {
    let parse = |text: String| match Setting::parse_duration(&text) {
        Ok(Setting::At(time)) => Ok(time),
        Ok(_) => Err("write a time above 0, like 10s".to_owned()),
        Err(e) => Err(e.to_string()),
    };
    ValueParser::new(clap::builder::StringValueParser::new().try_map(parse))
}
