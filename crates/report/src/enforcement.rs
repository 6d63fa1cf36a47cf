//! Which mechanism holds which rule.

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// One rule of the profile and the mechanism that enforced it in this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enforcement {
    /// The rule, in the words of the profile.
    pub rule: Bytes,
    /// What enforced it: `landlock`, `seccomp`, `cgroup_v1`, `rlimit`, …
    pub mechanism: String,
    /// How well.
    pub level: Level,
    /// Why not fully; absent when fully.
    pub why: Option<Bytes>,
}

/// How well a rule is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As the profile says.
    Full,
    /// Less than the profile says, which the profile itself permits (`best_effort`).
    Weakened,
    /// Not at all: the run was refused for it.
    Refused,
}

impl Level {
    /// The word of the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Weakened => "weakened",
            Self::Refused => "refused",
        }
    }
}
