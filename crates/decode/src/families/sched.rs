//! Scheduling and limits: sched_setscheduler(2), sched_setattr(2), sched_setaffinity(2), getpriority(2), ioprio_set(2), getrlimit(2).

use super::common::{TIMESPEC, TIMESPEC64, bitmap, with_flags};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Bits64, Enum, Hex, In, In64, Int, Out, OutPtr, OutTo, Ptr, U64, Uint, Ulong},
        Record,
        Ret::With,
        Spec, call, returns,
    },
    names::{self, bits},
    tables::process,
};

static RESET: names::Bits = bits(process::SCHED_RESET);
static FLAGS: names::Bits = bits(process::SCHED_FLAGS);

/// A policy, SCHED_RESET_ON_FORK beside it.
fn policy(_: &Ctx<'_>, word: u64) -> Value {
    with_flags(process::SCHED, 0xbfff_ffff, &RESET, word & 0xffff_ffff)
}

fn policy_of(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    Some(policy(ctx, value as u64))
}

const PARAM: Record = &[("sched_priority", Int)];

#[rustfmt::skip]
pub(super) const ATTR: Record = &[
    ("size", Uint), ("sched_policy", Enum(process::SCHED)), ("sched_flags", Bits64(&FLAGS)), ("sched_nice", Int), ("sched_priority", Uint),
    ("sched_runtime", U64), ("sched_deadline", U64), ("sched_period", U64), ("sched_util_min", Uint), ("sched_util_max", Uint),
];

/// The structure says its own size (sched_setattr(2)); 0 means the first version's.
fn attr(ctx: &Ctx<'_>, address: u64) -> Value {
    let size = ctx.read_u32(address).filter(|&size| size != 0).unwrap_or(48);
    ctx.record_sized(address, ATTR, u64::from(size).max(4))
}

fn cpus(ctx: &Ctx<'_>, address: u64) -> Value {
    bitmap(ctx, address, ctx.word(1))
}

/// The kernel returns how many bytes it has written.
fn cpus_out(ctx: &Ctx<'_>, address: u64) -> Value {
    bitmap(ctx, address, ctx.len())
}

/// A limit: none, or a number; the writer may show multiples of 1,024.
fn limit(ctx: &Ctx<'_>, word: u64) -> Value {
    let none = if ctx.wide { u64::MAX } else { u32::MAX.into() };
    if word == none { Value::Name("RLIM_INFINITY") } else { Value::Uint(word) }
}

fn limit64(_: &Ctx<'_>, word: u64) -> Value {
    if word == u64::MAX { Value::Name("RLIM64_INFINITY") } else { Value::Uint(word) }
}

const RLIMIT: Record = &[("rlim_cur", In(limit)), ("rlim_max", In(limit))];
const RLIMIT64: Record = &[("rlim_cur", In64(limit64)), ("rlim_max", In64(limit64))];

/// An I/O priority: its class above 13 bits, a level below.
fn ioprio(_: &Ctx<'_>, word: u64) -> Value {
    Value::Struct(vec![
        ("class", names::named(process::IOPRIO_CLASS, word >> 13 & 7)),
        ("data", Value::Uint(word & 0x1fff)),
    ])
}

fn ioprio_of(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    Some(ioprio(ctx, value as u64))
}

