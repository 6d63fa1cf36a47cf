//! Paths, addresses, capabilities.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Page, entries, path_of, u32_at, u64_at};
use crate::maps::size;
use crate::observer::Inner;
use crate::{Address, Capability, Error, ExeId, File, FileUse, Key, Phase, Socket};

const O_ACCMODE: u32 = 3;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;
const O_DIRECTORY: u32 = 0o200_000;
const O_PATH: u32 = 0o10_000_000;
const O_TMPFILE_BIT: u32 = 0o20_000_000;

/// What a call does with the path that it is given.
fn usage(name: &str, flags: u32) -> FileUse {
    let none = FileUse::default();
    match name {
        "open" | "openat" | "openat2" if flags & O_PATH != 0 => {
            FileUse { look: true, directory: flags & O_DIRECTORY != 0, ..none }
        }
        "open" | "openat" | "openat2" => FileUse {
            read: flags & O_ACCMODE != 1,
            write: matches!(flags & O_ACCMODE, 1 | 2) || flags & O_TRUNC != 0,
            create: flags & (O_CREAT | O_TMPFILE_BIT) != 0,
            directory: flags & O_DIRECTORY != 0,
            ..none
        },
        "creat" => FileUse { write: true, create: true, ..none },
        "execve" | "execveat" => FileUse { execute: true, ..none },
        "chdir" => FileUse { look: true, directory: true, ..none },
        "mkdir" | "mkdirat" => FileUse { create: true, directory: true, ..none },
        "mknod" | "mknodat" | "link" | "linkat" | "symlink" | "symlinkat" => FileUse { create: true, ..none },
        "truncate" => FileUse { write: true, ..none },
        "rmdir" => FileUse { change: true, directory: true, ..none },
        "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2" | "chmod" | "fchmodat" | "fchmodat2" | "chown"
        | "lchown" | "fchownat" | "utime" | "utimes" | "utimensat" => FileUse { change: true, ..none },
        _ => FileUse { look: true, ..none },
    }
}

pub(super) fn files(inner: &Inner, key: impl Fn(&[u8]) -> Option<Key>) -> Result<Vec<File>, Error> {
    let mut bases: HashMap<[u8; size::BASE], Option<PathBuf>> = HashMap::new();
    for (bytes, value) in entries::<{ size::BASE }>(&inner.maps.bases, size::BASE_VALUE, "ts_bases")? {
        let end = u64_at(&value, 0);
        // The root directory has no names at all.
        bases.insert(bytes, if end == 0 { Some(PathBuf::from("/")) } else { path_of(end, &value[8..]) });
    }
    let mut files = Vec::new();
    for (bytes, value) in entries::<{ size::PATH }>(&inner.maps.paths, 8, "ts_paths")? {
        let Some(key) = key(&bytes) else { continue };
        let text = &bytes[size::PATH_TEXT..];
        let given =
            Path::new(std::ffi::OsStr::from_bytes(&text[..text.iter().position(|b| *b == 0).unwrap_or(text.len())]));
        let base = bases.get(&bytes[24..40]).and_then(Option::as_ref).filter(|base| base.is_absolute());
        let path = match base {
            Some(base) if given.is_relative() => base.join(given.strip_prefix(".").unwrap_or(given)),
            _ => given.to_owned(),
        };
        let name = key.number.name(key.arch).unwrap_or_default();
        files.push(File {
            key,
            relative: path.is_relative(),
            path,
            cut: u32_at(&bytes, 20) != 0,
            usage: usage(name, u32_at(&bytes, 12)),
            errno: u32_at(&bytes, 16).cast_signed(),
            count: u64_at(&value, 0),
        });
    }
    Ok(files)
}

/// struct sockaddr of ip(7), ipv6(7), unix(7).
fn address(bytes: &[u8]) -> Address {
    let family = u16::from_ne_bytes([bytes.first().copied().unwrap_or(0), bytes.get(1).copied().unwrap_or(0)]);
    let port = bytes.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]]));
    let other = || Address::Other(family, bytes.get(2..).unwrap_or_default().to_vec());
    match (family, port) {
        (2, Some(port)) if bytes.len() >= 8 => {
            let ip: [u8; 4] = bytes[4..8].try_into().expect("four bytes");
            Address::Inet(SocketAddr::from((Ipv4Addr::from(ip), port)))
        }
        (10, Some(port)) if bytes.len() >= 24 => {
            let ip: [u8; 16] = bytes[8..24].try_into().expect("sixteen bytes");
            let scope = bytes.get(24..28).map_or(0, |bytes| u32_at(bytes, 0));
            Address::Inet(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope)))
        }
        (1, _) if bytes.get(2) == Some(&0) => Address::Abstract(bytes[3..].to_vec()),
        (1, _) if bytes.len() > 2 => {
            let path = &bytes[2..];
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            Address::Unix(PathBuf::from(OsString::from_vec(path[..end].to_vec())))
        }
        _ => other(),
    }
}

pub(super) fn sockets(inner: &Inner, key: impl Fn(&[u8]) -> Option<Key>) -> Result<Vec<Socket>, Error> {
    let mut sockets = Vec::new();
    for (bytes, value) in entries::<{ size::ADDRESS }>(&inner.maps.addresses, 8, "ts_addresses")? {
        let Some(key) = key(&bytes) else { continue };
        let kind = u32_at(&bytes, 12);
        let length = (u32_at(&bytes, 20) as usize).min(size::ADDRESS_TEXT);
        sockets.push(Socket {
            key,
            kind: (kind & 0xffff).cast_signed(),
            protocol: (kind >> 16).cast_signed(),
            address: address(&bytes[24..24 + length]),
            errno: u32_at(&bytes, 16).cast_signed(),
            count: u64_at(&value, 0),
        });
    }
    Ok(sockets)
}

pub(super) fn capabilities(inner: &Inner, pages: &HashMap<u32, Page>) -> Result<Vec<Capability>, Error> {
    let mut found: BTreeMap<(ExeId, Phase, u8, bool), u64> = BTreeMap::new();
    for (bytes, value) in entries::<{ size::CAPABILITY }>(&inner.maps.capabilities, 8, "ts_caps")? {
        let Some(page) = pages.get(&u32_at(&bytes, 0)) else { continue };
        let what = u32_at(&bytes, 4);
        let key = (page.executable, page.phase, (what >> 1) as u8, what & 1 == 1);
        *found.entry(key).or_default() += u64_at(&value, 0);
    }
    let capability =
        |((executable, phase, number, granted), count)| Capability { executable, phase, number, granted, count };
    Ok(found.into_iter().map(capability).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_their_families_say() {
        let inet = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(address(&inet), Address::Inet("127.0.0.1:80".parse().expect("address")));
        assert_eq!(address(&inet[..7]), Address::Other(2, inet[2..7].to_vec()));
        assert_eq!(address(b"\x01\0/run/x\0junk"), Address::Unix("/run/x".into()));
        assert_eq!(address(b"\x01\0\0name"), Address::Abstract(b"name".to_vec()));
        assert_eq!(address(&[]), Address::Other(0, Vec::new()));
    }

    #[test]
    fn open_flags_say_what_for() {
        assert!(usage("openat", 0).read && !usage("openat", 0).write);
        assert!(usage("open", 0o1101).write && usage("open", 0o1101).create && !usage("open", 0o1101).read);
        assert!(usage("openat", O_PATH | 2).look && !usage("openat", O_PATH | 2).write);
        assert!(usage("statx", 0).look);
    }
}
