//! `tipstaff verify`, `tipstaff heal`: a profile against what a program does.

pub mod args;
mod enforce;
mod heal;

use tipstaff_record::{Judgement, Options, WouldDeny, judge, looked_at};
use tipstaff_recording::{Phase, Recording};
use tipstaff_seccomp::Filter;

use crate::profile::source::load;
use crate::record::{recordings, session};
use crate::say;
use args::{Heal, Mode, Verify, What};

/// Verifies; the exit status: 0 nothing is refused, 1 something.
pub fn call(verify: &Verify) -> u8 {
    said(run(verify))
}

/// Heals; the exit status.
pub fn heal(heal: &Heal) -> u8 {
    said(heal::run(heal).map(|()| 0))
}

fn said(result: Result<u8, String>) -> u8 {
    result.unwrap_or_else(|message| {
        say::error(message);
        say::FAILED
    })
}

fn run(verify: &Verify) -> Result<u8, String> {
    let loaded = load(&verify.profile, &verify.machine)?;
    let filter = loaded.filter()?;
    let launches = !verify.what.argv.is_empty();
    let enforces = launches && verify.mode != Mode::Complain;
    if !launches && verify.mode == Mode::Enforce {
        return Err(
            "--mode enforce: only a program that is started can be put under a profile; name one after `--`".into()
        );
    }
    let (mut refused, mut open) = (0, false);
    if !(launches && verify.mode == Mode::Enforce) {
        let recording = verify.what.recorded(&filter)?;
        if !saw_anything(&recording, &verify.what.phases()) {
            return Err(
                "nothing was recorded in the phases that count, so that nothing can be held against the profile; \
                        record anew, or name the phases with --phases setup,runtime,workload"
                    .into(),
            );
        }
        let judgement = judge(&filter, &recording, &verify.what.phases()).map_err(|e| e.to_string())?;
        tell(&judgement, recording.len());
        refused += judgement.denied.len();
        open = !judgement.open.is_empty();
    }
    if enforces {
        refused += enforce::run(&filter, &verify.what.argv)?;
    }
    if refused == 0 {
        // Who has run under the profile knows.
        let known = if open && !enforces { ", as far as the recording shows" } else { "" };
        say::note(format_args!("{}: nothing is refused{known}", loaded.name));
    }
    Ok(u8::from(refused > 0))
}

/// An empty recording agrees with every profile.
fn saw_anything(recording: &Recording, phases: &[Phase]) -> bool {
    let mut calls = recording.runs().flat_map(|run| run.calls.iter());
    calls.any(|call| call.seen.iter().any(|seen| phases.contains(&seen.phase)))
}

impl What {
    /// The phases that count.
    pub fn phases(&self) -> Vec<Phase> {
        self.phases.iter().map(|&phase| phase.into()).collect()
    }

    /// The recordings that are there, or one that is made now, with all that the filter looks at.
    pub fn recorded(&self, filter: &Filter) -> Result<Recording, String> {
        if !self.recording.is_empty() {
            if !self.argv.is_empty() {
                return Err("--recording: what was recorded is there; leave the program out".into());
            }
            return recordings::read_all(&self.recording);
        }
        let options =
            Options { backend: self.backend.map(Into::into), looked_at: looked_at(filter), ..Options::default() };
        session::once(&self.argv, self.container.as_deref(), options).map(Recording::from)
    }
}

/// Says what would have been refused, a line each, with the call's first appearance.
fn tell(judgement: &Judgement, runs: usize) {
    for denied in &judgement.denied {
        say::note(line(denied, runs));
    }
    if !judgement.open.is_empty() {
        say::note(format_args!(
            "allowed for some arguments, and those that were made are not recorded: {}",
            judgement.open.join(", ")
        ));
    }
    tell_of_fallbacks(&judgement.falls_back);
    if judgement.incomplete {
        say::note("the recording is incomplete: more may be refused");
    }
}

fn tell_of_fallbacks(names: &[String]) {
    if !names.is_empty() {
        say::note(format_args!("{}: ENOSYS, on which C libraries do without", names.join(", ")));
    }
}

/// "would refuse x86_64 mkdir: errno ENOSYS; 1 time, first by /usr/bin/mkdir after 2 ms; missing rule: mkdir"
fn line(denied: &WouldDeny, runs: usize) -> String {
    let WouldDeny { missing, first, count, .. } = denied;
    let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
    let first = first.as_ref().map(|seen| {
        let by = seen.executable.to_string();
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        format!(", first{by} after {} ms", seen.first_ns / 1_000_000)
    });
    let of = if runs > 1 { format!(" in {} of {runs} runs", denied.runs.len()) } else { String::new() };
    format!("would refuse {missing}; made {times}{of}{}", first.unwrap_or_default())
}
