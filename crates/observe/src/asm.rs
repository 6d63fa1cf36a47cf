//! An assembler for eBPF: registers, labels, and nothing that the verifier does not know.

use tipstaff_abi::ebpf::{self as e, Insn};
use tipstaff_sys::bpf::Map;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reg(u8);

/// Result of calls.
pub const R0: Reg = Reg(0);
/// First argument of calls; calls lose 1 to 5.
pub const R1: Reg = Reg(1);
/// Second argument.
pub const R2: Reg = Reg(2);
/// Third argument.
pub const R3: Reg = Reg(3);
/// Fourth argument.
pub const R4: Reg = Reg(4);
/// Fifth argument.
pub const R5: Reg = Reg(5);
/// Kept by calls.
pub const R6: Reg = Reg(6);
/// Kept by calls.
pub const R7: Reg = Reg(7);
/// Kept by calls.
pub const R8: Reg = Reg(8);
/// Kept by calls.
pub const R9: Reg = Reg(9);
/// The end of the 512 bytes of stack.
pub const FP: Reg = Reg(10);

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(usize);

/// Width of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Size {
    /// 8 bits.
    B = e::B,
    /// 16 bits.
    H = e::H,
    /// 32 bits.
    W = e::W,
    /// 64 bits.
    D = e::DW,
}

/// Operand of arithmetic and of jumps.
#[derive(Clone, Copy, Debug)]
pub enum Src {
    /// A register.
    Reg(Reg),
    /// A constant, sign-extended.
    Imm(i32),
}

impl From<Reg> for Src {
    fn from(reg: Reg) -> Self {
        Self::Reg(reg)
    }
}

impl From<i32> for Src {
    fn from(imm: i32) -> Self {
        Self::Imm(imm)
    }
}

/// Comparison of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum If {
    /// =
    Eq = e::JEQ,
    /// ≠
    Ne = e::JNE,
    /// <, unsigned
    Lt = e::JLT,
    /// ≤, unsigned
    Le = e::JLE,
    /// >, unsigned
    Gt = e::JGT,
    /// ≥, unsigned
    Ge = e::JGE,
    /// <, signed
    LtSigned = e::JSLT,
    /// ≥, signed
    GeSigned = e::JSGE,
    /// a common bit
    Set = e::JSET,
}

/// A program in the making.
#[derive(Debug, Default)]
pub struct Asm {
    insns: Vec<Insn>,
    labels: Vec<Option<usize>>,
    /// Where the program and its parts begin.
    functions: Vec<u32>,
    /// Instructions that a label is still to be written into, and whether it goes into `imm`.
    open: Vec<(usize, Label, bool)>,
}

impl Asm {
    /// An empty one.
    pub fn new() -> Self {
        Self { functions: vec![0], ..Self::default() }
    }

    /// A label that is bound later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    ///
    /// # Panics
    /// If it is bound already.
    pub fn bind(&mut self, label: Label) {
        assert!(self.labels[label.0].is_none(), "a label is bound twice");
        self.labels[label.0] = Some(self.insns.len());
    }

    /// A part of the program begins here: what is called, or handed to bpf_loop.
    pub fn function(&mut self, label: Label) {
        self.functions.push(self.insns.len() as u32);
        self.bind(label);
    }

    /// The finished instructions, and where the program and its parts begin.
    ///
    /// # Panics
    /// If a label was never bound, or is further away than a jump goes.
    pub fn finish(mut self) -> (Vec<Insn>, Vec<u32>) {
        for (at, label, into_imm) in self.open {
            let target = self.labels[label.0].expect("a label that is jumped to is bound");
            let distance = target as i64 - at as i64 - 1;
            if into_imm {
                self.insns[at].imm = i32::try_from(distance).expect("near");
            } else {
                self.insns[at].off = i16::try_from(distance).expect("a jump goes 32767 instructions far");
            }
        }
        (self.insns, self.functions)
    }

    fn push(&mut self, code: u8, dst: Reg, src: Reg, off: i16, imm: i32) {
        self.insns.push(Insn::new(code, dst.0, src.0, off, imm));
    }

