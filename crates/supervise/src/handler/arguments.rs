//! Arguments in types: paths, socket addresses, argv. One bounded copy of guest memory each; what is parsed is the copy.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use tipstaff_abi::Arch;

use super::Trap;

const EFAULT: u16 = 14;
const E2BIG: u16 = 7;
const EINVAL: u16 = 22;
const ENAMETOOLONG: u16 = 36;

const PATH_MAX: usize = 4096;
/// execve(2)'s own limits are a quarter of the stack; what is compared and shown is less.
const ARGUMENTS: usize = 4096;
const ARGUMENT_BYTES: usize = 256 * 1024;
const PAGE: u64 = 4096;

/// The arguments of an exec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argv(pub Vec<OsString>);

/// A socket address, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketAddress {
    /// AF_INET, AF_INET6.
    Inet(SocketAddr),
    /// AF_UNIX with a path.
    Unix(PathBuf),
    /// AF_UNIX with an abstract name (without its first NUL).
    Abstract(Vec<u8>),
    /// Another family.
    Other(u16),
}

/// Errors are errnos, as the kernel would answer such an argument: a handler that cannot decide answers [`Action::Errno`](super::Action).
impl Trap<'_> {
    /// A C string of at most `limit` bytes.
    pub fn string(&self, address: u64, limit: usize) -> Result<Vec<u8>, u16> {
        let mut bytes: Vec<u8> = Vec::new();
        while bytes.len() <= limit {
            let at = address.wrapping_add(bytes.len() as u64);
            // To the end of the page: the next one may not be there.
            let piece = ((PAGE - at % PAGE) as usize).min(limit + 1 - bytes.len());
            let start = bytes.len();
            bytes.resize(start + piece, 0);
            let got = self.read(at, &mut bytes[start..]);
            bytes.truncate(start + got);
            if let Some(end) = bytes[start..].iter().position(|b| *b == 0) {
                bytes.truncate(start + end);
                return Ok(bytes);
            }
            if got < piece {
                return Err(EFAULT);
            }
        }
        Err(ENAMETOOLONG)
    }

    /// The path that argument `index` points to.
    pub fn path(&self, index: usize) -> Result<PathBuf, u16> {
        let address = self.args().get(index).copied().ok_or(EINVAL)?;
        Ok(PathBuf::from(OsString::from_vec(self.string(address, PATH_MAX - 1)?)))
    }

    /// The socket address that argument `index` points to, as long as argument `length` says.
    pub fn socket_address(&self, index: usize, length: usize) -> Result<SocketAddress, u16> {
        let args = self.args();
        let (Some(address), Some(length)) = (args.get(index), args.get(length)) else { return Err(EINVAL) };
        // socklen_t; the kernel refuses more than a sockaddr_storage.
        let length = *length as u32 as usize;
        if !(2..=128).contains(&length) {
            return Err(EINVAL);
        }
        let mut bytes = vec![0; length];
        if self.read(*address, &mut bytes) < length {
            return Err(EFAULT);
        }
        parse(&bytes)
    }

    /// The argument vector that argument `index` points to.
    pub fn argv(&self, index: usize) -> Result<Argv, u16> {
        let address = self.args().get(index).copied().ok_or(EINVAL)?;
        let word = if self.arch() == Arch::I386 || self.arch() == Arch::Arm { 4 } else { 8 };
        let (mut argv, mut total) = (Vec::new(), 0);
        if address == 0 {
            return Ok(Argv(argv));
        }
        for n in 0..ARGUMENTS {
            let mut bytes = [0u8; 8];
            let at = address.wrapping_add((n * word) as u64);
            if self.read(at, &mut bytes[..word]) < word {
                return Err(EFAULT);
            }
            let pointer = u64::from_le_bytes(bytes);
            if pointer == 0 {
                return Ok(Argv(argv));
            }
            let argument =
                self.string(pointer, ARGUMENT_BYTES - total).map_err(|e| if e == ENAMETOOLONG { E2BIG } else { e })?;
            total += argument.len();
            argv.push(OsString::from_vec(argument));
        }
        Err(E2BIG)
    }
}

fn parse(bytes: &[u8]) -> Result<SocketAddress, u16> {
    const AF_UNIX: u16 = 1;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    let family = u16::from_ne_bytes([bytes[0], bytes[1]]);
    let port = || bytes.get(2..4).map(|b| u16::from_be_bytes([b[0], b[1]]));
    match family {
        AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8).and_then(|b| b.try_into().ok()).ok_or(EINVAL)?;
            Ok(SocketAddress::Inet(SocketAddrV4::new(Ipv4Addr::from(ip), port().ok_or(EINVAL)?).into()))
        }
        AF_INET6 => {
            let number = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
            let ip: [u8; 16] = bytes.get(8..24).and_then(|b| b.try_into().ok()).ok_or(EINVAL)?;
            let flow = number(4).map_or(0, u32::from_be_bytes);
            let scope = number(24).map_or(0, u32::from_ne_bytes);
            Ok(SocketAddress::Inet(SocketAddrV6::new(Ipv6Addr::from(ip), port().ok_or(EINVAL)?, flow, scope).into()))
        }
        AF_UNIX => match &bytes[2..] {
            [0, name @ ..] => Ok(SocketAddress::Abstract(name.to_vec())),
            path => {
                let path = path.split(|b| *b == 0).next().unwrap_or_default();
                Ok(SocketAddress::Unix(PathBuf::from(OsStr::from_bytes(path))))
            }
        },
        other => Ok(SocketAddress::Other(other)),
    }
}
