//! From recordings to what a profile allows.

use std::collections::BTreeMap;

use tipstaff_abi::Arch;
use tipstaff_oci_seccomp::learn::{ArgIs, Arguments, Learned, LearnedCall};
use tipstaff_recording::{Call, Coverage, Phase, Recording};

use crate::limits::{Limit, limit};

/// Which arguments are limited to what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limits {
    /// None: a call that was seen is allowed whole.
    None,
    /// Those that tell a harmless use from a dangerous one, with what a program that was seen to use them may well use another time besides.
    #[default]
    Safe,
    /// All that were recorded, to exactly what was seen.
    All,
}

/// What of a recording goes into a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnOptions<'a> {
    /// The phases that count.
    pub phases: &'a [Phase],
    /// The arguments that are limited.
    pub limits: Limits,
}

impl Default for LearnOptions<'_> {
    /// What is needed from the installation of a container's filter on: not its set-up.
    fn default() -> Self {
        Self { phases: &[Phase::Runtime, Phase::Workload], limits: Limits::Safe }
    }
}

/// What all runs of a recording did together, as far as these options let it count. The machine's architecture is that of the first run;
/// `None`: there is no run.
#[must_use]
pub fn learn(recording: &Recording, options: LearnOptions<'_>) -> Option<Learned> {
    let coverage = Coverage::of(recording, options.phases);
    let arch = recording.runs().next()?.machine.arch;
    let mut all: BTreeMap<(Arch, u32), Vec<(usize, &Call)>> = BTreeMap::new();
    for (at, run) in recording.runs().enumerate() {
        for call in run.calls.iter() {
            if call.seen.iter().any(|seen| options.phases.contains(&seen.phase)) {
                all.entry((call.arch, call.number)).or_default().push((at, call));
            }
        }
    }
    let calls = all.into_iter().map(|((arch, number), calls)| LearnedCall {
        arch,
        nr: number,
        arguments: arguments(&calls, options.limits),
        note: note(&calls, coverage.runs()),
    });
    Some(Learned { arch, calls: calls.collect(), about: about(recording) })
}

/// What these calls, of all runs, may be given.
fn arguments(calls: &[(usize, &Call)], limits: Limits) -> Arguments {
    let Some((_, first)) = calls.first() else { return Arguments::Any };
    let Some(limit) = limit(first, limits) else { return Arguments::Any };
    let mut tuples = Vec::new();
    for (_, call) in calls {
        match &call.arguments {
            Some(arguments) if !arguments.demoted => {
                tuples.extend(arguments.values.iter().map(|values| (arguments.selected.as_slice(), values.as_slice())));
            }
            _ => return Arguments::Any,
        }
    }
    let mut allowed: Vec<Vec<ArgIs>> = match limit {
        Limit::Exact => tuples
            .iter()
            .map(|(selected, values)| {
                let words = selected.iter().zip(*values).filter(|(select, _)| select.behind.is_none());
                words.map(|(select, &value)| ArgIs { index: select.index, mask: select.mask, value }).collect()
            })
            .collect(),
        Limit::One { index, mask, also } => {
            let seen = tuples.iter().filter_map(|(selected, values)| {
                let at = selected.iter().position(|select| select.index == index && select.behind.is_none())?;
                values.get(at)
            });
            let seen: Vec<u64> = seen.map(|value| value & mask).collect();
            let more = also(&seen);
            seen.into_iter().chain(more).map(|value| vec![ArgIs { index, mask, value: value & mask }]).collect()
        }
    };
    if allowed.iter().any(Vec::is_empty) {
        return Arguments::Any;
    }
    allowed.sort();
    allowed.dedup();
    Arguments::Tuples(allowed)
}

/// Why a call is there: `3 of 5 runs, first in run 1 by /usr/sbin/nginx`.
fn note(calls: &[(usize, &Call)], runs: usize) -> String {
    let Some((at, first)) = calls.first() else { return String::new() };
    let by = first.first().map(|seen| seen.executable.to_string()).filter(|by| !by.is_empty());
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    match runs {
        1 => format!("seen{by}"),
        _ => format!("{} of {runs} runs, first in run {}{by}", calls.len(), at + 1),
    }
}

/// Where a recording comes from, a line for each run.
pub(crate) fn about(recording: &Recording) -> Vec<String> {
    recording
        .runs()
        .enumerate()
        .map(|(at, run)| {
            let complete = if run.completeness.is_complete() { "complete" } else { "incomplete" };
            format!(
                "run {}: {} by {}, {} {}, {}, {complete}",
                at + 1,
                crate::words::target(&run.target),
                run.backend.as_str(),
                run.machine.kernel,
                run.machine.arch.name(),
                run.tool,
            )
        })
        .collect()
}
