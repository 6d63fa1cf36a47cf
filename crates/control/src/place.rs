//! The directory of control sockets: found, made, verified, and only then used, by its descriptor.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::fs::{flock, fstat, ftruncate, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

const MOST_NAME: usize = 64;
/// A file of ours is short.
const MOST_FILE: u64 = 4096;

/// Whether boxes may be called so: letters, digits, `.`, `_` and `-`, at most 64, not beginning with `.` or `-`.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let fine = !name.is_empty() && name.len() <= MOST_NAME && name.bytes().all(plain) && !name.starts_with(['.', '-']);
    if fine {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name for a box: 1 to {MOST_NAME} letters, digits, `.`, `_` or `-`, beginning with none of `.` and `-`"
    ))
}

/// Where this user's control sockets may be, the best place first. Directories need not exist.
pub fn candidates() -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && dir.is_absolute()
        && own(&dir).is_ok()
    {
        places.push(dir.join("tipstaff"));
    }
    places.push(fixed(geteuid().as_raw()));
    places
}

/// Where another user's control sockets may be: his own XDG_RUNTIME_DIR is not known here, so the one that pam_systemd(8) makes.
pub(crate) fn candidates_of(uid: u32) -> Vec<PathBuf> {
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    let runtime = owned_by(&runtime, uid).is_ok().then(|| runtime.join("tipstaff"));
    runtime.into_iter().chain([fixed(uid)]).collect()
}

/// The place of a user without XDG_RUNTIME_DIR.
fn fixed(uid: u32) -> PathBuf {
    if uid == 0 { "/run/tipstaff".into() } else { format!("/tmp/tipstaff-{uid}").into() }
}

/// What the kernel refused, the place, and the cure.
pub(crate) fn unusable(path: &Path, what: &str, e: impl Into<io::Error>) -> io::Error {
    let e = e.into();
    // Errors that are a line already.
    if e.raw_os_error().is_none() {
        return e;
    }
    let text = e.to_string().to_lowercase();
    let words = text.split(" (os error").next().unwrap_or_default();
    io::Error::other(format!(
        "control sockets: {what} {path:?}: {words}; set XDG_RUNTIME_DIR to a directory of your own with mode 0700"
    ))
}

/// Opens a directory that is ours alone.
///
/// # Errors
/// What the kernel says; or, in words, that it is a symbolic link, or not our uid's, or not of mode 0700.
pub fn own(path: &Path) -> io::Result<OwnedFd> {
    owned_by(path, geteuid().as_raw())
}

/// Opens a directory that is this user's alone.
fn owned_by(path: &Path, uid: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let refuse = |why: String| io::Error::other(format!("{path:?} {why}"));
    let dir = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return Err(refuse("is a symbolic link or no directory; remove it".to_owned()));
        }
        Err(Errno::ACCESS)
            if statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|s| s.st_uid != geteuid().as_raw()) =>
        {
            return Err(refuse("belongs to somebody else; remove it".to_owned()));
        }
        opened => opened?,
    };
    let found = fstat(&dir)?;
    let mode = found.st_mode & 0o7777;
    if found.st_uid != uid {
        let cure = if uid == geteuid().as_raw() { "remove it, or set XDG_RUNTIME_DIR" } else { "remove it" };
        return Err(refuse(format!("belongs to uid {}; {cure}", found.st_uid)));
    }
    if mode != 0o700 {
        return Err(refuse(format!("has mode {mode:04o}, which lets others in; `chmod 0700` it, or remove it")));
    }
    Ok(dir)
}

/// A directory of control sockets, verified.
#[derive(Debug)]
pub struct Place {
    dir: OwnedFd,
    path: PathBuf,
    uid: u32,
}

/// What `.NAME` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Card {
    /// Of the supervisor.
    pub pid: i32,
    /// Whoever can read this may ask.
    pub key: String,
}

/// A name that is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    place: Place,
    name: String,
    _lock: OwnedFd,
}

