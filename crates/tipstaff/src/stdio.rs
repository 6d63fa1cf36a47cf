//! Where a guest's standard streams lead.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use rustix::fs::OFlags;
use rustix::io::Errno;

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

    /// A file, opened for reading or made anew. A directory that a box could write may hold links that it left there, and with our rights they
    /// would be followed: the name itself must be no symbolic link (O_NOFOLLOW of open(2)). What lies in /dev and /proc is the system's.
    ///
    /// # Errors
    /// If it is a link, or cannot be opened.
    pub fn file(path: &Path, output: bool) -> io::Result<File> {
        let of_the_system = path.starts_with("/dev") || path.starts_with("/proc");
        let plain = path.components().all(|part| part != Component::ParentDir);
        let mut options = File::options();
        options.read(!output).write(output).create(output).truncate(output);
        if !(of_the_system && plain) {
            options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        }
        options.open(path).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => {
                io::Error::other("a symbolic link, which a box may have left there; name the file that it leads to")
            }
            _ => error,
        })
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
