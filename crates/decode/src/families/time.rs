//! Clocks and timers: clock_gettime(2), nanosleep(2), getitimer(2), timer_create(2), timerfd_create(2), adjtimex(2).

use super::{
    common::{TIMESPEC, TIMESPEC64, TIMEVAL},
    signal::sigevent,
};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Bits, Enum, Fd, I64, In, In32, InOutPtr, Int, Long, OnInterrupt, OutPtr, OutTo, Ptr, Rec, Uint},
        Record,
        Ret::With,
        Spec, call, opens, returns,
    },
    names::{self, bits},
    tables::time,
};

static TIMER_FLAGS: names::Bits = bits(time::TIMER_FLAGS);
static TIMERFD: names::Bits = bits(time::TIMERFD);
static TIMERFD_SET: names::Bits = bits(time::TIMERFD_SET);
static ADJTIMEX: names::Bits = bits(time::ADJTIMEX);
static STATUS: names::Bits = bits(time::TIMEX_STATUS);

/// A clock by name, or a process's or descriptor's own: `~pid << 3 | type`, with 4 for a thread and 3 for a descriptor (clock_getcpuclockid(3)).
fn clock(_: &Ctx<'_>, word: u64) -> Value {
    let word = word as u32;
    if let Some(name) = names::name(time::CLOCK, word.into()) {
        return Value::Name(name);
    }
    let id = i64::from(!(word as i32 >> 3));
    if (word as i32) >= 0 {
        return Value::Uint(word.into());
    }
    let which = match word & 3 {
        0 => "CPUCLOCK_PROF",
        1 => "CPUCLOCK_VIRT",
        2 => "CPUCLOCK_SCHED",
        _ => return Value::Struct(vec![("fd", Value::Int(id))]),
    };
    let whose = if word & 4 == 0 { "pid" } else { "tid" };
    Value::Struct(vec![(whose, Value::Int(id)), ("clock", Value::Name(which))])
}

const CLOCK: Kind = In32(clock);

fn rest(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record(address, TIMESPEC)
}

fn rest64(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record(address, TIMESPEC64)
}

pub(super) const ITIMERVAL: Record = &[("it_interval", Rec(TIMEVAL)), ("it_value", Rec(TIMEVAL))];
const ITIMERSPEC: Record = &[("it_interval", Rec(TIMESPEC)), ("it_value", Rec(TIMESPEC))];
const ITIMERSPEC64: Record = &[("it_interval", Rec(TIMESPEC64)), ("it_value", Rec(TIMESPEC64))];
const TIMEZONE: Record = &[("tz_minuteswest", Int), ("tz_dsttime", Int)];
pub(super) const TMS: Record = &[("tms_utime", Long), ("tms_stime", Long), ("tms_cutime", Long), ("tms_cstime", Long)];

#[rustfmt::skip]
pub(super) const TIMEX: Record = &[
    ("modes", Bits(&ADJTIMEX)), ("offset", Long), ("freq", Long), ("maxerror", Long), ("esterror", Long), ("status", Bits(&STATUS)),
    ("constant", Long), ("precision", Long), ("tolerance", Long), ("time", Rec(TIMEVAL)), ("tick", Long), ("ppsfreq", Long), ("jitter", Long),
    ("shift", Int), ("stabil", Long), ("jitcnt", Long), ("calcnt", Long), ("errcnt", Long), ("stbcnt", Long), ("tai", Int),
];

/// `struct __kernel_timex`, 64 bits everywhere.
#[rustfmt::skip]
const TIMEX64: Record = &[
    ("modes", Bits(&ADJTIMEX)), ("", Kind::Skip(4)), ("offset", I64), ("freq", I64), ("maxerror", I64), ("esterror", I64), ("status", Bits(&STATUS)),
    ("", Kind::Skip(4)), ("constant", I64), ("precision", I64), ("tolerance", I64), ("time", Rec(TIMESPEC64)), ("tick", I64),
];

