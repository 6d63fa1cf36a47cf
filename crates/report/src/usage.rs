//! What a run used, and where the figures come from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// CPU time of the whole box in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuNs {
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Both. Not always their sum: some kernels round the parts and keep the total exact.
    pub total: u64,
}

/// Where the CPU figures come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuSource {
    /// The `cpuacct` controller of a v1 hierarchy: exact for the whole box.
    CgroupV1,
    /// `cpu.stat` of the unified hierarchy: exact for the whole box.
    CgroupV2,
    /// The wait status of every process of the box: all of them were reaped.
    Rusage,
    /// As `rusage`, but CPU of children that nobody reaped may be missing.
    RusageLowerBound,
    /// Nothing was measured.
    #[default]
    None,
}

impl CpuSource {
    /// The word of the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CgroupV1 => "cgroup_v1",
            Self::CgroupV2 => "cgroup_v2",
            Self::Rusage => "rusage",
            Self::RusageLowerBound => "rusage_lower_bound",
            Self::None => "none",
        }
    }
}

impl fmt::Display for CpuSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the memory peak comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemorySource {
    /// The memory controller of a v1 hierarchy.
    CgroupV1,
    /// The memory controller of the unified hierarchy.
    CgroupV2,
    /// Samples of the proportional set sizes of all processes: a spike between two samples is missing.
    PssSampling,
    /// Samples of the resident set sizes: as above, and shared pages count once for each process.
    RssSampling,
    /// Nothing was measured.
    #[default]
    None,
}

impl MemorySource {
    /// The word of the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CgroupV1 => "cgroup_v1",
            Self::CgroupV2 => "cgroup_v2",
            Self::PssSampling => "pss_sampling",
            Self::RssSampling => "rss_sampling",
            Self::None => "none",
        }
    }
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The final figures of a run, read when the box is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of the whole box.
    pub cpu: CpuNs,
    /// Where [`Usage::cpu`] comes from.
    pub cpu_source: CpuSource,
    /// From the start of the program to its end.
    pub wall_ns: u64,
    /// Largest amount of memory seen, without reclaimable page cache.
    pub memory_peak_bytes: Option<u64>,
    /// Where [`Usage::memory_peak_bytes`] comes from.
    pub memory_source: MemorySource,
    /// Largest number of tasks seen.
    pub processes_peak: Option<u64>,
    /// Bytes collected from standard output and standard error, when they were counted.
    pub output_bytes: Option<u64>,
}
