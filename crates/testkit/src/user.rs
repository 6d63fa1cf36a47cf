//! Who runs the command.
use std::os::unix::fs::chown;
use std::path::Path;

/// The user that Tipstaff is run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Host uid 0. Only a suite that runs as root can offer it.
    Root,
    /// Somebody without privileges: under root a uid that is in no passwd file and in no group,
    /// else whoever runs the suite.
    Ordinary,
}

impl User {
    /// A uid that no distribution hands out to somebody: no passwd entry, no group.
    const NOBODY_KNOWS: u32 = 12345;

    /// The uid that the suite runs as.
    pub fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// Can this suite run as this user?
    pub fn available(self) -> bool {
        self == Self::Ordinary || Self::me() == 0
    }

    /// The uid that the command gets.
    pub fn uid(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::Ordinary => self.other().unwrap_or_else(Self::me),
        }
    }

    /// The uid to change to, if the suite's own is not the right one.
    pub(crate) fn other(self) -> Option<u32> {
        (self == Self::Ordinary && Self::me() == 0).then_some(Self::NOBODY_KNOWS)
    }

    /// Hands `path` to this user.
    pub fn own(self, path: &Path) {
        if let Some(uid) = self.other() {
            chown(path, Some(uid), Some(uid)).unwrap_or_else(|error| panic!("chown {}: {error}", path.display()));
        }
    }
}
