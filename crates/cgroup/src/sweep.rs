//! Groups that nobody removed, because the machine or every process that could was killed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, stat};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::Hierarchies;

/// A name that nobody has had: a sweeper that was about to remove one group must not meet another under its name. The number is for people, and so
/// is the first word: what else is called so is somebody's own, a container say ([`ours`]).
pub(crate) fn name() -> io::Result<String> {
    let mut bytes = [0u8; 8];
    let got = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if got < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(format!("tipstaff-{}-{:016x}", std::process::id(), u64::from_ne_bytes(bytes)))
}

/// Whether a name is one of [`name`]'s.
pub(crate) fn ours(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.strip_prefix("tipstaff-")?.split_once('-'));
    parts.is_some_and(|(process, random)| {
        process.parse::<u32>().is_ok() && random.len() == 16 && u64::from_str_radix(random, 16).is_ok()
    })
}

impl Hierarchies {
    /// Removes empty groups of processes that are gone, known by their lock, not by their number: that means something in one PID
    /// namespace only. A group with tasks is left: its keeper still works on it.
    pub fn sweep(&self) {
        for place in [&self.memory, &self.pids, &self.cpu, &self.bandwidth].into_iter().flatten() {
            sweep_dir(&place.dir);
        }
    }
}

fn sweep_dir(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if !ours(&entry.file_name()) {
            continue;
        }
        // Whoever made it holds its lock while he lives.
        if let Ok(_lock) = lock(&entry.path(), true) {
            // EBUSY with tasks inside, which is what keeps a live keeper's group.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// Locks a group's directory, shared or alone; EWOULDBLOCK if that cannot be had at once.
pub(crate) fn lock(dir: &Path, alone: bool) -> io::Result<OwnedFd> {
    let fd = open(dir, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let how = if alone { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
    flock(&fd, how)?;
    // It may have been removed between the two calls, by one who had the lock; from here on nobody can.
    let (ours, there) = (fstat(&fd)?, stat(dir)?);
    if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_stays_and_what_nobody_holds_goes() {
        let place = tempfile::tempdir().expect("a directory");
        let [held, left] = [(); 2].map(|()| place.path().join(name().expect("a name")));
        let foreign =
            ["other-1-0123456789abcdef", "tipstaff-web-1", "tipstaff-1-0", "tipstaff-1-0123456789abcdefg", "tipstaff-"];
        let foreign = foreign.map(|name| place.path().join(name));
        for dir in [&held, &left].into_iter().chain(&foreign) {
            std::fs::create_dir(dir).expect("mkdir");
        }
        let untouched = || foreign.iter().all(|dir| dir.exists());
        let lock = lock(&held, false).expect("a lock");
        sweep_dir(place.path());
        assert!(held.exists() && untouched() && !left.exists());
        drop(lock);
        sweep_dir(place.path());
        assert!(!held.exists() && untouched());
    }
}
