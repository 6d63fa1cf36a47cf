//! signal_generate: SIGSYS tells of a call that a filter has trapped or killed for, with its number.

use super::Gen;
use crate::asm::{FP, If, R1, R2, R6, R7, R8, R9, Size};
use crate::maps::{class, size, slot, state};

const SIGSYS: i32 = 31;
/// si_code: by seccomp(2), not by kill(2) or by syscall user dispatch.
const SYS_SECCOMP: i32 = 1;
const AUDIT_ARCH_I386: i32 = 0x4000_0003;

/// R6: signal, siginfo, task, whether for the group, what came of it. siginfo's fields are where sigaction(2) shows them.
pub(super) fn write(g: &mut Gen<'_>) {
    const KEY: i16 = -(size::RESULT as i16);
    const SPARE: i16 = KEY - 8;
    let [out, wanted, trapped, native] = [(); 4].map(|()| g.a.label());
    g.a.mov(R6, R1);
    g.a.load(Size::D, R1, R6, 0);
    g.a.jump_if32(If::Eq, R1, SIGSYS, wanted);
    g.end(out);
    g.a.bind(wanted);
    g.current(R9);
    g.state_of(R9, out);
    g.alive(out);
    // Small numbers stand for signals without a siginfo: reading from there gives 0.
    g.a.load(Size::D, R8, R6, 8);
    g.read_sized(Size::W, R1, R8, 8, SPARE);
    g.a.jump_if32(If::Ne, R1, SYS_SECCOMP, out);
    g.a.store(Size::W, R7, state::SIGSYS, state::KILLED);
    g.a.load(Size::W, R2, R7, state::ID);
    g.a.store(Size::W, FP, KEY, R2);
    g.read_sized(Size::W, R1, R8, 24, SPARE);
    g.a.store(Size::W, FP, KEY + 8, R1);
    g.read_sized(Size::W, R1, R8, 28, SPARE);
    g.a.store(Size::W, FP, KEY + 4, 1);
    g.a.jump_if32(If::Eq, R1, AUDIT_ARCH_I386, native);
    g.a.store(Size::W, FP, KEY + 4, 0);
    g.a.bind(native);
    // A task that a filter kills is marked before (SECCOMP_MODE_DEAD, Linux 5.16).
    g.a.store(Size::W, FP, KEY + 12, class::KILL);
    g.a.store(Size::D, FP, KEY + 16, 0);
    g.a.load(Size::W, R1, R9, g.l.task_seccomp_mode);
    let dead = g.a.label();
    g.a.jump_if32(If::Eq, R1, 3, dead);
    g.a.bind(trapped);
    g.a.store(Size::W, FP, KEY + 12, class::TRAP);
    g.a.store(Size::W, R7, state::SIGSYS, state::TRAPPED);
    g.a.bind(dead);
    g.bump(&g.m.results, FP, KEY, SPARE, slot::RESULTS_DROPPED);
    g.a.jump(out);
}
