//! A launch that failed: which step, with which errno, in words.

use std::fmt;

use tipstaff_report::{Bytes, RunError};
use tipstaff_sys::Errno;

/// A launch that failed. Nothing of the guest's has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, as the report names it: `exec`, `chdir`, `cgroup`, `mount`, …
    pub step: String,
    /// What the kernel said, where it was the kernel.
    pub errno: Option<Errno>,
    /// One line.
    pub message: String,
    /// It can be that the kernel lacks what a quick look assumed: worth a second try with what a full look finds.
    pub assumption: bool,
}

impl Failure {
    /// `step` failed with `errno` while doing `what`.
    pub fn new(step: impl Into<String>, errno: Errno, what: impl fmt::Display) -> Self {
        Self { step: step.into(), errno: Some(errno), message: format!("{what}: {errno}"), assumption: false }
    }

    /// `step` failed for a reason of our own.
    pub fn own(step: impl Into<String>, message: impl Into<String>) -> Self {
        Self { step: step.into(), errno: None, message: message.into(), assumption: false }
    }

    /// As it stands in a report.
    pub fn to_run_error(&self) -> RunError {
        let errno = self.errno.map(|e| format!("{e:?}"));
        RunError { step: self.step.clone(), errno, message: Bytes::from(self.message.as_str()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