/// getpriority(2) of the kernel returns 20 minus the nice value.
fn nice_of(_: &Ctx<'_>, value: i64) -> Option<Value> {
    Some(Value::Int(20_i64.saturating_sub(value)))
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("sched_yield", &[]),
    call("sched_setscheduler", &[("pid", Int), ("policy", In(policy)), ("param", Ptr(PARAM))]),
    returns("sched_getscheduler", &[("pid", Int)], With(policy_of)),
    call("sched_setparam", &[("pid", Int), ("param", Ptr(PARAM))]),
    call("sched_getparam", &[("pid", Int), ("param", OutPtr(PARAM))]),
    call("sched_setattr", &[("pid", Int), ("attr", In(attr)), ("flags", Hex)]),
    call("sched_getattr", &[("pid", Int), ("attr", Out(attr)), ("size", Uint), ("flags", Hex)]),
    call("sched_get_priority_max sched_get_priority_min", &[("policy", Enum(process::SCHED))]),
    call("sched_rr_get_interval", &[("pid", Int), ("tp", OutPtr(TIMESPEC))]),
    call("sched_rr_get_interval_time64", &[("pid", Int), ("tp", OutPtr(TIMESPEC64))]),
    call("sched_setaffinity", &[("pid", Int), ("cpusetsize", Ulong), ("mask", In(cpus))]),
    call("sched_getaffinity", &[("pid", Int), ("cpusetsize", Ulong), ("mask", Out(cpus_out))]),
    call("getcpu", &[("cpu", OutTo(&Uint)), ("node", OutTo(&Uint)), ("tcache", Kind::Addr)]),
    returns("getpriority", &[("which", Enum(process::PRIO)), ("who", Int)], With(nice_of)),
    call("setpriority", &[("which", Enum(process::PRIO)), ("who", Int), ("prio", Int)]),
    call("nice", &[("inc", Int)]),
    returns("ioprio_get", &[("which", Enum(process::IOPRIO_WHO)), ("who", Int)], With(ioprio_of)),
    call("ioprio_set", &[("which", Enum(process::IOPRIO_WHO)), ("who", Int), ("ioprio", In(ioprio))]),
    call("getrlimit ugetrlimit", &[("resource", Enum(process::RLIMIT)), ("rlim", OutPtr(RLIMIT))]),
    call("setrlimit", &[("resource", Enum(process::RLIMIT)), ("rlim", Ptr(RLIMIT))]),
    call("prlimit64", &[("pid", Int), ("resource", Enum(process::RLIMIT)), ("new_limit", Ptr(RLIMIT64)), ("old_limit", OutPtr(RLIMIT64))]),
];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn limits_and_none() {
        let fake = Fake::default().words(0x1000, &[8192 * 1024, u64::MAX]);
        assert_eq!(
            fake.left("prlimit64", &[0, 3, 0, 0x1000], 0),
            "prlimit64(0, RLIMIT_STACK, NULL, {rlim_cur=8388608, rlim_max=RLIM64_INFINITY}) = 0"
        );
        assert_eq!(
            fake.left("getrlimit", &[7, 0x1000], 0),
            "getrlimit(RLIMIT_NOFILE, {rlim_cur=8388608, rlim_max=RLIM_INFINITY}) = 0"
        );
    }

    #[test]
    fn processors_and_policies() {
        let fake = Fake::default().words(0x1000, &[0b11, 0]);
        assert_eq!(fake.left("sched_getaffinity", &[0, 128, 0x1000], 8), "sched_getaffinity(0, 128, [0, 1]) = 8");
        assert_eq!(fake.entered("sched_setaffinity", &[0, 8, 0x1000]), "sched_setaffinity(0, 8, [0, 1])");
        assert_eq!(fake.left("sched_getscheduler", &[0], 0), "sched_getscheduler(0) = 0 (SCHED_OTHER)");
        assert_eq!(
            fake.entered("sched_setscheduler", &[0, 0x4000_0001, 0x1000]),
            "sched_setscheduler(0, SCHED_FIFO|SCHED_RESET_ON_FORK, {sched_priority=3})"
        );
        assert_eq!(fake.left("getpriority", &[0, 0], 20), "getpriority(PRIO_PROCESS, 0) = 20 (0)");
        let attr = Fake::default().halves(0x1000, &[48, 6, 0, 0, 0, 0, 10, 0, 20, 0, 30, 0]);
        assert_eq!(
            attr.entered("sched_setattr", &[0, 0x1000, 0]),
            "sched_setattr(0, {size=48, sched_policy=SCHED_DEADLINE, sched_flags=0, sched_nice=0, sched_priority=0, \
             sched_runtime=10, sched_deadline=20, sched_period=30}, 0x0)"
        );
    }
}
