//! The base filters: what every profile starts from.
//!
//! - [`default_rules`] is a deny list over the kernel's own table, by family: everything is allowed but what a box must not
//!   do. An allow list breaks with each C library; a list of single calls forgets the next variant; families of
//!   `abi` are checked number by number.
//! - [`strict_rules`] is an allow list for programs that compute: memory, threads, files, time, signals.
//!
//! Both answer ENOSYS for a number that their table does not know, whatever it comes to mean, and leave
//! every other architecture out: `int 0x80` and x32 numbers are foreign, which kills.
//!
//! # What is left out on purpose
//! - `openat2` and `clone3` keep what would have to be checked behind a pointer, where no filter can look. `clone3` is
//!   ENOSYS, and C libraries fall back to `clone`. `openat2` stays, because refusing it would take RESOLVE_BENEATH
//!   away from careful programs. It can create a file with set-id bits where [`file`] would not let `open`: where such a file could stay when
//!   the box is gone, lowering makes it ENOSYS.
//! - `uprobe` and `uretprobe`: the kernel exempts them from seccomp (6.14, 6.18), and refuses them to everybody but the
//!   trampoline that it planted itself. A rule would say something that does not hold.
//! - `restart_syscall` must pass in every filter: the kernel resumes interrupted sleeps by it, with a number that the program
//!   never used. The original call has been decided before.
//! - `seccomp` and `prctl(PR_SET_SECCOMP)`: a guest may restrict itself further. A listener of its own gets EBUSY
//!   from the kernel if the box has one.
//! - System V objects and message queues: they end with their IPC namespace. Without one, lowering adds the
//!   families `sysv_ipc` and `mqueue`.
//! - Extended attributes, owners and times of files: Landlock, mounts and capabilities decide there.

use std::collections::BTreeMap;

use tipstaff_abi::{Arch, Sysno, errno, family};
use tipstaff_seccomp::{Action, Condition, Filter, Rule, Table};

mod default;
mod file;
mod namespace;
mod socket;
mod stock;
mod strict;
mod task;
mod terminal;

#[cfg(test)]
mod tests;

pub use default::default_rules;
pub use stock::Stock;
pub use strict::strict_rules;

/// One rule of a base filter, with the family that it can be named and lifted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseRule {
    /// A name from [`family::FAMILIES`], or [`ALLOW`].
    pub family: &'static str,
    /// The call.
    pub syscall: Sysno,
    /// When: all of these.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub action: Action,
}

/// The family name of rules that allow, in [`strict_rules`].
pub const ALLOW: &str = "allow";

/// Calls that pass under every base: the kernel makes `restart_syscall` on a program's behalf, handlers return by `rt_sigreturn`, and whatever
/// has begun must be able to end.
#[must_use]
pub fn always_rules(arch: Arch) -> Vec<BaseRule> {
    let mut rules = Rules::new(arch);
    for call in ["restart_syscall", "rt_sigreturn", "sigreturn", "exit", "exit_group"] {
        rules.add(ALLOW, call, &[], Action::Allow);
    }
    rules.list
}

/// The table of a deny list: what no rule denies is allowed.
#[must_use]
pub fn default_table(arch: Arch, ptrace: bool) -> Table {
    table(arch, &default_rules(arch, ptrace), Action::Allow)
}

/// The table of an allow list: what no rule allows is EPERM.
#[must_use]
pub fn strict_table(arch: Arch) -> Table {
    table(arch, &strict_rules(arch), Action::Errno(errno::EPERM))
}

/// A filter of one table, which kills whoever uses another architecture.
#[must_use]
pub fn filter(table: Table) -> Filter {
    Filter { tables: vec![table], foreign: Action::KillProcess }
}

/// A table of these rules in their order.
#[must_use]
pub fn table(arch: Arch, rules: &[BaseRule], default: Action) -> Table {
    let mut table = Table { arch, rules: BTreeMap::new(), default, unknown: Action::Errno(errno::ENOSYS) };
    for rule in rules {
        table.push(rule.syscall, Rule { conditions: rule.conditions.clone(), action: rule.action });
    }
    table
}

/// Rules as they are collected for one architecture. A call that it does not have needs no rule.
struct Rules {
    arch: Arch,
    list: Vec<BaseRule>,
}

impl Rules {
    const fn new(arch: Arch) -> Self {
        Self { arch, list: Vec::new() }
    }

    fn add(&mut self, family: &'static str, call: &str, conditions: &[Condition], action: Action) {
        if let Some(syscall) = Sysno::by_name(self.arch, call) {
            self.list.push(BaseRule { family, syscall, conditions: conditions.to_vec(), action });
        }
    }

    fn deny(&mut self, family: &'static str, call: &str, conditions: &[Condition], errno: u16) {
        self.add(family, call, conditions, Action::Errno(errno));
    }

    /// Denies a whole family.
    fn deny_all(&mut self, name: &str, errno: u16) {
        let family = family::by_name(name).expect("families named here exist; a test builds them all");
        for call in family.calls {
            self.deny(family.name, call, &[], errno);
        }
    }
}
