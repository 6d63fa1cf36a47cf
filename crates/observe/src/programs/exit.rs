//! sys_exit: results, and calls that return without having been entered. seccomp(2) runs before sys_enter, so what a filter refuses is seen
//! here alone.

use tipstaff_abi::ebpf as e;

use super::{Gen, page, path};
use crate::asm::{FP, If, Label, R0, R1, R2, R3, R6, R7, R8, R9, Size};
use crate::maps::{CALLS, class, flag, size, slot, spec, state};

/// The most filters of a chain that are looked at for a listener.
const FILTERS: i32 = 64;
const MAX_ERRNO: i32 = 4095;

/// Stack: the key of a result, spare bytes, what a step along the filters works on, then the six arguments and two zeros.
const KEY: i16 = -(size::RESULT as i16);
const SPARE: i16 = KEY - 8;
const WORK: i16 = SPARE - 16;
const FILTER: i16 = 0;
const LISTENER: i16 = 8;
/// Where the arguments are for [`path`].
pub(super) const ARGUMENTS: i16 = WORK - 64;

/// R6: registers, result.
pub(super) fn write(g: &mut Gen<'_>) {
    let [out, wanted, unseen, aside, details, uncounted, kept, walk] = [(); 8].map(|()| g.a.label());
    g.a.mov(R6, R1);
    g.current(R9);
    g.state_of(R9, out);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.jump_if(If::Set, R1, flag::RETURNS, wanted);
    g.end(out);
    g.a.bind(wanted);
    g.alive(out);
    g.a.load(Size::W, R8, R7, state::CALL_ID);
    g.a.jump_if(If::Eq, R8, 0, unseen);

    g.a.store(Size::W, R7, state::CALL_ID, 0);
    g.a.store(Size::W, FP, KEY, R8);
    g.a.load(Size::W, R1, R7, state::CALL_ARCH);
    g.a.store(Size::W, FP, KEY + 4, R1);
    g.a.load(Size::W, R1, R7, state::CALL_NR);
    g.a.store(Size::W, FP, KEY + 8, R1);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.jump_if(If::Set, R1, flag::RESULTS, kept);
    g.a.jump(uncounted);
    g.a.bind(kept);
    g.a.store(Size::W, FP, KEY + 12, class::RETURNED);
    error(g, R8);
    // rt_sigreturn(2) brings back the registers of the interrupted code: its result says nothing. The number is -1 then.
    g.a.load(Size::D, R1, R6, 0);
    g.a.load(Size::D, R1, R1, g.l.regs_orig_ax);
    let genuine = g.a.label();
    g.a.jump_if32(If::Ne, R1, -1, genuine);
    g.a.mov(R8, 0);
    g.a.bind(genuine);
    g.a.store(Size::D, FP, KEY + 16, R8);
    g.bump(&g.m.results, FP, KEY, SPARE, slot::RESULTS_DROPPED);
    g.a.bind(uncounted);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    g.a.jump_if(If::Set, R1, flag::FILES | flag::SOCKETS, details);
    g.a.jump(out);

    g.a.bind(unseen);
    g.a.load(Size::W, R1, R7, state::FLAGS);
    let (known, counted) = (g.a.label(), g.a.label());
    g.a.jump_if(If::Set, R1, flag::FRESH | flag::ASIDE, aside);
    g.a.load(Size::W, R2, R7, state::SIGSYS);
    g.a.jump_if(If::Eq, R2, 0, known);
    g.a.jump_if(If::Eq, R2, state::KILLED, out);
    g.a.store(Size::W, R7, state::SIGSYS, 0);
    g.a.jump(out);
    g.a.bind(known);
    g.a.jump_if(If::Set, R1, flag::REFUSED, counted);
    g.a.jump(out);
    g.a.bind(counted);
    let chain = g.a.label();
    refused(g, chain);
    g.a.jump(out);

    g.a.bind(aside);
    g.a.mov(R2, R1);
    g.a.alu32(e::AND, R2, !(flag::FRESH | flag::ASIDE));
    g.a.store(Size::W, R7, state::FLAGS, R2);
    g.a.alu32(e::AND, R1, flag::ASIDE);
    g.a.jump_if(If::Eq, R1, 0, out);
    g.count(slot::SET_ASIDE);
    g.a.jump(out);

    // Paths and addresses of this call.
    g.a.bind(details);
    g.a.load(Size::W, R8, R7, state::CALL_NR);
    g.a.jump_if(If::Ge, R8, CALLS.cast_signed(), out);
    g.a.load(Size::W, R3, R7, state::CALL_ARCH);
    g.a.jump_if(If::Gt, R3, 1, out);
    g.arguments(R3, ARGUMENTS);
    g.a.store(Size::D, FP, ARGUMENTS + 48, 0);
    g.a.store(Size::D, FP, ARGUMENTS + 56, 0);
    g.a.alu(e::LSH, R3, 9);
    g.a.add(R3, R8);
    g.a.alu(e::LSH, R3, spec::SHIFT);
    g.a.address(R1, &g.m.specs, 0);
    g.a.add(R1, R3);
    g.a.load(Size::D, R9, R1, 0);
    path::details(g, out, walk);
    listener(g, chain);
    page::walk(g, walk);
}

