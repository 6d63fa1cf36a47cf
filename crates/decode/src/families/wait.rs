//! Waiting for children: wait4(2), waitid(2), getrusage(2).

use super::{common::TIMEVAL, signal::siginfo_at};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Bits, Enum, Int, Long, Out, OutPtr, Rec},
        Record, Spec, call,
    },
    names::{self, bits},
    tables::process,
};

static WAIT: names::Bits = bits(process::WAIT);
static WAITID_OPTIONS: names::Bits = bits(process::WAITID_OPTIONS);

#[rustfmt::skip]
pub(super) const RUSAGE: Record = &[
    ("ru_utime", Rec(TIMEVAL)), ("ru_stime", Rec(TIMEVAL)), ("ru_maxrss", Long), ("ru_ixrss", Long), ("ru_idrss", Long), ("ru_isrss", Long),
    ("ru_minflt", Long), ("ru_majflt", Long), ("ru_nswap", Long), ("ru_inblock", Long), ("ru_oublock", Long), ("ru_msgsnd", Long),
    ("ru_msgrcv", Long), ("ru_nsignals", Long), ("ru_nvcsw", Long), ("ru_nivcsw", Long),
];

/// A wait status in the words of wait(2).
pub(crate) fn status(status: u32) -> Value {
    let (low, high) = (status & 0x7f, i64::from(status >> 8 & 0xff));
    match low {
        _ if status == 0xffff => Value::Name("WIFCONTINUED"),
        0 => Value::Struct(vec![("WEXITSTATUS", Value::Int(high))]),
        0x7f => {
            let mut shown = vec![("WSTOPSIG", stop_signal(high))];
            // A tracer's event stop has the event above the signal (ptrace(2)).
            if status >> 16 != 0 {
                shown.push(("event", names::named(process::PTRACE_EVENT, (status >> 16).into())));
            }
            Value::Struct(shown)
        }
        _ => {
            let mut shown = vec![("WTERMSIG", names::signal(low.into()))];
            if status & 0x80 != 0 {
                shown.push(("WCOREDUMP", Value::Int(1)));
            }
            Value::Struct(shown)
        }
    }
}

/// SIGTRAP|0x80 is a system call stop under PTRACE_O_TRACESYSGOOD.
fn stop_signal(signal: i64) -> Value {
    if signal == 0x85 { Value::Name("SIGTRAP|0x80") } else { names::signal(signal) }
}

/// Nothing was written if no child had changed: WNOHANG and a result of 0.
fn status_at(ctx: &Ctx<'_>, address: u64) -> Value {
    if ctx.len() == 0 {
        return Value::Address(address);
    }
    ctx.read_u32(address).map_or(Value::Address(address), status)
}

fn rusage(ctx: &Ctx<'_>, address: u64) -> Value {
    if ctx.len() == 0 { Value::Address(address) } else { ctx.record(address, RUSAGE) }
}

/// waitid(2) returns 0 and a signal of 0 if no child had changed; it never writes the times of a siginfo.
fn info(ctx: &Ctx<'_>, address: u64) -> Value {
    if ctx.read_u32(address) == Some(0) {
        return Value::Struct(Vec::new());
    }
    let mut shown = siginfo_at(ctx, address);
    if let Value::Struct(fields) = &mut shown {
        fields.retain(|(name, _)| !matches!(*name, "si_utime" | "si_stime"));
    }
    shown
}

/// What the second word of waitid(2) is depends on the first.
fn whom(ctx: &Ctx<'_>, word: u64) -> Value {
    if ctx.word(0) as u32 == 3 { ctx.fd(word as i32) } else { Value::Int((word as i32).into()) }
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("wait4", &[("pid", Int), ("wstatus", Out(status_at)), ("options", Bits(&WAIT)), ("rusage", Out(rusage))]),
    call("waitpid", &[("pid", Int), ("wstatus", Out(status_at)), ("options", Bits(&WAIT))]),
    call("waitid", &[("idtype", Enum(process::WAITID)), ("id", Kind::In(whom)), ("infop", Out(info)), ("options", Bits(&WAITID_OPTIONS)), ("rusage", OutPtr(RUSAGE))]),
    call("getrusage", &[("who", Enum(process::RUSAGE)), ("usage", OutPtr(RUSAGE))]),
];

#[cfg(test)]
mod tests {
    use crate::testing::{Fake, text};

    #[test]
    fn a_status_in_words() {
        for (status, expected) in [
            (0x0300, "{WEXITSTATUS=3}"),
            (9, "{WTERMSIG=SIGKILL}"),
            (0x8b, "{WTERMSIG=SIGSEGV, WCOREDUMP=1}"),
            (0x137f, "{WSTOPSIG=SIGSTOP}"),
            (0x857f, "{WSTOPSIG=SIGTRAP|0x80}"),
            (0x4_057f, "{WSTOPSIG=SIGTRAP, event=PTRACE_EVENT_EXEC}"),
            (0xffff, "WIFCONTINUED"),
        ] {
            assert_eq!(text(&super::status(status)), expected);
        }
    }

    #[test]
    fn only_a_child_that_changed_has_a_status() {
        let fake = Fake::default().halves(0x1000, &[0x100]);
        assert_eq!(fake.left("wait4", &[u64::MAX, 0x1000, 1, 0], 42), "wait4(-1, {WEXITSTATUS=1}, WNOHANG, NULL) = 42");
        assert_eq!(fake.left("wait4", &[u64::MAX, 0x1000, 1, 0], 0), "wait4(-1, 0x1000, WNOHANG, NULL) = 0");
        assert_eq!(fake.left("wait4", &[u64::MAX, 0x1000, 0, 0], -10), "wait4(-1, 0x1000, 0, NULL) = -10 ECHILD");
        let none = Fake::default().put(0x1000, [0; 128]);
        assert_eq!(none.left("waitid", &[0, 0, 0x1000, 5, 0], 0), "waitid(P_ALL, 0, {}, WNOHANG|WEXITED, NULL) = 0");
        let mut info = vec![0xff; 128];
        for (at, value) in [(0, 17_u32), (4, 0), (8, 1), (16, 5), (20, 0), (24, 3)] {
            info[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let ended = Fake::default().put(0x1000, info);
        assert_eq!(
            ended.left("waitid", &[1, 5, 0x1000, 4, 0], 0),
            "waitid(P_PID, 5, {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=5, si_uid=0, si_status=3}, WEXITED, NULL) = 0"
        );
    }
}
