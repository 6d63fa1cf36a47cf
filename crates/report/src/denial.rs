//! System calls that were refused.

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// A refused system call; calls that are alike in all but `args` and `pid` are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Name of the call, or its number in words where it has no name.
    pub syscall: String,
    /// Architecture that the number belongs to (`x86_64`, `i386`, `x32`, `aarch64`).
    pub arch: String,
    /// The six argument words of the first such call.
    pub args: Vec<u64>,
    /// Thread that made the first such call, as numbered outside the box.
    pub pid: Option<u32>,
    /// The rule that refused it.
    pub rule: Bytes,
    /// What the rule does: `errno`, `kill`, …
    pub action: String,
    /// Name of the errno that the program got.
    pub errno: Option<String>,
    /// How often.
    pub count: u64,
    /// How to allow it: an option, or a line of a profile.
    pub allow_with: Option<Bytes>,
}

/// How much of what was refused stands in the list of denials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// All of it.
    Complete,
    /// System calls refused by the filter; refusals by file or network rules tell nobody.
    Syscalls,
    /// None of it: no listener could be had, or the profile asks for silence.
    #[default]
    None,
}

impl Coverage {
    /// The word of the JSON report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Syscalls => "syscalls",
            Self::None => "none",
        }
    }
}
