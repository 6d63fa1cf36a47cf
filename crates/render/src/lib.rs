//! Traces as text, JSON lines, summary tables, timelines and one HTML page.
//!
//! The tracer says what happened, as [`Event`]s; the writers here, each a [`Sink`], turn them into something to read. None of them looks at the machine.
#![forbid(unsafe_code)]

mod event;
mod filter;
mod html;
mod json;
mod perfetto;
mod sink;
mod summary;
mod text;
mod touch;
mod why;

pub use event::{Event, What};
pub use filter::{Ended, Filter, Filtered};
pub use html::{Html, HtmlOptions};
pub use json::{EVENT_SCHEMA, JsonLines};
pub use perfetto::Perfetto;
pub use sink::Sink;
pub use summary::{SortBy, Summary, SummaryForm, SummaryOptions};
pub use text::{Clock, PerTask, Stamp, TaskPrefix, Text, TextOptions};
pub use why::Why;
