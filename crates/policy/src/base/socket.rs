//! Which sockets can be made.
//!
//! Domain, type and protocol are ints: the kernel looks at the low half. Whether a socket may reach anything is the
//! network namespace's and Landlock's matter; but Landlock knows TCP only, so other stream protocols (MPTCP, SCTP,
//! SMC) would walk around it, and the rarer families are where the kernel's bugs are.

use tipstaff_abi::errno::{EAFNOSUPPORT, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT};
use tipstaff_seccomp::{Condition, Op};

use super::Rules;

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const NETLINK_ROUTE: u32 = 0;

/// The type shares its argument with SOCK_CLOEXEC and SOCK_NONBLOCK.
const SOCK_TYPE_MASK: u64 = 0xf;
const SOCK_RAW: u32 = 3;
/// RDM, SEQPACKET (SCTP), DCCP, and PACKET: the kernel turns AF_INET with that one into AF_PACKET.
const OTHER_TYPES: [u32; 4] = [4, 5, 6, 10];
/// Chosen by the type; ICMP (ping), TCP, UDP, ICMPv6.
const PROTOCOLS: [u32; 5] = [0, 1, 6, 17, 58];

pub(super) fn rules(rules: &mut Rules) {
    let family = |op, value| Condition::w32(0, op, value);
    let none_of = |arg, values: &[u32]| -> Vec<_> { values.iter().map(|&v| Condition::w32(arg, Op::Ne, v)).collect() };

    rules.deny("socket", "socket", &none_of(0, &[AF_UNIX, AF_INET, AF_INET6, AF_NETLINK]), EAFNOSUPPORT);
    // Routes and addresses, which getaddrinfo and getifaddrs read; not audit, crypto, netfilter, uevents…
    let other_netlink = [family(Op::Eq, AF_NETLINK), Condition::w32(2, Op::Ne, NETLINK_ROUTE)];
    rules.deny("socket", "socket", &other_netlink, EPROTONOSUPPORT);
    for domain in [AF_INET, AF_INET6] {
        let kind = |value| [family(Op::Eq, domain), Condition::w32(1, Op::MaskedEq(SOCK_TYPE_MASK), value)];
        rules.deny("socket", "socket", &kind(SOCK_RAW), EPERM);
        for other in OTHER_TYPES {
            rules.deny("socket", "socket", &kind(other), ESOCKTNOSUPPORT);
        }
        let mut other_protocol = vec![family(Op::Eq, domain)];
        other_protocol.extend(none_of(2, &PROTOCOLS));
        rules.deny("socket", "socket", &other_protocol, EPROTONOSUPPORT);
    }
    rules.deny("socket", "socketpair", &none_of(0, &[AF_UNIX]), EAFNOSUPPORT);
    // 32-bit x86 only: the family is behind a pointer. C libraries use the plain calls since Linux 4.3.
    rules.deny("socket", "socketcall", &[], tipstaff_abi::errno::ENOSYS);
}
