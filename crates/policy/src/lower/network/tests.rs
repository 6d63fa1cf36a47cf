use tipstaff_abi::Arch;
use tipstaff_abi::bpf::SeccompData;
use tipstaff_seccomp::Action;

use super::*;
use crate::lower::tests::{Table, around, preset};
use crate::lower::{EnginePlan, Plan, SECRET_WORDS, TRACE_DATA, ViewOp, lower};
use crate::profile::{Engine, PathRule, RuleAction, SyscallRule};

fn profile(allow: &[&str], deny: &[&str], bind: &[(u16, u16)]) -> Profile {
    let mut profile = preset("default");
    profile.isolation.engine = Some(Engine::Ptrace);
    profile.network.allow = Some(allow.iter().map(|text| text.parse().expect("a rule")).collect());
    profile.network.deny = deny.iter().map(|text| text.parse().expect("a rule")).collect();
    profile.network.bind = bind.iter().map(|(first, last)| PortRange { first: *first, last: *last }).collect();
    profile
}

fn lowered(profile: &Profile, caps: &KernelCaps) -> Result<Plan, Refusal> {
    let mut around = around();
    around.names.insert("example.test".into(), vec!["192.0.2.7".parse().expect("an address")]);
    lower(profile, caps, &Table::machine(), &around)
}

fn plan(allow: &[&str], deny: &[&str], bind: &[(u16, u16)]) -> Plan {
    lowered(&profile(allow, deny, bind), &KernelCaps::full()).expect("lowers")
}

fn asked(plan: &Plan) -> Vec<&'static str> {
    plan.network.as_ref().map(|network| network.asked().iter().map(|ask| ask.call).collect()).unwrap_or_default()
}

/// What the installed filter says.
fn says(plan: &Plan, call: &str, args: [u64; 6]) -> Action {
    let filter = plan.filter.as_ref().expect("a filter").installed([1; SECRET_WORDS]);
    let arch = Arch::X86_64;
    let nr = Sysno::by_name(arch, call).expect("a call").0.cast_signed();
    filter.decide(&SeccompData { nr, arch: arch.audit_arch(), args, ..SeccompData::default() })
}

use tipstaff_abi::Sysno;
const ASK: Action = Action::Trace(TRACE_DATA);
const HIGH: u64 = 1 << 32;

#[test]
fn ports_of_tcp_alone_ask_nobody() {
    let mut profile = profile(&["tcp://*:443", "tcp://*:8000-8001"], &[], &[]);
    profile.isolation.engine = Some(Engine::Native);
    let plan = lowered(&profile, &KernelCaps::full()).expect("lowers");
    assert_eq!((plan.engine, asked(&plan).len()), (EnginePlan::Native, 0));
    let landlock = plan.landlock.as_ref().expect("landlock");
    assert_eq!(landlock.connect, Some(vec![443, 8000, 8001]));
    assert_eq!(landlock.bind, Some(vec![0]), "for the source address of a client; nobody can listen");
    assert_eq!(says(&plan, "listen", [3, 5, 0, 0, 0, 0]), Action::Notify, "refused, and told");
    assert!(!plan.namespaces.net && plan.namespaces.mount);
}

#[test]
fn without_landlock_ports_are_asked_about() {
    let old = KernelCaps { landlock_abi: 3, ..KernelCaps::full() };
    let plan = lowered(&profile(&["tcp://*:443"], &[], &[]), &old).expect("lowers");
    assert_eq!(asked(&plan), ["connect", "bind", "getsockname", "listen"]);
}

#[test]
fn what_is_asked_about_depends_on_the_rules() {
    for (allow, deny, bind, calls) in [
        (&["tcp://192.0.2.1:443"][..], &[][..], &[][..], &["connect", "bind", "getsockname", "listen"][..]),
        (&["tcp://*"], &[], &[], &["connect", "bind", "getsockname", "listen"]),
        (&["tcp://*:443"], &["192.0.2.1"], &[], &["connect", "bind", "getsockname", "listen"]),
        (
            &["tcp://*:443"],
            &[],
            &[(80, 80)],
            &["connect", "sendto", "sendmsg", "sendmmsg", "bind", "getsockname", "listen"],
        ),
        (
            &["udp://192.0.2.1"],
            &[],
            &[],
            &["connect", "sendto", "sendmsg", "sendmmsg", "bind", "getsockname", "listen"],
        ),
        (&["host"], &["192.0.2.1"], &[], &["connect", "sendto", "sendmsg", "sendmmsg"]),
        (&["host"], &[], &[(80, 80)], &["bind", "getsockname", "listen"]),
        (&["host"], &[], &[], &[]),
        (&["none"], &["192.0.2.1"], &[], &[]),
    ] {
        assert_eq!(asked(&plan(allow, deny, bind)), calls, "{allow:?} {deny:?} {bind:?}");
    }
}

