//! Memory: mmap(2), mprotect(2), madvise(2), mremap(2), mlock(2), memfd_create(2), numa(7), pkeys(7).

use super::common::{bitmap, with_flags, word_at};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Addr, Bits, BitsLong, Enum, Fd, Hex, HexLong, In, Int, Out, Ptr, Str, Ulong},
        Param, Record,
        Ret::Address,
        Spec, call, chooses, opens, returns,
    },
    names::{self, bits},
    tables::memory,
};

static PROT: names::Bits = bits(memory::PROT);
static MAP: names::Bits = bits(memory::MAP);
static MREMAP: names::Bits = bits(memory::MREMAP);
static MSYNC: names::Bits = bits(memory::MSYNC);
static MLOCKALL: names::Bits = bits(memory::MLOCKALL);
static MLOCK: names::Bits = bits(memory::MLOCK);
static PKEY: names::Bits = bits(memory::PKEY);
static SHADOW_STACK: names::Bits = bits(memory::SHADOW_STACK);
static MEMFD: names::Bits = bits(memory::MEMFD);
static MPOL_MODE: names::Bits = bits(memory::MPOL_MODE);
static MPOL_GET: names::Bits = bits(memory::MPOL_GET);
static MPOL_MF: names::Bits = bits(memory::MPOL_MF);
static UFFD: names::Bits = bits(memory::UFFD);
static SECRET: names::Bits = bits(&[(0x8_0000, "FD_CLOEXEC")]);

/// The six bits from 26 on are the base-2 logarithm of the page size (MAP_HUGE_SHIFT).
const HUGE: u64 = 0x3f << 26;

/// The kind of mapping is a number in the low four bits; the size of huge pages another.
fn map_flags(_: &Ctx<'_>, word: u64) -> Value {
    let huge = if word & 0x4_0000 == 0 { 0 } else { word & HUGE };
    let Value::Flags { mut names, mut rest } = with_flags(memory::MAP_TYPE, 0xf, &MAP, word & !huge) else {
        return names::named(memory::MAP_TYPE, word);
    };
    match names::name(memory::MAP_HUGE, huge).filter(|_| huge != 0) {
        Some(name) => names.push(name),
        None => rest |= huge,
    }
    Value::Flags { names, rest }
}

fn memfd_flags(_: &Ctx<'_>, word: u64) -> Value {
    let huge = word & HUGE;
    let mut flags = MEMFD.of(word & !HUGE & 0xffff_ffff);
    // MFD_HUGE_2MB and its kin are MAP_HUGE_2MB under another name.
    if let Value::Flags { rest, .. } = &mut flags {
        *rest |= huge;
    }
    flags
}

/// With no descriptor to map, -1 is shown and not looked up.
const MMAP: &[Param] = &[
    ("addr", Addr),
    ("length", Ulong),
    ("prot", BitsLong(&PROT)),
    ("flags", In(map_flags)),
    ("fd", Fd),
    ("offset", HexLong),
];

