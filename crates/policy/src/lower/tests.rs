//! Lowering against machines that are values: each feature taken away in turn, and a file system that is a table.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tipstaff_abi::bpf::SeccompData;
use tipstaff_abi::caps::{CgroupCaps, KernelCaps};
use tipstaff_abi::errno::ENOSYS;
use tipstaff_abi::{Arch, SyscallSet, Sysno};
use tipstaff_report::Level;
use tipstaff_seccomp::Action;

use super::*;
use crate::profile::{
    CwdAccess, Denials, Engine, GuestListener, GuestPtrace, Loader, Namespaces, PathRule, PtraceScope, RuleAction,
    SyscallRule,
};
use crate::value::Setting;

/// Paths and what stands there; a directory's list is what lies below it. Directories that cannot be looked into, and texts.
#[derive(Default)]
pub(super) struct Table(BTreeMap<PathBuf, Kind>, BTreeSet<PathBuf>, BTreeMap<PathBuf, String>);

impl Table {
    pub(super) fn machine() -> Self {
        let mut table = Self::default();
        for dir in [
            "/",
            "/usr",
            "/usr/bin",
            "/etc",
            "/home",
            "/home/u",
            "/home/u/p",
            "/home/u/p/.git",
            "/home/u/.ssh",
            "/tmp",
            "/dev",
            "/proc",
            "/proc/sys",
            "/run",
            "/var",
            "/var/tmp",
        ] {
            table.0.insert(dir.into(), Kind::Directory);
        }
        for file in ["/usr/bin/true", "/etc/shadow", "/home/u/p/x", "/home/u/.ssh/key", "/dev/null", "/dev/zero"] {
            table.0.insert(file.into(), Kind::File);
        }
        table.0.insert("/bin".into(), Kind::Link("usr/bin".into()));
        table
    }
}

impl Table {
    pub(super) fn add(&mut self, file: &str) {
        self.0.insert(file.into(), Kind::File);
    }
}

impl Host for Table {
    fn kind(&self, path: &Path) -> Option<Kind> {
        self.0.get(path).cloned()
    }

    fn list(&self, path: &Path) -> Vec<OsString> {
        let below = self.0.keys().filter(|p| p.parent() == Some(path));
        below.filter_map(|p| p.file_name().map(ToOwned::to_owned)).collect()
    }

    fn children(&self, path: &Path) -> Option<Vec<(OsString, bool)>> {
        let directory = |name: &OsString| self.kind(&path.join(name)) == Some(Kind::Directory);
        (!self.1.contains(path))
            .then(|| self.list(path).into_iter().map(|name| (name.clone(), directory(&name))).collect())
    }

    fn text(&self, path: &Path) -> Result<String, String> {
        self.2.get(path).cloned().ok_or_else(|| "no file".into())
    }
}

pub(super) fn around() -> Surroundings {
    Surroundings {
        cwd: "/home/u/p".into(),
        programs: vec!["/bin/true".into()],
        core_is_piped: false,
        handled: SyscallSet::new(KernelCaps::full().arch),
        rewrites: false,
        registers: false,
        addresses: false,
        filters: 0,
        names: BTreeMap::new(),
    }
}

pub(super) fn preset(name: &str) -> Profile {
    let loader = Loader { home: Some("/home/u".into()), profile_dir: None };
    loader.load(name).expect("presets load")
}

fn ordinary() -> KernelCaps {
    KernelCaps {
        root: false,
        uid: 1000,
        gid: 1000,
        namespaces: false,
        setuid: false,
        setgroups: true,
        setpcap: false,
        cgroup: CgroupCaps::NONE,
        ..KernelCaps::full()
    }
}

fn plan(profile: &Profile, caps: &KernelCaps) -> Result<Plan, Refusal> {
    lower(profile, caps, &Table::machine(), &around())
}

fn poorer() -> Vec<(&'static str, KernelCaps)> {
    let full = KernelCaps::full;
    vec![
        ("cgroup", KernelCaps { cgroup: CgroupCaps::NONE, ..full() }),
        ("namespaces", KernelCaps { namespaces: false, user_namespace: false, ..full() }),
        ("mount_api", KernelCaps { mount_api: false, ..full() }),
        ("procfs", KernelCaps { procfs: false, ..full() }),
        ("landlock", KernelCaps { landlock_abi: 0, ..full() }),
        ("landlock scope", KernelCaps { landlock_abi: 5, ..full() }),
        ("seccomp", KernelCaps { seccomp: false, listener: false, ..full() }),
        ("listener", KernelCaps { listener: false, ..full() }),
        ("pidfd", KernelCaps { pidfd: false, ..full() }),
        ("ordinary", ordinary()),
        ("ordinary, no user namespace", KernelCaps { user_namespace: false, ..ordinary() }),
        (
            "nothing",
            KernelCaps {
                namespaces: false,
                user_namespace: false,
                landlock_abi: 0,
                seccomp: false,
                listener: false,
                cgroup: CgroupCaps::NONE,
                ..full()
            },
        ),
    ]
}

