//! Where start and finish of a container and the collector meet: a directory of ours alone, with up to three files for each container.
//!
//! - `ID.run`: the card, what is to be recorded and where to. Whoever collects holds its lock (flock(2)), got from the hook that made it, so whether a
//!   collector lives is never guessed from a number, and nothing stale is taken for alive.
//! - `ID.flush`: what had been seen at the last flush.
//! - `ID.end`: what came of it, where the container's end was seen before poststop asked for it.
//!
//! The collector itself has a card of the same kind, and the socket.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::fs::{flock, fstat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tipstaff_recording::{Recording, Run};

use crate::Error;
use crate::wire::Card;

/// A file of ours is short, but for a flush.
const MOST_FILE: u64 = 64 << 20;

const FILES: [&str; 3] = ["run", "flush", "end"];

/// The collector's card. No container has such an id.
pub const COLLECTOR: &str = ".collector";
const SOCKET: &str = ".collector.sock";

/// The directory, verified, by its descriptor.
#[derive(Debug)]
pub struct Place {
    dir: OwnedFd,
    path: PathBuf,
}

/// Whether somebody collects for a container.
#[derive(Debug)]
pub enum Found {
    /// Nobody does, and nobody did.
    Nobody,
    /// A collector lives.
    Live,
    /// A collector lived: its card is ours now.
    Dead(Claim),
}

/// The card of a container, with its lock.
#[derive(Debug)]
pub struct Claim {
    card: File,
}

impl Place {
    /// Makes the directory, and its parent, if they are not there. Both are the caller's, and let nobody else in.
    ///
    /// # Errors
    /// It cannot be made, or is not ours alone.
    pub fn make(path: &Path) -> Result<Self, Error> {
        for dir in path.parent().into_iter().chain([path]) {
            match mkdirat(CWD, dir, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => {
                    return Err(Error::Place(
                        dir.to_path_buf(),
                        format!("cannot be made: {}; --runtime-dir names another place", crate::words(&e.into())),
                    ));
                }
            }
        }
        Self::open(path)
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// It is not there, or not ours alone.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |e: std::io::Error| Error::Place(path.to_path_buf(), crate::words(&e));
        Ok(Self { dir: tipstaff_control::own(path).map_err(wrong)?, path: path.to_path_buf() })
    }

    fn error(&self, name: &str, e: impl Into<std::io::Error>) -> Error {
        Error::Place(self.path.join(name), crate::words(&e.into()))
    }

    /// A path to the collector's socket that nobody who exchanges the directory's name can lead elsewhere, and that fits into a sockaddr_un.
    pub fn socket(&self) -> String {
        format!("/proc/self/fd/{}/{SOCKET}", self.dir.as_raw_fd())
    }

    /// Removes the collector's socket; for whoever holds its card.
    pub fn remove_socket(&self) {
        let _ = unlinkat(&self.dir, SOCKET, AtFlags::empty());
    }

