//! Calls of which there is little to say.

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Buf, Hex, HexLong, Int, OutBuf, OutPtr, Uint, Ulong},
        Record,
        Ret::With,
        Spec, call, returns,
    },
    names::{self, bits},
    tables::{kernel, memory, process},
};

static GRND: names::Bits = bits(kernel::GRND);
static RSEQ: names::Bits = bits(kernel::RSEQ);
static MEMBARRIER_FLAGS: names::Bits = bits(memory::MEMBARRIER_FLAGS);
static PERSONALITY: names::Bits = bits(process::PERSONALITY_FLAGS);

#[rustfmt::skip]
const UTSNAME: Record = &[
    ("sysname", Kind::Chars(65)), ("nodename", Kind::Chars(65)), ("release", Kind::Chars(65)), ("version", Kind::Chars(65)),
    ("machine", Kind::Chars(65)), ("domainname", Kind::Chars(65)),
];
#[rustfmt::skip]
pub(super) const SYSINFO: Record = &[
    ("uptime", Kind::Long), ("loads", Kind::Array(3, &Ulong)), ("totalram", Ulong), ("freeram", Ulong), ("sharedram", Ulong), ("bufferram", Ulong),
    ("totalswap", Ulong), ("freeswap", Ulong), ("procs", Kind::U16), ("", Kind::Skip(2)), ("totalhigh", Ulong), ("freehigh", Ulong), ("mem_unit", Uint),
];
#[rustfmt::skip]
const OLDUTSNAME: Record = &[
    ("sysname", Kind::Chars(65)), ("nodename", Kind::Chars(65)), ("release", Kind::Chars(65)), ("version", Kind::Chars(65)), ("machine", Kind::Chars(65)),
];

/// A personality: a base, with flags above it; all ones ask for the present one.
fn personality(_: &Ctx<'_>, word: u64) -> Value {
    let word = word & 0xffff_ffff;
    if word == 0xffff_ffff {
        return Value::Hex(word);
    }
    super::common::with_flags(process::PERSONALITY, 0xff, &PERSONALITY, word)
}

fn personality_of(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    Some(personality(ctx, value as u64))
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("sync vhangup restart_syscall idle uprobe uretprobe", &[]),
    call("uname", &[("buf", OutPtr(UTSNAME))]),
    call("olduname", &[("buf", OutPtr(OLDUTSNAME))]),
    call("sysinfo", &[("info", OutPtr(SYSINFO))]),
    call("getrandom", &[("buf", OutBuf), ("buflen", Ulong), ("flags", Kind::Bits(&GRND))]),
    call("rseq", &[("rseq", Addr), ("rseq_len", Uint), ("flags", Kind::Bits(&RSEQ)), ("sig", Hex)]),
    call("membarrier", &[("cmd", Kind::Enum(memory::MEMBARRIER)), ("flags", Kind::Bits(&MEMBARRIER_FLAGS)), ("cpu_id", Int)]),
    returns("personality", &[("persona", Kind::In(personality))], With(personality_of)),
    call("sethostname", &[("name", Buf(1)), ("len", Ulong)]),
    call("setdomainname", &[("name", Buf(1)), ("len", Ulong)]),
    call("iopl", &[("level", Int)]),
    call("ioperm", &[("from", HexLong), ("num", HexLong), ("turn_on", Int)]),
    call("swapon", &[("path", Kind::Path), ("swapflags", Kind::Bits(&SWAP))]),
    call("swapoff", &[("path", Kind::Path)]),
];

static SWAP: names::Bits = bits(crate::tables::mount::SWAP);

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn names_random_bytes_and_personalities() {
        let mut utsname = vec![0; 390];
        utsname[..5].copy_from_slice(b"Linux");
        let fake = Fake::default().put(0x1000, utsname).put(0x2000, [1, 2]);
        assert_eq!(
            fake.left("uname", &[0x1000], 0),
            r#"uname({sysname="Linux", nodename="", release="", version="", machine="", domainname=""}) = 0"#
        );
        assert_eq!(fake.left("getrandom", &[0x2000, 2, 1], 2), r#"getrandom("\x01\x02", 2, GRND_NONBLOCK) = 2"#);
        assert_eq!(fake.left("personality", &[0x40000], 0), "personality(PER_LINUX|ADDR_NO_RANDOMIZE) = 0 (PER_LINUX)");
        assert_eq!(fake.entered("personality", &[0xffff_ffff]), "personality(0xffffffff)");
    }
}
