//! From arguments to what is to be done. Everything that can be wrong with the command line is found here, before anything starts.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use tipstaff_render::{SortBy, Stamp};

use super::args::{SortKey, StampFormat, Trace};
use super::calls::Calls;
use super::inject::{Injection, Injections, parse_signal};

/// What is traced.
#[derive(Debug)]
pub enum Target {
    /// A program to start.
    Program(Vec<OsString>),
    /// Processes that run.
    Processes(Vec<i32>),
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    pub target: Target,
    /// The calls to show.
    pub calls: Calls,
    pub injections: Injections,
    /// None: every signal.
    pub signals: Option<HashSet<i32>>,
    pub status: Statuses,
    pub quiet: Quiet,
    pub stamp: Stamp,
    pub sort: SortBy,
    pub fds: bool,
    pub string_limit: usize,
    pub list_limit: usize,
    /// `-P`: as they were given, and what they lead to.
    pub paths: HashSet<Vec<u8>>,
    /// `-E`.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Lines for standard error.
    pub notes: Vec<String>,
}

/// Calls by how they ended: `-e status=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses {
    pub successful: bool,
    pub failed: bool,
    /// Never returned: exit, exec in another thread, a kill.
    pub unfinished: bool,
}

impl Statuses {
    pub const ALL: Self = Self { successful: true, failed: true, unfinished: true };
    const NONE: Self = Self { successful: false, failed: false, unfinished: false };
}

/// What the text leaves out: `-q`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quiet {
    pub attach: bool,
    pub exit: bool,
}

const ITEMS: usize = 32;
/// More than any array of a call: IOV_MAX is 1,024, an environment has some thousands at most.
const ALL_ITEMS: usize = 1 << 16;

impl Plan {
    pub fn new(args: &Trace) -> Result<Self, String> {
        let mut plan = Self {
            target: target(args)?,
            calls: Calls::all(),
            injections: Injections::default(),
            signals: None,
            status: Statuses::ALL,
            quiet: Quiet { attach: args.quiet_count > 0, exit: args.quiet_count > 1 },
            stamp: stamp(args)?,
            sort: match args.sort {
                SortKey::Time => SortBy::Time,
                SortKey::Calls => SortBy::Calls,
                SortKey::Errors => SortBy::Errors,
                SortKey::Name => SortBy::Name,
            },
            fds: args.decode_fds > 0 || args.decode == Some(super::args::FdDetail::Path),
            string_limit: args.string_limit as usize,
            list_limit: if args.no_abbrev { ALL_ITEMS } else { ITEMS },
            paths: paths(args),
            env: env(args)?,
            notes: Vec::new(),
        };
        let mut injections = Vec::new();
        for text in &args.expressions {
            plan.expression(text, &mut injections)?;
        }
        if let Some(set) = &args.calls {
            plan.trace("--trace=", set)?;
        }
        if let Some(set) = &args.signal {
            plan.signals = Some(signals("--signal=", set)?);
        }
        if let Some(set) = &args.status {
            plan.status = statuses("--status=", set)?;
        }
        if let Some(set) = &args.quiet {
            plan.quiet = quiet("--quiet=", set)?;
        }
        for (list, option, fault) in [(&args.inject, "--inject=", false), (&args.fault, "--fault=", true)] {
            for text in list {
                let (injection, notes) = Injection::parse(option, text, fault)?;
                injections.push(injection);
                plan.notes.extend(notes);
            }
        }
        plan.injections = Injections::new(injections);
        if args.successful {
            plan.status = Statuses { successful: true, ..Statuses::NONE };
        }
        if args.failed {
            plan.status = Statuses { failed: true, ..Statuses::NONE };
        }
        if (args.follow > 1 || args.separately) && args.output.is_none() {
            return Err("-ff: needs -o FILE; each thread's trace goes to FILE.TID".to_owned());
        }
        if args.count && (args.follow > 1 || args.separately) {
            return Err(
                "-c -ff: a summary is one file; --summary-per-process makes a table for each process".to_owned()
            );
        }
        Ok(plan)
    }

    /// The calls that must stop: those that are shown, and those that are changed.
    pub fn stopping(&self) -> Calls {
        self.calls.union(&self.injections.calls())
    }

    fn trace(&mut self, option: &str, set: &str) -> Result<(), String> {
        let (calls, notes) = Calls::parse(option, set)?;
        self.calls = calls;
        self.notes.extend(notes);
        Ok(())
    }

    /// `-e [QUALIFIER=]VALUE`.
    fn expression(&mut self, text: &str, injections: &mut Vec<Injection>) -> Result<(), String> {
        // An inject expression without its qualifier has a `=` too, but never before a colon.
        let (qualifier, value) = match text.split_once('=') {
            Some((qualifier, value)) if !qualifier.contains([':', ',', '%']) => (qualifier, value),
            _ => return self.trace("-e ", text),
        };
        let option = format!("-e {qualifier}=");
        match qualifier {
            "trace" | "t" => self.trace(&option, value)?,
            "signal" | "signals" | "s" => self.signals = Some(signals(&option, value)?),
            "status" => self.status = statuses(&option, value)?,
            "quiet" | "silent" | "silence" | "q" => self.quiet = quiet(&option, value)?,
            "inject" | "fault" => {
                let (injection, notes) = Injection::parse(&option, value, qualifier == "fault")?;
                injections.push(injection);
                self.notes.extend(notes);
            }
            "abbrev" | "verbose" | "a" | "v" if value == "none" || value == "!all" => self.list_limit = ALL_ITEMS,
            _ => {
                return Err(format!(
                    "-e {text}: no qualifier {qualifier}; known are trace, signal, status, quiet, inject, fault"
                ));
            }
        }
        Ok(())
    }
}