#[test]
fn every_preset_lowers_fully_on_a_full_machine() {
    for name in ["default", "judge", "strict", "python", "node", "build", "agent"] {
        for caps in [KernelCaps::full(), ordinary()] {
            let plan = plan(&preset(name), &caps).unwrap_or_else(|e| panic!("{name}: {e}"));
            let weak = plan.rules.iter().find(|r| r.enforcement.level != Level::Full);
            assert!(weak.is_none(), "{name}: {weak:?}");
        }
    }
}

#[test]
fn what_is_missing_is_refused_or_named_never_silent() {
    for name in ["default", "judge", "strict", "agent"] {
        let mut profile = preset(name);
        // Something that a control group is for.
        profile.limits.memory = Some(Setting::At(64 << 20));
        let full = plan(&profile, &KernelCaps::full()).expect("full");
        for (missing, caps) in poorer() {
            match plan(&profile, &caps) {
                Err(refusal) => assert!(!refusal.message.is_empty(), "{name} without {missing}"),
                Ok(plan) => assert_ne!(
                    plan.rules, full.rules,
                    "{name} without {missing}: the plan reads as on the full machine"
                ),
            }
        }
    }
}

#[test]
fn best_effort_turns_refusals_into_named_weaknesses() {
    let mut profile = preset("judge");
    // Nobody but the kernel may be asked, and it cannot count.
    profile.isolation.engine = Some(Engine::Native);
    let caps = KernelCaps { cgroup: CgroupCaps::NONE, ..KernelCaps::full() };
    let refusal = plan(&profile, &caps).expect_err("uid 0 has no process limit without a control group");
    assert!(refusal.message.contains("limits.processes"), "{refusal}");
    profile.isolation.best_effort = Some(true);
    let plan = plan(&profile, &caps).expect("best effort");
    let rule = plan.rules.iter().find(|r| r.enforcement.rule.as_bytes() == b"limits.processes").expect("named");
    assert_eq!(rule.enforcement.level, Level::Weakened);
}

#[test]
fn a_share_of_a_cpu_is_the_kernels_where_it_can_be() {
    let mut profile = preset("default");
    profile.limits.cpu_percent = Some(Setting::At(50));
    let without = KernelCaps { cgroup: CgroupCaps::NONE, ..KernelCaps::full() };
    for (caps, by, explained) in [(KernelCaps::full(), ThrottleBy::Cgroup, false), (without, ThrottleBy::Stops, true)] {
        let plan = plan(&profile, &caps).expect("plan");
        assert_eq!(plan.limits.cpu_percent, Some((50, by)));
        let rule = plan.rules.iter().find(|r| r.enforcement.rule.as_bytes() == b"limits.cpu_percent").expect("named");
        assert_eq!((rule.enforcement.level, rule.enforcement.why.is_some()), (Level::Full, explained));
    }
    profile.limits.cpu_percent = Some(Setting::At(201));
    let refusal = plan(&profile, &KernelCaps::full()).expect_err("two CPUs are 200 percent");
    assert!(refusal.message.contains("2 CPUs"), "{refusal}");
}

#[test]
fn where_the_kernel_cannot_count_tasks_the_supervisor_is_asked() {
    let caps = KernelCaps { cgroup: CgroupCaps::NONE, ..KernelCaps::full() };
    let counted = plan(&preset("judge"), &caps).expect("counted");
    assert_eq!(counted.limits.processes.map(|(_, by)| by), Some(ProcessesBy::Counted));
    assert_eq!(counted.engine, EnginePlan::Notify);
    let asked: Vec<_> = counted.asked.iter().filter_map(|nr| nr.name(Arch::X86_64)).collect();
    assert_eq!(asked, ["clone", "fork", "vfork"]);
    let filter = counted.filter.expect("a filter").installed([0; SECRET_WORDS]);
    let decide = |name: &str, flags| {
        let nr = Sysno::by_name(Arch::X86_64, name).expect("a call").0.cast_signed();
        let args = [flags, 0, 0, 0, 0, 0];
        filter.decide(&SeccompData { nr, arch: Arch::X86_64.audit_arch(), args, ..SeccompData::default() })
    };
    for call in asked {
        assert_eq!(decide(call, 17), Action::Notify, "{call}");
    }
    assert_eq!(decide("clone3", 0), Action::Errno(ENOSYS));
    // In a box within a box a tracer counts.
    let nested = plan(&preset("judge"), &KernelCaps { listener: false, ..caps.clone() }).expect("counted");
    assert_eq!(nested.limits.processes.map(|(_, by)| by), Some(ProcessesBy::Counted));
    assert_eq!(nested.engine, EnginePlan::Ptrace);
    // Without a limit of tasks nobody is asked about any.
    let mut profile = preset("judge");
    profile.limits.processes = None;
    assert_eq!(plan(&profile, &caps).expect("native").engine, EnginePlan::Native);
}

#[test]
fn an_ordinary_user_gets_an_exact_process_limit_from_their_own_namespace() {
    let plan = plan(&preset("judge"), &ordinary()).expect("plan");
    assert_eq!(plan.limits.processes.map(|(_, by)| by), Some(ProcessesBy::RlimitInNamespace));
    assert!(plan.namespaces.user && plan.namespaces.pid);
    assert_eq!(plan.ids.outside, (1000, 1000));
}

