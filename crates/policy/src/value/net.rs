//! Network rules: `none`, `host`, `[tcp://|udp://]HOST|CIDR|*[:PORTS]`.
//!
//! A rule has one meaning or none: what two programs could read differently (`0x7f.1`, `127.1`, an IPv6 address
//! without brackets, a trailing dot beside one without) is refused or brought into one form here, once.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::error::NetFault;
use super::{ValueError, words};

words! {
    /// A transport protocol.
    pub enum Proto {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

/// One word of `--net` or of `[network] allow`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetSpec {
    /// No network. Stands alone.
    None,
    /// The network of the host as it is. Stands alone.
    Host,
    /// Peers by protocol, address and port.
    To(NetRule),
}

/// Peers by protocol, address and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetRule {
    /// The protocol; absent means both.
    pub proto: Option<Proto>,
    /// The peer.
    pub dest: Dest,
    /// Its ports.
    pub ports: Ports,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dest {
    /// `*`: any.
    Any,
    /// A name, in lower case and without a dot at its end.
    Name(String),
    /// One address or a network of them.
    Net(IpNet),
}

/// Addresses that share a prefix. IPv4 addresses that are written as IPv6 (`::ffff:0:0/96`) stand as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNet {
    /// The first address.
    pub addr: IpAddr,
    /// Number of leading bits that count: 32 or 128 for one address.
    pub prefix: u8,
}

/// Ports of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// All of them.
    Any,
    /// These; never empty.
    Only(Vec<PortRange>),
}

/// Ports `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest; never below `first`.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Ports {
    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Only(ranges) => ranges.iter().any(|range| range.contains(port)),
        }
    }
}

impl IpNet {
    /// Whether `addr` is one of them; an IPv4 address in IPv6 clothes counts as IPv4.
    pub fn contains(self, addr: IpAddr) -> bool {
        match (self.addr, addr.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(addr)) => (net.to_bits() ^ addr.to_bits()) & mask(self.prefix, 32) as u32 == 0,
            (IpAddr::V6(net), IpAddr::V6(addr)) => (net.to_bits() ^ addr.to_bits()) & mask(self.prefix, 128) == 0,
            _ => false,
        }
    }

    /// One address.
    pub fn host(addr: IpAddr) -> Self {
        let addr = addr.to_canonical();
        Self { addr, prefix: if addr.is_ipv4() { 32 } else { 128 } }
    }

    /// The network with nothing behind its prefix, IPv4 in its own clothes.
    fn new(addr: IpAddr, prefix: u8) -> Result<Self, NetFault> {
        let (addr, prefix) = match addr.to_canonical() {
            plain @ IpAddr::V4(_) if addr.is_ipv6() => (plain, prefix.checked_sub(96).ok_or(NetFault::BadPrefix)?),
            plain => (plain, prefix),
        };
        let base = match addr {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & mask(prefix, 32) as u32).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & mask(prefix, 128)).into()),
        };
        if base == addr {
            Ok(Self { addr, prefix })
        } else {
            Err(NetFault::HostBits(Self { addr: base, prefix }.to_string()))
        }
    }
}

/// The leading `prefix` of `width` bits.
fn mask(prefix: u8, width: u32) -> u128 {
    let behind = width.saturating_sub(u32::from(prefix));
    let all = u128::MAX >> (128 - width);
    all & u128::MAX.checked_shl(behind).unwrap_or(0)
}

impl FromStr for NetSpec {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => text.parse().map(Self::To),
        }
    }
}

impl FromStr for NetRule {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        rule(text).map_err(|why| ValueError::BadNet { text: text.to_owned(), why })
    }
}

fn rule(text: &str) -> Result<NetRule, NetFault> {
    if matches!(text, "none" | "host") {
        return Err(NetFault::NotARule);
    }
    let is_port = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if !text.split(',').skip(1).all(is_port) {
        return Err(NetFault::List);
    }
    let (proto, rest) = match text.split_once("://") {
        Some((scheme, rest)) => {
            let scheme = scheme.to_ascii_lowercase();
            let fault = || url(&scheme, rest).map_or(NetFault::Protocol, NetFault::Url);
            (Some(scheme.parse().map_err(|_| fault())?), rest)
        }
        None => (None, text),
    };
    let (dest, ports) = if rest.starts_with('[') { bracketed(rest)? } else { bare(rest)? };
    let ports = match ports {
        None => Ports::Any,
        Some(ports) => {
            let ranges = port_list(ports)?;
            if ranges.iter().any(|range| range.first == 0) {
                return Err(NetFault::PortZero);
            }
            Ports::Only(ranges)
        }
    };
    Ok(NetRule { proto, dest, ports })
}

/// The rule for whom a URL's `scheme://rest` names: RFC 3986, section 3.2.
fn url(scheme: &str, rest: &str) -> Option<String> {
    let port = match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ssh" => 22,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let rule = if has_port { format!("tcp://{host}") } else { format!("tcp://{host}:{port}") };
    rule.parse::<NetRule>().ok().map(|rule| rule.to_string())
}

