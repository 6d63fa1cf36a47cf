//! Structures and arguments that several families share.

use crate::{
    Value,
    ctx::Ctx,
    kind::{Kind, Record},
    names::{self, Bits, bits},
    tables::files,
};

/// `struct timespec` in the caller's words.
pub(super) const TIMESPEC: Record = &[("tv_sec", Kind::Long), ("tv_nsec", Kind::Long)];

/// `struct __kernel_timespec`: 64 bits everywhere (calls that end in `64`, and those newer than Linux 5.1).
pub(super) const TIMESPEC64: Record = &[("tv_sec", Kind::I64), ("tv_nsec", Kind::I64)];

/// `struct timeval`.
pub(super) const TIMEVAL: Record = &[("tv_sec", Kind::Long), ("tv_usec", Kind::Long)];

/// `struct iovec` of which the bytes are of no use.
const IOVEC: Record = &[("iov_base", Kind::Addr), ("iov_len", Kind::Ulong)];

/// Flags of open(2), as x86 counts them.
static OPEN: Bits = Bits { fields: &[(3, files::ACCMODE)], bits: files::OPEN };

/// Flags of open(2) on ARM (arch/arm64/include/uapi/asm/fcntl.h), which has its own numbers for four of them.
static OPEN_ARM: Bits = Bits {
    fields: &[(3, files::ACCMODE)],
    bits: &[
        (0x10_1000, "O_SYNC"),
        (0x40_4000, "O_TMPFILE"),
        (0x40, "O_CREAT"),
        (0x80, "O_EXCL"),
        (0x100, "O_NOCTTY"),
        (0x200, "O_TRUNC"),
        (0x400, "O_APPEND"),
        (0x800, "O_NONBLOCK"),
        (0x1000, "O_DSYNC"),
        (0x2000, "O_ASYNC"),
        (0x4000, "O_DIRECTORY"),
        (0x8000, "O_NOFOLLOW"),
        (0x1_0000, "O_DIRECT"),
        (0x2_0000, "O_LARGEFILE"),
        (0x4_0000, "O_NOATIME"),
        (0x8_0000, "O_CLOEXEC"),
        (0x20_0000, "O_PATH"),
    ],
};

/// Flags of open(2).
pub(super) fn open_flags(ctx: &Ctx<'_>, word: u64) -> Value {
    let arm = matches!(ctx.arch, tipstaff_abi::Arch::Aarch64 | tipstaff_abi::Arch::Arm);
    if arm { &OPEN_ARM } else { &OPEN }.of(word)
}

/// Flags of open(2) in an `int`.
pub(super) fn open_flags_int(ctx: &Ctx<'_>, word: u64) -> Value {
    open_flags(ctx, word & 0xffff_ffff)
}

/// Whether open(2) with these flags makes a file, and so takes a mode: O_CREAT, or O_TMPFILE's own bit.
pub(super) fn makes(flags: u64) -> bool {
    flags & 0x40_0040 != 0
}

/// O_CLOEXEC and O_NONBLOCK where nothing else of open(2) is taken (pipe2(2), dup3(2)).
pub(super) static OPEN_BITS: Bits = bits(files::OPEN);

/// An iovec of which the kernel reads the bytes.
pub(super) fn iovec_in<const COUNT: usize>(ctx: &Ctx<'_>, address: u64) -> Value {
    iovec(ctx, address, ctx.word(COUNT), u64::MAX)
}

/// An iovec into which the kernel has written as many bytes as the result says.
pub(super) fn iovec_out<const COUNT: usize>(ctx: &Ctx<'_>, address: u64) -> Value {
    iovec(ctx, address, ctx.word(COUNT), ctx.len())
}

/// An iovec of which only addresses and lengths are told.
pub(super) fn iovec_bare<const COUNT: usize>(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.array(address, ctx.word(COUNT), Kind::Rec(IOVEC))
}

/// An iovec; `filled` bytes of the buffers are there to be shown.
pub(super) fn iovec(ctx: &Ctx<'_>, address: u64, count: u64, filled: u64) -> Value {
    iovec_of(ctx, address, count, filled, |base, len| ctx.buffer(base, len))
}