    fn with(&mut self, code: u8, dst: Reg, src: Src, off: i16) {
        match src {
            Src::Reg(src) => self.push(code | e::X, dst, src, off, 0),
            Src::Imm(imm) => self.push(code | e::K, dst, R0, off, imm),
        }
    }

    /// `dst = src`, 64 bits.
    pub fn mov(&mut self, dst: Reg, src: impl Into<Src>) {
        self.with(e::ALU64 | e::MOV, dst, src.into(), 0);
    }

    /// `dst = src`, the low 32 bits; the high ones become 0.
    pub fn mov32(&mut self, dst: Reg, src: impl Into<Src>) {
        self.with(e::ALU | e::MOV, dst, src.into(), 0);
    }

    /// `dst = dst OP src`, 64 bits; `op` is one of [`tipstaff_abi::ebpf`].
    pub fn alu(&mut self, op: u8, dst: Reg, src: impl Into<Src>) {
        self.with(e::ALU64 | op, dst, src.into(), 0);
    }

    /// `dst = dst OP src`, 32 bits.
    pub fn alu32(&mut self, op: u8, dst: Reg, src: impl Into<Src>) {
        self.with(e::ALU | op, dst, src.into(), 0);
    }

    /// `dst += src`.
    pub fn add(&mut self, dst: Reg, src: impl Into<Src>) {
        self.alu(e::ADD, dst, src);
    }

