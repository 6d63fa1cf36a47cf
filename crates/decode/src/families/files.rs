//! Files by name: open(2), access(2), mkdir(2), rename(2), link(2), chmod(2), chown(2), mknod(2), utimensat(2), xattr(7).

use super::common::{TIMEVAL, makes, open_flags, open_flags_int};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{
            self, Bits, Buf, Dev, Dirfd, Fd, I64, Id, Id16, In, In32, InOutPtr, Int, Items, Long, Octal, OutBuf,
            OutStr, Path, Ptr, Rec, Str, U64, Uint, Ulong,
        },
        Param, Record,
        Ret::{Fd as RetFd, Number, Octal as RetOctal},
        Spec, call, chooses, opens, returns,
    },
    names::{self, bits},
    tables::{files, time},
};

static RESOLVE: names::Bits = bits(files::RESOLVE);
static ACCESS: names::Bits = bits(files::ACCESS);
static AT: names::Bits = bits(files::AT);
static AT_ACCESS: names::Bits = bits(files::AT_ACCESS);
static AT_UNLINK: names::Bits = bits(files::AT_UNLINK);
static AT_HANDLE: names::Bits = bits(files::AT_HANDLE);
static RENAME: names::Bits = bits(files::RENAME);
static XATTR: names::Bits = bits(files::XATTR);
static FSFLAGS: names::Bits = bits(files::FSFLAGS);

const OPEN: &[Param] = &[("pathname", Path), ("flags", In32(open_flags_int))];
const OPEN_MODE: &[Param] = &[("pathname", Path), ("flags", In32(open_flags_int)), ("mode", Octal)];
const MKNOD: &[Param] = &[("pathname", Path), ("mode", Octal)];
const MKNOD_DEVICE: &[Param] = &[("pathname", Path), ("mode", Octal), ("dev", Dev)];
const MKNODAT: &[Param] = &[("dirfd", Dirfd), ("pathname", Path), ("mode", Octal)];
const MKNODAT_DEVICE: &[Param] = &[("dirfd", Dirfd), ("pathname", Path), ("mode", Octal), ("dev", Dev)];
const OPENAT: &[Param] = &[("dirfd", Dirfd), ("pathname", Path), ("flags", In32(open_flags_int))];
const OPENAT_MODE: &[Param] = &[("dirfd", Dirfd), ("pathname", Path), ("flags", In32(open_flags_int)), ("mode", Octal)];

pub(super) const OPEN_HOW: Record =
    &[("flags", Kind::In64(open_flags)), ("mode", Kind::In64(how_mode)), ("resolve", Kind::Bits64(&RESOLVE))];

/// Whether mknod(2) makes a device (S_IFCHR, S_IFBLK): nothing else has a number.
fn is_device(mode: u64) -> bool {
    matches!(mode & 0o170_000, 0o020_000 | 0o060_000)
}

fn how_mode(_: &Ctx<'_>, word: u64) -> Value {
    u32::try_from(word).map_or(Value::Hex(word), Value::Octal)
}

/// open_how grows with newer kernels; its size comes along (openat2(2)).
fn open_how(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record_sized(address, OPEN_HOW, ctx.word(3))
}

/// The two times of utimensat(2): nanoseconds may say now, or leave it.
fn nanoseconds(ctx: &Ctx<'_>, word: u64) -> Value {
    let known = names::name(time::UTIME, word).map(Value::Name);
    known.unwrap_or(Value::Int(if ctx.wide { word as i64 } else { i64::from(word as i32) }))
}

fn nanoseconds64(_: &Ctx<'_>, word: u64) -> Value {
    names::name(time::UTIME, word).map_or(Value::Int(word as i64), Value::Name)
}

const UTIME: Record = &[("tv_sec", Long), ("tv_nsec", In(nanoseconds))];
const UTIME64: Record = &[("tv_sec", I64), ("tv_nsec", Kind::In64(nanoseconds64))];
pub(super) const UTIMBUF: Record = &[("actime", Long), ("modtime", Long)];
const FILE_HANDLE: Record = &[("handle_bytes", Uint), ("handle_type", Int)];
const XATTR_ARGS: Record = &[("value", Kind::Addr64), ("size", Uint), ("flags", Bits(&XATTR))];
const FILE_ATTR: Record = &[
    ("fa_xflags", Kind::Hex64),
    ("fa_extsize", Uint),
    ("fa_nextents", Uint),
    ("fa_projid", Uint),
    ("fa_cowextsize", Uint),
];

