//! What a file or a file system is: stat(2), statx(2), statfs(2).

use tipstaff_abi::Arch;

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{
            self, Array, Bits, Bits64, BitsLong, Chars, Dirfd, Enum, EnumLong, Fd, Hex, I64, Id, Id16, In64, Int, Long,
            Octal, Octal16, Out, OutPtr, Path, Rec, Skip, Str, U16, U64, Uint, Ulong,
        },
        Record, Spec, call,
    },
    names::bits,
    tables::files,
};

static AT: crate::names::Bits = bits(files::AT);
static STATX_MASK: crate::names::Bits = bits(files::STATX);
static STATX_ATTR: crate::names::Bits = bits(files::STATX_ATTR);
static STATFS_FLAGS: crate::names::Bits = bits(files::STATFS);

/// x86_64 (arch/x86/include/uapi/asm/stat.h).
#[rustfmt::skip]
pub(super) const STAT_X86_64: Record = &[
    ("st_dev", In64(device)), ("st_ino", U64), ("st_nlink", U64), ("st_mode", Octal), ("st_uid", Id), ("st_gid", Id), ("", Skip(4)),
    ("st_rdev", In64(device)), ("st_size", I64), ("st_blksize", I64), ("st_blocks", I64), ("st_atime", I64), ("st_atime_nsec", U64),
    ("st_mtime", I64), ("st_mtime_nsec", U64), ("st_ctime", I64), ("st_ctime_nsec", U64),
];

/// 64-bit ARM, which has the generic one (include/uapi/asm-generic/stat.h).
#[rustfmt::skip]
const STAT_GENERIC: Record = &[
    ("st_dev", In64(device)), ("st_ino", U64), ("st_mode", Octal), ("st_nlink", Uint), ("st_uid", Id), ("st_gid", Id), ("st_rdev", In64(device)),
    ("", Skip(8)), ("st_size", I64), ("st_blksize", Int), ("", Skip(4)), ("st_blocks", I64), ("st_atime", I64), ("st_atime_nsec", U64),
    ("st_mtime", I64), ("st_mtime_nsec", U64), ("st_ctime", I64), ("st_ctime_nsec", U64),
];

/// `struct stat64` of i386 and 32-bit ARM. The inode stands at the end; the first one is cut to 32 bits.
#[rustfmt::skip]
pub(super) const STAT64: Record = &[
    ("st_dev", In64(device)), ("", Skip(4)), ("", Skip(4)), ("st_mode", Octal), ("st_nlink", Uint), ("st_uid", Id), ("st_gid", Id),
    ("st_rdev", In64(device)), ("", Skip(4)), ("st_size", I64), ("st_blksize", Uint), ("st_blocks", U64), ("st_atime", Int), ("st_atime_nsec", Uint),
    ("st_mtime", Int), ("st_mtime_nsec", Uint), ("st_ctime", Int), ("st_ctime_nsec", Uint), ("st_ino", U64),
];

/// `struct stat` of i386 and 32-bit ARM.
#[rustfmt::skip]
pub(super) const STAT32: Record = &[
    ("st_dev", Kind::Dev), ("st_ino", Uint), ("st_mode", Octal16), ("st_nlink", U16), ("st_uid", Id16), ("st_gid", Id16), ("st_rdev", Kind::Dev),
    ("st_size", Uint), ("st_blksize", Uint), ("st_blocks", Uint), ("st_atime", Int), ("st_atime_nsec", Uint), ("st_mtime", Int),
    ("st_mtime_nsec", Uint), ("st_ctime", Int), ("st_ctime_nsec", Uint),
];

