//! Which calls a libseccomp knows by name.
//!
//! runc, crun and youki ask the installed libseccomp for a call's number, and leave a rule out without a word where it does not know the name.
//! A profile that was made on a newer machine is then narrower than it reads.

use tipstaff_abi::{Arch, Sysno, X32_BIT};

/// Releases, and the number of the newest call that each one's tables have: from 403 on, every architecture gives a call the same number.
/// From the release notes: 2.4.2 has the tables of Linux 5.4, 2.5.0 of 5.8, 2.5.2 of 5.14, 2.5.3 of 5.15, 2.5.4 of 5.17, 2.5.5 of 6.7, 2.6.0 of 6.13.
const RELEASES: [(Version, u32); 8] = [
    (Version(2, 4, 2), 435),
    (Version(2, 5, 0), 439),
    (Version(2, 5, 1), 440),
    (Version(2, 5, 2), 447),
    (Version(2, 5, 3), 448),
    (Version(2, 5, 4), 450),
    (Version(2, 5, 5), 456),
    (Version(2, 6, 0), 466),
];

/// The tables of Linux 4.15: nobody has older ones any more.
const OLDEST: Version = Version(2, 3, 3);

/// The numbers that are the same on every architecture; above them are ARM's private calls.
const COMMON: std::ops::Range<u32> = 403..1000;

/// Calls with other numbers that are younger than the oldest tables: with the first release that knows them.
const LATER: [(&str, Option<Version>); 4] = [
    ("rseq", Some(Version(2, 4, 0))),
    ("io_pgetevents", Some(Version(2, 4, 0))),
    ("uretprobe", Some(Version(2, 6, 0))),
    ("uprobe", None),
];

/// A release of libseccomp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// "2.5.4" or "2.6".
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
        parts.next().is_none().then_some(version)
    }

    /// Whether this release knows the name. Distributions put newer tables into older releases (Debian 12's 2.5.4 knows what 2.5.5 knows): a name
    /// that is known here is known there, too.
    #[must_use]
    pub fn knows(self, name: &str) -> bool {
        first_with(name).is_some_and(|first| self >= first)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The first release that knows a name, as far as it matters: what is older is 2.3.3. None for what no release of ours knows.
#[must_use]
pub fn first_with(name: &str) -> Option<Version> {
    if let Some((_, version)) = LATER.iter().find(|(later, _)| *later == name) {
        return *version;
    }
    let (arch, number) = Arch::ALL.into_iter().find_map(|arch| Some((arch, Sysno::by_name(arch, name)?.0)))?;
    let number = if arch == Arch::X32 { number & !X32_BIT } else { number };
    if !COMMON.contains(&number) {
        return Some(OLDEST);
    }
    RELEASES.into_iter().find(|&(_, newest)| number <= newest).map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_know_what_their_kernel_knew() {
        let first = |name| first_with(name).map(|version| version.to_string());
        assert_eq!(first("read").as_deref(), Some("2.3.3"));
        assert_eq!(first("clone3").as_deref(), Some("2.4.2"));
        assert_eq!(first("clock_gettime64").as_deref(), Some("2.4.2"));
        assert_eq!(first("faccessat2").as_deref(), Some("2.5.0"));
        assert_eq!(first("fchmodat2").as_deref(), Some("2.5.5"));
        assert_eq!(first("mseal").as_deref(), Some("2.6.0"));
        assert_eq!((first("file_getattr"), first("no_such_call")), (None, None));
        let version = Version::parse("2.5.4").expect("a version");
        assert!(version.knows("futex_waitv") && !version.knows("fchmodat2") && !version.knows("file_getattr"));
        assert_eq!(
            (Version::parse("2.6"), Version::parse("2.6.0.1"), Version::parse("x")),
            (Some(Version(2, 6, 0)), None, None)
        );
    }
}