/// `dst` = the result if it is an error, else 0.
fn error(g: &mut Gen<'_>, dst: crate::asm::Reg) {
    let (success, done) = (g.a.label(), g.a.label());
    g.a.load(Size::D, dst, R6, 8);
    g.a.jump_if(If::GeSigned, dst, 0, success);
    g.a.jump_if(If::GeSigned, dst, -MAX_ERRNO, done);
    g.a.bind(success);
    g.a.mov(dst, 0);
    g.a.bind(done);
}

/// A return that nobody saw entered. R9 is the task.
fn refused(g: &mut Gen<'_>, chain: Label) {
    let [answered, record] = [(); 2].map(|()| g.a.label());
    g.a.load(Size::W, R1, R7, state::ID);
    g.a.store(Size::W, FP, KEY, R1);
    g.a.load(Size::W, R1, R9, g.l.task_status);
    g.a.alu32(e::AND, R1, 2);
    g.a.alu32(e::RSH, R1, 1);
    g.a.store(Size::W, FP, KEY + 4, R1);
    g.a.load(Size::D, R1, R6, 0);
    g.a.load(Size::D, R1, R1, g.l.regs_orig_ax);
    g.a.store(Size::W, FP, KEY + 8, R1);
    g.a.store(Size::W, FP, KEY + 12, class::ANSWERED);
    g.a.load(Size::D, R1, R6, 8);
    g.a.store(Size::D, FP, KEY + 16, R1);
    // Not an error: no filter says that, but for the errno 0.
    g.a.jump_if(If::GeSigned, R1, 1, record);
    g.a.jump_if(If::LtSigned, R1, -MAX_ERRNO, record);
    // A tracer can skip a call, and a supervisor can answer it.
    g.a.load(Size::W, R1, R9, g.l.task_ptrace);
    g.a.jump_if(If::Ne, R1, 0, answered);
    g.a.load(Size::W, R1, R9, g.l.task_seccomp_mode);
    g.a.jump_if32(If::Ne, R1, 2, answered);
    g.a.load(Size::D, R8, R9, g.l.task_seccomp_filter);
    g.a.store(Size::D, FP, WORK + FILTER, R8);
    g.a.store(Size::D, FP, WORK + LISTENER, 0);
    g.repeat(FILTERS, chain, WORK);
    g.a.jump_if(If::Ge, R0, FILTERS, answered);
    g.a.load(Size::D, R1, FP, WORK + LISTENER);
    g.a.jump_if(If::Ne, R1, 0, answered);
    g.a.store(Size::W, FP, KEY + 12, class::ERRNO);
    g.a.bind(answered);
    g.a.bind(record);
    g.bump(&g.m.results, FP, KEY, SPARE, slot::RESULTS_DROPPED);
}

/// `chain(index, work)`: looks at one filter, and goes to the one before. 1: that was the last, or it has a listener.
fn listener(g: &mut Gen<'_>, entry: Label) {
    const STEP_SPARE: i16 = -8;
    let last = g.a.label();
    g.a.function(entry);
    g.a.mov(R9, R2);
    g.a.load(Size::D, R8, R9, FILTER);
    g.a.jump_if(If::Eq, R8, 0, last);
    g.read(R1, R8, g.l.filter_notif, STEP_SPARE);
    g.a.store(Size::D, R9, LISTENER, R1);
    g.a.jump_if(If::Ne, R1, 0, last);
    g.read(R1, R8, g.l.filter_prev, STEP_SPARE);
    g.a.store(Size::D, R9, FILTER, R1);
    g.a.mov(R0, 0);
    g.a.exit();
    g.a.bind(last);
    g.a.mov(R0, 1);
    g.a.exit();
}
