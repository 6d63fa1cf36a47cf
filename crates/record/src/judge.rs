//! What a profile would have refused of what was recorded.

use std::collections::BTreeSet;

use tipstaff_abi::enumerable::{Enumerable, Pick};
use tipstaff_abi::errno::ENOSYS;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_oci_seccomp::Error;
use tipstaff_oci_seccomp::extend::{Missing, missing, unclear};
use tipstaff_oci_seccomp::meaning::Meaning;
use tipstaff_recording::{Phase, Recording, Seen, selected};
use tipstaff_seccomp::{Action, Filter};

use crate::{LearnOptions, Limits, learn};

/// A call that the profile would have refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldDeny {
    /// The call, the arguments that are refused, and what the profile answers.
    pub missing: Missing,
    /// The runs that made it, from 1.
    pub runs: Vec<usize>,
    /// By whom it was made first, and when, in the first of these runs.
    pub first: Option<Seen>,
    /// How often it was made in all, with whatever arguments.
    pub count: u64,
}

/// What a profile would have done with recorded runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What it would have refused.
    pub denied: Vec<WouldDeny>,
    /// Calls that it allows for some arguments, where those that were made are not known: only a run under the profile shows.
    pub open: Vec<String>,
    /// Calls that it answers with ENOSYS on purpose, and that C libraries do by another one.
    pub falls_back: Vec<String>,
    /// A run is lacking something, so that more may be refused.
    pub incomplete: bool,
}

/// The arguments that a filter looks at, whole, for [`crate::Options::looked_at`]; it is kept for the rest of the process. What is usually recorded is the
/// part of a word that the kernel reads; a filter of an OCI profile compares all 64 bits.
#[must_use]
pub fn looked_at(filter: &Filter) -> &'static [Enumerable] {
    let mut calls = Vec::new();
    for table in &filter.tables {
        for (&number, rules) in &table.rules {
            let mut looks: BTreeSet<u8> = rules.iter().flat_map(|rule| &rule.conditions).map(|one| one.arg).collect();
            if looks.is_empty() {
                continue;
            }
            let mut picks: Vec<Pick> = selected(table.arch, number).to_vec();
            for pick in picks.iter_mut().filter(|pick| looks.remove(&pick.index)) {
                *pick = Pick { index: pick.index, mask: u64::MAX, behind: None };
            }
            // Behind a pointer alone, or not at all.
            if !looks.is_empty() {
                picks.retain(|pick| pick.behind.is_none());
            }
            picks.extend(looks.into_iter().map(|index| Pick { index, mask: u64::MAX, behind: None }));
            calls.push(Enumerable { arch: table.arch, number: Sysno(number), picks: Vec::leak(picks) });
        }
    }
    Vec::leak(calls)
}

/// What a filter would have refused, call by call.
///
/// # Errors
/// If the rules of a call are too many to be compared.
pub fn judge(filter: &Filter, recording: &Recording, phases: &[Phase]) -> Result<Judgement, Error> {
    let mut judgement =
        Judgement { incomplete: recording.runs().any(|run| !run.completeness.is_complete()), ..Judgement::default() };
    let Some(learned) = learn(recording, LearnOptions { phases, limits: Limits::All }) else { return Ok(judgement) };
    // Recorded were halves of words, and the filter compares whole ones.
    judgement.open = unclear(filter, &learned)?;
    for missing in missing(filter, &learned)? {
        if missing.partly && missing.arguments.is_empty() {
            judgement.open.push(missing.name);
        } else if falls_back(filter, missing.arch, &missing.name, missing.action)? {
            judgement.falls_back.push(missing.name);
        } else {
            judgement.denied.push(seen(missing, recording, phases));
        }
    }
    judgement.open.sort();
    judgement.open.dedup();
    Ok(judgement)
}

/// clone3 with ENOSYS, where clone can be made.
pub(crate) fn falls_back(filter: &Filter, arch: Arch, name: &str, action: Action) -> Result<bool, Error> {
    if name != "clone3" || action != Action::Errno(ENOSYS) {
        return Ok(false);
    }
    let Some(clone) = Sysno::by_name(arch, "clone") else { return Ok(false) };
    let passes = Meaning::of(filter, arch, clone.0).and_then(|clone| clone.passes_sometimes());
    passes.map_err(|e| Error::Value { path: "clone".into(), message: e.to_string() })
}

/// Where it was seen.
fn seen(missing: Missing, recording: &Recording, phases: &[Phase]) -> WouldDeny {
    let mut denied = WouldDeny { missing, runs: Vec::new(), first: None, count: 0 };
    for (at, run) in recording.runs().enumerate() {
        let same =
            |call: &&tipstaff_recording::Call| (call.arch, call.number) == (denied.missing.arch, denied.missing.nr);
        let Some(call) = run.calls.iter().find(same) else { continue };
        let counts = call.seen.iter().filter(|seen| phases.contains(&seen.phase));
        let Some(first) = counts.min_by_key(|seen| seen.first_ns) else { continue };
        if denied.first.is_none() {
            denied.first = Some(first.clone());
        }
        denied.runs.push(at + 1);
        denied.count = denied.count.saturating_add(call.count());
    }
    denied
}
