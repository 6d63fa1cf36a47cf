//! The interpreter: what the kernel would answer.

use tipstaff_abi::bpf::{
    BPF_ADD, BPF_AND, BPF_DIV, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JSET, BPF_LSH, BPF_MUL, BPF_OR, BPF_RSH, BPF_SUB,
    BPF_XOR, Insn, MEM_WORDS, SeccompData,
};

use crate::check::{Fault, Kind, Operand, understand};

/// Runs a program as the kernel runs it: classic BPF as seccomp allows it, all arithmetic modulo 2³².
///
/// # Errors
/// Where the program does what [`check`](crate::check()) refuses, if it gets there.
pub fn run(program: &[Insn], data: &SeccompData) -> Result<u32, Fault> {
    if program.is_empty() {
        return Err(Fault::Empty);
    }
    let (mut a, mut x) = (0_u32, 0_u32);
    let mut memory = [None; MEM_WORDS as usize];
    let mut at = 0;
    // Every step goes forward, so this ends.
    loop {
        let Some(&insn) = program.get(at) else { return Err(Fault::End) };
        let slot = |word: u32| usize::try_from(word).ok().filter(|&word| word < memory.len());
        let value = |operand| match operand {
            Operand::K(k) => k,
            Operand::X => x,
        };
        let mut skip = 0_usize;
        match understand(at, insn)? {
            Kind::Load(offset) => a = data.word(offset).ok_or(Fault::Load { at, offset })?,
            Kind::LoadImmediate(k) => a = k,
            Kind::LoadX(k) => x = k,
            Kind::LoadMemory(word) => a = slot(word).and_then(|at| memory[at]).ok_or(Fault::Memory { at, word })?,
            Kind::LoadXMemory(word) => x = slot(word).and_then(|at| memory[at]).ok_or(Fault::Memory { at, word })?,
            Kind::Store(word) => memory[slot(word).ok_or(Fault::Memory { at, word })?] = Some(a),
            Kind::StoreX(word) => memory[slot(word).ok_or(Fault::Memory { at, word })?] = Some(x),
            Kind::Tax => x = a,
            Kind::Txa => a = x,
            Kind::Negate => a = a.wrapping_neg(),
            Kind::Alu(BPF_DIV, Operand::K(0)) => return Err(Fault::Operand { at, k: 0 }),
            // Dividing by a zero in X ends the program with 0, which is "kill the thread".
            Kind::Alu(BPF_DIV, Operand::X) if x == 0 => return Ok(0),
            Kind::Alu(operation, operand) => a = arithmetic(operation, a, value(operand)),
            Kind::Jump(by) => skip = usize::try_from(by).map_err(|_| Fault::Jump { at })?,
            Kind::Branch(test, operand, jt, jf) => {
                skip = usize::from(if compare(test, a, value(operand)) { jt } else { jf });
            }
            Kind::Return(k) => return Ok(k),
            Kind::ReturnA => return Ok(a),
        }
        let past = if skip > 0 { Fault::Jump { at } } else { Fault::End };
        at = at.checked_add(1 + skip).filter(|&next| next < program.len()).ok_or(past)?;
    }
}

fn arithmetic(operation: u16, a: u32, operand: u32) -> u32 {
    match operation {
        BPF_ADD => a.wrapping_add(operand),
        BPF_SUB => a.wrapping_sub(operand),
        BPF_MUL => a.wrapping_mul(operand),
        BPF_DIV => a / operand,
        BPF_AND => a & operand,
        BPF_OR => a | operand,
        BPF_XOR => a ^ operand,
        // The kernel shifts by the lowest five bits.
        BPF_LSH => a.wrapping_shl(operand),
        BPF_RSH => a.wrapping_shr(operand),
        _ => unreachable!("understand() lets no other through"),
    }
}

pub(crate) fn compare(test: u16, a: u32, operand: u32) -> bool {
    match test {
        BPF_JEQ => a == operand,
        BPF_JGT => a > operand,
        BPF_JGE => a >= operand,
        BPF_JSET => a & operand != 0,
        _ => unreachable!("understand() lets no other through"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tipstaff_abi::bpf::{
        BPF_A, BPF_ALU, BPF_IMM, BPF_JA, BPF_JMP, BPF_LD, BPF_LDX, BPF_MISC, BPF_NEG, BPF_RET, BPF_TAX, BPF_X,
    };

    fn result(body: &[Insn]) -> Result<u32, Fault> {
        let mut program = body.to_vec();
        program.push(Insn::new(BPF_RET | BPF_A, 0));
        run(&program, &SeccompData { args: [7, 8, 9, 10, 11, 12 << 32], ..SeccompData::default() })
    }

    #[test]
    fn arithmetic_is_the_kernels() {
        let load = |k| Insn::new(BPF_LD | BPF_IMM, k);
        assert_eq!(result(&[load(3), Insn::new(BPF_ALU | BPF_NEG, 0)]), Ok(3_u32.wrapping_neg()));
        assert_eq!(result(&[load(u32::MAX), Insn::new(BPF_ALU | BPF_ADD, 2)]), Ok(1));
        let by_x = |k, operation| [load(9), Insn::new(BPF_LDX | BPF_IMM, k), Insn::new(BPF_ALU | operation | BPF_X, 0)];
        assert_eq!(result(&by_x(0, BPF_DIV)), Ok(0));
        assert_eq!(result(&by_x(2, BPF_DIV)), Ok(4));
        assert_eq!(result(&by_x(33, BPF_LSH)), Ok(18));
        assert_eq!(
            result(&[load(5), Insn::new(BPF_MISC | BPF_TAX, 0), load(6), Insn::new(BPF_ALU | BPF_XOR | BPF_X, 0)]),
            Ok(3)
        );
        assert_eq!(result(&[Insn::new(BPF_LD | 0x20, 60)]), Ok(12));
        assert_eq!(result(&[Insn::new(BPF_LD | 0x80, 0)]), Ok(64));
    }

    #[test]
    fn an_unchecked_program_faults_and_never_panics() {
        let data = SeccompData::default();
        assert_eq!(run(&[], &data), Err(Fault::Empty));
        assert_eq!(run(&[Insn::new(BPF_LD | BPF_IMM, 0)], &data), Err(Fault::End));
        assert_eq!(run(&[Insn::new(BPF_JMP | BPF_JA, u32::MAX)], &data), Err(Fault::Jump { at: 0 }));
        assert_eq!(run(&[Insn::new(BPF_LD | 0x60, 99)], &data), Err(Fault::Memory { at: 0, word: 99 }));
    }
}