    /// Takes a container's card, which must be nobody's. What a dead collector left is removed. None: a collector lives.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn claim(&self, id: &str) -> Result<Option<Claim>, Error> {
        loop {
            let locked = self.lock(id, OFlags::CREATE).map_err(|e| self.error(&name(id, "run"), e))?;
            let Some(locked) = locked else { return Ok(None) };
            if let Locked::Current(claim) = locked {
                for file in &FILES[1..] {
                    let _ = unlinkat(&self.dir, name(id, file), AtFlags::empty());
                }
                return Ok(Some(claim));
            }
        }
    }

    /// Whether somebody collects for a container.
    ///
    /// # Errors
    /// The card cannot be opened.
    pub fn look(&self, id: &str) -> Result<Found, Error> {
        loop {
            match self.lock(id, OFlags::empty()) {
                Ok(None) => return Ok(Found::Live),
                Ok(Some(Locked::Current(claim))) => return Ok(Found::Dead(claim)),
                Ok(Some(Locked::Removed)) => {}
                Err(Errno::NOENT) => return Ok(Found::Nobody),
                Err(e) => return Err(self.error(&name(id, "run"), e)),
            }
        }
    }

    fn lock(&self, id: &str, flags: OFlags) -> rustix::io::Result<Option<Locked>> {
        let card = name(id, "run");
        let flags = flags | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = openat(&self.dir, &card, flags, Mode::RUSR | Mode::WUSR)?;
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(e),
        }
        // Removed by its last owner between our two calls: another may be there by now.
        let there = statat(&self.dir, &card, AtFlags::SYMLINK_NOFOLLOW);
        let same = matches!((there, fstat(&fd)), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino));
        Ok(Some(if same { Locked::Current(Claim { card: fd.into() }) } else { Locked::Removed }))
    }

    /// Writes one of a container's files, whole or not at all.
    ///
    /// # Errors
    /// No space, mostly.
    pub fn write(&self, id: &str, file: &str, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(value).map_err(|e| self.error(&name(id, file), e))?;
        self.write_text(id, file, &text)
    }

    fn write_text(&self, id: &str, file: &str, text: &str) -> Result<(), Error> {
        let (part, whole) = (name(id, "part"), name(id, file));
        let write = || -> std::io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut out = File::from(openat(&self.dir, &part, flags, Mode::RUSR | Mode::WUSR)?);
            out.write_all(text.as_bytes())?;
            renameat(&self.dir, &part, &self.dir, &whole)?;
            Ok(())
        };
        write().map_err(|e| {
            let _ = unlinkat(&self.dir, &part, AtFlags::empty());
            self.error(&whole, e)
        })
    }

    /// Reads one of a container's files. None: it is not there, or not one of ours.
    pub fn read<T: DeserializeOwned>(&self, id: &str, file: &str) -> Option<T> {
        serde_json::from_str(&self.read_text(id, file)?).ok()
    }

    fn read_text(&self, id: &str, file: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = openat(&self.dir, name(id, file), flags, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(fd).take(MOST_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Saves what has been seen up to now.
    ///
    /// # Errors
    /// No space, mostly; what was saved before is there then.
    pub fn save(&self, id: &str, run: Run) -> Result<(), Error> {
        self.write_text(id, "flush", &Recording::from(run).to_json())
    }

    /// What was saved last, and how long ago. None: nothing was.
    pub fn saved(&self, id: &str) -> Option<(Run, Duration)> {
        let run = Recording::parse(&self.read_text(id, "flush")?).ok()?.runs().next()?.clone();
        let found = statat(&self.dir, name(id, "flush"), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let then = Duration::new(u64::try_from(found.st_mtime).ok()?, u32::try_from(found.st_mtime_nsec).ok()?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Some((run, now.saturating_sub(then)))
    }

    /// One writer of profiles at a time: two containers may have one output.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn outputs(&self) -> Result<OwnedFd, Error> {
        const OUTPUTS: &str = ".outputs";
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = || {
            let fd = openat(&self.dir, OUTPUTS, flags, Mode::RUSR | Mode::WUSR)?;
            while let Err(e) = flock(&fd, FlockOperation::LockExclusive) {
                if e != Errno::INTR {
                    return Err(e);
                }
            }
            Ok(fd)
        };
        lock().map_err(|e| self.error(OUTPUTS, e))
    }

    /// Removes the socket of a collector that was killed.
    pub fn tidy(&self) {
        if let Ok(Found::Dead(_card)) = self.look(COLLECTOR) {
            self.remove_socket();
        }
    }

    /// Removes what nobody will ask for: what is left of recordings that no poststop came for within a day, and cards of hooks that were killed before a collector
    /// had them, once their container's process is gone. No hook takes as long as a card must be old for that.
    pub fn sweep(&self) {
        self.sweep_at(rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec);
    }

    fn sweep_at(&self, now: i64) {
        const DAY_S: i64 = 24 * 3600;
        const KILLED_S: i64 = 600;
        let Ok(entries) = std::fs::read_dir(format!("/proc/self/fd/{}", self.dir.as_raw_fd())) else { return };
        let age = |name: &str| Some(now - statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?.st_mtime);
        for entry in entries.flatten() {
            let entry = entry.file_name();
            let Some(id) = entry.to_str().and_then(|name| name.strip_suffix(".run")).filter(|id| *id != COLLECTOR)
            else {
                continue;
            };
            // The newest of them counts.
            let newest = FILES.iter().filter_map(|file| age(&name(id, file))).min();
            let kept = FILES[1..].iter().any(|file| age(&name(id, file)).is_some());
            let old = newest.is_some_and(|age| age > if kept { DAY_S } else { KILLED_S });
            if old
                && let Ok(Found::Dead(mut card)) = self.look(id)
                && (kept || !card.read::<Card>().is_ok_and(|card| lives(card.pid)))
            {
                self.remove(id, &card);
            }
        }
    }

    /// Removes a container's files; for whoever holds its card, which goes last.
    pub fn remove(&self, id: &str, _card: &Claim) {
        for file in FILES.iter().rev() {
            let _ = unlinkat(&self.dir, name(id, file), AtFlags::empty());
        }
    }
}

enum Locked {
    Current(Claim),
    Removed,
}

impl Claim {
    /// Takes the card that was handed to this process, locked already.
    pub fn inherited(card: OwnedFd) -> Self {
        Self { card: card.into() }
    }

    /// Writes the card.
    ///
    /// # Errors
    /// No space, mostly.
    pub fn write(&mut self, value: &impl Serialize) -> std::io::Result<()> {
        self.card.rewind()?;
        self.card.set_len(0)?;
        self.card.write_all(&serde_json::to_vec(value)?)?;
        self.card.rewind()
    }

    /// Reads the card.
    ///
    /// # Errors
    /// It was not written to its end.
    pub fn read<T: DeserializeOwned>(&mut self) -> std::io::Result<T> {
        self.card.rewind()?;
        let mut text = Vec::new();
        (&self.card).take(MOST_FILE).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Another descriptor of the same lock: it holds until the last of them is closed.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn share(&self) -> std::io::Result<OwnedFd> {
        Ok(self.card.try_clone()?.into())
    }
}

fn lives(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn name(id: &str, file: &str) -> String {
    format!("{id}.{file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::make(&dir.path().join("up/hook")).expect("a place");
        (dir, place)
    }

    #[test]
    fn a_card_is_one_s_until_his_end() {
        let (_dir, place) = place();
        assert!(matches!(place.look("c"), Ok(Found::Nobody)));
        let mut claim = place.claim("c").expect("a place").expect("nobody's card");
        claim.write(&"what").expect("a card");
        assert!(matches!(place.look("c"), Ok(Found::Live)));
        assert!(place.claim("c").expect("a place").is_none());
        // A second holder of the same lock, as the collector is.
        let collector = Claim::inherited(claim.share().expect("a descriptor"));
        drop(claim);
        assert!(matches!(place.look("c"), Ok(Found::Live)));
        place.write("c", "flush", &7).expect("a flush");
        drop(collector);
        let Ok(Found::Dead(mut dead)) = place.look("c") else { panic!("somebody holds it") };
        assert_eq!(dead.read::<String>().expect("a card"), "what");
        assert_eq!(place.read::<i32>("c", "flush"), Some(7));
        place.remove("c", &dead);
        assert!(matches!(place.look("c"), Ok(Found::Nobody)));
        assert_eq!(place.read::<i32>("c", "flush"), None);
    }

    #[test]
    fn what_a_dead_one_left_is_not_taken_over() {
        let (_dir, place) = place();
        drop(place.claim("c").expect("a place"));
        place.write("c", "end", &"old").expect("an end");
        let _claim = place.claim("c").expect("a place").expect("a dead one's card");
        assert_eq!(place.read::<String>("c", "end"), None);
    }

    #[test]
    fn a_killed_hook_s_card_goes_with_its_container() {
        let (_dir, place) = place();
        let card = |pid: u32| {
            let pid = pid.cast_signed();
            let bundle = crate::bundle::Bundle::default();
            let (id, name, path) = ("c".to_owned(), "c".to_owned(), PathBuf::from("/nowhere"));
            let (output, bundle_dir) = (path.clone(), path);
            Card {
                id,
                name,
                pid,
                cgroups: vec![],
                runtime: None,
                bundle_dir,
                bundle,
                input: None,
                output,
                roots: vec![],
                flush_ms: 1,
            }
        };
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let there = |id: &str| place.read_text(id, "run").is_some();
        for (id, pid) in [("gone", 0x3fff_fffe), ("lives", std::process::id()), ("saved", 0x3fff_fffe)] {
            place.claim(id).expect("a place").expect("nobody's card").write(&card(pid)).expect("a card");
        }
        // Nobody wrote it to its end.
        drop(place.claim("empty").expect("a place"));
        let held = place.claim("held").expect("a place").expect("nobody's card");
        place.write("saved", "flush", &7).expect("a flush");
        place.sweep_at(now + 60);
        assert!(["gone", "lives", "saved", "empty", "held"].into_iter().all(there), "a hook may be at work");
        place.sweep_at(now + 700);
        let left: Vec<&str> = ["gone", "lives", "saved", "empty", "held"].into_iter().filter(|id| there(id)).collect();
        assert_eq!(left, ["lives", "saved", "held"]);
        place.sweep_at(now + 25 * 3600);
        assert!(!there("saved") && there("held"));
        drop(held);
    }

    #[test]
    fn a_directory_that_lets_others_in_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("own directory");
        let error = Place::make(dir.path()).expect_err("open to all").to_string();
        assert!(error.contains("mode 0755"), "{error}");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/", &link).expect("a link");
        assert!(Place::make(&link).expect_err("a link").to_string().contains("symbolic link"));
    }
}
