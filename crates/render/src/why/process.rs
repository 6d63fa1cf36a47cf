//! What is kept of each process: how it ended, what failed in it, what it said.

use std::collections::{HashMap, HashSet, VecDeque};

use tipstaff_abi::errno;
use tipstaff_decode::{Call, Value, says};

use crate::text::{call_text, shown, value_text};
use crate::touch::{Descriptors, address, first_fd};

/// Failing calls that are kept of a process, the last ones.
const FAILURES: usize = 2_000;

/// Bytes to stderr that are kept of a process, the last ones.
const SAID: usize = 16 << 10;

/// Names that are kept of what was opened, run or found.
const FOUND: usize = 50_000;

/// One call that failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Where it stands among all events.
    pub(super) order: u64,
    /// The call as text, without its result.
    pub(super) line: String,
    pub(super) name: String,
    pub(super) errno: &'static str,
    /// What it was about: a path or an address.
    pub(super) path: Option<Vec<u8>>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Exited(i32),
    Killed { signal: i32, core: bool },
}

/// A signal that was delivered.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    pub(super) number: i32,
    pub(super) info: Value,
}

/// One process.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: Option<usize>,
    pub(super) program: Option<Vec<u8>>,
    pub(super) end: Option<(u64, End)>,
    pub(super) failures: VecDeque<Failure>,
    pub(super) signal: Option<Delivered>,
    /// Bytes to stderr, each piece with where it stands among all events.
    said: VecDeque<(u64, Vec<u8>)>,
    said_bytes: usize,
    /// Paths that a call succeeded with, and their last parts with the last time.
    found: HashSet<Vec<u8>>,
    found_names: HashMap<Vec<u8>, u64>,
}

impl Process {
    pub(super) fn new(pid: i32, parent: Option<usize>, program: Option<Vec<u8>>) -> Self {
        Self { pid, parent, program, ..Self::default() }
    }

    /// Executes a program.
    pub(super) fn begin(&mut self, program: &[u8]) {
        self.program = Some(program.to_vec());
        self.failures.clear();
        self.said.clear();
        self.said_bytes = 0;
        self.signal = None;
    }

    /// Notes a call that returned.
    pub(super) fn note(&mut self, order: u64, call: &Call, descriptors: &Descriptors) {
        let Some(returned) = &call.returned else { return };
        let late = late_error(call);
        let Some(errno) = returned.errno.or(late) else {
            self.succeeded(order, call, descriptors);
            return;
        };
        let path = address(call).map(String::into_bytes);
        let path = path.or_else(|| descriptors.paths(self.pid, call).next().map(Into::into));
        let path = path
            .or_else(|| call.args.iter().find_map(|arg| descriptors.name_of(self.pid, &arg.value)).map(<[u8]>::to_vec));
        if self.failures.len() == FAILURES {
            self.failures.pop_front();
        }
        let mut line = call_text(call);
        let mut name = &*call.name;
        if late.is_some() {
            let to = path.as_deref().map(|path| format!(" to {}", shown(path))).unwrap_or_default();
            (line, name) = (format!("the connection{to}, as {line} told,"), "connect");
        }
        self.failures.push_back(Failure { order, line, name: name.to_owned(), errno, path });
    }

    fn succeeded(&mut self, order: u64, call: &Call, descriptors: &Descriptors) {
        if first_fd(call) == Some(2) && matches!(&*call.name, "write" | "writev" | "sendto" | "sendmsg") {
            let mut piece = Vec::new();
            call.args.iter().skip(1).for_each(|arg| bytes_of(&arg.value, &mut piece));
            self.said_bytes += piece.len();
            self.said.push_back((order, piece));
            while self.said_bytes > SAID {
                self.said_bytes -= self.said.pop_front().map_or(self.said_bytes, |(_, piece)| piece.len());
            }
        }
        if self.found.len() >= FOUND {
            return;
        }
        for path in descriptors.paths(self.pid, call) {
            self.found_names.insert(last_part(&path).to_vec(), order);
            self.found.insert(path.into_owned());
        }
    }

    /// The process has ended: what cannot explain anything is dropped, since a trace may have many thousand processes.
    pub(super) fn settle(&mut self, order: u64, end: End) {
        self.end = Some((order, end));
        if end == End::Exited(0) && self.parent.is_some() {
            self.failures.clear();
            self.said.clear();
        }
        let asked: HashSet<&[u8]> = self.failures.iter().filter_map(|failure| failure.path.as_deref()).collect();
        self.found.retain(|path| asked.contains(&**path));
        let names: HashSet<&[u8]> = asked.iter().map(|path| last_part(path)).collect();
        self.found_names.retain(|name, _| names.contains(&**name));
        self.failures.shrink_to_fit();
        self.said.shrink_to_fit();
        self.found.shrink_to_fit();
        self.found_names.shrink_to_fit();
    }

    /// What went to stderr after a moment.
    pub(super) fn said_after(&self, order: u64) -> Vec<u8> {
        self.said.iter().filter(|(at, _)| *at > order).flat_map(|(_, piece)| piece.iter().copied()).collect()
    }

    /// Whether anything went to stderr after one moment and up to another.
    pub(super) fn said_between(&self, after: u64, until: u64) -> bool {
        self.said.iter().any(|(at, _)| *at > after && *at <= until)
    }

    /// Whether a path was seen to be there.
    pub(super) fn has_found(&self, path: &[u8]) -> bool {
        self.found.contains(path)
    }

    /// Whether something of the same last part was found after a moment: the search went on, and ended well.
    pub(super) fn found_elsewhere(&self, path: &[u8], order: u64) -> bool {
        self.found_names.get(last_part(path)).is_some_and(|&at| at > order)
    }

    /// The program's short name.
    pub(super) fn name(&self) -> String {
        match &self.program {
            Some(program) => shown(last_part(program)),
            None => format!("process {}", self.pid),
        }
    }

    /// The status as a shell tells it: 128 and the signal's number for one that was killed.
    pub(super) fn shell_status(&self) -> Option<i32> {
        self.end.map(|(_, end)| match end {
            End::Exited(status) => status,
            End::Killed { signal, .. } => 128 + signal,
        })
    }
}

impl Delivered {
    /// A field of siginfo.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        match &self.info {
            Value::Struct(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A field of siginfo as text.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        self.field(name).map(value_text)
    }
}

/// How a connection that was made in the background failed: connect(2) said EINPROGRESS, and SO_ERROR of socket(7) tells the rest.
fn late_error(call: &Call) -> Option<&'static str> {
    fn within(value: &Value) -> Option<&'static str> {
        match value {
            Value::Name(name) => errno::by_name(name).is_some().then_some(*name),
            Value::List { items, .. } => items.iter().find_map(within),
            Value::Int(number) => i32::try_from(*number).ok().filter(|number| *number > 0).and_then(errno::name),
            _ => None,
        }
    }
    if call.name != "getsockopt" || !says(call, "SO_ERROR") {
        return None;
    }
    within(&call.args.get(3)?.value)
}

/// What stands behind the last slash.
pub(super) fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// All bytes of a value, as in the vector of writev(2).
fn bytes_of(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Bytes { bytes, .. } => into.extend_from_slice(bytes),
        Value::Struct(fields) => fields.iter().for_each(|(_, value)| bytes_of(value, into)),
        Value::List { items, .. } => items.iter().for_each(|item| bytes_of(item, into)),
        _ => {}
    }
}