#[rustfmt::skip]
pub(super) const STATX: Record = &[
    ("stx_mask", Bits(&STATX_MASK)), ("stx_blksize", Uint), ("stx_attributes", Bits64(&STATX_ATTR)), ("stx_nlink", Uint), ("stx_uid", Id),
    ("stx_gid", Id), ("stx_mode", Octal16), ("", Skip(2)), ("stx_ino", U64), ("stx_size", U64), ("stx_blocks", U64),
    ("stx_attributes_mask", Bits64(&STATX_ATTR)), ("stx_atime", Rec(STATX_TIME)), ("stx_btime", Rec(STATX_TIME)), ("stx_ctime", Rec(STATX_TIME)),
    ("stx_mtime", Rec(STATX_TIME)), ("stx_rdev_major", Uint), ("stx_rdev_minor", Uint), ("stx_dev_major", Uint), ("stx_dev_minor", Uint),
    ("stx_mnt_id", U64), ("stx_dio_mem_align", Uint), ("stx_dio_offset_align", Uint), ("stx_subvol", U64),
];
const STATX_TIME: Record = &[("tv_sec", I64), ("tv_nsec", Uint), ("", Skip(4))];

/// `struct statfs`: words of the caller's size.
#[rustfmt::skip]
pub(super) const STATFS: Record = &[
    ("f_type", EnumLong(files::FS_MAGIC)), ("f_bsize", Long), ("f_blocks", Ulong), ("f_bfree", Ulong), ("f_bavail", Ulong), ("f_files", Ulong),
    ("f_ffree", Ulong), ("f_fsid", Array(2, &Hex)), ("f_namelen", Long), ("f_frsize", Long), ("f_flags", BitsLong(&STATFS_FLAGS)),
];

/// `struct statfs64` of a 32-bit caller.
#[rustfmt::skip]
pub(super) const STATFS64: Record = &[
    ("f_type", Enum(files::FS_MAGIC)), ("f_bsize", Uint), ("f_blocks", U64), ("f_bfree", U64), ("f_bavail", U64), ("f_files", U64),
    ("f_ffree", U64), ("f_fsid", Array(2, &Hex)), ("f_namelen", Uint), ("f_frsize", Uint), ("f_flags", Bits(&STATFS_FLAGS)),
];

const USTAT: Record = &[("f_tfree", Int), ("f_tinode", Ulong), ("f_fname", Chars(6)), ("f_fpack", Chars(6))];

fn device(_: &Ctx<'_>, word: u64) -> Value {
    crate::ctx::dev(word)
}

/// `struct stat` of the calls that every 64-bit caller makes.
fn stat(ctx: &Ctx<'_>, address: u64) -> Value {
    let record = match ctx.arch {
        Arch::X86_64 | Arch::X32 => STAT_X86_64,
        Arch::Aarch64 => STAT_GENERIC,
        _ => STAT64,
    };
    ctx.record(address, record)
}

