//! The base filters, proven and probed.

use tipstaff_abi::{Arch, Sysno, X32_BIT, bpf::SeccompData, family};
use tipstaff_seccomp::{Action, Filter, always_allows, prove, run};

use super::{ALLOW, default_rules, default_table, filter, strict_rules, strict_table};

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
const EPERM: Action = Action::Errno(1);
const ENOSYS: Action = Action::Errno(38);
const HIGH: u64 = 1 << 32;

/// The compiled filter's answer, so that every line below also tests the compiler.
struct Probe {
    arch: Arch,
    filter: Filter,
    program: tipstaff_seccomp::Program,
}

impl Probe {
    fn new(arch: Arch, filter: Filter) -> Self {
        let program = filter.compile().expect("fits");
        Self { arch, filter, program }
    }

    fn default(ptrace: bool) -> Self {
        Self::new(Arch::X86_64, filter(default_table(Arch::X86_64, ptrace)))
    }

    fn call(&self, name: &str, args: &[u64]) -> Action {
        self.number(Sysno::by_name(self.arch, name).expect("a call").0, args)
    }

    fn number(&self, number: u32, given: &[u64]) -> Action {
        let mut args = [0; 6];
        args[..given.len()].copy_from_slice(given);
        let data = SeccompData { nr: number.cast_signed(), arch: self.arch.audit_arch(), ip: 0, args };
        Action::from_raw(run(self.program.insns(), &data).expect("runs"))
    }

    /// Denied, also when somebody fills the half of each argument that the kernel does not look at.
    #[track_caller]
    fn denied(&self, name: &str, args: &[u64], action: Action) {
        assert_eq!(self.call(name, args), action, "{name} {args:x?}");
        let high: Vec<u64> = args.iter().map(|arg| arg | HIGH).collect();
        assert_eq!(self.call(name, &high), action, "{name} {high:x?}");
    }

    #[track_caller]
    fn allowed(&self, name: &str, args: &[u64]) {
        assert_eq!(self.call(name, args), Action::Allow, "{name} {args:x?}");
    }
}

#[test]
fn all_bases_are_proven_and_small() {
    for arch in ARCHES {
        for filter in [default_table(arch, true), default_table(arch, false), strict_table(arch)].map(filter) {
            let program = filter.compile().expect("fits");
            prove(&filter, &program).expect("proven");
            assert!(program.len() < 450, "{}", program.len());
        }
    }
}

/// What is plainly allowed must never run the filter.
#[test]
fn plain_allows_stay_in_the_kernels_cache() {
    let probe = Probe::default(true);
    let table = &probe.filter.tables[0];
    for (nr, name) in Sysno::all(probe.arch) {
        let plain = !table.rules.contains_key(&nr.0);
        assert_eq!(always_allows(probe.program.insns(), probe.arch.audit_arch(), nr.0), plain, "{name}");
    }
}

#[test]
fn every_rule_names_a_family_that_has_its_call() {
    for arch in ARCHES {
        // clone is not a member of `namespace`: who denies that family must not lose fork with it.
        let by_flags = |family: &str, name: &str| (family, name) == ("namespace", "clone");
        for rule in default_rules(arch, false).into_iter().chain(strict_rules(arch)) {
            let name = rule.syscall.name(arch).expect("known");
            let member = family::by_name(rule.family).is_some_and(|family| family.contains(name));
            assert!(member || by_flags(rule.family, name) || rule.family == ALLOW, "{} {name}", rule.family);
        }
    }
}

#[test]
fn strict_list_has_no_typing_errors() {
    let known = |name: &str| Arch::ALL.iter().any(|&arch| Sysno::by_name(arch, name).is_some());
    for name in super::strict::CALLS.iter().copied().flatten() {
        assert!(known(name), "{name}");
    }
}

