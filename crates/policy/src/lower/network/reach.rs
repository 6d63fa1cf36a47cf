//! Whom a box may talk to, as a question of protocol, address and port.
//!
//! An address is judged by where the packet goes, not by how it is written: see [`meant`]. A deny rule wins over an allow rule, and an
//! empty list allows nobody.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::value::{Dest, IpNet, NetRule, Ports, Proto};

/// The addresses that a rule stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Addrs {
    Any,
    Only(Vec<IpNet>),
}

/// One rule, its name resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    proto: Option<Proto>,
    addrs: Addrs,
    ports: Ports,
    /// As the profile has it.
    text: String,
}

/// Peers that may be talked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// `host`: all that is not denied.
    pub everything: bool,
    /// Peers that are allowed.
    pub allow: Vec<Peer>,
    /// Peers that are denied, whatever is allowed.
    pub deny: Vec<Peer>,
}

/// Why a peer is out of reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfReach {
    /// The rule, with the peer in it.
    pub rule: String,
    /// What would allow it.
    pub allow_with: Option<String>,
}

impl Peer {
    /// `pinned` are the addresses of the rule's name; a rule without a name has its own.
    pub(super) fn new(rule: &NetRule, pinned: &[IpAddr]) -> Self {
        let addrs = match &rule.dest {
            Dest::Any => Addrs::Any,
            Dest::Net(net) => Addrs::Only(vec![*net]),
            Dest::Name(_) => Addrs::Only(pinned.iter().map(|addr| IpNet::host(*addr)).collect()),
        };
        Self { proto: rule.proto, addrs, ports: rule.ports.clone(), text: rule.to_string() }
    }

    fn covers(&self, proto: Proto, addr: IpAddr, port: u16) -> bool {
        let addressed = match &self.addrs {
            Addrs::Any => true,
            Addrs::Only(nets) => nets.iter().any(|net| net.contains(addr)),
        };
        addressed && self.proto.is_none_or(|own| own == proto) && self.ports.contains(port)
    }
}

impl Reach {
    /// Whether a peer may be talked to. `peer` must be what the kernel is then given: see [`meant`].
    pub fn permits(&self, proto: Proto, peer: SocketAddr) -> Result<(), OutOfReach> {
        let target = Target(proto, peer);
        let (addr, port) = (peer.ip().to_canonical(), peer.port());
        let mut forms = vec![addr];
        forms.extend(carried(addr));
        let denied = |rule: &&Peer| forms.iter().any(|form| rule.covers(proto, *form, port));
        if let Some(rule) = self.deny.iter().find(denied) {
            let rule = format!("network.deny = {:?}: {target}", rule.text);
            return Err(OutOfReach { rule, allow_with: None });
        }
        if self.everything || self.allow.iter().any(|rule| rule.covers(proto, addr, port)) {
            return Ok(());
        }
        let rule = format!("network.allow: {target} is not in the list");
        // Nobody is reached at port 0, and no rule can name it.
        Err(OutOfReach { rule, allow_with: (port != 0).then(|| format!("--net {target}")) })
    }

    /// Whether anything of this protocol can be allowed.
    pub fn uses(&self, proto: Proto) -> bool {
        self.everything || self.allow.iter().any(|rule| rule.proto.is_none_or(|own| own == proto))
    }

    /// The TCP ports of all rules; None if some rule has them all.
    pub(super) fn tcp_ports(&self) -> Option<Vec<crate::value::PortRange>> {
        if self.everything {
            return None;
        }
        let mut ranges = Vec::new();
        for rule in self.allow.iter().filter(|rule| rule.proto != Some(Proto::Udp)) {
            match &rule.ports {
                Ports::Any => return None,
                Ports::Only(only) => ranges.extend(only.iter().copied()),
            }
        }
        Some(ranges)
    }

    /// Whether all that is said can be said by TCP ports alone.
    pub(super) fn is_ports_alone(&self) -> bool {
        let plain = |rule: &Peer| rule.proto == Some(Proto::Tcp) && rule.addrs == Addrs::Any;
        !self.everything && self.deny.is_empty() && self.allow.iter().all(plain)
    }
}

/// A peer as a rule is written: `tcp://192.0.2.1:443`.
struct Target(Proto, SocketAddr);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(proto, peer) = self;
        match peer.ip().to_canonical() {
            IpAddr::V4(addr) => write!(f, "{proto}://{addr}:{}", peer.port()),
            IpAddr::V6(addr) => write!(f, "{proto}://[{addr}]:{}", peer.port()),
        }
    }
}

/// Where a packet to this address goes. The unspecified address is this machine itself (ip(7); for IPv6 connect(2) puts `::1` there), and
/// an IPv4 address in IPv6 clothes is IPv4's. The kernel must be given the result, so that it cannot mean anything else: a socket that is
/// bound to an address of this machine takes 0.0.0.0 for that address. The scope counts for link-local addresses only.
pub fn meant(peer: SocketAddr) -> SocketAddr {
    let plain = |addr: IpAddr| SocketAddr::new(addr, peer.port());
    match (peer, peer.ip().to_canonical()) {
        (_, IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => plain(Ipv4Addr::LOCALHOST.into()),
        (_, IpAddr::V4(addr)) => plain(addr.into()),
        (_, IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => plain(Ipv6Addr::LOCALHOST.into()),
        (SocketAddr::V6(mut scoped), IpAddr::V6(addr)) if addr.is_unicast_link_local() || addr.is_multicast() => {
            scoped.set_flowinfo(0);
            scoped.into()
        }
        (_, addr) => plain(addr),
    }
}

/// The IPv4 address inside an IPv6 one that a gateway would unwrap: NAT64 (RFC 6052, the well-known prefix and the local one of RFC
/// 8215), 6to4 (RFC 3056), and the IPv4-compatible form (RFC 4291). Only a refusal rests on it: whether there is such a gateway nobody here knows.
fn carried(addr: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(addr) = addr else { return None };
    let bits = addr.to_bits();
    let low = Ipv4Addr::from_bits((bits & 0xffff_ffff) as u32);
    match addr.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Some(low.into()),
        [0x2002, ..] => Some(Ipv4Addr::from_bits((bits >> 80 & 0xffff_ffff) as u32).into()),
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Some(low.into()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
