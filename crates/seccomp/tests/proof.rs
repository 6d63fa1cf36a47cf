//! Filters of every shape, each proven at every edge.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tipstaff_abi::{Arch, Sysno, X32_BIT, bpf::SeccompData};
use tipstaff_seccomp::{Action, Condition, Error, Filter, Op, Rule, Table, Width, always_allows, check, prove, run};

const ENOSYS: Action = Action::Errno(38);

fn table(arch: Arch, rules: &[(&str, Rule)]) -> Table {
    let mut table = Table { arch, rules: BTreeMap::new(), default: Action::Allow, unknown: ENOSYS };
    for (name, rule) in rules {
        table.push(Sysno::by_name(arch, name).expect("a call"), rule.clone());
    }
    table
}

fn when(conditions: &[Condition], action: Action) -> Rule {
    Rule { conditions: conditions.to_vec(), action }
}

fn filter(tables: Vec<Table>) -> Filter {
    Filter { tables, foreign: Action::KillProcess }
}

/// Compiles, proves, and answers the number of instructions.
fn proven(filter: &Filter) -> usize {
    let program = filter.compile().expect("compiles");
    let points = prove(filter, &program).unwrap_or_else(|wrong| panic!("{wrong}\n{filter:#?}"));
    assert!(points > 10_000, "{points}");
    program.len()
}

#[test]
fn empty_and_one_table_filters() {
    assert_eq!(proven(&filter(vec![])), 1);
    for arch in Arch::ALL {
        proven(&filter(vec![table(arch, &[])]));
    }
}

#[test]
fn every_operator_at_every_width() {
    let values = [0, 1, 0x5412, 0x7fff_ffff, 0xffff_ffff];
    let wide = [1 << 32, 0x1_0000_5412, u64::MAX, u64::MAX - 1, 1 << 63];
    let ops = |mask| [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::MaskedEq(mask)];
    let mut all = Vec::new();
    for value in values {
        for mask in [0, value, 0xff, 0xffff_ffff] {
            all.extend(ops(mask).map(|op| Condition { arg: 1, width: Width::W32, op, value }));
        }
    }
    for value in values.into_iter().chain(wide) {
        for mask in [0, value, 0xff_0000_00ff, u64::MAX, 0xffff_ffff_0000_0000] {
            all.extend(ops(mask).map(|op| Condition { arg: 5, width: Width::W64, op, value }));
        }
    }
    // One call for each condition, so that one proof covers them all.
    let calls: Vec<_> = Sysno::all(Arch::X86_64).map(|(nr, _)| nr).collect();
    let mut table = table(Arch::X86_64, &[]);
    for (at, &condition) in all.iter().enumerate() {
        table.push(calls[at % calls.len()], when(&[condition], Action::Errno(1 + at as u16)));
    }
    proven(&filter(vec![table]));
}

#[test]
fn all_architectures_at_once_with_different_rules() {
    let tiocsti = Condition::w32(1, Op::Eq, 0x5412);
    let tables = Arch::ALL.iter().zip(1..).map(|(&arch, errno)| {
        table(
            arch,
            &[("ioctl", when(&[tiocsti], Action::Errno(errno))), ("execve", Rule::always(Action::Trace(errno)))],
        )
    });
    proven(&filter(tables.collect()));
}

#[test]
fn x32_is_explicit_and_negative_numbers_are_no_calls() {
    let audit = Arch::X86_64.audit_arch();
    let at = |filter: &Filter, number: u32| {
        let data = SeccompData { nr: number.cast_signed(), arch: audit, ..SeccompData::default() };
        let program = filter.compile().expect("compiles");
        let answer = Action::from_raw(run(program.insns(), &data).expect("runs"));
        assert_eq!(answer, filter.decide(&data));
        answer
    };
    let native_only = filter(vec![table(Arch::X86_64, &[])]);
    assert_eq!(at(&native_only, 59), Action::Allow);
    assert_eq!(at(&native_only, X32_BIT | 59), Action::KillProcess);
    assert_eq!(at(&native_only, 0x7fff_ffff), Action::KillProcess);
    for number in [0x8000_0000, 0xc000_0001, u32::MAX - 1, u32::MAX] {
        assert_eq!(at(&native_only, number), Action::Allow, "the kernel says ENOSYS itself");
    }
    for number in 512..548 {
        assert_eq!(at(&native_only, number), ENOSYS);
    }
    let both = filter(vec![table(Arch::X86_64, &[]), table(Arch::X32, &[])]);
    assert_eq!(at(&both, X32_BIT | 1), Action::Allow);
    assert_eq!(at(&both, X32_BIT | 520), Action::Allow);
    assert_eq!(at(&both, X32_BIT | 59), ENOSYS, "execve is 520 there");
    assert_eq!(at(&both, u32::MAX), Action::Allow);
    let mut strict = native_only.clone();
    strict.tables[0].unknown = Action::KillProcess;
    assert_eq!(at(&strict, u32::MAX), Action::KillProcess);
    let x32_only = filter(vec![table(Arch::X32, &[])]);
    assert_eq!(at(&x32_only, u32::MAX), Action::KillProcess);
    for filter in [native_only, both, x32_only] {
        proven(&filter);
    }
}

