//! Events that are let through to a sink.

use std::collections::HashSet;
use std::io;

use tipstaff_decode::{Call, Value};

use crate::touch::Descriptors;
use crate::{Event, Sink, What};

/// Which calls are wanted, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ended {
    /// However they did.
    #[default]
    Anyhow,
    /// In success (`strace -z`).
    Well,
    /// In an error (`strace -Z`).
    InError,
}

/// Which events are wanted. The default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Calls by how they ended. Signals and ends of tasks are not concerned.
    pub ended: Ended,
    /// Only events of these processes or threads; none: of all.
    pub tasks: HashSet<i32>,
    /// Only calls that name one of these paths or use a descriptor of one (`strace -P`); none: all.
    pub paths: HashSet<Vec<u8>>,
    /// What descriptors refer to was looked up for `paths` alone, and is not handed on.
    pub plain_descriptors: bool,
}

/// Lets through to a sink what a [`Filter`] takes.
///
/// A call is judged when it has returned where that is what decides it, so entries are let through only if tasks alone are chosen.
#[derive(Debug)]
pub struct Filtered<S> {
    filter: Filter,
    descriptors: Descriptors,
    sink: S,
}

impl<S: Sink> Filtered<S> {
    /// What `filter` takes goes to `sink`.
    pub fn new(filter: Filter, sink: S) -> Self {
        Self { filter, descriptors: Descriptors::default(), sink }
    }

    fn takes(&self, event: &Event) -> bool {
        let tasks = &self.filter.tasks;
        if !tasks.is_empty() && !tasks.contains(&event.pid) && !tasks.contains(&event.tid) {
            return false;
        }
        match &event.what {
            What::Entered(_) => self.by_task_alone(),
            What::Returned { call, .. } => self.takes_call(event.pid, call),
            _ => true,
        }
    }

    fn by_task_alone(&self) -> bool {
        self.filter.ended == Ended::Anyhow && self.filter.paths.is_empty()
    }

    fn takes_call(&self, pid: i32, call: &Call) -> bool {
        let failed = call.returned.as_ref().map(|returned| returned.errno.is_some());
        let wanted = match self.filter.ended {
            Ended::Anyhow => true,
            Ended::Well => failed == Some(false),
            Ended::InError => failed == Some(true),
        };
        wanted && (self.filter.paths.is_empty() || self.names_a_path(pid, call))
    }

    fn names_a_path(&self, pid: i32, call: &Call) -> bool {
        let wanted = |path: &[u8]| self.filter.paths.contains(path);
        let mut descriptors = call.args.iter().filter_map(|arg| self.descriptors.name_of(pid, &arg.value));
        descriptors.any(wanted) || self.descriptors.paths(pid, call).any(|path| wanted(&path))
    }
}

/// The event without what its descriptors refer to.
fn plain(event: &Event) -> Event {
    let mut event = event.clone();
    if let What::Entered(call) | What::Returned { call, .. } = &mut event.what {
        call.args.iter_mut().for_each(|arg| forget(&mut arg.value));
        if let Some(shown) = call.returned.as_mut().and_then(|returned| returned.shown.as_mut()) {
            forget(shown);
        }
    }
    event
}

fn forget(value: &mut Value) {
    match value {
        Value::Fd { path, .. } => *path = None,
        Value::Struct(fields) => fields.iter_mut().for_each(|(_, value)| forget(value)),
        Value::List { items, .. } => items.iter_mut().for_each(forget),
        _ => {}
    }
}

impl<S: Sink> Sink for Filtered<S> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        // A close is judged by what it closes, so the descriptors are followed afterwards.
        let takes = self.takes(event);
        if !self.filter.paths.is_empty() {
            self.descriptors.follow(event);
        }
        match takes {
            true if self.filter.plain_descriptors => self.sink.event(&plain(event)),
            true => self.sink.event(event),
            false => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sink.finish()
    }

    fn pause(&mut self) -> io::Result<()> {
        self.sink.pause()
    }

    fn wants_entries(&self) -> bool {
        self.by_task_alone() && self.sink.wants_entries()
    }
}
