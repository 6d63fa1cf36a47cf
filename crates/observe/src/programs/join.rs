//! Joiners: tasks that come into a recorded control group or PID namespace from outside.

use tipstaff_abi::ebpf::{self as e, helper};

use super::{Gen, page};
use crate::asm::{FP, If, Label, R0, R1, R2, R3, R4, R6, R7, R8, R9, Size};
use crate::maps::{SLOTS, flag, size, slot, state};

/// CLONE_INTO_CGROUP.
const INTO_CGROUP_BIT: i32 = 33;
/// Levels of control groups that are climbed.
const LEVELS: i32 = 32;
/// MAX_PID_NS_LEVEL.
const NAMESPACES: i32 = 32;
/// Threads of a process that joins: more are counted as missed.
const THREADS: i32 = 256;

const SPARE: i16 = -8;
/// The id of the page for a joiner.
const ID: i16 = -48;

/// If no target of this kind is recorded, to `out`.
fn any(g: &mut Gen<'_>, word: usize, out: Label) {
    let offset = (SLOTS as usize * slot::WORDS + word) * 8;
    g.a.address(R1, &g.m.slots, offset as u32);
    g.a.load(Size::D, R1, R1, 0);
    g.a.jump_if(If::Eq, R1, 0, out);
}

/// Somebody else's new task: R6 has the task and the flags. Goes to `out`.
pub(super) fn born(g: &mut Gen<'_>, enroll: Label, page_for: Label, out: Label) {
    // What a step works on: the namespace; the recording's slot plus one.
    const NAMESPACE: i16 = 0;
    const FOUND: i16 = 8;
    const WORK: i16 = -24;
    const INUM: i16 = -8;
    let [by_cgroup, climb, found, climbing, none, last] = [(); 6].map(|()| g.a.label());
    // Its PID namespace, or one above.
    any(g, slot::PIDNSES, by_cgroup);
    g.a.load(Size::D, R8, R6, 0);
    g.read(R8, R8, g.l.task_thread_pid, SPARE);
    g.read_sized(Size::W, R9, R8, g.l.pid_level, SPARE);
    g.a.jump_if(If::Eq, R9, 0, by_cgroup);
    // struct upid: a number and a namespace, 16 bytes.
    g.a.alu(e::LSH, R9, 4);
    g.a.add(R8, R9);
    g.read(R8, R8, g.l.pid_numbers + g.l.upid_ns, SPARE);
    g.a.store(Size::D, FP, WORK + NAMESPACE, R8);
    g.a.store(Size::D, FP, WORK + FOUND, 0);
    g.repeat(NAMESPACES, climb, WORK);
    g.a.load(Size::D, R8, FP, WORK + FOUND);
    g.a.jump_if(If::Ne, R8, 0, found);

    g.a.bind(by_cgroup);
    any(g, slot::CGROUPS, out);
    g.a.load(Size::D, R1, R6, 8);
    g.a.alu(e::RSH, R1, INTO_CGROUP_BIT);
    g.a.alu(e::AND, R1, 1);
    g.a.jump_if(If::Eq, R1, 0, out);
    g.a.load(Size::D, R8, R6, 0);
    g.read(R8, R8, g.l.task_cgroups, SPARE);
    g.read(R1, R8, g.l.css_set_dfl, SPARE);
    g.a.call_local(climbing);
    g.a.mov(R8, R0);
    g.a.jump_if(If::Eq, R8, 0, out);
    g.a.bind(found);
    g.a.add(R8, -1);
    g.a.load(Size::D, R1, R6, 0);
    admit(g, flag::FRESH, enroll, page_for);
    g.a.jump(out);

    g.a.function(climb);
    g.a.mov(R9, R2);
    g.a.load(Size::D, R8, R9, NAMESPACE);
    g.a.jump_if(If::Eq, R8, 0, last);
    g.read_sized(Size::W, R1, R8, g.l.pidns_inum, INUM);
    g.a.map(R1, &g.m.pidnses);
    found_or(g, INUM, FOUND, last, none);
    g.read(R1, R8, g.l.pidns_parent, INUM);
    g.a.store(Size::D, R9, NAMESPACE, R1);
    g.a.mov(R0, 0);
    g.a.exit();
    recorded(g, climbing);
}

/// A step of a loop: if the map in R1 has the key at `FP + key`, its value plus one goes to `R9 + at`, and the loop ends, as it does at `last`. Else goes on at `none`.
fn found_or(g: &mut Gen<'_>, key: i16, at: i16, last: Label, none: Label) {
    g.a.mov(R2, FP);
    g.a.add(R2, i32::from(key));
    g.a.call(helper::MAP_LOOKUP);
    g.a.jump_if(If::Eq, R0, 0, none);
    g.a.load(Size::W, R1, R0, 0);
    g.a.add(R1, 1);
    g.a.store(Size::D, R9, at, R1);
    g.a.bind(last);
    g.a.mov(R0, 1);
    g.a.exit();
    g.a.bind(none);
}