fn file_attr(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record_sized(address, FILE_ATTR, ctx.word(3))
}

fn xattr_args(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.record_sized(address, XATTR_ARGS, ctx.word(5))
}

/// Attributes as chattr(1) knows them; ioctl(2) FS_IOC_GETFLAGS.
pub(super) const ATTRIBUTES: Kind = Bits(&FSFLAGS);

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    chooses("open", |ctx| if makes(ctx.word(1)) { OPEN_MODE } else { OPEN }, RetFd),
    chooses("openat", |ctx| if makes(ctx.word(2)) { OPENAT_MODE } else { OPENAT }, RetFd),
    opens("creat", &[("pathname", Path), ("mode", Octal)]),
    opens("openat2", &[("dirfd", Dirfd), ("pathname", Path), ("how", In(open_how)), ("size", Ulong)]),
    call("name_to_handle_at", &[("dirfd", Dirfd), ("pathname", Path), ("handle", InOutPtr(FILE_HANDLE)), ("mount_id", Kind::OutTo(&Int)), ("flags", Bits(&AT_HANDLE))]),
    opens("open_by_handle_at", &[("mount_fd", Dirfd), ("handle", Ptr(FILE_HANDLE)), ("flags", In32(open_flags_int))]),
    call("access", &[("pathname", Path), ("mode", Bits(&ACCESS))]),
    call("faccessat", &[("dirfd", Dirfd), ("pathname", Path), ("mode", Bits(&ACCESS))]),
    call("faccessat2", &[("dirfd", Dirfd), ("pathname", Path), ("mode", Bits(&ACCESS)), ("flags", Bits(&AT_ACCESS))]),
    call("truncate", &[("path", Path), ("length", Long)]),
    call("truncate64", &[("path", Path), ("length", I64)]),
    call("rename", &[("oldpath", Path), ("newpath", Path)]),
    call("renameat", &[("olddirfd", Dirfd), ("oldpath", Path), ("newdirfd", Dirfd), ("newpath", Path)]),
    call("renameat2", &[("olddirfd", Dirfd), ("oldpath", Path), ("newdirfd", Dirfd), ("newpath", Path), ("flags", Bits(&RENAME))]),
    call("link", &[("oldpath", Path), ("newpath", Path)]),
    call("linkat", &[("olddirfd", Dirfd), ("oldpath", Path), ("newdirfd", Dirfd), ("newpath", Path), ("flags", Bits(&AT))]),
    call("symlink", &[("target", Str), ("linkpath", Path)]),
    call("symlinkat", &[("target", Str), ("newdirfd", Dirfd), ("linkpath", Path)]),
    call("readlink", &[("pathname", Path), ("buf", Kind::Out(target)), ("bufsiz", Ulong)]),
    call("readlinkat", &[("dirfd", Dirfd), ("pathname", Path), ("buf", Kind::Out(target)), ("bufsiz", Ulong)]),
    call("unlink", &[("pathname", Path)]),
    call("unlinkat", &[("dirfd", Dirfd), ("pathname", Path), ("flags", Bits(&AT_UNLINK))]),
    call("chmod", &[("pathname", Path), ("mode", Octal)]),
    call("fchmod", &[("fd", Fd), ("mode", Octal)]),
    call("fchmodat", &[("dirfd", Dirfd), ("pathname", Path), ("mode", Octal)]),
    call("fchmodat2", &[("dirfd", Dirfd), ("pathname", Path), ("mode", Octal), ("flags", Bits(&AT))]),
    call("chown lchown chown32 lchown32", &[("pathname", Path), ("owner", Id), ("group", Id)]),
    call("chown:16", &[("pathname", Path), ("owner", Id16), ("group", Id16)]),
    call("fchown fchown32", &[("fd", Fd), ("owner", Id), ("group", Id)]),
    call("fchown:16", &[("fd", Fd), ("owner", Id16), ("group", Id16)]),
    call("fchownat", &[("dirfd", Dirfd), ("pathname", Path), ("owner", Id), ("group", Id), ("flags", Bits(&AT))]),
    chooses("mknod", |ctx| if is_device(ctx.word(1)) { MKNOD_DEVICE } else { MKNOD }, Number),
    chooses("mknodat", |ctx| if is_device(ctx.word(2)) { MKNODAT_DEVICE } else { MKNODAT }, Number),
    returns("umask", &[("mask", Octal)], RetOctal),
    call("utime", &[("filename", Path), ("times", Ptr(UTIMBUF))]),
    call("utimes", &[("filename", Path), ("times", Items(2, &Rec(TIMEVAL)))]),
    call("futimesat", &[("dirfd", Dirfd), ("pathname", Path), ("times", Items(2, &Rec(TIMEVAL)))]),
    call("utimensat", &[("dirfd", Dirfd), ("pathname", Path), ("times", Items(2, &Rec(UTIME))), ("flags", Bits(&AT))]),
    call("utimensat_time64", &[("dirfd", Dirfd), ("pathname", Path), ("times", Items(2, &Rec(UTIME64))), ("flags", Bits(&AT))]),
    call("setxattr lsetxattr", &[("path", Path), ("name", Str), ("value", Buf(3)), ("size", Ulong), ("flags", Bits(&XATTR))]),
    call("fsetxattr", &[("fd", Fd), ("name", Str), ("value", Buf(3)), ("size", Ulong), ("flags", Bits(&XATTR))]),
    call("getxattr lgetxattr", &[("path", Path), ("name", Str), ("value", Kind::Out(value)), ("size", Ulong)]),
    call("fgetxattr", &[("fd", Fd), ("name", Str), ("value", Kind::Out(value)), ("size", Ulong)]),
    call("listxattr llistxattr", &[("path", Path), ("list", Kind::Out(list)), ("size", Ulong)]),
    call("flistxattr", &[("fd", Fd), ("list", Kind::Out(list)), ("size", Ulong)]),
    call("removexattr lremovexattr", &[("path", Path), ("name", Str)]),
    call("fremovexattr", &[("fd", Fd), ("name", Str)]),
    call("setxattrat getxattrat", &[("dirfd", Dirfd), ("pathname", Path), ("at_flags", Bits(&AT)), ("name", Str), ("args", In(xattr_args)), ("size", Ulong)]),
    call("listxattrat", &[("dirfd", Dirfd), ("pathname", Path), ("at_flags", Bits(&AT)), ("list", OutBuf), ("size", Ulong)]),
    call("removexattrat", &[("dirfd", Dirfd), ("pathname", Path), ("at_flags", Bits(&AT)), ("name", Str)]),
    call("file_getattr", &[("dirfd", Dirfd), ("pathname", Path), ("attr", Kind::Out(file_attr)), ("size", Ulong), ("at_flags", Bits(&AT))]),
    call("file_setattr", &[("dirfd", Dirfd), ("pathname", Path), ("attr", In(file_attr)), ("size", Ulong), ("at_flags", Bits(&AT))]),
    call("acct", &[("filename", Path)]),
    call("lookup_dcookie", &[("cookie", U64), ("buffer", OutStr), ("len", Ulong)]),
];

