//! futex(2), futex_waitv(2) and the list of robust futexes.

use super::common::{TIMESPEC, TIMESPEC64};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Bits, Enum, Hex, HexLong, In, Int, OutTo, Ptr, U64, Uint, Ulong},
        Param, Record,
        Ret::Number,
        Spec, call, chooses,
    },
    names,
    tables::{futex, time},
};

static FUTEX2: names::Bits = names::Bits { fields: &[(3, futex::FUTEX2_SIZE)], bits: futex::FUTEX2 };

/// The operation, FUTEX_CLOCK_REALTIME beside it.
fn operation(_: &Ctx<'_>, word: u64) -> Value {
    static CLOCK: names::Bits = names::bits(futex::FUTEX_CLOCK);
    super::common::with_flags(futex::FUTEX, !0x100 & 0xffff_ffff, &CLOCK, word & 0xffff_ffff)
}

/// A mask of waiters; all of them is what FUTEX_WAIT means.
fn bitset(_: &Ctx<'_>, word: u64) -> Value {
    if word as u32 == u32::MAX { Value::Name("FUTEX_BITSET_MATCH_ANY") } else { Value::Hex(word & 0xffff_ffff) }
}

/// FUTEX_OP(op, oparg, cmp, cmparg) in one word.
fn wake_op(_: &Ctx<'_>, word: u64) -> Value {
    Value::Struct(vec![
        ("op", names::named(futex::FUTEX_OP, word >> 28 & 7)),
        ("oparg", Value::Uint(word >> 12 & 0xfff)),
        ("cmp", names::named(futex::FUTEX_OP_CMP, word >> 24 & 0xf)),
        ("cmparg", Value::Uint(word & 0xfff)),
    ])
}

