//! Why a program failed, in words.

mod explain;
mod noise;
mod process;
mod rank;
mod words;

use std::collections::HashMap;
use std::io::{self, Write};

use tipstaff_decode::{Call, Value};

use crate::text::value_text;
use crate::touch::Descriptors;
use crate::{Event, Sink, What};
use process::{Delivered, End, Process};

/// Watches a trace, and says at the end why the program failed: `cat exited with status 1: openat(…) failed with ENOENT (…)`.
///
/// It follows the failure down the tree, from the first process to the child whose status it passed on, and looks there for the call that the
/// program's own words on stderr point to. How many bytes of a string the trace holds matters for that: 32 (`strace -s`) cut most messages
/// off, 512 keep them. Where nothing fits, it says so and names the candidates.
#[derive(Debug)]
pub struct Why<W> {
    to: W,
    watch: Watch,
}

/// What is remembered of the trace.
#[derive(Debug, Default)]
struct Watch {
    /// In the order of their beginning; the first is the one that the trace is about.
    processes: Vec<Process>,
    by_pid: HashMap<i32, usize>,
    descriptors: Descriptors,
    kills: Vec<Kill>,
    /// How many events there were.
    order: u64,
}

/// A signal that one process sent to another by number.
#[derive(Debug)]
struct Kill {
    sender: usize,
    target: i64,
    signal: String,
}

/// Kills that are remembered.
const KILLS: usize = 10_000;

impl<W: Write> Why<W> {
    /// An explanation that is written to `to` at the end.
    pub fn new(to: W) -> Self {
        Self { to, watch: Watch::default() }
    }
}

impl<W: Write> Sink for Why<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.watch.event(event);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        for line in self.watch.explain() {
            writeln!(self.to, "{line}")?;
        }
        self.to.flush()
    }
}

impl Watch {
    fn event(&mut self, event: &Event) {
        self.order += 1;
        let place = self.place(event.pid);
        match &event.what {
            What::Returned { call, .. } => self.call(place, call),
            What::Forked { child_pid, .. } if *child_pid != event.pid => {
                // The child's first event may have come before: it has no parent yet then. Parents stand before their children, so that there is no circle
                // whatever the ids are.
                match self.by_pid.get(child_pid) {
                    Some(&child) if child > place && self.processes[child].end.is_none() => self.adopt(child, place),
                    _ => {
                        let program = self.processes[place].program.clone();
                        self.add(Process::new(*child_pid, Some(place), program));
                    }
                }
            }
            What::Executed { path, .. } => self.executed(place, path),
            What::Signal { number, info } => {
                self.processes[place].signal = Some(Delivered { number: *number, info: info.clone() });
            }
            What::Exited { status } => self.ended(place, event, End::Exited(*status)),
            What::Killed { signal, core } => self.ended(place, event, End::Killed { signal: *signal, core: *core }),
            _ => {}
        }
        self.descriptors.follow(event);
    }

    /// The place of a process, which may be new.
    fn place(&mut self, pid: i32) -> usize {
        match self.by_pid.get(&pid) {
            Some(&place) => place,
            None => self.add(Process::new(pid, None, None)),
        }
    }

    fn add(&mut self, process: Process) -> usize {
        self.by_pid.insert(process.pid, self.processes.len());
        self.processes.push(process);
        self.processes.len() - 1
    }

    fn adopt(&mut self, child: usize, parent: usize) {
        let program = self.processes[parent].program.clone();
        let child = &mut self.processes[child];
        child.parent = child.parent.or(Some(parent));
        child.program = child.program.take().or(program);
    }

    /// Another program: what the one before it met with, said, and waited for is no reason for this one's end.
    fn executed(&mut self, place: usize, path: &[u8]) {
        self.processes[place].begin(path);
        for child in self.processes.iter_mut().filter(|child| child.parent == Some(place) && child.end.is_some()) {
            child.parent = None;
        }
    }

    fn ended(&mut self, place: usize, event: &Event, end: End) {
        // The leader's end is reported when no other thread is left (wait(2)), and its status is the process's.
        if event.tid == event.pid {
            self.processes[place].settle(self.order, end);
        }
    }

    fn call(&mut self, place: usize, call: &Call) {
        self.processes[place].note(self.order, call, &self.descriptors);
        let sent = matches!(&*call.name, "kill" | "tgkill" | "rt_sigqueueinfo" | "rt_tgsigqueueinfo");
        if sent && call.returned.as_ref().is_none_or(|returned| returned.errno.is_none()) && self.kills.len() < KILLS {
            let signal = call.args.iter().map(|arg| value_text(&arg.value)).find(|text| text.starts_with("SIG"));
            if let (Some(Value::Int(target)), Some(signal)) = (call.args.first().map(|arg| &arg.value), signal) {
                self.kills.push(Kill { sender: place, target: *target, signal });
            }
        }
    }
}
