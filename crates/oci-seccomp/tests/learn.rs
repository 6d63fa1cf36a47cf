//! What was learned, as a document.

use tipstaff_abi::{Arch, Sysno, bpf::SeccompData};
use tipstaff_oci_seccomp::learn::{ArgIs, Arguments, ExportOptions, Learned, LearnedCall};
use tipstaff_oci_seccomp::libseccomp::Version;
use tipstaff_oci_seccomp::{Env, Form, import};
use tipstaff_seccomp::{Action, Filter};

const ENOSYS: Action = Action::Errno(38);
const EPERM: Action = Action::Errno(1);

fn call(name: &str, arguments: Arguments) -> LearnedCall {
    let nr = Sysno::by_name(Arch::X86_64, name).expect("a call").0;
    LearnedCall { arch: Arch::X86_64, nr, arguments, note: format!("run 1, {name} made it") }
}

fn ints(index: u8, values: &[u32]) -> Arguments {
    Arguments::Tuples(values.iter().map(|&value| vec![ArgIs::int(index, value)]).collect())
}

fn learned() -> Learned {
    let calls = vec![
        call("write", Arguments::Any),
        call("read", Arguments::Any),
        call("openat", Arguments::Any),
        call(
            "socket",
            Arguments::Tuples(vec![
                vec![ArgIs::int(0, 1), ArgIs::int(1, 0x80001)],
                vec![ArgIs::int(0, 2), ArgIs::int(1, 1)],
            ]),
        ),
        call("clone", ints(0, &[0x0120_0011, 0x003d_0f00])),
        call("unshare", ints(0, &[0x2000_0000])),
        call("clone3", Arguments::Any),
        call("mseal", Arguments::Any),
    ];
    Learned { arch: Arch::X86_64, calls, about: vec!["2 runs of an example".into()] }
}

fn ask(filter: &Filter, name: &str, args: [u64; 6]) -> Action {
    let nr = Sysno::by_name(Arch::X86_64, name).expect("a call").0.cast_signed();
    filter.decide(&SeccompData { nr, arch: Arch::X86_64.audit_arch(), ip: 0, args })
}

#[test]
fn the_smallest_document_allows_what_was_seen_and_nothing_else() {
    let exported = learned().document(&ExportOptions::default()).expect("good");
    let filter = &exported.filter;
    let one = |name, arg| ask(filter, name, [arg, 0, 0, 0, 0, 0]);
    assert_eq!(
        (one("read", 9), one("exit_group", 0), one("restart_syscall", 0)),
        (Action::Allow, Action::Allow, Action::Allow)
    );
    assert_eq!((one("statx", 0), one("mount", 0), one("ptrace", 0), one("bpf", 0)), (ENOSYS, EPERM, EPERM, ENOSYS));
    assert_eq!(
        (one("clone", 0x0120_0011), one("clone", 0x7000_0011), one("clone", 1 << 40 | 0x0120_0011)),
        (Action::Allow, ENOSYS, Action::Allow)
    );
    assert_eq!(ask(filter, "socket", [1, 0x80001, 7, 0, 0, 0]), Action::Allow);
    assert_eq!(ask(filter, "socket", [1, 1, 0, 0, 0, 0]), ENOSYS);
    assert!(exported.beyond.is_empty() && exported.warnings.is_empty(), "{exported:?}");
}

#[test]
fn the_order_of_what_was_seen_does_not_show() {
    let forwards = learned().document(&ExportOptions::default()).expect("good").document.to_json();
    let mut turned = learned();
    turned.calls.reverse();
    assert_eq!(turned.document(&ExportOptions::default()).expect("good").document.to_json(), forwards);
}

#[test]
fn every_form_means_the_same_and_engines_carry_where_it_comes_from() {
    for form in Form::ALL {
        let exported = learned().document(&ExportOptions { form, ..ExportOptions::default() }).expect("good");
        let text = exported.document.to_json();
        assert_eq!(text.contains("2 runs of an example"), form != Form::Strict, "{text}");
        let env = Env { arch: Arch::X86_64, kernel: (6, 18), caps: &[], form: None };
        assert_eq!(import(&text, &env).expect("good").filter, exported.filter);
    }
}

#[test]
fn a_floor_is_never_left_and_what_it_costs_is_said() {
    let floor = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read", "write", "openat", "exit", "exit_group", "rt_sigreturn", "restart_syscall"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_LT"}]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
    let env = Env { arch: Arch::X86_64, kernel: (6, 18), caps: &[], form: None };
    let floor = import(floor, &env).expect("good").filter;
    let exported =
        learned().document(&ExportOptions { floor: Some(&floor), ..ExportOptions::default() }).expect("good");
    let filter = &exported.filter;
    let one = |name, arg| ask(filter, name, [arg, 0, 0, 0, 0, 0]);
    assert_eq!(
        (one("clone", 0x0120_0011), one("clone", 0x11), one("clone", 0x1000_0011), one("clone3", 0)),
        (Action::Allow, Action::Allow, ENOSYS, ENOSYS)
    );
    assert_eq!(ask(filter, "socket", [1, 0x80001, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(ask(filter, "socket", [1 << 32 | 1, 0x80001, 0, 0, 0, 0]), ENOSYS);
    assert_eq!(ask(filter, "socket", [2, 1, 0, 0, 0, 0]), ENOSYS);
    let beyond: Vec<String> = exported.beyond.iter().map(ToString::to_string).collect();
    assert_eq!(
        beyond,
        [
            "x86_64 mseal: refused whole by the floor",
            "x86_64 socket: the floor refuses arg0 = 0x2 and arg1 = 0x1",
            "x86_64 unshare: refused whole by the floor",
        ]
    );
    assert!(exported.warnings.iter().any(|warning| warning.starts_with("clone3: ENOSYS")), "{:?}", exported.warnings);
}

#[test]
fn names_that_a_runtime_would_drop_and_numbers_without_names_are_told() {
    let mut learned = learned();
    learned.calls.push(LearnedCall { arch: Arch::X86_64, nr: 499, arguments: Arguments::Any, note: String::new() });
    learned.calls.push(LearnedCall { arch: Arch::I386, nr: 20, arguments: Arguments::Any, note: String::new() });
    let options = ExportOptions { libseccomp: Version::parse("2.5.4"), ..ExportOptions::default() };
    let exported = learned.document(&options).expect("good");
    let warned = |what: &str| exported.warnings.iter().any(|warning| warning.contains(what));
    assert!(
        warned("mseal: libseccomp 2.5.4") && warned("#499") && warned("on x86_64 this also allows getpid"),
        "{:?}",
        exported.warnings
    );
    // The filter keeps apart what the document cannot.
    let exact = learned.filter().expect("good");
    let data = |arch: Arch, nr| SeccompData { nr, arch: arch.audit_arch(), ..SeccompData::default() };
    assert_eq!(exact.decide(&data(Arch::X86_64, 499)), Action::Allow);
    assert_eq!((exact.decide(&data(Arch::I386, 20)), exact.decide(&data(Arch::X86_64, 39))), (Action::Allow, ENOSYS));
    assert_eq!(exact.decide(&data(Arch::Arm, 20)), Action::KillProcess);
}
