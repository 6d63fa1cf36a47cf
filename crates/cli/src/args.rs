//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{TypedValueParser, ValueParser};
use clap::{Args, Parser, Subcommand};
use tipstaff::control::Request;
use tipstaff::policy::profile::{Engine, GuestListener, GuestPtrace, MemoryAccount, PathRule, Profile, PtraceScope};
use tipstaff::policy::value::{NetRule, NetSpec, PortRange, Setting, parse_ports};

use crate::{boxes, doctor, explain, generate, hook, profile, record, run, say, trace, usage, verify};

/// Takes programs into custody: runs them confined, limited and judged.
#[derive(Debug, Parser)]
#[command(name = "tipstaff", version, args_override_self = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// `run` alone: a parser that knows every subcommand's options takes longer to build than all else that `run` does before it launches.
#[derive(Debug, Parser)]
#[command(name = "tipstaff", version, args_override_self = true, max_term_width = 100, disable_help_subcommand = true)]
struct RunCli {
    #[command(subcommand)]
    command: RunOnly,
}

#[derive(Debug, Subcommand)]
enum RunOnly {
    Run(Box<Run>),
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Box<Run>),
    /// Show what a program does, system call by system call, with everything that it starts.
    Trace(Box<trace::args::Trace>),
    /// Record what a program does, and write the smallest profile that runs it.
    Record(Box<record::args::Record>),
    /// Look at recordings, put them together, make profiles of them.
    Recording {
        #[command(subcommand)]
        action: record::args::RecordingAction,
    },
    /// List running boxes that have a name (`run --name`).
    Ps {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Tell all about running boxes, a JSON object each: rules, limits, usage, processes.
    Inspect(Names),
    /// End running boxes, with everything in them.
    Kill {
        /// Send this signal to the program's process group instead (TERM, SIGUSR1, 15).
        #[arg(short, long, value_name = "S", value_parser = ValueParser::new(boxes::signal))]
        signal: Option<i32>,
        #[command(flatten)]
        names: Names,
    },
    /// Stop every task of running boxes; wall-clock limits go on, idle limits wait.
    Pause(Names),
    /// Let paused boxes go on.
    Resume(Names),
    /// Let no new processes and threads begin in running boxes; those that are there run on.
    Hold(Names),
    /// Let processes and threads begin again.
    Release(Names),
    /// Hold a profile against what a program does: what it would refuse, and what it does refuse. Exit status: 0 nothing, 1 something.
    Verify(Box<verify::args::Verify>),
    /// Add to a profile what it lacks for what a program does.
    Heal(Box<verify::args::Heal>),
    /// Show what would be enforced, rule by rule, and how; nothing is run.
    Explain(Box<Explain>),
    /// Say what this kernel and this user can enforce, with the cure for what is missing.
    Doctor,
    /// List, show, check, compare, merge, convert and explain profiles.
    Profile {
        #[command(subcommand)]
        action: profile::args::ProfileAction,
    },
    Hook(Box<hook::Hook>),
    /// Write man pages and shell completions into a directory.
    Generate {
        /// The directory; made if it is not there.
        directory: PathBuf,
    },
}

/// Names of running boxes.
#[derive(Debug, Args)]
pub struct Names {
    /// Names of running boxes.
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    #[command(flatten)]
    pub whose: Whose,
}

/// Whose boxes are meant.
#[derive(Debug, Args)]
pub struct Whose {
    /// Boxes of this user; for root.
    #[arg(long, value_name = "UID")]
    pub user: Option<u32>,
}

const STATUSES: &str = "\
Exit status:
  N      the program's own, where it ended by itself
  121    it broke a rule whose action is kill
  122    memory limit
  123    output, file size or process limit
  124    time limit: CPU, wall or idle
  125    wrong use, or the box could not be made or supervised
  126    the program cannot be executed
  127    the program was not found
  128+N  it died of signal N
A program may end with 121 to 127 by itself; --report tells which it was.";