/// sysfs(2): the names of file systems; 1 asks for the number of one, 2 for the name of one.
fn sysfs(ctx: &mut Ctx<'_>) -> &'static [crate::kind::Param] {
    match ctx.word(0) as u32 {
        1 => &[("option", Int), ("fsname", Str)],
        2 => &[("option", Int), ("fs_index", Uint), ("buf", Kind::OutStr)],
        _ => &[("option", Int)],
    }
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("stat lstat stat64 lstat64", &[("pathname", Path), ("statbuf", Out(stat))]),
    call("fstat fstat64", &[("fd", Fd), ("statbuf", Out(stat))]),
    call("newfstatat fstatat64", &[("dirfd", Dirfd), ("pathname", Path), ("statbuf", Out(stat)), ("flags", Bits(&AT))]),
    call("stat:32", &[("pathname", Path), ("statbuf", OutPtr(STAT32))]),
    call("fstat:32", &[("fd", Fd), ("statbuf", OutPtr(STAT32))]),
    call("statx", &[("dirfd", Dirfd), ("pathname", Path), ("flags", Bits(&AT)), ("mask", Bits(&STATX_MASK)), ("statxbuf", OutPtr(STATX))]),
    call("statfs", &[("path", Path), ("buf", OutPtr(STATFS))]),
    call("fstatfs", &[("fd", Fd), ("buf", OutPtr(STATFS))]),
    call("statfs64", &[("path", Path), ("sz", Ulong), ("buf", OutPtr(STATFS64))]),
    call("fstatfs64", &[("fd", Fd), ("sz", Ulong), ("buf", OutPtr(STATFS64))]),
    call("ustat", &[("dev", Kind::Dev), ("ubuf", OutPtr(USTAT))]),
    crate::kind::chooses("sysfs", sysfs, crate::kind::Ret::Number),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn stat_of_each_word_size() {
        let mut wide: Vec<u64> = vec![0x801, 42, 1, 0o100644 | 1000 << 32, 1000, 0, 5, 4096, 8];
        wide.extend([1_700_000_000, 7, 1_700_000_001, 8, 1_700_000_002, 9, 0, 0, 0]);
        let fake = Fake::default().words(0x2000, &wide).put(0x1000, b"f\0");
        assert_eq!(
            fake.left("stat", &[0x1000, 0x2000], 0),
            "stat(\"f\", {st_dev={major=0x8, minor=0x1}, st_ino=42, st_nlink=1, st_mode=0100644, st_uid=1000, st_gid=1000, \
             st_rdev={major=0x0, minor=0x0}, st_size=5, st_blksize=4096, st_blocks=8, st_atime=1700000000, st_atime_nsec=7, \
             st_mtime=1700000001, st_mtime_nsec=8, st_ctime=1700000002, st_ctime_nsec=9}) = 0"
        );
        assert_eq!(fake.left("stat", &[0x1000, 0x2000], -2), "stat(\"f\", 0x2000) = -2 ENOENT");
        let mut narrow =
            vec![0x801, 0, 0, 1, 0o100644, 2, 3, 4, 0, 0, 0, 5, 0, 4096, 8, 0, 10, 11, 12, 13, 14, 15, 42, 0];
        let fake = Fake::default().halves(0x2000, &narrow);
        let expected = "fstat64(3, {st_dev={major=0x8, minor=0x1}, st_mode=0100644, st_nlink=2, st_uid=3, st_gid=4, \
             st_rdev={major=0x0, minor=0x0}, st_size=5, st_blksize=4096, st_blocks=8, st_atime=10, st_atime_nsec=11, \
             st_mtime=12, st_mtime_nsec=13, st_ctime=14, st_ctime_nsec=15, st_ino=42}) = 0";
        assert_eq!(fake.left_on(Arch::I386, "fstat64", &[3, 0x2000], 0), expected);
        // ARM aligns 64 bits to 8 bytes.
        narrow.insert(11, 0);
        narrow.insert(15, 0);
        let fake = Fake::default().halves(0x2000, &narrow);
        assert_eq!(fake.left_on(Arch::Arm, "fstat64", &[3, 0x2000], 0), expected);
    }

    #[test]
    fn statx_and_statfs() {
        let mut bytes = vec![0; 256];
        bytes[..4].copy_from_slice(&0x7ff_u32.to_le_bytes());
        bytes[28..30].copy_from_slice(&0o40755_u16.to_le_bytes());
        bytes[32..40].copy_from_slice(&77_u64.to_le_bytes());
        let fake = Fake::default().put(0x1000, b"\0").put(0x2000, bytes);
        let text = fake.left("statx", &[3, 0x1000, 0x1000, 0x7ff, 0x2000], 0);
        assert!(
            text.starts_with(r#"statx(3, "", AT_EMPTY_PATH, STATX_BASIC_STATS, {stx_mask=STATX_BASIC_STATS, "#),
            "{text}"
        );
        assert!(text.contains("stx_mode=040755, stx_ino=77, "), "{text}");
        let words = [0xef53, 4096, 1, 2, 3, 4, 5, 0x2_0000_0001, 255, 4096, 0x1021, 0, 0, 0, 0];
        let fake = Fake::default().put(0x1000, b"/\0").words(0x2000, &words);
        assert_eq!(
            fake.left("statfs", &[0x1000, 0x2000], 0),
            "statfs(\"/\", {f_type=EXT2_SUPER_MAGIC, f_bsize=4096, f_blocks=1, f_bfree=2, f_bavail=3, f_files=4, f_ffree=5, \
             f_fsid=[0x1, 0x2], f_namelen=255, f_frsize=4096, f_flags=ST_RDONLY|ST_VALID|ST_RELATIME}) = 0"
        );
    }
}