#[test]
fn survivors_are_impossible_or_the_run_is() {
    let mut profile = preset("default");
    profile.isolation.best_effort = Some(true);
    let caps = KernelCaps { landlock_abi: 5, ..KernelCaps::full() };
    profile.isolation.namespaces = Some(Namespaces::None);
    assert!(plan(&profile, &caps).is_err(), "not even best effort gives this rule up");
    let caps = KernelCaps { landlock_abi: 6, ..KernelCaps::full() };
    assert!(plan(&profile, &caps).is_ok(), "positive control");
}

#[test]
fn denied_names_are_masked_or_left_out() {
    let mut profile = preset("default");
    profile.filesystem.deny.push(PathRule::new("/home/u/.ssh"));
    let with = plan(&profile, &KernelCaps::full()).expect("plan");
    assert!(with.view.ops.contains(&ViewOp::Mask("/home/u/.ssh".into(), true)));
    assert!(with.view.ops.contains(&ViewOp::Mask("/etc/shadow".into(), false)));
    let caps = KernelCaps { namespaces: false, user_namespace: false, ..KernelCaps::full() };
    profile.limits = Default::default();
    let without = plan(&profile, &caps).expect("plan");
    let granted: Vec<_> = without.view.rights.iter().map(|(path, _)| path.clone()).collect();
    for path in ["/", "/home", "/home/u", "/home/u/.ssh", "/home/u/.ssh/key", "/etc", "/etc/shadow"] {
        assert!(!granted.contains(&path.into()), "{path} is granted: {granted:?}");
    }
    assert!(granted.contains(&"/usr".into()) && granted.contains(&"/home/u/p".into()), "positive control: {granted:?}");
}

#[test]
fn a_symbolic_link_to_the_program_is_in_the_box_too() {
    let plan = plan(&preset("judge"), &KernelCaps::full()).expect("plan");
    assert!(plan.view.ops.contains(&ViewOp::Symlink("usr/bin".into(), "/bin".into())), "{:?}", plan.view.ops);
}

#[test]
fn a_missing_path_is_an_error_with_the_way_out() {
    let mut profile = preset("default");
    profile.filesystem.read.push(PathRule::new("/nonexistent"));
    let refusal = plan(&profile, &KernelCaps::full()).expect_err("missing");
    assert!(refusal.message.contains("/nonexistent") && refusal.message.contains("--read-if-exists"), "{refusal}");
    profile.filesystem.read.pop();
    profile.filesystem.read.push(PathRule::if_exists("/nonexistent"));
    plan(&profile, &KernelCaps::full()).expect("positive control");
}

#[test]
fn a_protected_name_that_does_not_exist_gets_a_placeholder() {
    let plan = plan(&preset("agent"), &KernelCaps::full()).expect("plan");
    let hooks = PathBuf::from("/home/u/p/.git/hooks");
    assert!(plan.view.ops.contains(&ViewOp::Placeholder(hooks.clone(), None)));
    assert!(plan.view.ops.contains(&ViewOp::Protect(hooks)));
}

#[test]
fn here_is_never_everything() {
    let surroundings = Surroundings { cwd: "/".into(), ..around() };
    let plan = lower(&preset("judge"), &KernelCaps::full(), &Table::machine(), &surroundings).expect("plan");
    let shown = plan.view.ops.iter().any(|op| matches!(op, ViewOp::Bind { target, .. } if target.starts_with("/home")));
    assert!(!shown, "the working directory \"/\" showed /home");
}

#[test]
fn emulation_is_for_a_tracer() {
    let with = |engine, guest| {
        let mut profile = preset("default");
        (profile.isolation.engine, profile.isolation.guest_ptrace) = (engine, guest);
        plan(&profile, &KernelCaps::full()).map(|plan| (plan.engine, plan.mediates))
    };
    let emulate = Some(GuestPtrace::Emulate);
    assert_eq!(with(None, emulate).expect("plan"), (EnginePlan::Ptrace, true), "asked for");
    assert_eq!(with(Some(Engine::Ptrace), emulate).expect("plan"), (EnginePlan::Ptrace, true));
    assert_eq!(with(Some(Engine::Ptrace), None).expect("plan"), (EnginePlan::Ptrace, true), "there is no other");
    assert_eq!(with(Some(Engine::Ptrace), Some(GuestPtrace::Deny)).expect("plan"), (EnginePlan::Ptrace, false));
    assert_eq!(with(None, None).expect("plan"), (EnginePlan::Native, false));
    for engine in [Engine::Native, Engine::Notify] {
        let refused = with(Some(engine), emulate).expect_err("no tracer").to_string();
        assert!(refused.contains("guest_ptrace") && refused.contains("--engine ptrace"), "{refused}");
    }
}

#[test]
fn the_filter_of_every_preset_proves_itself() {
    for name in ["default", "judge", "strict"] {
        for caps in [KernelCaps::full(), KernelCaps { listener: false, ..KernelCaps::full() }] {
            let plan = plan(&preset(name), &caps).expect("plan");
            let filter = plan.filter.expect("a filter").installed([7, 8, 9]);
            let program = filter.compile().expect("compiles");
            tipstaff_seccomp::prove(&filter, &program).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        }
    }
}

