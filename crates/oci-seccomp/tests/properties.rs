//! What must hold for every profile: what is written means what it was made of, on every architecture, for every call and the arguments at the edges.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tipstaff_abi::{Arch, Sysno, bpf::SeccompData};
use tipstaff_oci_seccomp::compare::compare;
use tipstaff_oci_seccomp::extend::{extend, missing};
use tipstaff_oci_seccomp::learn::{ALWAYS, ArgIs, Arguments, ExportOptions, Learned, LearnedCall};
use tipstaff_oci_seccomp::meaning::passes;
use tipstaff_oci_seccomp::{Document, Env, Error, Form, evaluate, merge, parse};
use tipstaff_seccomp::Error::TooLarge;
use tipstaff_seccomp::{Action, Condition, Filter, Op, Rule, Table, Width, prove};

const ENV: Env<'static> = Env { arch: Arch::X86_64, kernel: (6, 18), caps: &[], form: None };

fn arg_is(index: u8) -> impl Strategy<Value = ArgIs> {
    (prop_oneof![Just(ArgIs::INT), Just(u64::MAX), Just(0x7e02_0000)], plain_value())
        .prop_map(move |(mask, value)| ArgIs { index, mask, value: value & mask })
}

fn arguments() -> impl Strategy<Value = Arguments> {
    let tuple = (arg_is(0), prop::option::of(arg_is(1)), prop::option::of(arg_is(4)))
        .prop_map(|(first, second, third)| std::iter::once(first).chain(second).chain(third).collect());
    prop_oneof![Just(Arguments::Any), prop::collection::vec(tuple, 1..4).prop_map(Arguments::Tuples)]
}

fn learned(arch: Arch) -> impl Strategy<Value = Learned> {
    let calls: Vec<u32> = Sysno::all(arch).map(|(nr, _)| nr.0).collect();
    prop::collection::btree_map(prop::sample::select(calls), arguments(), 0..12).prop_map(move |calls| Learned {
        arch,
        calls: calls
            .into_iter()
            .map(|(nr, arguments)| LearnedCall { arch, nr, arguments, note: "seen".into() })
            .collect(),
        about: vec!["made up".into()],
    })
}

/// Few bits: a range between wild numbers is a hundred cubes.
fn plain_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..4_u64,
        Just(40),
        Just(0x5412),
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        Just(0x1000_0011),
        Just(u64::MAX)
    ]
}

fn condition(op: impl Strategy<Value = Op>) -> impl Strategy<Value = Condition> {
    (0..3_u8, any::<bool>(), op, plain_value()).prop_map(|(arg, half, op, value)| {
        // Ranges of 32 bits have half the cubes.
        let half = half || !matches!(op, Op::Eq | Op::MaskedEq(_));
        let value = if half { value & u64::from(u32::MAX) } else { value };
        let value = if let Op::MaskedEq(mask) = op { value & mask } else { value };
        Condition { arg, width: if half { Width::W32 } else { Width::W64 }, op, value }
    })
}

/// One comparison of any kind, and one of equality beside it: rules as people write them.
fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let ops = [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::MaskedEq(0xff), Op::MaskedEq(0x7e02_0000)];
    let equal = [Op::Eq, Op::MaskedEq(0x7e02_0000)];
    let any = prop::sample::select(ops.to_vec());
    let (first, second) =
        (prop_oneof![1 => any, 6 => prop::sample::select(equal.to_vec())], prop::sample::select(equal.to_vec()));
    prop_oneof![
        1 => Just(Vec::new()),
        4 => (condition(first), prop::option::of(condition(second))).prop_map(|(one, two)| std::iter::once(one).chain(two).collect()),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Allow),
        Just(Action::Log),
        Just(Action::Errno(1)),
        Just(Action::Errno(38)),
        Just(Action::KillProcess)
    ]
}

/// Any filter of one architecture whose rules are not too many.
fn filter() -> impl Strategy<Value = Filter> {
    let rule = (conditions(), action()).prop_map(|(conditions, action)| Rule { conditions, action });
    let names =
        prop::sample::select(vec!["read", "socket", "clone", "clone3", "ioctl", "mount", "personality", "statx"]);
    let numbers = names.prop_map(|name| Sysno::by_name(Arch::X86_64, name).expect("a call").0);
    (prop::collection::btree_map(numbers, prop::collection::vec(rule, 1..3), 0..4), action()).prop_map(
        |(rules, default)| Filter {
            tables: vec![Table { arch: Arch::X86_64, rules, default, unknown: Action::Errno(38) }],
            foreign: Action::KillProcess,
        },
    )
}

