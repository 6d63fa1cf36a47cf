//! Arguments in types: paths, socket addresses, argv. One bounded copy of guest memory each; what is parsed is the copy.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use tipstaff_abi::Arch;
use tipstaff_abi::errno::{E2BIG, EFAULT, EINVAL, ENAMETOOLONG};

use super::Trap;

const PATH_MAX: usize = 4096;
/// MAX_ARG_STRLEN: execve(2), "Limits on size of arguments and environment".
const ARGUMENT: usize = 128 * 1024;
/// All arguments with their pointers: three quarters of _STK_LIM, which no stack limit exceeds.
const ARGUMENTS: usize = 6 << 20;
const PAGE: u64 = 4096;

/// The arguments of an exec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argv(pub Vec<OsString>);

/// A socket address, as far as it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketAddress {
    /// AF_INET, AF_INET6.
    Inet(SocketAddr),
    /// AF_UNIX with a path; an empty one has no name.
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
            let at = address.checked_add(bytes.len() as u64).ok_or(EFAULT)?;
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

    /// The path that argument `index` points to: ENAMETOOLONG from 4096 bytes on, its NUL included.
    pub fn path(&self, index: usize) -> Result<PathBuf, u16> {
        let address = self.args().get(index).copied().ok_or(EINVAL)?;
        Ok(PathBuf::from(OsString::from_vec(self.string(address, PATH_MAX - 1)?)))
    }

    /// The socket address that argument `index` points to, as long as argument `length` says.
    pub fn socket_address(&self, index: usize, length: usize) -> Result<SocketAddress, u16> {
        let args = self.args();
        let (Some(address), Some(length)) = (args.get(index), args.get(length)) else { return Err(EINVAL) };
        self.address(*address, *length)
    }

    /// The socket address that stands there.
    pub(crate) fn address(&self, address: u64, length: u64) -> Result<SocketAddress, u16> {
        // socklen_t; the kernel refuses more than a sockaddr_storage.
        let length = length as u32 as usize;
        if !(2..=128).contains(&length) {
            return Err(EINVAL);
        }
        let mut bytes = vec![0; length];
        if self.read(address, &mut bytes) < length {
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
        for n in 0..(ARGUMENTS / word) as u64 {
            let mut bytes = [0u8; 8];
            let at = address.checked_add(n * word as u64).ok_or(EFAULT)?;
            if self.read(at, &mut bytes[..word]) < word {
                return Err(EFAULT);
            }
            let pointer = u64::from_le_bytes(bytes);
            if pointer == 0 {
                return Ok(Argv(argv));
            }
            let argument = self.string(pointer, ARGUMENT - 1).map_err(|e| if e == ENAMETOOLONG { E2BIG } else { e })?;
            total += argument.len() + 1 + word;
            if total > ARGUMENTS {
                return Err(E2BIG);
            }
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

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    const X86_64: Arch = Arch::X86_64;

    #[test]
    fn a_path_may_end_with_its_page() {
        let guest = Fake::default();
        guest.map(0x1000, &[b'x'; 4096]);
        guest.put(0x1ffc, b"/ab\0");
        assert_eq!(guest.call(X86_64, "open", &[0x1ffc]).path(0), Ok("/ab".into()));
        guest.put(0x1fff, b"x");
        assert_eq!(guest.call(X86_64, "open", &[0x1ffc]).path(0), Err(EFAULT), "no NUL before the end of memory");
        guest.put(0x2000, b"y\0");
        assert_eq!(guest.call(X86_64, "open", &[0x1ffc]).path(0), Ok("/abxy".into()));
        assert_eq!(guest.call(X86_64, "open", &[0]).path(0), Err(EFAULT));
        assert_eq!(guest.call(X86_64, "open", &[u64::MAX]).path(0), Err(EFAULT));
    }

    #[test]
    fn a_path_has_at_most_4095_bytes() {
        let guest = Fake::default();
        guest.put(0x1000, &[b'a'; 4095]);
        assert_eq!(guest.call(X86_64, "open", &[0x1000]).path(0).map(|p| p.as_os_str().len()), Ok(4095));
        guest.put(0x1000 + 4095, b"a");
        assert_eq!(guest.call(X86_64, "open", &[0x1000]).path(0), Err(ENAMETOOLONG));
    }

    #[test]
    fn socket_addresses_of_every_form() {
        let guest = Fake::default();
        let parsed = |bytes: &[u8], length: u64| {
            guest.put(0x1000, bytes);
            guest.call(X86_64, "connect", &[3, 0x1000, length]).socket_address(1, 2)
        };
        let inet = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parsed(&inet, 16), Ok(SocketAddress::Inet("127.0.0.1:8080".parse().expect("address"))));
        assert_eq!(parsed(&inet, 7), Err(EINVAL), "cut off");
        let mut inet6 = [0; 28];
        (inet6[0], inet6[3], inet6[23], inet6[24]) = (10, 80, 1, 2);
        assert_eq!(parsed(&inet6, 28), Ok(SocketAddress::Inet("[::1%2]:80".parse().expect("address"))));
        assert_eq!(parsed(&inet6, 24), Ok(SocketAddress::Inet("[::1]:80".parse().expect("address"))), "RFC 2133");
        assert_eq!(parsed(b"\x01\0/run/s\0rest", 13), Ok(SocketAddress::Unix("/run/s".into())));
        assert_eq!(parsed(b"\x01\0/run/s", 8), Ok(SocketAddress::Unix("/run/s".into())), "without a NUL");
        assert_eq!(parsed(b"\x01\0\0a\0b", 6), Ok(SocketAddress::Abstract(b"a\0b".to_vec())));
        assert_eq!(parsed(b"\x01\0", 2), Ok(SocketAddress::Unix("".into())));
        assert_eq!(parsed(&[16, 0, 0, 0], 4), Ok(SocketAddress::Other(16)));
        assert_eq!(parsed(&inet, 1), Err(EINVAL));
        assert_eq!(parsed(&inet, 129), Err(EINVAL));
        assert_eq!(parsed(&inet, 1 << 32 | 16).map(|_| ()), Ok(()), "a socklen_t has 32 bits");
        assert_eq!(guest.call(X86_64, "connect", &[3, 0x1ff8, 16]).socket_address(1, 2), Err(EFAULT));
    }

    #[test]
    fn argv_has_the_words_of_its_architecture() {
        let guest = Fake::default();
        guest.put(0x1000, b"ls\0-l\0");
        guest.put(0x2000, &[0x00, 0x10, 0, 0, 0x03, 0x10, 0, 0, 0, 0, 0, 0]);
        let argv = guest.call(Arch::I386, "execve", &[0x1000, 0x2000]).argv(1);
        assert_eq!(argv, Ok(Argv(vec!["ls".into(), "-l".into()])));
        // The same bytes as 64-bit words are one address that is not there.
        assert_eq!(guest.call(X86_64, "execve", &[0x1000, 0x2000]).argv(1), Err(EFAULT));
        guest.put(0x3000, &0x1003u64.to_ne_bytes());
        guest.put(0x3008, &[0; 8]);
        assert_eq!(guest.call(X86_64, "execve", &[0x1000, 0x3000]).argv(1), Ok(Argv(vec!["-l".into()])));
        assert_eq!(guest.call(X86_64, "execve", &[0x1000, 0]).argv(1), Ok(Argv::default()), "NULL: execve(2)");
    }

    #[test]
    fn argv_ends_where_the_kernel_gives_up() {
        let guest = Fake::default();
        guest.put(0x10_0000, &vec![b'a'; ARGUMENT]);
        guest.put(0x1000, &0x10_0000u64.to_ne_bytes());
        assert_eq!(guest.call(X86_64, "execve", &[0, 0x1000]).argv(1), Err(E2BIG), "one argument too long");
        guest.put(0x10_0000 + ARGUMENT as u64 - 1, &[0]);
        assert_eq!(guest.call(X86_64, "execve", &[0, 0x1000]).argv(1).map(|argv| argv.0.len()), Ok(1));
        let fifty: Vec<u8> = (0..50).flat_map(|_| 0x10_0000u64.to_ne_bytes()).collect();
        guest.put(0x1000, &fifty);
        assert_eq!(guest.call(X86_64, "execve", &[0, 0x1000]).argv(1), Err(E2BIG), "6 MiB and more in all");
    }
}
