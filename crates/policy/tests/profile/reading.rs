//! What a profile can say.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tipstaff_policy::profile::*;
use tipstaff_policy::value::{NetSpec, PortRange, Setting};

use crate::good;

#[test]
fn nothing_at_all() {
    assert_eq!(good(""), Profile::default());
    assert_eq!(good("[limits]\n[filesystem]\n"), Profile::default());
}

#[test]
fn everything() {
    let profile = good(
        r#"
        extends = "default"
        [program]
        argv = ["python3", "", "x.py"]
        env = { A = "1", "B C" = "" }
        pass_env = ["EDITOR"]
        cwd = "~/work"
        stdin = "in.txt"
        uid = 1000
        gid = 0
        tty = true
        [filesystem]
        read = ["/", "~"]
        read_if_exists = ["~/x"]
        write = ["out"]
        exec = ["."]
        deny = ["~/.ssh/"]
        protect = [".git/hooks"]
        protect_git = true
        root = "/srv/root"
        mounts = [{ source = "~/data", target = "/data" }, { source = "b", target = "/b", read_only = false }]
        tmp = "private"
        tmp_exec = true
        cwd = "write"
        replace = ["read", "deny"]
        [network]
        allow = ["tcp://example.org:443", "10.0.0.0/8"]
        deny = ["10.1.0.0/16"]
        bind = ["8000-8010,9000", "0"]
        [syscalls]
        base = "./profile.json"
        [limits]
        cpu = "1.5s"
        cpu_percent = 150
        wall = "2m"
        idle = "unlimited"
        memory = "64MiB"
        memory_account = "exact"
        processes = 64
        output = 65536
        file_size = "64MB"
        open_files = 0x100
        stack = "8MiB"
        disk = "1GiB"
        [isolation]
        namespaces = ["mount", "pid"]
        engine = "auto"
        best_effort = false
        guest_ptrace = "deny"
        ptrace_scope = "restricted"
        guest_listener = "native"
        denials = "silent"
        "#,
    );
    assert_eq!(profile.extends.as_deref(), Some("default"));
    assert_eq!(profile.program.argv, Some(vec!["python3".into(), "".into(), "x.py".into()]));
    assert_eq!(profile.program.cwd.as_deref(), Some(Path::new("/home/u/work")));
    assert_eq!(profile.program.env.len(), 2);
    assert_eq!((profile.program.uid, profile.program.gid, profile.program.tty), (Some(1000), Some(0), Some(true)));
    let files = &profile.filesystem;
    let rules = [PathRule::new("/"), PathRule::new("/home/u"), PathRule::if_exists("/home/u/x")];
    assert_eq!(files.read, rules);
    assert_eq!(files.deny, [PathRule::new("/home/u/.ssh")]);
    assert_eq!((&files.protect[..], files.protect_git), (&[PathBuf::from(".git/hooks")][..], Some(true)));
    assert_eq!(files.mounts[0], Mount { source: "/home/u/data".into(), target: "/data".into(), read_only: true });
    assert!(!files.mounts[1].read_only);
    assert_eq!((files.tmp, files.tmp_exec, files.cwd), (Some(Tmp::Private), Some(true), Some(CwdAccess::Write)));
    assert_eq!(files.replace, [PathList::Read, PathList::Deny]);
    assert_eq!(profile.network.allow.as_ref().map(Vec::len), Some(2));
    assert_eq!(profile.network.bind.len(), 3);
    assert_eq!(profile.network.bind[2], PortRange { first: 0, last: 0 });
    assert_eq!(profile.syscalls.base, Some(Base::Oci("./profile.json".into())));
    let limits = &profile.limits;
    assert_eq!(limits.cpu, Some(Setting::At(Duration::from_millis(1500))));
    assert_eq!(limits.cpu_percent, Some(Setting::At(150)));
    assert_eq!(limits.idle, Some(Setting::Unlimited));
    assert_eq!(limits.memory, Some(Setting::At(64 << 20)));
    assert_eq!(limits.memory_account, Some(MemoryAccount::Exact));
    assert_eq!((limits.output, limits.open_files), (Some(Setting::At(65_536)), Some(Setting::At(256))));
    let kinds = [Namespace::Mount, Namespace::Pid].into_iter().collect();
    assert_eq!(profile.isolation.namespaces, Some(Namespaces::Only(kinds)));
    assert_eq!(profile.isolation.best_effort, Some(false));
    let (scope, listener) = (profile.isolation.ptrace_scope, profile.isolation.guest_listener);
    assert_eq!((scope, listener), (Some(PtraceScope::Restricted), Some(GuestListener::Native)));
    assert_eq!(good(&profile.to_toml().unwrap()), profile);
}

