//! Sockets: socket(2), connect(2), send(2), recv(2), getsockopt(2), and socketcall(2), which is all of them on i386.

mod address;
mod message;
mod option;

use super::common::{TIMESPEC, TIMESPEC64, timed_out, word_at};
use crate::{
    Value,
    ctx::Ctx,
    kind::{
        Kind::{self, Bits, Enum, Fd, In, InOutTo, Int, Out, OutItems, Ptr, Uint, Ulong},
        Param,
        Ret::With,
        Spec, call, chooses, opens, returns,
    },
    names::{self, bits},
    tables::net,
};
use address::{given, written};
use message::{message_in, message_out, messages_in, messages_out, received, sent};
use option::{value_in, value_out};

pub(super) static MSG: names::Bits = bits(net::MSG);
static SOCK_FLAGS: names::Bits = bits(net::SOCK_FLAGS);

fn socket_type(_: &Ctx<'_>, word: u64) -> Value {
    super::common::with_flags(net::SOCK_TYPE, 0xf, &SOCK_FLAGS, word & 0xffff_ffff)
}

/// What the third word of socket(2) is depends on the family: a protocol of IP, of netlink, or an Ethernet type in network order.
fn protocol(ctx: &Ctx<'_>, word: u64) -> Value {
    let number = word & 0xffff_ffff;
    match names::name(net::FAMILY, ctx.word(0) & 0xffff_ffff) {
        Some("AF_INET" | "AF_INET6") => names::named(net::IPPROTO, number),
        Some("AF_NETLINK") => names::named(net::NETLINK, number),
        Some("AF_PACKET") => names::named(net::ETH_P, (number as u16).swap_bytes().into()),
        _ => Value::Int((word as i32).into()),
    }
}

#[rustfmt::skip]
mod params {
    use super::*;

    pub(super) const SOCKET: &[Param] = &[("domain", Enum(net::FAMILY)), ("type", In(socket_type)), ("protocol", In(protocol))];
    pub(super) const SOCKETPAIR: &[Param] = &[("domain", Enum(net::FAMILY)), ("type", In(socket_type)), ("protocol", In(protocol)), ("sv", OutItems(2, &Fd))];
    pub(super) const BIND: &[Param] = &[("sockfd", Fd), ("addr", In(given::<2>)), ("addrlen", Uint)];
    pub(super) const LISTEN: &[Param] = &[("sockfd", Fd), ("backlog", Int)];
    pub(super) const ACCEPT: &[Param] = &[("sockfd", Fd), ("addr", Out(written::<2>)), ("addrlen", InOutTo(&Int))];
    pub(super) const ACCEPT4: &[Param] = &[("sockfd", Fd), ("addr", Out(written::<2>)), ("addrlen", InOutTo(&Int)), ("flags", Bits(&SOCK_FLAGS))];
    pub(super) const SEND: &[Param] = &[("sockfd", Fd), ("buf", In(sent)), ("len", Ulong), ("flags", Bits(&MSG))];
    pub(super) const RECV: &[Param] = &[("sockfd", Fd), ("buf", Out(received)), ("len", Ulong), ("flags", Bits(&MSG))];
    pub(super) const SENDTO: &[Param] = &[("sockfd", Fd), ("buf", In(sent)), ("len", Ulong), ("flags", Bits(&MSG)), ("dest_addr", In(given::<5>)), ("addrlen", Uint)];
    pub(super) const RECVFROM: &[Param] = &[("sockfd", Fd), ("buf", Out(received)), ("len", Ulong), ("flags", Bits(&MSG)), ("src_addr", Out(written::<5>)), ("addrlen", InOutTo(&Int))];
    pub(super) const SHUTDOWN: &[Param] = &[("sockfd", Fd), ("how", Enum(net::SHUT))];
    pub(super) const SETSOCKOPT: &[Param] = &[("sockfd", Fd), ("level", In(option::level)), ("optname", In(option::name)), ("optval", In(value_in)), ("optlen", Uint)];
    pub(super) const GETSOCKOPT: &[Param] = &[("sockfd", Fd), ("level", In(option::level)), ("optname", In(option::name)), ("optval", Out(value_out)), ("optlen", InOutTo(&Int))];
    pub(super) const SENDMSG: &[Param] = &[("sockfd", Fd), ("msg", In(message_in)), ("flags", Bits(&MSG))];
    pub(super) const RECVMSG: &[Param] = &[("sockfd", Fd), ("msg", Out(message_out)), ("flags", Bits(&MSG))];
    pub(super) const SENDMMSG: &[Param] = &[("sockfd", Fd), ("msgvec", Kind::InOut(messages_in)), ("vlen", Uint), ("flags", Bits(&MSG))];
    pub(super) const RECVMMSG: &[Param] = &[("sockfd", Fd), ("msgvec", Out(messages_out)), ("vlen", Uint), ("flags", Bits(&MSG)), ("timeout", Ptr(TIMESPEC))];
    pub(super) const RECVMMSG64: &[Param] = &[("sockfd", Fd), ("msgvec", Out(messages_out)), ("vlen", Uint), ("flags", Bits(&MSG)), ("timeout", Ptr(TIMESPEC64))];
    pub(super) const UNKNOWN: &[Param] = &[("call", Enum(net::SOCKETCALL)), ("args", Kind::Addr)];
}

