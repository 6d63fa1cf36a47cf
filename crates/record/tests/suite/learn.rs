//! From recordings to what a profile allows: never less than what was seen, and no more than the limits say.

use proptest::prelude::*;
use tipstaff_abi::bpf::SeccompData;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_oci_seccomp::learn::Arguments;
use tipstaff_policy::profile::RuleAction;
use tipstaff_record::{LearnOptions, Limits, learn, profile};
use tipstaff_recording::{
    Access, Backend, Call, FileUse, Machine, Phase, Recording, Run, Socket, SocketUse, Target, selected,
};
use tipstaff_seccomp::Action;

fn run(id: u8) -> Run {
    let machine = Machine { kernel: "6.18.0".into(), arch: Arch::X86_64 };
    let target = Target::Command { argv: vec!["x".into()], directory: "/work".into() };
    Run::new(format!("{id:032x}"), Backend::Ptrace, machine, target, id.into())
}

fn number(name: &str) -> u32 {
    Sysno::by_name(Arch::X86_64, name).expect(name).0
}

/// A run that made these calls, each with the words that are recorded of it.
fn with(id: u8, phase: Phase, calls: &[(&str, &[u64])]) -> Run {
    let mut run = run(id);
    for (name, words) in calls {
        let key = (Arch::X86_64, number(name));
        let call = run.calls.entry(key, || Call::new(key.0, key.1));
        call.made(phase, &"/bin/x".into(), 1, 0);
        if let Some(arguments) = &mut call.arguments {
            arguments.add(words.to_vec());
        }
    }
    run
}

fn allows(recording: &Recording, limits: Limits, name: &str, words: [u64; 6]) -> bool {
    let learned = learn(recording, LearnOptions { limits, ..LearnOptions::default() }).expect("a run");
    let data = SeccompData {
        nr: number(name).cast_signed(),
        arch: Arch::X86_64.audit_arch(),
        args: words,
        ..SeccompData::default()
    };
    learned.filter().expect("a filter").decide(&data) == Action::Allow
}

#[test]
fn safe_limits_leave_what_programs_do_at_times_and_refuse_what_is_dangerous() {
    let recording = Recording::from(with(
        1,
        Phase::Workload,
        &[
            ("socket", &[2, 1, 0]),
            ("clone", &[0x3d_0f00]),
            ("prctl", &[15]),
            ("personality", &[0x4_0000]),
            ("ioctl", &[0x5401]),
        ],
    ));
    let safe = |name, first| allows(&recording, Limits::Safe, name, [first, 0, 0, 0, 0, 0]);
    // AF_UNIX, AF_INET, AF_INET6, AF_NETLINK; not AF_PACKET, not AF_ALG, and bit 32 leads past nothing.
    for (family, allowed) in
        [(1, true), (2, true), (10, true), (16, true), (17, false), (38, false), (1 << 32 | 2, true)]
    {
        assert_eq!(safe("socket", family), allowed, "family {family}");
    }
    assert!(safe("clone", 0x100) && safe("clone", 17) && !safe("clone", 0x1000_0000 | 17), "a user namespace");
    assert!(safe("prctl", 15) && safe("prctl", 38) && !safe("prctl", 22), "PR_SET_SECCOMP");
    assert!(safe("personality", 0) && safe("personality", 0x4_0000) && !safe("personality", 0x8));
    assert!(allows(&recording, Limits::Safe, "ioctl", [0, 0x5412, 0, 0, 0, 0]), "ioctl is not limited");
    assert!(
        !allows(&recording, Limits::All, "ioctl", [0, 0x5412, 0, 0, 0, 0])
            && allows(&recording, Limits::All, "ioctl", [9, 0x5401, 7, 0, 0, 0])
    );
    assert!(allows(&recording, Limits::None, "socket", [38, 0, 0, 0, 0, 0]));
    assert!(!safe("mkdir", 0), "nobody made one");
}

#[test]
fn runs_are_put_together_and_a_demoted_one_lifts_the_limit() {
    let mut recording = Recording::from(with(1, Phase::Workload, &[("unshare", &[0x2_0000])]));
    recording.add(with(2, Phase::Workload, &[("unshare", &[0x1000_0000]), ("mkdir", &[])]));
    let unshare = |recording: &Recording, flags| allows(recording, Limits::Safe, "unshare", [flags, 0, 0, 0, 0, 0]);
    assert!(unshare(&recording, 0x2_0000) && unshare(&recording, 0x1000_0000) && !unshare(&recording, 0x1002_0000));
    assert!(allows(&recording, Limits::Safe, "mkdir", [0; 6]), "of either run");
    let mut many = with(3, Phase::Workload, &[("unshare", &[0])]);
    many.calls
        .get_mut(&(Arch::X86_64, number("unshare")))
        .and_then(|call| call.arguments.as_mut())
        .expect("arguments")
        .demote();
    recording.add(many);
    assert!(unshare(&recording, 0x1002_0000));
}

