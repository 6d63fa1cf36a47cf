//! What sys_enter does seldom: the first time of a call, its arguments, numbers that have no place in the tables.
//!
//! R7 is the state, R8 the number, R9 the table.

use tipstaff_abi::ebpf::{self as e, helper};
use tipstaff_abi::{NO_CALL, X32_BIT};

use super::Gen;
use super::common::registers;
use crate::asm::{FP, If, Label, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Size};
use crate::maps::{memo, size, slot, spec, state};

/// Stack: the key of a call, its value, the key of a tuple, a pointer, eight spare bytes, another pointer.
const CALL: i16 = -16;
const VALUE: i16 = -40;
const TUPLE: i16 = -96;
const FACTS: i16 = -104;
const SPARE: i16 = -112;
const MEMO: i16 = -120;

/// The key of the present call at `FP + CALL`.
fn key(g: &mut Gen<'_>) {
    g.a.load(Size::W, R1, R7, state::ID);
    g.a.store(Size::W, FP, CALL, R1);
    g.a.store(Size::W, FP, CALL + 4, R9);
    g.a.store(Size::W, FP, CALL + 8, R8);
}

fn look_up(g: &mut Gen<'_>) {
    g.a.map(R1, &g.m.calls);
    g.a.mov(R2, FP);
    g.a.add(R2, i32::from(CALL));
    g.a.call(helper::MAP_LOOKUP);
}

/// The value of a new call: now, and how often.
fn value(g: &mut Gen<'_>, count: i32) {
    g.a.call(helper::KTIME_GET_NS);
    g.a.store(Size::D, FP, VALUE, R0);
    g.a.store(Size::D, FP, VALUE + 8, count);
    g.a.store(Size::D, FP, VALUE + 16, 0);
}

/// Notes when the call was first entered.
pub(super) fn first(g: &mut Gen<'_>) {
    key(g);
    value(g, 0);
    g.insert(&g.m.calls, FP, CALL, VALUE);
    g.count_unless_there(slot::CALLS_DROPPED);
}

/// Counts a number that has no place in the tables, then goes to `out`.
pub(super) fn odd(g: &mut Gen<'_>, out: Label) {
    let (known, found) = (g.a.label(), g.a.label());
    // An x32 call is one of the 64-bit gate with that bit; negative numbers are none: a tracer writes them to skip a call.
    g.a.jump_if(If::Ne, R9, 0, known);
    g.a.jump_if32(If::Lt, R8, X32_BIT.cast_signed(), known);
    g.a.jump_if32(If::Ge, R8, NO_CALL.cast_signed(), known);
    g.a.mov(R9, 2);
    g.a.bind(known);
    key(g);
    look_up(g);
    g.a.jump_if(If::Ne, R0, 0, found);
    value(g, 1);
    g.insert(&g.m.calls, FP, CALL, VALUE);
    g.a.jump_if(If::Eq, R0, 0, out);
    look_up(g);
    g.a.jump_if(If::Ne, R0, 0, found);
    g.count(slot::CALLS_DROPPED);
    g.a.jump(out);
    g.a.bind(found);
    g.a.mov(R1, 1);
    g.a.atomic_add(R0, 8, R1);
    g.a.jump(out);
}

