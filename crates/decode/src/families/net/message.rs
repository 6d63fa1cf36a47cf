//! What is sent and received: buffers, sendmsg(2)'s messages, control messages (cmsg(3)), netlink(7) headers.

use super::{
    super::common::{iovec_of, word_at},
    MSG, address,
};
use crate::{
    Value,
    ctx::Ctx,
    names::{self, Bits, bits},
    tables::net,
};

static NLM_F: Bits = bits(net::NLM_F);
static NLM_F_GET: Bits = bits(net::NLM_F_GET);
static NLM_F_NEW: Bits = bits(net::NLM_F_NEW);

/// The buffer of send(2) and sendto(2).
pub(super) fn sent(ctx: &Ctx<'_>, word: u64) -> Value {
    payload(ctx, word, ctx.word(2), ctx.word(4))
}

/// The buffer of recv(2) and recvfrom(2). With MSG_TRUNC the result may be longer than the buffer.
pub(super) fn received(ctx: &Ctx<'_>, word: u64) -> Value {
    payload(ctx, word, ctx.len().min(ctx.word(2)), ctx.word(4))
}

/// Bytes, or netlink messages where the other side's address is netlink's.
fn payload(ctx: &Ctx<'_>, address: u64, len: u64, peer: u64) -> Value {
    let netlink = ctx.read(peer).map(u16::from_le_bytes) == Some(AF_NETLINK);
    let messages = if netlink { netlink_messages(ctx, address, len) } else { None };
    messages.unwrap_or_else(|| ctx.buffer(address, len))
}

const AF_NETLINK: u16 = 16;

/// Headers of netlink messages: length, type, flags, sequence number, port.
fn netlink_messages(ctx: &Ctx<'_>, address: u64, len: u64) -> Option<Value> {
    let (mut items, mut at) = (Vec::new(), 0_u64);
    while at.saturating_add(16) <= len && items.len() < ctx.world.list_limit {
        let head: [u8; 16] = ctx.read(address.wrapping_add(at))?;
        let (length, kind, flags) = (word_at(&head, 0, 4), word_at(&head, 4, 2), word_at(&head, 6, 2));
        items.push(Value::Struct(vec![
            ("nlmsg_len", Value::Uint(length)),
            ("nlmsg_type", message_type(kind)),
            ("nlmsg_flags", message_flags(kind, flags)),
            ("nlmsg_seq", Value::Uint(word_at(&head, 8, 4))),
            ("nlmsg_pid", Value::Uint(word_at(&head, 12, 4))),
        ]));
        at = at.saturating_add(length.max(16).next_multiple_of(4));
    }
    (!items.is_empty()).then_some(Value::List { items, more: at < len })
}

fn message_type(kind: u64) -> Value {
    names::name(net::NLMSG, kind).map_or_else(|| names::named(net::RTM, kind), Value::Name)
}

/// The upper flags of a request that gets mean other things than those of one that makes something.
fn message_flags(kind: u64, flags: u64) -> Value {
    let Value::Flags { mut names, rest } = NLM_F.of(flags & 0xff) else { return Value::Hex(flags) };
    // rtnetlink(7) numbers its types in fours: new, delete, get, set.
    let upper = if kind >= 16 && kind % 4 == 2 { &NLM_F_GET } else { &NLM_F_NEW };
    if let Value::Flags { names: more, rest: unknown } = upper.of(flags & 0xff00) {
        names.extend(more);
        return Value::Flags { names, rest: rest | unknown };
    }
    Value::Flags { names, rest }
}

pub(super) fn message_in(ctx: &Ctx<'_>, address: u64) -> Value {
    message(ctx, address, u64::MAX, false)
}

pub(super) fn message_out(ctx: &Ctx<'_>, address: u64) -> Value {
    message(ctx, address, ctx.len(), true)
}

/// `struct msghdr`: name, vector, control messages, flags. `filled` bytes of the vector are there.
fn message(ctx: &Ctx<'_>, address: u64, filled: u64, received: bool) -> Value {
    let word = ctx.word_size();
    let bytes = ctx.read_vec(address, 7 * word);
    if address == 0 || bytes.len() < 7 * word {
        return Value::Address(address);
    }
    let at = |index: usize| word_at(&bytes, index * word, word);
    let name_len = word_at(&bytes, word, 4);
    let mut shown = vec![
        ("msg_name", if at(0) == 0 { Value::Address(0) } else { address::at(ctx, at(0), name_len) }),
        ("msg_namelen", Value::Uint(name_len)),
        ("msg_iov", iovec_of(ctx, at(2), at(3), filled, |base, len| payload(ctx, base, len, at(0)))),
        ("msg_iovlen", Value::Uint(at(3))),
    ];
    if at(4) != 0 {
        shown.push(("msg_control", control(ctx, at(4), at(5))));
    }
    shown.push(("msg_controllen", Value::Uint(at(5))));
    // The kernel writes these; it does not read them.
    if received {
        shown.push(("msg_flags", MSG.of(word_at(&bytes, 6 * word, 4))));
    }
    Value::Struct(shown)
}

