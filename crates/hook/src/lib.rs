//! The OCI hook: a container is recorded from before its first instruction to its end, and leaves a seccomp profile.
//!
//! ```text
//!  runtime ── state ─▶ hook, prestart ── card ─▶ collector, one for all containers (its own session, its own life)
//!                        waits ◀── ready, or why not ──┤ records: the threads of init, who joins its control groups or PID namespace
//!  runtime ── state ─▶ hook, poststop ── id ────▶      │ flushes now and then
//!                        waits ◀── what was written ───┘ writes the profile; ends with its last container
//! ```
//!
//! - `state`, `stage`, `annotation`, `name`, `bundle`: what the runtime says, as values.
//! - `place`: where the two ends find each other: a private directory with a locked card for each container.
//! - `start`, `collector`, `finish`: the three processes.
//! - `install`: the engine's configuration.
#![forbid(unsafe_code)]

mod annotation;
#[cfg(any(test, fuzzing))]
pub mod anything;
mod bundle;
mod channel;
mod collector;
mod error;
mod finish;
mod install;
mod log;
mod name;
mod options;
mod place;
mod publish;
mod stage;
mod start;
mod state;
mod wire;

use annotation::{Annotation, Choice, KEY};
use bundle::Bundle;
use log::Log;
use place::Place;
use stage::Stage;
use state::State;
use tipstaff_record::ContainerTarget;
use tipstaff_recording::Container;
use wire::{Card, End, Task};

pub use error::Error;
pub use install::{DIR as HOOKS_DIR, Installed, configuration, install};
pub use options::{OnError, Options, UnknownWord};

/// What a hook did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The container is recorded from now on; what there is to say about how.
    Records(Vec<String>),
    /// The container could not be recorded, and runs without; why.
    Unrecorded(String),
    /// The recording has ended, and this is on disk; in words.
    Written(Vec<String>),
    /// There was nothing to do; why.
    Nothing(String),
}

/// Does what is to be done at this stage of a container.
///
/// # Errors
/// Before the start: why the container cannot be recorded, unless it is to run without then. At the end: why there is no profile, or no complete one.
pub fn run(state: &[u8], options: &Options) -> Result<Done, Error> {
    let state = match State::parse(state) {
        Ok(state) => state,
        Err(e) if options.on_error == OnError::Run => {
            Log::open(&options.log_path(), "-").line(&format!("runs unrecorded: {e}"));
            return Ok(Done::Unrecorded(e.to_string()));
        }
        Err(e) => return Err(e),
    };
    match Stage::of(&state, stage::outside) {
        Stage::Ignore(why) => Ok(Done::Nothing(why.to_owned())),
        Stage::Finish => finished(&state, options),
        Stage::Start { pid } => {
            let place = Place::make(&options.runtime_dir);
            let mut log = Log::open(&options.log_path(), &state.id);
            let started = place.and_then(|place| started(&place, &state, pid, options, &log));
            match started {
                Err(e) if options.on_error == OnError::Run => {
                    log.line(&format!("runs unrecorded: {e}"));
                    Ok(Done::Unrecorded(e.to_string()))
                }
                Err(e) => {
                    log.line(&format!("not started: {e}"));
                    Err(e)
                }
                Ok(done) => {
                    if let Done::Records(notes) = &done {
                        log.line("recorded");
                        notes.iter().for_each(|note| log.line(note));
                    }
                    Ok(done)
                }
            }
        }
    }
}

fn started(place: &Place, state: &State, pid: i32, options: &Options, log: &Log) -> Result<Done, Error> {
    let name = name::of(state);
    let value = match annotation::choose(state.annotations(), &name) {
        Choice::Ours(value) => value,
        Choice::Absent => return Ok(Done::Nothing(format!("no annotation {KEY}: not recorded"))),
        Choice::Others(others) => {
            return Ok(Done::Nothing(format!("the annotation is for {others:?}, and this is {name:?}: not recorded")));
        }
    };
    let annotation = Annotation::parse(value)?;
    let output = annotation.output(&state.id, &name)?;
    let card = Card {
        id: state.id.clone(),
        name,
        pid,
        cgroups: ContainerTarget::starting(Container::default(), pid).cgroups,
        runtime: runtime(),
        bundle_dir: state.bundle.clone(),
        bundle: Bundle::read(&state.bundle)?,
        input: annotation.input,
        output,
        roots: options.roots.clone(),
        flush_ms: u64::try_from(options.flush.as_millis()).unwrap_or(u64::MAX),
    };
    publish::check(&card).map_err(Error::Output)?;
    let task = Task { runtime_dir: options.runtime_dir.clone(), log: options.log_path() };
    if let Some(notes) = start::start(place, &card, &task, options.time_limit, log)? {
        return Ok(Done::Records(notes));
    }
    // An id is unique for one runtime and its root only. The card of the other may not be written yet: then it is the same container's, at two stages.
    match place.read::<Card>(&card.id, "run") {
        Some(other) if other.pid != card.pid => Err(Error::Start(format!(
            "another container {} is recorded, process {}; give this one another id, or its runtime a --runtime-dir of its own",
            card.id, other.pid
        ))),
        _ => Ok(Done::Nothing("recorded already".to_owned())),
    }
}

/// Who runs us, as far as the name says it: a runtime, or at poststop an engine.
fn runtime() -> Option<String> {
    let parent = rustix::process::getppid()?;
    let name = std::fs::read_to_string(format!("/proc/{}/comm", parent.as_raw_nonzero())).ok()?;
    Some(name.trim_end().to_owned())
}

fn finished(state: &State, options: &Options) -> Result<Done, Error> {
    let unrecorded = || Ok(Done::Nothing(format!("{} was not recorded", state.id)));
    // Nothing was ever recorded where there is no such directory.
    if !options.runtime_dir.exists() {
        return unrecorded();
    }
    let place = Place::open(&options.runtime_dir)?;
    let end = finish::finish(&place, &state.id, |card| salvage(&place, card, options))?;
    match end {
        None => unrecorded(),
        Some(end) if end.failed.is_some() || !end.incomplete.is_empty() => Err(Error::Finish(end.lines().join("; "))),
        Some(end) => Ok(Done::Written(end.lines())),
    }
}

/// The collector was killed: what it saved last is what there is.
fn salvage(place: &Place, card: &Card, options: &Options) -> End {
    let end = match place.saved(&card.id) {
        Some((run, age)) => {
            let what = format!("the collector was killed; this is what it had seen {:.1} s ago", age.as_secs_f64());
            publish::publish(place, card, broken_off(run), vec![what])
        }
        None => {
            let failed = Some("the collector was killed before it saved anything".to_owned());
            End { output: card.output.clone(), failed, ..End::default() }
        }
    };
    let mut log = Log::open(&options.log_path(), &card.id);
    end.lines().iter().for_each(|line| log.line(line));
    end
}

fn broken_off(mut run: tipstaff_recording::Run) -> tipstaff_recording::Run {
    run.completeness.lacks(tipstaff_recording::Reason::BrokenOff, 1);
    run
}

/// The collector: what [`run`] starts, never a user. The exit status.
pub fn collect() -> u8 {
    collector::collect(collector::Real)
}

/// What the system says of an error, without its number.
pub(crate) fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    match e.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or_default().to_lowercase(),
        None => text,
    }
}
