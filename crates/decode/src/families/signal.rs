//! Signals: sigaction(2), sigprocmask(2), kill(2), sigaltstack(2), and what comes with a signal.

use tipstaff_abi::Arch;

use super::common::{TIMESPEC, TIMESPEC64, word_at};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Bits, BitsLong, Enum, In, Int, Out, OutPtr, Ptr, Signal, Ulong},
        Names, Record,
        Ret::With,
        Spec, call, returns,
    },
    names::{self, bits},
    tables::signal as tables,
};

static SA: names::Bits = bits(tables::SA);
static SIGALTSTACK: names::Bits = bits(tables::SIGALTSTACK);
static PIDFD_SIGNAL: names::Bits = bits(crate::tables::process::PIDFD_SIGNAL);

/// A set of signals. More than half of them are told as the others, after `~`, as strace(1) does.
pub(super) fn signals(set: u64) -> Value {
    let inverted = set.count_ones() > 32;
    let shown = if inverted { !set } else { set };
    let mut items = Vec::with_capacity(shown.count_ones() as usize + 1);
    if inverted {
        items.push(Value::Name("~"));
    }
    items.extend((1..=64).filter(|signal| shown >> (signal - 1) & 1 == 1).map(names::signal));
    Value::List { items, more: false }
}

/// A set of signals of which the caller says the size in bytes.
pub(super) fn sigset_sized(ctx: &Ctx<'_>, address: u64, size: u64) -> Value {
    let size = size.min(8) as usize;
    if size == 0 {
        return Value::Address(address);
    }
    let bytes = ctx.read_vec(address, size);
    if bytes.len() < size { Value::Address(address) } else { signals(word_at(&bytes, 0, size)) }
}

/// The one-word set of the first calls.
fn old_sigset(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.read_word(address).map_or(Value::Address(address), signals)
}

fn old_mask(_: &Ctx<'_>, word: u64) -> Value {
    signals(word)
}

const HANDLERS: Names = &[(0, "SIG_DFL"), (1, "SIG_IGN"), (2, "SIG_HOLD")];

/// SIG_DFL, SIG_IGN, or where the handler is.
fn handler(_: &Ctx<'_>, word: u64) -> Value {
    names::name(HANDLERS, word).map_or(Value::Address(word), Value::Name)
}

fn mask64(_: &Ctx<'_>, word: u64) -> Value {
    signals(word)
}

/// The kernel's sigaction, which is not the C library's: flags stand before the mask. All the architectures here have a restorer.
#[rustfmt::skip]
pub(super) const SIGACTION: Record = &[("sa_handler", In(handler)), ("sa_flags", BitsLong(&SA)), ("sa_restorer", Addr), ("sa_mask", Kind::In64(mask64))];
#[rustfmt::skip]
const OLD_SIGACTION: Record = &[("sa_handler", In(handler)), ("sa_mask", In(old_mask)), ("sa_flags", BitsLong(&SA)), ("sa_restorer", Addr)];

pub(super) const STACK: Record = &[("ss_sp", Addr), ("ss_flags", Bits(&SIGALTSTACK)), ("ss_size", Ulong)];

/// What a timer, a message queue or an asynchronous look-up does when it is time (sigevent(3type)).
pub(super) fn sigevent(ctx: &Ctx<'_>, address: u64) -> Value {
    #[rustfmt::skip]
    const SIGEVENT: Record = &[("sigev_value", Addr), ("sigev_signo", Signal), ("sigev_notify", Enum(tables::SIGEV)), ("sigev_notify_thread_id", Int)];
    ctx.record(address, SIGEVENT)
}

/// 128 bytes of siginfo in memory.
pub(super) fn siginfo_at(ctx: &Ctx<'_>, address: u64) -> Value {
    let bytes = ctx.read_vec(address, 128);
    if bytes.len() < 128 { Value::Address(address) } else { fields(&bytes, ctx.wide) }
}

/// siginfo_t as a tracer gets it from PTRACE_GETSIGINFO: 128 bytes in the layout of `arch`. Bytes that are missing count as zero.
///
/// A tracer of 64 bits gets its own layout, whatever the tracee is: give the tracer's architecture.
#[must_use]
pub fn siginfo(arch: Arch, bytes: &[u8]) -> Value {
    fields(bytes, !matches!(arch, Arch::I386 | Arch::Arm | Arch::X32))
}

