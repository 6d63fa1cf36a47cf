//! fcntl(2): what the third word is, and what comes back, depend on the second.

use super::common::open_flags;
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{
            self, Bits, Enum, Enum16, Fd, HexLong, I16, I64, In, InOutPtr, Int, Long, OutPtr, OutTo, Ptr, Signal, To,
        },
        Names, Param, Record,
        Ret::With,
        Spec, chooses,
    },
    names::{self, bits},
    tables::files,
};

static FD_FLAGS: names::Bits = bits(files::FD);
static SEALS: names::Bits = bits(files::SEAL);
static NOTIFY: names::Bits = bits(files::NOTIFY);

pub(super) const FLOCK: Record = &[
    ("l_type", Enum16(files::LOCKTYPE)),
    ("l_whence", Enum16(files::SEEK)),
    ("l_start", Long),
    ("l_len", Long),
    ("l_pid", Int),
];
pub(super) const FLOCK64: Record = &[
    ("l_type", Enum16(files::LOCKTYPE)),
    ("l_whence", Enum16(files::SEEK)),
    ("l_start", I64),
    ("l_len", I64),
    ("l_pid", Int),
];
pub(super) const OWNER: Record = &[("type", Enum(files::OWNER)), ("pid", Int)];
const DELEG: Record = &[("d_flags", Kind::Hex), ("d_type", I16)];

/// A lock that is asked for has no owner: what stands there is left over.
fn lock(ctx: &Ctx<'_>, address: u64) -> Value {
    without_owner(ctx.record(address, FLOCK))
}

fn lock64(ctx: &Ctx<'_>, address: u64) -> Value {
    without_owner(ctx.record(address, FLOCK64))
}

fn without_owner(mut lock: Value) -> Value {
    if let Value::Struct(fields) = &mut lock {
        fields.retain(|(name, _)| *name != "l_pid");
    }
    lock
}

/// Each command's third parameter; none where it takes none.
macro_rules! with {
    ($name:literal, $kind:expr) => {{
        const PARAMS: &[Param] = &[("fd", Fd), ("cmd", Enum(files::FCNTL)), ($name, $kind)];
        PARAMS
    }};
}

