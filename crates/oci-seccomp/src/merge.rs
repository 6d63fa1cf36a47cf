//! Several profiles as one that allows what any of them allows.

use std::collections::{BTreeMap, BTreeSet};

use tipstaff_abi::Arch;
use tipstaff_seccomp::{Filter, Rule, Table};

use crate::meaning::Meaning;
use crate::{Document, Env, Error, Form, OfFilter, Syscall, evaluate, learn::name};

/// For each call and each combination of arguments the most permissive of the filters' actions. An architecture that one filter does not
/// know is killed there, so it gets what the others say.
///
/// # Errors
/// If a call's rules are too many, or if there is no filter.
pub fn union(filters: &[Filter]) -> Result<Filter, Error> {
    let Some((first, rest)) = filters.split_first() else { return Err(Error::value("merge", "nothing to merge")) };
    rest.iter().try_fold(first.clone(), |all, next| two(&all, next))
}

fn two(one: &Filter, other: &Filter) -> Result<Filter, Error> {
    let mut arches: Vec<Arch> = one.tables.iter().map(|table| table.arch).collect();
    arches.extend(other.tables.iter().map(|table| table.arch).filter(|arch| one.table(*arch).is_none()));
    let mut tables = Vec::new();
    for arch in arches {
        tables.push(match (one.table(arch), other.table(arch)) {
            (Some(mine), Some(theirs)) => table(mine, theirs, one, other)?,
            (Some(only), None) | (None, Some(only)) => only.clone(),
            (None, None) => continue,
        });
    }
    Ok(Filter { tables, foreign: one.foreign.min(other.foreign) })
}

fn table(mine: &Table, theirs: &Table, one: &Filter, other: &Filter) -> Result<Table, Error> {
    let arch = mine.arch;
    let default = mine.default.min(theirs.default);
    let mut rules: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    let numbers: BTreeSet<u32> = mine.rules.keys().chain(theirs.rules.keys()).copied().collect();
    for nr in numbers {
        let wrong = |e: crate::region::TooMany| Error::value(name(arch, nr), e.to_string());
        // What neither changes stays as it is written.
        if mine.rules.get(&nr) == theirs.rules.get(&nr) && mine.default == theirs.default {
            rules.insert(nr, mine.rules[&nr].clone());
            continue;
        }
        // One action in the place of the default, in both: whose rules they were does not matter, and none is doubled or cut up.
        if let (Some(ours), Some(others)) = (mine.rules.get(&nr), theirs.rules.get(&nr))
            && mine.default == theirs.default
            && ours.iter().chain(others).all(|rule| rule.action == ours[0].action && rule.action < default)
        {
            let new = others.iter().filter(|rule| !ours.contains(rule));
            rules.insert(nr, ours.iter().chain(new).cloned().collect());
            continue;
        }
        let meaning = Meaning::of(one, arch, nr)
            .and_then(|meaning| meaning.union(&Meaning::of(other, arch, nr)?))
            .map_err(wrong)?;
        let mut list: Vec<Rule> = meaning
            .rules()
            .iter()
            .map(|(cube, action)| Rule { conditions: cube.conditions(), action: *action })
            .collect();
        if meaning.rest() != default {
            list.push(Rule::always(meaning.rest()));
        }
        if list.is_empty() {
            continue;
        }
        rules.insert(nr, list);
    }
    Ok(Table { arch, rules, default, unknown: mine.unknown.min(theirs.unknown) })
}

/// The same of documents. Entries for calls that no table here knows, but a runtime may, are kept, each once.
///
/// # Errors
/// If a document cannot be evaluated, or if a call's rules are too many.
pub fn documents(documents: &[Document], env: &Env<'_>, form: Form) -> Result<OfFilter, Error> {
    let mut filters = Vec::new();
    let mut unknown: Vec<Syscall> = Vec::new();
    for document in documents {
        let imported = evaluate(document, env)?;
        for entry in document.resolved(env)?.syscalls.into_iter().flatten() {
            let names: Vec<String> =
                entry.names.iter().flatten().filter(|name| imported.ignored.contains(name)).cloned().collect();
            if names.is_empty() {
                continue;
            }
            match unknown.iter_mut().find(|other| {
                (&other.action, &other.args, other.errno_ret) == (&entry.action, &entry.args, entry.errno_ret)
            }) {
                Some(same) => same.names.get_or_insert_default().extend(names),
                None => unknown.push(Syscall { names: Some(names), ..entry }),
            }
        }
        filters.push(imported.filter);
    }
    let mut made = Document::of_filter(&union(&filters)?, form)?;
    for mut entry in unknown {
        if let Some(names) = &mut entry.names {
            names.sort();
            names.dedup();
        }
        made.document.syscalls.get_or_insert_default().push(entry);
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::Sysno;
    use tipstaff_seccomp::{Action, Condition, Op};

    use super::*;

    #[test]
    fn what_both_say_is_not_doubled_nor_cut_up() {
        let ioctl = Sysno::by_name(Arch::X86_64, "ioctl").expect("a call");
        // As sets of fixed bits each of these ranges would be dozens.
        let range = |at: u64| Rule {
            conditions: vec![
                Condition::w64(1, Op::Gt, at * 0x1_0000_0001),
                Condition::w64(1, Op::Lt, at * 0x1_0000_0001 + 0xfff_fff1),
            ],
            action: Action::Allow,
        };
        let filter = |places: std::ops::Range<u64>| {
            let rules = BTreeMap::from([(ioctl.0, places.map(range).collect())]);
            let refused = Action::Errno(38);
            let table = Table { arch: Arch::X86_64, rules, default: refused, unknown: refused };
            Filter { tables: vec![table], foreign: Action::KillProcess }
        };
        let both = union(&[filter(1..200), filter(50..250)]).expect("few");
        assert_eq!(both.tables[0].rules[&ioctl.0], filter(1..250).tables[0].rules[&ioctl.0]);
        assert!(both.compile().is_ok());
        assert_eq!(union(&[both.clone(), both.clone()]).expect("few"), both);
    }
}
