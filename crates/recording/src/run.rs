//! One program, watched once.

use serde::{Deserialize, Serialize};
use tipstaff_abi::Arch;
use tipstaff_report::{Bytes, Signal};

use crate::{Call, Capability, Completeness, Executable, FileUse, SocketUse, Table, table::Row, words};

/// What was seen of one target between a start and an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What it is known by: 32 hexadecimal digits, drawn when the recording starts. Snapshots of one run have the same.
    pub id: String,
    /// What recorded it: `tipstaff 0.1.0`.
    pub tool: String,
    /// By what it was seen.
    pub backend: Backend,
    /// Where.
    pub machine: Machine,
    /// What was recorded.
    pub target: Target,
    /// Nanoseconds since 1970, when it began.
    pub started_unix_ns: u64,
    /// Nanoseconds until it ended, or until this snapshot.
    pub duration_ns: u64,
    /// How the target's first process ended; null: it runs on, or nobody knows.
    #[serde(deserialize_with = "words::present")]
    pub exit: Option<Exit>,
    /// How far it can be trusted.
    pub completeness: Completeness,
    /// What was executed.
    pub executables: Table<Executable>,
    /// What was called.
    pub calls: Table<Call>,
    /// The files that were named; null: not recorded.
    #[serde(deserialize_with = "words::present")]
    pub files: Option<Table<FileUse>>,
    /// The addresses that were named; null: not recorded.
    #[serde(deserialize_with = "words::present")]
    pub sockets: Option<Table<SocketUse>>,
    /// The capabilities that were asked for; null: not recorded.
    #[serde(deserialize_with = "words::present")]
    pub capabilities: Option<Table<Capability>>,
}

/// By what calls are seen, the cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// eBPF programs on the kernel's tracepoints.
    Ebpf,
    /// ptrace(2).
    Ptrace,
    /// seccomp_unotify(2).
    Notify,
}

impl Backend {
    /// In the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Ebpf, Self::Ptrace, Self::Notify];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ebpf => "ebpf",
            Self::Ptrace => "ptrace",
            Self::Notify => "notify",
        }
    }
}

/// The part of a container's life that a call belongs to. A command has a workload only, from its own execve(2) on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The runtime sets the container up; no filter is in force yet.
    Setup,
    /// The runtime's own calls under the filter, up to its execve(2).
    Runtime,
    /// The container's program.
    Workload,
}

impl Phase {
    /// In the order of time.
    pub const ALL: [Self; 3] = [Self::Setup, Self::Runtime, Self::Workload];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Runtime => "runtime",
            Self::Workload => "workload",
        }
    }
}

/// The machine of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// `uname -r`.
    pub kernel: String,
    /// The kernel's own architecture.
    #[serde(with = "words::arch")]
    pub arch: Arch,
}

/// What was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Target {
    /// A program that was started for it.
    Command {
        /// The program and its arguments.
        argv: Vec<Bytes>,
        /// Its working directory.
        directory: Bytes,
    },
    /// Running processes and their descendants.
    Process {
        /// Their ids.
        pids: Vec<i32>,
    },
    /// Everything in a control group.
    Cgroup {
        /// Its directory.
        path: Bytes,
    },
    /// A container.
    Container(Container),
}

/// A container as its runtime describes it; null is what nobody said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its runtime: `runc`, `crun`.
    #[serde(deserialize_with = "words::present")]
    pub runtime: Option<String>,
    /// The directory with its config.json.
    #[serde(deserialize_with = "words::present")]
    pub bundle: Option<Bytes>,
    /// Its image.
    #[serde(deserialize_with = "words::present")]
    pub image: Option<String>,
    /// `process.noNewPrivileges` of its config.json: it decides which calls the runtime makes under the filter.
    #[serde(deserialize_with = "words::present")]
    pub no_new_privs: Option<bool>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Exit {
    /// By itself, with this status.
    Code(u8),
    /// By a signal.
    Signal(Signal),
}

impl Run {
    /// A run in which nothing has been seen yet.
    #[must_use]
    pub fn new(id: String, backend: Backend, machine: Machine, target: Target, started_unix_ns: u64) -> Self {
        Self {
            id,
            tool: concat!("tipstaff ", env!("CARGO_PKG_VERSION")).to_owned(),
            backend,
            machine,
            target,
            started_unix_ns,
            duration_ns: 0,
            exit: None,
            completeness: Completeness::default(),
            executables: Table::default(),
            calls: Table::default(),
            files: None,
            sockets: None,
            capabilities: None,
        }
    }
}

impl Row for Run {
    /// Runs stand in the order in which they began.
    type Key = (u64, String);

    fn key(&self) -> Self::Key {
        (self.started_unix_ns, self.id.clone())
    }
}
