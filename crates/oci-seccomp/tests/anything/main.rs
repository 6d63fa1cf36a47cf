//! Whatever somebody hands in as an OCI seccomp profile: no panic, errors of one line that name their place, and no small text takes long.

mod check;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tipstaff_oci_seccomp::parse;

/// Keys, words and values of profiles, and of mistakes.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"defaultAction\":\"SCMP_ACT_ERRNO\"",
    "\"defaultAction\":\"SCMP_ACT_ALLOW\"",
    "\"defaultErrnoRet\":",
    "\"defaultErrno\":",
    "\"architectures\":[\"SCMP_ARCH_X86_64\"]",
    "\"archMap\":",
    "\"flags\":",
    "\"syscalls\":[",
    "\"names\":[\"clone\"]",
    "\"names\":",
    "\"name\":",
    "\"action\":\"SCMP_ACT_ALLOW\"",
    "\"action\":",
    "\"errnoRet\":",
    "\"args\":[",
    "\"index\":0",
    "\"index\":",
    "\"value\":1",
    "\"value\":",
    "\"valueTwo\":",
    "\"op\":\"SCMP_CMP_EQ\"",
    "\"op\":\"SCMP_CMP_MASKED_EQ\"",
    "\"includes\":",
    "\"excludes\":",
    "\"minKernel\":\"4.8\"",
    "\"caps\":[\"CAP_SYS_ADMIN\"]",
    "\"arches\":[\"amd64\"]",
    "\"a\\nb\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"SCMP_ACT_TRACE\"",
    "0",
    "-1",
    "1e400",
    "18446744073709551615",
    "18446744073709551616",
    "null",
    "true",
    "\"\u{202e}\"",
    "\u{feff}",
    " ",
    "\n",
    "\u{0}",
];

fn action() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "SCMP_ACT_ALLOW",
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_KILL",
            "SCMP_ACT_LOG",
            "SCMP_ACT_TRAP",
            "SCMP_ACT_TRACE",
            "SCMP_ACT_NOTIFY",
            "SCMP_ACT_X",
            "",
        ][..],
    )
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..9_u64, Just(1 << 31), Just(u64::from(u32::MAX)), Just(1 << 32), Just(u64::MAX), any::<u64>()]
}

/// A profile of the right shape with values of any kind.
fn shaped() -> impl Strategy<Value = String> {
    let op = prop::sample::select(&["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ", "x\\u001b"][..]);
    let arg = (0..8_u32, number(), prop::option::of(number()), op).prop_map(|(index, value, two, op)| {
        let two = two.map(|two| format!(",\"valueTwo\":{two}")).unwrap_or_default();
        format!("{{\"index\":{index},\"value\":{value}{two},\"op\":\"SCMP_CMP_{op}\"}}")
    });
    let names = prop::sample::select(
        &["clone", "clone3", "socket", "socketcall", "openat", "ioctl", "read", "prctl", "no\\nsuch", ""][..],
    );
    let wild = prop::sample::select(
        &[
            "",
            "",
            "",
            ",\"errnoRet\":70000",
            ",\"errno\":\"EP\\u0007ERM\"",
            ",\"includes\":{\"minKernel\":\"4.x\"}",
            ",\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}",
            ",\"comment\":\"\\n\"",
            ",\"nmaes\":[]",
        ][..],
    );
    let entry = (vec(names, 0..4), action(), vec(arg, 0..4), wild).prop_map(|(names, action, args, wild)| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        format!("{{\"names\":[{}],\"action\":\"{action}\",\"args\":[{}]{wild}}}", names.join(","), args.join(","))
    });
    let top = prop::sample::select(
        &[
            "",
            ",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]",
            ",\"flags\":[\"a\\nb\"]",
            ",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]}]",
            ",\"listenerMetadata\":\"x\"",
        ][..],
    );
    (action(), top, vec(entry, 0..8)).prop_map(|(default, top, entries)| {
        format!("{{\"defaultAction\":\"{default}\"{top},\"syscalls\":[{}]}}", entries.join(","))
    })
}

/// The same cases each time; TIPSTAFF_DRILL=full plays others, and more of them.
fn cases(cases: u32) -> ProptestConfig {
    let full = tipstaff_testkit::full_drill();
    let (cases, rng_seed) = if full { (cases * 50, RngSeed::Random) } else { (cases, RngSeed::Fixed(0x6f63_6973)) };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_text(text in "\\PC*|(.|\n)*") {
        check::document(&text);
    }

    #[test]
    fn any_order_of_pieces(pieces in vec(prop::sample::select(PIECES), 0..40)) {
        check::document(&pieces.concat());
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn any_values_in_the_right_shape(text in shaped()) {
        check::document(&text);
    }

    #[test]
    fn any_damage(text in shaped(), at in any::<prop::sample::Index>(), piece in prop::sample::select(PIECES), cut in any::<bool>()) {
        let at = (0..=text.len()).rev().filter(|&at| text.is_char_boundary(at)).nth(at.index(text.len())).unwrap_or(0);
        check::document(&if cut { text[..at].to_owned() } else { format!("{}{piece}{}", &text[..at], &text[at..]) });
    }
}

#[test]
fn a_word_with_a_line_feed_makes_no_second_line() {
    for text in [
        "{\"default\\nAction\": 1}",
        "{\"defaultAction\": \"SCMP\\nACT\"}",
        "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"flags\": [\"\\u001b[2J\"]}",
    ] {
        let error = parse(text).and_then(|document| {
            tipstaff_oci_seccomp::evaluate(
                &document,
                &tipstaff_oci_seccomp::Env { arch: tipstaff_abi::Arch::X86_64, kernel: (6, 18), caps: &[], form: None },
            )
        });
        check::one_line(&error.expect_err(text));
    }
}

fn entries(entry: &str, times: usize) -> String {
    format!("{{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{}]}}", vec![entry; times].join(","))
}

/// An entry that limits the first arguments of clone to ranges of which each is some 30 cubes.
fn ranges(arguments: usize) -> String {
    let range = |index: usize| {
        let op = if index.is_multiple_of(2) { "GT" } else { "LE" };
        format!("{{\"index\":{index},\"value\":1311768467463790321,\"op\":\"SCMP_CMP_{op}\"}}")
    };
    let args: Vec<String> = (0..arguments).map(range).collect();
    format!("{{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{}]}}", args.join(","))
}

// Small texts that could be made to take long: each ends in an answer or in an error.

#[test]
fn nesting_without_end() {
    check::document_here(&"[".repeat(100_000));
    check::document_here(&"{\"syscalls\":".repeat(20_000));
}

#[test]
fn ranges_that_multiply() {
    check::document_here(&entries(&ranges(6), 1));
}

#[test]
fn ranges_that_add_up() {
    check::document_here(&entries(&ranges(2), 100));
}

#[test]
fn one_call_in_many_entries() {
    let rule = |value: usize, op: &str| {
        let arg = format!("{{\"index\":0,\"value\":{value},\"op\":\"SCMP_CMP_{op}\"}}");
        format!("{{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[{arg}]}}")
    };
    check::document_here(&entries(&rule(1, "NE"), 2000));
    let rules: Vec<String> = (0..1000).map(|n| rule(n * 3, "EQ")).collect();
    check::document_here(&entries(&rules.join(","), 1));
}

#[test]
fn one_entry_with_many_names() {
    let names = vec!["\"clone\""; 5000].join(",");
    check::document_here(&entries(&format!("{{\"names\":[{names}],\"action\":\"SCMP_ACT_ALLOW\"}}"), 1));
}
