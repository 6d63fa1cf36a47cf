//! Traces as text, JSON lines, summary tables, timelines and one HTML page.
//!
//! The tracer says what happened, as [`Event`]s; the writers here turn them into something to read. None of them looks at the machine.
#![forbid(unsafe_code)]

mod event;

pub use event::{Event, What};