#[test]
fn a_notified_call_is_explained_by_its_rule() {
    use tipstaff_abi::bpf::SeccompData;
    let plan = plan(&preset("default"), &KernelCaps::full()).expect("plan").filter.expect("a filter");
    let arch = KernelCaps::full().arch;
    let mount = Sysno::by_name(arch, "mount").expect("mount").0 as i32;
    let data = SeccompData { nr: mount, arch: arch.audit_arch(), ..SeccompData::default() };
    let denied = plan.explain(&data);
    assert_eq!((denied.syscall.as_str(), denied.kill, denied.errno), ("mount", false, 1));
    assert!(denied.rule.contains("mount") && denied.allow_with.is_some(), "{denied:?}");
    let foreign = SeccompData { nr: 20, arch: Arch::I386.audit_arch(), ..SeccompData::default() };
    assert!(plan.explain(&foreign).kill);
}

/// core(5): a pipe in core_pattern is not kept by RLIMIT_CORE 0.
#[test]
fn a_dump_into_a_pipe_is_stopped_too() {
    let core = |core_is_piped| {
        let around = Surroundings { core_is_piped, ..around() };
        lower(&preset("judge"), &KernelCaps::full(), &Table::machine(), &around).expect("lowers").limits.core
    };
    assert_eq!((core(false), core(true)), (0, 1));
}

#[test]
fn limits_reach_the_summary() {
    let mut profile = preset("default");
    profile.limits.cpu = Some(Setting::At(Duration::from_millis(1500)));
    profile.limits.memory = Some(Setting::At(1 << 20));
    let summary = plan(&profile, &KernelCaps::full()).expect("plan").limits.summary();
    assert_eq!((summary.cpu_ns, summary.memory_bytes), (Some(1_500_000_000), Some(1 << 20)));
}

#[test]
fn a_tracer_sees_what_handlers_want_and_nothing_that_is_refused() {
    use tipstaff_abi::Sysno;
    use tipstaff_abi::bpf::SeccompData;
    use tipstaff_seccomp::Action;
    let caps = KernelCaps::full();
    let call = |name: &str| Sysno::by_name(caps.arch, name).expect("a call");
    let handled = SyscallSet::from_names(caps.arch, ["openat", "mount", "socket"]);
    for listener in [true, false] {
        let caps = KernelCaps { listener, ..caps.clone() };
        let mut profile = preset("default");
        profile.isolation.engine = Some(Engine::Ptrace);
        let around = Surroundings { handled: handled.clone(), ..around() };
        let plan = lower(&profile, &caps, &Table::machine(), &around).expect("plan");
        assert_eq!(plan.engine, EnginePlan::Ptrace);
        let filter = plan.filter.expect("a filter").installed([7, 8, 9]);
        let program = filter.compile().expect("compiles");
        tipstaff_seccomp::prove(&filter, &program).expect("proves");
        let decide = |name: &str, args: [u64; 6]| {
            let nr = call(name).0.cast_signed();
            filter.decide(&SeccompData { nr, arch: caps.arch.audit_arch(), args, ..SeccompData::default() })
        };
        assert!(matches!(decide("openat", [0; 6]), Action::Trace(_)));
        assert!(matches!(decide("socket", [2, 1, 0, 0, 0, 0]), Action::Trace(_)));
        assert!(!matches!(decide("mount", [0; 6]), Action::Trace(_) | Action::Allow), "refused, not asked");
        assert_eq!(decide("read", [0; 6]), Action::Allow);
        assert_eq!(decide("clone", [0x11, 0, 0, 0, 0, 0]), Action::Allow);
        assert!(matches!(decide("clone", [0x0080_0011, 0, 0, 0, 0, 0]), Action::Trace(_)));
        let own_listener = decide("seccomp", [1, 8, 0, 0, 0, 0]);
        let told = if listener { Action::Notify } else { Action::Errno(16) };
        assert_eq!(own_listener, told, "refused, and told where that can be");
    }
}

