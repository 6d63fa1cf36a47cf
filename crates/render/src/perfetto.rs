//! A timeline in the Trace Event Format of Chrome, which <https://ui.perfetto.dev> and `chrome://tracing` open.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use tipstaff_abi::signal;
use tipstaff_decode::Call;

use crate::text::{decimal, padded, put_result, put_value, shown, value_text};
use crate::{Event, Sink, What};

/// Writes a timeline: processes and threads by name, a call as a complete event (`X`) with its arguments, a signal or an end as an
/// instant (`i`), a fork as an arrow (`s`, `f`) from the call to the child's first event.
///
/// It is the format's array form, written as the trace goes on: its closing bracket may be missing, so that what a killed tracer leaves
/// behind can still be opened (a JSON parser wants the bracket, the two viewers do not).
#[derive(Debug)]
pub struct Perfetto<W: Write> {
    to: io::BufWriter<W>,
    first: bool,
    line: Vec<u8>,
    /// Threads that have a name.
    named: HashSet<i32>,
    /// Arrows that wait for their child's first event, by thread.
    arrows: HashMap<i32, u64>,
    forks: u64,
}

impl<W: Write> Perfetto<W> {
    /// A timeline that is written to `to`, which needs no buffer of its own.
    pub fn new(to: W) -> Self {
        let to = io::BufWriter::with_capacity(64 << 10, to);
        Self { to, first: true, line: Vec::new(), named: HashSet::new(), arrows: HashMap::new(), forks: 0 }
    }

    /// One event: `ph` is its phase, `more` what its phase asks for, each as `"key":value`.
    fn put(
        &mut self,
        phase: char,
        name: &str,
        event: &Event,
        at_ns: Option<u64>,
        more: &[(&str, String)],
    ) -> io::Result<()> {
        let Event { pid, tid, .. } = event;
        self.to.write_all(if self.first { b"[\n" } else { b",\n" })?;
        self.first = false;
        write!(self.to, r#"{{"ph":"{phase}","name":{},"pid":{pid},"tid":{tid}"#, string(name))?;
        if let Some(at_ns) = at_ns {
            write!(self.to, r#","ts":{}"#, microseconds(at_ns))?;
        }
        for (key, value) in more {
            write!(self.to, r#","{key}":{value}"#)?;
        }
        self.to.write_all(b"}")
    }

    fn instant(&mut self, event: &Event, name: &str, more: &[(&str, String)]) -> io::Result<()> {
        let mut all = vec![("s", string("t"))];
        all.extend_from_slice(more);
        self.put('i', name, event, Some(event.at_ns), &all)
    }

    fn name_of(&mut self, event: &Event, what: &str, name: &str) -> io::Result<()> {
        self.put('M', what, event, None, &[("args", format!(r#"{{"name":{}}}"#, string(name)))])
    }

    /// A call. There may be millions, so this goes by bytes into one buffer.
    fn call(&mut self, event: &Event, call: &Call, took_ns: u64) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(if self.first { b"[\n" } else { b",\n" });
        self.first = false;
        line.extend_from_slice(br#"{"ph":"X","name":"#);
        quoted(line, |out| out.extend_from_slice(call.name.as_bytes()));
        for (key, number) in [(&b",\"pid\":"[..], event.pid), (b",\"tid\":", event.tid)] {
            line.extend_from_slice(key);
            decimal(line, number);
        }
        for (key, ns) in [(&b",\"ts\":"[..], event.at_ns), (b",\"dur\":", took_ns)] {
            line.extend_from_slice(key);
            decimal(line, ns / 1000);
            line.push(b'.');
            padded(line, ns % 1000, 3);
        }
        let failed = call.returned.as_ref().is_some_and(|returned| returned.errno.is_some());
        line.extend_from_slice(if failed { br#","cat":"call,failed","args":{"# } else { br#","cat":"call","args":{"# });
        for arg in &call.args {
            quoted(line, |out| out.extend_from_slice(arg.name.as_bytes()));
            line.push(b':');
            quoted(line, |out| put_value(out, &arg.value, false));
            line.push(b',');
        }
        line.extend_from_slice(br#""=":"#);
        quoted(line, |out| put_result(out, call.returned.as_ref()));
        line.extend_from_slice(b"}}");
        self.to.write_all(line)
    }

    fn arrow(&mut self, phase: char, event: &Event, id: u64) -> io::Result<()> {
        self.put(phase, "fork", event, Some(event.at_ns), &[("cat", string("fork")), ("id", id.to_string())])
    }

    fn forked(&mut self, event: &Event, child: i32, child_pid: i32) -> io::Result<()> {
        self.forks += 1;
        self.arrow('s', event, self.forks)?;
        self.arrows.insert(child, self.forks);
        if child_pid != child {
            return Ok(());
        }
        // Until it executes something else, the child is a copy. Viewers that know no fork want a name all the same.
        let born = Event { at_ns: event.at_ns, pid: child_pid, tid: child, what: What::Attached };
        self.name_of(&born, "process_name", &format!("fork of {}", event.pid))
    }
}

impl<W: Write> Sink for Perfetto<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if matches!(event.what, What::Entered(_)) {
            return Ok(());
        }
        if self.named.insert(event.tid) {
            self.name_of(event, "thread_name", &format!("thread {}", event.tid))?;
        }
        if let Some(id) = self.arrows.remove(&event.tid) {
            self.arrow('f', event, id)?;
        }
        match &event.what {
            What::Entered(_) => Ok(()),
            What::Returned { call, took_ns } => self.call(event, call, *took_ns),
            What::Signal { number, info } => {
                let args = format!(r#"{{"siginfo":{}}}"#, string(&value_text(info)));
                self.instant(event, &signal_name(*number), &[("cat", string("signal")), ("args", args)])
            }
            What::Forked { child, child_pid } => self.forked(event, *child, *child_pid),
            What::Executed { path, .. } => {
                let program = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
                self.name_of(event, "process_name", &shown(program))?;
                self.instant(event, &format!("exec {}", shown(path)), &[])
            }
            What::Exited { status } => self.instant(event, &format!("exited with {status}"), &[]),
            What::Killed { signal, .. } => self.instant(event, &format!("killed by {}", signal_name(*signal)), &[]),
            What::Stopped { signal } => self.instant(event, &format!("stopped by {}", signal_name(*signal)), &[]),
            What::Attached => self.instant(event, "attached", &[]),
            What::Detached => self.instant(event, "detached", &[]),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.write_all(if self.first { b"[]\n" } else { b"\n]\n" })?;
        self.to.flush()
    }
}

fn signal_name(number: i32) -> String {
    signal::name(number).unwrap_or_else(|| format!("signal {number}"))
}

/// Appends what `print` appends as a string in JSON. It appends printable ASCII only, as all text of values and names is, so the quote and the
/// backslash are all that is left to escape.
fn quoted(out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    let start = out.len();
    print(out);
    let special = |byte: &u8| matches!(byte, b'"' | b'\\');
    let more = out[start..].iter().filter(|byte| special(byte)).count();
    if more > 0 {
        // From the end, so that each byte moves once.
        let mut from = out.len();
        out.resize(from + more, 0);
        let mut to = out.len();
        while to > from {
            from -= 1;
            to -= 1;
            out[to] = out[from];
            if special(&out[from]) {
                to -= 1;
                out[to] = b'\\';
            }
        }
    }
    out.push(b'"');
}

/// A string in JSON.
fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Microseconds with nanoseconds behind the point, the format's unit.
fn microseconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}
