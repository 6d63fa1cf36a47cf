//! How much a program may use.

use std::time::Duration;

use crate::value::{Setting, words};

words! {
    /// What tells a program that it has no memory left.
    pub enum MemoryAccount {
        /// Nothing: what is over the limit is killed.
        Sampled = "sampled",
        /// A request that does not fit under the limit fails with ENOMEM.
        Exact = "exact",
    }
}

/// How much a box may use. Absent: what the profile below says, in the end unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of all tasks together, user and system.
    pub cpu: Option<Setting<Duration>>,
    /// Share of the CPUs that all tasks together get, in percent of one CPU.
    pub cpu_percent: Option<Setting<u64>>,
    /// Time since the start.
    pub wall: Option<Setting<Duration>>,
    /// Time during which no task used CPU.
    pub idle: Option<Setting<Duration>>,
    /// Bytes of anonymous, shared and kernel memory of all tasks together.
    pub memory: Option<Setting<u64>>,
    /// What tells a program that it has no memory left; sampled unless said otherwise.
    pub memory_account: Option<MemoryAccount>,
    /// Tasks at a time: processes and threads, the first included.
    pub processes: Option<Setting<u64>>,
    /// Bytes on standard output and standard error together.
    pub output: Option<Setting<u64>>,
    /// Bytes of any one file.
    pub file_size: Option<Setting<u64>>,
    /// File descriptors of any one process.
    pub open_files: Option<Setting<u64>>,
    /// Bytes of stack of any one process.
    pub stack: Option<Setting<u64>>,
    /// Bytes on the private disk (/tmp and its like).
    pub disk: Option<Setting<u64>>,
}

impl Limits {
    pub(super) fn merge(base: Self, over: Self) -> Self {
        Self {
            cpu: over.cpu.or(base.cpu),
            cpu_percent: over.cpu_percent.or(base.cpu_percent),
            wall: over.wall.or(base.wall),
            idle: over.idle.or(base.idle),
            memory: over.memory.or(base.memory),
            memory_account: over.memory_account.or(base.memory_account),
            processes: over.processes.or(base.processes),
            output: over.output.or(base.output),
            file_size: over.file_size.or(base.file_size),
            open_files: over.open_files.or(base.open_files),
            stack: over.stack.or(base.stack),
            disk: over.disk.or(base.disk),
        }
    }
}
