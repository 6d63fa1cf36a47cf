//! What changes from one filter to another, call by call, whatever the forms they were written in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tipstaff_abi::{Arch, Sysno};
use tipstaff_seccomp::Filter;

use crate::meaning::Meaning;
use crate::{Error, learn::name};

/// How a call's treatment changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It could not be made, and now it can, at least with some arguments.
    Added,
    /// It could be made, and now it cannot.
    Removed,
    /// Anything else: other arguments, another errno.
    Changed,
}

/// A change that several calls have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How.
    pub kind: Kind,
    /// The architectures, if it is not all that either filter knows.
    pub arches: Vec<Arch>,
    /// The calls.
    pub names: Vec<String>,
    /// What happened before.
    pub before: Meaning,
    /// What happens now.
    pub after: Meaning,
}

/// Everything that changes between two filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Architectures that only the second has rules for; before, their calls killed.
    pub gained: Vec<Arch>,
    /// Architectures that only the first has rules for.
    pub lost: Vec<Arch>,
    /// What changes on those that both have, added first, each change once with the calls that it is for.
    pub calls: Vec<Difference>,
}

impl Comparison {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty() && self.calls.is_empty()
    }
}

/// What changes from the first to the second.
///
/// # Errors
/// If a call's rules are too many to be compared.
pub fn compare(before: &Filter, after: &Filter) -> Result<Comparison, Error> {
    type Change = (Kind, String, String);
    let mut changes: BTreeMap<(Change, String), (Vec<Arch>, Meaning, Meaning)> = BTreeMap::new();
    let only = |one: &Filter, other: &Filter| {
        let arches = Arch::ALL.into_iter().filter(|&arch| one.table(arch).is_some() && other.table(arch).is_none());
        arches.collect::<Vec<_>>()
    };
    let both = |arch: &Arch| before.table(*arch).is_some() && after.table(*arch).is_some();
    let arches: Vec<Arch> = Arch::ALL.into_iter().filter(both).collect();
    for &arch in &arches {
        for nr in numbers(before, after, arch) {
            let wrong =
                |e: crate::region::TooMany| Error::value(format!("{} {}", arch.name(), name(arch, nr)), e.to_string());
            let one = Meaning::of(before, arch, nr).map_err(wrong)?;
            let two = Meaning::of(after, arch, nr).map_err(wrong)?;
            if one.same(&two).map_err(wrong)? {
                continue;
            }
            let can = |meaning: &Meaning| meaning.passes_sometimes().map_err(wrong);
            let kind = match (can(&one)?, can(&two)?) {
                (false, true) => Kind::Added,
                (true, false) => Kind::Removed,
                _ => Kind::Changed,
            };
            let change = (kind, one.to_string(), two.to_string());
            changes.entry((change, name(arch, nr))).or_insert_with(|| (Vec::new(), one, two)).0.push(arch);
        }
    }
    let mut differences: Vec<Difference> = Vec::new();
    for (((kind, ..), name), (on, before, after)) in changes {
        // A call that an architecture does not have cannot differ there.
        let everywhere = arches.iter().all(|arch| on.contains(arch) || Sysno::by_name(*arch, &name).is_none());
        let on = if everywhere { Vec::new() } else { on };
        match differences.iter_mut().find(|d| (d.kind, &d.arches, &d.before, &d.after) == (kind, &on, &before, &after))
        {
            Some(same) => same.names.push(name),
            None => differences.push(Difference { kind, arches: on, names: vec![name], before, after }),
        }
    }
    differences.sort_by(|one, two| (one.kind, &one.names).cmp(&(two.kind, &two.names)));
    Ok(Comparison { gained: only(after, before), lost: only(before, after), calls: differences })
}

/// Every number that could differ: those of the table, those with rules, and one that nobody knows.
fn numbers(before: &Filter, after: &Filter, arch: Arch) -> BTreeSet<u32> {
    let ruled = [before, after]
        .into_iter()
        .filter_map(|filter| filter.table(arch))
        .flat_map(|table| table.rules.keys().copied());
    Sysno::all(arch).map(|(nr, _)| nr.0).chain(ruled).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Added => "+ ",
            Kind::Removed => "- ",
            Kind::Changed => "~ ",
        })?;
        for (at, arch) in self.arches.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { "," } else { "" }, arch.name())?;
        }
        if !self.arches.is_empty() {
            f.write_str(" ")?;
        }
        write!(f, "{}: {} -> {}", self.names.join(", "), self.before, self.after)
    }
}
