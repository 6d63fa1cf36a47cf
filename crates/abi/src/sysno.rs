//! System call numbers and their names.

use crate::Arch;

mod aarch64;
mod arm;
mod i386;
mod x32;
mod x86_64;

/// A system call number as it stands in `seccomp_data.nr`: for x32 with its bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysno(pub u32);

/// Sorted by number, and the positions sorted by name.
type Table = (&'static [(u32, &'static str)], &'static [u16]);

const fn table(arch: Arch) -> Table {
    match arch {
        Arch::X86_64 => (x86_64::CALLS, x86_64::BY_NAME),
        Arch::I386 => (i386::CALLS, i386::BY_NAME),
        Arch::X32 => (x32::CALLS, x32::BY_NAME),
        Arch::Aarch64 => (aarch64::CALLS, aarch64::BY_NAME),
        Arch::Arm => (arm::CALLS, arm::BY_NAME),
    }
}

impl Sysno {
    /// The number of a call; `None` where this architecture has no such call.
    #[must_use]
    pub fn by_name(arch: Arch, name: &str) -> Option<Self> {
        let (calls, by_name) = table(arch);
        let at = by_name.binary_search_by_key(&name, |&at| calls[usize::from(at)].1).ok()?;
        Some(Self(calls[usize::from(by_name[at])].0))
    }

    /// The name of a call; `None` for a number that the table does not know.
    #[must_use]
    pub fn name(self, arch: Arch) -> Option<&'static str> {
        let calls = table(arch).0;
        // One number can have two names (arm 341); the first of them answers.
        let at = calls.partition_point(|&(number, _)| number < self.0);
        calls.get(at).filter(|&&(number, _)| number == self.0).map(|&(_, name)| name)
    }

    /// Every call of an architecture with its name, sorted by number.
    pub fn all(arch: Arch) -> impl ExactSizeIterator<Item = (Self, &'static str)> {
        table(arch).0.iter().map(|&(number, name)| (Self(number), name))
    }

    /// The known call whose name is nearest to a misspelt one, if any is near.
    #[must_use]
    pub fn nearest(arch: Arch, name: &str) -> Option<&'static str> {
        crate::nearest(name, table(arch).0.iter().map(|&(_, known)| known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::X32_BIT;

    #[test]
    fn tables_are_sorted_and_every_name_is_found_again() {
        for arch in Arch::ALL {
            let (calls, by_name) = table(arch);
            assert!(calls.is_sorted(), "{arch:?}");
            assert_eq!(calls.len(), by_name.len());
            for &(number, name) in calls {
                assert_eq!(Sysno::by_name(arch, name), Some(Sysno(number)), "{arch:?} {name}");
                assert!(Sysno(number).name(arch).is_some());
            }
        }
    }

    #[test]
    fn only_x32_carries_the_bit() {
        for arch in Arch::ALL {
            let all_have_it = Sysno::all(arch).all(|(nr, _)| nr.0 & X32_BIT != 0);
            assert_eq!(all_have_it, arch == Arch::X32);
        }
    }

    #[test]
    fn newest_numbers() {
        assert_eq!(Sysno::by_name(Arch::X86_64, "uretprobe"), Some(Sysno(335)));
        assert_eq!(Sysno::by_name(Arch::X86_64, "uprobe"), Some(Sysno(336)));
        assert_eq!(Sysno::by_name(Arch::Aarch64, "uprobe"), None);
        assert_eq!(Sysno::by_name(Arch::Aarch64, "listns"), Some(Sysno(470)));
        assert_eq!(Sysno(469).name(Arch::I386), Some("file_setattr"));
        assert_eq!(Sysno(400).name(Arch::X86_64), None);
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(Sysno::nearest(Arch::X86_64, "opennat"), Some("openat"));
        assert_eq!(Sysno::nearest(Arch::X86_64, "zzzzzzzzzzzz"), None);
    }
}
