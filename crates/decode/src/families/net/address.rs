//! Socket addresses: ip(7), ipv6(7), unix(7), netlink(7), packet(7), vsock(7).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::common::word_at;
use crate::{Value, ctx::Ctx, names, tables::net};

/// Longest address that the kernel takes (`struct sockaddr_storage`).
const LONGEST: u64 = 128;

/// An address that the caller gives; its length is another word.
pub(super) fn given<const LEN: usize>(ctx: &Ctx<'_>, address: u64) -> Value {
    at(ctx, address, ctx.word(LEN) & 0xffff_ffff)
}

/// An address that the kernel has written; its length lies behind another word's pointer.
pub(super) fn written<const LEN: usize>(ctx: &Ctx<'_>, address: u64) -> Value {
    let len = ctx.read_u32(ctx.word(LEN)).unwrap_or(0);
    at(ctx, address, len.into())
}

/// An address of this length.
pub(super) fn at(ctx: &Ctx<'_>, address: u64, len: u64) -> Value {
    let bytes = ctx.read_vec(address, len.min(LONGEST) as usize);
    // Two bytes are the family.
    if bytes.len() < 2 { Value::Address(address) } else { sockaddr(&bytes) }
}

fn text(bytes: impl Into<Vec<u8>>) -> Value {
    Value::Bytes { bytes: bytes.into(), cut: false }
}

fn sockaddr(bytes: &[u8]) -> Value {
    let family = word_at(bytes, 0, 2);
    let port = |at: usize| Value::Uint((word_at(bytes, at, 2) as u16).swap_bytes().into());
    let int = |at: usize| Value::Uint(word_at(bytes, at, 4));
    let mut shown = vec![("sa_family", names::named(net::FAMILY, family))];
    match names::name(net::FAMILY, family) {
        Some("AF_UNIX") => {
            if bytes.len() > 2 {
                shown.push(("sun_path", text(unix(&bytes[2..]))));
            }
        }
        Some("AF_INET") if bytes.len() >= 8 => {
            let address = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
            shown.extend([("sin_port", port(2)), ("sin_addr", text(address.to_string()))]);
        }
        Some("AF_INET6") if bytes.len() >= 24 => {
            let mut address = [0; 16];
            address.copy_from_slice(&bytes[8..24]);
            shown.extend([
                ("sin6_port", port(2)),
                ("sin6_flowinfo", Value::Hex(u64::from((word_at(bytes, 4, 4) as u32).swap_bytes()))),
                ("sin6_addr", text(Ipv6Addr::from(address).to_string())),
                ("sin6_scope_id", int(24)),
            ]);
        }
        Some("AF_NETLINK") if bytes.len() >= 12 => {
            shown.extend([("nl_pid", int(4)), ("nl_groups", Value::Hex(word_at(bytes, 8, 4)))]);
        }
        Some("AF_PACKET") if bytes.len() >= 12 => {
            let len = usize::from(bytes[11]).min(8);
            shown.extend([
                ("sll_protocol", names::named(net::ETH_P, (word_at(bytes, 2, 2) as u16).swap_bytes().into())),
                ("sll_ifindex", int(4)),
                ("sll_hatype", Value::Uint(word_at(bytes, 8, 2))),
                ("sll_pkttype", names::named(net::PACKET_TYPE, bytes[10].into())),
                ("sll_addr", text(&bytes[12..(12 + len).min(bytes.len())])),
            ]);
        }
        Some("AF_VSOCK") if bytes.len() >= 12 => {
            shown.extend([("svm_port", int(4)), ("svm_cid", names::named(net::VMADDR, word_at(bytes, 8, 4)))]);
        }
        _ => {
            if bytes.len() > 2 {
                shown.push(("sa_data", text(&bytes[2..])));
            }
        }
    }
    Value::Struct(shown)
}

/// A path up to its zero byte, or an abstract name, which begins with one and is shown with `@` in its place, as ss(8) does.
fn unix(path: &[u8]) -> Vec<u8> {
    match path.split_first() {
        Some((0, name)) if !name.is_empty() => {
            // Trailing zero bytes are part of the name, and hide nothing.
            let end = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            [b"@", &name[..end]].concat()
        }
        _ => path.split(|&byte| byte == 0).next().unwrap_or_default().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::text;

    #[test]
    fn addresses_of_each_family() {
        let mut six = vec![10, 0, 0x1f, 0x90, 0, 0, 0, 0];
        six.extend([0; 15]);
        six.extend([1, 2, 0, 0, 0]);
        assert_eq!(
            text(&super::sockaddr(&six)),
            r#"{sa_family=AF_INET6, sin6_port=8080, sin6_flowinfo=0x0, sin6_addr="::1", sin6_scope_id=2}"#
        );
        let netlink = [16, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(text(&super::sockaddr(&netlink)), "{sa_family=AF_NETLINK, nl_pid=5, nl_groups=0x1}");
        let vsock = [40, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(text(&super::sockaddr(&vsock)), "{sa_family=AF_VSOCK, svm_port=1, svm_cid=VMADDR_CID_HOST}");
        assert_eq!(text(&super::sockaddr(&[1, 0])), "{sa_family=AF_UNIX}");
        assert_eq!(text(&super::sockaddr(&[2, 0, 9])), r#"{sa_family=AF_INET, sa_data="\t"}"#);
    }
}