#[test]
fn a_box_whose_calls_are_made_for_it_connects_nowhere_by_itself() {
    let plan = plan(&["tcp://*"], &[], &[]);
    assert_eq!(plan.landlock.as_ref().expect("landlock").connect, Some(Vec::new()));
}

#[test]
fn registers_decide_who_is_asked() {
    let plan = plan(&["192.0.2.1"], &[], &[]);
    assert_eq!(says(&plan, "connect", [3, 1, 16, 0, 0, 0]), ASK);
    assert_eq!(says(&plan, "sendto", [3, 1, 1, 0, 0, 0]), Action::Allow, "to whom it is connected");
    for address in [1, HIGH] {
        assert_eq!(says(&plan, "sendto", [3, 1, 1, 0, address, 16]), ASK, "{address:#x}");
    }
    for flags in [0x2000_0000, HIGH | 0x2000_0000, 0x6000_4040] {
        for (call, args) in [
            ("sendto", [3, 1, 1, flags, 1, 16]),
            ("sendto", [3, 1, 1, flags, 0, 0]),
            ("sendmsg", [3, 1, flags, 0, 0, 0]),
            ("sendmmsg", [3, 1, 1, flags, 0, 0]),
        ] {
            assert_eq!(says(&plan, call, args), Action::Notify, "{call} {flags:#x}: MSG_FASTOPEN is refused");
        }
    }
}

#[test]
fn sockets_are_tcp_udp_unix_and_routes() {
    let plan = plan(&["192.0.2.1"], &[], &[]);
    let socket = |family: u64, kind: u64, protocol: u64| says(&plan, "socket", [family, kind, protocol, 0, 0, 0]);
    for (family, kind, protocol) in
        [(2, 1, 0), (2, 1, 6), (10, 2, 17), (2, 2 | 0o2004000, 0), (16, 3, 0), (HIGH | 2, 1, 0), (1, 1, 0), (1, 2, 0)]
    {
        assert_eq!(socket(family, kind, protocol), Action::Allow, "{family:#x} {kind:#x} {protocol}");
    }
    for (family, kind, protocol) in [
        (2, 1, 262),
        (2, 1, HIGH | 262),
        (2, 1, 132),
        (2, 2, 136),
        (2, 2, 1),
        (2, 3, 255),
        (2, HIGH | 3, 255),
        (2, 5, 132),
        (2, 10, 0),
        (10, 0, 0),
        (17, 3, 0),
        (40, 1, 0),
        (38, 5, 0),
        (16, 3, 9),
        (43, 1, 0),
    ] {
        assert_eq!(socket(family, kind, protocol), Action::Notify, "{family:#x} {kind:#x} {protocol}: refused");
    }
    assert_eq!(says(&plan, "socketpair", [1, 1, 0, 0, 0, 0]), Action::Allow);
}

#[test]
fn unix_datagrams_need_somebody_who_is_asked() {
    let tcp = plan(&["tcp://192.0.2.1"], &[], &[]);
    for kind in [2, 3, HIGH | 2] {
        for call in ["socket", "socketpair"] {
            assert_eq!(says(&tcp, call, [1, kind, 0, 0, 0, 0]), Action::Notify, "{call} {kind:#x}: refused");
        }
    }
    for kind in [1, 5, 1 | 0o2004000] {
        for call in ["socket", "socketpair"] {
            assert_eq!(says(&tcp, call, [1, kind, 0, 0, 0, 0]), Action::Allow, "{call} {kind:#x}");
        }
    }
}

#[test]
fn options_that_lead_elsewhere_are_refused() {
    let plan = plan(&["tcp://192.0.2.1"], &[], &[]);
    let option = |level: u64, name: u64| says(&plan, "setsockopt", [3, level, name, 1, 4, 0]);
    for (level, name) in [(0, 4), (41, 57), (6, 30), (6, 31), (HIGH | 6, HIGH | 30), (1, 15)] {
        assert_eq!(option(level, name), Action::Notify, "{level:#x} {name:#x}");
    }
    for (level, name) in [(6, 1), (1, 2), (1, 9), (41, 26)] {
        assert_eq!(option(level, name), Action::Allow, "{level} {name}");
    }
}

