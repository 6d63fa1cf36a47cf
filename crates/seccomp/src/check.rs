//! What the kernel demands of a filter before it takes it.

use tipstaff_abi::bpf::{
    BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_DIV, BPF_IMM, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_JSET,
    BPF_K, BPF_LD, BPF_LDX, BPF_LEN, BPF_LSH, BPF_MEM, BPF_MISC, BPF_MUL, BPF_NEG, BPF_OR, BPF_RET, BPF_RSH, BPF_ST,
    BPF_STX, BPF_SUB, BPF_TAX, BPF_TXA, BPF_W, BPF_X, BPF_XOR, Insn, MAX_INSNS, MEM_WORDS, SeccompData,
};

/// What is wrong with a program. `at` is the index of the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No instruction at all.
    #[error("the program is empty")]
    Empty,
    /// More instructions than the kernel takes.
    #[error("{0} instructions are more than {MAX_INSNS}")]
    TooLong(usize),
    /// Not an instruction, or one that seccomp does not allow.
    #[error("instruction {at}: {code:#x} is not allowed")]
    Code {
        /// Where.
        at: usize,
        /// Which.
        code: u16,
    },
    /// A load outside the data, or not on a word's border.
    #[error("instruction {at}: no word at offset {offset}")]
    Load {
        /// Where.
        at: usize,
        /// From what offset.
        offset: u32,
    },
    /// A jump past the end.
    #[error("instruction {at}: jumps past the end")]
    Jump {
        /// Where.
        at: usize,
    },
    /// The last instruction is not a return.
    #[error("the program does not end in a return")]
    End,
    /// A scratch word that does not exist, or is read before it was written.
    #[error("instruction {at}: scratch word {word} does not exist or was not written")]
    Memory {
        /// Where.
        at: usize,
        /// Which word.
        word: u32,
    },
    /// A division by a constant zero, or a shift by a constant over 31.
    #[error("instruction {at}: {k} is not allowed as an operand")]
    Operand {
        /// Where.
        at: usize,
        /// Which constant.
        k: u32,
    },
}

/// One instruction, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Load(u32),
    LoadImmediate(u32),
    LoadMemory(u32),
    LoadX(u32),
    LoadXMemory(u32),
    Store(u32),
    StoreX(u32),
    Alu(u16, Operand),
    Negate,
    Jump(u32),
    Branch(u16, Operand, u8, u8),
    Return(u32),
    ReturnA,
    Tax,
    Txa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    K(u32),
    X,
}

const LD_LEN: u16 = BPF_LD | BPF_W | BPF_LEN;
const LDX_LEN: u16 = BPF_LDX | BPF_W | BPF_LEN;

/// Only codes that `seccomp_check_filter` and `bpf_check_classic` both take; those compare whole codes, so no bit is free.
pub(crate) fn understand(at: usize, insn: Insn) -> Result<Kind, Fault> {
    let Insn { code, jt, jf, k } = insn;
    let operand = if code & BPF_X == 0 { Operand::K(k) } else { Operand::X };
    let operation = code & 0xf0;
    Ok(match code {
        _ if code == BPF_LD | BPF_W | BPF_ABS => Kind::Load(k),
        // The length of the data is a constant to seccomp.
        LD_LEN => Kind::LoadImmediate(SeccompData::SIZE),
        LDX_LEN => Kind::LoadX(SeccompData::SIZE),
        _ if code == BPF_LD | BPF_IMM => Kind::LoadImmediate(k),
        _ if code == BPF_LDX | BPF_IMM => Kind::LoadX(k),
        _ if code == BPF_LD | BPF_MEM => Kind::LoadMemory(k),
        _ if code == BPF_LDX | BPF_MEM => Kind::LoadXMemory(k),
        BPF_ST => Kind::Store(k),
        BPF_STX => Kind::StoreX(k),
        _ if code == BPF_RET | BPF_K => Kind::Return(k),
        _ if code == BPF_RET | BPF_A => Kind::ReturnA,
        _ if code == BPF_MISC | BPF_TAX => Kind::Tax,
        _ if code == BPF_MISC | BPF_TXA => Kind::Txa,
        _ if code == BPF_ALU | BPF_NEG => Kind::Negate,
        _ if code == BPF_JMP | BPF_JA => Kind::Jump(k),
        _ if code & 0xff07 == BPF_ALU
            && [BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_XOR]
                .contains(&operation) =>
        {
            Kind::Alu(operation, operand)
        }
        _ if code & 0xff07 == BPF_JMP && [BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET].contains(&operation) => {
            Kind::Branch(operation, operand, jt, jf)
        }
        _ => return Err(Fault::Code { at, code }),
    })
}

