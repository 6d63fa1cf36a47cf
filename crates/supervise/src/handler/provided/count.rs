//! How often each call was entered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tipstaff_abi::{Arch, SyscallSet, Sysno};

use crate::handler::{Action, Handler, Trap};

/// Counts every call of a set, and passes. A call that the kernel makes again after a signal counts again, as it stops again; one that an earlier
/// handler has decided does not, since nobody behind that one is asked.
#[derive(Debug)]
pub struct Count {
    set: SyscallSet,
    counts: Counts,
}

/// The figures of [`Count`]: a handle that can be cloned and read at any time, also while the box runs.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<(Arch, u32), u64>>>);

impl Count {
    /// Counts the calls of `set` into `counts`. Handlers of several boxes may share one.
    #[must_use]
    pub fn new(set: SyscallSet, counts: Counts) -> Self {
        Self { set, counts }
    }
}

impl Handler for Count {
    fn wants(&self, _: Arch) -> SyscallSet {
        self.set.clone()
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((trap.arch(), trap.number().0)).or_default() += 1;
        Action::Pass
    }
}

impl Counts {
    /// How often a call of this name was entered, on any architecture.
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.all().into_iter().filter(|(known, _)| known == name).map(|(_, count)| count).sum()
    }

    /// Every call that was entered, by name (or `syscall N`), in alphabetical order.
    #[must_use]
    pub fn all(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named: BTreeMap<String, u64> = BTreeMap::new();
        for (&(arch, number), count) in &*counts {
            let name = Sysno(number).name(arch).map_or_else(|| format!("syscall {number}"), str::to_owned);
            *named.entry(name).or_default() += count;
        }
        named.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fake::Fake;
    use super::*;

    #[test]
    fn calls_are_counted_by_name() {
        let counts = Counts::default();
        let mut count = Count::new(SyscallSet::known(Arch::X86_64), counts.clone());
        let guest = Fake::default();
        for name in ["read", "write", "read"] {
            assert!(matches!(count.on_syscall(&mut guest.call(Arch::X86_64, name, &[])), Action::Pass));
        }
        assert_eq!(counts.all(), [("read".to_owned(), 2), ("write".to_owned(), 1)]);
        assert_eq!((counts.of("read"), counts.of("open")), (2, 0));
    }
}
