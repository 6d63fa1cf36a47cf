//! task_newtask and sched_process_exit: membership is inherited, and counted.

use tipstaff_abi::ebpf::{self as e, helper};

use super::{Gen, join, page};
use crate::asm::{FP, If, R0, R1, R2, R3, R4, R6, R7, R8, R9, Size};
use crate::maps::{class, flag, size, slot, state};

/// Every kind of fork: clone(2), clone3(2), vfork(2), threads. R6: the new task, the flags.
pub(super) fn newtask(g: &mut Gen<'_>) {
    const INIT: i16 = -(state::SIZE as i16);
    let [out, foreign, missed, walk, page_for, enroll] = [(); 6].map(|()| g.a.label());
    g.a.mov(R6, R1);
    g.current(R9);
    g.state_of(R9, foreign);
    g.alive(foreign);
    for offset in (0..state::SIZE as i16).step_by(8) {
        g.a.store(Size::D, FP, INIT + offset, 0);
    }
    g.a.load(Size::W, R1, R7, state::ID);
    g.a.store(Size::W, FP, INIT + state::ID, R1);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.alu32(e::AND, R1, !flag::ASIDE);
    g.a.alu32(e::OR, R1, flag::FRESH);
    g.a.store(Size::W, FP, INIT + state::FLAGS, R1);
    g.a.load(Size::W, R1, R7, state::SLOT);
    g.a.store(Size::W, FP, INIT + state::SLOT, R1);
    g.a.map(R1, &g.m.state);
    g.a.load(Size::D, R2, R6, 0);
    g.a.mov(R3, FP);
    g.a.add(R3, i32::from(INIT));
    g.a.mov(R4, 1);
    g.a.call(helper::TASK_STORAGE_GET);
    g.a.jump_if(If::Eq, R0, 0, missed);
    g.count(slot::MEMBERS);
    g.a.jump(out);
    g.a.bind(missed);
    g.count(slot::TASKS_MISSED);
    g.end(out);

    g.a.bind(foreign);
    join::born(g, enroll, page_for, out);
    join::enroll(g, enroll);
    page::page_for(g, page_for, walk);
    page::walk(g, walk);
}

/// A task ends. One that a filter killed alone (RET_KILL_THREAD beside other threads) gets no signal: it is told here.
pub(super) fn exit(g: &mut Gen<'_>) {
    const KEY: i16 = -(size::RESULT as i16);
    const SPARE: i16 = KEY - 8;
    let [out, filtered, killed] = [(); 3].map(|()| g.a.label());
    g.a.mov(R6, R1);
    g.a.load(Size::D, R9, R6, 0);
    g.state_of(R9, out);
    g.alive(out);
    g.a.load(Size::W, R1, R7, state::SLOT);
    g.count_in_slot(R1, slot::MEMBERS, -1);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.alu32(e::OR, R1, flag::ENDED);
    g.a.store(Size::W, R7, state::FLAGS, R1);
    g.a.load(Size::W, R8, R9, g.l.task_seccomp_mode);
    g.a.jump_if32(If::Ne, R8, 0, filtered);
    g.a.jump(out);
    g.a.bind(filtered);
    g.count(slot::FILTERED);
    // SECCOMP_MODE_DEAD (Linux 5.16).
    g.a.jump_if32(If::Ne, R8, 3, out);
    g.a.load(Size::W, R1, R7, state::SIGSYS);
    g.a.jump_if(If::Eq, R1, 0, killed);
    g.a.jump(out);
    g.a.bind(killed);
    g.a.mov(R1, R9);
    g.a.call(helper::TASK_PT_REGS);
    g.a.load(Size::D, R8, R0, g.l.regs_orig_ax);
    g.a.load(Size::W, R1, R9, g.l.task_status);
    g.a.alu32(e::AND, R1, 2);
    g.a.alu32(e::RSH, R1, 1);
    g.a.load(Size::W, R2, R7, state::ID);
    g.a.store(Size::W, FP, KEY, R2);
    g.a.store(Size::W, FP, KEY + 4, R1);
    g.a.store(Size::W, FP, KEY + 8, R8);
    g.a.store(Size::W, FP, KEY + 12, class::KILL);
    g.a.store(Size::D, FP, KEY + 16, 0);
    g.bump(&g.m.results, FP, KEY, SPARE, slot::RESULTS_DROPPED);
    g.end(out);
}
