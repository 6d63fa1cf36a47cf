//! Pieces that several programs are made of.

use tipstaff_abi::ebpf::{self as e, helper};
use tipstaff_sys::bpf::Map;

use super::Gen;
use crate::asm::{FP, If, Label, R0, R1, R2, R3, R4, R5, R6, R7, Reg, Size};
use crate::layout::Layout;
use crate::maps::{SLOTS, slot, state};

const EEXIST: i32 = -17;

/// The argument registers of a table in the order of the arguments.
pub(crate) fn registers(l: &Layout, compat: bool) -> [i16; 6] {
    if compat {
        [l.regs_bx, l.regs_cx, l.regs_dx, l.regs_si, l.regs_di, l.regs_bp]
    } else {
        [l.regs_di, l.regs_si, l.regs_dx, l.regs_r10, l.regs_r8, l.regs_r9]
    }
}

impl Gen<'_> {
    /// Returns 0.
    pub(crate) fn end(&mut self, out: Label) {
        self.a.bind(out);
        self.a.mov(R0, 0);
        self.a.exit();
    }

    /// `keep` = the calling task, with its type.
    pub(crate) fn current(&mut self, keep: Reg) {
        self.a.call(helper::GET_CURRENT_TASK_BTF);
        self.a.mov(keep, R0);
    }

    /// R7 = the state of the task in `task`; if it has none, to `out`.
    pub(crate) fn state_of(&mut self, task: Reg, out: Label) {
        self.a.mov(R2, task);
        self.a.map(R1, &self.m.state);
        self.a.mov(R3, 0);
        self.a.mov(R4, 0);
        self.a.call(helper::TASK_STORAGE_GET);
        self.a.jump_if(If::Eq, R0, 0, out);
        self.a.mov(R7, R0);
    }

    /// If the page of R7's state is not in use, to `out`: the recording has ended, or the state is still empty. Leaves the id in R2 and the page in R3;
    /// loses R4, R5.
    pub(crate) fn alive(&mut self, out: Label) {
        self.a.load(Size::W, R2, R7, state::ID);
        // No recording's; and what is live in a page that nobody uses is 0, too.
        self.a.jump_if32(If::Eq, R2, 0, out);
        self.a.mov32(R3, R2);
        self.a.alu32(e::AND, R3, (self.m.pages - 1).cast_signed());
        self.a.mov32(R4, R3);
        self.a.alu(e::LSH, R4, 3);
        self.a.address(R5, &self.m.live, 0);
        self.a.add(R5, R4);
        self.a.load(Size::W, R4, R5, 0);
        self.a.jump_if32(If::Ne, R4, R2, out);
    }

    /// `dst` = the words of the slot whose number is in `number`; loses `number`.
    pub(crate) fn slot_words(&mut self, dst: Reg, number: Reg) {
        self.a.alu32(e::AND, number, SLOTS.cast_signed());
        self.a.alu(e::LSH, number, slot::SHIFT);
        self.a.address(dst, &self.m.slots, 0);
        self.a.add(dst, number);
    }

    /// One more in a word of the recording of R7's state; loses R1 and R2.
    pub(crate) fn count(&mut self, word: usize) {
        self.a.load(Size::W, R1, R7, state::SLOT);
        self.count_in_slot(R1, word, 1);
    }

    /// Adds to a word of the slot whose number is in `number` (R1); loses R1 and R2.
    pub(crate) fn count_in_slot(&mut self, number: Reg, word: usize, by: i32) {
        self.slot_words(R2, number);
        self.a.mov(R1, by);
        self.a.atomic_add(R2, (word * 8) as i16, R1);
    }

    /// `dst` = the 64-bit word at `base + off` in the kernel's memory, 0 if it cannot be read. `spare` is stack; loses R0 to R5.
    pub(crate) fn read(&mut self, dst: Reg, base: Reg, off: i16, spare: i16) {
        self.read_sized(Size::D, dst, base, off, spare);
    }

    /// The same for fewer bits.
    pub(crate) fn read_sized(&mut self, size: Size, dst: Reg, base: Reg, off: i16, spare: i16) {
        let bytes = match size {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::D => 8,
        };
        self.a.mov(R3, base);
        self.a.add(R3, i32::from(off));
        self.a.mov(R1, FP);
        self.a.add(R1, i32::from(spare));
        self.a.mov(R2, bytes);
        // A failure leaves zeros.
        self.a.call(helper::PROBE_READ_KERNEL);
        self.a.load(size, dst, FP, spare);
    }

    /// One more in the u64 that a hash table has for a key; it is made if it is not there; no room is counted in `dropped`. The key is at
    /// `key + offset` (FP or a kept register); `spare` is eight bytes of stack. Loses R0 to R5.
    pub(crate) fn bump(&mut self, map: &Map, key: Reg, offset: i16, spare: i16, dropped: usize) {
        let (found, done) = (self.a.label(), self.a.label());
        let look_up = |g: &mut Self| {
            g.a.map(R1, map);
            g.a.mov(R2, key);
            g.a.add(R2, i32::from(offset));
            g.a.call(helper::MAP_LOOKUP);
        };
        look_up(self);
        self.a.jump_if(If::Ne, R0, 0, found);
        self.a.store(Size::D, FP, spare, 1);
        self.insert(map, key, offset, spare);
        self.a.jump_if(If::Eq, R0, 0, done);
        // Somebody else made it meanwhile, or there is no room.
        look_up(self);
        self.a.jump_if(If::Ne, R0, 0, found);
        self.count(dropped);
        self.a.jump(done);
        self.a.bind(found);
        self.a.mov(R1, 1);
        self.a.atomic_add(R0, 0, R1);
        self.a.bind(done);
    }

    /// Makes a key with the value at `FP + value`, if it is not there. R0: 0, or an error.
    pub(crate) fn insert(&mut self, map: &Map, key: Reg, offset: i16, value: i16) {
        self.a.map(R1, map);
        self.a.mov(R2, key);
        self.a.add(R2, i32::from(offset));
        self.a.mov(R3, FP);
        self.a.add(R3, i32::from(value));
        self.a.mov(R4, 1);
        self.a.call(helper::MAP_UPDATE);
    }

    /// Calls `step(index, FP + work)` until it returns 1, but `times` times at most. R0: how often. The verifier looks at a step once and not once for each
    /// time: written as a jump back, such a loop took it a hundred times as long.
    pub(crate) fn repeat(&mut self, times: i32, step: Label, work: i16) {
        self.a.mov(R1, times);
        self.a.part(R2, step);
        self.a.mov(R3, FP);
        self.a.add(R3, i32::from(work));
        self.a.mov(R4, 0);
        self.a.call(helper::LOOP);
    }

    /// After [`Gen::insert`]: counts what found no room. EEXIST is none of that.
    pub(crate) fn count_unless_there(&mut self, dropped: usize) {
        let fine = self.a.label();
        self.a.jump_if(If::Eq, R0, 0, fine);
        self.a.jump_if(If::Eq, R0, EEXIST, fine);
        self.count(dropped);
        self.a.bind(fine);
    }

    /// Writes the six argument registers of the present call to `FP + at` and on. R6: arguments of the tracepoint, the first of which are the
    /// registers; `arch` holds the table. Loses R1 and R2.
    pub(crate) fn arguments(&mut self, arch: Reg, at: i16) {
        let (compat, done) = (self.a.label(), self.a.label());
        self.a.load(Size::D, R2, R6, 0);
        self.a.jump_if(If::Eq, arch, 1, compat);
        for (index, register) in registers(self.l, false).into_iter().enumerate() {
            self.a.load(Size::D, R1, R2, register);
            self.a.store(Size::D, FP, at + 8 * index as i16, R1);
        }
        self.a.jump(done);
        self.a.bind(compat);
        for (index, register) in registers(self.l, true).into_iter().enumerate() {
            self.a.load(Size::D, R1, R2, register);
            self.a.mov32(R1, R1);
            self.a.store(Size::D, FP, at + 8 * index as i16, R1);
        }
        self.a.bind(done);
    }
}