/// `recorded(cgroup)`: the slot plus one of the recording of this group or of one above it; 0: there is none.
fn recorded(g: &mut Gen<'_>, entry: Label) {
    const CGROUP: i16 = 0;
    const FOUND: i16 = 8;
    const WORK: i16 = -16;
    const KEY: i16 = -8 - size::CGROUP as i16;
    let [climb, none, last] = [(); 3].map(|()| g.a.label());
    g.a.function(entry);
    g.a.store(Size::D, FP, WORK + CGROUP, R1);
    g.a.store(Size::D, FP, WORK + FOUND, 0);
    g.repeat(LEVELS, climb, WORK);
    g.a.load(Size::D, R0, FP, WORK + FOUND);
    g.a.exit();

    g.a.function(climb);
    g.a.mov(R9, R2);
    g.a.load(Size::D, R6, R9, CGROUP);
    g.a.jump_if(If::Eq, R6, 0, last);
    g.a.store(Size::D, FP, KEY, 0);
    g.read(R7, R6, g.l.cgroup_root, SPARE);
    g.read_sized(Size::W, R1, R7, g.l.root_hierarchy, SPARE);
    g.a.store(Size::W, FP, KEY, R1);
    g.read(R7, R6, g.l.cgroup_kn, SPARE);
    g.read(R1, R7, g.l.kn_id, SPARE);
    g.a.store(Size::D, FP, KEY + 8, R1);
    g.a.map(R1, &g.m.cgroups);
    found_or(g, KEY, FOUND, last, none);
    g.read(R6, R6, g.l.cgroup_parent, SPARE);
    g.a.jump_if(If::Eq, R6, 0, last);
    g.a.add(R6, -i32::from(g.l.cgroup_self));
    g.a.store(Size::D, R9, CGROUP, R6);
    g.a.mov(R0, 0);
    g.a.exit();
}

/// cgroup_attach_task. R6: the group, its path, the task, whether with all its threads.
pub(super) fn cgroup(g: &mut Gen<'_>) {
    let [out, climbing, enroll, page_for, walk, threads] = [(); 6].map(|()| g.a.label());
    g.a.mov(R6, R1);
    any(g, slot::CGROUPS, out);
    g.a.load(Size::D, R1, R6, 0);
    g.a.call_local(climbing);
    g.a.mov(R8, R0);
    g.a.jump_if(If::Eq, R8, 0, out);
    g.a.add(R8, -1);
    g.a.load(Size::D, R1, R6, 16);
    admit(g, flag::ASIDE, enroll, page_for);
    g.a.load(Size::D, R1, R6, 24);
    g.a.alu32(e::AND, R1, 0xff);
    g.a.jump_if32(If::Ne, R1, 0, threads);
    g.end(out);
    g.a.bind(threads);
    siblings(g, enroll, out);
    recorded(g, climbing);
    self::enroll(g, enroll);
    page::page_for(g, page_for, walk);
    page::walk(g, walk);
}

/// The other threads of the process that joins: the tracepoint tells of its leader alone. R8: the slot. Goes to `out`.
fn siblings(g: &mut Gen<'_>, enroll: Label, out: Label) {
    // What a step works on: an element of the list of threads, the list itself, slot and id.
    const NODE: i16 = 0;
    const HEAD: i16 = 8;
    const SLOT: i16 = 16;
    const PAGE: i16 = 24;
    const WORK: i16 = -40;
    let [step, next, last] = [(); 3].map(|()| g.a.label());
    g.a.load(Size::D, R1, FP, ID);
    g.a.store(Size::D, FP, WORK + PAGE, R1);
    g.a.store(Size::D, FP, WORK + SLOT, R8);
    g.a.load(Size::D, R9, R6, 16);
    g.read(R9, R9, g.l.task_signal, SPARE);
    g.a.add(R9, i32::from(g.l.signal_thread_head));
    g.a.store(Size::D, FP, WORK + HEAD, R9);
    g.a.store(Size::D, FP, WORK + NODE, R9);
    g.repeat(THREADS, step, WORK);
    g.a.jump_if(If::Lt, R0, THREADS, out);
    g.a.mov(R1, R8);
    g.count_in_slot(R1, slot::TASKS_MISSED, 1);
    g.a.jump(out);

    g.a.function(step);
    g.a.mov(R9, R2);
    g.a.load(Size::D, R6, R9, NODE);
    g.read(R6, R6, 0, SPARE);
    g.a.store(Size::D, R9, NODE, R6);
    g.a.load(Size::D, R1, R9, HEAD);
    g.a.jump_if(If::Eq, R6, R1, last);
    g.a.jump_if(If::Eq, R6, 0, last);
    if let Some((from_pid, release)) = g.kernel.task_from_pid {
        g.read_sized(Size::W, R1, R6, g.l.task_pid - g.l.task_thread_node, SPARE);
        g.a.call_kernel(from_pid);
        g.a.jump_if(If::Eq, R0, 0, next);
        g.a.mov(R7, R0);
        g.a.mov(R1, R7);
        g.a.load(Size::D, R2, R9, SLOT);
        g.a.mov(R3, flag::ASIDE);
        g.a.load(Size::D, R4, R9, PAGE);
        g.a.call_local(enroll);
        g.a.mov(R1, R7);
        g.a.call_kernel(release);
    } else {
        g.a.load(Size::D, R1, R9, SLOT);
        g.count_in_slot(R1, slot::TASKS_MISSED, 1);
    }
    g.a.bind(next);
    g.a.mov(R0, 0);
    g.a.exit();
    g.a.bind(last);
    g.a.mov(R0, 1);
    g.a.exit();
}

