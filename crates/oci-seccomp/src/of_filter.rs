//! From a filter back to a document.

use std::collections::{BTreeMap, BTreeSet};

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_seccomp::{Action, Condition, Filter, Rule, Table};

use crate::meaning::Meaning;
use crate::region::Cube;
use crate::{Document, Error, Form, Syscall, learn::name, write};

/// A document that was made of a filter, and what it cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfFilter {
    /// The document.
    pub document: Document,
    /// What it says otherwise than the filter: a line each.
    pub warnings: Vec<String>,
}

impl Document {
    /// A filter as a document. Names count on all of a document's architectures: where the filter tells architectures apart the document allows what
    /// either does, and says so.
    ///
    /// # Errors
    /// If the filter does what no document can say.
    pub fn of_filter(filter: &Filter, form: Form) -> Result<OfFilter, Error> {
        let Some(first) = filter.tables.first() else {
            return Err(Error::value("architectures", "the filter has rules for none"));
        };
        let mut warnings = Vec::new();
        let default = filter.tables.iter().map(|table| table.default).min().unwrap_or(first.default);
        if filter.tables.iter().any(|table| table.default != default) {
            warnings.push(format!("architectures differ in their default action: {default} counts for all"));
        }
        let mut entries: BTreeMap<(Action, Vec<Condition>), BTreeSet<String>> = BTreeMap::new();
        for (call, tables) in by_name(filter, &mut warnings) {
            let rules = match plain(&tables, default) {
                Some(rules) => rules,
                None => exact(&call, &tables, default, &mut warnings)?,
            };
            for Rule { conditions, action } in rules {
                entries.entry((action, conditions)).or_default().insert(call.clone());
            }
        }
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by(|((one, a), names), ((two, b), others)| {
            (!a.is_empty(), one, names, a).cmp(&(!b.is_empty(), two, others, b))
        });
        let syscalls = entries.into_iter().map(|((action, conditions), names)| {
            let (word, errno_ret) = words_of(action)?;
            let args: Vec<_> = conditions.iter().map(write::arg).collect();
            Ok(Syscall {
                names: Some(names.into_iter().collect()),
                action: word.into(),
                errno_ret,
                errno: errno_name(errno_ret, form),
                args: (!args.is_empty()).then_some(args),
                ..Syscall::default()
            })
        });
        let syscalls = syscalls.collect::<Result<Vec<_>, Error>>()?;
        let (word, errno_ret) = words_of(default)?;
        let document = Self {
            default_action: word.into(),
            default_errno_ret: errno_ret,
            default_errno: errno_name(errno_ret, form),
            architectures: Some(filter.tables.iter().map(|table| table.arch.oci_name().to_owned()).collect()),
            syscalls: (!syscalls.is_empty()).then_some(syscalls),
            ..Self::default()
        };
        Ok(OfFilter { document, warnings })
    }
}

/// The calls that have rules, each with the tables that know it.
fn by_name<'a>(filter: &'a Filter, warnings: &mut Vec<String>) -> BTreeMap<String, Vec<(&'a Table, u32)>> {
    let mut calls: BTreeMap<String, Vec<(&Table, u32)>> = BTreeMap::new();
    for table in &filter.tables {
        for &nr in table.rules.keys() {
            match Sysno(nr).name(table.arch) {
                Some(name) => drop(calls.entry(name.to_owned()).or_default()),
                None => warnings.push(format!(
                    "{} {}: a number without a name, which is left out",
                    table.arch.name(),
                    name(table.arch, nr)
                )),
            }
        }
    }
    for (call, tables) in &mut calls {
        tables.extend(filter.tables.iter().filter_map(|table| Some((table, Sysno::by_name(table.arch, call)?.0))));
    }
    calls
}

/// The rules as they stand, if a document can have them so: the same on every architecture, one action besides the default, no argument twice.
fn plain(tables: &[(&Table, u32)], default: Action) -> Option<Vec<Rule>> {
    fn rules<'a>(&(table, nr): &(&'a Table, u32)) -> &'a [Rule] {
        table.rules.get(&nr).map_or(&[][..], Vec::as_slice)
    }
    let first = rules(tables.first()?);
    if tables.iter().any(|each| rules(each) != first || each.0.default != default) {
        return None;
    }
    if let Some(Rule { conditions, action }) = first.first()
        && conditions.is_empty()
    {
        return Some(if *action == default { Vec::new() } else { vec![Rule::always(*action)] });
    }
    let action = first.first()?.action;
    let mut plain = Vec::new();
    for rule in first {
        let once = rule
            .conditions
            .iter()
            .enumerate()
            .all(|(at, one)| rule.conditions[..at].iter().all(|two| two.arg != one.arg));
        if rule.action != action || action == default || rule.conditions.is_empty() || !once {
            return None;
        }
        let conditions = rule.conditions.iter().map(write::wide).collect::<Option<Vec<_>>>()?;
        plain.push(Rule { conditions, action });
    }
    Some(plain)
}

/// The rules as disjoint sets of arguments, in which order does not matter.
fn exact(
    call: &str,
    tables: &[(&Table, u32)],
    default: Action,
    warnings: &mut Vec<String>,
) -> Result<Vec<Rule>, Error> {
    let wrong = |e: crate::region::TooMany| Error::value(call, e.to_string());
    let mut all: Option<(Arch, Meaning)> = None;
    for (table, nr) in tables {
        let alone = Filter { tables: vec![(*table).clone()], foreign: Action::KillProcess };
        let meaning = Meaning::of(&alone, table.arch, *nr).map_err(wrong)?;
        all = Some(match all {
            None => (table.arch, meaning),
            Some((arch, before)) => {
                if !before.same(&meaning).map_err(wrong)? {
                    let (one, two) = (arch.name(), table.arch.name());
                    warnings.push(format!("{call}: {one} and {two} differ; both get what either allows"));
                }
                (arch, before.union(&meaning).map_err(wrong)?)
            }
        });
    }
    let Some((_, meaning)) = all else { return Ok(Vec::new()) };
    let pieces = if meaning.rest() == default {
        meaning.unordered().map_err(wrong)?.rules().to_vec()
    } else if meaning.rules().is_empty() {
        vec![(Cube::ALL, meaning.rest())]
    } else {
        // An entry without arguments would hide those with: so all that is not the default is said piece by piece.
        meaning.within(&Cube::ALL).map_err(wrong)?
    };
    let others = pieces.into_iter().filter(|(_, action)| *action != default);
    Ok(others.map(|(cube, action)| Rule { conditions: cube.conditions(), action }).collect())
}

fn words_of(action: Action) -> Result<(&'static str, Option<u32>), Error> {
    Ok(match action {
        Action::Allow => ("SCMP_ACT_ALLOW", None),
        Action::Log => ("SCMP_ACT_LOG", None),
        Action::Trace(data) => ("SCMP_ACT_TRACE", Some(data.into())),
        Action::Notify => ("SCMP_ACT_NOTIFY", None),
        Action::Errno(number) => ("SCMP_ACT_ERRNO", Some(number.into())),
        Action::Trap(0) => ("SCMP_ACT_TRAP", None),
        Action::Trap(_) => return Err(Error::value("action", "a trap with data, which no document can say")),
        Action::KillThread => ("SCMP_ACT_KILL_THREAD", None),
        Action::KillProcess => ("SCMP_ACT_KILL_PROCESS", None),
    })
}

fn errno_name(number: Option<u32>, form: Form) -> Option<String> {
    let number = i32::try_from(number?).ok()?;
    errno::name(number).filter(|_| form == Form::Containers).map(str::to_owned)
}
