//! The calls of a Tipstaff profile.
//!
//! The base is the default one, a deny list: its rules about arguments (set-id bits, namespaces, families of sockets) stay in force for what was recorded.
//! What was not recorded is ENOSYS by name, or EPERM where the name is old and dangerous. What was recorded and the base refuses is allowed, with the
//! arguments that were seen where these are known.

use std::collections::{BTreeMap, BTreeSet};

use tipstaff_abi::bpf::SeccompData;
use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_oci_seccomp::danger;
use tipstaff_oci_seccomp::learn::{ALWAYS, ArgIs, Arguments, LearnedCall};
use tipstaff_policy::base;
use tipstaff_policy::profile::{ArgCondition, Base, CompareOp, RuleAction, SyscallRule, Syscalls, Width};
use tipstaff_recording::Recording;
use tipstaff_seccomp::{Action, Filter};

use crate::{LearnOptions, Limits, learn};

/// Calls that a box answers ENOSYS in any case, and what C libraries fall back to.
const FALLBACKS: [(&str, &str); 1] = [("clone3", "clone")];

/// What a program asks in a box and perhaps not where it was recorded: the environment of a box is clean, so shells have no PWD.
const ELSEWHERE: [&str; 1] = ["getcwd"];

pub(super) fn syscalls(recording: &Recording, options: LearnOptions<'_>, notes: &mut Vec<String>) -> Syscalls {
    // All values that were seen, so that those which the base refuses are found.
    let Some(exact) = learn(recording, LearnOptions { limits: Limits::All, ..options }) else {
        return Syscalls::default();
    };
    let arch = exact.arch;
    let base = base::filter(base::default_table(arch, true));
    let mut kept: BTreeSet<&str> = ALWAYS.into_iter().chain(ELSEWHERE).collect();
    let mut allowed = Vec::new();
    let mut rules = Vec::new();
    for call in &exact.calls {
        if call.arch != arch {
            notes.push(format!("{} of {}: a box kills what makes such calls", call.name(), call.arch.name()));
            continue;
        }
        let Some(name) = Sysno(call.nr).name(arch) else {
            notes.push(format!("{}: a number without a name, which a profile cannot say", call.name()));
            continue;
        };
        if let Some((_, fallback)) = FALLBACKS.iter().find(|(from, _)| *from == name) {
            kept.insert(fallback);
            continue;
        }
        kept.insert(name);
        match refused(&base, call) {
            Refused::Nothing => {}
            Refused::Whole => allowed.push(name.to_owned()),
            Refused::Tuples(tuples) => rules.extend(tuples.iter().map(|tuple| SyscallRule {
                names: vec![name.to_owned()],
                conditions: tuple.iter().map(|is| condition(is, false)).collect(),
                action: RuleAction::Allow,
            })),
        }
    }
    if !allowed.is_empty() {
        rules.push(SyscallRule { names: allowed, conditions: Vec::new(), action: RuleAction::Allow });
    }
    rules.extend(all_others(arch, &kept));
    Syscalls { base: Some(Base::Default), rules }
}

enum Refused {
    Nothing,
    Whole,
    Tuples(Vec<Vec<ArgIs>>),
}

/// What of a call the base refuses.
fn refused(base: &Filter, call: &LearnedCall) -> Refused {
    let passes = |words: [u64; 6]| {
        let data = SeccompData {
            nr: call.nr.cast_signed(),
            arch: call.arch.audit_arch(),
            args: words,
            ..SeccompData::default()
        };
        matches!(base.decide(&data), Action::Allow | Action::Log)
    };
    match &call.arguments {
        Arguments::Any if passes([0; 6]) => Refused::Nothing,
        Arguments::Any => Refused::Whole,
        Arguments::Tuples(tuples) => {
            let wrong = tuples.iter().filter(|tuple| {
                let mut words = [0; 6];
                for is in *tuple {
                    words[usize::from(is.index)] = is.value;
                }
                !passes(words)
            });
            let wrong: Vec<_> = wrong.cloned().collect();
            if wrong.is_empty() { Refused::Nothing } else { Refused::Tuples(wrong) }
        }
    }
}

/// `whole`: the half of a word is just that, and not an `int` of which the kernel reads no more.
pub(super) fn condition(is: &ArgIs, whole: bool) -> ArgCondition {
    match is.mask {
        u64::MAX => ArgCondition {
            index: is.index,
            op: CompareOp::Eq,
            value: is.value,
            mask: u64::MAX,
            width: Some(Width::W64),
        },
        ArgIs::INT if !whole => ArgCondition {
            index: is.index,
            op: CompareOp::Eq,
            value: is.value,
            mask: u64::MAX,
            width: Some(Width::W32),
        },
        mask => {
            ArgCondition { index: is.index, op: CompareOp::MaskedEq, value: is.value, mask, width: Some(Width::W64) }
        }
    }
}

/// Every other name of this architecture, by what it is answered with.
fn all_others(arch: Arch, kept: &BTreeSet<&str>) -> Vec<SyscallRule> {
    let old: BTreeSet<&str> = danger::refused_by_name().collect();
    let mut by_errno: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (_, name) in Sysno::all(arch).filter(|(_, name)| !kept.contains(name)) {
        let errno = if old.contains(name) { errno::EPERM } else { errno::ENOSYS };
        by_errno.entry(errno).or_default().push(name.to_owned());
    }
    by_errno
        .into_iter()
        .map(|(errno, mut names)| {
            names.sort();
            SyscallRule { names, conditions: Vec::new(), action: RuleAction::Errno(errno.into()) }
        })
        .collect()
}
