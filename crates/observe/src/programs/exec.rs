//! sched_process_exec: the task runs another program now. It is the task itself that comes here, also where it was not the leader.

use tipstaff_abi::ebpf::{self as e};

use super::{Gen, page, path};
use crate::asm::{If, R0, R1, R2, R3, R6, R7, R9, Size};
use crate::maps::{flag, slot, state};

pub(super) fn write(g: &mut Gen<'_>) {
    let [out, page_for, walk, unfiltered, plain] = [(); 5].map(|()| g.a.label());
    g.a.mov(R6, R1);
    g.current(R9);
    g.state_of(R9, out);
    g.alive(out);
    g.a.load(Size::W, R2, R9, g.l.task_seccomp_mode);
    g.a.jump_if32(If::Eq, R2, 0, unfiltered);
    g.count(slot::FILTERED);
    g.a.bind(unfiltered);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    let files = g.a.label();
    g.a.jump_if(If::Set, R1, flag::FILES, files);
    g.a.jump(plain);
    g.a.bind(files);
    path::executed(g);
    g.a.bind(plain);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.alu32(e::AND, R1, !(flag::PHASE | flag::WATCH));
    g.a.alu32(e::OR, R1, 2);
    g.a.store(Size::W, R7, state::FLAGS, R1);
    g.a.load(Size::W, R1, R7, state::SLOT);
    g.a.mov(R2, 2);
    g.a.mov(R3, R9);
    g.a.call_local(page_for);
    g.a.store(Size::W, R7, state::ID, R0);
    g.end(out);
    page::page_for(g, page_for, walk);
    page::walk(g, walk);
}
