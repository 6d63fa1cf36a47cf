//! A set of system calls of one architecture.

use std::collections::BTreeSet;

use crate::{Arch, Sysno, X32_BIT};

const WORDS: usize = 16;

/// A set of system call numbers of one architecture.
///
/// A bit for each number below 1,024 (for x32 after taking its bit off), which is every ordinary call; what lies
/// beyond, such as ARM's private calls at 0xf0000, is kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyscallSet {
    arch: Arch,
    bits: [u64; WORDS],
    far: BTreeSet<u32>,
}

impl SyscallSet {
    /// The empty set.
    #[must_use]
    pub const fn new(arch: Arch) -> Self {
        Self { arch, bits: [0; WORDS], far: BTreeSet::new() }
    }

    /// Every call that the architecture's table knows.
    #[must_use]
    pub fn known(arch: Arch) -> Self {
        Self::from_numbers(arch, Sysno::all(arch).map(|(nr, _)| nr))
    }

    /// The set of these numbers.
    #[must_use]
    pub fn from_numbers(arch: Arch, numbers: impl IntoIterator<Item = Sysno>) -> Self {
        let mut set = Self::new(arch);
        set.extend(numbers);
        set
    }

    /// The set of these names; names that the architecture does not have are left out.
    #[must_use]
    pub fn from_names<'a>(arch: Arch, names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::from_numbers(arch, names.into_iter().filter_map(|name| Sysno::by_name(arch, name)))
    }

    /// The architecture whose numbers these are.
    #[must_use]
    pub const fn arch(&self) -> Arch {
        self.arch
    }

    /// Adds a number; false if it was there.
    pub fn insert(&mut self, nr: Sysno) -> bool {
        match self.place(nr) {
            Some((word, bit)) => {
                let was = self.bits[word];
                self.bits[word] |= bit;
                was & bit == 0
            }
            None => self.far.insert(nr.0),
        }
    }

    /// Takes a number out; false if it was not there.
    pub fn remove(&mut self, nr: Sysno) -> bool {
        match self.place(nr) {
            Some((word, bit)) => {
                let was = self.bits[word];
                self.bits[word] &= !bit;
                was & bit != 0
            }
            None => self.far.remove(&nr.0),
        }
    }

    /// Whether a number is in the set.
    #[must_use]
    pub fn contains(&self, nr: Sysno) -> bool {
        match self.place(nr) {
            Some((word, bit)) => self.bits[word] & bit != 0,
            None => self.far.contains(&nr.0),
        }
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bits.iter().map(|word| word.count_ones() as usize).sum::<usize>() + self.far.len()
    }

    /// Whether there is no number at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is in either.
    ///
    /// # Panics
    /// If the two are of different architectures: their numbers mean different calls.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let bits = self.zip(other, |a, b| a | b);
        Self { arch: self.arch, bits, far: &self.far | &other.far }
    }

    /// What is in both.
    ///
    /// # Panics
    /// If the two are of different architectures.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let bits = self.zip(other, |a, b| a & b);
        Self { arch: self.arch, bits, far: &self.far & &other.far }
    }

    /// What is in this one only.
    ///
    /// # Panics
    /// If the two are of different architectures.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let bits = self.zip(other, |a, b| a & !b);
        Self { arch: self.arch, bits, far: &self.far - &other.far }
    }

    /// Whether everything here is in the other, too.
    ///
    /// # Panics
    /// If the two are of different architectures.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).is_empty()
    }

    /// The numbers in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Sysno> {
        let base = if self.arch == Arch::X32 { X32_BIT } else { 0 };
        let near = (0..WORDS as u32 * 64)
            .filter(|nr| self.bits[(nr / 64) as usize] >> (nr % 64) & 1 == 1)
            .map(move |nr| Sysno(nr | base));
        near.chain(self.far.iter().map(|&nr| Sysno(nr)))
    }

    /// The names in ascending order of number; a number without a name is left out.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.iter().filter_map(|nr| nr.name(self.arch))
    }

    fn place(&self, nr: Sysno) -> Option<(usize, u64)> {
        let nr = match self.arch {
            Arch::X32 if nr.0 & X32_BIT == 0 => return None,
            Arch::X32 => nr.0 & !X32_BIT,
            _ => nr.0,
        };
        let word = usize::try_from(nr / 64).ok().filter(|&word| word < WORDS)?;
        Some((word, 1 << (nr % 64)))
    }

    fn zip(&self, other: &Self, join: impl Fn(u64, u64) -> u64) -> [u64; WORDS] {
        assert_eq!(self.arch, other.arch, "sets of different architectures");
        std::array::from_fn(|word| join(self.bits[word], other.bits[word]))
    }
}

impl Extend<Sysno> for SyscallSet {
    fn extend<T: IntoIterator<Item = Sysno>>(&mut self, numbers: T) {
        for nr in numbers {
            self.insert(nr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_set_of_numbers_on_every_architecture() {
        for arch in Arch::ALL {
            let all = SyscallSet::known(arch);
            let numbers: BTreeSet<_> = Sysno::all(arch).map(|(nr, _)| nr).collect();
            assert_eq!(all.iter().collect::<BTreeSet<_>>(), numbers, "{arch:?}");
            assert_eq!(all.len(), numbers.len());

            let reads = SyscallSet::from_names(arch, ["read", "openat", "no_such_call"]);
            assert_eq!(reads.len(), 2);
            assert!(reads.is_subset(&all));
            assert_eq!(all.intersection(&reads), reads);
            assert_eq!(all.difference(&reads).union(&reads), all);
        }
    }

    #[test]
    fn far_numbers_and_x32_numbers_without_their_bit_are_kept_apart() {
        let mut set = SyscallSet::new(Arch::X32);
        assert!(set.insert(Sysno(1)) && !set.insert(Sysno(1)));
        assert!(!set.contains(Sysno(X32_BIT | 1)));
        assert!(set.remove(Sysno(1)) && set.is_empty());
        assert!(SyscallSet::known(Arch::Arm).contains(Sysno(0xf0005)));
    }
}
