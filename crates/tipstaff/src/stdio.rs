//! Where a guest's standard streams lead.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
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
    /// would be followed: the name itself must be no symbolic link (O_NOFOLLOW of open(2)). What lies in /dev and /proc is the system's. A pipe
    /// (fifo(7)) to write to must have a reader already: one that a box left there would hold us up for ever, before any limit counts.
    ///
    /// # Errors
    /// If it is a link, or a pipe that nobody reads, or cannot be opened.
    pub fn file(path: &Path, output: bool) -> io::Result<File> {
        let of_the_system = path.starts_with("/dev") || path.starts_with("/proc");
        let plain = path.components().all(|part| part != Component::ParentDir);
        let mut options = File::options();
        options.read(!output).write(output).create(output).truncate(output);
        let mut flags = if output { OFlags::NONBLOCK } else { OFlags::empty() };
        flags.set(OFlags::NOFOLLOW, !(of_the_system && plain));
        let opened = options.custom_flags(flags.bits().cast_signed()).open(path);
        let file = opened.map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP) => {
                io::Error::other("a symbolic link, which a box may have left there; name the file that it leads to")
            }
            Some(Errno::NXIO) => {
                io::Error::other("a pipe that nobody reads, which a box may have left there; start its reader first")
            }
            _ => error,
        })?;
        if output {
            // Only the opening was not to wait.
            fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
        }
        Ok(file)
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
