//! A filter as lines of a systemd unit: systemd.exec(5).
//!
//! A unit names calls; it has no arguments, no errno for each call on an allow list, and the same names for every architecture.

use std::collections::BTreeSet;

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_seccomp::{Action, Filter};

use crate::Error;
use crate::meaning::{Meaning, passes};

/// How long a line becomes.
const WIDTH: usize = 100;

/// Lines of a unit, and what they cannot say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The lines, as they stand in `[Service]`.
    pub text: String,
    /// What the unit does otherwise than the filter: a line each.
    pub warnings: Vec<String>,
}

/// A filter as lines of a unit.
///
/// # Errors
/// If a call's rules are too many, or if the default action is one that no unit can have.
pub fn unit(filter: &Filter) -> Result<Unit, Error> {
    let Some(native) = filter.tables.first() else {
        return Err(Error::value("architectures", "the filter has rules for none"));
    };
    let mut warnings = Vec::new();
    let allow_list = !passes(native.default);
    let mut names: BTreeSet<&'static str> = BTreeSet::new();
    let mut weaker: BTreeSet<&'static str> = BTreeSet::new();
    let mut refusals: BTreeSet<Action> = BTreeSet::new();
    for table in &filter.tables {
        for (nr, name) in Sysno::all(table.arch) {
            let wrong = |e: crate::region::TooMany| Error::value(name, e.to_string());
            let actions = Meaning::of(filter, table.arch, nr.0).and_then(|meaning| meaning.actions()).map_err(wrong)?;
            let (some, all) = (actions.iter().copied().any(passes), actions.iter().copied().all(passes));
            if !all && some {
                weaker.insert(name);
            }
            if allow_list == some {
                names.insert(name);
            }
            if !allow_list {
                refusals.extend(actions.first().copied().filter(|_| !some));
            }
        }
    }
    // On a deny list a call that is refused for some arguments only cannot be named.
    if !allow_list {
        names.retain(|name| !weaker.contains(name));
    }
    if !weaker.is_empty() {
        let list: Vec<&str> = weaker.into_iter().collect();
        warnings.push(format!("a unit has no arguments: allowed with any are {}", list.join(", ")));
    }
    let refusal = if allow_list { native.default } else { refusals.pop_first().unwrap_or(Action::Errno(errno::EPERM)) };
    if !refusals.is_empty() {
        warnings.push(format!("a unit has one errno: all that is refused gets {refusal}"));
    }
    let mut text = String::new();
    if allow_list || !names.is_empty() {
        wrap(&mut text, "SystemCallFilter=", if allow_list { "" } else { "~" }, &names);
    }
    match refusal {
        Action::Errno(number) => {
            let word = errno::name(number.into()).map_or_else(|| number.to_string(), str::to_owned);
            text.push_str(&format!("SystemCallErrorNumber={word}\n"));
        }
        // Without a number the process is killed.
        Action::KillProcess => {}
        Action::KillThread => warnings.push("what is refused kills the process, not the thread".into()),
        other => {
            return Err(Error::value(
                "defaultAction",
                format!("{other}, which no unit can say; write an errno or a kill"),
            ));
        }
    }
    let arches: Vec<&str> = filter.tables.iter().map(|table| systemd_name(table.arch)).collect();
    text.push_str(&format!("SystemCallArchitectures={}\n", arches.join(" ")));
    Ok(Unit { text, warnings })
}

/// Several lines of one setting add up; each begins with the setting's name again.
fn wrap(text: &mut String, key: &str, sign: &str, names: &BTreeSet<&str>) {
    let mut line = String::new();
    for name in names {
        if !line.is_empty() && key.len() + sign.len() + line.len() + 1 + name.len() > WIDTH {
            text.push_str(&format!("{key}{sign}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
    }
    text.push_str(&format!("{key}{sign}{line}\n"));
}

const fn systemd_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86-64",
        Arch::I386 => "x86",
        Arch::X32 => "x32",
        Arch::Aarch64 => "arm64",
        _ => "arm",
    }
}