#[test]
fn jumps_over_255_instructions_never_wrap() {
    // Many different rules on every call: long chains, a long dispatch, and leaves far from both.
    for rules in [40, 600, 1_000, 1_600] {
        let calls: Vec<_> = Sysno::all(Arch::X86_64).map(|(nr, _)| nr).collect();
        let mut table = table(Arch::X86_64, &[]);
        for at in 0..rules {
            let condition = Condition::w32((at % 6) as u8, Op::Eq, at * 7);
            table.push(calls[at as usize % 300], when(&[condition], Action::Errno((at % 200) as u16)));
        }
        assert!(proven(&filter(vec![table])) > rules as usize);
    }
    // All of them on one call.
    let mut one = table(Arch::X86_64, &[]);
    for at in 0..1_200 {
        one.push(Sysno(16), when(&[Condition::w32(1, Op::Eq, at)], Action::Errno(at as u16 % 9)));
    }
    let len = proven(&filter(vec![one]));
    assert!((1_200..1_400).contains(&len), "{len}: the argument is loaded once, the returns are shared");
}

#[test]
fn too_large_is_a_clear_error() {
    let mut large = table(Arch::X86_64, &[]);
    for at in 0..5_000 {
        large.push(Sysno(16), when(&[Condition::w32(1, Op::Eq, at)], Action::Errno(1 + (at % 2) as u16)));
    }
    let Err(Error::TooLarge { len }) = filter(vec![large]).compile() else { panic!("compiled") };
    assert!(len > 5_000);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let arch = Arch::X86_64;
    let refused = |rule: Rule| filter(vec![table(arch, &[("ioctl", rule)])]).compile().expect_err("refused");
    let wide = Condition { arg: 1, width: Width::W32, op: Op::Eq, value: 1 << 32 };
    assert_eq!(refused(when(&[wide], Action::Log)), Error::Width { arch, number: 16, arg: 1, value: 1 << 32 });
    let mask = Condition { op: Op::MaskedEq(1 << 40), value: 1, ..wide };
    assert_eq!(refused(when(&[mask], Action::Log)), Error::Width { arch, number: 16, arg: 1, value: 1 << 40 });
    let sixth = Condition { arg: 6, value: 1, ..wide };
    assert_eq!(refused(when(&[sixth], Action::Log)), Error::Argument { arch, number: 16, arg: 6 });
    assert_eq!(refused(Rule::always(Action::Errno(4096))), Error::Errno(4096));

    let mut stray = table(arch, &[]);
    stray.push(Sysno(X32_BIT | 1), Rule::always(Action::Log));
    assert_eq!(filter(vec![stray]).compile(), Err(Error::Number { arch, number: X32_BIT | 1 }));
    let twice = filter(vec![table(arch, &[]), table(arch, &[])]);
    assert_eq!(twice.compile(), Err(Error::DuplicateTable(arch)));
}

#[test]
fn equal_rules_are_shared_between_calls() {
    let rule = |value| when(&[Condition::w64(0, Op::Gt, value), Condition::bits(2, 0x40)], Action::Errno(1));
    let one = proven(&filter(vec![table(Arch::X86_64, &[("read", rule(5))])]));
    let three =
        proven(&filter(vec![table(Arch::X86_64, &[("read", rule(5)), ("getpid", rule(5)), ("mmap", rule(5))])]));
    assert!(three <= one + 4, "{one} and {three}");
}

