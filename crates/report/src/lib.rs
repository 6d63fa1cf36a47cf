//! What a run did and why it ended: outcome, verdict and report.
//!
//! The words:
//!
//! - A **cause** is recorded by whoever ends a run, before the kill ([`Cause`]).
//! - An **event** is a limit that was crossed, whether or not anybody was killed for it ([`Event`]).
//! - An **outcome** is everything that is known once a box is empty ([`Outcome`]).
//! - The **verdict** is one word for it ([`Verdict`]); [`judge`] is the pure function that finds it.
//! - The **report** is what the user gets ([`Report`]), as JSON or as a summary for people.
//!
//! Nothing here makes a system call. What follows from what is in `judge.rs`, and only there.
#![forbid(unsafe_code)]

mod base64;
mod bytes;
mod denial;
mod enforcement;
mod error;
mod judge;
mod limit;
mod outcome;
mod report;
mod schema;
mod signal;
mod status;
mod summary;
mod usage;
mod verdict;

pub use bytes::Bytes;
pub use denial::{Coverage, Denial};
pub use enforcement::{Enforcement, Level};
pub use error::{RunError, STEP_EXEC};
pub use judge::judge;
pub use limit::{Clock, Event, Limit, LimitHit};
pub use outcome::{Cause, Ending, LimitsSummary, Outcome};
pub use report::Report;
pub use schema::JSON_SCHEMA;
pub use signal::Signal;
pub use summary::{Line, Piece, Role};
pub use usage::{CpuNs, CpuSource, MemorySource, Usage};
pub use verdict::Verdict;