/// Every call of the families that attacks start from, whatever its arguments are.
#[test]
fn dangerous_calls_are_denied_whole() {
    let probe = Probe::default(false);
    for name in [
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "fsopen",
        "fsmount",
        "fsconfig",
        "fspick",
        "move_mount",
        "mount_setattr",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "add_key",
        "request_key",
        "keyctl",
        "bpf",
        "perf_event_open",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "kcmp",
        "process_madvise",
        "process_mrelease",
        "userfaultfd",
        "settimeofday",
        "clock_settime",
        "adjtimex",
        "clock_adjtime",
        "swapon",
        "swapoff",
        "reboot",
        "quotactl",
        "quotactl_fd",
        "acct",
        "open_by_handle_at",
        "fanotify_init",
        "fanotify_mark",
        "iopl",
        "ioperm",
        "modify_ldt",
        "migrate_pages",
        "move_pages",
        "syslog",
        "vhangup",
        "setns",
        "sethostname",
        "setdomainname",
    ] {
        probe.denied(name, &[0; 6], EPERM);
        probe.denied(name, &[u64::MAX; 6], EPERM);
    }
    for name in [
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "clone3",
        "open_tree",
        "open_tree_attr",
        "statmount",
        "listmount",
        "listns",
        "lsm_get_self_attr",
        "lsm_set_self_attr",
        "lsm_list_modules",
        "memfd_secret",
        "nfsservctl",
        "uselib",
        "_sysctl",
    ] {
        probe.denied(name, &[0; 6], ENOSYS);
    }
}

#[test]
fn ptrace_and_its_kin_are_one_switch() {
    let (on, off) = (Probe::default(true), Probe::default(false));
    for name in ["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"] {
        on.allowed(name, &[0]);
        off.denied(name, &[0], EPERM);
    }
    on.allowed("personality", &[0x40000]);
    off.denied("personality", &[0x40000], EPERM);
    on.allowed("prctl", &[0x5961_6d61, 77]);
    assert_eq!(on.call("prctl", &[0x5961_6d61, u64::MAX]), EPERM);
    off.denied("prctl", &[0x5961_6d61, 77], EPERM);
}

#[test]
fn namespaces_by_every_bit() {
    let probe = Probe::default(true);
    let (sigchld, thread) = (17, 0x3d_0f00);
    for bit in [0x20000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        probe.denied("clone", &[bit | sigchld], EPERM);
        probe.denied("clone", &[bit | thread], EPERM);
        probe.denied("unshare", &[bit], EPERM);
    }
    probe.denied("unshare", &[0x80], EPERM);
    for flags in [sigchld, thread, 0x4111, HIGH | sigchld] {
        probe.allowed("clone", &[flags]);
    }
    probe.allowed("unshare", &[0x400 | 0x200]);
    probe.allowed("fork", &[]);
}

#[test]
fn sockets_by_domain_type_and_protocol() {
    let probe = Probe::default(true);
    let (inet, inet6, netlink) = (2, 10, 16);
    for (domain, kind, protocol) in [
        (1, 1, 0),
        (1, 5, 0),
        (inet, 1, 0),
        (inet, 0x80801, 6),
        (inet6, 2, 17),
        (inet, 2, 1),
        (inet6, 2, 58),
        (netlink, 0x80003, 0),
    ] {
        probe.allowed("socket", &[domain, kind, protocol]);
    }
    for domain in [0, 3, 4, 17, 29, 30, 31, 38, 40, 44, 45] {
        probe.denied("socket", &[domain, 1, 0], Action::Errno(97));
        probe.denied("socketpair", &[domain, 1, 0], Action::Errno(97));
    }
    probe.denied("socket", &[netlink, 3, 12], Action::Errno(93));
    for domain in [inet, inet6] {
        probe.denied("socket", &[domain, 3, 1], EPERM);
        probe.denied("socket", &[domain, 0x80003, 255], EPERM);
        probe.denied("socket", &[domain, 10, 0], Action::Errno(94));
        probe.denied("socket", &[domain, 5, 132], Action::Errno(94));
        for protocol in [262, 132, 256, 33, 136, 255] {
            probe.denied("socket", &[domain, 1, protocol], Action::Errno(93));
        }
    }
    probe.allowed("socketpair", &[1, 1, 0]);
}

