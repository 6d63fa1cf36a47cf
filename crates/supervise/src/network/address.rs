//! Socket addresses as bytes: what a guest says, and what the kernel is given.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use tipstaff_abi::errno::{EAFNOSUPPORT, EINVAL};
use tipstaff_policy::lower::meant;

pub(super) const AF_UNIX: i32 = 1;
pub(super) const AF_INET: i32 = 2;
pub(super) const AF_INET6: i32 = 10;
pub(super) const AF_NETLINK: i32 = 16;

/// Whom an address means, for a socket of IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// AF_UNSPEC: for connect(2), nobody any more.
    Nobody,
    /// A peer, as the rules see it, and the bytes that the kernel is given for it.
    Peer(SocketAddr, Vec<u8>),
}

/// The family that an address names.
pub(super) fn family(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|family| u16::from_ne_bytes(*family))
}

/// Reads an address that is meant for a socket of AF_INET or AF_INET6. Err: what the kernel would say to it.
pub(super) fn parse(bytes: &[u8]) -> Result<To, u16> {
    let said = family(bytes).ok_or(EINVAL)?;
    let port = || bytes.get(2..4).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or(EINVAL);
    let peer = match i32::from(said) {
        0 => return Ok(To::Nobody),
        // ip(7): the whole structure, its padding included.
        AF_INET if bytes.len() < 16 => return Err(EINVAL),
        AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8).and_then(|b| b.try_into().ok()).ok_or(EINVAL)?;
            SocketAddr::from(SocketAddrV4::new(Ipv4Addr::from(ip), port()?))
        }
        AF_INET6 => {
            let ip: [u8; 16] = bytes.get(8..24).and_then(|b| b.try_into().ok()).ok_or(EINVAL)?;
            let scope = bytes.get(24..28).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
            SocketAddr::from(SocketAddrV6::new(Ipv6Addr::from(ip), port()?, 0, scope))
        }
        _ => return Err(EAFNOSUPPORT),
    };
    let goes = meant(peer);
    let bytes = match (peer, goes) {
        (SocketAddr::V6(_), SocketAddr::V4(v4)) => bytes_for(AF_INET6, v4),
        _ => bytes_of(goes),
    };
    Ok(To::Peer(goes, bytes))
}

/// The port of a local address; None where the family has none.
pub(super) fn port(bytes: &[u8]) -> Option<u16> {
    let inet = matches!(i32::from(family(bytes)?), AF_INET | AF_INET6);
    bytes.get(2..4).filter(|_| inet).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

/// struct sockaddr_in or struct sockaddr_in6.
pub(super) fn bytes_of(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28);
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend((AF_INET as u16).to_ne_bytes());
            bytes.extend(v4.port().to_be_bytes());
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend((AF_INET6 as u16).to_ne_bytes());
            bytes.extend(v6.port().to_be_bytes());
            bytes.extend(v6.flowinfo().to_be_bytes());
            bytes.extend(v6.ip().octets());
            bytes.extend(v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// An IPv4 peer for a socket of this domain: one of AF_INET6 wants its own kind of address.
pub(super) fn bytes_for(domain: i32, v4: SocketAddrV4) -> Vec<u8> {
    if domain == AF_INET6 {
        return bytes_of(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into());
    }
    bytes_of(v4.into())
}

/// A peer as it is bound, which needs the address as it is: 0.0.0.0 is every address there.
pub(super) fn local(bytes: &[u8]) -> Result<(u16, Vec<u8>), u16> {
    match i32::from(family(bytes).ok_or(EINVAL)?) {
        AF_INET if bytes.len() >= 16 => {}
        AF_INET6 if bytes.len() >= 24 => {}
        AF_INET | AF_INET6 => return Err(EINVAL),
        // The kernel takes AF_UNSPEC with 0.0.0.0 for old programs.
        _ => return Err(EAFNOSUPPORT),
    }
    Ok((port(bytes).ok_or(EINVAL)?, bytes.to_vec()))
}

/// Whether a netlink address is the kernel: no process, no group (netlink(7)).
pub(super) fn is_kernel(bytes: &[u8]) -> bool {
    bytes.len() >= 12 && i32::from(family(bytes).unwrap_or(0)) == AF_NETLINK && bytes[4..12].iter().all(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> (String, String) {
        let asked: SocketAddr = text.parse().expect("an address");
        match parse(&bytes_of(asked)) {
            Ok(To::Peer(goes, bytes)) => {
                let given = match parse(&bytes) {
                    Ok(To::Peer(again, _)) => again,
                    other => panic!("{other:?}"),
                };
                assert_eq!(given, goes, "what is judged is what is given");
                (goes.to_string(), format!("{}", family(&bytes).unwrap_or(0)))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_judged_is_what_the_kernel_gets() {
        for (asked, goes, family) in [
            ("192.0.2.1:80", "192.0.2.1:80", "2"),
            ("0.0.0.0:80", "127.0.0.1:80", "2"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1:80", "10"),
            ("[::]:80", "[::1]:80", "10"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80", "10"),
        ] {
            assert_eq!(peer(asked), (goes.to_owned(), family.to_owned()), "{asked}");
        }
    }

    #[test]
    fn short_and_strange_addresses_are_errors() {
        assert_eq!(parse(&[]), Err(EINVAL));
        assert_eq!(parse(&[2, 0, 0, 80, 127, 0, 0, 1]), Err(EINVAL));
        assert_eq!(parse(&[1, 0, b'/', b'x']), Err(EAFNOSUPPORT));
        assert_eq!(parse(&[0, 0]), Ok(To::Nobody));
        let long: Vec<u8> = bytes_of("192.0.2.1:80".parse().expect("an address")).into_iter().chain([9; 90]).collect();
        assert!(
            matches!(parse(&long), Ok(To::Peer(_, bytes)) if bytes.len() == 16),
            "connect(2) takes more, and ignores it"
        );
    }

    #[test]
    fn netlink_to_the_kernel_only() {
        let mut bytes = [0u8; 12];
        bytes[0] = 16;
        assert!(is_kernel(&bytes));
        bytes[4] = 1;
        assert!(!is_kernel(&bytes));
    }
}
