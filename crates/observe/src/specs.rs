//! What is known of calls beforehand, as the programs read it: which arguments are picked, where paths and addresses are.

use std::sync::atomic::Ordering::Relaxed;

use tipstaff_abi::enumerable::Enumerable;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_sys::bpf::Memory;

use crate::Unavailable;
use crate::maps::{CALLS, spec};

/// Where a call has a path: its index and that of its directory's descriptor; up to two; and the index of open(2)'s flags.
struct Paths {
    name: &'static str,
    paths: &'static [(u8, Option<u8>)],
    flags: Option<u8>,
}

const fn at(name: &'static str, paths: &'static [(u8, Option<u8>)]) -> Paths {
    Paths { name, paths, flags: None }
}

const fn opens(name: &'static str, paths: &'static [(u8, Option<u8>)], flags: u8) -> Paths {
    Paths { name, paths, flags: Some(flags) }
}

const PATHS: &[Paths] = &[
    opens("open", &[(0, None)], 1),
    opens("openat", &[(1, Some(0))], 2),
    opens("openat2", &[(1, Some(0))], 2),
    at("creat", &[(0, None)]),
    at("execve", &[(0, None)]),
    at("execveat", &[(1, Some(0))]),
    at("stat", &[(0, None)]),
    at("stat64", &[(0, None)]),
    at("lstat", &[(0, None)]),
    at("lstat64", &[(0, None)]),
    at("newfstatat", &[(1, Some(0))]),
    at("fstatat64", &[(1, Some(0))]),
    at("statx", &[(1, Some(0))]),
    at("statfs", &[(0, None)]),
    at("access", &[(0, None)]),
    at("faccessat", &[(1, Some(0))]),
    at("faccessat2", &[(1, Some(0))]),
    at("readlink", &[(0, None)]),
    at("readlinkat", &[(1, Some(0))]),
    at("chdir", &[(0, None)]),
    at("mkdir", &[(0, None)]),
    at("mkdirat", &[(1, Some(0))]),
    at("mknod", &[(0, None)]),
    at("mknodat", &[(1, Some(0))]),
    at("rmdir", &[(0, None)]),
    at("unlink", &[(0, None)]),
    at("unlinkat", &[(1, Some(0))]),
    at("rename", &[(0, None), (1, None)]),
    at("renameat", &[(1, Some(0)), (3, Some(2))]),
    at("renameat2", &[(1, Some(0)), (3, Some(2))]),
    at("link", &[(0, None), (1, None)]),
    at("linkat", &[(1, Some(0)), (3, Some(2))]),
    at("symlink", &[(1, None)]),
    at("symlinkat", &[(2, Some(1))]),
    at("truncate", &[(0, None)]),
    at("chmod", &[(0, None)]),
    at("fchmodat", &[(1, Some(0))]),
    at("fchmodat2", &[(1, Some(0))]),
    at("chown", &[(0, None)]),
    at("lchown", &[(0, None)]),
    at("fchownat", &[(1, Some(0))]),
    at("utime", &[(0, None)]),
    at("utimes", &[(0, None)]),
    at("utimensat", &[(1, Some(0))]),
];

/// Calls with a socket address: the indexes of the address and of its length.
const ADDRESSES: &[(&str, u64, u64)] = &[("bind", 1, 2), ("connect", 1, 2), ("sendto", 4, 5)];

const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::I386];

/// Fills the table.
pub(crate) fn fill(memory: &Memory, arguments: &[Enumerable]) -> Result<(), Unavailable> {
    let word = |arch: Arch, number: Sysno, word: usize| {
        let table = ARCHES.iter().position(|known| *known == arch)?;
        let row = (number.0 < CALLS).then_some(table * CALLS as usize + number.0 as usize)?;
        memory.get(row * spec::WORDS + word)
    };
    for call in arguments {
        let Some(first) = word(call.arch, call.number, 0) else { continue };
        if call.picks.is_empty() {
            continue;
        }
        first.fetch_or(spec::ARGUMENTS, Relaxed);
        for pick in call.picks {
            let behind = pick.behind.is_none() || pick.index == 0 && call.picks.len() == 1;
            let mask = word(call.arch, call.number, 1 + usize::from(pick.index)).filter(|_| pick.index < 6 && behind);
            let missing = || Unavailable::Missing("way to pick such an argument".to_owned());
            mask.ok_or_else(missing)?.store(if pick.behind.is_some() { u64::MAX } else { pick.mask }, Relaxed);
            if let (Some(offset), Some(behind)) = (pick.behind, word(call.arch, call.number, spec::BEHIND)) {
                behind.store(u64::from(offset) + 1, Relaxed);
            }
        }
    }
    for arch in ARCHES {
        let set = |name: &str, bits: u64| {
            if let Some(first) = Sysno::by_name(arch, name).and_then(|number| word(arch, number, 0)) {
                first.fetch_or(bits, Relaxed);
            }
        };
        for call in PATHS {
            let mut bits = 0;
            for (which, (index, directory)) in call.paths.iter().enumerate() {
                bits |= spec::PATH[which] | u64::from(*index) << spec::PATH_AT[which];
                bits |= directory.map_or(0, |index| u64::from(index + 1) << spec::DIRFD_AT[which]);
            }
            bits |= call.flags.map_or(0, |index| u64::from(index + 1) << spec::FLAGS_AT);
            bits |= if call.name == "openat2" { spec::FLAGS_BEHIND } else { 0 };
            // When it returns, the directory that it was relative to is no longer the working directory.
            bits |= if call.name == "chdir" { spec::NO_BASE } else { 0 };
            bits |= if call.name.starts_with("exec") { spec::EXECUTES } else { 0 };
            set(call.name, bits);
        }
        for (name, address, length) in ADDRESSES {
            set(name, spec::ADDRESS | address << spec::ADDRESS_AT | length << spec::LENGTH_AT);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_call() {
        let names = PATHS.iter().map(|call| call.name).chain(ADDRESSES.iter().map(|(name, ..)| *name));
        for name in names {
            assert!(ARCHES.into_iter().any(|arch| Sysno::by_name(arch, name).is_some()), "{name}");
        }
    }

    #[test]
    fn no_path_has_an_address_too() {
        assert!(PATHS.iter().all(|call| ADDRESSES.iter().all(|(name, ..)| *name != call.name)));
    }
}
