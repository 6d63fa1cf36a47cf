//! Bytes in and out of descriptors: read(2), write(2), readv(2), lseek(2), sendfile(2), splice(2), dup(2), close(2).

use super::common::{OPEN_BITS, iovec_bare, iovec_in, iovec_out};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{
            self, Addr, Bits, Buf, Enum, Fd, I64, In, InOutTo, Int, Out, OutBuf, OutItems, OutPtr, OutTo, Ptr, Skip,
            U64, Uint, Ulong,
        },
        Record,
        Ret::With,
        Spec, call, opens, returns,
    },
    names::bits,
    tables::files,
};

static RWF: crate::names::Bits = bits(files::RWF);
static SPLICE: crate::names::Bits = bits(files::SPLICE);
static SYNC_RANGE: crate::names::Bits = bits(files::SYNC_RANGE);
static FALLOC: crate::names::Bits = bits(files::FALLOC);
static CLOSE_RANGE: crate::names::Bits = bits(files::CLOSE_RANGE);

const CACHESTAT_RANGE: Record = &[("off", U64), ("len", U64)];
const CACHESTAT: Record =
    &[("nr_cache", U64), ("nr_dirty", U64), ("nr_writeback", U64), ("nr_evicted", U64), ("nr_recently_evicted", U64)];

/// The offset of preadv(2): two words, the low one first; a 64-bit caller says all in the first.
fn offset(ctx: &Ctx<'_>, word: u64) -> Value {
    let high = if ctx.wide { 0 } else { ctx.word(4) << 32 };
    Value::Int((word | high) as i64)
}

fn flock_operation(_: &Ctx<'_>, word: u64) -> Value {
    static NB: crate::names::Bits = bits(files::FLOCK_NB);
    super::common::with_flags(files::FLOCK, !4 & 0xffff_ffff, &NB, word & 0xffff_ffff)
}

