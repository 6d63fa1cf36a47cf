//! What can go wrong before there is a verdict.

use std::fmt;
use std::io;

use tipstaff_launch::Failure;
use tipstaff_policy::lower::Refusal;
use tipstaff_report::{Enforcement, Outcome, Report, RunError, judge};

/// A run that was not started, or could not be followed to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The profile: unknown name, bad file.
    Profile(tipstaff_policy::profile::Error),
    /// The profile asks for what cannot be enforced here.
    Refused(Refusal),
    /// A step of the launch failed.
    Launch(Failure, Vec<Enforcement>),
    /// An option that cannot be meant.
    Usage(String),
    /// The supervisor itself failed.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(e) => e.fmt(f),
            Self::Refused(e) => e.fmt(f),
            Self::Launch(e, _) => e.fmt(f),
            Self::Usage(message) => f.write_str(message),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<tipstaff_policy::profile::Error> for Error {
    fn from(e: tipstaff_policy::profile::Error) -> Self {
        Self::Profile(e)
    }
}

impl From<Refusal> for Error {
    fn from(e: Refusal) -> Self {
        Self::Refused(e)
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl Error {
    /// The report of a run that ended like this: verdict `launch_failed`, with the step, the errno and the rules.
    pub fn report(&self) -> Report {
        let (error, rules) = match self {
            Self::Profile(e) => (RunError::new("profile", None, e.to_string()), Vec::new()),
            Self::Refused(e) => {
                let rules = e.rules.iter().map(|r| r.enforcement.clone()).collect();
                (RunError::new("lower", None, e.message.as_str()), rules)
            }
            Self::Usage(message) => (RunError::new("arguments", None, message.as_str()), Vec::new()),
            Self::Launch(e, rules) => (e.to_run_error(), rules.clone()),
            Self::Io(e) => {
                let errno = e.raw_os_error().and_then(tipstaff_abi::errno::name);
                (RunError::new("supervise", errno, e.to_string()), Vec::new())
            }
        };
        let mut outcome = Outcome::never_started(error);
        outcome.enforcement = rules;
        judge(outcome)
    }
}