#[test]
fn who_attaches_is_asked_about_and_no_other_request() {
    use tipstaff_abi::Sysno;
    use tipstaff_abi::bpf::SeccompData;
    use tipstaff_seccomp::Action;
    let caps = KernelCaps::full();
    let with = |scope, engine| {
        let mut profile = preset("default");
        (profile.isolation.ptrace_scope, profile.isolation.engine) = (scope, engine);
        lower(&profile, &caps, &Table::machine(), &around())
    };
    let decide = |plan: &Plan, name: &str, first: u64| {
        let nr = Sysno::by_name(caps.arch, name).expect("a call").0.cast_signed();
        let data =
            SeccompData { nr, arch: caps.arch.audit_arch(), args: [first, 0, 0, 0, 0, 0], ..SeccompData::default() };
        plan.filter.as_ref().expect("a filter").installed([7, 8, 9]).decide(&data)
    };
    let plan = with(Some(PtraceScope::Restricted), None).expect("plan");
    assert_eq!((plan.engine, plan.restricts), (EnginePlan::Notify, true));
    for (call, first) in [("ptrace", 16), ("ptrace", 0x4206), ("ptrace", 16 | 1 << 32), ("prctl", 0x5961_6d61)] {
        assert_eq!(decide(&plan, call, first), Action::Notify, "{call} {first:#x}");
    }
    for (call, first) in [
        ("ptrace", 0),
        ("ptrace", 1),
        ("ptrace", 24),
        ("ptrace", 0x4200),
        ("prctl", 15),
        ("wait4", 0),
        ("waitid", 0),
        ("kcmp", 0),
    ] {
        assert_eq!(decide(&plan, call, first), Action::Allow, "{call} {first:#x}");
    }
    assert_eq!(decide(&plan, "pidfd_getfd", 3), Action::Notify, "refused, and told");
    assert!(!plan.asked.contains(Sysno::by_name(caps.arch, "pidfd_getfd").expect("a call")), "nobody is asked");
    for scope in [None, Some(PtraceScope::Classic)] {
        let plan = with(scope, None).expect("plan");
        assert_eq!((plan.engine, plan.restricts), (EnginePlan::Native, false));
        assert_eq!(decide(&plan, "ptrace", 16), Action::Allow);
    }
    for scope in [PtraceScope::Admin, PtraceScope::None] {
        let plan = with(Some(scope), Some(Engine::Native)).expect("plan");
        for request in [0, 16, 0x4206] {
            assert_eq!(decide(&plan, "ptrace", request), Action::Notify, "refused, and told");
        }
        assert!(!with(Some(scope), Some(Engine::Ptrace)).expect("plan").mediates);
    }
    let refused = with(Some(PtraceScope::Restricted), Some(Engine::Native)).expect_err("refused").to_string();
    assert!(refused.contains("ptrace") && refused.contains("--engine"), "{refused}");
}

#[test]
fn the_listener_is_ours_or_a_guests() {
    use tipstaff_abi::Sysno;
    use tipstaff_abi::bpf::SeccompData;
    use tipstaff_seccomp::Action;
    let caps = KernelCaps::full();
    let data = |name: &str, args: [u64; 6]| {
        let nr = Sysno::by_name(caps.arch, name).expect("a call").0.cast_signed();
        SeccompData { nr, arch: caps.arch.audit_arch(), args, ..SeccompData::default() }
    };
    let with = |guest, engine, listener, handled: &[&str]| {
        let mut profile = preset("default");
        (profile.isolation.guest_listener, profile.isolation.engine) = (guest, engine);
        let caps = KernelCaps { listener, ..caps.clone() };
        let handled = SyscallSet::from_names(caps.arch, handled.iter().copied());
        let around = Surroundings { handled, ..around() };
        lower(&profile, &caps, &Table::machine(), &around)
    };
    let native = Some(GuestListener::Native);
    let own = [1, 8 | 1 << 5, 0, 0, 0, 0];
    for guest in [None, Some(GuestListener::Deny)] {
        let filter = with(guest, None, true, &[]).expect("plan").filter.expect("a filter");
        assert!(filter.listener);
        assert_eq!(filter.installed([7, 8, 9]).decide(&data("seccomp", own)), Action::Notify, "it is told");
        assert_eq!(filter.spec().decide(&data("seccomp", own)), Action::Errno(16));
        let denied = filter.explain(&data("seccomp", own));
        assert_eq!((denied.rule.as_str(), denied.errno), ("guest_listener = \"deny\"", 16));
        assert_eq!(denied.allow_with.as_deref(), Some("[isolation] guest_listener = \"native\""));
        // Filters without a listener are everybody's, and so is the question what there is.
        for other in [[1, 1, 0, 0, 0, 0], [2, 8, 0, 0, 0, 0]] {
            assert_eq!(filter.installed([7, 8, 9]).decide(&data("seccomp", other)), Action::Allow);
        }
    }
    for engine in [None, Some(Engine::Auto), Some(Engine::Native)] {
        let plan = with(native, engine, true, &[]).expect("plan");
        assert_eq!(plan.engine, EnginePlan::Native);
        let filter = plan.filter.expect("a filter");
        assert!(!filter.listener);
        let installed = filter.installed([7, 8, 9]);
        assert_eq!(installed.decide(&data("seccomp", own)), Action::Allow);
        // What is refused outranks every notification (seccomp(2)).
        assert_eq!(installed.decide(&data("mount", [0; 6])), Action::Errno(1));
        let program = filter.compile([7, 8, 9]).expect("compiles");
        let nr = Sysno::by_name(caps.arch, "mount").expect("a call").0;
        assert!(!program.iter().any(|insn| insn.k == 0x7fc0_0000), "nothing is notified, {nr} neither");
    }
    for (engine, listener, handled, word) in [
        (Some(Engine::Notify), true, &[][..], "one listener"),
        (Some(Engine::Ptrace), true, &[], "outranks"),
        (None, true, &["openat"], "openat must be asked about"),
        (Some(Engine::Native), true, &["openat"], "openat must be asked about"),
        (None, false, &[], "nested box"),
    ] {
        let refused = with(native, engine, listener, handled).expect_err("refused").to_string();
        assert!(refused.contains("guest_listener") && refused.contains(word), "{refused}");
    }
}

