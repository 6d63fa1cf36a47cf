//! cap_capable: which capabilities the kernel asks for (Linux 6.14).

use tipstaff_abi::ebpf as e;

use super::Gen;
use crate::asm::{FP, If, R1, R2, R6, R7, R8, R9, Size};
use crate::maps::{flag, size, slot, state};

/// R6: credentials, two user namespaces, the capability, 0 or an errno.
pub(super) fn write(g: &mut Gen<'_>) {
    const KEY: i16 = -(size::CAPABILITY as i16);
    const SPARE: i16 = KEY - 8;
    let [out, wanted, denied] = [(); 3].map(|()| g.a.label());
    g.a.mov(R6, R1);
    g.current(R9);
    g.state_of(R9, out);
    g.alive(out);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.jump_if(If::Set, R1, flag::CAPABILITIES, wanted);
    g.end(out);
    g.a.bind(wanted);
    g.a.load(Size::W, R1, R7, state::ID);
    g.a.store(Size::W, FP, KEY, R1);
    g.a.load(Size::D, R8, R6, 24);
    g.a.alu32(e::LSH, R8, 1);
    g.a.load(Size::D, R2, R6, 32);
    g.a.jump_if32(If::Ne, R2, 0, denied);
    g.a.alu32(e::OR, R8, 1);
    g.a.bind(denied);
    g.a.store(Size::W, FP, KEY + 4, R8);
    g.bump(&g.m.capabilities, FP, KEY, SPARE, slot::CAPABILITIES_DROPPED);
    g.a.jump(out);
}