    /// `dst = *(base + off)`.
    pub fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.push(e::LDX | e::MEM | size as u8, dst, base, off, 0);
    }

    /// `*(base + off) = src`.
    pub fn store(&mut self, size: Size, base: Reg, off: i16, src: impl Into<Src>) {
        match src.into() {
            Src::Reg(src) => self.push(e::STX | e::MEM | size as u8, base, src, off, 0),
            Src::Imm(imm) => self.push(e::ST | e::MEM | size as u8, base, R0, off, imm),
        }
    }

    /// `*(base + off) += src`, in one piece; 64 bits.
    pub fn atomic_add(&mut self, base: Reg, off: i16, src: Reg) {
        self.push(e::STX | e::ATOMIC | e::DW, base, src, off, e::ATOMIC_ADD);
    }

    /// `src = *(base + off)`, which becomes the sum; in one piece; 32 bits.
    pub fn fetch_add32(&mut self, base: Reg, off: i16, src: Reg) {
        self.push(e::STX | e::ATOMIC | e::W, base, src, off, e::ATOMIC_ADD | e::FETCH);
    }

    /// If `*(base + off)` is R0 it becomes `src`; R0 becomes what was there; in one piece; 64 bits.
    pub fn compare_exchange(&mut self, base: Reg, off: i16, src: Reg) {
        self.push(e::STX | e::ATOMIC | e::DW, base, src, off, e::ATOMIC_CMPXCHG);
    }

    /// Jumps always.
    pub fn jump(&mut self, to: Label) {
        self.open.push((self.insns.len(), to, false));
        self.push(e::JMP | e::JA, R0, R0, 0, 0);
    }

    /// Jumps if `dst` compares so with `src`, 64 bits.
    pub fn jump_if(&mut self, cond: If, dst: Reg, src: impl Into<Src>, to: Label) {
        self.open.push((self.insns.len(), to, false));
        self.with(e::JMP | cond as u8, dst, src.into(), 0);
    }

    /// The same on the low 32 bits.
    pub fn jump_if32(&mut self, cond: If, dst: Reg, src: impl Into<Src>, to: Label) {
        self.open.push((self.insns.len(), to, false));
        self.with(e::JMP32 | cond as u8, dst, src.into(), 0);
    }

    /// Calls a helper.
    pub fn call(&mut self, helper: i32) {
        self.push(e::JMP | e::CALL, R0, R0, 0, helper);
    }

    /// Calls a part of this program.
    pub fn call_local(&mut self, to: Label) {
        self.open.push((self.insns.len(), to, true));
        self.push(e::JMP | e::CALL, R0, Reg(e::PSEUDO_CALL), 0, 0);
    }

    /// `dst = ` a part of this program, for bpf_loop.
    pub fn part(&mut self, dst: Reg, part: Label) {
        self.open.push((self.insns.len(), part, true));
        self.wide(dst, e::PSEUDO_FUNC, 0, 0);
    }

    /// Calls a function of the kernel by its BTF id.
    pub fn call_kernel(&mut self, id: u32) {
        self.push(e::JMP | e::CALL, R0, Reg(e::PSEUDO_KFUNC_CALL), 0, id.cast_signed());
    }

    /// Returns.
    pub fn exit(&mut self) {
        self.push(e::JMP | e::EXIT, R0, R0, 0, 0);
    }

    /// `dst = MAP`.
    pub fn map(&mut self, dst: Reg, map: &Map) {
        self.wide(dst, e::PSEUDO_MAP_FD, map.number(), 0);
    }

    /// `dst = ` the address of the only value of `map`, plus `off`.
    pub fn address(&mut self, dst: Reg, map: &Map, off: u32) {
        self.wide(dst, e::PSEUDO_MAP_VALUE, map.number(), off.cast_signed());
    }

    fn wide(&mut self, dst: Reg, src: u8, low: i32, high: i32) {
        self.push(e::LD | e::IMM | e::DW, dst, Reg(src), 0, low);
        self.push(0, R0, R0, 0, high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insn(code: u8, regs: u8, off: i16, imm: i32) -> Insn {
        Insn { code, regs, off, imm }
    }

    #[test]
    fn instructions_have_the_kernels_codes() {
        let mut a = Asm::new();
        a.mov(R6, R1);
        a.mov32(R2, -1);
        a.alu(e::LSH, R3, 9);
        a.alu32(e::AND, R4, R5);
        a.load(Size::D, R8, R6, 8);
        a.store(Size::W, FP, -4, 7);
        a.store(Size::H, R7, 16, R2);
        a.atomic_add(R1, 0, R2);
        a.fetch_add32(R1, 4, R2);
        a.call(156);
        a.exit();
        // As `llvm-objdump -d` shows the same lines assembled by clang.
        let expected = [
            insn(0xbf, 0x16, 0, 0),
            insn(0xb4, 0x02, 0, -1),
            insn(0x67, 0x03, 0, 9),
            insn(0x5c, 0x54, 0, 0),
            insn(0x79, 0x68, 8, 0),
            insn(0x62, 0x0a, -4, 7),
            insn(0x6b, 0x27, 16, 0),
            insn(0xdb, 0x21, 0, 0),
            insn(0xc3, 0x21, 4, 1),
            insn(0x85, 0x00, 0, 156),
            insn(0x95, 0x00, 0, 0),
        ];
        assert_eq!(a.finish(), (expected.to_vec(), vec![0]));
    }

    #[test]
    fn jumps_go_forward_and_back() {
        let mut a = Asm::new();
        let (back, out, part) = (a.label(), a.label(), a.label());
        a.bind(back);
        a.jump_if(If::Eq, R1, 0, out);
        a.jump_if32(If::Ne, R1, R2, back);
        a.call_local(part);
        a.jump(back);
        a.bind(out);
        a.exit();
        a.function(part);
        a.exit();
        let (insns, functions) = a.finish();
        assert_eq!(functions, [0, 5]);
        assert_eq!(insns[0], insn(0x15, 0x01, 3, 0));
        assert_eq!(insns[1], insn(0x5e, 0x21, -2, 0));
        assert_eq!(insns[2], insn(0x85, 0x10, 0, 2));
        assert_eq!(insns[3], insn(0x05, 0x00, -4, 0));
    }

    #[test]
    #[should_panic(expected = "bound")]
    fn a_label_that_nobody_bound_is_a_defect() {
        let mut a = Asm::new();
        let nowhere = a.label();
        a.jump(nowhere);
        a.finish();
    }
}
