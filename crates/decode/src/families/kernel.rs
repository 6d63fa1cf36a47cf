//! The kernel itself: syslog(2), reboot(2), modules, kexec_load(2); and its asynchronous input and output, io_setup(2) and io_uring_setup(2).

use super::common::{TIMESPEC, TIMESPEC64};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{
            self, Addr, Addr64, Bits, Buf, Counted, Enum, Fd, Hex, Hex64, HexLong, I64, In, Int, Long, Out, OutTo, Ptr,
            Rec, Str, U64, Uint, Ulong,
        },
        Param, Record,
        Ret::{Fd as RetFd, Number},
        Spec, call, chooses, returns,
    },
    names::{self, bits},
    tables::{files, kernel, process},
};

static MODULE_INIT: names::Bits = bits(process::MODULE_INIT);
static DELETE_MODULE: names::Bits = bits(process::DELETE_MODULE);
static KEXEC: names::Bits = bits(process::KEXEC);
static KEXEC_FILE: names::Bits = bits(process::KEXEC_FILE);
static URING_SETUP: names::Bits = bits(kernel::URING_SETUP);
static URING_FEAT: names::Bits = bits(kernel::URING_FEAT);
static URING_ENTER: names::Bits = bits(kernel::URING_ENTER);
static AIO_FLAGS: names::Bits = bits(files::AIO_FLAGS);

/// syslog(2): 2, 3 and 4 read.
fn syslog(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const TYPE: Param = ("type", Enum(process::SYSLOG));
    const READ: &[Param] = &[TYPE, ("bufp", Kind::OutBuf), ("len", Int)];
    const PLAIN: &[Param] = &[TYPE, ("bufp", Addr), ("len", Int)];
    if matches!(ctx.word(0) as u32, 2..=4) { READ } else { PLAIN }
}

fn reboot(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const MAGIC: Kind = Enum(process::REBOOT_MAGIC1);
    const MAGIC2: Kind = Enum(process::REBOOT_MAGIC2);
    const PLAIN: &[Param] = &[("magic", MAGIC), ("magic2", MAGIC2), ("op", Enum(process::REBOOT))];
    const WITH: &[Param] = &[("magic", MAGIC), ("magic2", MAGIC2), ("op", Enum(process::REBOOT)), ("arg", Str)];
    // LINUX_REBOOT_CMD_RESTART2 takes a string.
    if ctx.word(2) as u32 == 0xa1b2_c3d4 { WITH } else { PLAIN }
}

pub(super) const SEGMENT: Record = &[("buf", Addr), ("bufsz", Ulong), ("mem", Addr), ("memsz", Ulong)];

/// An aio request; the key stands before the flags on a little-endian machine.
#[rustfmt::skip]
pub(super) const IOCB: Record = &[
    ("aio_data", Hex64), ("aio_key", Uint), ("aio_rw_flags", Hex), ("aio_lio_opcode", Kind::Enum16(files::AIO_OP)), ("aio_reqprio", Kind::I16),
    ("aio_fildes", Fd), ("aio_buf", Addr64), ("aio_nbytes", U64), ("aio_offset", I64), ("", Kind::Skip(8)), ("aio_flags", Bits(&AIO_FLAGS)), ("aio_resfd", Uint),
];
pub(super) const EVENT: Record = &[("data", Hex64), ("obj", Addr64), ("res", I64), ("res2", I64)];

/// An array of pointers to requests.
fn requests(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.array(address, ctx.word(1), Ptr(IOCB))
}

fn events(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.array(address, ctx.len(), Rec(EVENT))
}

#[rustfmt::skip]
pub(super) const SQ_OFFSETS: Record = &[
    ("head", Uint), ("tail", Uint), ("ring_mask", Uint), ("ring_entries", Uint), ("flags", Uint), ("dropped", Uint), ("array", Uint), ("", Kind::Skip(4)),
    ("user_addr", Addr64),
];
#[rustfmt::skip]
pub(super) const CQ_OFFSETS: Record = &[
    ("head", Uint), ("tail", Uint), ("ring_mask", Uint), ("ring_entries", Uint), ("overflow", Uint), ("cqes", Uint), ("flags", Uint), ("", Kind::Skip(4)),
    ("user_addr", Addr64),
];
#[rustfmt::skip]
pub(super) const URING_PARAMS: Record = &[
    ("sq_entries", Uint), ("cq_entries", Uint), ("flags", Bits(&URING_SETUP)), ("sq_thread_cpu", Uint), ("sq_thread_idle", Uint),
    ("features", Bits(&URING_FEAT)), ("wq_fd", Uint), ("", Kind::Skip(12)), ("sq_off", Rec(SQ_OFFSETS)), ("cq_off", Rec(CQ_OFFSETS)),
];

