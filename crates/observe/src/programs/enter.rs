//! sys_enter: counts the call. This is the path that every call of every process takes, so its beginning is short.

use tipstaff_abi::ebpf::{self as e, helper};

use super::{Gen, call, page};
use crate::asm::{If, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Size};
use crate::maps::{CALLS, flag, spec, state};

/// TS_COMPAT in thread_info.status: the call came by `int 0x80` or its kin.
const TS_COMPAT: i32 = 2;

pub(super) fn write(g: &mut Gen<'_>) {
    let [out, filtered, returns, counted, odd, first, arguments, page_for, walk] = [(); 9].map(|()| g.a.label());
    g.a.mov(R6, R1);
    g.current(R9);
    g.state_of(R9, out);
    g.a.load(Size::D, R8, R6, 8);
    g.alive(out);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.jump_if(If::Set, R1, flag::WATCH, filtered);
    let ready = g.a.label();
    g.a.bind(ready);
    g.a.load(Size::W, R9, R9, g.l.task_status);
    g.a.alu32(e::AND, R9, TS_COMPAT);
    g.a.alu32(e::RSH, R9, 1);
    g.a.jump_if(If::Set, R1, flag::RETURNS, returns);
    g.a.bind(counted);
    g.a.jump_if(If::Ge, R8, CALLS.cast_signed(), odd);

    // counts[page][cpu][table][number] += 1
    g.a.call(helper::GET_SMP_PROCESSOR_ID);
    g.a.alu32(e::AND, R0, (g.m.shards - 1).cast_signed());
    g.a.load(Size::W, R3, R7, state::ID);
    g.a.alu32(e::AND, R3, (g.m.pages - 1).cast_signed());
    g.a.alu(e::LSH, R3, g.m.shards.trailing_zeros().cast_signed());
    g.a.add(R3, R0);
    g.a.mov(R4, R9);
    g.a.alu(e::LSH, R4, 9);
    g.a.add(R4, R8);
    g.a.alu(e::LSH, R3, 10);
    g.a.add(R3, R4);
    g.a.alu(e::LSH, R3, 3);
    g.a.address(R1, &g.m.counts, 0);
    g.a.add(R1, R3);
    g.a.load(Size::D, R2, R1, 0);
    g.a.mov(R5, 1);
    g.a.atomic_add(R1, 0, R5);
    g.a.jump_if(If::Eq, R2, 0, first);
    let again = g.a.label();
    g.a.bind(again);
    g.a.mov(R4, R9);
    g.a.alu(e::LSH, R4, 9);
    g.a.add(R4, R8);
    g.a.alu(e::LSH, R4, spec::SHIFT);
    g.a.address(R5, &g.m.specs, 0);
    g.a.add(R5, R4);
    g.a.load(Size::D, R1, R5, 0);
    g.a.jump_if(If::Set, R1, spec::ARGUMENTS as i32, arguments);
    g.end(out);

    // The first time on this CPU.
    g.a.bind(first);
    call::first(g);
    g.a.jump(again);

    g.a.bind(arguments);
    call::arguments(g, out);

    g.a.bind(odd);
    call::odd(g, out);

    // Its return will be looked at.
    g.a.bind(returns);
    g.a.load(Size::W, R2, R7, state::ID);
    g.a.store(Size::W, R7, state::CALL_ID, R2);
    g.a.store(Size::W, R7, state::CALL_NR, R8);
    g.a.store(Size::W, R7, state::CALL_ARCH, R9);
    g.a.store(Size::W, R7, state::SIGSYS, 0);
    g.a.alu32(e::AND, R1, !(flag::FRESH | flag::ASIDE));
    g.a.store(Size::W, R7, state::FLAGS, R1);
    g.a.jump(counted);

    // In the phase Setup: from the first call after its filter is there, a task is in the phase Runtime. The filter has let this one pass.
    g.a.bind(filtered);
    g.a.load(Size::W, R2, R9, g.l.task_seccomp_mode);
    g.a.jump_if32(If::Ne, R2, 2, ready);
    g.a.alu32(e::AND, R1, !(flag::PHASE | flag::WATCH));
    g.a.alu32(e::OR, R1, 1);
    g.a.store(Size::W, R7, state::FLAGS, R1);
    g.count(crate::maps::slot::FILTERED);
    g.a.load(Size::W, R1, R7, state::SLOT);
    g.a.mov(R2, 1);
    g.a.mov(R3, R9);
    g.a.call_local(page_for);
    g.a.store(Size::W, R7, state::ID, R0);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.jump(ready);

    page::page_for(g, page_for, walk);
    page::walk(g, walk);
}
