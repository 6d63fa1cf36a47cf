//! Answers of the box's own name server: RFC 1035, one question of class IN.
//!
//! It knows the allowed names and their pinned addresses, and forwards nothing. Another name does not exist (NXDOMAIN): resolvers then give up
//! at once, where a refusal would make them try again.

use std::net::IpAddr;

const HEADER: usize = 12;
/// Without EDNS a datagram holds no more; what is longer is asked for again over TCP.
const DATAGRAM: usize = 512;
/// Seconds: the addresses are pinned for as long as the box runs.
const TTL: u32 = 60;

const A: u16 = 1;
const AAAA: u16 = 28;
const ANY: u16 = 255;
const IN: u16 = 1;

const RESPONSE: u16 = 1 << 15;
const AUTHORITATIVE: u16 = 1 << 10;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const RECURSION_AVAILABLE: u16 = 1 << 7;
const OPCODE: u16 = 0xf << 11;

const FORMAT_ERROR: u16 = 1;
const NO_SUCH_NAME: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;
const REFUSED: u16 = 5;

/// Names and what they mean.
pub(super) type Names = [(String, Vec<IpAddr>)];

struct Question {
    /// Lower case, labels with dots between them.
    name: String,
    kind: u16,
    class: u16,
    /// Where it ends in the message.
    end: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

fn question(query: &[u8]) -> Option<Question> {
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        match len {
            0 => break,
            // A pointer (RFC 1035 4.1.4): there is nothing before a question that it could point to.
            64.. => return None,
            _ => {}
        }
        let label = query.get(at..at + len)?;
        at += len;
        if !name.is_empty() {
            name.push('.');
        }
        // A dot inside a label is no border between two.
        if label.contains(&b'.') || name.len() + len > 253 {
            return None;
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    }
    Some(Question { name, kind: word(query, at)?, class: word(query, at + 2)?, end: at + 4 })
}

/// The response to a message; None for what is no query at all. `unknown` hears of a name that does not exist here.
pub(super) fn answer(query: &[u8], names: &Names, datagram: bool, unknown: &mut dyn FnMut(&str)) -> Option<Vec<u8>> {
    let (id, flags) = (word(query, 0)?, word(query, 2)?);
    if query.len() < HEADER || flags & RESPONSE != 0 {
        return None;
    }
    let kept = RESPONSE | AUTHORITATIVE | RECURSION_AVAILABLE | flags & (OPCODE | RECURSION_DESIRED);
    let plain = |code: u16| Some(message(id, kept | code, &[], &[]));
    if flags & OPCODE != 0 {
        return plain(NOT_IMPLEMENTED);
    }
    let asked = match question(query) {
        Some(asked) if word(query, 4) == Some(1) => asked,
        _ => return plain(FORMAT_ERROR),
    };
    let said = &query[HEADER..asked.end];
    let Some((_, addresses)) = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(&asked.name)) else {
        unknown(&asked.name);
        return Some(message(id, kept | NO_SUCH_NAME, said, &[]));
    };
    if asked.class != IN {
        return Some(message(id, kept | REFUSED, said, &[]));
    }
    let wanted = |address: &&IpAddr| match address {
        IpAddr::V4(_) => [A, ANY].contains(&asked.kind),
        IpAddr::V6(_) => [AAAA, ANY].contains(&asked.kind),
    };
    let found: Vec<IpAddr> = addresses.iter().filter(wanted).copied().collect();
    let whole = message(id, kept, said, &found);
    if datagram && whole.len() > DATAGRAM {
        return Some(message(id, kept | TRUNCATED, said, &[]));
    }
    Some(whole)
}

fn message(id: u16, flags: u16, question: &[u8], addresses: &[IpAddr]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [id, flags, u16::from(!question.is_empty()), addresses.len() as u16, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(question);
    for address in addresses {
        let (kind, octets) = match address {
            IpAddr::V4(v4) => (A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
        };
        // The name: a pointer to the question's.
        bytes.extend((0xc000 | HEADER as u16).to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(IN.to_be_bytes());
        bytes.extend(TTL.to_be_bytes());
        bytes.extend((octets.len() as u16).to_be_bytes());
        bytes.extend(octets);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(IN.to_be_bytes());
        bytes
    }

    /// Code and number of answers.
    fn said(query: &[u8]) -> Option<(u16, u16)> {
        let many = (1..100).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        let names = [
            ("example.test".to_owned(), vec![IpAddr::from([192, 0, 2, 7]), "2001:db8::7".parse().expect("an address")]),
            ("many.test".to_owned(), many),
        ];
        let bytes = answer(query, &names, true, &mut |_| ())?;
        assert_eq!(bytes[..2], query[..2], "the id");
        assert!(bytes[2] & 0x80 != 0, "a response");
        Some((word(&bytes, 2).expect("flags") & 0xf, word(&bytes, 6).expect("a count")))
    }

    #[test]
    fn allowed_names_have_their_addresses_and_no_other_name_exists() {
        assert_eq!(said(&query("example.test", A)), Some((0, 1)));
        assert_eq!(said(&query("EXAMPLE.test", AAAA)), Some((0, 1)));
        assert_eq!(said(&query("example.test", ANY)), Some((0, 2)));
        assert_eq!(said(&query("example.test", 15)), Some((0, 0)), "MX: the name is there, the record is not");
        for other in ["other.test", "test", "", "x.example.test", "secret.exfiltrated.example.test"] {
            assert_eq!(said(&query(other, A)), Some((NO_SUCH_NAME, 0)), "{other:?}");
        }
    }

    #[test]
    fn the_address_stands_at_the_end() {
        let names = [("example.test".to_owned(), vec![IpAddr::from([192, 0, 2, 7])])];
        let bytes = answer(&query("example.test", A), &names, true, &mut |_| ()).expect("an answer");
        assert_eq!(bytes[bytes.len() - 6..], [0, 4, 192, 0, 2, 7]);
    }

    #[test]
    fn what_does_not_fit_a_datagram_is_asked_for_again() {
        let many: Vec<IpAddr> = (1..100).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        let names = [("many.test".to_owned(), many)];
        let short = answer(&query("many.test", A), &names, true, &mut |_| ()).expect("an answer");
        assert!(short.len() <= DATAGRAM && short[2] & 2 != 0, "truncated");
        let whole = answer(&query("many.test", A), &names, false, &mut |_| ()).expect("an answer");
        assert_eq!((word(&whole, 6), whole[2] & 2), (Some(99), 0));
    }

    #[test]
    fn nonsense_is_an_error_or_nothing() {
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[1; 11]), None);
        let mut response = query("example.test", A);
        response[2] |= 0x80;
        assert_eq!(said(&response), None, "a response is not answered");
        let mut update = query("example.test", A);
        update[2] |= 5 << 3;
        assert_eq!(said(&update), Some((NOT_IMPLEMENTED, 0)));
        let whole = query("example.test", A);
        for len in HEADER..whole.len() {
            assert_eq!(said(&whole[..len]), Some((FORMAT_ERROR, 0)), "{len}");
        }
        let mut pointer = query("example.test", A);
        pointer[HEADER] = 0xc0;
        assert_eq!(said(&pointer), Some((FORMAT_ERROR, 0)));
        let mut two = query("example.test", A);
        two[5] = 2;
        assert_eq!(said(&two), Some((FORMAT_ERROR, 0)));
    }
}
