//! Which arguments of which calls take few values, so that a recording can keep them and a filter can check them.
//!
//! What is a pointer to a string, a length or a descriptor is not among them, nor are open(2)'s flags, which programs combine freely.

use crate::{Arch, Sysno};

/// One argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pick {
    /// Which of the six registers.
    pub index: u8,
    /// The bits that the kernel looks at: the low 32 of an `int`.
    pub mask: u64,
    /// `Some(offset)`: the argument is a pointer, and the value is the 64-bit word that many bytes behind it. A filter cannot check it.
    pub behind: Option<u8>,
}

/// A call with arguments that take few values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enumerable {
    /// The table that the number belongs to.
    pub arch: Arch,
    /// The call.
    pub number: Sysno,
    /// Its arguments, together one tuple. Each register at most once.
    pub picks: &'static [Pick],
}

const fn int(index: u8) -> Pick {
    Pick { index, mask: 0xffff_ffff, behind: None }
}

const fn long(index: u8) -> Pick {
    Pick { index, mask: u64::MAX, behind: None }
}

const BY_NAME: &[(&str, &[Pick])] = &[
    ("accept4", &[int(3)]),
    ("arch_prctl", &[int(0)]),
    ("bpf", &[int(0)]),
    ("clone", &[long(0)]),
    ("clone3", &[Pick { index: 0, mask: u64::MAX, behind: Some(0) }]),
    ("epoll_create1", &[int(0)]),
    ("epoll_ctl", &[int(1)]),
    ("eventfd2", &[int(1)]),
    ("fcntl", &[int(1)]),
    ("fcntl64", &[int(1)]),
    ("futex", &[int(1)]),
    ("futex_time64", &[int(1)]),
    ("getsockopt", &[int(1), int(2)]),
    ("inotify_init1", &[int(0)]),
    ("ioctl", &[int(1)]),
    ("ipc", &[int(0)]),
    ("keyctl", &[int(0)]),
    ("madvise", &[int(2)]),
    ("memfd_create", &[int(1)]),
    ("mmap", &[long(2), long(3)]),
    ("mmap2", &[long(2), long(3)]),
    ("mprotect", &[long(2)]),
    ("msgctl", &[int(1)]),
    ("personality", &[int(0)]),
    ("pipe2", &[int(1)]),
    ("prctl", &[int(0)]),
    ("ptrace", &[long(0)]),
    ("quotactl", &[int(0)]),
    ("seccomp", &[int(0), int(1)]),
    ("semctl", &[int(2)]),
    ("setns", &[int(1)]),
    ("setsockopt", &[int(1), int(2)]),
    ("shmctl", &[int(1)]),
    ("socket", &[int(0), int(1), int(2)]),
    ("socketcall", &[int(0)]),
    ("socketpair", &[int(0), int(1), int(2)]),
    ("umount2", &[int(1)]),
    ("unshare", &[long(0)]),
];

/// The arguments of a call by its name. Empty: none.
#[must_use]
pub fn picks(arch: Arch, name: &str) -> &'static [Pick] {
    // i386's mmap(2) takes one pointer to all its arguments.
    if matches!((arch, name), (Arch::I386, "mmap")) {
        return &[];
    }
    let found = BY_NAME.binary_search_by_key(&name, |(known, _)| known);
    found.map_or(&[], |at| BY_NAME[at].1)
}

/// Every call of every table that has such arguments, sorted by table and number.
#[must_use]
pub fn all() -> Vec<Enumerable> {
    let of = |arch| {
        let calls = Sysno::all(arch).map(move |(number, name)| Enumerable { arch, number, picks: picks(arch, name) });
        calls.filter(|call| !call.picks.is_empty())
    };
    Arch::ALL.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_each_is_a_call_somewhere() {
        assert!(BY_NAME.is_sorted_by_key(|(name, _)| name));
        for (name, picks) in BY_NAME {
            assert!(Arch::ALL.into_iter().any(|arch| Sysno::by_name(arch, name).is_some()), "{name}");
            assert!(picks.is_sorted_by_key(|pick| pick.index) && picks.iter().all(|pick| pick.index < 6), "{name}");
            assert!(picks.windows(2).all(|two| two[0].index != two[1].index), "{name}: a register twice");
        }
    }

    #[test]
    fn known_calls_are_found_by_their_numbers() {
        let all = all();
        assert!(all.is_sorted());
        let find = |arch, number| all.iter().find(|call| call.arch == arch && call.number == Sysno(number));
        let indexes =
            |arch, number| find(arch, number).map(|call| call.picks.iter().map(|p| p.index).collect::<Vec<_>>());
        assert_eq!(indexes(Arch::X86_64, 41), Some(vec![0, 1, 2])); // socket
        assert_eq!(indexes(Arch::X86_64, 16), Some(vec![1])); // ioctl
        assert_eq!(indexes(Arch::I386, 102), Some(vec![0])); // socketcall
        assert_eq!(indexes(Arch::I386, 90), None); // mmap by pointer
        assert_eq!(indexes(Arch::X86_64, 2), None); // open
    }
}
