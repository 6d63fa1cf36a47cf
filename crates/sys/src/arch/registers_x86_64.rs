//! struct user_regs_struct of 64-bit code, and the short one of 32-bit code.

use tipstaff_abi::Arch;

use crate::raw::Errno;

/// The general registers of a stopped thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    /// Of 64-bit code (x32 too): struct user_regs_struct.
    Long([u64; 27]),
    /// Of 32-bit code: struct user_regs_struct32.
    Short([u32; 17]),
}

// Places in struct user_regs_struct.
const RAX: usize = 10;
const ORIG_RAX: usize = 15;
const RIP: usize = 16;
const RSP: usize = 19;
/// rdi, rsi, rdx, r10, r8, r9.
const ARGS: [usize; 6] = [14, 13, 12, 7, 9, 8];
/// rbx, rcx, rdx, rsi, rdi, rbp: what `int $0x80` reads, also when 64-bit code executes it.
const COMPAT_ARGS: [usize; 6] = [5, 11, 12, 13, 14, 4];

// Places in struct user_regs_struct32, whose first six are the arguments.
const EAX: usize = 6;
const ORIG_EAX: usize = 11;
const EIP: usize = 12;
const ESP: usize = 15;

impl Registers {
    pub(crate) const WORDS: usize = 27;

    pub(crate) fn from_kernel(words: [u64; Self::WORDS], len: usize) -> Option<Self> {
        match len {
            216 => Some(Self::Long(words)),
            68 => {
                let mut short = [0; 17];
                for (at, half) in short.iter_mut().enumerate() {
                    *half = (words[at / 2] >> (at % 2 * 32)) as u32;
                }
                Some(Self::Short(short))
            }
            _ => None,
        }
    }

    pub(crate) fn to_kernel(self) -> ([u64; Self::WORDS], usize) {
        match self {
            Self::Long(words) => (words, 216),
            Self::Short(short) => {
                let mut words = [0; Self::WORDS];
                for (at, half) in short.into_iter().enumerate() {
                    words[at / 2] |= u64::from(half) << (at % 2 * 32);
                }
                (words, 68)
            }
        }
    }

    /// Nothing is kept beside the general registers here.
    pub(crate) fn set_beside(&self, _tid: i32) -> Result<(), Errno> {
        Ok(())
    }

    /// Instruction pointer.
    pub fn ip(&self) -> u64 {
        match self {
            Self::Long(r) => r[RIP],
            Self::Short(r) => r[EIP].into(),
        }
    }

    /// Sets the instruction pointer.
    pub fn set_ip(&mut self, ip: u64) {
        match self {
            Self::Long(r) => r[RIP] = ip,
            Self::Short(r) => r[EIP] = ip as u32,
        }
    }

    /// Stack pointer.
    pub fn sp(&self) -> u64 {
        match self {
            Self::Long(r) => r[RSP],
            Self::Short(r) => r[ESP].into(),
        }
    }

    /// The call's number (orig_rax), -1 for none.
    pub fn number(&self) -> i32 {
        match self {
            Self::Long(r) => r[ORIG_RAX] as i32,
            Self::Short(r) => r[ORIG_EAX].cast_signed(),
        }
    }

    /// Sets the call's number. At a syscall entry or a seccomp stop -1 skips the call, and the result register is what it
    /// returns.
    pub fn set_number(&mut self, number: i32) {
        match self {
            Self::Long(r) => r[ORIG_RAX] = i64::from(number).cast_unsigned(),
            Self::Short(r) => r[ORIG_EAX] = number.cast_unsigned(),
        }
    }

    /// An argument (0 to 5) of a call of this architecture: 64-bit code can also make i386 calls.
    pub fn arg(&self, arch: Arch, index: usize) -> u64 {
        match self {
            Self::Long(r) if arch == Arch::I386 => u64::from(r[COMPAT_ARGS[index]] as u32),
            Self::Long(r) => r[ARGS[index]],
            Self::Short(r) => r[index].into(),
        }
    }

    /// Sets an argument (0 to 5).
    pub fn set_arg(&mut self, arch: Arch, index: usize, value: u64) {
        match self {
            Self::Long(r) if arch == Arch::I386 => r[COMPAT_ARGS[index]] = value,
            Self::Long(r) => r[ARGS[index]] = value,
            Self::Short(r) => r[index] = value as u32,
        }
    }

    /// At the return of a call: makes the program enter a call of this number once more, with the arguments that the registers hold. What the kernel
    /// does itself after a signal (ERESTARTSYS). `syscall` and `int $0x80` are two bytes long.
    pub fn again(&mut self, number: i32) {
        match self {
            Self::Long(r) => {
                r[RIP] = r[RIP].wrapping_sub(2);
                r[RAX] = i64::from(number).cast_unsigned();
            }
            Self::Short(r) => {
                r[EIP] = r[EIP].wrapping_sub(2);
                r[EAX] = number.cast_unsigned();
            }
        }
    }

    /// In any stop: makes the program enter a call of this number by the instruction at `gate`, whatever it was about to do. A call that was interrupted is
    /// not made again by the kernel.
    pub fn call_at(&mut self, gate: u64, number: i32) {
        self.set_number(-1);
        match self {
            Self::Long(r) => (r[RIP], r[RAX]) = (gate, i64::from(number).cast_unsigned()),
            Self::Short(r) => (r[EIP], r[EAX]) = (gate as u32, number.cast_unsigned()),
        }
    }

    /// The result register.
    pub fn result(&self) -> i64 {
        match self {
            Self::Long(r) => r[RAX].cast_signed(),
            Self::Short(r) => r[EAX].cast_signed().into(),
        }
    }

    /// Sets the result register: a value, or a negated errno.
    pub fn set_result(&mut self, value: i64) {
        match self {
            Self::Long(r) => r[RAX] = value.cast_unsigned(),
            Self::Short(r) => r[EAX] = value as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_go_to_the_kernel_and_back() {
        let mut short = Registers::Short(core::array::from_fn(|n| n as u32 + 1));
        let (words, len) = short.to_kernel();
        assert_eq!((words[0], words[8], len), (0x2_0000_0001, 17, 68));
        assert_eq!(Registers::from_kernel(words, len), Some(short));
        short.set_result(-38);
        assert_eq!((short.result(), short.arg(Arch::I386, 5)), (-38, 6));
        let long = Registers::Long(core::array::from_fn(|n| n as u64));
        let (words, len) = long.to_kernel();
        assert_eq!(Registers::from_kernel(words, len), Some(long));
        assert_eq!(Registers::from_kernel(words, 272), None);
    }

    #[test]
    fn an_i386_call_of_64_bit_code_has_its_arguments_in_other_registers() {
        let mut regs = Registers::Long([0; 27]);
        regs.set_arg(Arch::I386, 0, 7);
        regs.set_arg(Arch::X86_64, 0, 9);
        assert_eq!((regs.arg(Arch::I386, 0), regs.arg(Arch::X86_64, 0)), (7, 9));
        regs.set_number(-1);
        assert_eq!(regs.number(), -1);
    }
}