/// Control messages: length, level, type, data; each begins at a multiple of a word.
fn control(ctx: &Ctx<'_>, address: u64, len: u64) -> Value {
    let word = ctx.word_size();
    let head = word + 8;
    // net.core.optmem_max bounds what the kernel takes; that much is never needed to show a few.
    let bytes = ctx.read_vec(address, usize::try_from(len).map_or(4096, |len| len.min(4096)));
    let (mut items, mut at) = (Vec::new(), 0);
    while at + head <= bytes.len() && items.len() < ctx.world.list_limit {
        let length = usize::try_from(word_at(&bytes, at, word)).unwrap_or(usize::MAX);
        let end = at.saturating_add(length).min(bytes.len());
        if length < head {
            break;
        }
        let (level, kind) = (word_at(&bytes, at + word, 4), word_at(&bytes, at + word + 4, 4));
        let data = &bytes[at + head..end];
        let mut shown = vec![("cmsg_len", Value::Uint(length as u64)), ("cmsg_level", names::named(net::SOL, level))];
        if level == 1 {
            shown.push(("cmsg_type", names::named(net::SCM, kind)));
            shown.push(("cmsg_data", socket_data(ctx, kind, data)));
        } else {
            let table = match names::name(net::SOL, level) {
                Some("SOL_IP") => net::IP,
                Some("SOL_IPV6") => net::IPV6,
                _ => &[],
            };
            shown.push(("cmsg_type", names::named(table, kind)));
            shown.push(("cmsg_data", Value::Bytes { bytes: data.to_vec(), cut: false }));
        }
        items.push(Value::Struct(shown));
        // The length is the guest's word: one that no memory has ends the list.
        at = at.saturating_add(length).checked_next_multiple_of(word).unwrap_or(bytes.len());
    }
    if items.is_empty() { Value::Address(address) } else { Value::List { items, more: (at as u64) < len } }
}

/// Descriptors and credentials that are handed over (unix(7)).
fn socket_data(ctx: &Ctx<'_>, kind: u64, data: &[u8]) -> Value {
    let int = |at: usize| word_at(data, at, 4);
    match kind {
        1 => Value::List {
            items: data.chunks_exact(4).map(|fd| ctx.fd(word_at(fd, 0, 4) as i32)).collect(),
            more: false,
        },
        2 if data.len() >= 12 => Value::Struct(vec![
            ("pid", Value::Int((int(0) as i32).into())),
            ("uid", Value::Uint(int(4))),
            ("gid", Value::Uint(int(8))),
        ]),
        4 if data.len() >= 4 => ctx.fd(int(0) as i32),
        _ => Value::Bytes { bytes: data.to_vec(), cut: false },
    }
}

pub(super) fn messages_in(ctx: &Ctx<'_>, address: u64) -> Value {
    messages(ctx, address, ctx.word(2) & 0xffff_ffff, false)
}

/// As many messages have been received as the result says.
pub(super) fn messages_out(ctx: &Ctx<'_>, address: u64) -> Value {
    messages(ctx, address, ctx.len(), true)
}

/// `struct mmsghdr`: a message and how many bytes of it went over.
fn messages(ctx: &Ctx<'_>, address: u64, count: u64, received: bool) -> Value {
    let word = ctx.word_size();
    let size = 8 * word;
    let mut at = address;
    // What is in the last word of a message that was not sent is whatever was there.
    let done = ctx.len();
    let mut index = 0;
    ctx.list(address, count, size, |bytes| {
        let len = word_at(bytes, 7 * word, 4);
        let mut shown = vec![("msg_hdr", message(ctx, at, if received { len } else { u64::MAX }, received))];
        if index < done {
            shown.push(("msg_len", Value::Uint(len)));
        }
        at = at.wrapping_add(size as u64);
        index += 1;
        Value::Struct(shown)
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Fake;

    #[test]
    fn a_message_that_hands_over_a_descriptor() {
        let mut control = 20_u64.to_le_bytes().to_vec();
        for half in [1_u32, 1, 5, 0] {
            control.extend(half.to_le_bytes());
        }
        let fake = Fake::default()
            .words(0x1000, &[0, 0, 0x2000, 1, 0x3000, 24, 0])
            .words(0x2000, &[0x4000, 3])
            .put(0x3000, control)
            .put(0x4000, b"abc")
            .fd(5, "/etc/passwd");
        assert_eq!(
            fake.entered("sendmsg", &[3, 0x1000, 0]),
            "sendmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"abc\", iov_len=3}], msg_iovlen=1, \
             msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[5</etc/passwd>]}], msg_controllen=24}, 0)"
        );
        let text = fake.left("recvmsg", &[3, 0x1000, 0], 2);
        assert!(text.contains("iov_base=\"ab\"") && text.ends_with("msg_flags=0}, 0) = 2"), "{text}");
    }

    #[test]
    fn several_messages() {
        let fake = Fake::default()
            .words(0x1000, &[0, 0, 0x2000, 1, 0, 0, 0, 3])
            .words(0x2000, &[0x4000, 9])
            .put(0x4000, b"abcdefghi");
        assert_eq!(
            fake.left("recvmmsg", &[3, 0x1000, 1, 0, 0], 1),
            "recvmmsg(3, [{msg_hdr={msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"abc\", iov_len=9}], msg_iovlen=1, \
             msg_controllen=0, msg_flags=0}, msg_len=3}], 1, 0, NULL) = 1"
        );
    }

    #[test]
    fn netlink_headers() {
        let fake = Fake::default().halves(0x1000, &[20, 0x0301_0012, 7, 0, 0]).halves(0x2000, &[16, 0, 0]);
        assert_eq!(
            fake.entered("sendto", &[3, 0x1000, 20, 0, 0x2000, 12]),
            "sendto(3, [{nlmsg_len=20, nlmsg_type=RTM_GETLINK, nlmsg_flags=NLM_F_REQUEST|NLM_F_DUMP, nlmsg_seq=7, \
             nlmsg_pid=0}], 20, 0, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=0x0}, 12)"
        );
    }
}
