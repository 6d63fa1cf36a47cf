//! Classic BPF instructions, and what seccomp makes of their result.

/// One classic BPF instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Insn {
    /// What to do: a sum of the `BPF_*` constants.
    pub code: u16,
    /// Instructions to skip if a comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// The constant, offset or long jump distance.
    pub k: u32,
}

impl Insn {
    /// An instruction that does not jump conditionally.
    #[must_use]
    pub const fn new(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }

    /// A conditional jump.
    #[must_use]
    pub const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Self {
        Self { code, jt, jf, k }
    }
}

/// What a filter looks at (`struct seccomp_data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct SeccompData {
    /// The number. Signed in the kernel's header, because a tracer skips a call with -1; filters compare unsigned.
    pub nr: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The instruction pointer after the call.
    pub ip: u64,
    /// The six argument registers; a 32-bit caller's are zero-extended.
    pub args: [u64; 6],
}

impl SeccompData {
    /// `sizeof(struct seccomp_data)`.
    pub const SIZE: u32 = 64;
    /// Offset of the number.
    pub const NR: u32 = 0;
    /// Offset of the architecture.
    pub const ARCH: u32 = 4;
    /// Offset of the low word of the instruction pointer.
    pub const IP: u32 = 8;
    /// Offset of the low word of the first argument; each argument has eight bytes.
    pub const ARGS: u32 = 16;

    /// The number as filters compare it.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.nr.cast_unsigned()
    }

    /// The 32-bit word at a byte offset, as a filter on a little-endian machine loads it.
    /// `None` where the kernel's checker refuses the load.
    #[must_use]
    pub const fn word(&self, offset: u32) -> Option<u32> {
        if !offset.is_multiple_of(4) || offset >= Self::SIZE {
            return None;
        }
        let whole = match offset / 8 {
            0 => (self.arch as u64) << 32 | self.number() as u64,
            1 => self.ip,
            word => self.args[word as usize - 2],
        };
        Some(if offset.is_multiple_of(8) { whole as u32 } else { (whole >> 32) as u32 })
    }
}

/// The most instructions that the kernel takes in one filter (`BPF_MAXINSNS`).
pub const MAX_INSNS: usize = 4096;
/// Scratch words (`BPF_MEMWORDS`).
pub const MEM_WORDS: u32 = 16;

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $type = $value;)*
    };
}

constants! {
    /// Class: load into A.
    BPF_LD: u16 = 0x00;
    /// Class: load into X.
    BPF_LDX: u16 = 0x01;
    /// Class: store A.
    BPF_ST: u16 = 0x02;
    /// Class: store X.
    BPF_STX: u16 = 0x03;
    /// Class: arithmetic on A.
    BPF_ALU: u16 = 0x04;
    /// Class: jumps.
    BPF_JMP: u16 = 0x05;
    /// Class: the end.
    BPF_RET: u16 = 0x06;
    /// Class: moves between A and X.
    BPF_MISC: u16 = 0x07;

    /// Size: a 32-bit word, the only one that seccomp loads.
    BPF_W: u16 = 0x00;
    /// Mode: the constant itself.
    BPF_IMM: u16 = 0x00;
    /// Mode: an offset into the data.
    BPF_ABS: u16 = 0x20;
    /// Mode: scratch memory.
    BPF_MEM: u16 = 0x60;
    /// Mode: the length of the data.
    BPF_LEN: u16 = 0x80;

    /// Source: the constant.
    BPF_K: u16 = 0x00;
    /// Source: X.
    BPF_X: u16 = 0x08;
    /// Source of a return: A.
    BPF_A: u16 = 0x10;

    /// A + operand.
    BPF_ADD: u16 = 0x00;
    /// A − operand.
    BPF_SUB: u16 = 0x10;
    /// A × operand.
    BPF_MUL: u16 = 0x20;
    /// A ÷ operand.
    BPF_DIV: u16 = 0x30;
    /// A | operand.
    BPF_OR: u16 = 0x40;
    /// A & operand.
    BPF_AND: u16 = 0x50;
    /// A << operand.
    BPF_LSH: u16 = 0x60;
    /// A >> operand.
    BPF_RSH: u16 = 0x70;
    /// −A.
    BPF_NEG: u16 = 0x80;
    /// A ^ operand.
    BPF_XOR: u16 = 0xa0;

    /// Jump always, by the 32-bit constant.
    BPF_JA: u16 = 0x00;
    /// Jump if A = operand.
    BPF_JEQ: u16 = 0x10;
    /// Jump if A > operand, unsigned.
    BPF_JGT: u16 = 0x20;
    /// Jump if A ≥ operand, unsigned.
    BPF_JGE: u16 = 0x30;
    /// Jump if A & operand is not zero.
    BPF_JSET: u16 = 0x40;

    /// X = A.
    BPF_TAX: u16 = 0x00;
    /// A = X.
    BPF_TXA: u16 = 0x80;
}

constants! {
    /// Kill the process.
    SECCOMP_RET_KILL_PROCESS: u32 = 0x8000_0000;
    /// Kill the thread.
    SECCOMP_RET_KILL_THREAD: u32 = 0x0000_0000;
    /// Send SIGSYS.
    SECCOMP_RET_TRAP: u32 = 0x0003_0000;
    /// Return an errno.
    SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
    /// Ask the listener.
    SECCOMP_RET_USER_NOTIF: u32 = 0x7fc0_0000;
    /// Ask the tracer.
    SECCOMP_RET_TRACE: u32 = 0x7ff0_0000;
    /// Allow, and write to the audit log.
    SECCOMP_RET_LOG: u32 = 0x7ffc_0000;
    /// Allow.
    SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;
    /// The action in a result.
    SECCOMP_RET_ACTION_FULL: u32 = 0xffff_0000;
    /// The data in a result.
    SECCOMP_RET_DATA: u32 = 0x0000_ffff;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_where_the_kernel_puts_them() {
        let data = SeccompData { nr: -1, arch: 7, ip: 0x1_0000_0002, args: [1 << 32 | 5, 0, 0, 0, 0, 9 << 32] };
        let words: Vec<_> = (0..64).step_by(4).map(|offset| data.word(offset).expect("aligned")).collect();
        assert_eq!(words, [u32::MAX, 7, 2, 1, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!((data.word(64), data.word(1), data.word(u32::MAX)), (None, None, None));
        assert_eq!(size_of::<SeccompData>(), SeccompData::SIZE as usize);
        assert_eq!(size_of::<Insn>(), 8);
    }
}
