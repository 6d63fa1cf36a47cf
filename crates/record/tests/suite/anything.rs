//! Whatever a recording says: no panic, errors of one line, and a profile or none.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tipstaff_abi::Arch;
use tipstaff_recording::{Access, Backend, Call, FileUse, Machine, Phase, Recording, Run, Socket, SocketUse, Target};
use tipstaff_report::Bytes;

use crate::check;

/// Paths as programs have them, and as nobody should.
fn path() -> impl Strategy<Value = Bytes> {
    const WORDS: &[&str] =
        &["/", "a", "..", ".", "usr", "proc", "self", "tmp", "work", "\n", "\u{0}", "\"", "é", "~", "//"];
    prop_oneof![
        vec(prop::sample::select(WORDS), 0..8).prop_map(|words| Bytes::from(words.join("/").as_str())),
        vec(prop::sample::select(WORDS), 0..4).prop_map(|words| Bytes::from(format!("/{}", words.concat()).as_str())),
        vec(any::<u8>(), 0..6).prop_map(Bytes::from),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let arch = prop::sample::select(Arch::ALL.to_vec());
    let number = prop_oneof![0..460_u32, Just(9999), Just(u32::MAX), Just(0x4000_0001)];
    let words = vec(prop::array::uniform6(prop_oneof![0..9_u64, any::<u64>()]), 0..5);
    let call =
        (prop_oneof![4 => Just(Arch::X86_64), 1 => arch.clone()], number, prop::sample::select(&Phase::ALL[..]), words);
    let access = prop::sample::select(&Access::ALL[..]);
    let file = (path(), access, 0..2_u64).prop_map(|(path, access, failed)| FileUse {
        path,
        access,
        count: 1,
        failed: Some(failed),
        first_ns: 0,
    });
    let family = prop::sample::select(&["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "x\ny"][..]);
    let address =
        prop::option::of(prop_oneof!["[0-9.]{0,9}", "[0-9a-f:]{0,9}", Just("::ffff:1.2.3.4%eth0\n".to_owned())]);
    let socket = (any::<bool>(), family, address, prop::option::of(any::<u16>()), prop::option::of(path())).prop_map(
        |(bind, family, address, port, path)| SocketUse {
            operation: if bind { Socket::Bind } else { Socket::Connect },
            family: family.into(),
            kind: Some("SOCK_STREAM".into()),
            address,
            port,
            path,
            count: 1,
            first_ns: 0,
        },
    );
    (0..4_u8, arch, vec(call, 0..8), vec(file, 0..6), vec(socket, 0..4), path()).prop_map(
        |(id, arch, calls, files, sockets, directory)| {
            let machine = Machine { kernel: "6.18.0".into(), arch: if id == 0 { arch } else { Arch::X86_64 } };
            let target = Target::Command { argv: vec![directory.clone()], directory };
            let mut run = Run::new(format!("{id:032x}"), Backend::Ptrace, machine, target, id.into());
            for (arch, number, phase, words) in calls {
                let call = run.calls.entry((arch, number), || Call::new(arch, number));
                call.made(phase, &"/bin/x".into(), 1, 0);
                for words in words {
                    if let Some(arguments) = &mut call.arguments {
                        arguments.add(words[..arguments.selected.len()].to_vec());
                    }
                }
            }
            run.files = Some(files.into_iter().collect());
            run.sockets = Some(sockets.into_iter().collect());
            run
        },
    )
}

/// The same cases each time; TIPSTAFF_DRILL=full plays others, and more of them.
fn cases(cases: u32) -> ProptestConfig {
    let full = tipstaff_testkit::full_drill();
    let (cases, rng_seed) = if full { (cases * 50, RngSeed::Random) } else { (cases, RngSeed::Fixed(0x7265_636f)) };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn any_recording(runs in vec(run(), 0..4)) {
        let mut recording = Recording::default();
        runs.into_iter().for_each(|run| recording.add(run));
        check::recording(&recording.to_json());
    }

    #[test]
    fn any_damage(run in run(), at in any::<prop::sample::Index>(), piece in prop::sample::select(&["", "\"", "{", "]", "null", "0", "9", "-", "e9", "\\n", "\u{0}", "x"][..]), out in 0..3_usize) {
        let text = Recording::from(run).to_json();
        let at = (0..=text.len()).rev().filter(|&at| text.is_char_boundary(at)).nth(at.index(text.len())).unwrap_or(0);
        let rest = text[at..].chars().skip(out).collect::<String>();
        check::recording(&format!("{}{piece}{rest}", &text[..at]));
    }
}

#[test]
fn a_word_with_a_line_feed_makes_no_second_line() {
    check::recording("{\"schema\": 1, \"runs\": [], \"a\\nb\": 1}");
    check::recording("{\"schema\": 1, \"runs\": [{\"back\\u001bend\": 1}]}");
    check::recording(&"[".repeat(100_000));
}
