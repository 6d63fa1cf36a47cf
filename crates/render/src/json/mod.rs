//! Traces as JSON lines.

mod event;
mod value;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use value::Text;

use crate::{Clock, Event, Sink, What};

/// JSON Schema (draft 2020-12) of one line, as published in `schema/trace-event.schema.json`.
pub const EVENT_SCHEMA: &str = include_str!("../../schema/trace-event.schema.json");

/// Writes a trace as JSON, one object a line. The first line says when the trace began; each other is one event, of the form that
/// [`EVENT_SCHEMA`] describes.
#[derive(Debug)]
pub struct JsonLines<W: Write> {
    to: io::BufWriter<W>,
    live: bool,
}

/// The first line.
#[derive(Serialize)]
struct Began {
    event: &'static str,
    schema: u32,
    began_unix_ns: u64,
}

impl<W: Write> JsonLines<W> {
    /// A writer to `to`, which needs no buffer of its own. `live`: each line is brought out at once.
    pub fn new(to: W, clock: Clock, live: bool) -> io::Result<Self> {
        let mut lines = Self { to: io::BufWriter::with_capacity(64 << 10, to), live };
        lines.line(&Began { event: "began", schema: 1, began_unix_ns: clock.began_unix_ns })?;
        Ok(lines)
    }

    fn line(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, object)?;
        self.to.write_all(b"\n")?;
        if self.live { self.to.flush() } else { Ok(()) }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event.what {
            What::Entered(_) => Ok(()),
            _ => self.line(&event::Line(event)),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    fn pause(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
