//! struct msghdr of a guest, read once: address, data, control messages.

use std::os::fd::OwnedFd;

use tipstaff_abi::errno::{EBADF, EFAULT, EINVAL, EMSGSIZE, EPERM};

use super::acts::Message;
use super::budget::Share;
use crate::handler::Trap;

/// UIO_MAXIOV: readv(2).
const VECTORS: usize = 1024;
/// Bytes of one message that are copied. No datagram of IP is longer than 64 KiB; a stream takes the rest with the next call.
const DATA: usize = 1 << 20;
/// net.core.optmem_max of most kernels.
const CONTROL: usize = 128 << 10;
/// SCM_MAX_FD: unix(7).
const CARRIED: usize = 253;
/// sizeof(struct msghdr) for 64-bit programs.
pub(super) const HEADER: u64 = 56;

const SOL_IP: i32 = 0;
const SOL_SOCKET: i32 = 1;
const SOL_UDP: i32 = 17;
const SOL_IPV6: i32 = 41;
const SCM_RIGHTS: i32 = 1;

/// A message header's words.
pub(super) struct Header {
    /// The address's bytes; None: no address.
    pub name: Option<Vec<u8>>,
    vectors: u64,
    count: u64,
    control: u64,
    control_len: u64,
}

/// Reads all of `len` bytes.
pub(super) fn copy(trap: &Trap<'_>, address: u64, len: usize) -> Result<Vec<u8>, u16> {
    let mut bytes = vec![0; len];
    if trap.read(address, &mut bytes) == len { Ok(bytes) } else { Err(EFAULT) }
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    words
}

/// Reads a struct msghdr and the address that it names.
pub(super) fn header(trap: &Trap<'_>, at: u64) -> Result<Header, u16> {
    let [name, name_len, vectors, count, control, control_len, _] = words(&copy(trap, at, HEADER as usize)?);
    let len = i32::try_from(name_len as u32).map_err(|_| EINVAL)? as usize;
    let name = match (name, len.min(tipstaff_sys::socket::ADDRESS_MAX)) {
        (0, _) | (_, 0) => None,
        (at, len) => Some(copy(trap, at, len)?),
    };
    Ok(Header { name, vectors, count, control, control_len })
}

/// How much of a message's data is copied.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    pub share: &'a Share,
    /// A stream takes what fits; the rest comes with the next call.
    pub stream: bool,
    /// No datagram of this socket is longer: EMSGSIZE.
    pub longest: usize,
}

impl Room<'_> {
    /// How many of `len` bytes are copied. Asked before any are.
    fn take(&self, len: u64) -> Result<usize, u16> {
        if self.stream {
            return self.share.bytes_up_to(len.min(DATA as u64) as usize);
        }
        let len = usize::try_from(len).ok().filter(|len| *len <= self.longest.min(DATA)).ok_or(EMSGSIZE)?;
        self.share.bytes(len).map(|()| len)
    }
}

/// The data of a message. A datagram that is longer than any can be is EMSGSIZE.
pub(super) fn data(trap: &Trap<'_>, header: &Header, room: Room<'_>) -> Result<Vec<u8>, u16> {
    let count = usize::try_from(header.count).ok().filter(|count| *count <= VECTORS).ok_or(EMSGSIZE)?;
    let vectors = copy(trap, header.vectors, count * 16)?;
    let vectors = vectors.chunks_exact(16).map(words);
    let mut left = room.take(vectors.clone().fold(0, |sum: u64, [_, len]| sum.saturating_add(len)))?;
    let mut data = Vec::with_capacity(left);
    for [at, len] in vectors {
        let len = usize::try_from(len).map_err(|_| EINVAL)?.min(left);
        data.extend(copy(trap, at, len)?);
        left -= len;
    }
    Ok(data)
}

/// Bytes of sendto(2).
pub(super) fn plain(trap: &Trap<'_>, at: u64, len: u64, room: Room<'_>) -> Result<Vec<u8>, u16> {
    let len = room.take(len)?;
    copy(trap, at, len)
}

/// A control message as bytes: cmsg(3).
pub(super) fn control(level: i32, kind: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + body.len().next_multiple_of(8));
    bytes.extend((16 + body.len() as u64).to_ne_bytes());
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Takes over a message's control messages. `fetch` duplicates a descriptor of the guest. What would lead an IP packet elsewhere is left out: source
/// routes, extension headers, interfaces.
pub(super) fn controls(
    trap: &Trap<'_>,
    header: &Header,
    unix: bool,
    share: &Share,
    into: &mut Message,
    fetch: impl Fn(i32) -> Result<OwnedFd, u16>,
) -> Result<(), u16> {
    let len = usize::try_from(header.control_len).map_err(|_| EINVAL)?;
    if header.control == 0 || len == 0 {
        return Ok(());
    }
    let len = Some(len).filter(|len| *len <= CONTROL).ok_or(EINVAL)?;
    // As read, and as made from that.
    share.bytes(2 * len)?;
    let bytes = copy(trap, header.control, len)?;
    let mut rest = &bytes[..];
    while rest.len() >= 16 {
        let [len] = words(&rest[..8]);
        let [kinds] = words(&rest[8..16]);
        let (level, kind) = (kinds as u32 as i32, (kinds >> 32) as i32);
        let len = usize::try_from(len).ok().filter(|len| (16..=rest.len()).contains(len)).ok_or(EINVAL)?;
        one(level, kind, &rest[16..len], unix.then_some(share), into, &fetch)?;
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(())
}

fn one(
    level: i32,
    kind: i32,
    body: &[u8],
    unix: Option<&Share>,
    into: &mut Message,
    fetch: &impl Fn(i32) -> Result<OwnedFd, u16>,
) -> Result<(), u16> {
    /// IP_TOS, IP_TTL.
    const IP: [i32; 2] = [1, 2];
    /// IPV6_HOPLIMIT, IPV6_TCLASS.
    const IPV6: [i32; 2] = [52, 67];
    /// UDP_SEGMENT.
    const UDP: i32 = 103;
    const IP_PKTINFO: i32 = 8;
    const IPV6_PKTINFO: i32 = 50;
    if let Some(share) = unix {
        if (level, kind) != (SOL_SOCKET, SCM_RIGHTS) {
            // SCM_CREDENTIALS would have to be ours.
            return Err(EPERM);
        }
        let numbers = body.chunks_exact(4).map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
        if numbers.len() + into.carried.len() > CARRIED {
            return Err(EINVAL);
        }
        share.descriptors(numbers.len())?;
        let descriptors = numbers.map(fetch).collect::<Result<Vec<_>, _>>().map_err(|_| EBADF)?;
        into.carry(descriptors);
        return Ok(());
    }
    let mut body = body.to_vec();
    let keep = match (level, kind) {
        (SOL_IP, kind) if IP.contains(&kind) => true,
        (SOL_IPV6, kind) if IPV6.contains(&kind) => true,
        (SOL_UDP, UDP) => true,
        // The source address may be chosen, the interface not: struct in_pktinfo begins with it, struct in6_pktinfo ends with it.
        (SOL_IP, IP_PKTINFO) if body.len() >= 12 => {
            body[..4].fill(0);
            true
        }
        (SOL_IPV6, IPV6_PKTINFO) if body.len() >= 20 => {
            body[16..20].fill(0);
            true
        }
        _ => false,
    };
    if keep {
        into.control.extend(control(level, kind, &body));
    }
    Ok(())
}
