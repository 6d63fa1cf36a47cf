//! What goes over the socket: one JSON object in a line each way, then the connection ends.

use serde::{Deserialize, Serialize};
use tipstaff_report::{Bytes, Enforcement, LimitsSummary};

/// The longest request in bytes, its newline included.
pub(crate) const MOST_REQUEST: usize = 4096;
/// The longest reply that a client takes, in bytes.
pub(crate) const MOST_REPLY: usize = 64 << 20;

/// A request with the key that opens the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    pub key: String,
    pub request: Request,
}

/// What can be asked of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// One line about it.
    Status,
    /// All about it.
    Inspect,
    /// End the box; with a signal: send that to the program's process group.
    Kill {
        /// A signal's number, or none to end the box.
        signal: Option<i32>,
    },
    /// Stop every task.
    Pause,
    /// Let go on what was stopped.
    Resume,
    /// Let no new task begin.
    Hold,
    /// Let tasks begin again.
    Release,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// It is done; perhaps with a word on how far it holds.
    Done {
        /// What is less than it could be.
        note: Option<String>,
    },
    /// It cannot be done, and nothing has changed.
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Inspect`].
    Inspect(Box<Inspect>),
}

/// What a box does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It is being stopped.
    Pausing,
    /// All its tasks are stopped.
    Paused,
}

impl State {
    /// The word of the JSON text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
        }
    }
}

/// A box in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Process id of its first process; null when that has just ended.
    pub pid: Option<i32>,
    /// Process id of its supervisor.
    pub supervisor_pid: i32,
    /// When it was started, in milliseconds since 1970.
    pub since_ms: u64,
    /// What it does.
    pub state: State,
    /// No new tasks may begin.
    pub held: bool,
    /// Its tasks: processes and threads.
    pub processes: u64,
    /// Memory now, in bytes, as the limit counts it; null when it cannot be told.
    pub memory_bytes: Option<u64>,
    /// CPU time so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Time since the start, in nanoseconds.
    pub wall_ns: u64,
    /// Program and arguments.
    pub command: Vec<Bytes>,
}

/// All about a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {
    /// The line.
    #[serde(flatten)]
    pub status: Status,
    /// The profile as it was named; null when it was built in a program.
    pub profile: Option<Bytes>,
    /// Highest memory seen so far, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// The limits in force.
    pub limits: Limits,
    /// Each rule with its mechanism, as `explain --json` has them.
    pub rules: Vec<Rule>,
    /// Every process.
    pub tasks: Vec<ProcessInfo>,
}

/// A rule of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Rule, mechanism, level, why.
    #[serde(flatten)]
    pub enforcement: Enforcement,
    /// What it costs.
    pub cost: String,
}

/// A process of a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessInfo {
    /// Its id, as the supervisor counts.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Its name (proc_pid_comm(5)).
    pub comm: Bytes,
    /// The state letter of proc_pid_stat(5).
    pub state: char,
    /// Its threads.
    pub threads: u64,
}

/// Limits; null is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// CPU time in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Percent of one CPU.
    pub cpu_percent: Option<u64>,
    /// Wall-clock time in nanoseconds.
    pub wall_ns: Option<u64>,
    /// Idle time in nanoseconds.
    pub idle_ns: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Tasks.
    pub processes: Option<u64>,
    /// Bytes of output.
    pub output_bytes: Option<u64>,
    /// Bytes of one file.
    pub file_size_bytes: Option<u64>,
    /// Descriptors of one process.
    pub open_files: Option<u64>,
    /// Bytes of stack.
    pub stack_bytes: Option<u64>,
    /// Bytes of private disk.
    pub disk_bytes: Option<u64>,
}

impl Limits {
    /// The limits of a plan, and the share of a CPU.
    pub fn new(l: LimitsSummary, cpu_percent: Option<u64>) -> Self {
        Self {
            cpu_ns: l.cpu_ns,
            cpu_percent,
            wall_ns: l.wall_ns,
            idle_ns: l.idle_ns,
            memory_bytes: l.memory_bytes,
            processes: l.processes,
            output_bytes: l.output_bytes,
            file_size_bytes: l.file_size_bytes,
            open_files: l.open_files,
            stack_bytes: l.stack_bytes,
            disk_bytes: l.disk_bytes,
        }
    }
}
