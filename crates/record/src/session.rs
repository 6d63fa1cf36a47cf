//! What every backend is to its caller.

use tipstaff_recording::{Exit, Run};
use tipstaff_sys::Errno;

use crate::Error;

/// Something that happened to a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The command has ended; `None`: nobody can say how. Descendants may go on.
    Ended(Option<Exit>),
    /// The command could not be executed.
    NotExecuted(Errno),
    /// There is nothing left to record.
    Empty,
    /// The backend failed: what is recorded stays.
    Broken(String),
    /// For the caller's own use: a signal came.
    Signal(i32),
}

/// A recording that is going on.
pub(crate) trait Session: Send {
    /// What has been seen so far.
    fn snapshot(&self) -> Run;

    /// Ends the recording and leaves the target alone, where that can be done ([`crate::Recorder::stop`]).
    fn stop(&mut self) -> Run;

    /// Sends a signal to the command, if it is one.
    fn signal(&self, signal: i32);
}

/// Why a backend does not do it.
pub(crate) enum Refused {
    /// It cannot be had: another one may.
    Backend(String),
    /// No other backend could do better.
    Target(Error),
}