/// `[ADDRESS][/PREFIX][:PORTS]`
fn bracketed(text: &str) -> Result<(Dest, Option<&str>), NetFault> {
    let (inside, rest) = text[1..].split_once(']').ok_or(NetFault::BadBrackets)?;
    let addr: Ipv6Addr = inside.parse().map_err(|_| NetFault::BadBrackets)?;
    let (tail, ports) = match rest.split_once(':') {
        Some((tail, ports)) => (tail, Some(ports)),
        None => (rest, None),
    };
    let length = match tail.strip_prefix('/') {
        Some(digits) => prefix(digits, 128)?,
        None if tail.is_empty() => 128,
        None => return Err(NetFault::BadBrackets),
    };
    Ok((Dest::Net(IpNet::new(addr.into(), length)?), ports))
}

/// `HOST[:PORTS]`, `CIDR[:PORTS]`, `*[:PORTS]`
fn bare(text: &str) -> Result<(Dest, Option<&str>), NetFault> {
    let colons = text.bytes().filter(|&byte| byte == b':').count();
    if colons > 1 {
        let address = text.split('/').next().unwrap_or(text);
        let is_address = address.parse::<Ipv6Addr>().is_ok();
        return Err(if is_address { NetFault::Brackets } else { NetFault::BadHost });
    }
    let (host, ports) = match text.split_once(':') {
        Some((host, ports)) => (host, Some(ports)),
        None => (text, None),
    };
    let dest = match host.split_once('/') {
        _ if host.is_empty() => return Err(NetFault::NoHost),
        _ if host == "*" => Dest::Any,
        Some((addr, digits)) => Dest::Net(IpNet::new(v4(addr)?, prefix(digits, 32)?)?),
        None if numeric(host) => Dest::Net(IpNet::new(v4(host)?, 32)?),
        None => Dest::Name(name(host)?),
    };
    Ok((dest, ports))
}

fn v4(text: &str) -> Result<IpAddr, NetFault> {
    let fault = if numeric(text) { NetFault::OddAddress } else { NetFault::BadHost };
    text.parse().map(IpAddr::V4).map_err(|_| fault)
}

fn prefix(digits: &str, most: u8) -> Result<u8, NetFault> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&length| plain && length <= most).ok_or(NetFault::BadPrefix)
}

/// Whether a resolver could take `host` for a number: its last label is one, in any notation.
fn numeric(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !last.is_empty() && (digits(last) || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())))
}

/// A host name in its one form.
fn name(text: &str) -> Result<String, NetFault> {
    let plain = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if plain.contains('*') {
        return Err(NetFault::Wildcard);
    }
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(letter) && !label.starts_with('-') && !label.ends_with('-')
    };
    let good = plain.len() <= 253 && plain.split('.').all(label);
    if good { Ok(plain) } else { Err(NetFault::BadHost) }
}

/// Ports to listen on: `80`, `80-90`, `80,443`. Port 0 is one that the kernel chooses.
pub fn parse_ports(text: &str) -> Result<Vec<PortRange>, ValueError> {
    let worded = |why| match (why, text.rsplit_once([':', '/'])) {
        (NetFault::BadPorts, Some((_, ports))) if port_list(ports).is_ok() => NetFault::BindAddress(ports.to_owned()),
        (NetFault::BadPorts, _) => NetFault::BadBind,
        (why, _) => why,
    };
    port_list(text).map_err(|why| ValueError::BadNet { text: text.to_owned(), why: worded(why) })
}

fn port_list(text: &str) -> Result<Vec<PortRange>, NetFault> {
    text.split(',').map(port_range).collect()
}

fn port_range(text: &str) -> Result<PortRange, NetFault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(NetFault::Reversed(format!("{last}-{first}")));
    }
    Ok(PortRange { first, last })
}

fn port(digits: &str) -> Result<u16, NetFault> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).ok_or(NetFault::BadPorts)
}

impl fmt::Display for NetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::To(rule) => rule.fmt(f),
        }
    }
}

impl fmt::Display for NetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(proto) = self.proto {
            write!(f, "{proto}://")?;
        }
        match &self.dest {
            Dest::Any => f.write_str("*")?,
            Dest::Name(name) => f.write_str(name)?,
            Dest::Net(net) => net.fmt(f)?,
        }
        match &self.ports {
            Ports::Any => Ok(()),
            Ports::Only(ranges) => {
                for (i, range) in ranges.iter().enumerate() {
                    write!(f, "{}{range}", if i == 0 { ':' } else { ',' })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.addr, self.prefix) {
            (IpAddr::V4(addr), 32) => addr.fmt(f),
            (IpAddr::V4(addr), prefix) => write!(f, "{addr}/{prefix}"),
            (IpAddr::V6(addr), 128) => write!(f, "[{addr}]"),
            (IpAddr::V6(addr), prefix) => write!(f, "[{addr}]/{prefix}"),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