fn target(args: &Trace) -> Result<Target, String> {
    match (args.attach.is_empty(), args.argv.is_empty()) {
        (true, true) if args.json.as_ref().is_some_and(|file| !file.is_empty()) => {
            Err("nothing to trace: --json takes the next word for its file; write `--json -- CMD`".to_owned())
        }
        (true, true) => Err("nothing to trace: name a program after `--`, or a running process with -p PID".to_owned()),
        (true, false) => Ok(Target::Program(args.argv.clone())),
        (false, false) => {
            Err("-p traces what runs already: leave the program out, or -p; two traces can run side by side".to_owned())
        }
        (false, true) => {
            let words = args.attach.iter().flat_map(|list| list.split([',', ' ', '\t', '\n']));
            let mut pids = Vec::new();
            for word in words.filter(|word| !word.is_empty()) {
                let pid = word.parse().ok().filter(|&pid: &i32| pid > 0);
                let pid =
                    pid.ok_or_else(|| format!("-p {word}: no process id; write a number, or several with commas"))?;
                if !pids.contains(&pid) {
                    pids.push(pid);
                }
            }
            if pids.is_empty() { Err("-p: no process id".to_owned()) } else { Ok(Target::Processes(pids)) }
        }
    }
}

fn stamp(args: &Trace) -> Result<Stamp, String> {
    let absolute = match (args.time, args.stamps) {
        (0, None | Some(StampFormat::None)) => None,
        (0, Some(StampFormat::Time)) | (1, _) => Some(Stamp::Seconds),
        (0, Some(StampFormat::TimeMicroseconds)) | (2, _) => Some(Stamp::Microseconds),
        (0, Some(StampFormat::Unix)) | (3.., _) => Some(Stamp::Unix),
    };
    match (absolute, args.relative) {
        (Some(_), true) => Err("-r and -t: a line has room for one time; choose one".to_owned()),
        (None, true) => Ok(Stamp::Relative),
        (absolute, false) => Ok(absolute.unwrap_or(Stamp::None)),
    }
}

fn signals(option: &str, text: &str) -> Result<HashSet<i32>, String> {
    let (inverted, list) = text.strip_prefix('!').map_or((false, text), |list| (true, list));
    let mut set = HashSet::new();
    for word in list.split(',') {
        match word {
            "all" => set.extend(1..=64),
            "none" => {}
            _ => drop(set.insert(parse_signal(word).map_err(|e| format!("{option}{text}: {e}"))?)),
        }
    }
    Ok(if inverted { (1..=64).filter(|signal| !set.contains(signal)).collect() } else { set })
}

fn statuses(option: &str, text: &str) -> Result<Statuses, String> {
    let (inverted, list) = text.strip_prefix('!').map_or((false, text), |list| (true, list));
    let mut set = Statuses::NONE;
    for word in list.split(',') {
        match word {
            "all" => set = Statuses::ALL,
            "none" => {}
            "successful" => set.successful = true,
            "failed" => set.failed = true,
            "unfinished" => set.unfinished = true,
            _ => {
                let known = "successful, failed, unfinished, all, none";
                return Err(format!("{option}{text}: no status {word:?}; known are {known}"));
            }
        }
    }
    if inverted {
        let Statuses { successful, failed, unfinished } = set;
        set = Statuses { successful: !successful, failed: !failed, unfinished: !unfinished };
    }
    Ok(set)
}

fn quiet(option: &str, text: &str) -> Result<Quiet, String> {
    let mut set = Quiet::default();
    for word in text.split(',') {
        match word {
            "attach" => set.attach = true,
            "exit" | "exits" => set.exit = true,
            "all" => set = Quiet { attach: true, exit: true },
            // What strace says besides, and we never do.
            "none" | "path-resolution" | "personality" | "thread-execve" => {}
            _ => return Err(format!("{option}{text}: no message {word:?}; known are attach, exit, all, none")),
        }
    }
    Ok(set)
}

/// As given, absolute, and without links: a program may use any of them.
fn paths(args: &Trace) -> HashSet<Vec<u8>> {
    let mut all = HashSet::new();
    for path in &args.paths {
        all.insert(path.as_os_str().as_bytes().to_vec());
        for other in [std::path::absolute(path), std::fs::canonicalize(path)].into_iter().flatten() {
            all.insert(other.into_os_string().into_vec());
        }
    }
    all
}

fn env(args: &Trace) -> Result<Vec<(OsString, Option<OsString>)>, String> {
    let split = |text: &OsString| {
        let bytes = text.as_bytes();
        let (name, value) = match bytes.iter().position(|&b| b == b'=') {
            Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
            None => (bytes, None),
        };
        if name.is_empty() {
            return Err(format!("-E {text:?}: write VAR=VAL to set a variable, or VAR to take it away"));
        }
        Ok((OsString::from_vec(name.to_vec()), value))
    };
    args.env.iter().map(split).collect()
}