#[test]
fn rules_of_system_calls() {
    let profile = good(
        r#"
        [syscalls]
        base = "strict"
        allow = ["getpid"]
        deny = ["chmod", "%mount"]
        errno = { ENOSYS = ["clone3"], EACCES = ["chown"] }
        kill = ["reboot"]
        log = ["unlink"]
        [[syscalls.rule]]
        names = ["socket"]
        action = "errno"
        errno = "EAFNOSUPPORT"
        args = [{ index = 0, value = 40, width = 32 }, { index = 1, op = "&", mask = 0xf, value = 2 }]
        [[syscalls.rule]]
        names = ["openat"]
        action = "allow"
        args = [{ index = 0, op = "!=", value = -100, width = 32 }, { index = 1, op = ">", value = 0xffff_ffff_ffff_fffe }]
        [[syscalls.rule]]
        names = ["openat"]
        action = "deny"
        "#,
    );
    let rules = &profile.syscalls.rules;
    let actions: Vec<_> = rules.iter().map(|rule| rule.action).collect();
    let errno = RuleAction::Errno;
    let expected = [
        RuleAction::Allow,
        RuleAction::Log,
        errno(1),
        errno(38),
        errno(13),
        RuleAction::Kill,
        errno(97),
        RuleAction::Allow,
        errno(1),
    ];
    assert_eq!(actions, expected);
    assert_eq!(rules[2].names, ["chmod", "%mount"]);
    let condition = |index, op, value, mask, width| ArgCondition { index, op, value, mask, width };
    assert_eq!(rules[6].conditions[0], condition(0, CompareOp::Eq, 40, u64::MAX, Some(Width::W32)));
    assert_eq!(rules[6].conditions[1], condition(1, CompareOp::MaskedEq, 2, 15, None));
    assert_eq!(rules[7].conditions[0], condition(0, CompareOp::Ne, 0xffff_ff9c, u64::MAX, Some(Width::W32)));
    assert_eq!(rules[7].conditions[1], condition(1, CompareOp::Gt, u64::MAX - 1, u64::MAX, None));
    assert_eq!(good(&profile.to_toml().unwrap()), profile);
}

#[test]
fn an_empty_allow_list_is_a_list_and_denies() {
    assert_eq!(good("network.allow = []").network.allow, Some(vec![]));
    assert_eq!(good("[network]").network.allow, None);
    assert_eq!(good("network.allow = [\"none\"]").network.allow, Some(vec![NetSpec::None]));
    let empty = good("network.allow = []");
    assert_eq!(good(&empty.to_toml().unwrap()), empty);
}

#[test]
fn what_need_not_exist_needs_no_home_either_but_what_is_denied_does() {
    let without = |text: &str| Profile::from_toml("p", text, None);
    let profile = without("filesystem.read_if_exists = [\"~/x\", \"/y\"]").unwrap();
    assert_eq!(profile.filesystem.read, [PathRule::if_exists("/y")]);
    for text in [
        "filesystem.read = [\"~/x\"]",
        "filesystem.deny = [\"~/x\"]",
        "filesystem.deny_if_exists = [\"~/x\"]",
        "filesystem.protect = [\"~/x\"]",
    ] {
        let problem = without(text).unwrap_err().problem;
        assert_eq!(*problem, Problem::NoHome { path: "~/x".into() }, "{text}");
    }
    let relative = Profile::from_toml("p", "filesystem.deny = [\"~/x\"]", Some(Path::new("home/u")));
    assert!(matches!(*relative.unwrap_err().problem, Problem::NoHome { .. }));
}

#[test]
fn text_that_is_not_utf8_cannot_be_written_as_toml() {
    use std::os::unix::ffi::OsStringExt;
    let mut profile = Profile::default();
    profile.program.argv = Some(vec![std::ffi::OsString::from_vec(b"\xff".to_vec())]);
    assert!(matches!(*profile.to_toml().unwrap_err().problem, Problem::NotToml { .. }));
}
