//! No new namespaces, and no way into others.

use tipstaff_abi::errno::{ENOSYS, EPERM};
use tipstaff_seccomp::Condition;

use super::Rules;

/// `CLONE_NEW*` as both `clone` and `unshare` take them: NS, CGROUP, UTS, IPC, USER, PID, NET.
pub(super) const CLONE_NEW: [u32; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// Only `unshare` (and `clone3`) can make a time namespace: the lowest eight bits of `clone`'s flags are the signal that is
/// sent at exit.
const CLONE_NEWTIME: u32 = 0x80;

pub(super) fn rules(rules: &mut Rules) {
    // One rule for each bit: "any of these" in the words that rules have. The compiler makes one test of them. The
    // kernel takes clone's flags from the low half only; those of unshare are an unsigned long whose unknown bits
    // are refused.
    for bit in CLONE_NEW {
        rules.deny("namespace", "clone", &[Condition::bits(0, bit)], EPERM);
        rules.deny("namespace", "unshare", &[Condition::bits(0, bit)], EPERM);
    }
    rules.deny("namespace", "unshare", &[Condition::bits(0, CLONE_NEWTIME)], EPERM);
    // Its flags are behind a pointer. Never EPERM: C libraries fall back on ENOSYS only.
    rules.deny("namespace", "clone3", &[], ENOSYS);
    // Whole: type 0 means "whatever the fd is", and a pidfd can stand for all of a process's namespaces.
    rules.deny("namespace", "setns", &[], EPERM);
}