#[test]
fn a_guests_listener_is_served_by_a_tracer_beside_ours() {
    use tipstaff_abi::Sysno;
    use tipstaff_abi::bpf::SeccompData;
    use tipstaff_seccomp::{Action, run};
    let with = |engine, listener| {
        let mut profile = preset("default");
        (profile.isolation.guest_listener, profile.isolation.engine) = (Some(GuestListener::Emulate), engine);
        let caps = KernelCaps { listener, ..KernelCaps::full() };
        lower(&profile, &caps, &Table::machine(), &around())
    };
    for engine in [None, Some(Engine::Auto), Some(Engine::Ptrace)] {
        let plan = with(engine, true).expect("plan");
        assert_eq!((plan.engine, plan.serves), (EnginePlan::Ptrace, true));
        let filter = plan.filter.expect("a filter");
        assert!(filter.listener && filter.serves, "ours is there");
        let secret = [7, 8, 9];
        let program = filter.compile(secret).expect("compiles");
        assert_eq!(tipstaff_seccomp::check(&program), Ok(()));
        let arch = KernelCaps::full().arch;
        let answer = |name: &str, args: [u64; 6], ip| {
            let nr = Sysno::by_name(arch, name).expect("a call").0.cast_signed();
            let data = SeccompData { nr, arch: arch.audit_arch(), args, ip };
            Action::from_raw(run(&program, &data).expect("runs"))
        };
        let (held, here) = (held_at(secret), 0x40_1000);
        for call in ["getppid", "openat", "mount"] {
            assert_eq!(answer(call, [0; 6], held), Action::Notify, "whoever is held waits");
            for near in [held ^ 1, held ^ 1 << 40, held & !(1 << 63)] {
                assert_eq!(answer(call, [0; 6], near), answer(call, [0; 6], here), "nobody else does");
            }
        }
        assert_eq!(answer("getppid", [0; 6], here), Action::Allow);
        // A listener, and filters for all threads; all requests of a listener, whatever their size.
        for flags in [8, 8 | 1 << 5, 1, 1 << 32 | 8] {
            assert!(matches!(answer("seccomp", [1, flags, 0, 0, 0, 0], here), Action::Trace(_)), "{flags:#x}");
        }
        assert_eq!(answer("seccomp", [1, 0, 0, 0, 0, 0], here), Action::Allow);
        for request in [0xc050_2100, 0xc018_2101, 0x4018_2103, 0xc040_2103, 0x4008_2102, 0x0000_2163] {
            assert!(matches!(answer("ioctl", [3, request, 0, 0, 0, 0], here), Action::Trace(_)), "{request:#x}");
        }
        assert_eq!(answer("ioctl", [3, 0x5401, 0, 0, 0, 0], here), Action::Allow);
    }
    for (engine, listener, word) in [
        (Some(Engine::Notify), true, "--engine ptrace"),
        (Some(Engine::Native), true, "--engine ptrace"),
        (None, false, "nested box"),
        (Some(Engine::Ptrace), false, "nested box"),
    ] {
        let refused = with(engine, listener).expect_err("refused").to_string();
        assert!(refused.contains("guest_listener = \"emulate\"") && refused.contains(word), "{refused}");
    }
}

#[test]
fn clone3_stays_absent_under_a_tracer() {
    use tipstaff_abi::bpf::SeccompData;

    use tipstaff_seccomp::Action;
    let caps = KernelCaps::full();
    let mut profile = preset("default");
    let rule = SyscallRule { names: vec!["clone3".into()], conditions: Vec::new(), action: RuleAction::Allow };
    profile.syscalls.rules.push(rule);
    for (engine, handled, right) in [
        (Engine::Native, &[][..], Action::Allow),
        (Engine::Ptrace, &[], Action::Errno(ENOSYS)),
        (Engine::Ptrace, &["clone3"], Action::Errno(ENOSYS)),
    ] {
        profile.isolation.engine = Some(engine);
        let handled = SyscallSet::from_names(caps.arch, handled.iter().copied());
        let around = Surroundings { handled, ..around() };
        let plan = lower(&profile, &caps, &Table::machine(), &around).expect("plan");
        let filter = plan.filter.expect("a filter").installed([7, 8, 9]);
        let nr = Sysno::by_name(caps.arch, "clone3").expect("a call").0.cast_signed();
        let data = SeccompData { nr, arch: caps.arch.audit_arch(), ..SeccompData::default() };
        assert_eq!(filter.decide(&data), right, "{engine:?}");
    }
}