/// Arguments at which one of these filters could change its mind.
fn edges(filters: &[&Filter], nr: u32) -> Vec<[u64; 6]> {
    let rules = filters.iter().flat_map(|filter| filter.tables[0].rules.get(&nr).into_iter().flatten());
    let mut values = vec![0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX];
    for condition in rules.flat_map(|rule| &rule.conditions) {
        let value = condition.value;
        values.extend([value, value.wrapping_sub(1), value.wrapping_add(1), value | 1 << 32, value ^ 1 << 40]);
        if let Op::MaskedEq(mask) = condition.op {
            values.extend([mask, !mask, value | !mask]);
        }
    }
    values.sort_unstable();
    values.dedup();
    values.truncate(12);
    let each = |first: u64| values.iter().map(move |&second| [first, second, first, second, second, first]);
    values.iter().flat_map(|&first| each(first)).chain(values.iter().map(|&value| [value; 6])).collect()
}

/// The calls that have rules, and some that have none.
fn calls(filters: &[&Filter]) -> Vec<(u32, &'static str)> {
    let ruled = |nr: u32| filters.iter().any(|filter| filter.tables[0].rules.contains_key(&nr));
    let all = Sysno::all(Arch::X86_64).map(|(nr, name)| (nr.0, name));
    all.filter(|(nr, _)| ruled(*nr) || nr % 50 == 0).collect()
}

fn ask(filter: &Filter, arch: Arch, nr: u32, args: [u64; 6]) -> Action {
    filter.decide(&SeccompData { nr: nr.cast_signed(), arch: arch.audit_arch(), ip: 0, args })
}

/// What no kernel takes is refused, and nothing is made that allows more instead: such a filter is no case.
fn fits<T: std::fmt::Debug>(made: Result<T, Error>) -> Result<T, TestCaseError> {
    match made {
        Err(Error::Filter(TooLarge { .. })) => Err(TestCaseError::reject("too large")),
        made => Ok(made.expect("good")),
    }
}

/// The same cases each time, so that what fails is what was changed; TIPSTAFF_DRILL=full plays others.
fn cases(cases: u32) -> ProptestConfig {
    let full = tipstaff_testkit::full_drill();
    let rng_seed = if full { RngSeed::Random } else { RngSeed::Fixed(0x7469_7073) };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(6))]

    /// What is exported is compiled, and the program is proven.
    #[test]
    fn a_document_is_a_proven_program(learned in learned(Arch::X86_64)) {
        let filter = fits(learned.document(&ExportOptions::default()))?.filter;
        prove(&filter, &filter.compile().expect("fits")).expect("proven");
    }
}