/// io_uring_register(2): what is registered depends on the operation.
fn register(ctx: &mut Ctx<'_>) -> &'static [Param] {
    const OPCODE: Kind = Enum(kernel::URING_REGISTER);
    const BUFFERS: &[Param] =
        &[("fd", Fd), ("opcode", OPCODE), ("arg", In(super::common::iovec_bare::<3>)), ("nr_args", Uint)];
    const FILES: &[Param] = &[("fd", Fd), ("opcode", OPCODE), ("arg", Counted(3, &Fd)), ("nr_args", Uint)];
    const EVENTFD: &[Param] = &[("fd", Fd), ("opcode", OPCODE), ("arg", Kind::To(&Fd)), ("nr_args", Uint)];
    const OTHER: &[Param] = &[("fd", Fd), ("opcode", OPCODE), ("arg", Addr), ("nr_args", Uint)];
    match ctx.word(1) as u32 {
        0 => BUFFERS,
        2 => FILES,
        4 | 7 => EVENTFD,
        _ => OTHER,
    }
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    chooses("syslog", syslog, Number),
    chooses("reboot", reboot, Number),
    call("init_module", &[("module_image", Buf(1)), ("len", Ulong), ("param_values", Str)]),
    call("finit_module", &[("fd", Fd), ("param_values", Str), ("flags", Bits(&MODULE_INIT))]),
    call("delete_module", &[("name", Str), ("flags", Bits(&DELETE_MODULE))]),
    call("kexec_load", &[("entry", Addr), ("nr_segments", Ulong), ("segments", Counted(1, &Rec(SEGMENT))), ("flags", Kind::BitsLong(&KEXEC))]),
    call("kexec_file_load", &[("kernel_fd", Fd), ("initrd_fd", Fd), ("cmdline_len", Ulong), ("cmdline", Buf(2)), ("flags", Kind::BitsLong(&KEXEC_FILE))]),
    call("io_setup", &[("nr_events", Uint), ("ctx_idp", OutTo(&HexLong))]),
    call("io_destroy", &[("ctx_id", HexLong)]),
    call("io_submit", &[("ctx_id", HexLong), ("nr", Long), ("iocbpp", In(requests))]),
    call("io_cancel", &[("ctx_id", HexLong), ("iocb", Ptr(IOCB)), ("result", Kind::OutPtr(EVENT))]),
    call("io_getevents", &[("ctx_id", HexLong), ("min_nr", Long), ("nr", Long), ("events", Out(events)), ("timeout", Ptr(TIMESPEC))]),
    call("io_pgetevents", &[("ctx_id", HexLong), ("min_nr", Long), ("nr", Long), ("events", Out(events)), ("timeout", Ptr(TIMESPEC)), ("usig", Addr)]),
    call("io_pgetevents_time64", &[("ctx_id", HexLong), ("min_nr", Long), ("nr", Long), ("events", Out(events)), ("timeout", Ptr(TIMESPEC64)), ("usig", Addr)]),
    returns("io_uring_setup", &[("entries", Uint), ("params", Kind::InOutPtr(URING_PARAMS))], RetFd),
    call("io_uring_enter", &[("fd", Fd), ("to_submit", Uint), ("min_complete", Uint), ("flags", Bits(&URING_ENTER)), ("sig", Addr), ("sz", Ulong)]),
    chooses("io_uring_register", register, Number),
];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn rings_logs_and_modules() {
        let fake = Fake::default().put(0x1000, [0; 120]).put(0x2000, b"<6>hello").halves(0x3000, &[4, 5]);
        let text = fake.left("io_uring_setup", &[8, 0x1000], 3);
        assert!(
            text.starts_with("io_uring_setup(8, {sq_entries=0, cq_entries=0, flags=0, sq_thread_cpu=0")
                && text.ends_with(" = 3 (3)"),
            "{text}"
        );
        assert_eq!(
            fake.entered("io_uring_enter", &[3, 1, 1, 1, 0, 8]),
            "io_uring_enter(3, 1, 1, IORING_ENTER_GETEVENTS, NULL, 8)"
        );
        assert_eq!(
            fake.entered("io_uring_register", &[3, 2, 0x3000, 2]),
            "io_uring_register(3, IORING_REGISTER_FILES, [4, 5], 2)"
        );
        assert_eq!(fake.left("syslog", &[3, 0x2000, 99], 8), r#"syslog(SYSLOG_ACTION_READ_ALL, "<6>hello", 99) = 8"#);
        assert_eq!(
            fake.entered("reboot", &[0xfee1_dead, 0x2812_1969, 0x0123_4567]),
            "reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART)"
        );
    }
}