#[test]
fn terminals_tasks_and_files() {
    let probe = Probe::default(true);
    for request in [0x5412, 0x541c, 0x541d, 0x5423, 0x8901, 0x8902, 0xaa00] {
        probe.denied("ioctl", &[0, request], EPERM);
    }
    probe.allowed("ioctl", &[0, 0x5401]);
    for option in [35, 28, 59, 57] {
        probe.denied("prctl", &[option], EPERM);
    }
    assert_eq!(probe.call("prctl", &[4 | HIGH, 0]), EPERM);
    for option in [15, 22, 36, 38, 1] {
        probe.allowed("prctl", &[option]);
    }
    probe.allowed("prctl", &[4, 1]);
    for persona in [0, 8, 0x20000, 0x20008, 0xffff_ffff] {
        probe.allowed("personality", &[persona]);
    }
    for persona in [0x40_0000, 0x10_0000, 0x44_0000, 6] {
        probe.denied("personality", &[persona], EPERM);
    }
    for command in [8, 15, 10, 1024] {
        probe.denied("fcntl", &[0, command], EPERM);
    }
    probe.allowed("fcntl", &[0, 1030]);
    for bits in [0o4755, 0o2755, 0o6000] {
        probe.denied("chmod", &[0, bits], EPERM);
        probe.denied("fchmod", &[0, bits], EPERM);
        probe.denied("fchmodat", &[0, 0, bits], EPERM);
        probe.denied("fchmodat2", &[0, 0, bits], EPERM);
        probe.denied("creat", &[0, bits], EPERM);
        probe.denied("mknod", &[0, bits | 0o100_000], EPERM);
        probe.denied("mknodat", &[0, 0, bits | 0o10_000], EPERM);
        probe.denied("open", &[0, 0o101, bits], EPERM);
        probe.denied("openat", &[0, 0, 0o20_200_002, bits], EPERM);
        probe.allowed("openat", &[0, 0, 0, bits]);
    }
    probe.allowed("chmod", &[0, 0o1777]);
    probe.allowed("openat", &[0, 0, 0o101, 0o644]);
    probe.denied("mknod", &[0, 0o020_666], EPERM);
    probe.denied("mknodat", &[0, 0, 0o060_666], EPERM);
    for flags in [4, 5, 4 | HIGH] {
        probe.denied("renameat2", &[0, 0, 0, 0, flags], EPERM);
    }
    for flags in [0, 1, 2] {
        probe.allowed("renameat2", &[0, 0, 0, 0, flags]);
    }
    for kind in [0o010_644, 0o100_644, 0o140_755, 0o644] {
        probe.allowed("mknodat", &[0, 0, kind]);
    }
}

#[test]
fn what_must_pass_passes() {
    for probe in [Probe::default(true), Probe::new(Arch::X86_64, filter(strict_table(Arch::X86_64)))] {
        for name in ["restart_syscall", "rt_sigreturn", "execve", "execveat", "exit_group", "rseq", "futex", "mmap"] {
            probe.allowed(name, &[0; 6]);
        }
    }
    let probe = Probe::default(true);
    for name in ["seccomp", "landlock_restrict_self", "uretprobe", "uprobe", "openat2", "memfd_create", "kill", "mseal"]
    {
        probe.allowed(name, &[0; 6]);
    }
}

#[test]
fn unknown_numbers_are_absent_and_foreign_architectures_die() {
    for probe in [Probe::default(true), Probe::new(Arch::X86_64, filter(strict_table(Arch::X86_64)))] {
        for number in [400, 471, 512, 547, 1000, 0x3fff_ffff] {
            assert_eq!(probe.number(number, &[]), ENOSYS, "{number}");
        }
        // What a tracer has skipped: the kernel says ENOSYS, or what the tracer has put there. PRoot writes -2.
        for skipped in [u32::MAX, u32::MAX - 1, 1 << 31] {
            assert_eq!(probe.number(skipped, &[]), Action::Allow, "{skipped:#x}");
        }
        assert_eq!(probe.number(X32_BIT | 1, &[]), Action::KillProcess);
        let i386 = SeccompData { nr: 20, arch: Arch::I386.audit_arch(), ..SeccompData::default() };
        assert_eq!(probe.filter.decide(&i386), Action::KillProcess);
    }
}

#[test]
fn strict_has_threads_and_nothing_more() {
    let probe = Probe::new(Arch::X86_64, filter(strict_table(Arch::X86_64)));
    probe.allowed("clone", &[0x3d_0f00]);
    probe.denied("clone", &[17], EPERM);
    probe.denied("clone", &[0x2001_0000], EPERM);
    for name in [
        "socket", "sendmsg", "connect", "fork", "vfork", "ptrace", "mount", "keyctl", "bpf", "unshare", "chroot",
        "shmget",
    ] {
        probe.denied(name, &[0; 6], EPERM);
    }
    for kind in [1, 0x80801] {
        probe.allowed("socketpair", &[1, kind]);
        probe.denied("socketpair", &[2, kind], Action::Errno(97));
    }
    for kind in [2, 5, 0x80802] {
        probe.denied("socketpair", &[1, kind], EPERM);
    }
    for name in ["clone3", "io_uring_setup", "openat2", "memfd_secret"] {
        probe.denied(name, &[0; 6], ENOSYS);
    }
    probe.denied("ioctl", &[0, 0x5412], EPERM);
}
