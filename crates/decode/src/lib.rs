//! System calls in words.
//!
//! A system call is a number and six words. What they mean depends on the architecture, on the other words, and on memory that only the
//! traced process has. This crate knows the tables; the memory and the descriptors are asked through two small traits, so it makes
//! no system call itself and its tests run anywhere.
//!
//! [`enter`] says what was asked for, [`leave`] adds what came of it. Calls are described by name, in tables like those of the man pages (`families`):
//! one description serves every architecture that has the call.
#![forbid(unsafe_code)]

mod class;
mod ctx;
mod families;
mod index;
mod kind;
mod names;
mod refer;
mod tables;
#[cfg(test)]
mod testing;
mod value;
mod world;

use tipstaff_abi::Arch;

pub use class::{class, classes};
pub use families::signal::siginfo;
pub use refer::{descriptors, paths};
pub use value::{Arg, Call, Returned, Value};
pub use world::{Files, Memory, World};

use crate::{
    ctx::{Ctx, narrow_words},
    index::Entry,
    kind::{Kind, Param, Params, Ret},
};

/// Decodes a call at its entry: what the caller gives. What the kernel will fill in stays a [`Value::Address`].
///
/// `number` is what seccomp sees, for x32 with its bit. The words are those of the registers; the upper halves of a 32-bit caller's do not count.
/// Never fails: what cannot be read is shown as an address, and an unknown number as `syscall_0x1f4` with six words.
#[must_use]
pub fn enter(arch: Arch, number: u32, raw: [u64; 6], world: &World<'_>) -> Call {
    let Some(Entry { name, spec }) = index::find(arch, number) else {
        let name = format!("syscall_{number:#x}").into();
        return Call { arch, number, name, raw, args: words(arch, raw), returned: None };
    };
    let mut ctx = Ctx::new(arch, number, raw, None, world);
    let args = spec.map_or_else(
        || words(arch, raw),
        |spec| {
            let params = choose(spec.params, &mut ctx);
            let mut args = Vec::with_capacity(params.len());
            each(&ctx, params, |name, kind, word| args.push(Arg { name, value: ctx.enter(kind, word) }));
            args
        },
    );
    Call { arch, number, name: name.into(), raw, args, returned: None }
}

/// Adds to a call how it returned, and what the kernel has written into the caller's memory.
///
/// `value` is the result register. -4095 to -1 is an errno; out-arguments are read only where the man page says that the kernel has written them.
pub fn leave(call: &mut Call, value: i64, world: &World<'_>) {
    // A 32-bit caller's result register may or may not be sign-extended.
    let value = if narrow_words(call.arch) { i64::from(value as i32) } else { value };
    let failed = (-4095..0).contains(&value);
    let errno = failed.then(|| names::errno(-value)).flatten();
    let mut shown = None;
    if let Some(Entry { spec: Some(spec), .. }) = index::find(call.arch, call.number) {
        let mut ctx = Ctx::new(call.arch, call.number, call.raw, Some(value), world);
        let params = choose(spec.params, &mut ctx);
        let mut args = call.args.iter_mut();
        each(&ctx, params, |name, kind, word| {
            // The words that socketcall(2) keeps in memory may have changed since: then nothing is added.
            let Some(arg) = args.next().filter(|arg| arg.name == name) else { return };
            let written = match kind {
                Kind::OnInterrupt(decode) => is_interrupt(value).then(|| decode(&ctx, word)),
                _ if failed => None,
                _ => ctx.leave(kind, word),
            };
            if let Some(written) = written {
                arg.value = written;
            }
        });
        if !failed {
            shown = result(&ctx, spec.ret, value);
        }
    }
    call.returned = Some(Returned { value, errno, shown });
}

/// EINTR, or what the kernel makes of it: ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK.
fn is_interrupt(value: i64) -> bool {
    matches!(value, -4 | -512 | -513 | -514 | -516)
}

fn result(ctx: &Ctx<'_>, ret: Ret, value: i64) -> Option<Value> {
    match ret {
        Ret::Number => None,
        Ret::Fd => Some(ctx.fd(value as i32)),
        Ret::Address => Some(Value::Address(if narrow_words(ctx.arch) { (value as u32).into() } else { value as u64 })),
        Ret::Octal => Some(Value::Octal(value as u32)),
        Ret::With(decode) => decode(ctx, value),
    }
}

fn choose(params: Params, ctx: &mut Ctx<'_>) -> &'static [Param] {
    match params {
        Params::Fixed(params) => params,
        Params::Choose(choose) => choose(ctx),
    }
}

/// Each parameter with its word. A 32-bit caller gives 64 bits in two words, on ARM from an even one on.
fn each(ctx: &Ctx<'_>, params: &[Param], mut then: impl FnMut(&'static str, Kind, u64)) {
    let narrow = narrow_words(ctx.arch);
    let mut at = 0;
    for &(name, kind) in params {
        let word = if narrow && kind.is_64() {
            at += usize::from(ctx.arch == Arch::Arm && at % 2 == 1);
            at += 2;
            ctx.word(at - 2) | ctx.word(at - 1) << 32
        } else {
            at += 1;
            ctx.word(at - 1)
        };
        if !matches!(kind, Kind::Skip(_)) {
            then(name, kind, word);
        }
    }
}

/// Six words of which nothing is known.
fn words(arch: Arch, raw: [u64; 6]) -> Vec<Arg> {
    let mask = if narrow_words(arch) { u64::from(u32::MAX) } else { u64::MAX };
    let names = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5"];
    names.into_iter().zip(raw).map(|(name, word)| Arg { name, value: Value::Hex(word & mask) }).collect()
}
