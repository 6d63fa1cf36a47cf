//! Shared memory of a box: its tmpfs, its memfds, its shared mappings, and what is on its way between two processes.
//!
//! The kernel tells no sum of this per user or per process tree. What it does tell is how much there is on the whole machine (sysinfo(2),
//! `sharedram`), in a fraction of a microsecond. So a look through all descriptors and mappings is made only when the machine's
//! figure has grown since the last one, or when that is a second ago; and what cannot be found by looking (pages that nobody maps any more,
//! memfds in flight) counts as far as the machine's figure has grown beyond everything that was found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::flight::{self, Flight};
use super::mapped::{self, Mapped};
use crate::procfs;

/// Descriptors that one look goes through. What is behind them counts as hidden.
const DESCRIPTORS: usize = 16_384;
/// The kernel adds its counters up with this delay: 125 pages per CPU (mm/vmstat.c), on a few CPUs.
const SLACK: u64 = 2 << 20;

/// What a file on tmpfs takes without any contents: an inode and a directory entry.
const INODE: u64 = 1024;

/// What the last look found.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    /// Bytes in memfds.
    memfds: u64,
    /// The machine's figure less what was found, at its lowest: what others have.
    others: u64,
    /// CLOCK_MONOTONIC of the last look, in nanoseconds.
    at: u64,
    /// [`mapped::kernel_tmpfs`].
    device: Option<u64>,
    /// We may look at objects by their mappings.
    sees_all: bool,
}

/// What may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// It is there.
    pub certain: u64,
    /// It may be less: a look tells.
    pub doubtful: u64,
}

impl Shared {
    /// At the start of a box: all there is belongs to others.
    pub fn new() -> Self {
        let sees_all = rustix::process::geteuid().is_root();
        Self { others: machine(), device: mapped::kernel_tmpfs(), sees_all, ..Self::default() }
    }

    /// At most this much is there now, if `mapped` bytes of it are mapped (a page counted in every process).
    pub fn bound(&self, keeper: i32, mapped: u64) -> Bound {
        let (pages, names) = tmpfs_used(keeper);
        let hidden = self.unexplained(pages + self.memfds);
        Bound { certain: pages + names, doubtful: self.memfds + mapped.max(hidden) }
    }

    /// The last look is too old to be believed: others may have given back what this box has taken since.
    pub fn is_old(&self, now: u64) -> bool {
        now.saturating_sub(self.at) > 1_000_000_000
    }

    fn unexplained(&self, found: u64) -> u64 {
        machine().saturating_sub(self.others).saturating_sub(found).saturating_sub(SLACK)
    }

    /// Looks through everything; bytes of shared memory. `mapped` bytes of it are mapped (a page counted in every process). Where all that
    /// can be there fits into `room`, mappings are not looked at, and the answer is an upper bound.
    pub fn look(&mut self, keeper: i32, pids: &[i32], mapped: u64, room: u64, now: u64, buffer: &mut Vec<u8>) -> u64 {
        let was_old = self.is_old(now);
        self.at = now;
        let open = Open::of(pids);
        self.memfds = open.memfds.values().sum();
        let (pages, names) = tmpfs_used(keeper);
        self.learn(pages + self.memfds);
        let hidden = self.unexplained(pages + self.memfds);
        let upper = names + pages + self.memfds + mapped.max(hidden);
        if upper <= room {
            return upper;
        }
        let mut counted: BTreeSet<u64> = open.memfds.keys().copied().collect();
        let flight = match self.device {
            Some(device) => flight::look(&open.sockets, device, buffer),
            None => Flight { unknown: true, ..Flight::default() },
        };
        let waiting = flight.memfds.iter().filter(|(inode, _)| counted.insert(**inode));
        self.memfds += waiting.map(|(_, bytes)| bytes).sum::<u64>();
        let mut maps = Mapped::default();
        // What is mapped without a page in any process is seen by root alone, and otherwise counts only where the machine's figure has grown.
        if let (true, Some(device)) = (mapped > 0 || hidden > 0 || was_old && self.sees_all, self.device) {
            maps = mapped::look(pids, device, &counted, buffer);
        }
        let found = pages + self.memfds + maps.resident;
        self.learn(found);
        let potential = if open.cut || flight.unknown { u64::MAX } else { maps.potential };
        names + found + self.unexplained(found).min(potential)
    }

    /// At least this much is the box's: others have the rest at most.
    fn learn(&mut self, found: u64) {
        self.others = self.others.min(machine().saturating_sub(found));
    }
}

/// Shared memory of the whole machine, in bytes: sysinfo(2).
fn machine() -> u64 {
    let info = rustix::system::sysinfo();
    info.sharedram.saturating_mul(u64::from(info.mem_unit))
}

/// What the box's processes have open.
#[derive(Debug, Default)]
struct Open {
    /// Blocks of memfds, in bytes, by inode: however many descriptors lead to one, it counts once.
    memfds: BTreeMap<u64, u64>,
    /// Sockets, as process and descriptor.
    sockets: Vec<(i32, String)>,
    /// There were more than [`DESCRIPTORS`].
    cut: bool,
}

impl Open {
    fn of(pids: &[i32]) -> Self {
        let mut open = Self::default();
        let mut left = DESCRIPTORS;
        for pid in pids {
            let Some(fds) = procfs::list(&format!("/proc/{pid}/fd")) else { continue };
            for fd in fds.flatten() {
                if left == 0 {
                    open.cut = true;
                    return open;
                }
                left -= 1;
                let path = fd.path();
                let Ok(to) = fs::read_link(&path) else { continue };
                let to = to.as_os_str().as_encoded_bytes();
                if to.starts_with(b"/memfd:") {
                    if let Ok(meta) = fs::metadata(&path) {
                        open.memfds.insert(meta.ino(), meta.blocks() * 512);
                    }
                } else if to.starts_with(b"socket:") {
                    open.sockets.push((*pid, fd.file_name().to_string_lossy().into_owned()));
                }
            }
        }
        open
    }
}

/// What lies on the box's private tmpfs, in bytes: pages, and names. Its own /tmp is seen through the keeper's root.
fn tmpfs_used(keeper: i32) -> (u64, u64) {
    let names = |fs: &rustix::fs::StatFs| fs.f_files.saturating_sub(fs.f_ffree) * INODE;
    let pages = |fs: &rustix::fs::StatFs| (fs.f_blocks - fs.f_bfree) * fs.f_bsize.unsigned_abs();
    private_disk(keeper).map_or((0, 0), |fs| (pages(&fs), names(&fs)))
}

/// What the private disk holds, in bytes: pages and names.
pub(crate) fn used_on_disk(keeper: i32) -> u64 {
    let (pages, names) = tmpfs_used(keeper);
    pages + names
}

/// What is left of the private disk.
pub(crate) fn disk_left(keeper: i32) -> Option<u64> {
    private_disk(keeper).map(|fs| fs.f_bavail * fs.f_bsize.unsigned_abs())
}

fn private_disk(keeper: i32) -> Option<rustix::fs::StatFs> {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    rustix::fs::statfs(format!("/proc/{keeper}/root/run")).ok().filter(|fs| fs.f_type == TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_memfd_counts_its_blocks_once() {
        let memfd = rustix::fs::memfd_create("once", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
        let _second = memfd.try_clone().expect("dup");
        rustix::io::write(&memfd, &[1u8; 8192]).expect("write");
        let inode = rustix::fs::fstat(&memfd).expect("fstat").st_ino;
        let open = Open::of(&[std::process::id().cast_signed()]);
        assert_eq!(open.memfds.get(&inode), Some(&8192));
    }
}
