//! Traces as text, as strace(1) prints them.

mod escape;
mod lines;
mod number;
mod options;
mod per_task;
mod structure;
mod style;
mod value;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use tipstaff_abi::signal;
use tipstaff_decode::{Call, Returned, Value};

use crate::{Event, Sink, What};
use lines::{Begun, Lines};
pub(crate) use number::{decimal, padded};
pub use options::{Clock, Stamp, TaskPrefix, TextOptions};
pub use per_task::PerTask;
use style::Kind;
pub(crate) use value::{put as put_value, put_result};

/// Writes a trace as text, one call or occurrence a line.
///
/// A call whose thread is overtaken by another is cut (`<unfinished ...>`) and taken up again (`<... read resumed>`), provided that the
/// tracer sends [`What::Entered`]; without entries every call is one whole line, in the order of the returns.
#[derive(Debug)]
pub struct Text<W: Write> {
    lines: Lines<W>,
    tasks: HashSet<i32>,
    /// The call whose line is being written, and nothing came in between yet.
    open: Option<(i32, Begun)>,
    /// Calls whose lines were cut, by thread.
    cut: HashMap<i32, Begun>,
}

impl<W: Write> Text<W> {
    /// A writer to `to`, which needs no buffer of its own.
    pub fn new(to: W, options: TextOptions) -> Self {
        Self { lines: Lines::new(to, options), tasks: HashSet::new(), open: None, cut: HashMap::new() }
    }

    fn begin(&mut self, event: &Event, at_ns: u64) {
        if let Some((tid, mut begun)) = self.open.take() {
            self.lines.cut(&mut begun);
            self.cut.insert(tid, begun);
        }
        self.lines.begin(event.tid, at_ns, self.tasks.len() > 1);
    }

    /// A line that is no call.
    fn note(&mut self, event: &Event, kind: Kind, print: impl FnOnce(&mut Vec<u8>)) {
        self.begin(event, event.at_ns);
        self.lines.styled(kind, print);
        self.lines.end();
    }

    fn entered(&mut self, event: &Event, call: &Call) {
        self.begin(event, event.at_ns);
        let begun = self.lines.call_begins(call);
        self.open = Some((event.tid, begun));
    }

    fn returned(&mut self, event: &Event, call: &Call, took_ns: u64) {
        let changed = match self.open.take_if(|(tid, begun)| *tid == event.tid && begun.is_of(call)) {
            Some((_, begun)) => self.lines.call_goes_on(call, &begun),
            None => match self.cut.remove(&event.tid).filter(|begun| begun.is_of(call)) {
                Some(begun) => {
                    self.begin(event, event.at_ns.saturating_add(took_ns));
                    self.lines.call_resumes(call, &begun)
                }
                None => {
                    self.begin(event, event.at_ns);
                    self.lines.call_whole(call)
                }
            },
        };
        self.lines.call_ends(call, took_ns, changed);
    }

    /// The thread is gone: so is what it was doing.
    fn gone(&mut self, tid: i32) {
        self.tasks.remove(&tid);
        self.cut.remove(&tid);
    }

    fn one(&mut self, event: &Event) {
        match &event.what {
            What::Entered(call) => self.entered(event, call),
            What::Returned { call, took_ns } => self.returned(event, call, *took_ns),
            What::Signal { number, info } => self.note(event, Kind::Signal, |out| {
                out.extend_from_slice(b"--- ");
                put_signal(out, *number);
                out.push(b' ');
                put_value(out, info, true);
                out.extend_from_slice(b" ---");
            }),
            What::Stopped { signal } => self.note(event, Kind::Signal, |out| {
                out.extend_from_slice(b"--- stopped by ");
                put_signal(out, *signal);
                out.extend_from_slice(b" ---");
            }),
            What::Exited { status } => {
                if self.lines.options().exits {
                    let kind = if *status == 0 { Kind::Note } else { Kind::Failure };
                    self.note(event, kind, |out| {
                        out.extend_from_slice(b"+++ exited with ");
                        decimal(out, *status);
                        out.extend_from_slice(b" +++");
                    });
                }
                self.gone(event.tid);
            }
            What::Killed { signal, core } => {
                self.note(event, Kind::Failure, |out| {
                    out.extend_from_slice(b"+++ killed by ");
                    put_signal(out, *signal);
                    out.extend_from_slice(if *core { b" (core dumped) +++" } else { b" +++" });
                });
                self.gone(event.tid);
            }
            What::Forked { child, .. } => {
                self.tasks.insert(*child);
            }
            What::Executed { former_tid, .. } if *former_tid != event.tid => self.superseded(event, *former_tid),
            What::Executed { .. } => {}
            What::Attached => {
                if self.attaching_is_told() {
                    self.note(event, Kind::Dim, |out| out.extend_from_slice(b"+++ attached +++"));
                }
            }
            What::Detached => {
                self.detached(event);
                self.gone(event.tid);
            }
        }
    }