/// The fields that a signal of this number and code has (sigaction(2), "The siginfo_t argument").
fn fields(bytes: &[u8], wide: bool) -> Value {
    let word = if wide { 8 } else { 4 };
    let int = |at: usize| i64::from(word_at(bytes, at, 4) as i32);
    let (signo, errno, code) = (int(0), int(4), int(8));
    let mut shown = vec![("si_signo", names::signal(signo)), ("si_code", code_name(signo, code))];
    if errno != 0 {
        shown.push(("si_errno", names::errno(errno).map_or(Value::Int(errno), Value::Name)));
    }
    // Where the union begins: after three ints, at a multiple of a word.
    let at = if wide { 16 } else { 12 };
    let pointer = |at: usize| Value::Address(word_at(bytes, at, word));
    let pid = |at: usize| [("si_pid", Value::Int(int(at))), ("si_uid", Value::Uint(word_at(bytes, at + 4, 4)))];
    match (signo, code) {
        // SI_TIMER
        (_, -2) => {
            shown.extend([
                ("si_timerid", Value::Int(int(at))),
                ("si_overrun", Value::Int(int(at + 4))),
                ("si_value", pointer(at + 8)),
            ]);
        }
        // SI_QUEUE, SI_MESGQ
        (_, -1 | -3) => {
            shown.extend(pid(at));
            shown.push(("si_value", pointer(at + 8)));
        }
        // SI_USER, SI_TKILL
        (_, 0 | -6) => shown.extend(pid(at)),
        (_, i64::MIN..=-1) => shown.push(("si_value", pointer(at))),
        // SIGCHLD
        (17, 1..=6) => {
            shown.extend(pid(at));
            let status = int(at + 8);
            // CLD_EXITED has a status, the others a signal.
            let status = if code == 1 { Value::Int(status) } else { names::signal(status & 0x7f) };
            let times = if wide { at + 16 } else { at + 12 };
            shown.extend([
                ("si_status", status),
                ("si_utime", Value::Int(word_at(bytes, times, word) as i64)),
                ("si_stime", Value::Int(word_at(bytes, times + word, word) as i64)),
            ]);
        }
        // SIGIO
        (29, 1..=6) => {
            shown.extend([("si_band", Value::Hex(word_at(bytes, at, word))), ("si_fd", Value::Int(int(at + word)))])
        }
        // SIGSYS
        (31, 1..=2) => {
            shown.extend([("si_call_addr", pointer(at)), ("si_syscall", Value::Int(int(at + word)))]);
            shown.push(("si_arch", Value::Hex(word_at(bytes, at + word + 4, 4))));
        }
        // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: from the processor.
        (4 | 5 | 7 | 8 | 11, _) if code > 0 => {
            shown.push(("si_addr", pointer(at)));
            if signo == 11 && code == 4 {
                shown.push(("si_pkey", Value::Uint(word_at(bytes, at + 2 * word, 4))));
            }
        }
        _ => shown.extend(pid(at).into_iter().filter(|(_, value)| !matches!(value, Value::Int(0) | Value::Uint(0)))),
    }
    Value::Struct(shown)
}

/// What a code means depends on the signal, if it is positive and not SI_KERNEL.
fn code_name(signo: i64, code: i64) -> Value {
    let table = match signo {
        4 => tables::ILL_CODE,
        5 => tables::TRAP_CODE,
        7 => tables::BUS_CODE,
        8 => tables::FPE_CODE,
        11 => tables::SEGV_CODE,
        17 => tables::CLD_CODE,
        29 => tables::POLL_CODE,
        31 => tables::SYS_CODE,
        _ => tables::SI_CODE,
    };
    let code32 = u64::from(code as u32);
    // A ptrace(2) event stop has SIGTRAP and the event above the low byte.
    if signo == 5
        && let Some(name) =
            names::name(crate::tables::process::PTRACE_EVENT, code32 >> 8).filter(|_| code32 & 0xff == 5)
    {
        return Value::Name(name);
    }
    names::name(table, code32).or_else(|| names::name(tables::SI_CODE, code32)).map_or(Value::Int(code), Value::Name)
}

fn delivered(_: &Ctx<'_>, value: i64) -> Option<Value> {
    names::signal_name(value).map(Value::Name)
}

fn previous(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    Some(handler(ctx, value as u64))
}

fn set3(ctx: &Ctx<'_>, address: u64) -> Value {
    sigset_sized(ctx, address, ctx.word(3))
}