fn state(_: &Ctx<'_>, value: i64) -> Option<Value> {
    names::name(time::TIME_STATE, value as u64).map(Value::Name)
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("nanosleep", &[("duration", Ptr(TIMESPEC)), ("rem", OnInterrupt(rest))]),
    call("clock_nanosleep", &[("clockid", CLOCK), ("flags", Bits(&TIMER_FLAGS)), ("t", Ptr(TIMESPEC)), ("remain", OnInterrupt(rest))]),
    call("clock_nanosleep_time64", &[("clockid", CLOCK), ("flags", Bits(&TIMER_FLAGS)), ("t", Ptr(TIMESPEC64)), ("remain", OnInterrupt(rest64))]),
    call("clock_gettime clock_getres", &[("clockid", CLOCK), ("tp", OutPtr(TIMESPEC))]),
    call("clock_gettime64 clock_getres_time64", &[("clockid", CLOCK), ("tp", OutPtr(TIMESPEC64))]),
    call("clock_settime", &[("clockid", CLOCK), ("tp", Ptr(TIMESPEC))]),
    call("clock_settime64", &[("clockid", CLOCK), ("tp", Ptr(TIMESPEC64))]),
    call("gettimeofday", &[("tv", OutPtr(TIMEVAL)), ("tz", OutPtr(TIMEZONE))]),
    call("settimeofday", &[("tv", Ptr(TIMEVAL)), ("tz", Ptr(TIMEZONE))]),
    call("time", &[("tloc", OutTo(&Long))]),
    call("stime", &[("t", Kind::To(&Long))]),
    call("times", &[("buf", OutPtr(TMS))]),
    call("alarm", &[("seconds", Uint)]),
    call("getitimer", &[("which", Enum(time::ITIMER)), ("curr_value", OutPtr(ITIMERVAL))]),
    call("setitimer", &[("which", Enum(time::ITIMER)), ("new_value", Ptr(ITIMERVAL)), ("old_value", OutPtr(ITIMERVAL))]),
    call("timer_create", &[("clockid", CLOCK), ("sevp", In(sigevent)), ("timerid", OutTo(&Int))]),
    call("timer_settime", &[("timerid", Int), ("flags", Bits(&TIMER_FLAGS)), ("new_value", Ptr(ITIMERSPEC)), ("old_value", OutPtr(ITIMERSPEC))]),
    call("timer_settime64", &[("timerid", Int), ("flags", Bits(&TIMER_FLAGS)), ("new_value", Ptr(ITIMERSPEC64)), ("old_value", OutPtr(ITIMERSPEC64))]),
    call("timer_gettime", &[("timerid", Int), ("curr_value", OutPtr(ITIMERSPEC))]),
    call("timer_gettime64", &[("timerid", Int), ("curr_value", OutPtr(ITIMERSPEC64))]),
    call("timer_getoverrun timer_delete", &[("timerid", Int)]),
    opens("timerfd_create", &[("clockid", CLOCK), ("flags", Bits(&TIMERFD))]),
    call("timerfd_settime", &[("fd", Fd), ("flags", Bits(&TIMERFD_SET)), ("new_value", Ptr(ITIMERSPEC)), ("old_value", OutPtr(ITIMERSPEC))]),
    call("timerfd_settime64", &[("fd", Fd), ("flags", Bits(&TIMERFD_SET)), ("new_value", Ptr(ITIMERSPEC64)), ("old_value", OutPtr(ITIMERSPEC64))]),
    call("timerfd_gettime", &[("fd", Fd), ("curr_value", OutPtr(ITIMERSPEC))]),
    call("timerfd_gettime64", &[("fd", Fd), ("curr_value", OutPtr(ITIMERSPEC64))]),
    returns("adjtimex", &[("buf", InOutPtr(TIMEX))], With(state)),
    returns("clock_adjtime", &[("clockid", CLOCK), ("buf", InOutPtr(TIMEX))], With(state)),
    returns("clock_adjtime64", &[("clockid", CLOCK), ("buf", InOutPtr(TIMEX64))], With(state)),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn the_rest_of_a_sleep_is_told_only_when_it_was_interrupted() {
        let fake = Fake::default().words(0x1000, &[5, 0]).words(0x2000, &[3, 7]);
        assert_eq!(fake.left("nanosleep", &[0x1000, 0x2000], 0), "nanosleep({tv_sec=5, tv_nsec=0}, 0x2000) = 0");
        assert_eq!(
            fake.left("nanosleep", &[0x1000, 0x2000], -516),
            "nanosleep({tv_sec=5, tv_nsec=0}, {tv_sec=3, tv_nsec=7}) = -516 ERESTART_RESTARTBLOCK"
        );
        assert_eq!(
            fake.left("clock_nanosleep", &[1, 1, 0x1000, 0], 0),
            "clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, {tv_sec=5, tv_nsec=0}, NULL) = 0"
        );
    }

    #[test]
    fn clocks() {
        let fake = Fake::default().words(0x1000, &[5, 6, 7, 8]);
        assert_eq!(
            fake.left("clock_gettime", &[0, 0x1000], 0),
            "clock_gettime(CLOCK_REALTIME, {tv_sec=5, tv_nsec=6}) = 0"
        );
        let of_process = u64::from((!1234_i32 << 3 | 2) as u32);
        assert_eq!(
            fake.left("clock_gettime", &[of_process, 0x1000], 0),
            "clock_gettime({pid=1234, clock=CPUCLOCK_SCHED}, {tv_sec=5, tv_nsec=6}) = 0"
        );
        assert_eq!(
            fake.left("setitimer", &[0, 0x1000, 0], 0),
            "setitimer(ITIMER_REAL, {it_interval={tv_sec=5, tv_usec=6}, it_value={tv_sec=7, tv_usec=8}}, NULL) = 0"
        );
        let narrow = Fake::default().halves(0x1000, &[5, 6]);
        assert_eq!(
            narrow.left_on(Arch::I386, "clock_gettime", &[1, 0x1000], 0),
            "clock_gettime(CLOCK_MONOTONIC, {tv_sec=5, tv_nsec=6}) = 0"
        );
    }
}