/// One bit after another, as namespace flags are denied, is one comparison.
#[test]
fn bits_merge_into_one_test() {
    let bits = |n: u32| {
        let mut table = table(Arch::X86_64, &[]);
        for bit in 0..n {
            table.push(Sysno(56), when(&[Condition::bits(0, 1 << (bit + 17))], Action::Errno(1)));
        }
        proven(&filter(vec![table]))
    };
    assert_eq!(bits(1), bits(8));
}

/// The kernel must see through the dispatch of every plainly allowed call, and of no other.
#[test]
fn plain_allows_stay_in_the_kernels_cache() {
    let argued = when(&[Condition::w32(1, Op::Eq, 0x5412)], Action::Errno(1));
    let mut tables = Vec::new();
    for arch in [Arch::X86_64, Arch::I386] {
        let mut table = table(arch, &[("ioctl", argued.clone()), ("ptrace", Rule::always(Action::Notify))]);
        for at in 0..900 {
            let (nr, _) = Sysno::all(arch).nth(at % 90 * 3).expect("enough");
            table.push(nr, when(&[Condition::w32(3, Op::Eq, at as u32)], Action::Errno(at as u16)));
        }
        tables.push(table);
    }
    let filter = filter(tables);
    let program = filter.compile().expect("compiles");
    for table in &filter.tables {
        for (nr, name) in Sysno::all(table.arch) {
            let plain = !table.rules.contains_key(&nr.0);
            assert_eq!(always_allows(program.insns(), table.arch.audit_arch(), nr.0), plain, "{name}");
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Log),
        Just(Action::Notify),
        (0..4_u16).prop_map(Action::Errno),
        (0..3_u16).prop_map(Action::Trace),
        Just(Action::Trap(0xffff)),
        Just(Action::KillThread),
        Just(Action::KillProcess),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, Just(0x5412), Just(u64::from(u32::MAX)), (0..64_u32).prop_map(|bit| 1 << bit), any::<u64>()]
}

fn condition() -> impl Strategy<Value = Condition> {
    let op = prop_oneof![
        Just(Op::Eq),
        Just(Op::Ne),
        Just(Op::Lt),
        Just(Op::Le),
        Just(Op::Gt),
        Just(Op::Ge),
        value().prop_map(Op::MaskedEq),
    ];
    (0..6_u8, any::<bool>(), op, value()).prop_map(|(arg, narrow, op, value)| {
        let low = u64::from(u32::MAX);
        match (narrow, op) {
            (false, Op::MaskedEq(mask)) => Condition { arg, width: Width::W64, op, value: value & mask },
            (false, _) => Condition { arg, width: Width::W64, op, value },
            (true, Op::MaskedEq(mask)) => {
                Condition { arg, width: Width::W32, op: Op::MaskedEq(mask & low), value: value & mask & low }
            }
            (true, _) => Condition { arg, width: Width::W32, op, value: value & low },
        }
    })
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let rule = (prop::collection::vec(condition(), 0..3), action());
    prop::collection::vec(rule.prop_map(|(conditions, action)| Rule { conditions, action }), 1..5)
}

fn any_table(arch: Arch) -> impl Strategy<Value = Table> {
    let number = if arch == Arch::X32 { X32_BIT..X32_BIT + 600 } else { 0..600 };
    let rules = prop::collection::btree_map(number, rules(), 0..24);
    (rules, action(), action()).prop_map(move |(rules, default, unknown)| Table { arch, rules, default, unknown })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let tables = Arch::ALL.map(|arch| prop::option::of(any_table(arch)));
    (tables, action()).prop_map(|(tables, foreign)| Filter { tables: tables.into_iter().flatten().collect(), foreign })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_filters_are_proven(filter in any_filter()) {
        let program = filter.compile().expect("small enough");
        if let Err(wrong) = prove(&filter, &program) {
            return Err(TestCaseError::fail(wrong.to_string()));
        }
    }

    /// Beyond the edges: arguments that nobody thought of.
    #[test]
    fn random_calls_agree(filter in any_filter(), calls in prop::collection::vec((0..700_u32, any::<bool>(), prop::array::uniform6(value())), 64)) {
        let program = filter.compile().expect("small enough");
        prop_assert_eq!(check(program.insns()), Ok(()));
        for (number, x32, args) in calls {
            for arch in Arch::ALL {
                let number = if x32 { number | X32_BIT } else { number };
                let data = SeccompData { nr: number.cast_signed(), arch: arch.audit_arch(), ip: 0, args };
                prop_assert_eq!(run(program.insns(), &data), Ok(filter.decide(&data).to_raw()));
            }
        }
    }
}