#[test]
fn handlers_need_an_engine_that_asks_them() {
    let handled = SyscallSet::from_names(KernelCaps::full().arch, ["openat"]);
    let with = |engine, rewrites, listener| {
        let mut profile = preset("default");
        profile.isolation.engine = engine;
        let caps = KernelCaps { listener, ..KernelCaps::full() };
        let around = Surroundings { handled: handled.clone(), rewrites, ..around() };
        lower(&profile, &caps, &Table::machine(), &around).map(|plan| plan.engine)
    };
    let (notify, ptrace) = (Some(Engine::Notify), Some(Engine::Ptrace));
    assert_eq!(with(None, false, true).expect("plan"), EnginePlan::Notify);
    assert_eq!(with(None, true, true).expect("plan"), EnginePlan::Ptrace, "only a tracer changes calls");
    assert_eq!(with(None, false, false).expect("plan"), EnginePlan::Ptrace, "a nested box has no listener");
    assert_eq!(with(notify, false, true).expect("plan"), EnginePlan::Notify);
    assert_eq!(with(ptrace, false, true).expect("plan"), EnginePlan::Ptrace);
    assert!(with(Some(Engine::Native), false, true).is_err());
    assert!(with(notify, true, true).is_err());
    let told = with(notify, false, false).expect_err("no listener").to_string();
    assert!(told.contains("nested box") && told.contains("--engine auto"), "{told}");
}

#[test]
fn what_is_asked_about_is_notified_and_nothing_else() {
    use tipstaff_abi::Sysno;
    use tipstaff_abi::bpf::SeccompData;
    use tipstaff_seccomp::Action;
    let caps = KernelCaps::full();
    let handled = SyscallSet::from_names(caps.arch, ["openat", "mount", "socket"]);
    for denials in [Denials::Report, Denials::Silent] {
        let mut profile = preset("default");
        profile.isolation.denials = Some(denials);
        let around = Surroundings { handled: handled.clone(), ..around() };
        let plan = lower(&profile, &caps, &Table::machine(), &around).expect("plan");
        let plan = plan.filter.expect("a filter");
        assert!(plan.listener, "also where refusals are told to nobody");
        let filter = plan.installed([7, 8, 9]);
        let program = filter.compile().expect("compiles");
        tipstaff_seccomp::prove(&filter, &program).expect("proves");
        let data = |name: &str, args: [u64; 6]| {
            let nr = Sysno::by_name(caps.arch, name).expect("a call").0.cast_signed();
            SeccompData { nr, arch: caps.arch.audit_arch(), args, ..SeccompData::default() }
        };
        let openat = data("openat", [0; 6]);
        assert!(filter.decide(&openat) == Action::Notify && plan.is_asked(&openat));
        let socket = data("socket", [2, 1, 0, 0, 0, 0]);
        assert!(filter.decide(&socket) == Action::Notify && plan.is_asked(&socket));
        let mount = data("mount", [0; 6]);
        assert!(!plan.is_asked(&mount), "refused, and nobody is asked");
        assert_eq!(filter.decide(&mount) == Action::Notify, denials == Denials::Report);
        for free in ["read", "close", "wait4", "waitid", "ptrace", "clone", "fork", "mmap"] {
            assert_eq!(filter.decide(&data(free, [0; 6])), Action::Allow, "{free}");
        }
    }
}

#[test]
fn openat2_is_absent_where_a_set_id_file_could_stay() {
    let lets =
        |profile: &Profile| plan(profile, &KernelCaps::full()).expect("plan").filter.expect("a filter").lets("openat2");
    for (name, stays) in [("default", false), ("judge", false), ("python", false), ("build", true), ("agent", true)] {
        assert_eq!(lets(&preset(name)), !stays, "{name}");
    }
    let mut profile = preset("judge");
    profile.filesystem.write.push(PathRule::new("/home/u/p"));
    assert!(!lets(&profile));
    let rule = SyscallRule { names: vec!["openat2".into()], conditions: Vec::new(), action: RuleAction::Allow };
    profile.syscalls.rules.push(rule);
    assert!(lets(&profile), "who asks for it has it");
}

/// Found by any_profile_is_its_own_toml: the private disk that goes with a memory limit was larger than any number.
#[test]
fn a_memory_limit_over_everything_has_a_disk_that_is() {
    let mut profile = preset("judge");
    profile.limits.memory = Some(Setting::At(u64::MAX));
    profile.limits.disk = None;
    assert!(plan(&profile, &KernelCaps::full()).is_ok());
}

