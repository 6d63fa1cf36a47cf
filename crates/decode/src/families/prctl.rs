//! prctl(2) and arch_prctl(2): what the other words are depends on the first.

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, BitsLong, EnumLong, HexLong, In, Int, Long, OutTo, Ptr, Signal, Str, Ulong},
        Param, Record,
        Ret::With,
        Spec, chooses,
    },
    names::{self, bits},
    tables::{process, security},
};

static SECUREBITS: names::Bits = bits(process::SECUREBITS);
static SPEC: names::Bits = bits(process::PR_SPEC_FLAGS);
static UNALIGN: names::Bits = bits(process::PR_UNALIGN);
static MDWE: names::Bits = bits(process::PR_MDWE);

const FILTER: Record = &[("len", Kind::U16), ("filter", Addr)];
const OPTION: Kind = Kind::Enum(process::PRCTL);

/// The thread's name: 16 bytes at most, the last of them zero.
fn name(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.string(address, 15)
}

/// A process that may trace, or any of them.
fn tracer(_: &Ctx<'_>, word: u64) -> Value {
    if word == u64::MAX { Value::Name("PR_SET_PTRACER_ANY") } else { Value::Int(word as i64) }
}

macro_rules! with {
    ($($param:expr),*) => {{
        const PARAMS: &[Param] = &[("op", OPTION), $($param),*];
        PARAMS
    }};
}