/// Parameters by operation; `$time` is the timeout's structure.
macro_rules! by_operation {
    ($name:ident, $time:expr) => {
        fn $name(ctx: &mut Ctx<'_>) -> &'static [Param] {
            const WAIT: &[Param] =
                &[("uaddr", Addr), ("futex_op", In(operation)), ("val", Uint), ("timeout", Ptr($time))];
            const WAKE: &[Param] = &[("uaddr", Addr), ("futex_op", In(operation)), ("val", Uint)];
            const REQUEUE: &[Param] =
                &[("uaddr", Addr), ("futex_op", In(operation)), ("val", Uint), ("val2", Uint), ("uaddr2", Addr)];
            const CMP_REQUEUE: &[Param] = &[
                ("uaddr", Addr),
                ("futex_op", In(operation)),
                ("val", Uint),
                ("val2", Uint),
                ("uaddr2", Addr),
                ("val3", Uint),
            ];
            const WAKE_OP: &[Param] = &[
                ("uaddr", Addr),
                ("futex_op", In(operation)),
                ("val", Uint),
                ("val2", Uint),
                ("uaddr2", Addr),
                ("val3", In(wake_op)),
            ];
            const LOCK: &[Param] =
                &[("uaddr", Addr), ("futex_op", In(operation)), ("", Kind::Skip(1)), ("timeout", Ptr($time))];
            const PLAIN: &[Param] = &[("uaddr", Addr), ("futex_op", In(operation))];
            const WAIT_BITSET: &[Param] = &[
                ("uaddr", Addr),
                ("futex_op", In(operation)),
                ("val", Uint),
                ("timeout", Ptr($time)),
                ("uaddr2", Kind::Skip(1)),
                ("val3", In(bitset)),
            ];
            const WAKE_BITSET: &[Param] = &[
                ("uaddr", Addr),
                ("futex_op", In(operation)),
                ("val", Uint),
                ("", Kind::Skip(1)),
                ("", Kind::Skip(1)),
                ("val3", In(bitset)),
            ];
            const WAIT_REQUEUE_PI: &[Param] = &[
                ("uaddr", Addr),
                ("futex_op", In(operation)),
                ("val", Uint),
                ("timeout", Ptr($time)),
                ("uaddr2", Addr),
            ];
            // FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME change no parameter.
            match ctx.word(1) & 0x7f {
                0 => WAIT,
                1 | 2 => WAKE,
                3 => REQUEUE,
                4 | 12 => CMP_REQUEUE,
                5 => WAKE_OP,
                6 | 13 => LOCK,
                7 | 8 => PLAIN,
                9 => WAIT_BITSET,
                10 => WAKE_BITSET,
                11 => WAIT_REQUEUE_PI,
                _ => CMP_REQUEUE,
            }
        }
    };
}

by_operation!(with_timespec, TIMESPEC);
by_operation!(with_timespec64, TIMESPEC64);

pub(super) const WAITV: Record =
    &[("val", U64), ("uaddr", Kind::Addr64), ("flags", Bits(&FUTEX2)), ("", Kind::Skip(4))];
pub(super) const ROBUST_LIST: Record = &[("list", Addr), ("futex_offset", Kind::Long), ("list_op_pending", Addr)];

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    chooses("futex", with_timespec, Number),
    chooses("futex_time64", with_timespec64, Number),
    call("futex_waitv", &[("waiters", Kind::Counted(1, &Kind::Rec(WAITV))), ("nr_futexes", Uint), ("flags", Hex), ("timeout", Ptr(TIMESPEC64)), ("clockid", Enum(time::CLOCK))]),
    call("futex_wake", &[("uaddr", Addr), ("mask", HexLong), ("nr", Int), ("flags", Bits(&FUTEX2))]),
    call("futex_wait", &[("uaddr", Addr), ("val", Ulong), ("mask", HexLong), ("flags", Bits(&FUTEX2)), ("timeout", Ptr(TIMESPEC64)), ("clockid", Enum(time::CLOCK))]),
    call("futex_requeue", &[("waiters", Kind::Items(2, &Kind::Rec(WAITV))), ("flags", Hex), ("nr_wake", Int), ("nr_requeue", Int)]),
    call("set_robust_list", &[("head", Ptr(ROBUST_LIST)), ("len", Ulong)]),
    call("get_robust_list", &[("pid", Int), ("head_ptr", OutTo(&Addr)), ("len_ptr", OutTo(&Ulong))]),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn the_operation_says_what_follows() {
        let fake = Fake::default().words(0x2000, &[1, 500]);
        assert_eq!(
            fake.left("futex", &[0x1000, 0x80, 2, 0], -11),
            "futex(0x1000, FUTEX_WAIT_PRIVATE, 2, NULL) = -11 EAGAIN"
        );
        assert_eq!(fake.entered("futex", &[0x1000, 0x81, 1]), "futex(0x1000, FUTEX_WAKE_PRIVATE, 1)");
        assert_eq!(
            fake.left("futex", &[0x1000, 0x189, 0, 0x2000, 0, 0xffff_ffff], -516),
            "futex(0x1000, FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME, 0, {tv_sec=1, tv_nsec=500}, \
             FUTEX_BITSET_MATCH_ANY) = -516 ERESTART_RESTARTBLOCK"
        );
        assert_eq!(
            fake.entered("futex", &[0x1000, 0x85, 1, 1, 0x1004, 0x0400_0001]),
            "futex(0x1000, FUTEX_WAKE_OP_PRIVATE, 1, 1, 0x1004, {op=FUTEX_OP_SET, oparg=0, cmp=FUTEX_OP_CMP_GT, cmparg=1})"
        );
        assert_eq!(fake.entered("futex", &[0x1000, 0x7f, 1, 2, 3, 4]), "futex(0x1000, 0x7f, 1, 2, 0x3, 4)");
    }

    #[test]
    fn timeouts_of_32_bit_callers_have_two_widths() {
        let fake = Fake::default().halves(0x2000, &[1, 2, 3, 4]);
        assert_eq!(
            fake.left_on(Arch::I386, "futex", &[0x1000, 0, 2, 0x2000], 0),
            "futex(0x1000, FUTEX_WAIT, 2, {tv_sec=1, tv_nsec=2}) = 0"
        );
        assert_eq!(
            fake.left_on(Arch::I386, "futex_time64", &[0x1000, 0, 2, 0x2000], 0),
            "futex_time64(0x1000, FUTEX_WAIT, 2, {tv_sec=8589934593, tv_nsec=17179869187}) = 0"
        );
    }
}
