//! struct user_pt_regs; the call's number is a register set of its own.

use tipstaff_abi::Arch;

use crate::ptrace::set_register_set;
use crate::raw::Errno;

/// The general registers of a stopped thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    /// x0 to x30, sp, pc, pstate; the number to set, if any.
    Long([u64; 34], Option<i32>),
    /// Of 32-bit code: r0 to r15, cpsr, orig_r0; the number to set, if any.
    Short([u32; 18], Option<i32>),
}

const NT_ARM_SYSTEM_CALL: usize = 0x404;

impl Registers {
    pub(crate) const WORDS: usize = 34;

    pub(crate) fn from_kernel(words: [u64; Self::WORDS], len: usize) -> Option<Self> {
        match len {
            272 => Some(Self::Long(words, None)),
            72 => {
                let mut short = [0; 18];
                for (at, half) in short.iter_mut().enumerate() {
                    *half = (words[at / 2] >> (at % 2 * 32)) as u32;
                }
                Some(Self::Short(short, None))
            }
            _ => None,
        }
    }

    pub(crate) fn to_kernel(self) -> ([u64; Self::WORDS], usize) {
        match self {
            Self::Long(words, _) => (words, 272),
            Self::Short(short, _) => {
                let mut words = [0; Self::WORDS];
                for (at, half) in short.into_iter().enumerate() {
                    words[at / 2] |= u64::from(half) << (at % 2 * 32);
                }
                (words, 72)
            }
        }
    }

    pub(crate) fn set_beside(&self, tid: i32) -> Result<(), Errno> {
        match self {
            Self::Long(_, Some(number)) | Self::Short(_, Some(number)) => {
                set_register_set(tid, NT_ARM_SYSTEM_CALL, &number.to_ne_bytes())
            }
            _ => Ok(()),
        }
    }

    /// Instruction pointer.
    pub fn ip(&self) -> u64 {
        match self {
            Self::Long(r, _) => r[32],
            Self::Short(r, _) => r[15].into(),
        }
    }

    /// Sets the instruction pointer.
    pub fn set_ip(&mut self, ip: u64) {
        match self {
            Self::Long(r, _) => r[32] = ip,
            Self::Short(r, _) => r[15] = ip as u32,
        }
    }

    /// Stack pointer.
    pub fn sp(&self) -> u64 {
        match self {
            Self::Long(r, _) => r[31],
            Self::Short(r, _) => r[13].into(),
        }
    }

    /// At the return of a call: makes the program enter a call of this number once more. The first argument is where the result was, so the caller
    /// sets it again behind this. `svc` is four bytes long.
    pub fn again(&mut self, number: i32) {
        match self {
            Self::Long(r, _) => {
                r[32] = r[32].wrapping_sub(4);
                r[8] = i64::from(number).cast_unsigned();
            }
            Self::Short(r, _) => {
                r[15] = r[15].wrapping_sub(4);
                r[7] = number.cast_unsigned();
            }
        }
    }

    /// The call's number (x8, r7), -1 for none.
    pub fn number(&self) -> i32 {
        match self {
            Self::Long(_, Some(number)) | Self::Short(_, Some(number)) => *number,
            Self::Long(r, None) => r[8] as i32,
            Self::Short(r, None) => r[7].cast_signed(),
        }
    }

    /// Sets the call's number. At a syscall entry or a seccomp stop -1 skips the call, and the result register is what it
    /// returns.
    pub fn set_number(&mut self, number: i32) {
        match self {
            Self::Long(_, set) | Self::Short(_, set) => *set = Some(number),
        }
    }

    /// An argument (0 to 5) of a call.
    pub fn arg(&self, _arch: Arch, index: usize) -> u64 {
        match self {
            Self::Long(r, _) => r[index],
            Self::Short(r, _) => r[index].into(),
        }
    }

    /// Sets an argument (0 to 5).
    pub fn set_arg(&mut self, _arch: Arch, index: usize, value: u64) {
        match self {
            Self::Long(r, _) => r[index] = value,
            Self::Short(r, _) => r[index] = value as u32,
        }
    }

    /// In any stop: makes the program enter a call of this number by the instruction at `gate`, whatever it was about to do. A call that was interrupted is
    /// not made again by the kernel.
    pub fn call_at(&mut self, gate: u64, number: i32) {
        self.set_number(-1);
        match self {
            Self::Long(r, _) => (r[32], r[8]) = (gate, i64::from(number).cast_unsigned()),
            Self::Short(r, _) => (r[15], r[7]) = (gate as u32, number.cast_unsigned()),
        }
    }

    /// The result register.
    pub fn result(&self) -> i64 {
        match self {
            Self::Long(r, _) => r[0].cast_signed(),
            Self::Short(r, _) => r[0].cast_signed().into(),
        }
    }

    /// Sets the result register: a value, or a negated errno.
    pub fn set_result(&mut self, value: i64) {
        match self {
            Self::Long(r, _) => r[0] = value.cast_unsigned(),
            Self::Short(r, _) => r[0] = value as u32,
        }
    }
}