    fn attaching_is_told(&self) -> bool {
        self.lines.options().live && self.lines.options().attaching
    }

    /// Another thread than the leader executed a program: all other threads are gone, and it has the leader's id from now on (execve(2)).
    fn superseded(&mut self, event: &Event, former_tid: i32) {
        self.note(event, Kind::Note, |out| {
            out.extend_from_slice(b"+++ superseded by execve in pid ");
            decimal(out, former_tid);
            out.extend_from_slice(b" +++");
        });
        self.cut.remove(&event.tid);
        self.tasks.remove(&former_tid);
        if let Some(begun) = self.cut.remove(&former_tid) {
            self.cut.insert(event.tid, begun);
        }
    }

    fn detached(&mut self, event: &Event) {
        if self.open.take_if(|(tid, _)| *tid == event.tid).is_some() {
            self.lines.abandon();
        } else if let Some(begun) = self.cut.remove(&event.tid) {
            self.begin(event, event.at_ns);
            self.lines.resume(&begun);
            self.lines.abandon();
        } else if self.attaching_is_told() {
            self.note(event, Kind::Dim, |out| out.extend_from_slice(b"+++ detached +++"));
        }
    }
}

impl<W: Write> Sink for Text<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.tasks.insert(event.tid);
        self.one(event);
        self.lines.bring_out(event.at_ns, self.open.as_mut().map(|(_, begun)| begun))
    }

    fn finish(&mut self) -> io::Result<()> {
        if let Some((_, mut begun)) = self.open.take() {
            self.lines.cut(&mut begun);
        }
        self.lines.flush(None)
    }

    fn pause(&mut self) -> io::Result<()> {
        self.lines.flush(self.open.as_mut().map(|(_, begun)| begun))
    }

    fn wants_entries(&self) -> bool {
        true
    }
}

fn put_signal(out: &mut Vec<u8>, number: i32) {
    match signal::name(number) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => decimal(out, number),
    }
}

/// Bytes of a guest for a line of ours: what a terminal would act upon is escaped.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    escape::escape(&mut out, bytes, b"");
    ascii(out)
}

/// Bytes of a guest as a reader wants them: UTF-8 as it is, unless it holds what is not seen or changes the direction of writing; else escaped.
pub(crate) fn legible(bytes: &[u8]) -> String {
    let unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(unseen) => text.to_owned(),
        _ => shown(bytes),
    }
}

/// A value as text.
pub(crate) fn value_text(of: &Value) -> String {
    let mut out = Vec::new();
    put_value(&mut out, of, false);
    ascii(out)
}

/// A call as text, without its result.
pub(crate) fn call_text(call: &Call) -> String {
    let mut out = call.name.as_bytes().to_vec();
    out.push(b'(');
    for (index, arg) in call.args.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        put_value(&mut out, &arg.value, false);
    }
    out.push(b')');
    ascii(out)
}

/// A result as text.
pub(crate) fn result_text(returned: Option<&Returned>) -> String {
    let mut out = Vec::new();
    put_result(&mut out, returned);
    ascii(out)
}

fn ascii(out: Vec<u8>) -> String {
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