/// socketcall(2) says with its first word which call is meant, and has that call's words in memory.
fn socketcall(ctx: &mut Ctx<'_>) -> &'static [Param] {
    // How many words each takes; as many are read.
    const WORDS: [usize; 21] = [0, 3, 3, 3, 2, 3, 3, 3, 4, 4, 4, 6, 6, 2, 5, 5, 3, 3, 4, 5, 4];
    let number = ctx.word(0) as usize;
    let count = WORDS.get(number).copied().unwrap_or(0);
    let bytes = ctx.read_vec(ctx.word(1), count * 4);
    if count == 0 || bytes.len() < count * 4 {
        return params::UNKNOWN;
    }
    for at in 0..count {
        ctx.words[at] = word_at(&bytes, at * 4, 4);
    }
    use params::{
        ACCEPT, ACCEPT4, BIND, GETSOCKOPT, LISTEN, RECV, RECVFROM, RECVMMSG, RECVMSG, SEND, SENDMMSG, SENDMSG, SENDTO,
    };
    match number {
        1 => params::SOCKET,
        2 | 3 => BIND,
        4 => LISTEN,
        5..=7 => ACCEPT,
        8 => params::SOCKETPAIR,
        9 => SEND,
        10 => RECV,
        11 => SENDTO,
        12 => RECVFROM,
        13 => params::SHUTDOWN,
        14 => params::SETSOCKOPT,
        15 => GETSOCKOPT,
        16 => SENDMSG,
        17 => RECVMSG,
        18 => ACCEPT4,
        19 => RECVMMSG,
        _ => SENDMMSG,
    }
}

/// socket(2) and accept(2) return descriptors.
fn socketcall_result(ctx: &Ctx<'_>, value: i64) -> Option<Value> {
    matches!(ctx.given[0] as u32, 1 | 5 | 18).then(|| ctx.fd(value as i32))
}

#[rustfmt::skip]
pub(crate) static CALLS: &[Spec] = &[
    opens("socket", params::SOCKET),
    call("socketpair", params::SOCKETPAIR),
    call("bind connect", params::BIND),
    call("listen", params::LISTEN),
    opens("accept", params::ACCEPT),
    opens("accept4", params::ACCEPT4),
    call("getsockname getpeername", params::ACCEPT),
    call("send", params::SEND),
    call("recv", params::RECV),
    call("sendto", params::SENDTO),
    call("recvfrom", params::RECVFROM),
    call("shutdown", params::SHUTDOWN),
    call("setsockopt", params::SETSOCKOPT),
    call("getsockopt", params::GETSOCKOPT),
    call("sendmsg", params::SENDMSG),
    call("recvmsg", params::RECVMSG),
    call("sendmmsg", params::SENDMMSG),
    returns("recvmmsg", params::RECVMMSG, With(timed_out)),
    returns("recvmmsg_time64", params::RECVMMSG64, With(timed_out)),
    chooses("socketcall", socketcall, With(socketcall_result)),
];

#[cfg(test)]
mod tests {
    use tipstaff_abi::Arch;

    use crate::testing::Fake;

    #[test]
    fn sockets_and_addresses() {
        let fake = Fake::default()
            .put(0x1000, [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
            .put(0x2000, b"\x01\0/run/x.sock\0")
            .put(0x3000, [16, 0, 0, 0])
            .put(0x4000, b"\x01\0\0name")
            .fd(3, "socket:[7]");
        assert_eq!(
            fake.left("socket", &[2, 0x8_0001, 6], 3),
            "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3 (3<socket:[7]>)"
        );
        assert_eq!(fake.entered("socket", &[16, 3, 15]), "socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)");
        assert_eq!(fake.entered("socket", &[17, 3, 0x300]), "socket(AF_PACKET, SOCK_RAW, ETH_P_ALL)");
        assert_eq!(
            fake.left("connect", &[3, 0x1000, 16], -111),
            r#"connect(3<socket:[7]>, {sa_family=AF_INET, sin_port=80, sin_addr="127.0.0.1"}, 16) = -111 ECONNREFUSED"#
        );
        assert_eq!(
            fake.entered("bind", &[3, 0x2000, 110]),
            r#"bind(3<socket:[7]>, {sa_family=AF_UNIX, sun_path="/run/x.sock"}, 110)"#
        );
        assert_eq!(
            fake.entered("bind", &[3, 0x4000, 7]),
            r#"bind(3<socket:[7]>, {sa_family=AF_UNIX, sun_path=@"name"}, 7)"#.replace("@\"name", "\"@name")
        );
        assert_eq!(
            fake.left("accept", &[4, 0x1000, 0x3000], 3),
            "accept(4, {sa_family=AF_INET, sin_port=80, sin_addr=\"127.0.0.1\"}, [16]) = 3 (3<socket:[7]>)"
        );
        assert_eq!(fake.left("accept", &[4, 0, 0], 3), "accept(4, NULL, NULL) = 3 (3<socket:[7]>)");
    }

    #[test]
    fn socketcall_is_the_call_that_it_means() {
        let fake = Fake::default()
            .halves(0x1000, &[1, 1, 0])
            .halves(0x2000, &[3, 0x3000, 5, 0x4000])
            .put(0x3000, b"hello")
            .fd(3, "s");
        assert_eq!(
            fake.left_on(Arch::I386, "socketcall", &[1, 0x1000], 3),
            "socketcall(AF_UNIX, SOCK_STREAM, 0) = 3 (3<s>)"
        );
        assert_eq!(
            fake.left_on(Arch::I386, "socketcall", &[9, 0x2000], 5),
            r#"socketcall(3<s>, "hello", 5, MSG_NOSIGNAL) = 5"#
        );
        assert_eq!(fake.left_on(Arch::I386, "socketcall", &[99, 0x2000], -22), "socketcall(0x63, 0x2000) = -22 EINVAL");
    }
}