/// _llseek(2) writes where it has got to.
const LLSEEK: &[crate::kind::Param] =
    &[("fd", Fd), ("offset_high", Uint), ("offset_low", Uint), ("result", OutTo(&I64)), ("whence", Enum(files::SEEK))];

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    call("read", &[("fd", Fd), ("buf", OutBuf), ("count", Ulong)]),
    call("write", &[("fd", Fd), ("buf", Buf(2)), ("count", Ulong)]),
    call("pread64", &[("fd", Fd), ("buf", OutBuf), ("count", Ulong), ("offset", I64)]),
    call("pwrite64", &[("fd", Fd), ("buf", Buf(2)), ("count", Ulong), ("offset", I64)]),
    call("readv", &[("fd", Fd), ("iov", Out(iovec_out::<2>)), ("iovcnt", Ulong)]),
    call("writev", &[("fd", Fd), ("iov", In(iovec_in::<2>)), ("iovcnt", Ulong)]),
    call("preadv", &[("fd", Fd), ("iov", Out(iovec_out::<2>)), ("iovcnt", Ulong), ("offset", In(offset))]),
    call("pwritev", &[("fd", Fd), ("iov", In(iovec_in::<2>)), ("iovcnt", Ulong), ("offset", In(offset))]),
    call("preadv2", &[("fd", Fd), ("iov", Out(iovec_out::<2>)), ("iovcnt", Ulong), ("offset", In(offset)), ("", Skip(1)), ("flags", Bits(&RWF))]),
    call("pwritev2", &[("fd", Fd), ("iov", In(iovec_in::<2>)), ("iovcnt", Ulong), ("offset", In(offset)), ("", Skip(1)), ("flags", Bits(&RWF))]),
    call("lseek", &[("fd", Fd), ("offset", Kind::Long), ("whence", Enum(files::SEEK))]),
    call("_llseek", LLSEEK),
    call("close", &[("fd", Fd)]),
    call("close_range", &[("first", Uint), ("last", Uint), ("flags", Bits(&CLOSE_RANGE))]),
    opens("dup", &[("oldfd", Fd)]),
    opens("dup2", &[("oldfd", Fd), ("newfd", Fd)]),
    opens("dup3", &[("oldfd", Fd), ("newfd", Fd), ("flags", Bits(&OPEN_BITS))]),
    call("pipe", &[("pipefd", OutItems(2, &Fd))]),
    call("pipe2", &[("pipefd", OutItems(2, &Fd)), ("flags", Bits(&OPEN_BITS))]),
    call("sendfile", &[("out_fd", Fd), ("in_fd", Fd), ("offset", InOutTo(&Kind::Long)), ("count", Ulong)]),
    call("sendfile64", &[("out_fd", Fd), ("in_fd", Fd), ("offset", InOutTo(&I64)), ("count", Ulong)]),
    call("copy_file_range", &[("fd_in", Fd), ("off_in", InOutTo(&I64)), ("fd_out", Fd), ("off_out", InOutTo(&I64)), ("len", Ulong), ("flags", Kind::Hex)]),
    call("splice", &[("fd_in", Fd), ("off_in", InOutTo(&I64)), ("fd_out", Fd), ("off_out", InOutTo(&I64)), ("len", Ulong), ("flags", Bits(&SPLICE))]),
    call("tee", &[("fd_in", Fd), ("fd_out", Fd), ("len", Ulong), ("flags", Bits(&SPLICE))]),
    call("vmsplice", &[("fd", Fd), ("iov", In(iovec_bare::<2>)), ("nr_segs", Ulong), ("flags", Bits(&SPLICE))]),
    call("process_vm_readv", &[("pid", Int), ("local_iov", Out(iovec_out::<2>)), ("liovcnt", Ulong), ("remote_iov", In(iovec_bare::<4>)), ("riovcnt", Ulong), ("flags", Kind::HexLong)]),
    call("process_vm_writev", &[("pid", Int), ("local_iov", In(iovec_in::<2>)), ("liovcnt", Ulong), ("remote_iov", In(iovec_bare::<4>)), ("riovcnt", Ulong), ("flags", Kind::HexLong)]),
    call("fsync", &[("fd", Fd)]),
    call("fdatasync", &[("fd", Fd)]),
    call("syncfs", &[("fd", Fd)]),
    call("sync_file_range", &[("fd", Fd), ("offset", I64), ("nbytes", I64), ("flags", Bits(&SYNC_RANGE))]),
    call("arm_sync_file_range", &[("fd", Fd), ("flags", Bits(&SYNC_RANGE)), ("offset", I64), ("nbytes", I64)]),
    call("fadvise64", &[("fd", Fd), ("offset", I64), ("len", Ulong), ("advice", Enum(files::FADVISE))]),
    call("fadvise64_64", &[("fd", Fd), ("offset", I64), ("len", I64), ("advice", Enum(files::FADVISE))]),
    call("arm_fadvise64_64", &[("fd", Fd), ("advice", Enum(files::FADVISE)), ("offset", I64), ("len", I64)]),
    call("readahead", &[("fd", Fd), ("offset", I64), ("count", Ulong)]),
    call("fallocate", &[("fd", Fd), ("mode", Bits(&FALLOC)), ("offset", I64), ("len", I64)]),
    call("ftruncate", &[("fd", Fd), ("length", Kind::Long)]),
    call("ftruncate64", &[("fd", Fd), ("length", I64)]),
    call("flock", &[("fd", Fd), ("operation", In(flock_operation))]),
    call("cachestat", &[("fd", Fd), ("cstat_range", Ptr(CACHESTAT_RANGE)), ("cstat", OutPtr(CACHESTAT)), ("flags", Kind::Hex)]),
    returns("uselib", &[("library", Kind::Path)], With(|_, _| None)),
    call("remap_file_pages", &[("addr", Addr), ("size", Ulong), ("prot", Kind::HexLong), ("pgoff", Ulong), ("flags", Kind::HexLong)]),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn buffers_are_cut_to_the_result_and_to_the_limit() {
        let fake =
            Fake::default().fd(3, "/etc/hosts").put(0x1000, b"127.0.0.1 localhost and more than thirty-two bytes");
        assert_eq!(fake.entered("read", &[3, 0x1000, 4096]), "read(3</etc/hosts>, 0x1000, 4096)");
        assert_eq!(fake.left("read", &[3, 0x1000, 4096], 9), r#"read(3</etc/hosts>, "127.0.0.1", 4096) = 9"#);
        assert_eq!(fake.left("read", &[3, 0x1000, 4096], 0), r#"read(3</etc/hosts>, "", 4096) = 0"#);
        assert_eq!(fake.left("read", &[4, 0x1000, 4096], -9), "read(4, 0x1000, 4096) = -9 EBADF");
        assert_eq!(
            fake.left("write", &[1, 0x1000, 40], -512),
            r#"write(1, "127.0.0.1 localhost and more tha"..., 40) = -512 ERESTARTSYS"#
        );
        assert_eq!(fake.entered("write", &[1, 0x9000, 40]), "write(1, 0x9000, 40)");
    }

    #[test]
    fn iovecs_of_both_word_sizes() {
        let wide =
            Fake::default().words(0x1000, &[0x2000, 3, 0x3000, 10]).put(0x2000, b"abc").put(0x3000, b"defghijklm");
        assert_eq!(
            wide.left("readv", &[0, 0x1000, 2], 5),
            r#"readv(0, [{iov_base="abc", iov_len=3}, {iov_base="de", iov_len=10}], 2) = 5"#
        );
        assert_eq!(
            wide.entered("writev", &[1, 0x1000, 2]),
            r#"writev(1, [{iov_base="abc", iov_len=3}, {iov_base="defghijklm", iov_len=10}], 2)"#
        );
        let narrow = Fake::default().halves(0x1000, &[0x2000, 3]).put(0x2000, b"abc");
        // The upper halves of a 32-bit caller's registers do not count.
        let words = [0xffff_0000_0000_0001, 0x1_0000_1000, 1];
        assert_eq!(
            narrow.left_on(Arch::I386, "writev", &words, 3),
            r#"writev(1, [{iov_base="abc", iov_len=3}], 1) = 3"#
        );
    }

    #[test]
    fn offsets_take_two_words_where_words_are_short() {
        let fake = Fake::default().put(0x1000, b"abcd");
        assert_eq!(fake.left("pread64", &[3, 0x1000, 4, 1 << 33], 2), r#"pread64(3, "ab", 4, 8589934592) = 2"#);
        assert_eq!(
            fake.left_on(Arch::I386, "pread64", &[3, 0x1000, 4, 1, 2], 2),
            r#"pread64(3, "ab", 4, 8589934593) = 2"#
        );
        // On ARM they begin with an even register.
        assert_eq!(fake.left_on(Arch::Arm, "ftruncate64", &[3, 99, 1, 2], 0), "ftruncate64(3, 8589934593) = 0");
        let lseek = Fake::default().words(0x1000, &[7]);
        assert_eq!(
            lseek.left_on(Arch::I386, "_llseek", &[3, 0, 7, 0x1000, 0], 0),
            "_llseek(3, 0, 7, [7], SEEK_SET) = 0"
        );
        assert_eq!(fake.entered("preadv", &[3, 0, 1, 1 << 33, 5]), "preadv(3, NULL, 1, 8589934592)");
    }

    #[test]
    fn descriptors_that_come_out() {
        let fake = Fake::default().halves(0x1000, &[3, 4]).fd(3, "pipe:[1]").fd(4, "pipe:[1]");
        assert_eq!(fake.left("pipe2", &[0x1000, 0x80000], 0), "pipe2([3<pipe:[1]>, 4<pipe:[1]>], O_CLOEXEC) = 0");
        assert_eq!(fake.left("pipe2", &[0x1000, 0x80000], -24), "pipe2(0x1000, O_CLOEXEC) = -24 EMFILE");
        assert_eq!(fake.left("dup2", &[3, 4], 4), "dup2(3<pipe:[1]>, 4<pipe:[1]>) = 4 (4<pipe:[1]>)");
        assert_eq!(fake.entered("flock", &[5, 6]), "flock(5, LOCK_EX|LOCK_NB)");
        assert_eq!(fake.entered("close_range", &[3, u64::MAX, 4]), "close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC)");
    }
}
