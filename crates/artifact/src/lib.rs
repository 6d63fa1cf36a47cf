//! Result files that are whole or not there.
//!
//! A [`Target`] is a name in a directory that is open: it is made before the work begins, so that a place that cannot be written is said at
//! once, and what somebody does to the path meanwhile leads nowhere else. [`Target::replace`] writes a file beside it (0600, and never through a link),
//! syncs it and renames it over the name: whoever reads sees the old bytes or the new ones. A full disk leaves the old file as it was.
//!
//! Where the path comes from somebody who may write less than we (an annotation of a container), [`Target::below`] takes it only inside given
//! directories, and through no symbolic link at all: openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, since Linux 5.6.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

mod error;

pub use error::Error;

/// How often another name is tried for the file beside.
const TRIES: usize = 16;

/// Who may read a result: its owner.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A name for a result, in a directory that is open.
#[derive(Debug)]
pub struct Target {
    directory: OwnedFd,
    name: OsString,
    /// As it was given, for messages.
    shown: PathBuf,
}

impl Target {
    /// A path of the caller's own. Its directory may be reached through links; the name itself must be no link, and nothing else than a file.
    ///
    /// # Errors
    /// If there is no such directory, or something else stands in the place.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let (parent, name) = parts(path)?;
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        let directory = rustix::fs::open(parent, flags, Mode::empty()).map_err(|e| Error::system(path, e))?;
        Self { directory, name: name.to_owned(), shown: path.to_owned() }.checked()
    }

    /// A path that somebody else gave: absolute, inside one of these directories, through no symbolic link below it, and no `..`.
    ///
    /// # Errors
    /// If it is not, if there is no such directory, or if something else stands in the place.
    pub fn below(roots: &[PathBuf], path: &Path) -> Result<Self, Error> {
        let (parent, name) = parts(path)?;
        let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(plain) {
            return Err(Error::NotPlain(path.to_owned()));
        }
        let Some((root, inside)) = roots.iter().find_map(|root| Some((root, parent.strip_prefix(root).ok()?))) else {
            return Err(Error::outside(path, roots));
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        let open = |at: &dyn AsFd, path: &Path, how| {
            rustix::fs::openat2(at.as_fd(), path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS | how)
        };
        let root = open(&CWD, root, ResolveFlags::empty()).map_err(|e| Error::system(root, e))?;
        let directory = if inside.as_os_str().is_empty() {
            root
        } else {
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            open(&root, inside, how).map_err(|e| match e {
                Errno::LOOP | Errno::XDEV => Error::Link(path.to_owned()),
                e => Error::system(path, e),
            })?
        };
        Self { directory, name: name.to_owned(), shown: path.to_owned() }.checked()
    }

    /// As it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// Whether a file stands there now.
    ///
    /// # Errors
    /// If something else does.
    pub fn exists(&self) -> Result<bool, Error> {
        match rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(true),
                FileType::Symlink => Err(Error::Link(self.shown.clone())),
                _ => Err(Error::NoFile(self.shown.clone())),
            },
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(Error::system(&self.shown, e)),
        }
    }

    /// What stands there, without following a link; None where nothing does.
    ///
    /// # Errors
    /// If something else than a file stands there, or if it cannot be read.
    pub fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        if !self.exists()? {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut bytes = Vec::new();
        let file = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty());
        let mut file = std::fs::File::from(file.map_err(|e| Error::system(&self.shown, e))?);
        std::io::Read::read_to_end(&mut file, &mut bytes).map_err(|e| Error::io(&self.shown, &e))?;
        Ok(Some(bytes))
    }

    /// Puts these bytes there, whole or not at all; a file that stands there is replaced.
    ///
    /// # Errors
    /// If they cannot be written: then what stood there stands there.
    pub fn replace(&self, bytes: &[u8]) -> Result<(), Error> {
        self.exists()?;
        self.put(bytes, RenameFlags::empty())
    }

    /// Puts these bytes there, whole or not at all, where nothing stands.
    ///
    /// # Errors
    /// If something stands there ([`Error::Exists`]), or if they cannot be written.
    pub fn create(&self, bytes: &[u8]) -> Result<(), Error> {
        if self.exists()? {
            return Err(Error::Exists(self.shown.clone()));
        }
        self.put(bytes, RenameFlags::NOREPLACE)
    }

    fn checked(self) -> Result<Self, Error> {
        self.exists()?;
        Ok(self)
    }

    fn put(&self, bytes: &[u8], how: RenameFlags) -> Result<(), Error> {
        let wrong = |e| Error::system(&self.shown, e);
        let beside = Beside::new(self).map_err(wrong)?;
        let mut file = &beside.file;
        std::io::Write::write_all(&mut file, bytes).map_err(|e| Error::io(&self.shown, &e))?;
        rustix::fs::fsync(file).map_err(wrong)?;
        let renamed = if how.is_empty() {
            rustix::fs::renameat(&self.directory, &beside.name, &self.directory, &self.name)
        } else {
            rustix::fs::renameat_with(&self.directory, &beside.name, &self.directory, &self.name, how)
        };
        renamed.map_err(|e| if e == Errno::EXIST { Error::Exists(self.shown.clone()) } else { wrong(e) })?;
        beside.keep();
        // The new name is on the disk when its directory is. An O_PATH descriptor cannot be synced, and not every directory can be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(directory) = rustix::fs::openat(&self.directory, ".", flags, Mode::empty()) {
            rustix::fs::fsync(&directory).map_err(wrong)?;
        }
        Ok(())
    }
}

/// The file beside, which goes when it is not renamed.
struct Beside<'a> {
    target: &'a Target,
    name: OsString,
    file: std::fs::File,
    kept: bool,
}

impl<'a> Beside<'a> {
    fn new(target: &'a Target) -> Result<Self, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut last = Errno::EXIST;
        for _ in 0..TRIES {
            let mut random = [0; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
            // Short enough for a name of any length: 255 bytes is the most.
            let name = OsString::from(format!(".tipstaff-{:016x}", u64::from_ne_bytes(random)));
            match rustix::fs::openat(&target.directory, &name, flags, MODE) {
                Ok(file) => return Ok(Self { target, name, file: file.into(), kept: false }),
                Err(Errno::EXIST) => last = Errno::EXIST,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let _ = rustix::fs::unlinkat(&self.target.directory, &self.name, AtFlags::empty());
        }
    }
}

/// The directory and the name.
fn parts(path: &Path) -> Result<(&Path, &OsStr), Error> {
    let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
    match (path.parent(), name) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(Error::NoFile(path.to_owned())),
    }
}