/// Run a program in a box and report what happened.
#[derive(Debug, Args)]
#[command(args_override_self = true, override_usage = "tipstaff run [OPTIONS] [--] CMD [ARG]...", after_help = STATUSES)]
pub struct Run {
    #[command(flatten)]
    pub options: Options,
    /// A name for `tipstaff ps`, `inspect`, `kill`, `pause`, `resume`, `hold`, `release`.
    #[arg(long, value_name = "NAME", help_heading = "Program")]
    pub name: Option<String>,
    /// Write the report (JSON) to FILE, to descriptor N (`fd:N`), or to standard output after the program's (`-`).
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub report: Option<OsString>,
    /// Print no summary on standard error.
    #[arg(long, help_heading = "Report")]
    pub quiet: bool,
    /// The program and its arguments.
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub argv: Vec<OsString>,
}

/// `tipstaff explain …`
#[derive(Debug, Args)]
#[command(args_override_self = true, override_usage = "tipstaff explain [OPTIONS] [--] [CMD] [ARG]...")]
pub struct Explain {
    #[command(flatten)]
    pub options: Options,
    /// Print the compiled seccomp filter.
    #[arg(long)]
    pub bpf: bool,
    /// Print the plan as JSON.
    #[arg(long)]
    pub json: bool,
    /// The program; /bin/true unless given.
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub argv: Vec<OsString>,
}

fn with<T, E>(parse: impl Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static) -> ValueParser
where
    T: Clone + Send + Sync + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    ValueParser::new(clap::builder::StringValueParser::new().try_map(move |text| parse(&text)))
}

/// Options of `run` and `explain`: each is a key of a profile, and overrides it.
#[derive(Debug, Args)]
pub struct Options {
    /// A preset (`tipstaff profile list` shows them), a name in your profile directory, or a file (with a `/`, or ending in `.toml`) [default: default].
    #[arg(long, value_name = "X")]
    pub profile: Option<OsString>,

    /// May be read; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    read: Vec<PathBuf>,
    /// May be read and written; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    write: Vec<PathBuf>,
    /// May be read and executed; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    exec: Vec<PathBuf>,
    /// Cannot be seen; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    deny: Vec<PathBuf>,
    /// As --read; a path that does not exist is no error; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    read_if_exists: Vec<PathBuf>,
    /// As --write; a path that does not exist is no error; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    write_if_exists: Vec<PathBuf>,
    /// As --exec; a path that does not exist is no error; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    exec_if_exists: Vec<PathBuf>,
    /// As --deny; a path that does not exist is no error; repeatable.
    #[arg(long, value_name = "PATH", help_heading = "File system")]
    deny_if_exists: Vec<PathBuf>,

    /// CPU time of all tasks together (1s, 1500ms).
    #[arg(long, value_name = "TIME", value_parser = with(Setting::parse_duration), help_heading = "Limits")]
    cpu: Option<Setting<Duration>>,
    /// Share of the CPUs that all tasks together get, in percent of one CPU: 1 to 100 times the number of CPUs.
    #[arg(long, value_name = "P", value_parser = with(Setting::parse_count), help_heading = "Limits")]
    cpu_percent: Option<Setting<u64>>,
    /// Time since the start.
    #[arg(long, value_name = "TIME", value_parser = with(Setting::parse_duration), help_heading = "Limits")]
    wall: Option<Setting<Duration>>,
    /// Time during which no task used CPU.
    #[arg(long, value_name = "TIME", value_parser = with(Setting::parse_duration), help_heading = "Limits")]
    idle: Option<Setting<Duration>>,
    /// Memory of all tasks together (64MiB, 64MB, 65536).
    #[arg(long, value_name = "SIZE", value_parser = with(Setting::parse_size), help_heading = "Limits")]
    memory: Option<Setting<u64>>,
    /// sampled: what is over the limit is killed; exact: requests that do not fit fail with ENOMEM.
    #[arg(long, value_name = "HOW", value_parser = with(str::parse::<MemoryAccount>), help_heading = "Limits")]
    memory_account: Option<MemoryAccount>,
    /// Tasks at a time: processes and threads.
    #[arg(long, value_name = "N", value_parser = with(Setting::parse_count), help_heading = "Limits")]
    processes: Option<Setting<u64>>,
    /// Bytes on standard output and standard error together.
    #[arg(long, value_name = "SIZE", value_parser = with(Setting::parse_size), help_heading = "Limits")]
    output: Option<Setting<u64>>,
    /// Size of any one file.
    #[arg(long, value_name = "SIZE", value_parser = with(Setting::parse_size), help_heading = "Limits")]
    file_size: Option<Setting<u64>>,
    /// Descriptors of any one process.
    #[arg(long, value_name = "N", value_parser = with(Setting::parse_count), help_heading = "Limits")]
    open_files: Option<Setting<u64>>,
    /// Stack of any one process.
    #[arg(long, value_name = "SIZE", value_parser = with(Setting::parse_size), help_heading = "Limits")]
    stack: Option<Setting<u64>>,
    /// The private /tmp and its like.
    #[arg(long, value_name = "SIZE", value_parser = with(Setting::parse_size), help_heading = "Limits")]
    disk: Option<Setting<u64>>,