#[test]
fn every_repository_that_may_be_written_is_protected() {
    let mut table = Table::machine();
    let directories = [
        "/home/u/p/sub",
        "/home/u/p/sub/.git",
        "/home/u/p/sub/.git/objects",
        "/home/u/p/sub/.git/modules",
        "/home/u/p/sub/.git/modules/a",
        "/home/u/p/sub/.git/modules/a/b",
        "/home/u/p/sub/.git/worktrees",
        "/home/u/p/sub/.git/worktrees/w",
        "/home/u/p/tree",
        "/home/u/p/bare",
        "/home/u/p/bare/objects",
        "/home/u/p/bare/refs",
        "/home/u/p/bare/worktrees",
        "/home/u/p/bare/worktrees/w",
        "/home/u/p/linked",
        "/home/u/p/hooked",
        "/home/u/p/hooked/.git",
        "/home/u/p/plain",
        "/home/u/p/store",
        "/home/u/other",
        "/home/u/other/.git",
    ];
    directories.iter().for_each(|dir| drop(table.0.insert(dir.into(), Kind::Directory)));
    // HEAD is the box's to write, so that it is missing says nothing of what is called `.git`.
    for file in [
        "sub/.git/modules/a/b/config",
        "sub/.git/worktrees/w/commondir",
        "tree/.git",
        "bare/HEAD",
        "bare/worktrees/w/commondir",
        "plain/config",
    ] {
        table.add(&format!("/home/u/p/{file}"));
    }
    let link = |table: &mut Table, at: &str, to: &str| table.0.insert(at.into(), Kind::Link(to.into()));
    link(&mut table, "/home/u/p/linked/.git", "../store");
    link(&mut table, "/home/u/p/hooked/.git/hooks", "../../nowhere");
    table.2.insert("/home/u/p/tree/.git".into(), "gitdir: ../store\n".into());
    let config = "[core]\n\thooksPath = .githooks\n[include]\n\tpath = ../../one.inc\n";
    table.2.insert("/home/u/p/sub/.git/config".into(), config.into());
    table.2.insert("/home/u/p/sub/.git/../../one.inc".into(), "[include] path = two.inc\n".into());
    table.1.insert("/home/u/p/closed".into());
    table.0.insert("/home/u/p/closed".into(), Kind::Directory);
    let protected = |profile: &Profile| -> Vec<String> {
        let plan = lower(profile, &KernelCaps::full(), &table, &around()).expect("plan");
        let names = plan.view.ops.iter().filter_map(|op| match op {
            ViewOp::Protect(path) => path.strip_prefix("/home/u").ok().map(|path| path.display().to_string()),
            _ => None,
        });
        names.collect()
    };
    let mut agent = preset("agent");
    let found = protected(&agent);
    for name in [
        "p/sub/.git/config",
        "p/sub/.git/hooks",
        "p/sub/.git/commondir",
        "p/sub/.git/modules/a/b/config",
        "p/sub/.git/modules/a/b/hooks",
        "p/sub/.git/worktrees/w/commondir",
        "p/tree/.git",
        "p/bare/config",
        "p/store/config",
        "p/closed",
        "p/bare/worktrees/w/commondir",
        "p/store/hooks",
        "p/nowhere",
        "p/sub/.githooks",
        "p/one.inc",
        "p/two.inc",
    ] {
        assert!(found.iter().any(|path| path == name), "{name} in {found:#?}");
    }
    assert!(!found.iter().any(|path| path.starts_with("p/plain") || path.starts_with("other")), "{found:#?}");
    // The file that protects is no configuration of another place.
    let plan = lower(&agent, &KernelCaps::full(), &table, &around()).expect("plan");
    assert!(plan.view.ops.contains(&ViewOp::Placeholder("/home/u/p/sub/.git/commondir".into(), Some(".\n"))));
    // A link on the way would be replaced.
    for link in ["/home/u/p/linked/.git", "/home/u/p/hooked/.git/hooks"] {
        assert!(plan.view.ops.contains(&ViewOp::Pin(link.into())), "{link} in {:#?}", plan.view.ops);
    }
    agent.filesystem.protect_git = Some(false);
    assert!(!protected(&agent).iter().any(|path| path.starts_with("p/sub")), "positive control");
}

#[test]
fn what_is_too_deep_to_protect_refuses_the_run_in_words() {
    let mut table = Table::machine();
    let mut path = PathBuf::from("/home/u/p");
    let mut deep = |most: usize| {
        while path.as_os_str().len() < most {
            path.push("d".repeat(200));
            table.0.insert(path.clone(), Kind::Directory);
        }
        lower(&preset("agent"), &KernelCaps::full(), &table, &around())
    };
    assert!(deep(3700).is_ok(), "positive control");
    let refusal = deep(4100).expect_err("too deep");
    assert!(refusal.message.contains("4000 bytes") && refusal.message.len() < 600, "{refusal}");
}

#[test]
fn repositories_that_cannot_be_kept_refuse_the_run() {
    let caps = KernelCaps { namespaces: false, user_namespace: false, ..KernelCaps::full() };
    let mut profile = preset("default");
    profile.filesystem.cwd = Some(CwdAccess::Write);
    assert!(plan(&profile, &caps).is_ok(), "positive control");
    profile.filesystem.protect_git = Some(true);
    let refusal = plan(&profile, &caps).expect_err("a name can only be kept by a mount");
    assert!(refusal.message.contains("protect_git"), "{refusal}");
    profile.filesystem.cwd = Some(CwdAccess::Read);
    assert!(plan(&profile, &caps).is_ok(), "where nothing can be written there is nothing to keep");
}

#[test]
fn too_many_repositories_refuse_the_run() {
    let mut table = Table::machine();
    for n in 0..400 {
        table.0.insert(format!("/home/u/p/{n}").into(), Kind::Directory);
        table.0.insert(format!("/home/u/p/{n}/.git").into(), Kind::Directory);
    }
    let refusal = lower(&preset("agent"), &KernelCaps::full(), &table, &around()).expect_err("too many");
    assert!(refusal.message.contains("300 repositories") && refusal.message.contains("protect_git"), "{refusal}");
}