/// mmap(2) of i386 has its six words in memory.
fn old_mmap(ctx: &mut Ctx<'_>) -> &'static [Param] {
    let words = ctx.read::<24>(ctx.word(0)).unwrap_or_default();
    for at in 0..6 {
        ctx.words[at] = word_at(&words, at * 4, 4);
    }
    MMAP
}

/// The offset of mmap2(2) counts pages of 4,096 bytes.
fn pages(_: &Ctx<'_>, word: u64) -> Value {
    Value::Hex(word << 12)
}

fn mremap(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const SHORT: &[Param] =
        &[("old_address", Addr), ("old_size", Ulong), ("new_size", Ulong), ("flags", BitsLong(&MREMAP))];
    const LONG: &[Param] = &[
        ("old_address", Addr),
        ("old_size", Ulong),
        ("new_size", Ulong),
        ("flags", BitsLong(&MREMAP)),
        ("new_address", Addr),
    ];
    // MREMAP_FIXED and MREMAP_DONTUNMAP look at the fifth.
    if ctx.word(3) & 6 == 0 { SHORT } else { LONG }
}

fn mode(_: &Ctx<'_>, word: u64) -> Value {
    with_flags(memory::MPOL, 0x1fff, &MPOL_MODE, word & 0xffff_ffff)
}

fn policy_out(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.pointee(address, Kind::In32(mode))
}

fn nodes<const MAX: usize>(ctx: &Ctx<'_>, address: u64) -> Value {
    bitmap(ctx, address, nodemask_bytes(ctx.word(MAX)))
}

/// `maxnode` is one more than the number of bits (set_mempolicy(2)).
fn nodemask_bytes(maxnode: u64) -> u64 {
    maxnode.saturating_sub(1).div_ceil(8)
}

fn residency(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.array(address, ctx.word(1).div_ceil(4096), Kind::U8)
}

const LDT: Record = &[("entry_number", Kind::Uint), ("base_addr", Hex), ("limit", Hex), ("flags", Hex)];

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    returns("mmap", MMAP, Address),
    returns("mmap2", &[("addr", Addr), ("length", Ulong), ("prot", BitsLong(&PROT)), ("flags", In(map_flags)), ("fd", Fd), ("pgoffset", In(pages))], Address),
    chooses("mmap:struct", old_mmap, Address),
    call("munmap", &[("addr", Addr), ("length", Ulong)]),
    call("mprotect", &[("addr", Addr), ("size", Ulong), ("prot", BitsLong(&PROT))]),
    chooses("mremap", mremap, Address),
    returns("brk", &[("addr", Addr)], Address),
    call("madvise", &[("addr", Addr), ("size", Ulong), ("advice", Enum(memory::MADVISE))]),
    call("process_madvise", &[("pidfd", Fd), ("iovec", In(super::common::iovec_bare::<2>)), ("vlen", Ulong), ("advice", Enum(memory::MADVISE)), ("flags", Hex)]),
    call("msync", &[("addr", Addr), ("length", Ulong), ("flags", Bits(&MSYNC))]),
    call("mincore", &[("addr", Addr), ("length", Ulong), ("vec", Out(residency))]),
    call("mlock munlock", &[("addr", Addr), ("size", Ulong)]),
    call("mlock2", &[("addr", Addr), ("size", Ulong), ("flags", Bits(&MLOCK))]),
    call("mlockall", &[("flags", Bits(&MLOCKALL))]),
    call("munlockall", &[]),
    call("mseal", &[("addr", Addr), ("size", Ulong), ("flags", HexLong)]),
    returns("map_shadow_stack", &[("addr", Addr), ("size", Ulong), ("flags", Bits(&SHADOW_STACK))], Address),
    call("pkey_mprotect", &[("addr", Addr), ("size", Ulong), ("prot", BitsLong(&PROT)), ("pkey", Int)]),
    call("pkey_alloc", &[("flags", HexLong), ("access_rights", BitsLong(&PKEY))]),
    call("pkey_free", &[("pkey", Int)]),
    opens("memfd_create", &[("name", Str), ("flags", In(memfd_flags))]),
    opens("memfd_secret", &[("flags", Bits(&SECRET))]),
    opens("userfaultfd", &[("flags", Bits(&UFFD))]),
    call("mbind", &[("addr", Addr), ("len", Ulong), ("mode", In(mode)), ("nodemask", In(nodes::<4>)), ("maxnode", Ulong), ("flags", Bits(&MPOL_MF))]),
    call("set_mempolicy", &[("mode", In(mode)), ("nodemask", In(nodes::<2>)), ("maxnode", Ulong)]),
    call("get_mempolicy", &[("mode", Out(policy_out)), ("nodemask", Out(nodes::<2>)), ("maxnode", Ulong), ("addr", Addr), ("flags", BitsLong(&MPOL_GET))]),
    call("set_mempolicy_home_node", &[("start", Addr), ("len", Ulong), ("home_node", Ulong), ("flags", HexLong)]),
    call("migrate_pages", &[("pid", Int), ("maxnode", Ulong), ("old_nodes", In(nodes::<1>)), ("new_nodes", In(nodes::<1>))]),
    call("move_pages", &[("pid", Int), ("count", Ulong), ("pages", Kind::Counted(1, &Addr)), ("nodes", Kind::Counted(1, &Int)), ("status", Out(statuses)), ("flags", Bits(&MPOL_MF))]),
    call("modify_ldt", &[("func", Int), ("ptr", Ptr(LDT)), ("bytecount", Ulong)]),
    call("set_thread_area", &[("u_info", Kind::InOutPtr(LDT))]),
    call("get_thread_area", &[("u_info", Kind::InOutPtr(LDT))]),
    call("process_mrelease", &[("pidfd", Fd), ("flags", Hex)]),
];

