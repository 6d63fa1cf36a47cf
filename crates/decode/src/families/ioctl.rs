//! ioctl(2).

use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{
            self, Addr, Array, Bits, Chars, Enum, Fd, Hex, HexLong, In, InOutPtr, InOutTo, Int, Long, OutPtr, OutTo,
            Ptr, To, U8, U16, U64, Uint,
        },
        Param, Record,
        Ret::With,
        Spec, chooses,
    },
    names::{self, bits},
    tables::{ioctl, kernel, net},
};

static C_CFLAG: names::Bits = bits(kernel::TERMIOS_C);
static C_LFLAG: names::Bits = bits(kernel::TERMIOS_L);
static C_IFLAG: names::Bits = bits(kernel::TERMIOS_I);
static C_OFLAG: names::Bits = bits(kernel::TERMIOS_O);
static DIRECTION: names::Bits = bits(kernel::IOC_DIR);

pub(super) const WINSIZE: Record = &[("ws_row", U16), ("ws_col", U16), ("ws_xpixel", U16), ("ws_ypixel", U16)];
pub(super) const TERMIOS: Record = &[
    ("c_iflag", Bits(&C_IFLAG)),
    ("c_oflag", Bits(&C_OFLAG)),
    ("c_cflag", Bits(&C_CFLAG)),
    ("c_lflag", Bits(&C_LFLAG)),
    ("c_line", U8),
    ("c_cc", Kind::Raw(19)),
];
const IFCONF: Record = &[("ifc_len", Int), ("ifc_buf", Addr)];
const IFREQ_INDEX: Record = &[("ifr_name", Chars(16)), ("ifr_ifindex", Int)];
const IFREQ_FLAGS: Record = &[("ifr_name", Chars(16)), ("ifr_flags", Kind::Bits16(&IFF))];
const IFREQ_ADDR: Record =
    &[("ifr_name", Chars(16)), ("ifr_family", Kind::Enum16(net::FAMILY)), ("ifr_data", Kind::Raw(14))];
pub(super) const FILE_CLONE_RANGE: Record =
    &[("src_fd", Kind::Fd64), ("src_offset", U64), ("src_length", U64), ("dest_offset", U64)];
pub(super) const SECCOMP_NOTIF: Record = &[
    ("id", Kind::Hex64),
    ("pid", Uint),
    ("flags", Hex),
    ("nr", Int),
    ("arch", Hex),
    ("instruction_pointer", Kind::Hex64),
    ("args", Array(6, &Kind::Hex64)),
];
pub(super) const SECCOMP_NOTIF_RESP: Record =
    &[("id", Kind::Hex64), ("val", Kind::I64), ("error", Int), ("flags", Hex)];

/// Flags of an interface (netdevice(7)); 16 bits are what an ifreq has.
static IFF: names::Bits = bits(&[
    (0x1, "IFF_UP"),
    (0x2, "IFF_BROADCAST"),
    (0x4, "IFF_DEBUG"),
    (0x8, "IFF_LOOPBACK"),
    (0x10, "IFF_POINTOPOINT"),
    (0x20, "IFF_NOTRAILERS"),
    (0x40, "IFF_RUNNING"),
    (0x80, "IFF_NOARP"),
    (0x100, "IFF_PROMISC"),
    (0x200, "IFF_ALLMULTI"),
    (0x400, "IFF_MASTER"),
    (0x800, "IFF_SLAVE"),
    (0x1000, "IFF_MULTICAST"),
    (0x2000, "IFF_PORTSEL"),
    (0x4000, "IFF_AUTOMEDIA"),
    (0x8000, "IFF_DYNAMIC"),
]);

/// A request by its name, else in its parts: direction, type, number, size (`_IOC` of include/uapi/asm-generic/ioctl.h).
fn request(_: &Ctx<'_>, word: u64) -> Value {
    let word = word & 0xffff_ffff;
    if let Some(name) = known(word) {
        return Value::Name(name);
    }
    Value::Struct(vec![
        ("dir", DIRECTION.of(word >> 30)),
        ("type", Value::Hex(word >> 8 & 0xff)),
        ("nr", Value::Hex(word & 0xff)),
        ("size", Value::Hex(word >> 16 & 0x3fff)),
    ])
}

