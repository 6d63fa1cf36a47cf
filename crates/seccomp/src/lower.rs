//! From tables to the graph.

use tipstaff_abi::{Arch, NO_CALL, Sysno, X32_BIT, bpf::SeccompData};

use crate::{
    Action, Condition, Filter, Op, Rule, Table, Width,
    graph::{Graph, Test, To, words},
    optimize,
};

/// The graph of a filter, and where it begins: architecture first, loaded once, because a number means nothing
/// without it.
pub(crate) fn filter(filter: &Filter) -> (Graph, To) {
    let mut graph = Graph::default();
    let mut audits: Vec<u32> = Vec::new();
    for table in &filter.tables {
        let audit = table.arch.audit_arch();
        if !audits.contains(&audit) {
            audits.push(audit);
        }
    }
    let mut entry = done(filter.foreign);
    // What is made last stands first in the program, so the first table is tested first.
    for &audit in audits.iter().rev() {
        let ranges = ranges(&mut graph, filter, audit);
        let numbers = search(&mut graph, &ranges);
        entry = graph.step(SeccompData::ARCH, Test::Eq(audit), numbers, entry);
    }
    (graph, entry)
}

const fn done(action: Action) -> To {
    To::Return(action.to_raw())
}

/// Numbers from this one up to the next range go there.
type Range = (u32, To);

/// What an architecture does with every number from 0 to 2³²−1.
fn ranges(graph: &mut Graph, filter: &Filter, audit: u32) -> Vec<Range> {
    let foreign = done(filter.foreign);
    if audit != Arch::X86_64.audit_arch() {
        let table = filter.tables.iter().find(|table| table.arch.audit_arch() == audit);
        let mut ranges = Vec::new();
        match table {
            Some(table) => {
                calls(graph, table, 0, &mut ranges);
                push(&mut ranges, (NO_CALL, done(table.fallback(NO_CALL))));
            }
            None => ranges.push((0, foreign)),
        }
        return ranges;
    }
    // Two tables behind one audit value, split by the x32 bit; see `Filter::decide` for what is above.
    let (native, x32) = (filter.table(Arch::X86_64), filter.table(Arch::X32));
    let mut ranges = Vec::new();
    for (table, first) in [(native, 0), (x32, X32_BIT)] {
        match table {
            Some(table) => calls(graph, table, first, &mut ranges),
            None => push(&mut ranges, (first, foreign)),
        }
    }
    push(&mut ranges, (NO_CALL, native.map_or(foreign, |table| done(table.fallback(NO_CALL)))));
    ranges
}

/// A table's numbers, from the first that can be one of its own.
fn calls(graph: &mut Graph, table: &Table, first: u32, ranges: &mut Vec<Range>) {
    let known = Sysno::all(table.arch).map(|(nr, _)| nr.0);
    let mut numbers: Vec<u32> = known.chain(table.rules.keys().copied()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let unknown = done(table.unknown);
    push(ranges, (first, unknown));
    for number in numbers {
        let rules = table.rules.get(&number).map_or(&[][..], Vec::as_slice);
        let to = chain(graph, rules, table.fallback(number));
        push(ranges, (number, to));
        push(ranges, (number.saturating_add(1), unknown));
    }
}

/// Appends a range: one that begins where the last begins replaces it, one that goes where the last goes is part of it.
fn push(ranges: &mut Vec<Range>, range: Range) {
    if ranges.last().is_some_and(|&(start, _)| start == range.0) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|&(_, to)| to != range.1) {
        ranges.push(range);
    }
}

/// A balanced search tree over the ranges.
fn search(graph: &mut Graph, ranges: &[Range]) -> To {
    match ranges {
        [] => unreachable!("ranges begin with 0"),
        [(_, to)] => *to,
        // One number in the middle of others that go the same way: one comparison instead of two.
        [(_, around), (number, to), (after, same)] if same == around && number + 1 == *after => {
            graph.step(SeccompData::NR, Test::Eq(*number), *to, *around)
        }
        _ => {
            let (left, right) = ranges.split_at(split(ranges));
            let above = search(graph, right);
            let below = search(graph, left);
            graph.step(SeccompData::NR, Test::Ge(right[0].0), above, below)
        }
    }
}

/// Where to split: in the middle, or one aside if that leaves two odd halves, which can end in the short form.
fn split(ranges: &[Range]) -> usize {
    let middle = ranges.len() / 2;
    if ranges.len() > 4 && ranges.len().is_multiple_of(2) && middle.is_multiple_of(2) { middle - 1 } else { middle }
}

/// The rules of one call, first match wins.
fn chain(graph: &mut Graph, rules: &[Rule], fallback: Action) -> To {
    let (rules, fallback) = optimize::rules(rules, fallback);
    rules.iter().rev().fold(done(fallback), |next, rule| {
        rule.conditions.iter().rev().fold(done(rule.action), |then, each| condition(graph, each, then, next))
    })
}

fn condition(graph: &mut Graph, condition: &Condition, yes: To, no: To) -> To {
    let &Condition { arg, width, op, value } = condition;
    let (low, high) = words(arg);
    // Truncation is meant: these are the halves.
    let (lo, hi) = (value as u32, (value >> 32) as u32);
    match (width, op) {
        (_, Op::Ne) => self::condition(graph, &Condition { op: Op::Eq, ..*condition }, no, yes),
        (_, Op::Lt) => self::condition(graph, &Condition { op: Op::Ge, ..*condition }, no, yes),
        (_, Op::Le) => self::condition(graph, &Condition { op: Op::Gt, ..*condition }, no, yes),
        (Width::W32, Op::Eq) => graph.step(low, Test::Eq(lo), yes, no),
        (Width::W32, Op::Gt) => graph.step(low, Test::Gt(lo), yes, no),
        (Width::W32, Op::Ge) => graph.step(low, Test::Ge(lo), yes, no),
        (Width::W32, Op::MaskedEq(mask)) => masked(graph, low, mask as u32, lo, yes, no),
        (Width::W64, Op::Eq) => {
            let then = graph.step(low, Test::Eq(lo), yes, no);
            graph.step(high, Test::Eq(hi), then, no)
        }
        (Width::W64, Op::Gt | Op::Ge) => {
            let test = if op == Op::Gt { Test::Gt(lo) } else { Test::Ge(lo) };
            let same = graph.step(low, test, yes, no);
            let equal = graph.step(high, Test::Eq(hi), same, no);
            graph.step(high, Test::Gt(hi), yes, equal)
        }
        (Width::W64, Op::MaskedEq(mask)) => {
            let then = masked(graph, low, mask as u32, lo, yes, no);
            masked(graph, high, (mask >> 32) as u32, hi, then, no)
        }
    }
}

fn masked(graph: &mut Graph, word: u32, mask: u32, value: u32, yes: To, no: To) -> To {
    if value & !mask != 0 {
        return no;
    }
    match (mask, value) {
        (0, _) => yes,
        (u32::MAX, _) => graph.step(word, Test::Eq(value), yes, no),
        (_, 0) => graph.step(word, Test::Any(mask), no, yes),
        _ if value == mask && mask.is_power_of_two() => graph.step(word, Test::Any(mask), yes, no),
        _ => graph.step(word, Test::Masked(mask, value), yes, no),
    }
}
