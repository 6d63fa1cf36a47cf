//! The rule table, which is the specification of the program compiled from it.

use std::collections::BTreeMap;

use tipstaff_abi::{Arch, NO_CALL, Sysno, X32_BIT, bpf::SeccompData, errno::ENOSYS};

use crate::{Action, Condition, Error, Op, Program, Rule, emit, lower};

/// The rules of one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Whose numbers these are.
    pub arch: Arch,
    /// Rules by number (for x32: with its bit). The first rule that matches decides.
    pub rules: BTreeMap<u32, Vec<Rule>>,
    /// For a number that the architecture has, if no rule matches.
    pub default: Action,
    /// For a number that the architecture does not have, if no rule matches: a newer kernel may give it a
    /// meaning, so this should be ENOSYS, on which C libraries fall back to older calls.
    pub unknown: Action,
}

/// Rules for every architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// One table for each architecture; the first is found with the fewest instructions.
    pub tables: Vec<Table>,
    /// For calls of an architecture without a table, x32 included.
    pub foreign: Action,
}

impl Table {
    /// Appends a rule behind those that a call already has.
    pub fn push(&mut self, nr: Sysno, rule: Rule) {
        self.rules.entry(nr.0).or_default().push(rule);
    }

    /// Lets a call pass, before all its rules, when these arguments have these values: for whoever installs a filter and still has calls of its own to make
    /// under it, with words that nobody else knows in registers that the kernel ignores. Where the call passes anyway nothing is added.
    pub fn exempt(&mut self, nr: Sysno, words: &[(u8, u64)]) {
        let plain = match self.rules.get(&nr.0) {
            None => self.default == Action::Allow,
            Some(rules) => {
                rules.iter().all(|r| r.action == Action::Allow) && self.default == Action::Allow
                    || rules.first().is_some_and(|r| r.conditions.is_empty() && r.action == Action::Allow)
            }
        };
        if !plain {
            let conditions = words.iter().map(|(arg, value)| Condition::w64(*arg, Op::Eq, *value)).collect();
            self.rules.entry(nr.0).or_default().insert(0, Rule { conditions, action: Action::Allow });
        }
    }

    /// What happens where no rule of a number matches.
    pub(crate) fn fallback(&self, number: u32) -> Action {
        if number >= NO_CALL && self.unknown == Action::Errno(ENOSYS) {
            return Action::Allow;
        }
        if Sysno(number).name(self.arch).is_some() { self.default } else { self.unknown }
    }

    /// Whether a number can mean a call of this table. On x86_64 two tables share one audit value, split at the x32
    /// bit; what means no call (see [`Filter::decide`]) can have no rules.
    fn owns(&self, number: u32) -> bool {
        match self.arch {
            Arch::X32 => (X32_BIT..NO_CALL).contains(&number),
            Arch::X86_64 => number < X32_BIT,
            _ => number < NO_CALL,
        }
    }
}

impl Filter {
    /// What happens to a call: the meaning of this filter.
    ///
    /// A negative number is what a tracer writes to skip a call ([`NO_CALL`]). It is in no table, so it is answered as unknown, and not as an x32 number,
    /// though it has that bit: debuggers inside rely on skipping. Where unknown numbers are ENOSYS it is let through: the kernel makes no such call, and
    /// returns ENOSYS or, of -1, what the tracer has put into the result register, which an errno of ours would replace.
    #[must_use]
    pub fn decide(&self, data: &SeccompData) -> Action {
        let number = data.number();
        let arch = Arch::of(data.arch, number);
        let Some(table) = self.tables.iter().find(|table| Some(table.arch) == arch) else {
            return self.foreign;
        };
        let rules = table.rules.get(&number).map_or(&[][..], Vec::as_slice);
        let first = rules.iter().find(|rule| rule.matches(&data.args));
        first.map_or_else(|| table.fallback(number), |rule| rule.action)
    }

    /// The program that decides as [`Filter::decide`] does.
    ///
    /// # Errors
    /// If a rule cannot be meant ([`Error`] says which), or if the program would be longer than the kernel takes.
    pub fn compile(&self) -> Result<Program, Error> {
        self.validate()?;
        let (graph, entry) = lower::filter(self);
        emit::program(&graph, entry)
    }

    /// The table of an architecture.
    #[must_use]
    pub fn table(&self, arch: Arch) -> Option<&Table> {
        self.tables.iter().find(|table| table.arch == arch)
    }

    /// The table of an architecture, to be changed.
    pub fn table_mut(&mut self, arch: Arch) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.arch == arch)
    }

    /// Every action that can be the answer.
    pub fn actions(&self) -> impl Iterator<Item = Action> {
        let in_tables = self.tables.iter().flat_map(|table| {
            let in_rules = table.rules.values().flatten().map(|rule| rule.action);
            in_rules.chain([table.default, table.unknown])
        });
        in_tables.chain([self.foreign])
    }

    fn validate(&self) -> Result<(), Error> {
        for (at, table) in self.tables.iter().enumerate() {
            let arch = table.arch;
            if self.tables[..at].iter().any(|other| other.arch == arch) {
                return Err(Error::DuplicateTable(arch));
            }
            for (&number, rules) in &table.rules {
                if !table.owns(number) {
                    return Err(Error::Number { arch, number });
                }
                for condition in rules.iter().flat_map(|rule| &rule.conditions) {
                    validate(arch, number, condition)?;
                }
            }
        }
        let too_large = self.actions().find_map(|action| match action {
            Action::Errno(errno) if errno > Action::MAX_ERRNO => Some(errno),
            _ => None,
        });
        too_large.map_or(Ok(()), |errno| Err(Error::Errno(errno)))
    }
}

fn validate(arch: Arch, number: u32, condition: &Condition) -> Result<(), Error> {
    let &Condition { arg, op, value, .. } = condition;
    if arg > 5 {
        return Err(Error::Argument { arch, number, arg });
    }
    let mask = if let Op::MaskedEq(mask) = op { mask } else { 0 };
    match [value, mask].into_iter().find(|&given| given > condition.limit()) {
        Some(value) => Err(Error::Width { arch, number, arg, value }),
        None => Ok(()),
    }
}
