//! Switches of a task: prctl, personality, and who gets a file's signals.

use tipstaff_abi::errno::EPERM;
use tipstaff_seccomp::{Condition, Op};

use super::Rules;

/// Rewrites what /proc says about the process: command line, executable, memory layout.
const PR_SET_MM: u32 = 35;
/// Changes how capabilities survive.
const PR_SET_SECUREBITS: u32 = 28;
/// Sends system calls to a handler before any filter sees them; nothing but emulators needs it, and a
/// supervisor reads numbers that were never meant for the kernel.
const PR_SET_SYSCALL_USER_DISPATCH: u32 = 59;
/// For block device daemons: changes how memory is reclaimed on their behalf.
const PR_SET_IO_FLUSHER: u32 = 57;
const PR_SET_DUMPABLE: u32 = 4;
/// Yama's exception list.
const PR_SET_PTRACER: u32 = 0x5961_6d61;

const ADDR_NO_RANDOMIZE: u32 = 0x0004_0000;
/// "Tell me, change nothing".
const PERSONALITY_QUERY: u32 = u32::MAX;
/// Linux, and as seen by a 32-bit program, each also with an old version number (UNAME26).
const PERSONALITIES: [u32; 4] = [0, 8, 0x0002_0000, 0x0002_0008];

const F_SETOWN: u32 = 8;
const F_SETSIG: u32 = 10;
const F_SETOWN_EX: u32 = 15;
/// Whoever opens the file for writing waits for the holder, up to a minute and more: a file that is only shown could be kept from its owner.
const F_SETLEASE: u32 = 1024;

pub(super) fn rules(rules: &mut Rules, ptrace: bool) {
    let option = |value| Condition::w32(0, Op::Eq, value);
    for switch in [PR_SET_MM, PR_SET_SECUREBITS, PR_SET_SYSCALL_USER_DISPATCH, PR_SET_IO_FLUSHER] {
        rules.deny("prctl", "prctl", &[option(switch)], EPERM);
    }
    // An undumpable process belongs to root in /proc: a supervisor without privilege could no longer see how much
    // memory it has, nor read a path that it passes. The value is an unsigned long, compared whole by the kernel.
    rules.deny("prctl", "prctl", &[option(PR_SET_DUMPABLE), Condition::w64(1, Op::Eq, 0)], EPERM);
    // Inviting one guest is a matter between guests (sanitizers do); inviting everybody (-1) is not.
    if ptrace {
        rules.deny("prctl", "prctl", &[option(PR_SET_PTRACER), Condition::w64(1, Op::Eq, u64::MAX)], EPERM);
    } else {
        rules.deny("prctl", "prctl", &[option(PR_SET_PTRACER)], EPERM);
    }

    // Limits of other processes: of the same user that is anybody, the supervisor too, and no Landlock scope covers it.
    // Asking is free, and so is one's own (pid 0).
    let others = [Condition::w32(0, Op::Ne, 0), Condition::w64(2, Op::Ne, 0)];
    rules.deny("prlimit", "prlimit64", &others, EPERM);

    // READ_IMPLIES_EXEC, MMAP_PAGE_ZERO and their like undo hardening, and the foreign personas are dead code.
    // Debuggers switch randomization off, for their tracees only.
    let mut other: Vec<_> = PERSONALITIES.iter().map(|&value| Condition::w32(0, Op::Ne, value)).collect();
    other.push(Condition::w32(0, Op::Ne, PERSONALITY_QUERY));
    if ptrace {
        other.push(Condition::w32(0, Op::Ne, ADDR_NO_RANDOMIZE));
    }
    rules.deny("personality", "personality", &other, EPERM);

    // Makes the kernel send a signal of choice to any process of the same user, and Landlock's signal scope came
    // only with ABI 6. Few programs ask (nginx's master does); fcntl's other commands pass.
    for call in ["fcntl", "fcntl64"] {
        for command in [F_SETOWN, F_SETOWN_EX, F_SETSIG, F_SETLEASE] {
            rules.deny("fcntl", call, &[Condition::w32(1, Op::Eq, command)], EPERM);
        }
    }
}