/// The target of a link: a path, and so shown whole. It has no zero byte at its end; the result is its length.
fn target(ctx: &Ctx<'_>, address: u64) -> Value {
    let bytes = ctx.read_vec(address, ctx.len().min(4096) as usize);
    if bytes.is_empty() {
        Value::Address(address)
    } else {
        Value::Bytes { cut: (bytes.len() as u64) < ctx.len(), bytes }
    }
}

/// With a size of 0 the kernel says how long the value is, and writes nothing (getxattr(2)).
fn value(ctx: &Ctx<'_>, address: u64) -> Value {
    if ctx.word(3) == 0 { Value::Address(address) } else { ctx.buffer(address, ctx.len()) }
}

fn list(ctx: &Ctx<'_>, address: u64) -> Value {
    if ctx.word(2) == 0 { Value::Address(address) } else { ctx.buffer(address, ctx.len()) }
}

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    const CWD: u64 = -100_i64 as u64;

    #[test]
    fn open_says_its_mode_only_when_it_makes_a_file() {
        let fake = Fake::default().put(0x1000, b"/tmp/x\0").fd(3, "/tmp/x");
        assert_eq!(
            fake.left("openat", &[CWD, 0x1000, 0o2000001 | 0x40, 0o644], 3),
            r#"openat(AT_FDCWD, "/tmp/x", O_WRONLY|O_CREAT|O_CLOEXEC, 0644) = 3 (3</tmp/x>)"#
        );
        assert_eq!(
            fake.left("openat", &[3, 0x1000, 0, 0o644], -2),
            r#"openat(3</tmp/x>, "/tmp/x", O_RDONLY) = -2 ENOENT"#
        );
        assert_eq!(fake.entered("open", &[0x1000, 0x41_0002, 0o600]), r#"open("/tmp/x", O_RDWR|O_TMPFILE, 0600)"#);
        assert_eq!(fake.entered("open", &[0, 0]), "open(NULL, O_RDONLY)");
        let directory = fake.enter(Arch::Aarch64, "openat", &[CWD, 0x1000, 0x4000]);
        assert_eq!(crate::testing::show(&directory), r#"openat(AT_FDCWD, "/tmp/x", O_RDONLY|O_DIRECTORY)"#);
    }

    #[test]
    fn openat2_reads_as_much_as_it_is_told() {
        let fake = Fake::default().put(0x1000, b"a\0").words(0x2000, &[0x80000, 0, 8]);
        assert_eq!(
            fake.entered("openat2", &[CWD, 0x1000, 0x2000, 24]),
            r#"openat2(AT_FDCWD, "a", {flags=O_RDONLY|O_CLOEXEC, mode=00, resolve=RESOLVE_BENEATH}, 24)"#
        );
        assert_eq!(
            fake.entered("openat2", &[CWD, 0x1000, 0x2000, 8]),
            r#"openat2(AT_FDCWD, "a", {flags=O_RDONLY|O_CLOEXEC}, 8)"#
        );
    }

    #[test]
    fn paths_are_whole_and_may_lie_at_the_end_of_memory() {
        let long = "x".repeat(200);
        let fake = Fake::default().put(0x1ff0, b"name\0").put(0x5000 - 3, b"cut").put(0x7000, format!("{long}\0"));
        assert_eq!(fake.entered("unlink", &[0x1ff0]), r#"unlink("name")"#);
        assert_eq!(fake.entered("unlink", &[0x5000 - 3]), r#"unlink("cut"...)"#);
        assert_eq!(fake.entered("unlink", &[0x7000]), format!(r#"unlink("{long}")"#));
        assert_eq!(fake.entered("unlink", &[u64::MAX]), "unlink(0xffffffffffffffff)");
        assert_eq!(fake.entered("access", &[0x1ff0, 0]), r#"access("name", F_OK)"#);
        assert_eq!(fake.entered("access", &[0x1ff0, 6]), r#"access("name", W_OK|R_OK)"#);
        assert_eq!(fake.left("readlink", &[0x1ff0, 0x5000 - 3, 99], 3), r#"readlink("name", "cut", 99) = 3"#);
    }

    #[test]
    fn ids_of_16_and_32_bits_and_times_that_are_no_times() {
        let fake = Fake::default().put(0x1000, b"f\0").words(0x2000, &[5, 0x3fff_ffff, 7, 0x3fff_fffe]);
        assert_eq!(fake.entered("chown", &[0x1000, 0xffff_ffff, 0]), r#"chown("f", -1, 0)"#);
        let old = fake.enter(Arch::I386, "chown", &[0x1000, 0xffff, 65534]);
        assert_eq!(crate::testing::show(&old), r#"chown("f", -1, 65534)"#);
        assert_eq!(
            fake.entered("utimensat", &[CWD, 0x1000, 0x2000, 0x100]),
            r#"utimensat(AT_FDCWD, "f", [{tv_sec=5, tv_nsec=UTIME_NOW}, {tv_sec=7, tv_nsec=UTIME_OMIT}], AT_SYMLINK_NOFOLLOW)"#
        );
        assert_eq!(fake.left("umask", &[0o22], 0o77), "umask(022) = 63 (077)");
        assert_eq!(fake.entered("mknod", &[0x1000, 0o20644, 0x501]), r#"mknod("f", 020644, {major=0x5, minor=0x1})"#);
    }
}