fn statuses(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.array(address, ctx.word(1), Int)
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn mappings() {
        let fake = Fake::default().fd(3, "/lib/libc.so");
        assert_eq!(
            fake.left("mmap", &[0, 8192, 3, 0x22, u64::MAX, 0], 0x7f00_0000_0000),
            "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 139637976727552 (0x7f0000000000)"
        );
        assert_eq!(
            fake.left("mmap", &[0x1000, 4096, 0, 0x812, 3, 0x2000], -12),
            "mmap(0x1000, 4096, PROT_NONE, MAP_PRIVATE|MAP_FIXED|MAP_DENYWRITE, 3</lib/libc.so>, 0x2000) = -12 ENOMEM"
        );
        assert_eq!(
            fake.entered("mmap", &[0, 1 << 21, 3, 0x5404_0021, 0, 0]),
            "mmap(NULL, 2097152, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS|MAP_HUGETLB|MAP_HUGE_2MB, 0, 0x0)"
        );
        assert_eq!(fake.left("brk", &[0], 0x55_0000), "brk(NULL) = 5570560 (0x550000)");
        assert_eq!(fake.left("mprotect", &[0x1000, 4096, 1], 0), "mprotect(0x1000, 4096, PROT_READ) = 0");
        assert_eq!(fake.entered("mremap", &[0x1000, 1, 2, 1, 9]), "mremap(0x1000, 1, 2, MREMAP_MAYMOVE)");
        assert_eq!(fake.entered("madvise", &[0x1000, 1, 4]), "madvise(0x1000, 1, MADV_DONTNEED)");
    }

    #[test]
    fn mappings_of_i386() {
        let fake = Fake::default().halves(0x3000, &[0, 4096, 1, 2, 3, 0x1000]);
        // High addresses look like negative numbers, the highest page alone means errors.
        assert_eq!(
            fake.left_on(Arch::I386, "mmap2", &[0, 4096, 5, 2, 3, 1], 0xf7f0_0000),
            "mmap2(NULL, 4096, PROT_READ|PROT_EXEC, MAP_PRIVATE, 3, 0x1000) = -135266304 (0xf7f00000)"
        );
        assert_eq!(fake.left_on(Arch::I386, "mmap2", &[0; 6], 0xffff_fff4).rsplit(" = ").next(), Some("-12 ENOMEM"));
        assert_eq!(
            fake.left_on(Arch::I386, "mmap", &[0x3000], 0x4000),
            "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0x1000) = 16384 (0x4000)"
        );
    }

    #[test]
    fn policies_and_nodes() {
        let fake = Fake::default().words(0x1000, &[0b101]).put(0x2000, b"name\0");
        assert_eq!(
            fake.entered("set_mempolicy", &[0x8003, 0x1000, 65]),
            "set_mempolicy(MPOL_INTERLEAVE|MPOL_F_STATIC_NODES, [0, 2], 65)"
        );
        assert_eq!(
            fake.left("memfd_create", &[0x2000, 3], 5),
            r#"memfd_create("name", MFD_CLOEXEC|MFD_ALLOW_SEALING) = 5 (5)"#
        );
    }
}