fn params(ctx: &mut Ctx<'_>) -> &'static [Param] {
    match names::name(process::PRCTL, ctx.word(0) & 0xffff_ffff).unwrap_or_default() {
        "PR_SET_PDEATHSIG" => with!(("sig", Signal)),
        "PR_GET_PDEATHSIG" => with!(("sig", OutTo(&Signal))),
        "PR_SET_NAME" => with!(("name", In(name))),
        "PR_GET_NAME" => with!(("name", Kind::Out(name))),
        "PR_SET_DUMPABLE" => with!(("dumpable", EnumLong(process::PR_DUMP))),
        "PR_SET_KEEPCAPS"
        | "PR_SET_CHILD_SUBREAPER"
        | "PR_SET_THP_DISABLE"
        | "PR_SET_IO_FLUSHER"
        | "PR_SET_MEMORY_MERGE" => {
            with!(("arg2", Long))
        }
        "PR_SET_NO_NEW_PRIVS" => with!(("arg2", Long), ("arg3", Long), ("arg4", Long), ("arg5", Long)),
        "PR_GET_CHILD_SUBREAPER" | "PR_GET_TSC" | "PR_GET_UNALIGN" | "PR_GET_FPEMU" | "PR_GET_FPEXC" => {
            with!(("arg2", OutTo(&Int)))
        }
        "PR_GET_TID_ADDRESS" => with!(("addr", OutTo(&Addr))),
        "PR_SET_SECCOMP" if ctx.word(1) == 2 => {
            with!(("mode", EnumLong(security::SECCOMP_MODE)), ("filter", Ptr(FILTER)))
        }
        "PR_SET_SECCOMP" => with!(("mode", EnumLong(security::SECCOMP_MODE))),
        "PR_CAPBSET_READ" | "PR_CAPBSET_DROP" => with!(("cap", EnumLong(process::CAPABILITY))),
        "PR_SET_SECUREBITS" => with!(("flags", BitsLong(&SECUREBITS))),
        "PR_SET_TIMERSLACK" => with!(("timerslack", Ulong)),
        "PR_SET_TSC" => with!(("mode", EnumLong(process::PR_TSC))),
        "PR_SET_UNALIGN" => with!(("control", BitsLong(&UNALIGN))),
        "PR_SET_PTRACER" => with!(("pid", In(tracer))),
        "PR_SET_MDWE" => with!(("mask", BitsLong(&MDWE))),
        "PR_MCE_KILL" => with!(("arg2", Long), ("policy", EnumLong(process::PR_MCE))),
        "PR_SET_MM" => with!(("arg2", EnumLong(process::PR_MM)), ("addr", Addr), ("arg4", HexLong), ("arg5", HexLong)),
        "PR_CAP_AMBIENT" => with!(("arg2", EnumLong(process::PR_AMBIENT)), ("cap", EnumLong(process::CAPABILITY))),
        "PR_GET_SPECULATION_CTRL" => with!(("misfeature", EnumLong(process::PR_SPEC))),
        "PR_SET_SPECULATION_CTRL" => with!(("misfeature", EnumLong(process::PR_SPEC)), ("val", BitsLong(&SPEC))),
        "PR_SET_VMA" => {
            with!(("attr", EnumLong(process::PR_VMA)), ("addr", Addr), ("size", Ulong), ("val", Str))
        }
        "PR_SCHED_CORE" => {
            with!(
                ("arg2", EnumLong(process::PR_SCHED_CORE)),
                ("pid", Int),
                ("type", Long),
                ("cookie", OutTo(&Kind::Hex64))
            )
        }
        "PR_SET_SYSCALL_USER_DISPATCH" => with!(("mode", Long), ("off", Addr), ("size", Ulong), ("switch", Addr)),
        "PR_GET_DUMPABLE"
        | "PR_GET_KEEPCAPS"
        | "PR_GET_NO_NEW_PRIVS"
        | "PR_GET_SECCOMP"
        | "PR_GET_SECUREBITS"
        | "PR_GET_TIMERSLACK"
        | "PR_GET_THP_DISABLE"
        | "PR_GET_TIMING"
        | "PR_TASK_PERF_EVENTS_DISABLE"
        | "PR_MCE_KILL_GET"
        | "PR_TASK_PERF_EVENTS_ENABLE"
        | "PR_GET_IO_FLUSHER"
        | "PR_GET_MDWE"
        | "PR_GET_MEMORY_MERGE" => with!(),
        _ => with!(("arg2", HexLong), ("arg3", HexLong), ("arg4", HexLong), ("arg5", HexLong)),
    }
}

fn result(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    match names::name(process::PRCTL, ctx.word(0) & 0xffff_ffff)? {
        "PR_GET_SECUREBITS" => Some(SECUREBITS.of(value as u64)),
        "PR_GET_SECCOMP" => names::name(security::SECCOMP_MODE, value as u64).map(Value::Name),
        "PR_GET_DUMPABLE" => names::name(process::PR_DUMP, value as u64).map(Value::Name),
        "PR_GET_SPECULATION_CTRL" => Some(SPEC.of(value as u64)),
        "PR_GET_MDWE" => Some(MDWE.of(value as u64)),
        _ => None,
    }
}

fn arch(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const OP: Kind = Kind::Enum(process::ARCH_PRCTL);
    const SET: &[Param] = &[("op", OP), ("addr", Addr)];
    const GET: &[Param] = &[("op", OP), ("addr", OutTo(&Addr))];
    const NUMBER: &[Param] = &[("op", OP), ("arg2", HexLong)];
    const PLAIN: &[Param] = &[("op", OP)];
    match ctx.word(0) as u32 {
        0x1001 | 0x1002 => SET,
        0x1003 | 0x1004 | 0x1021 | 0x1022 | 0x1024 | 0x4001 | 0x4003 | 0x5005 => GET,
        0x1011 => PLAIN,
        _ => NUMBER,
    }
}

pub(crate) static CALLS: &[Spec] =
    &[chooses("prctl", params, With(result)), chooses("arch_prctl", arch, crate::kind::Ret::Number)];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn the_option_says_what_follows() {
        let fake = Fake::default().put(0x1000, b"worker\0").words(0x2000, &[0x7fff_0000]);
        assert_eq!(fake.left("prctl", &[15, 0x1000, 9, 9, 9], 0), r#"prctl(PR_SET_NAME, "worker") = 0"#);
        assert_eq!(fake.left("prctl", &[16, 0x1000], 0), r#"prctl(PR_GET_NAME, "worker") = 0"#);
        assert_eq!(fake.entered("prctl", &[1, 9]), "prctl(PR_SET_PDEATHSIG, SIGKILL)");
        assert_eq!(fake.left("prctl", &[23, 21], 1), "prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) = 1");
        assert_eq!(fake.entered("prctl", &[38, 1, 0, 0, 0]), "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)");
        assert_eq!(
            fake.entered("prctl", &[0x5356_4d41, 0, 0x4000, 9, 0x1000]),
            r#"prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x4000, 9, "worker")"#
        );
        assert_eq!(fake.entered("prctl", &[9999, 1, 2, 3, 4]), "prctl(0x270f, 0x1, 0x2, 0x3, 0x4)");
        assert_eq!(fake.left("arch_prctl", &[0x1002, 0x7000], 0), "arch_prctl(ARCH_SET_FS, 0x7000) = 0");
        assert_eq!(fake.left("arch_prctl", &[0x1003, 0x2000], 0), "arch_prctl(ARCH_GET_FS, [0x7fff0000]) = 0");
    }
}
