//! Traces as text, JSON lines, summary tables, timelines and one HTML page.
//!
//! The tracer says what happened, as [`Event`]s; the writers here, each a [`Sink`], turn them into something to read. None of them looks at the machine.
#![forbid(unsafe_code)]

mod event;
mod sink;
mod text;

pub use event::{Event, What};
pub use sink::Sink;
pub use text::{Clock, PerTask, Stamp, TaskPrefix, Text, TextOptions};
