//! The report: what the user gets.

use serde::{Deserialize, Serialize};

use crate::{
    Clock, Coverage, CpuNs, CpuSource, Denial, Enforcement, LimitHit, MemorySource, RunError, Signal, Verdict,
};

/// Everything about one run. Field by field the JSON object of the documentation, in its order;
/// keys are never omitted, absent is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Version of this format: [`Report::SCHEMA`].
    pub schema: u32,
    /// How the run ended, in one word.
    pub verdict: Verdict,
    /// The program's exit code, unless a signal ended it or it never ran.
    pub exit_code: Option<i32>,
    /// The signal that ended the program.
    pub signal: Option<Signal>,
    /// Which clock ran out, if the verdict is a time limit.
    pub clock: Option<Clock>,
    /// CPU time of the whole box.
    pub cpu_ns: CpuNs,
    /// Where `cpu_ns` comes from.
    pub cpu_source: CpuSource,
    /// Nanoseconds from the start of the program to its end.
    pub wall_ns: u64,
    /// Largest amount of memory seen: anonymous, shared and kernel memory, without reclaimable page cache.
    pub memory_peak_bytes: Option<u64>,
    /// Where `memory_peak_bytes` comes from.
    pub memory_source: MemorySource,
    /// Largest number of tasks seen.
    pub processes_peak: Option<u64>,
    /// Bytes on standard output and standard error, when they were counted.
    pub output_bytes: Option<u64>,
    /// Every limit that was crossed, in the order of time.
    pub limits_hit: Vec<LimitHit>,
    /// Every refused call that is known.
    pub denials: Vec<Denial>,
    /// How much of what was refused stands in `denials`.
    pub denials_coverage: Coverage,
    /// Each rule and what enforced it.
    pub enforcement: Vec<Enforcement>,
    /// What failed on our side.
    pub error: Option<RunError>,
}

impl Report {
    /// The version of the format that this crate writes.
    pub const SCHEMA: u32 = 1;

    /// The report as one line of JSON, without a newline.
    pub fn to_json(&self) -> String {
        // No map with keys that are not strings, no float: there is nothing here that can fail.
        serde_json::to_string(self).expect("a report is plain data")
    }
}