proptest! {
    #![proptest_config(cases(12))]

    /// Export and import, in every form: exactly what was seen passes, beside the few calls that always do.
    #[test]
    fn a_document_allows_what_was_learned(learned in learned(Arch::X86_64), form in prop::sample::select(&Form::ALL[..])) {
        let exported = fits(learned.document(&ExportOptions { form, ..ExportOptions::default() }))?;
        let text = exported.document.to_json();
        let again = parse(&text).expect("reads");
        prop_assert_eq!(again.to_json(), text);
        let back = fits(evaluate(&again, &ENV))?.filter;
        prop_assert_eq!(&back, &exported.filter);
        let exact = fits(learned.filter())?;
        let always: Vec<_> = ALWAYS.iter().filter_map(|name| Sysno::by_name(Arch::X86_64, name)).map(|nr| nr.0).collect();
        for (nr, name) in calls(&[&back, &exact]) {
            for args in edges(&[&back, &exact], nr) {
                let (wanted, found) = (ask(&exact, Arch::X86_64, nr, args), ask(&back, Arch::X86_64, nr, args));
                prop_assert_eq!(passes(found), passes(wanted) || always.contains(&nr), "{} {:x?}", name, args);
            }
        }
    }

    /// On other machines, too.
    #[test]
    fn so_on_other_machines(learned in learned(Arch::Aarch64)) {
        let exported = fits(learned.document(&ExportOptions::default()))?;
        let env = Env { arch: Arch::Aarch64, ..ENV };
        let back = fits(evaluate(&parse(&exported.document.to_json()).expect("reads"), &env))?.filter;
        let exact = fits(learned.filter())?;
        prop_assert!(missing(&back, &learned).expect("few").is_empty());
        for call in &learned.calls {
            for args in edges(&[&back, &exact], call.nr) {
                prop_assert_eq!(ask(&back, Arch::Aarch64, call.nr, args), ask(&exact, Arch::Aarch64, call.nr, args));
            }
        }
    }

    /// A filter, written as a document and read again, is the same filter, and differs from any other where it decides otherwise.
    #[test]
    fn a_filter_survives_being_a_document(filter in filter(), other in filter(), form in prop::sample::select(&Form::ALL[..])) {
        let Ok(made) = Document::of_filter(&filter, form) else { return Err(TestCaseError::reject("too many")) };
        prop_assert!(made.warnings.is_empty(), "{:?}", made.warnings);
        let back = fits(evaluate(&parse(&made.document.to_json()).expect("reads"), &ENV))?.filter;
        prop_assert!(compare(&filter, &back).expect("few").is_empty());
        let same = compare(&filter, &other).expect("few").calls;
        for (nr, name) in calls(&[&filter, &other]) {
            let differs = same.iter().any(|difference| difference.names.iter().any(|each| each == name));
            for args in edges(&[&filter, &other, &back], nr) {
                let (mine, theirs) = (ask(&filter, Arch::X86_64, nr, args), ask(&other, Arch::X86_64, nr, args));
                prop_assert_eq!(mine, ask(&back, Arch::X86_64, nr, args));
                prop_assert!(mine == theirs || differs, "{} {:x?}", name, args);
            }
        }
    }

    /// Merged, each combination of arguments gets the more permissive action; in which order does not matter.
    #[test]
    fn a_merger_allows_what_either_allows(one in filter(), two in filter()) {
        let Ok(both) = merge::union(&[one.clone(), two.clone()]) else { return Err(TestCaseError::reject("too many")) };
        let turned = merge::union(&[two.clone(), one.clone()]).expect("few");
        prop_assert!(compare(&both, &turned).expect("few").is_empty());
        for (nr, name) in calls(&[&one, &two]) {
            for args in edges(&[&one, &two], nr) {
                let wanted = ask(&one, Arch::X86_64, nr, args).min(ask(&two, Arch::X86_64, nr, args));
                prop_assert_eq!(ask(&both, Arch::X86_64, nr, args), wanted, "{} {:x?}", name, args);
            }
        }
    }

    /// Nothing passes that the floor does not let pass, whatever was seen.
    #[test]
    fn no_floor_is_left(learned in learned(Arch::X86_64), floor in filter()) {
        let exported = fits(learned.document(&ExportOptions { floor: Some(&floor), ..ExportOptions::default() }))?;
        let always: Vec<_> = ALWAYS.iter().filter_map(|name| Sysno::by_name(Arch::X86_64, name)).map(|nr| nr.0).collect();
        for (nr, name) in calls(&[&floor, &exported.filter]).into_iter().filter(|(nr, _)| !always.contains(nr)) {
            for args in edges(&[&floor, &exported.filter], nr) {
                let passed = passes(ask(&exported.filter, Arch::X86_64, nr, args));
                prop_assert!(!passed || passes(ask(&floor, Arch::X86_64, nr, args)), "{} {:x?}", name, args);
            }
        }
    }

    /// Extended, a profile lacks nothing, and lets pass what it let pass.
    #[test]
    fn an_extended_profile_lacks_nothing(learned in learned(Arch::X86_64), base in filter()) {
        let base = Document::of_filter(&base, Form::Strict);
        let Ok(base) = base.map(|made| made.document) else { return Err(TestCaseError::reject("too many")) };
        let before = fits(evaluate(&base, &ENV))?.filter;
        match extend(&base, &learned, &ENV) {
            Ok(extended) => {
                let after = fits(evaluate(&extended.document, &ENV))?.filter;
                prop_assert_eq!(missing(&after, &learned).expect("few"), []);
                for (nr, name) in calls(&[&before, &after]) {
                    for args in edges(&[&before, &after], nr) {
                        let kept = !passes(ask(&before, Arch::X86_64, nr, args)) || passes(ask(&after, Arch::X86_64, nr, args));
                        prop_assert!(kept, "{} {:x?}", name, args);
                    }
                }
                if extended.added.is_empty() {
                    prop_assert_eq!(extended.document.syscalls.unwrap_or_default(), base.syscalls.unwrap_or_default());
                }
            }
            Err(e) if e.to_string().contains("too many") => return Err(TestCaseError::reject("too many")),
            Err(e) => prop_assert!(passes(before.tables[0].default), "{e}"),
        }
    }
}

#[test]
fn tables_of_rules_are_not_empty() {
    // The control: the strategies make filters that differ.
    let rules = BTreeMap::from([(0, vec![Rule::always(Action::Allow)])]);
    let table = Table { arch: Arch::X86_64, rules, default: Action::Errno(1), unknown: Action::Errno(38) };
    let one = Filter { tables: vec![table.clone()], foreign: Action::KillProcess };
    let two = Filter { tables: vec![Table { rules: BTreeMap::new(), ..table }], foreign: Action::KillProcess };
    let said: Vec<String> = compare(&one, &two).expect("few").calls.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["- read: allow -> errno EPERM"]);
}