/// EVIOCGNAME and its kin say in their number how much room there is, so that one name stands for many numbers.
fn known(word: u64) -> Option<&'static str> {
    names::name(ioctl::IOCTL, word).or_else(|| match (word >> 8 & 0xff, word & 0xff) {
        (b, 0x06) if b == u64::from(b'E') && word >> 30 == 2 => Some("EVIOCGNAME"),
        (b, 0x07) if b == u64::from(b'E') && word >> 30 == 2 => Some("EVIOCGPHYS"),
        (b, 0x20..=0x3f) if b == u64::from(b'E') && word >> 30 == 2 => Some("EVIOCGBIT"),
        (b, 0x40..=0x7f) if b == u64::from(b'E') && word >> 30 == 2 => Some("EVIOCGABS"),
        _ => None,
    })
}

macro_rules! with {
    ($kind:expr) => {{
        const PARAMS: &[Param] = &[("fd", Fd), ("op", In(request)), ("argp", $kind)];
        PARAMS
    }};
}

fn params(ctx: &mut Ctx<'_>) -> &'static [Param] {
    match known(ctx.word(1) & 0xffff_ffff).unwrap_or_default() {
        "TCGETS" => with!(OutPtr(TERMIOS)),
        "TCSETS" | "TCSETSW" | "TCSETSF" => with!(Ptr(TERMIOS)),
        "TIOCGWINSZ" => with!(OutPtr(WINSIZE)),
        "TIOCSWINSZ" => with!(Ptr(WINSIZE)),
        "FIONREAD" | "TIOCOUTQ" | "TIOCGPGRP" | "TIOCGSID" | "TIOCGETD" | "TIOCGPTN" | "TIOCGPTLCK" | "SIOCATMARK"
        | "SIOCGPGRP" | "TIOCGEXCL" | "BLKROGET" | "BLKSSZGET" | "RNDGETENTCNT" => with!(OutTo(&Int)),
        "FIONBIO" | "FIOASYNC" | "TIOCSPGRP" | "TIOCSETD" | "TIOCSPTLCK" | "TIOCPKT" | "SIOCSPGRP" | "FIOSETOWN" => {
            with!(To(&Int))
        }
        "TCFLSH" => with!(Enum(kernel::TCFLUSH)),
        "TIOCSCTTY"
        | "TCSBRK"
        | "TCSBRKP"
        | "TCXONC"
        | "KDSETMODE"
        | "KDSKBMODE"
        | "VT_ACTIVATE"
        | "VT_WAITACTIVE"
        | "LOOP_CTL_ADD"
        | "LOOP_CTL_REMOVE"
        | "KVM_CHECK_EXTENSION"
        | "UI_SET_EVBIT"
        | "UI_SET_KEYBIT" => with!(Int),
        "LOOP_SET_FD" | "LOOP_CHANGE_FD" | "FICLONE" | "PERF_EVENT_IOC_SET_OUTPUT" => with!(Fd),
        "FICLONERANGE" => with!(Ptr(FILE_CLONE_RANGE)),
        "BLKGETSIZE64" => with!(OutTo(&U64)),
        "BLKGETSIZE" => with!(OutTo(&Long)),
        "FS_IOC_GETFLAGS" => with!(OutTo(&super::files::ATTRIBUTES)),
        "FS_IOC_SETFLAGS" => with!(To(&super::files::ATTRIBUTES)),
        "SIOCGIFCONF" => with!(InOutPtr(IFCONF)),
        "SIOCGIFINDEX" | "SIOCGIFMTU" | "SIOCGIFMETRIC" | "SIOCGIFTXQLEN" | "SIOCGIFNAME" => {
            with!(InOutPtr(IFREQ_INDEX))
        }
        "SIOCSIFMTU" | "SIOCSIFMETRIC" | "SIOCSIFTXQLEN" => with!(Ptr(IFREQ_INDEX)),
        "SIOCGIFFLAGS" => with!(InOutPtr(IFREQ_FLAGS)),
        "SIOCSIFFLAGS" | "TUNSETIFF" => with!(Ptr(IFREQ_FLAGS)),
        "SIOCGIFADDR" | "SIOCGIFBRDADDR" | "SIOCGIFNETMASK" | "SIOCGIFDSTADDR" | "SIOCGIFHWADDR" => {
            with!(InOutPtr(IFREQ_ADDR))
        }
        "SIOCSIFADDR" | "SIOCSIFBRDADDR" | "SIOCSIFNETMASK" | "SIOCSIFDSTADDR" | "SIOCSIFHWADDR" => {
            with!(Ptr(IFREQ_ADDR))
        }
        "SECCOMP_IOCTL_NOTIF_RECV" => with!(OutPtr(SECCOMP_NOTIF)),
        "SECCOMP_IOCTL_NOTIF_SEND" => with!(Ptr(SECCOMP_NOTIF_RESP)),
        "SECCOMP_IOCTL_NOTIF_ID_VALID" => with!(To(&Kind::Hex64)),
        "NS_GET_OWNER_UID" => with!(OutTo(&Kind::Id)),
        "FIOQSIZE" => with!(OutTo(&Kind::I64)),
        "TIOCMGET" => with!(OutTo(&Hex)),
        "TIOCMSET" | "TIOCMBIS" | "TIOCMBIC" => with!(To(&Hex)),
        "FIGETBSZ" | "FIBMAP" => with!(InOutTo(&Int)),
        "FIOCLEX"
        | "FIONCLEX"
        | "TIOCEXCL"
        | "TIOCNXCL"
        | "TIOCNOTTY"
        | "TIOCVHANGUP"
        | "TIOCCONS"
        | "LOOP_CLR_FD"
        | "LOOP_CTL_GET_FREE"
        | "FIFREEZE"
        | "FITHAW"
        | "BLKRRPART"
        | "NS_GET_USERNS"
        | "NS_GET_PARENT"
        | "NS_GET_NSTYPE"
        | "KVM_RUN"
        | "KVM_GET_API_VERSION" => {
            const PARAMS: &[Param] = &[("fd", Fd), ("op", In(request))];
            PARAMS
        }
        _ => with!(HexLong),
    }
}

/// Requests that open something.
fn result(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    match known(ctx.word(1) & 0xffff_ffff)? {
        "NS_GET_USERNS"
        | "NS_GET_PARENT"
        | "TIOCGPTPEER"
        | "KVM_CREATE_VM"
        | "KVM_CREATE_VCPU"
        | "SECCOMP_IOCTL_NOTIF_ADDFD" => Some(ctx.fd(value as i32)),
        _ => None,
    }
}

pub(crate) static CALLS: &[Spec] = &[chooses("ioctl", params, With(result))];

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn requests_by_name_or_in_parts() {
        let fake = Fake::default().put(0x1000, [24, 0, 80, 0, 0, 0, 0, 0]);
        assert_eq!(
            fake.left("ioctl", &[1, 0x5413, 0x1000], 0),
            "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0"
        );
        assert_eq!(fake.left("ioctl", &[1, 0x5401, 0x1000], -25), "ioctl(1, TCGETS, 0x1000) = -25 ENOTTY");
        assert_eq!(fake.left("ioctl", &[1, 0x541b, 0x1000], 0), "ioctl(1, FIONREAD, [5242904]) = 0");
        assert_eq!(
            fake.entered("ioctl", &[1, 0xc0de_fa99, 5]),
            "ioctl(1, {dir=_IOC_WRITE|_IOC_READ, type=0xfa, nr=0x99, size=0xde}, 0x5)"
        );
        assert_eq!(fake.entered("ioctl", &[1, 0x5451]), "ioctl(1, FIOCLEX)");
        // Only 32 bits of the request count.
        assert_eq!(fake.entered("ioctl", &[1, 0xffff_ffff_0000_5450]), "ioctl(1, FIONCLEX)");
    }

    #[test]
    fn interfaces() {
        let mut ifreq = b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        ifreq.extend([0x49, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let fake = Fake::default().put(0x1000, ifreq);
        assert_eq!(
            fake.left("ioctl", &[3, 0x8913, 0x1000], 0),
            r#"ioctl(3, SIOCGIFFLAGS, {ifr_name="lo", ifr_flags=IFF_UP|IFF_LOOPBACK|IFF_RUNNING}) = 0"#
        );
    }
}
