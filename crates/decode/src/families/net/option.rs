//! Socket options: socket(7), ip(7), ipv6(7), tcp(7), udp(7), netlink(7), packet(7).

use super::super::common::{TIMEVAL, word_at};
use crate::{
    Value,
    ctx::Ctx,
    kind::{Kind, Names, Record},
    names,
    tables::net,
};

const LINGER: Record = &[("l_onoff", Kind::Int), ("l_linger", Kind::Int)];
const UCRED: Record = &[("pid", Kind::Int), ("uid", Kind::Id), ("gid", Kind::Id)];
const SOCK_FPROG: Record = &[("len", Kind::U16), ("filter", Kind::Addr)];

pub(super) fn level(_: &Ctx<'_>, word: u64) -> Value {
    names::named(net::SOL, word & 0xffff_ffff)
}

/// The names of a level's options.
fn options(ctx: &Ctx<'_>) -> Names {
    match names::name(net::SOL, ctx.word(1) & 0xffff_ffff) {
        Some("SOL_SOCKET") => net::SO,
        Some("SOL_IP") => net::IP,
        Some("SOL_IPV6") => net::IPV6,
        Some("SOL_TCP") => net::TCP,
        Some("SOL_UDP") => net::UDP,
        Some("SOL_NETLINK") => net::NETLINK_OPT,
        Some("SOL_PACKET") => net::PACKET,
        _ => &[],
    }
}

pub(super) fn name(ctx: &Ctx<'_>, word: u64) -> Value {
    names::named(options(ctx), word & 0xffff_ffff)
}

pub(super) fn value_in(ctx: &Ctx<'_>, address: u64) -> Value {
    value(ctx, address, ctx.word(4) & 0xffff_ffff)
}

pub(super) fn value_out(ctx: &Ctx<'_>, address: u64) -> Value {
    let len = ctx.read_u32(ctx.word(4)).unwrap_or(0);
    value(ctx, address, len.into())
}

/// Most options are an int; some are a structure, some text.
fn value(ctx: &Ctx<'_>, address: u64, len: u64) -> Value {
    match names::name(options(ctx), ctx.word(2) & 0xffff_ffff).unwrap_or_default() {
        "SO_LINGER" if len >= 8 => ctx.record(address, LINGER),
        "SO_PEERCRED" if len >= 12 => ctx.record(address, UCRED),
        "SO_RCVTIMEO" | "SO_SNDTIMEO" if len >= 2 * ctx.word_size() as u64 => ctx.record(address, TIMEVAL),
        "SO_ATTACH_FILTER" | "SO_ATTACH_REUSEPORT_CBPF" if len > 0 => ctx.record_sized(address, SOCK_FPROG, len),
        "SO_ERROR" if len == 4 => error(ctx, address),
        "SO_DOMAIN" if len == 4 => ctx.pointee(address, Kind::Enum(net::FAMILY)),
        "SO_TYPE" if len == 4 => ctx.pointee(address, Kind::Enum(net::SOCK_TYPE)),
        "SO_PROTOCOL" if len == 4 => ctx.pointee(address, Kind::Enum(net::IPPROTO)),
        "SO_BINDTODEVICE" | "TCP_CONGESTION" | "TCP_ULP" => ctx.buffer(address, len),
        "SO_PEERGROUPS" => ctx.array(address, len / 4, Kind::Id),
        "SO_PEERPIDFD" if len == 4 => ctx.pointee(address, Kind::Fd),
        _ if len == 4 => ctx.pointee(address, Kind::Int),
        _ => ctx.buffer(address, len),
    }
}

/// The errno that a connection ended with, by name.
fn error(ctx: &Ctx<'_>, address: u64) -> Value {
    ctx.list(address, 1, 4, |bytes| {
        let number = word_at(bytes, 0, 4) as i64;
        names::errno(number).map_or(Value::Int(number), Value::Name)
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn options_and_their_values() {
        let fake = Fake::default()
            .halves(0x1000, &[1, 5, 6])
            .halves(0x2000, &[4])
            .halves(0x3000, &[12])
            .halves(0x4000, &[111]);
        assert_eq!(
            fake.entered("setsockopt", &[3, 1, 2, 0x1000, 4]),
            "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4)"
        );
        assert_eq!(fake.entered("setsockopt", &[3, 6, 1, 0x1000, 4]), "setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4)");
        assert_eq!(
            fake.entered("setsockopt", &[3, 1, 13, 0x1000, 8]),
            "setsockopt(3, SOL_SOCKET, SO_LINGER, {l_onoff=1, l_linger=5}, 8)"
        );
        assert_eq!(
            fake.left("getsockopt", &[3, 1, 4, 0x4000, 0x2000], 0),
            "getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0"
        );
        assert_eq!(
            fake.left("getsockopt", &[3, 1, 17, 0x1000, 0x3000], 0),
            "getsockopt(3, SOL_SOCKET, SO_PEERCRED, {pid=1, uid=5, gid=6}, [12]) = 0"
        );
        assert_eq!(fake.entered("setsockopt", &[3, 41, 26, 0x1000, 4]), "setsockopt(3, SOL_IPV6, IPV6_V6ONLY, [1], 4)");
        assert_eq!(fake.entered("setsockopt", &[3, 999, 1, 0x9000, 4]), "setsockopt(3, 0x3e7, 0x1, 0x9000, 4)");
    }
}
