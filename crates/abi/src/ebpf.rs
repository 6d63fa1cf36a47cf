//! eBPF instructions, and the numbers of helpers, maps and programs that are used here (linux/bpf.h).

/// One eBPF instruction (`struct bpf_insn`). A 64-bit constant takes two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Insn {
    /// Class, operation, source or size and mode.
    pub code: u8,
    /// Destination register in the low four bits, source in the high.
    pub regs: u8,
    /// A displacement: of memory in bytes, of a jump in instructions.
    pub off: i16,
    /// A constant.
    pub imm: i32,
}

impl Insn {
    /// From its parts.
    #[must_use]
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        Self { code, regs: dst & 0xf | src << 4, off, imm }
    }
}

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $type = $value;)*
    };
}

constants! {
    /// Class: load a 64-bit constant.
    LD: u8 = 0x00;
    /// Class: load from memory.
    LDX: u8 = 0x01;
    /// Class: store a constant.
    ST: u8 = 0x02;
    /// Class: store a register.
    STX: u8 = 0x03;
    /// Class: 32-bit arithmetic.
    ALU: u8 = 0x04;
    /// Class: jumps on 64 bits.
    JMP: u8 = 0x05;
    /// Class: jumps on 32 bits.
    JMP32: u8 = 0x06;
    /// Class: 64-bit arithmetic.
    ALU64: u8 = 0x07;

    /// Size: 32 bits.
    W: u8 = 0x00;
    /// Size: 16 bits.
    H: u8 = 0x08;
    /// Size: 8 bits.
    B: u8 = 0x10;
    /// Size: 64 bits.
    DW: u8 = 0x18;

    /// Mode: a constant.
    IMM: u8 = 0x00;
    /// Mode: memory.
    MEM: u8 = 0x60;
    /// Mode: atomic; the operation is in `imm`.
    ATOMIC: u8 = 0xc0;

    /// Source: the constant.
    K: u8 = 0x00;
    /// Source: a register.
    X: u8 = 0x08;

    /// +.
    ADD: u8 = 0x00;
    /// −.
    SUB: u8 = 0x10;
    /// ×.
    MUL: u8 = 0x20;
    /// |.
    OR: u8 = 0x40;
    /// &.
    AND: u8 = 0x50;
    /// <<.
    LSH: u8 = 0x60;
    /// >>, unsigned.
    RSH: u8 = 0x70;
    /// −x.
    NEG: u8 = 0x80;
    /// ^.
    XOR: u8 = 0xa0;
    /// =.
    MOV: u8 = 0xb0;
    /// >>, signed.
    ARSH: u8 = 0xc0;

    /// Jump always.
    JA: u8 = 0x00;
    /// Jump if equal.
    JEQ: u8 = 0x10;
    /// Jump if greater, unsigned.
    JGT: u8 = 0x20;
    /// Jump if greater or equal, unsigned.
    JGE: u8 = 0x30;
    /// Jump if a common bit is set.
    JSET: u8 = 0x40;
    /// Jump if not equal.
    JNE: u8 = 0x50;
    /// Jump if greater, signed.
    JSGT: u8 = 0x60;
    /// Jump if greater or equal, signed.
    JSGE: u8 = 0x70;
    /// Call.
    CALL: u8 = 0x80;
    /// Return.
    EXIT: u8 = 0x90;
    /// Jump if less, unsigned.
    JLT: u8 = 0xa0;
    /// Jump if less or equal, unsigned.
    JLE: u8 = 0xb0;
    /// Jump if less, signed.
    JSLT: u8 = 0xc0;

    /// Operation of [`ATOMIC`]: the sum; with [`FETCH`] the register gets what was there.
    ATOMIC_ADD: i32 = 0x00;
    /// Operation of [`ATOMIC`]: if it is R0, then the register; R0 gets what was there (Linux 5.12).
    ATOMIC_CMPXCHG: i32 = 0xf1;
    /// See [`ATOMIC_ADD`] (Linux 5.12).
    FETCH: i32 = 0x01;

    /// The source register of a constant that is a map's descriptor.
    PSEUDO_MAP_FD: u8 = 1;
    /// The source register of a constant that is an address in an array map's only element.
    PSEUDO_MAP_VALUE: u8 = 2;
    /// The source register of a call into the program itself.
    PSEUDO_CALL: u8 = 1;
    /// The source register of a constant that is a part of the program.
    PSEUDO_FUNC: u8 = 4;
    /// The source register of a call of a kernel function by its BTF id.
    PSEUDO_KFUNC_CALL: u8 = 2;
}

/// Helper functions by their numbers.
pub mod helper {
    constants! {
        /// bpf_map_lookup_elem.
        MAP_LOOKUP: i32 = 1;
        /// bpf_map_update_elem.
        MAP_UPDATE: i32 = 2;
        /// bpf_ktime_get_ns: CLOCK_MONOTONIC.
        KTIME_GET_NS: i32 = 5;
        /// bpf_get_smp_processor_id.
        GET_SMP_PROCESSOR_ID: i32 = 8;
        /// bpf_map_push_elem.
        MAP_PUSH: i32 = 87;
        /// bpf_map_pop_elem.
        MAP_POP: i32 = 88;
        /// bpf_probe_read_user (Linux 5.5).
        PROBE_READ_USER: i32 = 112;
        /// bpf_probe_read_kernel (Linux 5.5).
        PROBE_READ_KERNEL: i32 = 113;
        /// bpf_probe_read_user_str (Linux 5.5).
        PROBE_READ_USER_STR: i32 = 114;
        /// bpf_probe_read_kernel_str (Linux 5.5).
        PROBE_READ_KERNEL_STR: i32 = 115;
        /// bpf_task_storage_get (Linux 5.11).
        TASK_STORAGE_GET: i32 = 156;
        /// bpf_get_current_task_btf (Linux 5.11).
        GET_CURRENT_TASK_BTF: i32 = 158;
        /// bpf_task_pt_regs (Linux 5.15).
        TASK_PT_REGS: i32 = 175;
        /// bpf_loop (Linux 5.17).
        LOOP: i32 = 181;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_has_eight_bytes_and_its_registers_in_one() {
        assert_eq!(size_of::<Insn>(), 8);
        assert_eq!(Insn::new(ALU64 | MOV | X, 6, 1, 0, 0), Insn { code: 0xbf, regs: 0x16, off: 0, imm: 0 });
    }
}
