//! Who may trace whom: the kernel is asked, in the caller's place.
//!
//! ptrace_may_access() looks at ids, capabilities per user namespace, dumpability and security modules (Yama, Landlock). get_robust_list(2) makes
//! the same check of a thread before it looks at its pointers, and has no effect when these are bad: EFAULT says that access is granted. So the
//! caller of PTRACE_ATTACH makes that call instead, and the kernel says what it says of the two of them.

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_trace::Registers;

use crate::names::{mask, status};

/// An address at which nothing can be written, also not in a program that has mapped its first page (vm.mmap_min_addr aside).
const NOWHERE: u64 = u64::MAX - 4095;
const SYS_PTRACE: u64 = 1 << 19;

/// Makes the call of `registers` one that asks.
pub(crate) fn ask(registers: &mut Registers, arch: Arch) -> bool {
    let Some(number) = Sysno::by_name(arch, "get_robust_list") else { return false };
    // ptrace(request, pid, …): the same number is the first argument here.
    let pid = registers.arg(arch, 1);
    registers.set_number(number.0.cast_signed());
    for (index, value) in [pid, NOWHERE, NOWHERE].into_iter().enumerate() {
        registers.set_arg(arch, index, value);
    }
    true
}

/// What the answer means for an attach: None is leave. A filter that refuses the question refuses the attach.
pub(crate) fn answer(value: i64) -> Option<i64> {
    match -value {
        granted if granted == i64::from(errno::EFAULT) => None,
        gone if gone == i64::from(errno::ESRCH) => Some(value),
        _ => Some(-i64::from(errno::EPERM)),
    }
}

/// PTRACE_TRACEME is judged by the capabilities of parent and child alone: cap_ptrace_traceme().
pub(crate) fn may_be_traced_by(child: i32, parent: i32) -> bool {
    let (theirs, own) = (status(parent), status(child));
    let space = |pid| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let same = space(parent) == space(child) && space(child).is_some();
    let permitted = |text: &str| mask(text, "CapPrm:");
    same && (permitted(&own) & !permitted(&theirs) == 0 || mask(&theirs, "CapEff:") & SYS_PTRACE != 0)
}