fn params(ctx: &mut Ctx<'_>) -> &'static [Param] {
    match names::name(files::FCNTL, ctx.word(1) & 0xffff_ffff).unwrap_or_default() {
        "F_GETFD" | "F_GETFL" | "F_GETOWN" | "F_GETSIG" | "F_GETLEASE" | "F_GETPIPE_SZ" | "F_GET_SEALS" => {
            const PARAMS: &[Param] = &[("fd", Fd), ("cmd", Enum(files::FCNTL))];
            PARAMS
        }
        "F_DUPFD" | "F_DUPFD_CLOEXEC" | "F_SETOWN" | "F_SETPIPE_SZ" => with!("arg", Int),
        "F_DUPFD_QUERY" => with!("arg", Fd),
        "F_SETFD" => with!("flags", Bits(&FD_FLAGS)),
        "F_SETFL" => with!("flags", In(open_flags)),
        "F_SETSIG" => with!("sig", Signal),
        "F_SETLEASE" => with!("type", Enum(files::LOCKTYPE)),
        "F_NOTIFY" => with!("events", Bits(&NOTIFY)),
        "F_ADD_SEALS" => with!("seals", Bits(&SEALS)),
        "F_GETLK" => with!("lock", InOutPtr(FLOCK)),
        "F_SETLK" | "F_SETLKW" => with!("lock", In(lock)),
        "F_GETLK64" | "F_OFD_GETLK" => with!("lock", InOutPtr(FLOCK64)),
        "F_SETLK64" | "F_SETLKW64" | "F_OFD_SETLK" | "F_OFD_SETLKW" => with!("lock", In(lock64)),
        "F_SETOWN_EX" => with!("owner", Ptr(OWNER)),
        "F_GETOWN_EX" => with!("owner", OutPtr(OWNER)),
        "F_GETOWNER_UIDS" => with!("uids", Kind::OutItems(2, &Kind::Id)),
        "F_GET_RW_HINT" | "F_GET_FILE_RW_HINT" => with!("hint", OutTo(&Kind::Enum64(HINTS))),
        "F_SET_RW_HINT" | "F_SET_FILE_RW_HINT" => with!("hint", To(&Kind::Enum64(HINTS))),
        "F_GETDELEG" => with!("deleg", OutPtr(DELEG)),
        "F_SETDELEG" => with!("deleg", Ptr(DELEG)),
        _ => with!("arg", HexLong),
    }
}

/// RWH_WRITE_LIFE_* (include/uapi/linux/fcntl.h), under the names of fcntl(2).
const HINTS: Names = &[
    (0, "RWH_WRITE_LIFE_NOT_SET"),
    (1, "RWH_WRITE_LIFE_NONE"),
    (2, "RWH_WRITE_LIFE_SHORT"),
    (3, "RWH_WRITE_LIFE_MEDIUM"),
    (4, "RWH_WRITE_LIFE_LONG"),
    (5, "RWH_WRITE_LIFE_EXTREME"),
];

fn result(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    match names::name(files::FCNTL, ctx.word(1) & 0xffff_ffff)? {
        "F_DUPFD" | "F_DUPFD_CLOEXEC" => Some(ctx.fd(value as i32)),
        "F_GETFD" => Some(FD_FLAGS.of(value as u64)),
        "F_GETFL" => Some(open_flags(ctx, value as u64)),
        "F_GETLEASE" => Some(names::named(files::LOCKTYPE, value as u64)),
        "F_GET_SEALS" => Some(SEALS.of(value as u64)),
        "F_GETSIG" if value != 0 => Some(names::signal(value)),
        _ => None,
    }
}

pub(crate) static CALLS: &[Spec] = &[chooses("fcntl fcntl64", params, With(result))];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn the_command_says_what_the_third_word_is() {
        let fake = Fake::default().fd(4, "/x").put(0x1000, flock());
        assert_eq!(fake.left("fcntl", &[3, 0, 4], 4), "fcntl(3, F_DUPFD, 4) = 4 (4</x>)");
        assert_eq!(fake.left("fcntl", &[3, 1, 99], 1), "fcntl(3, F_GETFD) = 1 (FD_CLOEXEC)");
        assert_eq!(fake.entered("fcntl", &[3, 2, 1]), "fcntl(3, F_SETFD, FD_CLOEXEC)");
        assert_eq!(fake.left("fcntl", &[3, 3], 0x8802), "fcntl(3, F_GETFL) = 34818 (O_RDWR|O_NONBLOCK|O_LARGEFILE)");
        assert_eq!(fake.entered("fcntl", &[3, 4, 0x800]), "fcntl(3, F_SETFL, O_RDONLY|O_NONBLOCK)");
        assert_eq!(
            fake.entered("fcntl", &[3, 6, 0x1000]),
            "fcntl(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=5, l_len=-1})"
        );
        assert_eq!(fake.entered("fcntl", &[3, 1033, 9]), "fcntl(3, F_ADD_SEALS, F_SEAL_SEAL|F_SEAL_WRITE)");
        assert_eq!(fake.entered("fcntl", &[3, 77, 9]), "fcntl(3, 0x4d, 0x9)");
    }

    fn flock() -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(5_i64.to_le_bytes());
        bytes.extend((-1_i64).to_le_bytes());
        bytes.extend(9_u64.to_le_bytes());
        bytes
    }

    #[test]
    fn locks_of_32_bit_callers_have_two_widths() {
        let narrow = Fake::default().halves(0x1000, &[1, 5, u32::MAX, 9]);
        assert_eq!(
            narrow.left_on(Arch::I386, "fcntl64", &[3, 6, 0x1000], 0),
            "fcntl64(3, F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=5, l_len=-1}) = 0"
        );
        let long = Fake::default().halves(0x1000, &[0, 5, 0, u32::MAX, u32::MAX, 9]);
        assert_eq!(
            long.left_on(Arch::I386, "fcntl64", &[3, 14, 0x1000], -11),
            "fcntl64(3, F_SETLKW64, {l_type=F_RDLCK, l_whence=SEEK_SET, l_start=5, l_len=-1}) = -11 EAGAIN"
        );
    }
}
