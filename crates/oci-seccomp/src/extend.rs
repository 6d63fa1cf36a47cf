//! A profile that is there, with what it lacks for a program.

use std::collections::{BTreeMap, BTreeSet};

use tipstaff_abi::Arch;
use tipstaff_seccomp::{Action, Filter};

use crate::learn::{Learned, name};
use crate::meaning::{Meaning, passes};
use crate::region::{Cube, Region, TooMany};
use crate::{Document, Env, Error, Form, Syscall, evaluate, import, write};

/// Something that a program does and a profile refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The call's architecture.
    pub arch: Arch,
    /// Its number.
    pub nr: u32,
    /// Its name, or "#nnn".
    pub name: String,
    /// The arguments that are refused; empty where the profile lacks the call altogether, or any arguments are needed.
    pub arguments: Vec<Cube>,
    /// The profile allows it with other arguments. Where any are needed, those that were made may be among them.
    pub partly: bool,
    /// What the profile answers.
    pub action: Action,
    /// Where it was seen.
    pub note: String,
}

/// A document that was extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extended {
    /// The document, in its own form.
    pub document: Document,
    /// What was added.
    pub added: Vec<Missing>,
    /// What could not be, and entries that had to give way: a line each.
    pub warnings: Vec<String>,
}

/// What of these calls a filter refuses. A name that is there only for other arguments, other capabilities or another architecture is not there: the
/// filter is asked what it really does.
///
/// # Errors
/// If a call's arguments are too many to be compared.
pub fn missing(filter: &Filter, learned: &Learned) -> Result<Vec<Missing>, Error> {
    let mut found = Vec::new();
    for call in &learned.calls {
        let wrong = |e: TooMany| Error::value(call.name(), e.to_string());
        let meaning = Meaning::of(filter, call.arch, call.nr).map_err(wrong)?;
        let needed = call.region()?;
        let (arguments, action) = if needed.is_all() {
            if meaning.passes_always().map_err(wrong)? {
                continue;
            }
            let refusal = meaning.actions().map_err(wrong)?.into_iter().find(|action| !passes(*action));
            (Vec::new(), refusal.unwrap_or(meaning.rest()))
        } else {
            let refused = |cube: &&Cube| !cube.usual().iter().any(|args| passes(meaning.at(args)));
            let refused: Vec<Cube> = needed.cubes().iter().filter(refused).copied().collect();
            let Some(first) = refused.first() else { continue };
            let action = meaning.at(&first.lowest());
            (refused, action)
        };
        found.push(Missing {
            arch: call.arch,
            nr: call.nr,
            name: call.name(),
            partly: meaning.passes_sometimes().map_err(wrong)?,
            arguments,
            action,
            note: call.note.clone(),
        });
    }
    found.sort();
    Ok(found)
}

/// Calls that a filter lets pass or refuses by the high half of a word of which only the low one is known.
///
/// # Errors
/// If a call's arguments are too many to be compared.
pub fn unclear(filter: &Filter, learned: &Learned) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for call in &learned.calls {
        let meaning = Meaning::of(filter, call.arch, call.nr).map_err(|e| Error::value(call.name(), e.to_string()))?;
        let differ = |cube: &Cube| {
            let passed: Vec<bool> = cube.usual().iter().map(|args| passes(meaning.at(args))).collect();
            passed.contains(&true) && passed.contains(&false)
        };
        let needed = call.region()?;
        if !needed.is_all() && needed.cubes().iter().any(differ) {
            found.push(call.name());
        }
    }
    Ok(found)
}

/// The calls that a document names in order to refuse them, with whatever arguments and capabilities, on this machine; also where that is what happens to
/// all others.
///
/// # Errors
/// If the document cannot be evaluated.
pub fn refused_by_name(document: &Document, env: &Env<'_>) -> Result<BTreeSet<String>, Error> {
    let filter = evaluate(document, env)?.filter;
    let form = env.form.unwrap_or_else(|| document.form());
    let mut refused = BTreeSet::new();
    for (at, entry) in document.syscalls.iter().flatten().enumerate() {
        let path = format!("syscalls[{at}]");
        let caps = |condition: &Option<crate::Condition>| {
            condition.as_ref().and_then(|one| one.caps.as_ref()).is_some_and(|caps| !caps.is_empty())
        };
        let limited = entry.args.as_ref().is_some_and(|args| !args.is_empty());
        if limited || caps(&entry.includes) || caps(&entry.excludes) || !import::counts(entry, &path, env, form)? {
            continue;
        }
        let (_, action) = import::entry_action(entry, &path)?;
        if matches!(action, Action::Errno(_) | Action::Trap(_) | Action::KillThread | Action::KillProcess) {
            refused.extend(entry.names.iter().flatten().chain(&entry.name).cloned());
        }
    }
    // What another entry lets pass all the same is not refused.
    refused.retain(|name| {
        let number = tipstaff_abi::Sysno::by_name(env.arch, name);
        number.is_none_or(|nr| {
            Meaning::of(&filter, env.arch, nr.0).is_ok_and(|meaning| meaning.passes_sometimes() == Ok(false))
        })
    });
    Ok(refused)
}

