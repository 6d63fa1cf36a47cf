//! One word for how a run ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a run ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The program ended by itself with exit code 0.
    Ok,
    /// The program ended by itself with another exit code.
    NonzeroExit,
    /// The program died of a signal that no limit and no rule sent.
    Signaled,
    /// A clock ran out: [`crate::Report::clock`] says which.
    TimeLimit,
    /// The box used more memory than it may.
    MemoryLimit,
    /// The box wrote more than it may, or a file grew larger than it may.
    OutputLimit,
    /// A fork was refused at the limit and the run then ended other than well.
    ProcessLimit,
    /// A rule whose action is kill was broken.
    PolicyViolation,
    /// The program was never started.
    LaunchFailed,
    /// The supervisor itself failed; what was observed is in the report, and proves nothing.
    InternalError,
}

impl Verdict {
    /// Every verdict, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::NonzeroExit,
        Self::Signaled,
        Self::TimeLimit,
        Self::MemoryLimit,
        Self::OutputLimit,
        Self::ProcessLimit,
        Self::PolicyViolation,
        Self::LaunchFailed,
        Self::InternalError,
    ];

    /// The word of the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NonzeroExit => "nonzero_exit",
            Self::Signaled => "signaled",
            Self::TimeLimit => "time_limit",
            Self::MemoryLimit => "memory_limit",
            Self::OutputLimit => "output_limit",
            Self::ProcessLimit => "process_limit",
            Self::PolicyViolation => "policy_violation",
            Self::LaunchFailed => "launch_failed",
            Self::InternalError => "internal_error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
