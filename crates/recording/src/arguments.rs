//! Which argument words are recorded.
//!
//! Those that name an operation, a family or a set of flags: few values, that a seccomp filter can compare and that tell a harmless use from a dangerous
//! one. Lengths, descriptors, ids and whatever lies behind a pointer are not among them. At most three words of a call, so that a recorder in the kernel
//! can keep them in a fixed place.

use serde::{Deserialize, Serialize};
use tipstaff_abi::{Arch, Sysno};

/// As many different combinations are kept of one call; with one more, any are taken as seen.
pub const MOST_TUPLES: usize = 64;

/// An argument word, and what of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// Which word: 0 to 5.
    pub index: u8,
    /// The bits that count. The kernel reads the low half of an `int`, and callers leave anything in the high one.
    pub mask: u64,
}

impl Select {
    /// What counts of these words.
    ///
    /// # Panics
    /// If the index is above 5.
    #[must_use]
    pub fn of(self, words: &[u64; 6]) -> u64 {
        words[usize::from(self.index)] & self.mask
    }
}

/// An `int`.
const INT: u64 = 0xffff_ffff;

const fn int(index: u8) -> Select {
    Select { index, mask: INT }
}

type Entry = (&'static str, &'static [Select]);

const ZERO: &[Select] = &[int(0)];
const ONE: &[Select] = &[int(1)];
const TWO: &[Select] = &[int(2)];
const THREE: &[Select] = &[int(3)];

/// By name, sorted. The numbering of the words is the same on all architectures that we have.
const CALLS: &[Entry] = &[
    ("arch_prctl", ZERO),
    ("bpf", ZERO),
    // The signal in the lowest byte is left out.
    ("clone", &[Select { index: 0, mask: 0xffff_ff00 }]),
    ("epoll_create1", ZERO),
    ("eventfd2", ONE),
    ("fadvise64", THREE),
    ("fallocate", ONE),
    ("fanotify_init", &[int(0), int(1)]),
    ("fcntl", ONE),
    ("fcntl64", ONE),
    ("flock", ONE),
    ("fsconfig", ONE),
    ("fsopen", ONE),
    ("futex", ONE),
    ("futex_time64", ONE),
    ("getrandom", TWO),
    ("getsockopt", &[int(1), int(2)]),
    ("io_uring_register", ONE),
    ("ioctl", ONE),
    ("ioprio_set", ZERO),
    ("ipc", ZERO),
    ("kcmp", TWO),
    ("keyctl", ZERO),
    ("landlock_create_ruleset", TWO),
    ("landlock_restrict_self", ONE),
    ("lsm_set_self_attr", ZERO),
    ("madvise", TWO),
    ("membarrier", ZERO),
    ("memfd_create", ONE),
    ("mlock2", TWO),
    ("mlockall", ZERO),
    ("mmap", &[int(2), int(3)]),
    ("mmap2", &[int(2), int(3)]),
    ("modify_ldt", ZERO),
    ("mount", THREE),
    ("mprotect", TWO),
    ("mremap", THREE),
    ("msgctl", ONE),
    ("perf_event_open", &[Select { index: 4, mask: INT }]),
    ("personality", ZERO),
    ("pkey_mprotect", TWO),
    ("prctl", ZERO),
    ("prlimit64", ONE),
    ("process_madvise", THREE),
    ("ptrace", ZERO),
    ("quotactl", ZERO),
    ("quotactl_fd", ONE),
    ("reboot", TWO),
    ("sched_setscheduler", ONE),
    ("seccomp", &[int(0), int(1)]),
    ("semctl", TWO),
    ("setns", ONE),
    ("setrlimit", ZERO),
    ("setsockopt", &[int(1), int(2)]),
    ("shmctl", ONE),
    ("socket", &[int(0), int(1), int(2)]),
    ("socketcall", ZERO),
    ("socketpair", &[int(0), int(1), int(2)]),
    ("swapon", ONE),
    ("syslog", ZERO),
    ("timerfd_create", &[int(0), int(1)]),
    ("umount2", ONE),
    ("unshare", ZERO),
    ("userfaultfd", ZERO),
];

/// The words of a call that are recorded; none for most calls, and for numbers without a name.
#[must_use]
pub fn selected(arch: Arch, number: u32) -> &'static [Select] {
    let Some(name) = Sysno(number).name(arch) else { return &[] };
    match name {
        // mmap of i386 and ARM's old ABI finds its arguments behind a pointer: old_mmap(2). As does fadvise's fourth word elsewhere.
        "mmap" if arch == Arch::I386 => &[],
        // Offset and length are two words each there.
        "fadvise64" if matches!(arch, Arch::I386 | Arch::Arm) => &[],
        _ => CALLS.binary_search_by(|(known, _)| (*known).cmp(name)).map_or(&[], |at| CALLS[at].1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_a_call() {
        assert!(CALLS.is_sorted_by(|a, b| a.0 < b.0));
        for (name, words) in CALLS {
            assert!(Arch::ALL.iter().any(|&arch| Sysno::by_name(arch, name).is_some()), "{name}");
            assert!((1..=3).contains(&words.len()), "{name}");
            assert!(words.iter().all(|word| word.index < 6 && word.mask != 0), "{name}");
        }
    }

    #[test]
    fn words_count_under_their_masks() {
        let clone = selected(Arch::X86_64, 56);
        assert_eq!(clone, [Select { index: 0, mask: 0xffff_ff00 }]);
        assert_eq!(clone[0].of(&[0xffff_ffff_0000_0111, 0, 0, 0, 0, 0]), 0x100);
        assert_eq!(selected(Arch::X86_64, 41).len(), 3);
        assert!(selected(Arch::I386, 90).is_empty(), "old_mmap has a pointer");
        assert_eq!(selected(Arch::I386, 192).len(), 2, "mmap2");
        assert!(selected(Arch::X86_64, 9999).is_empty());
        assert!(selected(Arch::X86_64, 39).is_empty());
    }
}