/// Adds to a document what it lacks for these calls, and nothing else. Its form, its default action, its architectures and its other entries stay.
///
/// # Errors
/// If the document cannot be evaluated; if it refuses nothing by default, so that there would be nothing to add; if it has no rules for an architecture
/// that is needed.
pub fn extend(base: &Document, learned: &Learned, env: &Env<'_>) -> Result<Extended, Error> {
    let imported = evaluate(base, env)?;
    let form = env.form.unwrap_or_else(|| base.form());
    if base.is_off(env) || passes(import::default_action(base)?.1) {
        let what = "lets everything pass that no entry refuses, so that there is nothing to add; extend a profile that refuses by default";
        return Err(Error::value("defaultAction", what));
    }
    let mut document = base.clone();
    let mut warnings = Vec::new();
    let mut added = Vec::new();
    let mut needed: BTreeMap<Vec<Cube>, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for missing in missing(&imported.filter, learned)? {
        if missing.name.starts_with('#') {
            let said = "a number without a name, which no document can say";
            warnings.push(format!("{} {}: {said}", missing.arch.name(), missing.name));
            continue;
        }
        if imported.filter.table(missing.arch).is_none() {
            warnings.push(format!(
                "{} {}: the profile has no rules for {}; add the architecture",
                missing.arch.name(),
                missing.name,
                missing.arch.oci_name()
            ));
            continue;
        }
        give_way(&mut document, &missing, env, form, &mut warnings)?;
        let notes = needed.entry(missing.arguments.clone()).or_default().entry(missing.name.clone()).or_default();
        if !missing.note.is_empty() {
            notes.push(missing.note.clone());
        }
        added.push(missing);
    }
    let entries = document.syscalls.get_or_insert_default();
    for (cubes, names) in needed {
        let notes = names
            .iter()
            .filter(|(_, notes)| !notes.is_empty())
            .map(|(name, notes)| format!("{name}: {}", notes.join("; ")));
        let notes: Vec<String> = notes.collect();
        let comment = (form != Form::Strict && !notes.is_empty()).then(|| notes.join("; "));
        let plain = Syscall {
            names: Some(names.into_keys().collect()),
            action: "SCMP_ACT_ALLOW".into(),
            comment,
            ..Syscall::default()
        };
        if cubes.is_empty() {
            entries.push(plain);
            continue;
        }
        entries.extend(cubes.iter().map(|cube| {
            let args = cube.conditions().iter().map(write::arg).collect();
            Syscall { args: Some(args), ..plain.clone() }
        }));
    }
    // What was added must hold: a document that still refuses it is no answer.
    let left = missing(&evaluate(&document, env)?.filter, learned)?;
    for missing in left.iter().filter(|missing| added.contains(missing)) {
        warnings.push(format!("{} {}: still refused: another entry decides first", missing.arch.name(), missing.name));
    }
    Ok(Extended { document, added, warnings })
}

/// An entry that refuses what is to be allowed loses the name: an entry without arguments would hide the new one, and what it refused is refused by default.
fn give_way(
    document: &mut Document,
    missing: &Missing,
    env: &Env<'_>,
    form: Form,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let entries = document.syscalls.get_or_insert_default();
    let wanted = if missing.arguments.is_empty() { Region::all() } else { Region::of(missing.arguments.clone()) };
    let mut empty = Vec::new();
    for (at, entry) in entries.iter_mut().enumerate() {
        let path = format!("syscalls[{at}]");
        let (_, action) = import::entry_action(entry, &path)?;
        let named = entry.names.iter().flatten().chain(&entry.name).any(|name| *name == missing.name);
        if !named || !import::counts(entry, &path, env, form)? {
            continue;
        }
        if passes(action) {
            // It is allowed for some arguments, and stays so.
            if missing.partly {
                continue;
            }
            // Whatever hides this entry is about to go, and nobody asked for what it would then allow.
            warnings.push(format!("{path}: {} was not really allowed there, and is taken out", missing.name));
        } else {
            let clashes =
                import::region(entry, &path)?.meet(&wanted).map_err(|e| Error::value(&path, e.to_string()))?;
            if clashes.is_empty() {
                continue;
            }
            warnings.push(format!("{path}: {} is no longer refused there with {action}", missing.name));
        }
        if let Some(names) = &mut entry.names {
            names.retain(|name| *name != missing.name);
        }
        entry.name = entry.name.take().filter(|name| *name != missing.name);
        if entry.names.as_ref().is_none_or(Vec::is_empty) && entry.name.is_none() {
            empty.push(at);
        }
    }
    for at in empty.into_iter().rev() {
        entries.remove(at);
    }
    Ok(())
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.arch.name(), name(self.arch, self.nr))?;
        if !self.arguments.is_empty() {
            write!(f, " where {}", Region::of(self.arguments.clone()))?;
        }
        write!(f, ": {}", self.action)
    }
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::{Arch, Sysno};

    use super::*;
    use crate::learn::{ArgIs, Arguments, LearnedCall};
    use crate::parse;

    #[test]
    fn an_entry_that_a_refusal_hid_does_not_come_to_light() {
        let text = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
            {"names":["personality","mount"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
            {"names":["personality","read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":4194304,"op":"SCMP_CMP_EQ"}]}]}"#;
        let env = Env { arch: Arch::X86_64, kernel: (6, 18), caps: &[], form: None };
        let nr = Sysno::by_name(Arch::X86_64, "personality").expect("a call").0;
        let arguments = Arguments::Tuples(vec![vec![ArgIs::int(0, 8)]]);
        let call = LearnedCall { arch: Arch::X86_64, nr, arguments, note: String::new() };
        let learned = Learned { arch: Arch::X86_64, calls: vec![call], about: Vec::new() };
        let made = extend(&parse(text).expect("a profile"), &learned, &env).expect("extended");
        let filter = evaluate(&made.document, &env).expect("a profile").filter;
        let meaning = Meaning::of(&filter, Arch::X86_64, nr).expect("few rules");
        let at = |value| passes(meaning.at(&[value, 0, 0, 0, 0, 0]));
        assert_eq!([at(8), at(0x40_0000), at(0)], [true, false, false], "{:?}", made.warnings);
    }
}