/// An iovec whose buffers are shown in a way of their own, given their address and how much of them is there.
pub(super) fn iovec_of(
    ctx: &Ctx<'_>,
    address: u64,
    count: u64,
    filled: u64,
    buffer: impl Fn(u64, u64) -> Value,
) -> Value {
    let mut left = filled;
    let word = ctx.word_size();
    ctx.list(address, count, 2 * word, |bytes| {
        let (base, len) = (word_at(bytes, 0, word), word_at(bytes, word, word));
        let here = len.min(left);
        left -= here;
        Value::Struct(vec![("iov_base", buffer(base, here)), ("iov_len", Value::Uint(len))])
    })
}

/// A word of 4 or 8 bytes out of some that were read; 0 beyond their end.
pub(super) fn word_at(bytes: &[u8], at: usize, size: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(found) = bytes.get(at..at + size.min(8)) {
        word[..found.len()].copy_from_slice(found);
    }
    u64::from_le_bytes(word)
}

/// A set of bits as a list: CPUs, NUMA nodes.
pub(super) fn bitmap(ctx: &Ctx<'_>, address: u64, bytes: u64) -> Value {
    if address == 0 {
        return Value::Address(0);
    }
    // The kernel's own limit is 8,192 CPUs.
    let read = ctx.read_vec(address, usize::try_from(bytes).map_or(1024, |bytes| bytes.min(1024)));
    if read.is_empty() && bytes != 0 {
        return Value::Address(address);
    }
    let set = (0..read.len() * 8).filter(|bit| read[bit / 8] >> (bit % 8) & 1 == 1);
    let mut items: Vec<Value> =
        set.take(ctx.world.list_limit.saturating_add(1)).map(|bit| Value::Uint(bit as u64)).collect();
    let more = items.len() > ctx.world.list_limit;
    items.truncate(ctx.world.list_limit);
    Value::List { items, more }
}

/// A time that runs out at 0: `Timeout`, as strace(1) says it for poll(2) and its kin.
pub(super) fn timed_out(_: &Ctx<'_>, value: i64) -> Option<Value> {
    (value == 0).then_some(Value::Name("Timeout"))
}

/// Strings behind an array of pointers that ends with a null pointer (argv).
pub(super) fn strings(ctx: &Ctx<'_>, address: u64) -> Value {
    if address == 0 {
        return Value::Address(0);
    }
    let word = ctx.word_size();
    let limit = ctx.world.list_limit.min(4096);
    let mut items = Vec::new();
    let mut more = false;
    each_pointer(ctx, address, word, |pointer| {
        more = items.len() == limit;
        if !more {
            items.push(ctx.text(pointer));
        }
        !more
    });
    if items.is_empty() && ctx.read_word(address).is_none() {
        return Value::Address(address);
    }
    Value::List { items, more }
}

/// The environment: how many variables, as strace(1) tells it, since their values are long and often secret.
pub(super) fn environment(ctx: &Ctx<'_>, address: u64) -> Value {
    if address == 0 || ctx.read_word(address).is_none() {
        return Value::Address(address);
    }
    let mut vars = 0;
    each_pointer(ctx, address, ctx.word_size(), |_| {
        vars += 1;
        vars < 65_536
    });
    Value::Struct(vec![("vars", Value::Uint(vars))])
}

/// Walks an array of pointers up to the null pointer, a few at a time, as long as it is told to.
fn each_pointer(ctx: &Ctx<'_>, address: u64, word: usize, mut then: impl FnMut(u64) -> bool) {
    let mut at = address;
    loop {
        let bytes = ctx.read_vec(at, 64 * word);
        for pointer in bytes.chunks_exact(word).map(|bytes| word_at(bytes, 0, word)) {
            if pointer == 0 || !then(pointer) {
                return;
            }
        }
        if bytes.len() < 64 * word {
            return;
        }
        at = at.wrapping_add(bytes.len() as u64);
    }
}

/// The name of a number that is or-ed with flags: `name|flags`.
pub(super) fn with_flags(names: crate::kind::Names, mask: u64, flags: &Bits, word: u64) -> Value {
    let rest = flags.of(word & !mask);
    let Some(name) = names::name(names, word & mask) else {
        let Value::Flags { names, rest } = rest else { return rest };
        return Value::Flags { names, rest: rest | word & mask };
    };
    match rest {
        Value::Flags { names, rest: 0 } if names.is_empty() => Value::Name(name),
        Value::Flags { mut names, rest } => {
            names.insert(0, name);
            Value::Flags { names, rest }
        }
        other => other,
    }
}