#[test]
fn a_profiles_own_rules_open_nothing_and_may_close_more() {
    let rule = |name: &str, action| SyscallRule { names: vec![name.into()], conditions: Vec::new(), action };
    let mut profile = profile(&["192.0.2.1"], &[], &[]);
    profile.syscalls.rules = vec![
        rule("socket", RuleAction::Allow),
        rule("io_uring_setup", RuleAction::Allow),
        rule("connect", RuleAction::Allow),
        rule("sendmsg", RuleAction::Errno(1)),
    ];
    let plan = lowered(&profile, &KernelCaps::full()).expect("lowers");
    assert_eq!(says(&plan, "socket", [17, 3, 0, 0, 0, 0]), Action::Notify, "refused");
    assert_eq!(says(&plan, "io_uring_setup", [1, 1, 0, 0, 0, 0]), Action::Notify, "refused");
    assert_eq!(says(&plan, "connect", [3, 1, 16, 0, 0, 0]), ASK);
    assert_eq!(says(&plan, "sendmsg", [3, 1, 0, 0, 0, 0]), Action::Notify, "refused, and nobody is asked");
}

#[test]
fn the_launchers_own_sendmsg_passes() {
    let plan = plan(&["192.0.2.1"], &[], &[]);
    assert_eq!(says(&plan, "sendmsg", [3, 1, 0, 1, 1, 1]), Action::Allow);
    assert_eq!(says(&plan, "sendmsg", [3, 1, 0, 1, 1, 2]), ASK);
}

#[test]
fn what_is_both_allowed_and_denied_and_unknown_hosts_are_one_line() {
    let refused = |allow: &[&str], deny: &[&str]| match lowered(&profile(allow, deny, &[]), &KernelCaps::full()) {
        Err(refusal) => refusal.message,
        Ok(_) => panic!("lowers"),
    };
    let both = refused(&["tcp://192.0.2.1:80"], &["tcp://192.0.2.1:80"]);
    assert_eq!(both, "network: \"tcp://192.0.2.1:80\" is both allowed and denied; leave one of the two out");
    let unknown = refused(&["tcp://nobody.test"], &[]);
    assert!(
        unknown.starts_with("network.allow: \"tcp://nobody.test\": the host \"nobody.test\" has no address"),
        "{unknown}"
    );
    assert!(lowered(&profile(&["example.test"], &[], &[]), &KernelCaps::full()).is_ok(), "the control");
}

#[test]
fn allowed_names_stand_in_the_boxs_hosts() {
    let mut host = Table::machine();
    host.add("/etc/hosts");
    let mut around = around();
    around.names.insert("example.test".into(), vec!["192.0.2.7".parse().expect("an address")]);
    let mut profile = profile(&["tcp://example.test:80"], &[], &[]);
    profile.filesystem.read.push(PathRule::new("/etc"));
    let plan = lower(&profile, &KernelCaps::full(), &host, &around).expect("lowers");
    let text = plan.view.ops.iter().find_map(|op| match op {
        ViewOp::Text(path, text) if path.ends_with("hosts") => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(text, Some("127.0.0.1\tlocalhost\n::1\tlocalhost\n192.0.2.7\texample.test\n"));
}

#[test]
fn the_kernel_alone_is_refused_where_it_does_not_suffice() {
    let mut profile = profile(&["tcp://192.0.2.1:443"], &[], &[]);
    profile.isolation.engine = Some(Engine::Native);
    let refusal = lowered(&profile, &KernelCaps::full()).expect_err("refused");
    assert!(refusal.message.contains("connect, bind, listen, getsockname must be asked about"), "{}", refusal.message);
}

#[test]
fn what_is_compiled_is_what_is_specified() {
    for allow in [&["tcp://*:443"][..], &["192.0.2.1"]] {
        let filter = plan(allow, &[], &[]).filter.as_ref().expect("a filter").installed([1; SECRET_WORDS]);
        tipstaff_seccomp::prove(&filter, &filter.compile().expect("compiles")).expect("proves");
    }
}
