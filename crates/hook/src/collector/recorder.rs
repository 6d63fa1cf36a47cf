//! What the collector watches containers with.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tipstaff_record::{ContainerTarget, Event, Options, Recorder, Target};
use tipstaff_recording::{Backend, Container, Reason, Run};

use super::job::{Records, Watches};
use crate::wire::Card;

/// How long the last ends are waited for. Without a PID namespace of its own a container may leave somebody behind who does not end.
const ENDS: Duration = Duration::from_secs(2);

/// The first backend that can be had: eBPF, else ptrace.
#[derive(Debug, Default)]
pub struct Real;

/// A recording of a container.
pub struct Watching {
    recorder: Recorder,
    events: Receiver<Event>,
    filtered: bool,
}

impl Records for Real {
    type Watch = Watching;

    fn start(&mut self, card: &Card) -> Result<(Watching, Vec<String>), String> {
        let about = Container {
            id: card.id.clone(),
            runtime: card.runtime.clone(),
            bundle: Some(card.bundle_dir.as_os_str().into()),
            no_new_privs: Some(card.bundle.no_new_privileges),
            ..Container::default()
        };
        let cgroups = card.cgroups.clone();
        let target = Target::Container(ContainerTarget { about, init: card.pid, cgroups, starting: true });
        let (says, events) = channel();
        let recorder = Recorder::start(&target, Options::default(), &says).map_err(|e| e.to_string())?;
        let passed = recorder.passed_over().iter();
        let mut notes: Vec<String> = passed
            .map(|one| {
                format!("not recorded by {}: {}; by {}", one.backend.as_str(), one.why, recorder.backend().as_str())
            })
            .collect();
        if card.bundle.filtered {
            notes.push(
                "the container has a seccomp profile already, and what that refuses is not recorded as needed: record with \
                 seccomp=unconfined"
                    .to_owned(),
            );
        }
        Ok((Watching { recorder, events, filtered: card.bundle.filtered }, notes))
    }
}

impl Watches for Watching {
    fn snapshot(&mut self) -> Result<Run, String> {
        Ok(told(self.recorder.snapshot(), self.filtered))
    }

    fn stop(self) -> Result<Run, String> {
        // The kernel tells a tracer of each end by itself, and of the container's perhaps later than its pidfd or its runtime does.
        let mut broken = false;
        if self.recorder.backend() == Backend::Ptrace {
            let until = Instant::now() + ENDS;
            while let Ok(event) = self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                broken |= matches!(event, Event::Broken(_));
                if broken || event == Event::Empty {
                    break;
                }
            }
        }
        let mut run = told(self.recorder.stop(), self.filtered);
        if broken || self.events.try_iter().any(|event| matches!(event, Event::Broken(_))) {
            run.completeness.lacks(Reason::BrokenOff, 1);
        }
        Ok(run)
    }
}

/// A filter that is installed after the recording has begun is not seen by it: the configuration says that there will be one.
fn told(mut run: Run, filtered: bool) -> Run {
    let known = run.completeness.shortfalls().any(|lack| lack.reason == Reason::AlreadyFiltered);
    if filtered && !known {
        run.completeness.lacks(Reason::AlreadyFiltered, 1);
    }
    run
}