fn set1(ctx: &Ctx<'_>, address: u64) -> Value {
    sigset_sized(ctx, address, ctx.word(1))
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("rt_sigaction", &[("signum", Signal), ("act", Ptr(SIGACTION)), ("oldact", OutPtr(SIGACTION)), ("sigsetsize", Ulong)]),
    call("sigaction", &[("signum", Signal), ("act", Ptr(OLD_SIGACTION)), ("oldact", OutPtr(OLD_SIGACTION))]),
    returns("signal", &[("signum", Signal), ("handler", In(handler))], With(previous)),
    call("rt_sigprocmask", &[("how", Enum(tables::SIGPROCMASK)), ("set", In(set3)), ("oldset", Out(set3)), ("sigsetsize", Ulong)]),
    call("sigprocmask", &[("how", Enum(tables::SIGPROCMASK)), ("set", In(old_sigset)), ("oldset", Out(old_sigset))]),
    call("rt_sigpending", &[("set", Out(set1)), ("sigsetsize", Ulong)]),
    call("sigpending", &[("set", Out(old_sigset))]),
    call("rt_sigsuspend", &[("mask", In(set1)), ("sigsetsize", Ulong)]),
    call("sigsuspend", &[("history0", Kind::Skip(1)), ("history1", Kind::Skip(1)), ("mask", In(old_mask))]),
    returns("rt_sigtimedwait", &[("set", In(set3)), ("info", Out(siginfo_at)), ("timeout", Ptr(TIMESPEC)), ("sigsetsize", Ulong)], With(delivered)),
    returns("rt_sigtimedwait_time64", &[("set", In(set3)), ("info", Out(siginfo_at)), ("timeout", Ptr(TIMESPEC64)), ("sigsetsize", Ulong)], With(delivered)),
    call("rt_sigqueueinfo", &[("tgid", Int), ("sig", Signal), ("info", In(siginfo_at))]),
    call("rt_tgsigqueueinfo", &[("tgid", Int), ("tid", Int), ("sig", Signal), ("info", In(siginfo_at))]),
    call("rt_sigreturn sigreturn", &[]),
    call("sigaltstack", &[("ss", Ptr(STACK)), ("old_ss", OutPtr(STACK))]),
    call("kill", &[("pid", Int), ("sig", Signal)]),
    call("tkill", &[("tid", Int), ("sig", Signal)]),
    call("tgkill", &[("tgid", Int), ("tid", Int), ("sig", Signal)]),
    call("pidfd_send_signal", &[("pidfd", Kind::Fd), ("sig", Signal), ("info", In(siginfo_at)), ("flags", Bits(&PIDFD_SIGNAL))]),
    call("pause sgetmask", &[]),
    call("ssetmask", &[("newmask", In(old_mask))]),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::{Fake, text};

    #[test]
    fn sets_are_told_by_the_smaller_half() {
        let fake = Fake::default().words(0x1000, &[0x10002]).words(0x2000, &[!0x100_u64]).words(0x3000, &[0]);
        assert_eq!(
            fake.left("rt_sigprocmask", &[0, 0x1000, 0x3000, 8], 0),
            "rt_sigprocmask(SIG_BLOCK, [SIGINT, SIGCHLD], [], 8) = 0"
        );
        assert_eq!(
            fake.entered("rt_sigprocmask", &[2, 0x2000, 0, 8]),
            "rt_sigprocmask(SIG_SETMASK, [~, SIGKILL], NULL, 8)"
        );
    }

    #[test]
    fn actions_of_each_word_size() {
        let fake = Fake::default().words(0x1000, &[0x40_0000, 0x1400_0004, 0x50_0000, 2]).words(0x2000, &[1, 0, 0, 0]);
        assert_eq!(
            fake.left("rt_sigaction", &[15, 0x1000, 0x2000, 8], 0),
            "rt_sigaction(SIGTERM, {sa_handler=0x400000, sa_flags=SA_SIGINFO|SA_RESTORER|SA_RESTART, sa_restorer=0x500000, \
             sa_mask=[SIGINT]}, {sa_handler=SIG_IGN, sa_flags=0, sa_restorer=NULL, sa_mask=[]}, 8) = 0"
        );
        let narrow = Fake::default().halves(0x1000, &[0, 0x1000_0000, 0, 2, 0]);
        assert_eq!(
            narrow.left_on(Arch::I386, "rt_sigaction", &[2, 0x1000, 0, 8], 0),
            "rt_sigaction(SIGINT, {sa_handler=SIG_DFL, sa_flags=SA_RESTART, sa_restorer=NULL, sa_mask=[SIGINT]}, NULL, 8) = 0"
        );
        assert_eq!(fake.entered("tgkill", &[10, 11, 34]), "tgkill(10, 11, SIGRTMIN+2)");
        assert_eq!(fake.entered("kill", &[-1_i64 as u64, 0]), "kill(-1, 0)");
    }

    #[test]
    fn what_comes_with_a_signal() {
        let mut info = [0_u8; 128];
        let mut put = |at: usize, value: i32| info[at..at + 4].copy_from_slice(&value.to_le_bytes());
        for (at, value) in [(0, 17), (8, 1), (16, 77), (20, 1000), (24, 3)] {
            put(at, value);
        }
        assert_eq!(
            text(&super::siginfo(Arch::X86_64, &info)),
            "{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=77, si_uid=1000, si_status=3, si_utime=0, si_stime=0}"
        );
        let mut info = [0_u8; 128];
        info[0] = 11;
        info[8] = 1;
        info[16..24].copy_from_slice(&0xdead_u64.to_le_bytes());
        assert_eq!(
            text(&super::siginfo(Arch::X86_64, &info)),
            "{si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0xdead}"
        );
        info[8..12].copy_from_slice(&(-6_i32).to_le_bytes());
        assert_eq!(
            text(&super::siginfo(Arch::X86_64, &info)),
            "{si_signo=SIGSEGV, si_code=SI_TKILL, si_pid=57005, si_uid=0}"
        );
        assert_eq!(text(&super::siginfo(Arch::X86_64, &[])), "{si_signo=0, si_code=SI_USER, si_pid=0, si_uid=0}");
    }
}
