//! The arguments of `tipstaff trace`: strace's spellings where strace has the thing.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// `tipstaff trace …`
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    override_usage = "tipstaff trace [OPTIONS] [--] CMD [ARG]...\n       tipstaff trace [OPTIONS] -p PID[,PID]..."
)]
pub struct Trace {
    /// What to show: [trace=]SET, signal=SET, status=SET, quiet=SET, inject=…, fault=…. A SET is names, %classes, `all` or `none`, with commas; `!` in
    /// front takes all others.
    #[arg(short = 'e', value_name = "EXPR", help_heading = "What is shown")]
    pub expressions: Vec<String>,
    /// System calls, as `-e trace=`.
    #[arg(long = "trace", value_name = "SET", help_heading = "What is shown")]
    pub calls: Option<String>,
    /// Signals, as `-e signal=`.
    #[arg(long, value_name = "SET", help_heading = "What is shown")]
    pub signal: Option<String>,
    /// Calls by how they ended, as `-e status=`: successful, failed, unfinished.
    #[arg(long, value_name = "SET", help_heading = "What is shown")]
    pub status: Option<String>,
    /// Only calls that name this path, or use a descriptor of it.
    #[arg(short = 'P', long = "trace-path", value_name = "PATH", help_heading = "What is shown")]
    pub paths: Vec<PathBuf>,
    /// Only calls that succeeded.
    #[arg(
        short = 'z',
        long = "successful-only",
        conflicts_with_all = ["failed", "status"],
        help_heading = "What is shown"
    )]
    pub successful: bool,
    /// Only calls that failed.
    #[arg(short = 'Z', long = "failed-only", conflicts_with = "status", help_heading = "What is shown")]
    pub failed: bool,

    /// The time of day in front of each line; -tt with microseconds, -ttt seconds since 1970.
    #[arg(short = 't', action = ArgAction::Count, help_heading = "How it looks")]
    pub time: u8,
    /// The time in front of each line: time (-t), time,us (-tt) or unix (-ttt).
    #[arg(
        long = "absolute-timestamps",
        alias = "timestamps",
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "time",
        help_heading = "How it looks"
    )]
    pub stamps: Option<StampFormat>,
    /// The time since the line before.
    #[arg(short = 'r', long = "relative-timestamps", help_heading = "How it looks")]
    pub relative: bool,
    /// The time spent in each call.
    #[arg(short = 'T', long = "syscall-times", help_heading = "How it looks")]
    pub times: bool,
    /// What descriptors refer to; -yy is the same.
    #[arg(short = 'y', action = ArgAction::Count, help_heading = "How it looks")]
    pub decode_fds: u8,
    /// As -y.
    #[arg(
        long = "decode-fds",
        value_name = "SET",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "path",
        help_heading = "How it looks"
    )]
    pub decode: Option<FdDetail>,
    /// Bytes of each string that are shown.
    #[arg(short = 's', long = "string-limit", value_name = "N", default_value_t = 32, help_heading = "How it looks")]
    pub string_limit: u32,
    /// Arrays, environments and structures at full length.
    #[arg(short = 'v', long = "no-abbrev", help_heading = "How it looks")]
    pub no_abbrev: bool,
    /// The column of the results.
    #[arg(
        short = 'a',
        long = "columns",
        visible_alias = "column",
        value_name = "N",
        default_value_t = 40,
        help_heading = "How it looks"
    )]
    pub column: u16,
    /// No word of attaching and detaching; -qq: nor of exits.
    #[arg(short = 'q', action = ArgAction::Count, help_heading = "How it looks")]
    pub quiet_count: u8,
    /// As `-e quiet=`: attach, exit, all.
    #[arg(long, value_name = "SET", num_args = 0..=1, require_equals = true, default_missing_value = "attach", help_heading = "How it looks")]
    pub quiet: Option<String>,

    /// Count calls, errors and time, and print nothing else.
    #[arg(short = 'c', long = "summary-only", help_heading = "Summary")]
    pub count: bool,
    /// Print the trace, and the summary behind it.
    #[arg(short = 'C', long = "summary", conflicts_with = "count", help_heading = "Summary")]
    pub count_too: bool,
    /// What the summary is sorted by.
    #[arg(short = 'S', long = "summary-sort-by", value_name = "KEY", default_value = "time", help_heading = "Summary")]
    pub sort: SortKey,
    /// A table for each process.
    #[arg(long, help_heading = "Summary")]
    pub summary_per_process: bool,
    /// Times of the clock, not of the CPU: always so.
    #[arg(short = 'w', long = "summary-wall-clock", hide = true)]
    pub wall: bool,

    /// Text and summary go to FILE instead of standard error.
    #[arg(short = 'o', long, value_name = "FILE", help_heading = "Where it goes")]
    pub output: Option<PathBuf>,
    /// Add to FILE instead of replacing it.
    #[arg(short = 'A', long = "output-append-mode", requires = "output", help_heading = "Where it goes")]
    pub append: bool,
    /// Follow all descendants: always so. -ff: with -o, each thread has a file of its own, FILE.TID.
    #[arg(short = 'f', long = "follow-forks", action = ArgAction::Count, help_heading = "Where it goes")]
    pub follow: u8,
    /// As -ff.
    #[arg(long = "output-separately", requires = "output", help_heading = "Where it goes")]
    pub separately: bool,
    /// JSON lines instead of text; with FILE (`-`: standard output) besides -o. With -c the summary as JSON.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "", help_heading = "Where it goes")]
    pub json: Option<OsString>,
    /// A timeline for ui.perfetto.dev or chrome://tracing.
    #[arg(long, value_name = "FILE", help_heading = "Where it goes")]
    pub perfetto: Option<PathBuf>,
    /// One page with process tree, timeline, calls, files and addresses.
    #[arg(long, value_name = "FILE", help_heading = "Where it goes")]
    pub html: Option<PathBuf>,
    /// Say on standard error why the program failed.
    #[arg(long, help_heading = "Where it goes")]
    pub why: bool,

    /// Trace running processes, all their threads; ^C lets go of them.
    #[arg(short = 'p', long = "attach", value_name = "PID[,PID]...", help_heading = "Program")]
    pub attach: Vec<String>,
    /// Set a variable for the program, or take it away.
    #[arg(short = 'E', long = "env", value_name = "VAR[=VAL]", help_heading = "Program")]
    pub env: Vec<OsString>,
    /// Change calls: SET:error=E|retval=V[:signal=S][:delay_enter=US][:delay_exit=US][:when=FIRST[..LAST][+STEP]]. Delays take s, ms, us or ns too.
    #[arg(long, value_name = "SET:…", help_heading = "Program")]
    pub inject: Vec<String>,
    /// As --inject, with ENOSYS where no error is named.
    #[arg(long, value_name = "SET[:…]", help_heading = "Program")]
    pub fault: Vec<String>,
    /// Stop at the wanted calls only: always so.
    #[arg(long = "seccomp-bpf", hide = true)]
    pub seccomp_bpf: bool,

    /// The program and its arguments.
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub argv: Vec<OsString>,
}

/// `--absolute-timestamps=`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StampFormat {
    /// None.
    None,
    /// The time of day.
    #[value(alias = "time,s", alias = "s")]
    Time,
    /// The time of day with microseconds.
    #[value(name = "time,us", alias = "us")]
    TimeMicroseconds,
    /// Seconds since 1970 with microseconds.
    #[value(alias = "unix,us")]
    Unix,
}

/// `--decode-fds=`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FdDetail {
    /// Numbers alone.
    None,
    /// What /proc/PID/fd says.
    #[value(alias = "all")]
    Path,
}

/// `-S`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// Time spent.
    #[value(alias = "time-total", alias = "total-time")]
    Time,
    /// Number of calls.
    #[value(alias = "count")]
    Calls,
    /// Number of errors.
    #[value(alias = "error")]
    Errors,
    /// Name.
    #[value(alias = "syscall", alias = "syscall-name")]
    Name,
}
