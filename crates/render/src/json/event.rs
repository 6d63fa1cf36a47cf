//! One event as a JSON object. Keys are never left out; what is absent is null.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tipstaff_abi::{Arch, signal};
use tipstaff_decode::{Call, Returned};

use super::value::{self, Json, Text};
use crate::{Event, What};

/// The object of one event.
pub(super) struct Line<'a>(pub &'a Event);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Event { at_ns, pid, tid, what } = self.0;
        let mut line = to.serialize_map(None)?;
        line.serialize_entry("event", kind(what))?;
        line.serialize_entry("at_ns", at_ns)?;
        line.serialize_entry("pid", pid)?;
        line.serialize_entry("tid", tid)?;
        match what {
            What::Entered(call) => call_of(&mut line, call)?,
            What::Returned { call, took_ns } => {
                call_of(&mut line, call)?;
                line.serialize_entry("returned", &call.returned.as_ref().map(Outcome))?;
                line.serialize_entry("took_ns", took_ns)?;
            }
            What::Signal { number, info } => {
                signal_of(&mut line, *number)?;
                line.serialize_entry("info", &Json(info))?;
            }
            What::Forked { child, child_pid } => {
                line.serialize_entry("child", child)?;
                line.serialize_entry("child_pid", child_pid)?;
            }
            What::Executed { former_tid, path, argv } => {
                line.serialize_entry("former_tid", former_tid)?;
                line.serialize_entry("path", &Text(path))?;
                line.serialize_entry("argv", &argv.iter().map(|arg| Text(arg)).collect::<Vec<_>>())?;
            }
            What::Exited { status } => line.serialize_entry("status", status)?,
            What::Killed { signal, core } => {
                signal_of(&mut line, *signal)?;
                line.serialize_entry("core", core)?;
            }
            What::Stopped { signal } => signal_of(&mut line, *signal)?,
            What::Attached | What::Detached => {}
        }
        line.end()
    }
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Entered(_) => "entered",
        What::Returned { .. } => "call",
        What::Signal { .. } => "signal",
        What::Forked { .. } => "forked",
        What::Executed { .. } => "executed",
        What::Exited { .. } => "exited",
        What::Killed { .. } => "killed",
        What::Stopped { .. } => "stopped",
        What::Attached => "attached",
        What::Detached => "detached",
    }
}

fn call_of<M: SerializeMap>(line: &mut M, call: &Call) -> Result<(), M::Error> {
    line.serialize_entry("arch", Arch::name(call.arch))?;
    line.serialize_entry("number", &call.number)?;
    line.serialize_entry("name", &call.name)?;
    line.serialize_entry("args", &value::named(&call.args))
}

fn signal_of<M: SerializeMap>(line: &mut M, number: i32) -> Result<(), M::Error> {
    line.serialize_entry("signal", &number)?;
    line.serialize_entry("name", &signal::name(number))
}

/// What a call came to.
struct Outcome<'a>(&'a Returned);

impl Serialize for Outcome<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(3))?;
        map.serialize_entry("value", &value::number(self.0.value))?;
        map.serialize_entry("errno", &self.0.errno)?;
        map.serialize_entry("shown", &self.0.shown.as_ref().map(Json))?;
        map.end()
    }
}
