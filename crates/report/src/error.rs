//! What failed on our side of the fence.

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// The step of executing the program itself, the one step whose failure has exit statuses of its own.
/// Looking the program up counts as this step.
pub const STEP_EXEC: &str = "exec";

/// The step that failed, the errno it failed with, and the same in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunError {
    /// The step: `exec` ([`STEP_EXEC`]), `chdir`, `mount`, …
    pub step: String,
    /// Name of the errno (`ENOENT`), where the kernel gave one.
    pub errno: Option<String>,
    /// One line for people.
    pub message: Bytes,
}

impl RunError {
    /// An error of `step` in the words of `message`.
    pub fn new(step: impl Into<String>, errno: Option<&str>, message: impl Into<Bytes>) -> Self {
        Self { step: step.into(), errno: errno.map(str::to_owned), message: message.into() }
    }
}
