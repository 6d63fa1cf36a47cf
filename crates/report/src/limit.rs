//! Limits by name, and the moments at which they were crossed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A clock that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// CPU time of the whole box, user and system.
    Cpu,
    /// Time since the program was started.
    Wall,
    /// Time during which no task of the box used CPU.
    Idle,
}

impl Clock {
    /// The word of the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A limit, by its name in profiles, flags and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// CPU time; values are nanoseconds.
    Cpu,
    /// Wall-clock time; values are nanoseconds.
    Wall,
    /// Idle time; values are nanoseconds.
    Idle,
    /// Memory of the box; values are bytes.
    Memory,
    /// Tasks of the box; values are counts.
    Processes,
    /// Bytes on standard output and standard error together.
    Output,
    /// Size of any one file; values are bytes.
    FileSize,
    /// File descriptors of any one process; values are counts.
    OpenFiles,
    /// Stack of any one thread that the kernel grows; values are bytes.
    Stack,
    /// Bytes on the box's private disk.
    Disk,
}

impl Limit {
    /// Every limit, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Wall,
        Self::Idle,
        Self::Memory,
        Self::Processes,
        Self::Output,
        Self::FileSize,
        Self::OpenFiles,
        Self::Stack,
        Self::Disk,
    ];

    /// The name in profiles and in the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Idle => "idle",
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Output => "output",
            Self::FileSize => "file_size",
            Self::OpenFiles => "open_files",
            Self::Stack => "stack",
            Self::Disk => "disk",
        }
    }

    /// The clock that this limit stops, if it is one of time.
    pub fn clock(self) -> Option<Clock> {
        match self {
            Self::Cpu => Some(Clock::Cpu),
            Self::Wall => Some(Clock::Wall),
            Self::Idle => Some(Clock::Idle),
            _ => None,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A limit that was crossed. Times are nanoseconds, sizes bytes, the rest counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitHit {
    /// Which limit.
    pub limit: Limit,
    /// Its clock, if it is one of time.
    pub clock: Option<Clock>,
    /// Where the limit stood.
    pub limit_value: u64,
    /// What was seen when it was crossed; absent where the kernel tells only that it was.
    pub observed: Option<u64>,
    /// Nanoseconds since the program was started.
    pub at_ns: u64,
}

/// What the supervisor writes down when a limit is crossed: a [`LimitHit`] to be.
pub type Event = LimitHit;

impl LimitHit {
    /// A hit of `limit`, with the clock that belongs to it.
    pub fn new(limit: Limit, limit_value: u64, observed: Option<u64>, at_ns: u64) -> Self {
        Self { limit, clock: limit.clock(), limit_value, observed, at_ns }
    }
}