/// Counts the tuple of the call's picked arguments, then goes to `out`. R5 is the call's spec.
pub(super) fn arguments(g: &mut Gen<'_>, out: Label) {
    let [compat, picked, plain, table, found, any, full] = [(); 7].map(|()| g.a.label());
    g.a.load(Size::W, R1, R7, state::FLAGS);
    let wanted = g.a.label();
    g.a.jump_if(If::Set, R1, crate::maps::flag::ARGUMENTS, wanted);
    g.a.jump(out);
    g.a.bind(wanted);
    g.a.load(Size::W, R1, R7, state::ID);
    g.a.store(Size::W, FP, TUPLE, R1);
    g.a.mov(R1, R9);
    g.a.alu(e::LSH, R1, 31);
    g.a.alu(e::OR, R1, R8);
    g.a.store(Size::W, FP, TUPLE + 4, R1);
    // The registers, masked, and a hash of them.
    g.a.load(Size::D, R4, FP, TUPLE);
    g.a.load(Size::D, R2, R6, 0);
    g.a.jump_if(If::Ne, R9, 0, compat);
    for (is_compat, registers) in [(false, registers(g.l, false)), (true, registers(g.l, true))] {
        for (index, register) in registers.into_iter().enumerate() {
            let at = 8 * index as i16;
            g.a.load(Size::D, R1, R2, register);
            g.a.load(Size::D, R3, R5, 8 + at);
            if is_compat {
                g.a.alu32(e::AND, R1, R3);
            } else {
                g.a.alu(e::AND, R1, R3);
            }
            g.a.store(Size::D, FP, TUPLE + 8 + at, R1);
            g.a.alu(e::MUL, R4, 31);
            g.a.add(R4, R1);
        }
        if !is_compat {
            g.a.jump(picked);
            g.a.bind(compat);
        }
    }
    g.a.bind(picked);
    g.a.load(Size::D, R1, R5, 8 * spec::BEHIND as i16);
    g.a.jump_if(If::Eq, R1, 0, plain);
    g.a.store(Size::D, FP, MEMO, 0);
    // The word behind the first argument; if its memory is not there, nothing is known.
    g.a.load(Size::D, R3, FP, TUPLE + 8);
    g.a.add(R3, R1);
    g.a.add(R3, -1);
    g.a.mov(R1, FP);
    g.a.add(R1, i32::from(TUPLE + 8));
    g.a.mov(R2, 8);
    g.a.call(helper::PROBE_READ_USER);
    g.a.jump_if(If::Ne, R0, 0, full);
    g.a.jump(table);
    g.a.bind(plain);
    remembered(g, out);
    g.a.bind(table);
    let look_up_tuple = |g: &mut Gen<'_>| {
        g.a.map(R1, &g.m.tuples);
        g.a.mov(R2, FP);
        g.a.add(R2, i32::from(TUPLE));
        g.a.call(helper::MAP_LOOKUP);
    };
    look_up_tuple(g);
    g.a.jump_if(If::Ne, R0, 0, found);

    // A new one: is there room for this call?
    key(g);
    look_up(g);
    g.a.jump_if(If::Eq, R0, 0, full);
    g.a.load(Size::W, R1, R7, state::SLOT);
    g.slot_words(R2, R1);
    g.a.load(Size::D, R3, R2, 8 * slot::CAP as i16);
    g.a.load(Size::W, R4, R0, 16);
    g.a.jump_if(If::Ge, R4, R3, any);
    g.a.store(Size::D, FP, FACTS, R0);
    g.a.mov(R4, 1);
    g.a.fetch_add32(R0, 16, R4);
    remember(g, out);
    g.a.store(Size::D, FP, SPARE, 1);
    g.insert(&g.m.tuples, FP, TUPLE, SPARE);
    g.a.jump_if(If::Eq, R0, 0, out);
    g.a.load(Size::D, R5, FP, FACTS);
    g.a.mov(R4, -1);
    g.a.fetch_add32(R5, 16, R4);
    look_up_tuple(g);
    g.a.jump_if(If::Ne, R0, 0, found);
    g.a.load(Size::D, R5, FP, FACTS);
    g.a.store(Size::W, R5, 20, 1);
    g.a.jump(full);
    g.a.bind(any);
    g.a.store(Size::W, R0, 20, 1);
    g.a.jump(out);
    g.a.bind(full);
    g.count(slot::ARGUMENTS_DROPPED);
    g.a.jump(out);
    g.a.bind(found);
    g.a.mov(R1, 1);
    g.a.atomic_add(R0, 0, R1);
    g.a.jump(out);
}

/// If the tuple is in [`crate::maps::memo`], counts it there and goes to `out`. R4 is its hash; the place that it leads to stays at `FP + MEMO`.
///
/// The hash table costs 200 ns where it is not in the cache, which was most of what find(1) paid for its fcntl(2).
fn remembered(g: &mut Gen<'_>, out: Label) {
    let other = g.a.label();
    g.a.mov(R3, R4);
    g.a.alu(e::RSH, R3, 17);
    g.a.alu(e::XOR, R4, R3);
    g.a.alu(e::AND, R4, memo::ENTRIES as i32 - 1);
    g.a.alu(e::LSH, R4, memo::SHIFT);
    g.a.address(R5, &g.m.memo, 0);
    g.a.add(R5, R4);
    g.a.store(Size::D, FP, MEMO, R5);
    for word in 0..size::TUPLE as i16 / 8 {
        g.a.load(Size::D, R1, R5, 8 * word);
        g.a.load(Size::D, R2, FP, TUPLE + 8 * word);
        g.a.jump_if(If::Ne, R1, R2, other);
    }
    g.a.mov(R1, 1);
    g.a.atomic_add(R5, memo::COUNT, R1);
    g.a.jump(out);
    g.a.bind(other);
}

/// Takes the place at `FP + MEMO` for a new tuple, if it is free, and goes to `out`.
fn remember(g: &mut Gen<'_>, out: Label) {
    let taken = g.a.label();
    g.a.load(Size::D, R5, FP, MEMO);
    g.a.jump_if(If::Eq, R5, 0, taken);
    g.a.mov(R0, 0);
    g.a.mov(R1, memo::BUSY);
    g.a.compare_exchange(R5, 0, R1);
    g.a.jump_if(If::Ne, R0, 0, taken);
    for word in 1..size::TUPLE as i16 / 8 {
        g.a.load(Size::D, R1, FP, TUPLE + 8 * word);
        g.a.store(Size::D, R5, 8 * word, R1);
    }
    g.a.store(Size::D, R5, memo::COUNT, 1);
    // Last: from here on it is found.
    g.a.load(Size::D, R1, FP, TUPLE);
    g.a.store(Size::D, R5, 0, R1);
    g.a.jump(out);
    g.a.bind(taken);
}
