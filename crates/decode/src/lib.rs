//! System calls in words.
//!
//! A system call is a number and six words. What they mean depends on the architecture, on the other words, and on memory that only the
//! traced process has. This crate knows the tables; the memory and the descriptors are asked through two small traits, so it makes
//! no system call itself and its tests run anywhere.
//!
//! [`enter`] says what was asked for, [`leave`] adds what came of it. Calls are described by name, in tables like those of the man pages (`families`):
//! one description serves every architecture that has the call.
//!
//! What a writer may want to know of the values:
//!
//! - A pointer to one number is a [`Value::List`] of one item, `[16]`; a pointer to a structure is the structure.
//! - What the kernel would not look at is left out: the mode of an open(2) that makes no file, the unused words of futex(2) and prctl(2).
//! - File modes carry their type's bits: `0100644` is a regular file. Devices are a structure of `major` and `minor`.
//! - A set of signals that holds more than half of them begins with the name `~` and lists those that it lacks.
//! - An environment is a structure with one field, `vars`: how many there are. An abstract socket's name begins with `@`.
//! - A wait status is a structure: `WEXITSTATUS`, or `WTERMSIG` and perhaps `WCOREDUMP`, or `WSTOPSIG` and perhaps `event`; or the name `WIFCONTINUED`.
//! - [`Returned::shown`] of poll(2) is a list of the descriptors that something happened to, of select(2) a structure of `in`, `out`, `except`
//!   and `left`, of both the name `Timeout` when nothing did.
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
pub use refer::{Located, descriptors, located, paths, says};
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tipstaff_abi::Sysno;

    use super::*;
    use crate::testing::Fake;

    /// Memory without an end, of bytes that depend on where they are and on a seed; some pages are missing.
    struct Noise(u64);

    impl Memory for Noise {
        fn read(&self, address: u64, into: &mut [u8]) -> usize {
            for (at, byte) in into.iter_mut().enumerate() {
                let here = address.wrapping_add(at as u64);
                let page = (here >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.0;
                if page >> 61 == 0 {
                    return at;
                }
                let word = (here >> 3).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(self.0).rotate_left(29);
                // Small numbers and zeroes are what lists and lengths are made of.
                *byte = if word & 3 == 0 { (word >> 32) as u8 } else { ((word >> 40) as u8) & 7 };
            }
            into.len()
        }
    }

    impl Files for Noise {
        fn path(&self, fd: i32) -> Option<Vec<u8>> {
            (fd % 2 == 0).then(|| b"/noise".to_vec())
        }
    }

    /// How much a value holds.
    fn weight(value: &Value) -> usize {
        match value {
            Value::Bytes { bytes, .. } => bytes.len(),
            Value::Struct(fields) => fields.iter().map(|(_, value)| 1 + weight(value)).sum(),
            Value::List { items, .. } => items.iter().map(|value| 1 + weight(value)).sum(),
            _ => 1,
        }
    }

    /// A word as callers have them, or anything.
    fn word() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..40_u64,
            Just(u64::MAX),
            any::<u32>().prop_map(u64::from),
            any::<u64>(),
            (0..64_u32).prop_map(|bit| 1 << bit)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        // Each case makes every call of an architecture: more than 100,000 calls in all.
        #[test]
        fn any_words_and_any_memory_are_decoded(
            arch in prop::sample::select(Arch::ALL.to_vec()), raw in prop::array::uniform6(word()), value in word(), seed in any::<u64>(),
            string_limit in prop_oneof![0..64_usize, Just(usize::MAX)], list_limit in 0..40_usize,
        ) {
            let noise = Noise(seed);
            let world = World { memory: &noise, files: Some(&noise), string_limit: string_limit.min(1 << 12), list_limit };
            for (number, _) in Sysno::all(arch) {
                let mut call = enter(arch, number.0, raw, &world);
                let names: Vec<&str> = call.args.iter().map(|arg| arg.name).collect();
                leave(&mut call, value as i64, &world);
                prop_assert_eq!(names, call.args.iter().map(|arg| arg.name).collect::<Vec<_>>());
                let weight: usize = call.args.iter().map(|arg| weight(&arg.value)).sum();
                prop_assert!(weight <= (list_limit + 2) * (list_limit + 2) * (world.string_limit + 4300) + 10_000, "{} {weight}", call.name);
                let _ = (paths(&call).len(), descriptors(&call).len());
            }
        }
    }

    #[test]
    fn limits_without_end_are_no_reason_to_allocate() {
        let noise = Noise(3);
        let world = World { memory: &noise, files: None, string_limit: usize::MAX, list_limit: usize::MAX };
        for (number, _) in Sysno::all(Arch::X86_64) {
            for words in [[u64::MAX; 6], [0x1_2345_6789; 6], [1 << 40; 6]] {
                let mut call = enter(Arch::X86_64, number.0, words, &world);
                leave(&mut call, i64::MAX, &world);
            }
        }
    }

    #[test]
    fn unknown_numbers_and_undescribed_calls() {
        let fake = Fake::default();
        let call = enter(Arch::X86_64, 9999, [1, 2, 3, 4, 5, 6], &fake.world());
        assert_eq!((call.name.as_ref(), call.args.len(), &call.args[5].value), ("syscall_0x270f", 6, &Value::Hex(6)));
        assert_eq!(fake.entered("vserver", &[1, 2]), "vserver(0x1, 0x2, 0x0, 0x0, 0x0, 0x0)");
        assert_eq!(fake.left("getpid", &[], -38), "getpid() = -38 ENOSYS");
        assert_eq!(fake.left("getpid", &[], -4095), "getpid() = -4095");
        assert_eq!(fake.left("getpid", &[], -4096), "getpid() = -4096");
        let x32 = fake.enter(Arch::X32, "writev", &[1, 0, 0]);
        assert_eq!((x32.name.as_ref(), x32.number), ("writev", 0x4000_0204));
    }

    /// What is left to raw words: calls that the kernel no longer has, and a few that nobody makes.
    #[test]
    fn most_calls_are_described() {
        let described = |arch: Arch| {
            Sysno::all(arch)
                .filter(|&(number, _)| index::find(arch, number.0).is_some_and(|entry| entry.spec.is_some()))
                .count()
        };
        let missing: Vec<&str> =
            Sysno::all(Arch::X86_64).filter(|(_, name)| index::by_name(name).is_none()).map(|(_, name)| name).collect();
        assert!(described(Arch::X86_64) >= 350, "{missing:?}");
        assert!(described(Arch::Aarch64) >= 300 && described(Arch::I386) >= 380);
    }
}