    /// Set a variable; the environment is clean but for PATH, HOME, TERM and LANG; repeatable.
    #[arg(long, value_name = "K=V", help_heading = "Program")]
    env: Vec<OsString>,
    /// Hand a variable through; repeatable.
    #[arg(long, value_name = "K", help_heading = "Program")]
    pass_env: Vec<OsString>,
    /// Working directory.
    #[arg(long, value_name = "PATH", help_heading = "Program")]
    cwd: Option<PathBuf>,
    /// User id inside the box.
    #[arg(long, value_name = "N", help_heading = "Program")]
    uid: Option<u32>,
    /// Group id inside the box.
    #[arg(long, value_name = "N", help_heading = "Program")]
    gid: Option<u32>,
    /// Standard input from a file.
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    stdin: Option<PathBuf>,
    /// Standard output to a file.
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    stdout: Option<PathBuf>,
    /// Standard error to a file.
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    stderr: Option<PathBuf>,
    /// A terminal of its own; so by itself where all three streams are a terminal.
    #[arg(long, help_heading = "Program")]
    tty: bool,

    /// none, host, or a peer: [tcp://|udp://]HOST|CIDR|*[:PORTS], as in tcp://example.org:80,443; repeatable.
    #[arg(long, value_name = "SPEC", value_parser = with(str::parse::<NetSpec>), help_heading = "Network")]
    net: Vec<NetSpec>,
    /// Never this peer, written as for --net; repeatable.
    #[arg(long, value_name = "SPEC", value_parser = with(net_rule), help_heading = "Network")]
    net_deny: Vec<NetRule>,
    /// Ports that may be listened on, TCP and UDP: 8080, 8000-8010 or 80,443; 0: one that the kernel chooses; repeatable.
    #[arg(long, value_name = "PORTS", value_parser = with(parse_ports), help_heading = "Network")]
    bind: Vec<Vec<PortRange>>,

    /// auto, native, notify or ptrace.
    #[arg(long, value_name = "ENGINE", value_parser = with(str::parse::<Engine>), help_heading = "Enforcement")]
    engine: Option<Engine>,
    /// native, emulate or deny.
    #[arg(long, value_name = "HOW", value_parser = with(str::parse::<GuestPtrace>), help_heading = "Enforcement")]
    guest_ptrace: Option<GuestPtrace>,
    /// classic, restricted, admin or none, as Yama's 0 to 3: who may attach to whom inside.
    #[arg(long, value_name = "SCOPE", value_parser = with(str::parse::<PtraceScope>), help_heading = "Enforcement")]
    ptrace_scope: Option<PtraceScope>,
    /// native or deny: whether programs inside can have a seccomp listener, another Tipstaff for one.
    #[arg(long, value_name = "HOW", value_parser = with(str::parse::<GuestListener>), help_heading = "Enforcement")]
    guest_listener: Option<GuestListener>,
    /// Weaken what cannot be enforced fully, and report it, instead of refusing.
    #[arg(long, help_heading = "Enforcement")]
    best_effort: bool,
}

fn net_rule(text: &str) -> Result<NetRule, tipstaff::policy::value::ValueError> {
    text.parse()
}

