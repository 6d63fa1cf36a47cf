//! How far a run can be trusted to hold everything that the target did.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Table;
use crate::table::Row;

/// What a run lacks. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Completeness {
    verdict: Verdict,
    shortfalls: Table<Shortfall>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    #[default]
    Complete,
    Incomplete,
}

/// One thing that is lacking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortfall {
    /// What.
    pub reason: Reason,
    /// How often; 1 where there is nothing to count.
    pub count: u64,
}

/// What can be lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Calls were lost between the kernel and the recorder.
    Dropped,
    /// Threads or processes of the target were not followed.
    ThreadsMissed,
    /// The target ran already when the recording began.
    AttachedRunning,
    /// Calls were under way when the recording began; if they are never made again they are not in it.
    CallsInFlight,
    /// A seccomp filter was in force from the start: what it refuses, a program may not even try a second time.
    AlreadyFiltered,
    /// The target went on when the recording ended.
    StillRunning,
    /// The recording was broken off by a fault of the recorder.
    BrokenOff,
    /// Calls of an architecture without a table here.
    ForeignCalls,
    /// Results, files, addresses or capabilities for which there was no room.
    DetailsDropped,
    /// Paths and addresses that could not be read.
    PathsUnread,
    /// Calls whose argument values were too many to keep: any are taken as seen.
    ArgumentsDemoted,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Dropped,
        Self::ThreadsMissed,
        Self::AttachedRunning,
        Self::CallsInFlight,
        Self::AlreadyFiltered,
        Self::StillRunning,
        Self::BrokenOff,
        Self::ForeignCalls,
        Self::DetailsDropped,
        Self::PathsUnread,
        Self::ArgumentsDemoted,
    ];

    /// Whether a program may have done something that the recording does not allow for. Demoted arguments are no such thing: they allow more.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        !matches!(self, Self::ArgumentsDemoted)
    }
}

impl Completeness {
    /// Nothing that the target did is missing, as far as anybody can know.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.verdict == Verdict::Complete
    }

    /// Adds `count` (if any) to what is lacking for this reason.
    pub fn lacks(&mut self, reason: Reason, count: u64) {
        if count == 0 {
            return;
        }
        let row = self.shortfalls.entry(reason, || Shortfall { reason, count: 0 });
        row.count = row.count.saturating_add(count);
        if reason.is_loss() {
            self.verdict = Verdict::Incomplete;
        }
    }

    /// Whether something is lacking for this reason.
    #[must_use]
    pub fn has(&self, reason: Reason) -> bool {
        self.shortfalls.get(&reason).is_some()
    }

    /// What is lacking.
    pub fn shortfalls(&self) -> impl ExactSizeIterator<Item = &Shortfall> {
        self.shortfalls.iter()
    }

    /// Whether the verdict follows from what is lacking.
    pub(crate) fn is_consistent(&self) -> bool {
        self.is_complete() != self.shortfalls.iter().any(|row| row.reason.is_loss())
    }
}

impl Row for Shortfall {
    type Key = Reason;

    fn key(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.count;
        let s = if n == 1 { "" } else { "s" };
        match self.reason {
            Reason::Dropped => write!(f, "{n} call{s} lost on the way to the recorder"),
            Reason::ThreadsMissed => write!(f, "{n} thread{s} not followed"),
            Reason::AttachedRunning => f.write_str("the target ran before the recording began"),
            Reason::CallsInFlight => write!(f, "{n} call{s} under way when the recording began"),
            Reason::AlreadyFiltered => {
                f.write_str("a seccomp filter was in force already, and what it refuses is biased")
            }
            Reason::StillRunning => f.write_str("the target goes on"),
            Reason::BrokenOff => f.write_str("the recording was broken off"),
            Reason::ForeignCalls => write!(f, "{n} call{s} of an unknown architecture"),
            Reason::DetailsDropped => {
                write!(f, "{n} result{s}, file{s} or address{} lost for want of room", if n == 1 { "" } else { "es" })
            }
            Reason::PathsUnread => write!(f, "{n} path{s} or address{} unreadable", if n == 1 { "" } else { "es" }),
            Reason::ArgumentsDemoted => write!(f, "{n} call{s} with too many argument values to limit"),
        }
    }
}
