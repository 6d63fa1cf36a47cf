//! The proof: the program decides as the rules do.

use std::collections::BTreeSet;

use tipstaff_abi::{
    Arch, X32_BIT,
    bpf::{Insn, SeccompData},
};

use crate::{Action, Fault, Filter, Program, Rule, check, run};

/// Where a program and its filter differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Counterexample {
    /// The kernel would not take the program.
    #[error("the kernel would refuse the program: {0}")]
    Refused(#[from] Fault),
    /// The two answer differently.
    #[error("{data:x?}: the rules say {expected}, the program answers {found:x?}")]
    Differs {
        /// The call.
        data: SeccompData,
        /// What the rules say.
        expected: Action,
        /// What the program returned.
        found: Result<u32, Fault>,
    },
}

/// Numbers at the edges of what tables and compilers get wrong: the x32 bit, the signed border, ARM's private calls.
const EDGE_NUMBERS: [u32; 10] = [
    X32_BIT - 1,
    X32_BIT,
    0x7fff_ffff,
    0x8000_0000,
    0xbfff_ffff,
    0xc000_0000,
    u32::MAX - 1,
    u32::MAX,
    0x000f_0001,
    0x000f_0005,
];

/// All numbers that kernels use, with room above.
const NUMBERS: u32 = 1100;

const EDGE_ARGUMENTS: [u64; 6] = [0, 1, u32::MAX as u64, 1 << 32, 1 << 63, u64::MAX];

/// No kernel's architecture.
const FOREIGN: u32 = 0xdead_beef;

/// The most points that are tried for the combinations of one rule.
const MAX_COMBINATIONS: usize = 20_000;

/// Compares a program with its filter at every point where they could differ: every architecture and a foreign one;
/// every number to 1,100, with and without the x32 bit, the numbers around every rule, and negative ones; and
/// arguments 0, ±1, those of each condition, their neighbours and the same with high bits, one at a time, all
/// together, and all combinations for rules on several arguments. Answers how many points that were.
///
/// # Errors
/// The first point where they differ, or why the kernel would not take the program.
pub fn prove(filter: &Filter, program: &Program) -> Result<u64, Counterexample> {
    prove_insns(filter, program.insns())
}

/// [`prove`], for instructions that come from elsewhere.
fn prove_insns(filter: &Filter, insns: &[Insn]) -> Result<u64, Counterexample> {
    check(insns)?;
    let plain = arguments(&[]);
    let audits: BTreeSet<u32> = Arch::ALL.map(Arch::audit_arch).into_iter().chain([0, FOREIGN]).collect();
    let mut points = 0;
    for arch in audits {
        for number in numbers(filter) {
            let rules = rules_of(filter, arch, number);
            let own = if rules.is_empty() { BTreeSet::new() } else { arguments(rules) };
            for &args in if rules.is_empty() { &plain } else { &own } {
                let data = SeccompData { nr: number.cast_signed(), arch, ip: 0x1234_5678_9abc_def0, args };
                let expected = filter.decide(&data);
                let found = run(insns, &data);
                if found != Ok(expected.to_raw()) {
                    return Err(Counterexample::Differs { data, expected, found });
                }
                points += 1;
            }
        }
    }
    Ok(points)
}

fn numbers(filter: &Filter) -> BTreeSet<u32> {
    let ruled = filter.tables.iter().flat_map(|table| table.rules.keys());
    let around = ruled.flat_map(|&number| [number.wrapping_sub(1), number, number.wrapping_add(1), number ^ X32_BIT]);
    let plain = (0..=NUMBERS).flat_map(|number| [number, number | X32_BIT]);
    around.chain(plain).chain(EDGE_NUMBERS).collect()
}

fn rules_of(filter: &Filter, arch: u32, number: u32) -> &[Rule] {
    let table = Arch::of(arch, number).and_then(|arch| filter.table(arch));
    table.and_then(|table| table.rules.get(&number)).map_or(&[], Vec::as_slice)
}

