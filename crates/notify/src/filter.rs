//! The filter of a program that is supervised.

use std::collections::BTreeMap;

use tipstaff_abi::{Arch, Sysno};
use tipstaff_seccomp::{Action, Rule, Table};

/// What is notified. The rules of [`tipstaff_seccomp::Filter`] say more: conditions on arguments, errnos, other architectures.
#[derive(Clone, Debug)]
pub struct Filter(pub tipstaff_seccomp::Filter);

impl Filter {
    /// These calls are notified, all others are made. Calls of another architecture than this one kill the process: their numbers mean others.
    ///
    /// # Panics
    /// If the table of `arch` has no call of that name.
    #[must_use]
    pub fn notifying<'a>(arch: Arch, calls: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = Table { arch, default: Action::Allow, unknown: Action::Allow, rules: BTreeMap::new() };
        for call in calls {
            let Some(nr) = Sysno::by_name(arch, call) else { panic!("no system call {call:?} on {}", arch.name()) };
            table.push(nr, Rule { conditions: Vec::new(), action: Action::Notify });
        }
        Self(tipstaff_seccomp::Filter { tables: vec![table], foreign: Action::KillProcess })
    }
}
