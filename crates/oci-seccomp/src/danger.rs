//! Calls that a container or a sandboxed program should not have without a reason.

use tipstaff_abi::family;

/// Families whose calls reach beyond the caller's own process and files.
const FAMILIES: [&str; 24] = [
    "namespace",
    "mount",
    "tree",
    "module",
    "kexec",
    "keyring",
    "io_uring",
    "bpf",
    "perf",
    "ptrace",
    "userfaultfd",
    "clock_set",
    "swap",
    "reboot",
    "quota",
    "acct",
    "handle",
    "fanotify",
    "rawio",
    "ldt",
    "migrate",
    "syslog",
    "hostname",
    "vhangup",
];

/// Calls of these families that ordinary programs make, and may.
const HARMLESS: [&str; 3] = ["clone3", "name_to_handle_at", "process_madvise"];

/// Calls that are old enough for every program to know what EPERM means from them, and that no C library has a fallback for. Newer ones are better
/// absent (ENOSYS).
const OLD: [&str; 17] = [
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "chroot",
    "setns",
    "unshare",
    "ptrace",
    "swapon",
    "swapoff",
    "reboot",
    "acct",
    "syslog",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "vhangup",
];
const OLD_FAMILIES: [&str; 6] = ["module", "kexec", "keyring", "quota", "rawio", "perf"];

/// Why a call is dangerous, if it is.
#[must_use]
pub fn why(name: &str) -> Option<&'static str> {
    if HARMLESS.contains(&name) {
        return None;
    }
    let families = FAMILIES.iter().filter_map(|family| family::by_name(family));
    families.into_iter().find(|family| family.contains(name)).map(|family| family.why)
}

/// Every dangerous call, by family.
pub fn all() -> impl Iterator<Item = &'static str> {
    let families = FAMILIES.iter().filter_map(|family| family::by_name(family));
    families.flat_map(|family| family.calls.iter().copied()).filter(|name| !HARMLESS.contains(name))
}

/// Dangerous calls that are refused with EPERM where everything else that is not allowed is ENOSYS, as containers-common's default does it: a
/// program that asks for them is told that it may not, and not that the kernel is an old one.
pub fn refused_by_name() -> impl Iterator<Item = &'static str> {
    let families = OLD_FAMILIES.iter().filter_map(|family| family::by_name(family));
    families.flat_map(|family| family.calls.iter().copied()).chain(OLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_exist_and_what_is_refused_is_dangerous() {
        for family in FAMILIES.iter().chain(&OLD_FAMILIES) {
            assert!(family::by_name(family).is_some(), "{family}");
        }
        for name in refused_by_name() {
            assert!(why(name).is_some(), "{name}");
        }
        assert!(all().count() > 60 && why("read").is_none() && why("clone3").is_none());
    }
}
