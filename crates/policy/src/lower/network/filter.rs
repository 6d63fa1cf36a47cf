//! What the filter adds where a box shares the network of its caller and may not use all of it.
//!
//! Whom a call reaches is said in memory, which a filter cannot see; so those calls are asked about ([`asked`]), and whatever
//! would reach somebody without them is refused ([`refusals`]). All comparisons are of registers, in the half that the kernel uses.

use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_seccomp::{Action, Condition, Op, Rule, Table};

use super::NetworkPlan;
use crate::lower::filter::{Named, RuleName};

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const SOCK_TYPE_MASK: u64 = 0xf;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_SEQPACKET: u32 = 5;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
const MSG_FASTOPEN: u32 = 0x2000_0000;

const SOL_SOCKET: u32 = 1;
const SOL_IP: u32 = 0;
const SOL_TCP: u32 = 6;
const SOL_IPV6: u32 = 41;

/// Options that lead a packet past its address, or connect with the first byte that is sent: level, name, in words.
const OPTIONS: [(u32, u32, &str); 9] = [
    (SOL_IP, 4, "IP_OPTIONS (source routes)"),
    (SOL_IPV6, 6, "IPV6_2292PKTOPTIONS"),
    (SOL_IPV6, 54, "IPV6_HOPOPTS"),
    (SOL_IPV6, 55, "IPV6_RTHDRDSTOPTS"),
    (SOL_IPV6, 57, "IPV6_RTHDR"),
    (SOL_IPV6, 59, "IPV6_DSTOPTS"),
    (SOL_TCP, 19, "TCP_REPAIR"),
    (SOL_TCP, 30, "TCP_FASTOPEN_CONNECT"),
    (SOL_TCP, 31, "TCP_ULP"),
];
/// Another socket of the same user on the same port takes its connections.
const SO_REUSEPORT: u32 = 15;

/// A call that somebody must be asked about, where these conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its name.
    pub call: &'static str,
    /// All of them; none: always.
    pub conditions: Vec<Condition>,
}

/// The calls that carry an address, would choose a port, or tell a name that was changed.
pub(super) fn asked(plan: &NetworkPlan) -> Vec<Ask> {
    let mut asked = Vec::new();
    let mut ask = |call, conditions| asked.push(Ask { call, conditions });
    if plan.mediate_connect {
        ask("connect", Vec::new());
        if plan.udp {
            // Without an address the datagram goes to whom connect(2) has named.
            ask("sendto", vec![Condition::w64(4, Op::Ne, 0)]);
            ask("sendmsg", Vec::new());
            ask("sendmmsg", Vec::new());
        }
    }
    if plan.mediate_bind {
        ask("bind", Vec::new());
        // A unix socket is made under another name than the guest gave, and the guest is to hear its own.
        if !plan.writable.is_empty() {
            ask("getsockname", Vec::new());
        }
    }
    if plan.mediate_listen {
        ask("listen", Vec::new());
    }
    asked
}

