//! From a number to the description of a call.

use std::{collections::HashMap, sync::OnceLock};

use tipstaff_abi::{Arch, Sysno, X32_BIT};

use crate::{families, kind::Spec};

/// What is known of a number.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) spec: Option<&'static Spec>,
}

/// Numbers beyond this (ARM's private calls) are looked up by name.
const NEAR: u32 = 1024;

/// The description under a name.
pub(crate) fn by_name(name: &str) -> Option<&'static Spec> {
    static NAMES: OnceLock<HashMap<&'static str, &'static Spec>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let specs = families::ALL.iter().copied().flatten();
        specs.flat_map(|spec| spec.names.split(' ').map(move |name| (name, spec))).collect()
    });
    names.get(name).copied()
}

/// The description under a number.
pub(crate) fn find(arch: Arch, number: u32) -> Option<Entry> {
    static TABLES: [OnceLock<Vec<Option<Entry>>>; Arch::ALL.len()] = [const { OnceLock::new() }; Arch::ALL.len()];
    let near = if arch == Arch::X32 { number ^ X32_BIT } else { number };
    let table = Arch::ALL.iter().position(|&known| known == arch).and_then(|at| TABLES.get(at));
    if near >= NEAR || table.is_none() {
        return entry(arch, number);
    }
    let all = table?.get_or_init(|| {
        let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
        (0..NEAR).map(|near| entry(arch, near | bit)).collect()
    });
    all.get(near as usize).copied().flatten()
}

fn entry(arch: Arch, number: u32) -> Option<Entry> {
    let name = Sysno(number).name(arch)?;
    Some(Entry { name, spec: by_name(special(arch, name)) })
}

/// Calls whose parameters differ between architectures under one name. The names here are no call's.
fn special(arch: Arch, name: &'static str) -> &'static str {
    match (arch, name) {
        // CONFIG_CLONE_BACKWARDS: the thread-local storage stands before the child's id.
        (Arch::I386 | Arch::Aarch64 | Arch::Arm, "clone") => "clone:backwards",
        (Arch::I386, "mmap") => "mmap:struct",
        (Arch::I386, "select") => "select:struct",
        // 16 bits of uid and gid (CONFIG_UID16).
        (Arch::I386 | Arch::Arm, "chown" | "lchown") => "chown:16",
        (Arch::I386 | Arch::Arm, "fchown") => "fchown:16",
        (Arch::I386 | Arch::Arm, "setuid" | "setgid" | "setfsuid" | "setfsgid") => "setuid:16",
        (Arch::I386 | Arch::Arm, "setreuid") => "setreuid:16",
        (Arch::I386 | Arch::Arm, "setregid") => "setregid:16",
        (Arch::I386 | Arch::Arm, "setresuid") => "setresuid:16",
        (Arch::I386 | Arch::Arm, "setresgid") => "setresgid:16",
        (Arch::I386 | Arch::Arm, "getresuid") => "getresuid:16",
        (Arch::I386 | Arch::Arm, "getresgid") => "getresgid:16",
        (Arch::I386 | Arch::Arm, "getgroups") => "getgroups:16",
        (Arch::I386 | Arch::Arm, "setgroups") => "setgroups:16",
        // The first stat of i386 and ARM has 16-bit fields.
        (Arch::I386 | Arch::Arm, "stat" | "lstat") => "stat:32",
        (Arch::I386 | Arch::Arm, "fstat") => "fstat:32",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_described_call_exists_somewhere_and_once() {
        let mut seen = std::collections::BTreeSet::new();
        for spec in families::ALL.iter().copied().flatten() {
            for name in spec.names.split(' ') {
                assert!(seen.insert(name), "{name} is described twice");
                let real = name.split(':').next().unwrap_or(name);
                assert!(Arch::ALL.iter().any(|&arch| Sysno::by_name(arch, real).is_some()), "{name} is no call");
            }
        }
    }
}
