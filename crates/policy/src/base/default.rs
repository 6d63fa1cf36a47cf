//! The default: a deny list by family.

use tipstaff_abi::{
    Arch,
    errno::{ENOSYS, EOPNOTSUPP, EPERM},
};

use super::{BaseRule, Rules, file, namespace, socket, task, terminal};

/// Never a guest's business. A program that asks is told that it may not, as it would be without privilege.
const NOT_PERMITTED: [&str; 19] = [
    "mount",
    "module",
    "kexec",
    "keyring",
    "bpf",
    "perf",
    "userfaultfd",
    "clock_set",
    "swap",
    "reboot",
    "quota",
    "acct",
    "fanotify",
    "rawio",
    "ldt",
    "migrate",
    "syslog",
    "vhangup",
    "hostname",
];

/// Absent, as on an older kernel: programs have a way without, and take it silently.
const NOT_THERE: [&str; 6] = ["io_uring", "tree", "mountinfo", "lsm", "secretmem", "obsolete"];

/// What the default denies. With `ptrace`, guests may trace and inspect each other (the box's edge holds: Landlock and
/// the PID namespace keep other processes out of reach, and the kernel runs a tracee's filter again after its
/// tracer has changed the number, since 4.8).
#[must_use]
pub fn default_rules(arch: Arch, ptrace: bool) -> Vec<BaseRule> {
    let mut rules = Rules::new(arch);
    for family in NOT_PERMITTED {
        rules.deny_all(family, EPERM);
    }
    for family in NOT_THERE {
        rules.deny_all(family, ENOSYS);
    }
    if !ptrace {
        rules.deny_all("ptrace", EPERM);
    }
    rules.deny("handle", "open_by_handle_at", &[], EPERM);
    // What a file system without handles answers; callers go on without.
    rules.deny("handle", "name_to_handle_at", &[], EOPNOTSUPP);
    namespace::rules(&mut rules);
    socket::rules(&mut rules);
    terminal::rules(&mut rules);
    task::rules(&mut rules, ptrace);
    file::rules(&mut rules);
    rules.list
}