/// What is refused outright. Stands before the profile's own rules, which cannot open it again.
pub(in crate::lower) fn refusals(plan: &NetworkPlan, arch: Arch) -> Vec<Named> {
    let mut rules = Vec::new();
    let mut deny = |name: String, cure: Option<&'static str>, call: &str, conditions: Vec<Condition>, errno: u16| {
        if let Some(syscall) = Sysno::by_name(arch, call) {
            let rule = Rule { conditions, action: Action::Errno(errno) };
            rules.push(Named { name: RuleName::Network(name, cure), syscall, rule });
        }
    };
    // With the whole network of the caller there are no such rules.
    const HOST: Option<&str> = Some("--net host");
    let eq = |arg, value| Condition::w32(arg, Op::Eq, value);
    let ne = |arg, value| Condition::w32(arg, Op::Ne, value);
    let kind = |value| Condition::w32(1, Op::MaskedEq(SOCK_TYPE_MASK), value);
    let said = |what: &str| format!("network rules by address: {what}");

    let family = [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK].map(|family| ne(0, family)).to_vec();
    deny(said("no sockets but IP, unix and netlink"), HOST, "socket", family, errno::EAFNOSUPPORT);
    deny(said("no netlink but routes"), HOST, "socket", vec![eq(0, AF_NETLINK), ne(2, 0)], errno::EPROTONOSUPPORT);
    if plan.mediate_connect && !plan.udp {
        // A datagram names its receiver, pair or not (unix(7)), and messages are not asked about where there is no UDP. Those of the
        // other types go to whom connect(2) has named, whatever address they carry.
        for value in (0..=SOCK_TYPE_MASK as u32).filter(|value| ![SOCK_STREAM, SOCK_SEQPACKET].contains(value)) {
            for call in ["socket", "socketpair"] {
                let words = said("unix datagrams need a udp:// rule");
                deny(words, Some("--net udp://HOST:PORT"), call, vec![eq(0, AF_UNIX), kind(value)], errno::EACCES);
            }
        }
    }
    for domain in [AF_INET, AF_INET6] {
        for (value, wanted, protocol, word) in
            [(SOCK_STREAM, plan.tcp, IPPROTO_TCP, "tcp"), (SOCK_DGRAM, plan.udp, IPPROTO_UDP, "udp")]
        {
            if !wanted {
                let cure = Some(if word == "tcp" { "--net tcp://HOST:PORT" } else { "--net udp://HOST:PORT" });
                deny(
                    format!("network.allow: no {word}:// rule"),
                    cure,
                    "socket",
                    vec![eq(0, domain), kind(value)],
                    errno::EACCES,
                );
            }
            let other = vec![eq(0, domain), kind(value), ne(2, 0), ne(2, protocol)];
            deny(said("no protocols but TCP and UDP"), HOST, "socket", other, errno::EPROTONOSUPPORT);
        }
        // 0, RAW, RDM, SEQPACKET, DCCP, PACKET and what may come.
        for value in (0..=SOCK_TYPE_MASK as u32).filter(|value| ![SOCK_STREAM, SOCK_DGRAM].contains(value)) {
            deny(
                said("no socket types but stream and datagram"),
                HOST,
                "socket",
                vec![eq(0, domain), kind(value)],
                errno::EPERM,
            );
        }
    }
    if plan.limits_peers() {
        for (call, flags) in [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)] {
            deny(said("no MSG_FASTOPEN"), HOST, call, vec![Condition::bits(flags, MSG_FASTOPEN)], errno::EOPNOTSUPP);
        }
        for (level, option, name) in OPTIONS {
            let words = said(&format!("no {name}"));
            deny(words, HOST, "setsockopt", vec![eq(1, level), eq(2, option)], errno::ENOPROTOOPT);
        }
    }
    if plan.bind.is_some() {
        let option = vec![eq(1, SOL_SOCKET), eq(2, SO_REUSEPORT)];
        deny(said("no SO_REUSEPORT"), HOST, "setsockopt", option, errno::ENOPROTOOPT);
        if !plan.mediate_listen {
            // A socket without a port gets one by itself (listen(2)).
            deny(
                "network.bind: no port may be listened on".to_owned(),
                Some("--bind 0"),
                "listen",
                Vec::new(),
                errno::EACCES,
            );
        }
    }
    // Rings make these calls without a filter's knowing.
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register", "socketcall"] {
        deny(said("no way round the filter"), HOST, call, Vec::new(), errno::ENOSYS);
    }
    rules
}

/// Asks where the filter would let a call pass. A refusal stays one, and nobody is asked.
pub(in crate::lower) fn insert(table: &mut Table, asked: &[Ask], action: Action) {
    let passes = |action: Action| matches!(action, Action::Allow | Action::Log);
    for Ask { call, conditions } in asked {
        let Some(nr) = Sysno::by_name(table.arch, call) else { continue };
        let default = table.default;
        let rules = table.rules.entry(nr.0).or_default();
        let mut list = Vec::with_capacity(rules.len() + 1);
        for rule in std::mem::take(rules) {
            if passes(rule.action) {
                let both = rule.conditions.iter().chain(conditions).copied().collect();
                list.push(Rule { conditions: both, action });
            }
            list.push(rule);
        }
        if passes(default) {
            list.push(Rule { conditions: conditions.clone(), action });
        }
        *rules = list;
    }
}
