//! The kernel's shortcut for calls that are always allowed.

use tipstaff_abi::bpf::{BPF_AND, Insn, SECCOMP_RET_ALLOW, SeccompData};

use crate::{
    check::{Kind, Operand, understand},
    run::compare,
};

/// Whether the kernel (since 5.11) notices that a program allows a call whatever its arguments are, and then never runs
/// the program for that call again.
///
/// At installation `seccomp_cache_prepare` tries every number by a tiny emulator that knows the number and the
/// architecture, and gives up at the first instruction that looks at anything else. This is that emulator.
#[must_use]
pub fn always_allows(program: &[Insn], arch: u32, number: u32) -> bool {
    let mut a = 0;
    let mut at = 0_usize;
    while let Some(&insn) = program.get(at) {
        at += 1;
        let Ok(kind) = understand(at, insn) else { return false };
        let skip = match kind {
            Kind::Load(SeccompData::NR) => {
                a = number;
                0
            }
            Kind::Load(SeccompData::ARCH) => {
                a = arch;
                0
            }
            Kind::Return(result) => return result == SECCOMP_RET_ALLOW,
            Kind::Jump(by) => by,
            Kind::Branch(test, Operand::K(k), jt, jf) => u32::from(if compare(test, a, k) { jt } else { jf }),
            Kind::Alu(BPF_AND, Operand::K(k)) => {
                a &= k;
                0
            }
            _ => return false,
        };
        at = at.saturating_add(skip as usize);
    }
    false
}