impl Options {
    /// As a profile, to be merged over the named one. Paths are relative to where we stand, not to `--cwd`.
    pub fn to_profile(&self) -> Result<Profile, String> {
        let here = std::env::current_dir().map_err(|e| format!("the working directory: {}", say::words(&e)))?;
        let mut p = Profile::default();
        let fs = &mut p.filesystem;
        for (to, must, may) in [
            (&mut fs.read, &self.read, &self.read_if_exists),
            (&mut fs.write, &self.write, &self.write_if_exists),
            (&mut fs.exec, &self.exec, &self.exec_if_exists),
            (&mut fs.deny, &self.deny, &self.deny_if_exists),
        ] {
            to.extend(must.iter().map(|path| PathRule::new(here.join(path))));
            to.extend(may.iter().map(|path| PathRule::if_exists(here.join(path))));
        }
        let l = &mut p.limits;
        (l.cpu, l.wall, l.idle, l.memory, l.processes) = (self.cpu, self.wall, self.idle, self.memory, self.processes);
        (l.output, l.file_size, l.open_files) = (self.output, self.file_size, self.open_files);
        (l.stack, l.disk, l.cpu_percent) = (self.stack, self.disk, self.cpu_percent);
        l.memory_account = self.memory_account;
        let program = &mut p.program;
        for pair in &self.env {
            let (key, value) = split(pair)?;
            program.env.insert(key, value);
        }
        program.pass_env.clone_from(&self.pass_env);
        program.cwd = self.cwd.as_ref().map(|dir| here.join(dir));
        (program.uid, program.gid) = (self.uid, self.gid);
        program.stdin = self.stdin.as_ref().map(|file| here.join(file));
        program.stdout = self.stdout.as_ref().map(|file| here.join(file));
        program.stderr = self.stderr.as_ref().map(|file| here.join(file));
        program.tty = self.tty.then_some(true);
        if !tipstaff::policy::profile::Network::allow_is_consistent(&self.net) {
            return Err("--net: `none` and `host` stand alone; leave the others out".to_owned());
        }
        p.network.allow = (!self.net.is_empty()).then(|| self.net.clone());
        p.network.deny.clone_from(&self.net_deny);
        p.network.bind = self.bind.concat();
        p.isolation.engine = self.engine;
        p.isolation.guest_ptrace = self.guest_ptrace;
        p.isolation.ptrace_scope = self.ptrace_scope;
        p.isolation.guest_listener = self.guest_listener;
        p.isolation.best_effort = self.best_effort.then_some(true);
        Ok(p)
    }
}

fn split(pair: &OsString) -> Result<(OsString, OsString), String> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = pair.as_bytes();
    match bytes.iter().position(|b| *b == b'=') {
        Some(at) if at > 0 => {
            Ok((OsString::from_vec(bytes[..at].to_vec()), OsString::from_vec(bytes[at + 1..].to_vec())))
        }
        _ => Err(format!("--env {pair:?}: write NAME=VALUE, or use --pass-env NAME")),
    }
}

/// Parses the command line; Err is the exit status of what has been said already.
pub fn parse() -> Result<Command, u8> {
    let parsed = if std::env::args_os().nth(1).is_some_and(|word| word == "run") {
        parse_as().map(|RunCli { command: RunOnly::Run(run) }| Command::Run(run))
    } else {
        parse_as().map(|cli: Cli| cli.command)
    };
    parsed.map_err(|e| usage::refuse(&e))
}

/// [`Parser::try_parse`], without taking the parser apart again afterwards: that takes a third of the time it took to build.
fn parse_as<P: Parser>() -> Result<P, clap::Error> {
    let parser = Box::leak(Box::new(P::command()));
    let mut matches = parser.try_get_matches_from_mut(std::env::args_os())?;
    P::from_arg_matches_mut(&mut matches).map_err(|e| e.format(parser))
}

impl Command {
    /// Does it; the exit status.
    pub fn call(self) -> u8 {
        match self {
            Self::Run(run) => run::call(&run),
            Self::Trace(trace) => trace::call(&trace),
            Self::Record(record) => record::call(&record),
            Self::Recording { action } => record::recording(&action),
            Self::Ps { json, whose } => boxes::ps(json, &whose),
            Self::Inspect(names) => boxes::inspect(&names),
            Self::Kill { signal, names } => boxes::kill(&names, signal),
            Self::Pause(names) => boxes::order(&names, Request::Pause),
            Self::Resume(names) => boxes::order(&names, Request::Resume),
            Self::Hold(names) => boxes::order(&names, Request::Hold),
            Self::Release(names) => boxes::order(&names, Request::Release),
            Self::Verify(verify) => verify::call(&verify),
            Self::Heal(heal) => verify::heal(&heal),
            Self::Explain(explain) => explain::call(&explain),
            Self::Doctor => doctor::call(),
            Self::Profile { action } => profile::call(&action),
            Self::Hook(hook) => hook::call(&hook),
            Self::Generate { directory } => generate::call(&directory),
        }
    }
}