/// Makes the task in R1 a member of the recording in R8, with more flags than all joiners have: the page for its program, then
/// [`enroll`]. The id stays at `FP + ID`. Loses R9.
fn admit(g: &mut Gen<'_>, flags: i32, enroll: Label, page_for: Label) {
    g.a.mov(R9, R1);
    g.a.mov(R1, R8);
    g.slot_words(R2, R1);
    g.a.load(Size::W, R2, R2, 8 * slot::JOINERS as i16);
    g.a.alu32(e::AND, R2, flag::PHASE);
    g.a.mov(R1, R8);
    g.a.mov(R3, R9);
    g.a.call_local(page_for);
    g.a.store(Size::D, FP, ID, R0);
    g.a.mov(R1, R9);
    g.a.mov(R2, R8);
    g.a.mov(R3, flags);
    g.a.mov(R4, R0);
    g.a.call_local(enroll);
}

/// `enroll(task, slot, flags, id)`: the task belongs to the recording from now on, unless it belongs to another one.
pub(super) fn enroll(g: &mut Gen<'_>, entry: Label) {
    const FLAGS: i16 = -8;
    const PAGE: i16 = -16;
    const INIT: i16 = -16 - state::SIZE as i16;
    let [create, fill, missed, out] = [(); 4].map(|()| g.a.label());
    g.a.function(entry);
    g.a.mov(R6, R1);
    g.a.mov(R8, R2);
    g.a.store(Size::D, FP, FLAGS, R3);
    g.a.store(Size::D, FP, PAGE, R4);
    g.state_of(R6, create);
    // One of a recording that has ended is free.
    g.alive(fill);
    g.a.load(Size::W, R1, R7, state::SLOT);
    g.a.jump_if32(If::Eq, R1, R8, out);
    g.a.mov(R1, R8);
    g.count_in_slot(R1, slot::TAKEN, 1);
    g.a.jump(out);

    g.a.bind(create);
    for offset in (0..state::SIZE as i16).step_by(8) {
        g.a.store(Size::D, FP, INIT + offset, 0);
    }
    g.a.map(R1, &g.m.state);
    g.a.mov(R2, R6);
    g.a.mov(R3, FP);
    g.a.add(R3, i32::from(INIT));
    g.a.mov(R4, 1);
    g.a.call(helper::TASK_STORAGE_GET);
    g.a.jump_if(If::Eq, R0, 0, missed);
    g.a.mov(R7, R0);
    g.a.bind(fill);
    g.a.store(Size::W, R7, state::CALL_ID, 0);
    g.a.store(Size::W, R7, state::SIGSYS, 0);
    g.a.store(Size::W, R7, state::SLOT, R8);
    g.a.mov(R1, R8);
    g.slot_words(R2, R1);
    g.a.load(Size::W, R9, R2, 8 * slot::JOINERS as i16);
    g.a.load(Size::D, R1, FP, FLAGS);
    g.a.alu32(e::OR, R1, R9);
    g.a.store(Size::W, R7, state::FLAGS, R1);
    g.a.mov(R1, R8);
    g.count_in_slot(R1, slot::MEMBERS, 1);
    // Last: from here on it counts.
    g.a.load(Size::D, R1, FP, PAGE);
    g.a.store(Size::W, R7, state::ID, R1);
    g.a.bind(out);
    g.a.mov(R0, 0);
    g.a.exit();
    g.a.bind(missed);
    g.a.mov(R1, R8);
    g.count_in_slot(R1, slot::TASKS_MISSED, 1);
    g.a.jump(out);
}
