//! A profile with what it lacked for what a program does.

use tipstaff::policy::profile::{ArgCondition, CompareOp, Profile, RuleAction, SyscallRule, Width};
use tipstaff_oci_seccomp::extend::{Missing, extend, missing};
use tipstaff_oci_seccomp::learn::Learned;
use tipstaff_record::{LearnOptions, Limits, learn};

use super::args::Heal;
use crate::profile::args::Output;
use crate::profile::output;
use crate::profile::source::{Loaded, Source, load};
use crate::say;

/// Heals.
pub fn run(heal: &Heal) -> Result<(), String> {
    let to = Output { output: Some(heal.output.clone()), format: heal.format };
    let target = to.open()?;
    let loaded = load(&heal.profile, &heal.machine)?;
    let recording = heal.what.recorded(&loaded.filter()?)?;
    let phases = heal.what.phases();
    let learned = |limits| {
        learn(&recording, LearnOptions { phases: &phases, limits }).ok_or_else(|| "the recording has no run".to_owned())
    };
    let needed = needed(&loaded, learned(Limits::All)?, &learned(heal.limits.into())?)?;
    let healed = healed(&loaded, &needed)?;
    let made = output::convert(&healed, heal.format)?;
    output::write(&made, target.as_ref())
}

/// What was really refused, and no more: a call that the profile limits already gets the very arguments that were seen, another one as many as
/// `--args` has it.
fn needed(loaded: &Loaded, exact: Learned, wider: &Learned) -> Result<Learned, String> {
    let refused = missing(&loaded.filter()?, &exact).map_err(|e| format!("{}: {e}", loaded.name))?;
    let mut calls = Vec::new();
    for call in exact.calls {
        let Some(missing) = refused.iter().find(|missing| (missing.arch, missing.nr) == (call.arch, call.nr)) else {
            continue;
        };
        let other = wider.calls.iter().find(|other| (other.arch, other.nr) == (call.arch, call.nr));
        calls.push(other.filter(|_| !missing.partly).cloned().unwrap_or(call));
    }
    Ok(Learned { calls, ..exact })
}

fn healed(loaded: &Loaded, learned: &Learned) -> Result<Loaded, String> {
    let wrong = |e: tipstaff_oci_seccomp::Error| format!("{}: {e}", loaded.name);
    let (source, added) = match &loaded.source {
        Source::Document(document) => {
            let extended = extend(document, learned, &loaded.env()).map_err(wrong)?;
            extended.warnings.iter().for_each(say::note);
            (Source::Document(Box::new(extended.document)), extended.added)
        }
        Source::Profile(profile) => {
            let added = missing(&loaded.filter()?, learned).map_err(wrong)?;
            let mut profile: Profile = profile.as_ref().clone();
            // The last rule that applies counts, so these go over all others.
            profile.syscalls.rules.extend(added.iter().flat_map(rules));
            (Source::Profile(Box::new(profile)), added)
        }
    };
    for missing in &added {
        let note = if missing.note.is_empty() { String::new() } else { format!(" ({})", missing.note) };
        say::note(format_args!("added {missing}{note}"));
    }
    if added.is_empty() {
        say::note(format_args!("{}: nothing to add", loaded.name));
    }
    Ok(loaded.with(source))
}

fn rules(missing: &Missing) -> Vec<SyscallRule> {
    let rule = |conditions| SyscallRule { names: vec![missing.name.clone()], conditions, action: RuleAction::Allow };
    if missing.name.starts_with('#') {
        return Vec::new();
    }
    if missing.arguments.is_empty() {
        return vec![rule(Vec::new())];
    }
    let of = |cube: &tipstaff_oci_seccomp::region::Cube| {
        let said = cube.0.iter().zip(0..).filter(|(bits, _)| bits.mask != 0);
        said.map(|(bits, index)| {
            let (op, mask) =
                if bits.mask == u64::MAX { (CompareOp::Eq, u64::MAX) } else { (CompareOp::MaskedEq, bits.mask) };
            ArgCondition { index, op, value: bits.value, mask, width: Some(Width::W64) }
        })
        .collect()
    };
    missing.arguments.iter().map(|cube| rule(of(cube))).collect()
}