impl Place {
    /// The best place, made if it is not there.
    pub fn make() -> io::Result<Self> {
        Self::make_at(&candidates().swap_remove(0))
    }

    /// A place, made if it is not there.
    pub fn make_at(path: &Path) -> io::Result<Self> {
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(unusable(path, "cannot make", e)),
        }
        Self::open(path).map_err(|e| unusable(path, "cannot open", e))
    }

    /// A place that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_of(path, geteuid().as_raw())
    }

    /// A place of this user that exists.
    pub(crate) fn open_of(path: &Path, uid: u32) -> io::Result<Self> {
        Ok(Self { dir: owned_by(path, uid)?, path: path.to_path_buf(), uid })
    }

    /// Whose it is.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path by which no one who exchanges the directory's name can lead us elsewhere: proc_pid_fd(5). It is short
    /// enough for a sockaddr_un.
    pub(crate) fn socket(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.dir.as_raw_fd())
    }

    /// The names of sockets here, in order.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.socket(""))?.flatten() {
            // `.NAME` is what a box has from before its socket until after it.
            let name = entry.file_name().into_string().unwrap_or_default();
            names.extend(name.strip_prefix('.').filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    fn open_card(&self, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat(&self.dir, format!(".{name}"), flags, Mode::RUSR | Mode::WUSR)
    }

    /// What the running box of that name says of itself. None: nobody runs under it, and what a killed one left is gone.
    pub(crate) fn card(&self, name: &str) -> io::Result<Option<Card>> {
        let file = match self.open_card(name, OFlags::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            if self.is_current(name, &file) {
                self.remove(name);
            }
            return Ok(None);
        }
        // Locked and not yet written for a moment.
        for _ in 0..100 {
            let mut text = String::new();
            File::from(file.try_clone()?).take(MOST_FILE).read_to_string(&mut text)?;
            if let Ok(card) = serde_json::from_str(&text) {
                return Ok(Some(card));
            }
            rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Err(io::Error::other(format!("{:?}: a box that does not say who it is", self.path.join(name))))
    }

    /// The open file still has its name: it was not removed and made anew between open(2) and flock(2).
    fn is_current(&self, name: &str, file: &OwnedFd) -> bool {
        let there = statat(&self.dir, format!(".{name}"), AtFlags::SYMLINK_NOFOLLOW);
        let ours = fstat(file);
        matches!((there, ours), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// To be called by the holder of the lock. The file goes last: while it is there, the lock on it counts.
    fn remove(&self, name: &str) {
        let _ = unlinkat(&self.dir, name, AtFlags::empty());
        let _ = unlinkat(&self.dir, format!(".{name}"), AtFlags::empty());
    }

    /// Takes a name. Of two that want it one gets it, and the other hears whose it is; what a killed box left is removed.
    pub(crate) fn claim(self, name: &str, key: &str) -> io::Result<Claim> {
        check_name(name).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        loop {
            let file = self.open_card(name, OFlags::CREATE)?;
            if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
                return Err(io::Error::other(format!(
                    "{:?} is no file of ours; remove it",
                    self.path.join(format!(".{name}"))
                )));
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => match self.card(name)? {
                    Some(card) => {
                        let text = format!(
                            "box {name:?} is running already (supervisor pid {}); choose another name",
                            card.pid
                        );
                        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
                    }
                    None => continue,
                },
                Err(e) => return Err(e.into()),
            }
            // Its owner removed it between our two calls.
            if !self.is_current(name, &file) {
                continue;
            }
            let _ = unlinkat(&self.dir, name, AtFlags::empty());
            ftruncate(&file, 0)?;
            let card = Card { pid: rustix::process::getpid().as_raw_nonzero().get(), key: key.to_owned() };
            File::from(file.try_clone()?).write_all(serde_json::to_string(&card)?.as_bytes())?;
            return Ok(Claim { place: self, name: name.to_owned(), _lock: file });
        }
    }
}

impl Claim {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn socket(&self) -> String {
        self.place.socket(&self.name)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.place.remove(&self.name);
    }
}