fn arguments(rules: &[Rule]) -> BTreeSet<[u64; 6]> {
    let mut all = BTreeSet::new();
    let conditions = || rules.iter().flat_map(|rule| &rule.conditions);
    // Without rules nothing may depend on the arguments: large and small values, one at a time, show if it does.
    let edges: &[u64] = if rules.is_empty() { &[1 << 32 | 1] } else { &EDGE_ARGUMENTS };
    all.extend([[0; 6], [u64::MAX; 6]]);
    for arg in 0..6 {
        let own = conditions().filter(|condition| usize::from(condition.arg) == arg);
        let values = own.flat_map(|condition| condition.edges()).chain(edges.iter().copied());
        for value in values {
            for others in [0, u64::MAX] {
                let mut args = [others; 6];
                args[arg] = value;
                all.insert(args);
            }
            all.insert([value; 6]);
        }
    }
    for rule in rules.iter().filter(|rule| !rule.conditions.is_empty()) {
        combine(rule, &mut all);
    }
    all
}

/// Every combination of the edges of a rule's own arguments; if those are too many, every one of each argument
/// with the others as the rule wants them.
fn combine(rule: &Rule, all: &mut BTreeSet<[u64; 6]>) {
    let mut edges: [BTreeSet<u64>; 6] = Default::default();
    for condition in &rule.conditions {
        if let Some(own) = edges.get_mut(usize::from(condition.arg)) {
            own.extend(condition.edges());
        }
    }
    let many = edges.iter().map(|own| own.len().max(1)).fold(1, usize::saturating_mul);
    let fits = |args: &[u64; 6], arg: usize, value: u64| {
        let mut tried = *args;
        tried[arg] = value;
        rule.conditions.iter().filter(|each| usize::from(each.arg) == arg).all(|each| each.holds(&tried))
    };
    if many > MAX_COMBINATIONS {
        let mut wanted = [0; 6];
        for arg in 0..6 {
            wanted[arg] = edges[arg].iter().copied().find(|&value| fits(&wanted, arg, value)).unwrap_or(0);
        }
        all.insert(wanted);
        for (arg, own) in edges.iter().enumerate() {
            all.extend(own.iter().map(|&value| {
                let mut args = wanted;
                args[arg] = value;
                args
            }));
        }
        return;
    }
    let mut combined = vec![[0; 6]];
    for (arg, own) in edges.iter().enumerate().filter(|(_, own)| !own.is_empty()) {
        combined = combined
            .into_iter()
            .flat_map(|args| {
                own.iter().map(move |&value| {
                    let mut args = args;
                    args[arg] = value;
                    args
                })
            })
            .collect();
    }
    all.extend(combined);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Condition, Op, Table};
    use std::collections::BTreeMap;

    /// A proof that cannot fail proves nothing: every instruction of a good program, broken, must be found.
    #[test]
    fn every_broken_instruction_is_found() {
        let rules = vec![
            Rule { conditions: vec![Condition::w32(1, Op::Eq, 0x5412)], action: Action::Errno(1) },
            Rule { conditions: vec![Condition::w64(0, Op::Gt, 5), Condition::bits(2, 8)], action: Action::Log },
        ];
        let table = Table {
            arch: Arch::X86_64,
            rules: BTreeMap::from([(16, rules)]),
            default: Action::Allow,
            unknown: Action::Errno(38),
        };
        let filter = Filter { tables: vec![table], foreign: Action::KillProcess };
        let program = filter.compile().expect("small");
        assert!(prove(&filter, &program).expect("equal") > 10_000);
        for at in 0..program.len() {
            for change in [
                |i: &mut Insn| i.k ^= 1,
                |i: &mut Insn| std::mem::swap(&mut i.jt, &mut i.jf),
                |i: &mut Insn| i.k ^= 1 << 31,
            ] {
                let mut broken = program.insns().to_vec();
                change(&mut broken[at]);
                if broken[at] != program.insns()[at] {
                    assert!(prove_insns(&filter, &broken).is_err(), "{at}: {:?}", broken[at]);
                }
            }
        }
    }
}
