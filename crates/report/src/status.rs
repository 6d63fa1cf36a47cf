//! From a report to the exit status of the launcher.

use crate::{Report, RunError, STEP_EXEC, Verdict};

impl Report {
    /// The exit status of `run`: the program's own; 128+N by signal N; 124 time limit; 122 memory; 123 output or
    /// process limit; 121 policy violation; 125 the launcher itself; 126 cannot be executed; 127 not found.
    pub fn exit_status(&self) -> u8 {
        match self.verdict {
            Verdict::Ok | Verdict::NonzeroExit => self.exit_code.map_or(125, |code| code as u8),
            Verdict::Signaled => self.signal.as_ref().map_or(125, |signal| 128u8.wrapping_add(signal.number as u8)),
            Verdict::TimeLimit => 124,
            Verdict::OutputLimit | Verdict::ProcessLimit => 123,
            Verdict::MemoryLimit => 122,
            Verdict::PolicyViolation => 121,
            Verdict::LaunchFailed => self.error.as_ref().map_or(125, RunError::exit_status),
            Verdict::InternalError => 125,
        }
    }
}

impl RunError {
    /// The exit status of a launch that failed like this: 127 when the program was not found, 126 when it
    /// cannot be executed, 125 when it was not its fault.
    pub fn exit_status(&self) -> u8 {
        match (self.step.as_str(), self.errno.as_deref()) {
            (STEP_EXEC, Some("ENOENT")) => 127,
            // Nothing to do with the program: the system, or we, could not.
            (STEP_EXEC, Some("EINTR" | "EAGAIN" | "ENOMEM" | "EMFILE" | "ENFILE" | "ESRCH" | "EIO" | "ESTALE")) => 125,
            (STEP_EXEC, _) => 126,
            _ => 125,
        }
    }
}
