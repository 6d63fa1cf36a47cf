//! Where a guest's standard streams lead.

use std::fs::File;
use std::os::fd::OwnedFd;

/// Where one of a guest's standard streams leads; as [`std::process::Stdio`], and [`Stdio::capture`].
#[derive(Debug)]
pub struct Stdio(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Inherit,
    Null,
    Piped,
    Capture,
    Fd(OwnedFd),
}

impl Stdio {
    /// Ours.
    pub fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// /dev/null.
    pub fn null() -> Self {
        Self(Kind::Null)
    }

    /// A pipe whose other end is in the [`crate::Child`].
    pub fn piped() -> Self {
        Self(Kind::Piped)
    }

    /// Collected in memory and given out by [`crate::Child::wait_with_output`]; for input, /dev/null.
    pub fn capture() -> Self {
        Self(Kind::Capture)
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self(Kind::Fd(file.into()))
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self(Kind::Fd(fd))
    }
}
