//! Documents in the shape of those that engines ship, evaluated for several machines.

use tipstaff_abi::{Arch, Sysno, bpf::SeccompData};
use tipstaff_oci_seccomp::{Env, Error, Form, Imported, evaluate, import, parse};
use tipstaff_seccomp::{Action, prove};

const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);

const ENGINE: &str = r#"{
  "defaultAction": "SCMP_ACT_ERRNO",
  "defaultErrnoRet": 38,
  "defaultErrno": "EPERM",
  "archMap": [
    {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    {"architecture": "SCMP_ARCH_S390X", "subArchitectures": null}
  ],
  "syscalls": [
    {"names": ["read", "write", "openat", "no_such_call", "exit_group"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
    {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
     "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
     "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    {"names": ["clone", "clone3", "mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_LT"}]},
    {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_GT"}]},
    {"name": "personality", "action": "SCMP_ACT_ALLOW", "args": [
      {"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
    {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}}
  ]
}"#;

fn with(json: &str, arch: Arch, kernel: (u32, u32), caps: &[&str]) -> Result<Imported, Error> {
    let caps: Vec<String> = caps.iter().map(|&cap| cap.to_owned()).collect();
    import(json, &Env { arch, kernel, caps: &caps, form: Some(Form::Docker) })
}

fn here(json: &str) -> Result<Imported, Error> {
    with(json, Arch::X86_64, (6, 1), &[])
}

fn ask(imported: &Imported, arch: Arch, name: &str, arg0: u64) -> Action {
    let nr = Sysno::by_name(arch, name).expect("a call").0.cast_signed();
    imported.filter.decide(&SeccompData { nr, arch: arch.audit_arch(), ip: 0, args: [arg0, 0, 0, 0, 0, 0] })
}

#[test]
fn an_engines_profile_means_what_the_engine_means() {
    let plain = here(ENGINE).expect("good");
    let arches: Vec<_> = plain.filter.tables.iter().map(|table| table.arch).collect();
    assert_eq!(arches, [Arch::X86_64, Arch::I386, Arch::X32]);
    assert_eq!(plain.ignored, ["no_such_call"]);
    let x86 = |name, arg| ask(&plain, Arch::X86_64, name, arg);
    assert_eq!((x86("read", 0), x86("mount", 0), x86("clone3", 0)), (Action::Allow, EPERM, ENOSYS));
    assert_eq!((x86("clone", 17), x86("clone", 0x1000_0011)), (Action::Allow, EPERM));
    assert_eq!((x86("socket", 2), x86("socket", 40), x86("socket", 41)), (Action::Allow, EPERM, Action::Allow));
    assert_eq!(
        (x86("personality", 0), x86("personality", 8), x86("personality", 4)),
        (Action::Allow, Action::Allow, EPERM)
    );
    assert_eq!((x86("ptrace", 0), x86("arch_prctl", 0)), (Action::Allow, Action::Allow));
    prove(&plain.filter, &plain.filter.compile().expect("fits")).expect("proven");
}

#[test]
fn capabilities_kernels_and_machines_change_it() {
    let admin = with(ENGINE, Arch::X86_64, (4, 7), &["CAP_SYS_ADMIN"]).expect("good");
    let x86 = |name, arg| ask(&admin, Arch::X86_64, name, arg);
    assert_eq!(
        (x86("clone", 0x1000_0011), x86("clone3", 0), x86("mount", 0)),
        (Action::Allow, Action::Allow, Action::Allow)
    );
    assert_eq!(x86("ptrace", 0), EPERM);
    let arm = with(ENGINE, Arch::Aarch64, (5, 10), &[]).expect("good");
    assert_eq!(arm.filter.tables.iter().map(|table| table.arch).collect::<Vec<_>>(), [Arch::Aarch64, Arch::Arm]);
    assert_eq!(arm.ignored, ["no_such_call", "arch_prctl"]);
    assert_eq!(ask(&arm, Arch::Aarch64, "ptrace", 0), Action::Allow);
}

#[test]
fn containers_common_knows_no_oldest_kernel() {
    // Errnos by name speak for containers-common, which passes minKernel over.
    let document = parse(ENGINE).expect("good");
    assert_eq!(document.form(), Form::Containers);
    let env = |form| Env { arch: Arch::X86_64, kernel: (4, 7), caps: &[], form };
    let ptrace = |form| ask(&evaluate(&document, &env(form)).expect("good"), Arch::X86_64, "ptrace", 0);
    assert_eq!((ptrace(None), ptrace(Some(Form::Docker))), (Action::Allow, EPERM));
}

#[test]
fn numbers_nobody_knows_and_foreign_architectures_are_ours() {
    let strict =
        here(r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_MIPS"]}"#)
            .expect("good");
    let at =
        |arch: Arch, nr| strict.filter.decide(&SeccompData { nr, arch: arch.audit_arch(), ..SeccompData::default() });
    assert_eq!(
        (at(Arch::X86_64, 0), at(Arch::X86_64, 1000), at(Arch::I386, 20)),
        (Action::Allow, ENOSYS, Action::KillProcess)
    );
    assert!(strict.notes.iter().any(|note| note.contains("MIPS")), "{:?}", strict.notes);
}

#[test]
fn an_entry_without_arguments_hides_those_with() {
    let json = |first: &str, second: &str| {
        format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{first}, {second}]}}"#)
    };
    let whole = r#"{"names": ["socket"], "action": "SCMP_ACT_ALLOW"}"#;
    let part =
        r#"{"names": ["socket"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}"#;
    for text in [json(whole, part), json(part, whole)] {
        let imported = here(&text).expect("good");
        assert_eq!(ask(&imported, Arch::X86_64, "socket", 2), Action::Allow);
        assert_eq!(imported.notes.len(), 1);
    }
}

#[test]
fn every_action() {
    for (name, action) in [
        ("SCMP_ACT_KILL", Action::KillThread),
        ("SCMP_ACT_KILL_THREAD", Action::KillThread),
        ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
        ("SCMP_ACT_TRAP", Action::Trap(0)),
        ("SCMP_ACT_ERRNO", EPERM),
        ("SCMP_ACT_TRACE", Action::Trace(1)),
        ("SCMP_ACT_ALLOW", Action::Allow),
        ("SCMP_ACT_LOG", Action::Log),
        ("SCMP_ACT_NOTIFY", Action::Notify),
    ] {
        let imported = here(&format!(r#"{{"defaultAction": "{name}"}}"#)).expect("good");
        assert_eq!(ask(&imported, Arch::X86_64, "read", 0), action);
    }
}

#[test]
fn errors_name_the_place_and_the_cure() {
    let entry = |fields: &str| {
        format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["read"], {fields}}}]}}"#)
    };
    for (json, place, cure) in [
        ("{\n \"defaultActions\": \"x\"}".to_owned(), "line 2", "did you mean `defaultAction`?"),
        ("{\n\n".to_owned(), "line 3", "EOF"),
        (r#"{"defaultAction": "SCMP_ACT_ALOW"}"#.to_owned(), "defaultAction: ", "did you mean `SCMP_ACT_ALLOW`?"),
        (entry(r#""action": "ALLOW""#), "syscalls[0].action", "known are SCMP_ACT_KILL"),
        (entry(r#""action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]"#), "syscalls[0].args[0].index", "0 to 5"),
        (entry(r#""action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQUAL"}]"#), "syscalls[0].args[0].op", "`SCMP_CMP_EQ`"),
        (entry(r#""action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]"#), "syscalls[0].args[0].value: ", "expected u64"),
        (entry(r#""action": 3"#), "syscalls[0].action: ", "expected a string"),
        (entry(r#""action": "SCMP_ACT_LOG", "arg": []"#), "line 1", "did you mean `args`?"),
        (entry(r#""action": "SCMP_ACT_LOG", "errnoRet": 5"#), "syscalls[0].action", "only ERRNO and TRACE"),
        (entry(r#""action": "SCMP_ACT_ERRNO", "errno": "ENOSYSS""#), "syscalls[0].errno", "did you mean `ENOSYS`?"),
        (entry(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 5000"#), "syscalls[0].action", "4095"),
        (entry(r#""action": "SCMP_ACT_LOG", "includes": {"minKernel": "4"}"#), "syscalls[0].includes.minKernel", "MAJOR.MINOR"),
        (entry(r#""action": "SCMP_ACT_LOG", "name": "write""#), "syscalls[0].name", "move it"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]}"#.to_owned(), "syscalls[0].names", "remove the entry"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86-64"]}"#.to_owned(), "architectures[0]", "`SCMP_ARCH_X86_64`"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#.to_owned(), "archMap", "remove one"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_TSYNK"]}"#.to_owned(), "flags[0]", "`SECCOMP_FILTER_FLAG_TSYNC`"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}"#.to_owned(), "listenerMetadata", "listenerPath"),
    ] {
        let text = here(&json).expect_err(&json).to_string();
        assert!(text.contains(place) && text.contains(cure), "{json}\n{text}");
    }
}

#[test]
fn documents_survive_a_round_trip() {
    let document = parse(ENGINE).expect("good");
    let written = serde_json::to_string(&document).expect("writes");
    assert_eq!(parse(&written).expect("good"), document);
    let env = Env { arch: Arch::X86_64, kernel: (6, 1), caps: &[], form: Some(Form::Docker) };
    assert_eq!(evaluate(&document, &env), here(ENGINE));
}

#[test]
fn an_engines_document_becomes_the_specifications() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_S390X"}],
        "syscalls": [
            {"names": ["read", "call_of_tomorrow"], "action": "SCMP_ACT_ALLOW", "comment": "needed"},
            {"name": "ptrace", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_PTRACE"]}},
            {"names": ["statx"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM"},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]}"#;
    let document = parse(text).expect("good");
    let env = Env { arch: Arch::X86_64, kernel: (6, 1), caps: &[], form: None };
    let strict = document.resolved(&env).expect("good");
    assert_eq!(strict.form(), Form::Strict);
    let expected = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
        {"names":["read","call_of_tomorrow"],"action":"SCMP_ACT_ALLOW"},
        {"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":1},
        {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"}]},
        {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}"#;
    assert_eq!(strict, parse(expected).expect("good"));
    assert_eq!(evaluate(&strict, &env).expect("good").filter, evaluate(&document, &env).expect("good").filter);
}

#[test]
fn an_empty_profile_is_no_filter_for_engines_and_an_error_for_runtimes() {
    let env = |form| Env { arch: Arch::X86_64, kernel: (6, 1), caps: &[], form };
    for form in [Form::Docker, Form::Containers] {
        let off = import("{}", &env(Some(form))).expect("off");
        assert_eq!((ask(&off, Arch::X86_64, "mount", 0), off.notes.len()), (Action::Allow, 1));
        let rules = r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;
        assert!(
            import(rules, &env(Some(form)))
                .expect_err("rules and no default")
                .to_string()
                .contains("defaultAction: is missing")
        );
    }
    assert!(import("{}", &env(None)).expect_err("no default").to_string().contains("defaultAction: is missing"));
}
