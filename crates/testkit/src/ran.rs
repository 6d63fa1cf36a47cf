//! What came of a run, and what a test may demand of it.
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;

use crate::Machine;

/// One finished execution of the command.
#[derive(Debug)]
pub struct Ran {
    /// The command line, for the reader of a failure.
    pub command: String,
    /// How the command itself ended.
    pub status: ExitStatus,
    /// Its standard output, the first 64 MiB of it.
    pub stdout: Vec<u8>,
    /// How long its standard output really was.
    pub stdout_bytes: u64,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// The report, or null when none was written.
    pub report: Value,
    /// From the start of the command to its end.
    pub elapsed: Duration,
    /// It ended by itself, before the test's patience.
    pub in_time: bool,
    /// Its output was closed when it had ended: nobody that it left behind holds it.
    pub closed: bool,
}

/// The one right answer for a program under its limits.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// The verdict.
    pub verdict: &'static str,
    /// The status that the command ends with.
    pub exit: i32,
    /// The clock, for a time limit.
    pub clock: Option<&'static str>,
}

impl Right {
    /// Verdict and status.
    pub const fn new(verdict: &'static str, exit: i32) -> Self {
        Self { verdict, exit, clock: None }
    }

    /// A time limit by this clock.
    pub const fn time(clock: &'static str) -> Self {
        Self { verdict: "time_limit", exit: 124, clock: Some(clock) }
    }
}

impl Ran {
    /// The exit status, or 128 + N when a signal ended the command.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// The verdict, or "" without a report.
    pub fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or("")
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as the JSON object that a probing guest prints.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("the guest did not print JSON: {error}\n{self}"))
    }

    /// Panics with everything that is known unless `holds`.
    #[track_caller]
    pub fn check(&self, holds: bool, what: impl fmt::Display) -> &Self {
        assert!(holds, "{what}\n{self}");
        self
    }

    /// The verdict must be this one.
    #[track_caller]
    pub fn expect_verdict(&self, verdict: &str) -> &Self {
        self.check(self.verdict() == verdict, format_args!("verdict {:?}, expected {verdict:?}", self.verdict()))
    }

    /// The command must end with this status.
    #[track_caller]
    pub fn expect_exit(&self, code: i32) -> &Self {
        self.check(self.status.code() == Some(code), format_args!("{}, expected exit status {code}", self.status))
    }

    /// Standard output must be exactly this.
    #[track_caller]
    pub fn expect_stdout(&self, text: impl AsRef<[u8]>) -> &Self {
        let text = text.as_ref();
        self.check(self.stdout == text, format_args!("stdout is not {:?}", String::from_utf8_lossy(text)))
    }

    /// Verdict ok and status 0.
    #[track_caller]
    pub fn expect_ok(&self) -> &Self {
        self.expect_verdict("ok").expect_exit(0)
    }

    /// Verdict, status, and clock must be right.
    #[track_caller]
    pub fn expect_right(&self, right: Right) -> &Self {
        self.expect_verdict(right.verdict).expect_exit(right.exit);
        let clock = self.report["clock"].as_str();
        self.check(clock == right.clock, format_args!("clock {clock:?}, expected {:?}", right.clock))
    }

    /// On a machine that lacks something the answer is right, or the run is refused before it began
    /// with the reason. Nothing else: a limit that was crossed and not seen is the failure that
    /// this looks for.
    #[track_caller]
    pub fn expect_right_or_refused(&self, right: Right, machine: Machine) -> &Self {
        if self.refused() && !machine.reasons().is_empty() {
            self.expect_refused(machine)
        } else {
            self.expect_right(right)
        }
    }

    /// Did Tipstaff say that it could not start this run?
    pub fn refused(&self) -> bool {
        self.verdict() == "launch_failed"
    }

    /// The run was refused because of what `machine` lacks, with a reason that names it, and
    /// nothing was started.
    #[track_caller]
    pub fn expect_refused(&self, machine: Machine) -> &Self {
        self.expect_verdict("launch_failed").expect_exit(125);
        let told = format!("{} {} {}", self.report["error"], self.report["enforcement"], self.err()).to_lowercase();
        let named = machine.reasons().iter().any(|word| told.contains(word));
        self.check(named, format_args!("the refusal names none of {:?}", machine.reasons()));
        self.check(self.stdout.is_empty(), "a refused run has output")
    }

    /// The report's `limits_hit` holds this limit.
    pub fn hit(&self, limit: &str) -> bool {
        self.report["limits_hit"].as_array().is_some_and(|hits| hits.iter().any(|hit| hit["limit"] == limit))
    }

    /// The command itself said no: this status, one line on standard error that holds every one of
    /// `words`, nothing on standard output.
    #[track_caller]
    pub fn expect_error_line(&self, code: i32, words: &[&str]) -> &Self {
        self.expect_exit(code);
        let err = self.err();
        let lines = err.lines().filter(|line| !line.trim().is_empty()).count();
        self.check(lines == 1, format_args!("{lines} lines of error, expected one"));
        for word in words {
            self.check(
                err.to_lowercase().contains(&word.to_lowercase()),
                format_args!("the error does not name {word:?}"),
            );
        }
        self.check(self.stdout.is_empty(), "an error on standard output")
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
        writeln!(f, "command: {}", self.command)?;
        writeln!(f, "ended:   {} after {:?}", self.status, self.elapsed)?;
        writeln!(f, "stdout:  {} bytes\n{}", self.stdout_bytes, cut(&self.stdout))?;
        writeln!(f, "stderr:  {} bytes\n{}", self.stderr.len(), cut(&self.stderr))?;
        write!(f, "report:  {:#}", self.report)
    }
}
