//! Groups that nobody removed, because the machine or every process that could was killed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, open, stat};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::Hierarchies;

pub(crate) const PREFIX: &str = "tipstaff-";

/// A name that nobody has had: a sweeper that was about to remove one group must not meet another under its name. The number is for people.
pub(crate) fn name() -> io::Result<String> {
    let mut bytes = [0u8; 8];
    let got = getrandom(&mut bytes, GetRandomFlags::empty())?;
    if got < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(format!("{PREFIX}{}-{:016x}", std::process::id(), u64::from_ne_bytes(bytes)))
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
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
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
        let [held, left, foreign] = ["tipstaff-1-0", "tipstaff-1-1", "other-1-2"].map(|name| place.path().join(name));
        for dir in [&held, &left, &foreign] {
            std::fs::create_dir(dir).expect("mkdir");
        }
        let lock = lock(&held, false).expect("a lock");
        sweep_dir(place.path());
        assert!(held.exists() && foreign.exists() && !left.exists());
        drop(lock);
        sweep_dir(place.path());
        assert!(!held.exists() && foreign.exists());
    }
}