#[test]
fn phases_count_as_asked() {
    let mut recording = Recording::from(with(1, Phase::Setup, &[("mount", &[])]));
    recording.add(with(2, Phase::Runtime, &[("capset", &[])]));
    recording.add(with(3, Phase::Workload, &[("read", &[])]));
    let names = |phases: &[Phase]| {
        let learned = learn(&recording, LearnOptions { phases, limits: Limits::Safe }).expect("runs");
        learned.calls.iter().map(|call| call.name()).collect::<Vec<_>>()
    };
    assert_eq!(names(LearnOptions::default().phases), ["read", "capset"]);
    assert_eq!(names(&Phase::ALL), ["read", "capset", "mount"]);
    assert_eq!(learn(&Recording::default(), LearnOptions::default()), None);
}

#[test]
fn every_limit_is_of_a_word_that_is_recorded() {
    for (nr, name) in Sysno::all(Arch::X86_64) {
        let recording =
            Recording::from(with(1, Phase::Workload, &[(name, &[0, 0, 0][..selected(Arch::X86_64, nr.0).len()])]));
        let learned = learn(&recording, LearnOptions::default()).expect("a run");
        if let Arguments::Tuples(tuples) = &learned.calls[0].arguments {
            assert!(!tuples.is_empty() && tuples.iter().all(|tuple| !tuple.is_empty()), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_seen_is_allowed_whatever_the_limits(picks in prop::collection::vec((any::<prop::sample::Index>(), prop::array::uniform6(any::<u64>())), 1..6)) {
        let all: Vec<_> = Sysno::all(Arch::X86_64).collect();
        let mut run = run(1);
        let mut made = Vec::new();
        for (pick, words) in picks {
            let (nr, name) = all[pick.index(all.len())];
            let call = run.calls.entry((Arch::X86_64, nr.0), || Call::new(Arch::X86_64, nr.0));
            call.made(Phase::Workload, &"/bin/x".into(), 1, 0);
            if let Some(arguments) = &mut call.arguments {
                let seen = arguments.selected.iter().map(|select| words[usize::from(select.index)] & select.mask).collect();
                arguments.add(seen);
            }
            made.push((name, words));
        }
        let recording = Recording::from(run);
        for limits in [Limits::None, Limits::Safe, Limits::All] {
            for &(name, words) in &made {
                prop_assert!(allows(&recording, limits, name, words), "{} {:x?} with {:?}", name, words, limits);
            }
        }
    }
}

#[test]
fn a_full_profile_can_be_read_again_and_shows_no_more_than_needed() {
    let mut seen =
        with(1, Phase::Workload, &[("read", &[]), ("openat", &[]), ("unshare", &[0x1000_0000]), ("clone3", &[0x100])]);
    let mut files = tipstaff_recording::Table::default();
    for (path, access, failed) in [
        ("/usr/lib/x/a.so", Access::Read, 0),
        ("/etc/x.conf", Access::Read, 0),
        ("/etc/secret", Access::Read, 1),
        ("/", Access::List, 0),
        ("/home", Access::List, 0),
        ("/var/lib/x/db", Access::Write, 0),
        ("/var/lib/y/new", Access::Create, 0),
        ("/work/in", Access::Read, 0),
        ("/proc/self/maps", Access::Read, 0),
        ("/tmp/scratch", Access::Create, 0),
        ("/usr/bin/tool", Access::Exec, 0),
    ] {
        files.insert(FileUse { path: path.into(), access, count: 1, failed: Some(failed), first_ns: 0 });
    }
    seen.files = Some(files);
    let peer = SocketUse {
        operation: Socket::Connect,
        family: "AF_INET".into(),
        kind: Some("SOCK_STREAM".into()),
        address: Some("192.0.2.1".into()),
        port: Some(443),
        path: None,
        count: 1,
        first_ns: 0,
    };
    seen.sockets = Some([peer].into_iter().collect());
    let made = profile(&Recording::from(seen), LearnOptions::default()).expect("a run");
    let toml = made.profile.to_toml().expect("TOML");
    let shows = |text: &str| toml.contains(text);
    for there in [
        "\"/usr/lib/x\"",
        "\"/etc/x.conf\"",
        "\"/var/lib/x/db\"",
        "\"/var/lib/y\"",
        "cwd = \"read\"",
        "\"/usr/bin/tool\"",
        "tcp://192.0.2.1:443",
    ] {
        assert!(shows(there), "{there} in {toml}");
    }
    for absent in ["/etc/secret", "\"/\"", "\"/home\"", "/proc", "/tmp", "/work", "/usr/lib/x/a.so"] {
        assert!(!shows(absent), "{absent} in {toml}");
    }
    let refused: Vec<&String> = made
        .profile
        .syscalls
        .rules
        .iter()
        .filter(|rule| rule.action != RuleAction::Allow)
        .flat_map(|rule| &rule.names)
        .collect();
    assert!(refused.iter().any(|name| *name == "mkdir"), "what was not seen is refused");
    for seen in ["read", "openat", "unshare", "clone", "exit_group", "rt_sigreturn"] {
        assert!(!refused.iter().any(|name| *name == seen), "{seen} was seen, or is always needed");
    }
    assert!(shows("0x10000000"), "unshare with the flags that were seen: {toml}");
}