/// Checks a program as the kernel does: at most 4,096 known instructions, jumps inside, whole words inside the data,
/// scratch words written before they are read, a return at the end.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(program: &[Insn]) -> Result<(), Fault> {
    let len = program.len();
    if len == 0 {
        return Err(Fault::Empty);
    }
    if len > MAX_INSNS {
        return Err(Fault::TooLong(len));
    }
    // For each instruction, which scratch words every jump to it has written.
    let mut written = vec![u16::MAX; len];
    let mut now = 0;
    for (at, &insn) in program.iter().enumerate() {
        now &= written[at];
        let kind = understand(at, insn)?;
        let mut jump = |by: u64, now: u16| {
            let to = usize::try_from(by).ok().and_then(|by| by.checked_add(at + 1)).filter(|&to| to < len);
            written[to.ok_or(Fault::Jump { at })?] &= now;
            Ok(())
        };
        match kind {
            Kind::Load(offset) if !offset.is_multiple_of(4) || offset >= SeccompData::SIZE => {
                return Err(Fault::Load { at, offset });
            }
            Kind::Store(word) | Kind::StoreX(word) => {
                if word >= MEM_WORDS {
                    return Err(Fault::Memory { at, word });
                }
                now |= 1 << word;
            }
            Kind::LoadMemory(word) | Kind::LoadXMemory(word) if word >= MEM_WORDS || now >> word & 1 == 0 => {
                return Err(Fault::Memory { at, word });
            }
            Kind::Alu(BPF_DIV, Operand::K(0)) => return Err(Fault::Operand { at, k: 0 }),
            Kind::Alu(BPF_LSH | BPF_RSH, Operand::K(k @ 32..)) => return Err(Fault::Operand { at, k }),
            Kind::Jump(by) => {
                jump(u64::from(by), now)?;
                now = u16::MAX;
            }
            Kind::Branch(_, _, jt, jf) => {
                jump(u64::from(jt), now)?;
                jump(u64::from(jf), now)?;
                now = u16::MAX;
            }
            _ => {}
        }
    }
    match understand(len - 1, program[len - 1])? {
        Kind::Return(_) | Kind::ReturnA => Ok(()),
        _ => Err(Fault::End),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: Insn = Insn::new(BPF_RET | BPF_K, 0x7fff_0000);

    #[test]
    fn refuses_what_the_kernel_refuses() {
        let cases = [
            (vec![], Fault::Empty),
            (vec![ALLOW; MAX_INSNS + 1], Fault::TooLong(MAX_INSNS + 1)),
            (vec![Insn::new(BPF_LD | BPF_W | BPF_ABS, 64), ALLOW], Fault::Load { at: 0, offset: 64 }),
            (vec![Insn::new(BPF_LD | BPF_W | BPF_ABS, 2), ALLOW], Fault::Load { at: 0, offset: 2 }),
            (vec![Insn::new(0x28, 0), ALLOW], Fault::Code { at: 0, code: 0x28 }),
            (vec![Insn::jump(BPF_JMP | BPF_JEQ, 0, 0, 1), ALLOW], Fault::Jump { at: 0 }),
            (vec![Insn::new(BPF_JMP | BPF_JA, u32::MAX), ALLOW], Fault::Jump { at: 0 }),
            (vec![Insn::new(BPF_LD | BPF_IMM, 0)], Fault::End),
            (vec![Insn::new(BPF_LD | BPF_MEM, 3), ALLOW], Fault::Memory { at: 0, word: 3 }),
            (vec![Insn::new(BPF_ST, 16), ALLOW], Fault::Memory { at: 0, word: 16 }),
            (vec![Insn::new(BPF_ALU | BPF_DIV, 0), ALLOW], Fault::Operand { at: 0, k: 0 }),
            (vec![Insn::new(BPF_ALU | BPF_LSH, 32), ALLOW], Fault::Operand { at: 0, k: 32 }),
        ];
        for (program, fault) in cases {
            assert_eq!(check(&program), Err(fault));
        }
        assert_eq!(check(&[ALLOW]), Ok(()));
    }

    #[test]
    fn a_scratch_word_must_be_written_on_every_way() {
        let store = Insn::new(BPF_ST, 0);
        let load = Insn::new(BPF_LD | BPF_MEM, 0);
        assert_eq!(check(&[store, load, ALLOW]), Ok(()));
        let around = [Insn::jump(BPF_JMP | BPF_JEQ, 0, 1, 0), store, load, ALLOW];
        assert_eq!(check(&around), Err(Fault::Memory { at: 2, word: 0 }));
    }
}
