//! A system call as the kernel tells it at a stop: PTRACE_GET_SYSCALL_INFO.

use tipstaff_abi::{Arch, Sysno};

use crate::Address;

/// A call that a tracee has entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The table that the number belongs to; i386 also for the `int $0x80` of a 64-bit program.
    pub arch: Arch,
    /// The number. x32 numbers carry their bit; negative ones are what a tracer writes to skip a call.
    pub number: u32,
    /// The six words, zero-extended for 32-bit calls. What lies behind those that are addresses has not been read.
    pub args: [u64; 6],
    /// Where the program was.
    pub ip: Address,
    /// Its stack pointer.
    pub sp: Address,
}

impl Call {
    pub(crate) fn new(info: &tipstaff_sys::ptrace::SyscallInfo, nr: u64, mut args: [u64; 6]) -> Self {
        let number = nr as u32;
        // Every architecture that a kernel of ours can report has a table.
        let arch = Arch::of(info.arch, number).or(Arch::native()).unwrap_or(Arch::X86_64);
        if matches!(arch, Arch::I386 | Arch::Arm) {
            // The kernel reads the low halves; 64-bit code can leave anything in the high ones.
            args = args.map(|word| u64::from(word as u32));
        }
        Self { arch, number, args, ip: Address(info.ip), sp: Address(info.sp) }
    }

    /// The call's name; `None` for a number that the table does not know.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        Sysno(self.number).name(self.arch)
    }
}

/// What a call returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// The result register; a negated errno if `is_error`. -512 to -516 are the kernel's own ERESTART*, which no program sees.
    pub value: i64,
    /// The kernel takes the result for an errno.
    pub is_error: bool,
}

impl Returned {
    /// The errno, if it failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.is_error.then(|| self.value.unsigned_abs() as i32)
    }
}
