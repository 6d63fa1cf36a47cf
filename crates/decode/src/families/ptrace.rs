//! ptrace(2).

use super::signal;
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, BitsLong, Enum, EnumLong, HexLong, In, Int, Out, OutTo, Ulong},
        Param,
        Ret::Number,
        Spec, chooses,
    },
    names::{self, bits},
    tables::process,
};

static OPTIONS: names::Bits = bits(process::PTRACE_OPTIONS);

/// The signal that is delivered when the tracee goes on.
fn deliver(_: &Ctx<'_>, word: u64) -> Value {
    names::signal((word as i32).into())
}

/// One iovec; PTRACE_GETREGSET cuts its length to what was written.
fn regset(ctx: &Ctx<'_>, address: u64) -> Value {
    let word = ctx.word_size();
    ctx.list(address, 1, 2 * word, |bytes| {
        let at = |at: usize| super::common::word_at(bytes, at, word);
        Value::Struct(vec![("iov_base", Value::Address(at(0))), ("iov_len", Value::Uint(at(word)))])
    })
}

fn mask_in(ctx: &Ctx<'_>, address: u64) -> Value {
    signal::sigset_sized(ctx, address, ctx.word(2))
}

macro_rules! with {
    ($($param:expr),*) => {{
        const PARAMS: &[Param] = &[("op", Enum(process::PTRACE)), ("pid", Int), $($param),*];
        PARAMS
    }};
}

fn params(ctx: &mut Ctx<'_>) -> &'static [Param] {
    match names::name(process::PTRACE, ctx.word(0) & 0xffff_ffff).unwrap_or_default() {
        "PTRACE_TRACEME" => {
            const PARAMS: &[Param] = &[("op", Enum(process::PTRACE))];
            PARAMS
        }
        "PTRACE_ATTACH" | "PTRACE_KILL" | "PTRACE_INTERRUPT" | "PTRACE_LISTEN" => with!(),
        // The kernel's own peeks write where the last word says; the C library returns the value.
        "PTRACE_PEEKTEXT" | "PTRACE_PEEKDATA" | "PTRACE_PEEKUSER" => with!(("addr", Addr), ("data", OutTo(&HexLong))),
        "PTRACE_POKETEXT" | "PTRACE_POKEDATA" | "PTRACE_POKEUSER" => with!(("addr", Addr), ("data", HexLong)),
        "PTRACE_CONT"
        | "PTRACE_SYSCALL"
        | "PTRACE_SINGLESTEP"
        | "PTRACE_SINGLEBLOCK"
        | "PTRACE_SYSEMU"
        | "PTRACE_SYSEMU_SINGLESTEP"
        | "PTRACE_DETACH" => with!(("addr", Addr), ("sig", In(deliver))),
        "PTRACE_SETOPTIONS" | "PTRACE_SEIZE" => with!(("addr", Addr), ("data", BitsLong(&OPTIONS))),
        "PTRACE_GETEVENTMSG" => with!(("addr", Addr), ("data", OutTo(&Ulong))),
        "PTRACE_GETSIGINFO" => with!(("addr", Addr), ("data", Out(signal::siginfo_at))),
        "PTRACE_SETSIGINFO" => with!(("addr", Addr), ("data", In(signal::siginfo_at))),
        "PTRACE_GETREGSET" => with!(("type", EnumLong(process::REGSET)), ("data", Kind::InOut(regset))),
        "PTRACE_SETREGSET" => with!(("type", EnumLong(process::REGSET)), ("data", In(regset))),
        "PTRACE_GETSIGMASK" => with!(("size", Ulong), ("data", Out(mask_in))),
        "PTRACE_SETSIGMASK" => with!(("size", Ulong), ("data", In(mask_in))),
        "PTRACE_GET_SYSCALL_INFO" | "PTRACE_SET_SYSCALL_INFO" | "PTRACE_SECCOMP_GET_METADATA" => {
            with!(("size", Ulong), ("data", Addr))
        }
        _ => with!(("addr", Addr), ("data", HexLong)),
    }
}

pub(crate) static CALLS: &[Spec] = &[chooses("ptrace", params, Number)];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn requests() {
        let fake = Fake::default().words(0x1000, &[77, 16]);
        assert_eq!(fake.entered("ptrace", &[0, 9, 9, 9]), "ptrace(PTRACE_TRACEME)");
        assert_eq!(
            fake.left("ptrace", &[0x4206, 5, 0, 0x10_0009], 0),
            "ptrace(PTRACE_SEIZE, 5, NULL, PTRACE_O_TRACESYSGOOD|PTRACE_O_TRACECLONE|PTRACE_O_EXITKILL) = 0"
        );
        assert_eq!(fake.entered("ptrace", &[7, 5, 0, 17]), "ptrace(PTRACE_CONT, 5, NULL, SIGCHLD)");
        assert_eq!(fake.left("ptrace", &[0x4201, 5, 0, 0x1000], 0), "ptrace(PTRACE_GETEVENTMSG, 5, NULL, [77]) = 0");
        assert_eq!(
            fake.entered("ptrace", &[0x4204, 5, 1, 0x1000]),
            "ptrace(PTRACE_GETREGSET, 5, NT_PRSTATUS, [{iov_base=0x4d, iov_len=16}])"
        );
    }
}
