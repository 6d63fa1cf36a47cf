//! Shared memory that has no file name: shared anonymous mappings, and memfds whose descriptors are closed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, fstat, memfd_create};

use crate::procfs::read;

/// An object of shared memory, as the box's processes map it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Object {
    /// Resident pages that are mapped, in bytes: each process's share of them.
    mapped: u64,
    /// Where the highest mapping of it ends: it cannot be larger.
    extent: u64,
    /// One of its mappings: process, first address, end.
    place: (i32, u64, u64),
}

/// What a look at all mappings found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Bytes that are mapped and resident.
    pub resident: u64,
    /// Bytes that may be there besides: a page stays when the last process that mapped it is gone.
    pub potential: u64,
}

/// The device of the kernel's own tmpfs, on which memfds, shared anonymous mappings and System V segments lie.
pub(crate) fn kernel_tmpfs() -> Option<u64> {
    /// It is one for as long as the machine runs; what could not be asked once may be later.
    static KNOWN: OnceLock<u64> = OnceLock::new();
    if let Some(device) = KNOWN.get() {
        return Some(*device);
    }
    let memfd = memfd_create("tipstaff", MemfdFlags::CLOEXEC).ok()?;
    let device = fstat(&memfd).ok()?.st_dev;
    Some(*KNOWN.get_or_init(|| device))
}

/// A device as proc_pid_maps(5) writes it.
fn written(device: u64) -> String {
    format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device))
}

/// Looks at every mapping of the processes. Objects in `counted` (by inode) are left out: a descriptor told all of them.
pub(super) fn look(pids: &[i32], device: u64, counted: &BTreeSet<u64>, buffer: &mut Vec<u8>) -> Mapped {
    let mut objects: BTreeMap<u64, Object> = BTreeMap::new();
    let device = written(device);
    for pid in pids {
        if let Some(text) = read(&format!("/proc/{pid}/smaps"), buffer) {
            collect(&text, *pid, &device, &mut objects);
        }
    }
    let mut found = Mapped::default();
    for object in objects.iter().filter(|(inode, _)| !counted.contains(inode)).map(|(_, object)| object) {
        match object.blocks() {
            Some(bytes) => found.resident += bytes,
            None => {
                found.resident += object.mapped.min(object.extent);
                found.potential += object.extent.saturating_sub(object.mapped);
            }
        }
    }
    found
}

impl Object {
    /// All of it, whoever maps how much: proc_pid_map_files(5) leads to the object, for root (CAP_SYS_ADMIN, or CAP_CHECKPOINT_RESTORE).
    fn blocks(&self) -> Option<u64> {
        let (pid, start, end) = self.place;
        let object = std::fs::metadata(format!("/proc/{pid}/map_files/{start:x}-{end:x}")).ok()?;
        Some(object.blocks() * 512)
    }
}

fn collect(text: &str, pid: i32, device: &str, objects: &mut BTreeMap<u64, Object>) {
    let mut current = None;
    for line in text.lines() {
        if let Some(Header { inode, offset, start, end }) = header(line) {
            current = inode.strip_prefix(device).and_then(|inode| inode.trim().parse().ok());
            if let Some(inode) = current {
                let object: &mut Object = objects.entry(inode).or_default();
                object.extent = object.extent.max(offset.saturating_add(end - start));
                object.place = (pid, start, end);
            }
        } else if let (Some(inode), Some(rest)) = (current, line.strip_prefix("Pss:")) {
            let kib: u64 = rest.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            objects.entry(inode).or_default().mapped += kib * 1024;
        }
    }
}

struct Header<'a> {
    /// "device inode".
    inode: &'a str,
    offset: u64,
    start: u64,
    end: u64,
}

/// "start-end perms offset device inode path". None for a line of figures.
fn header(line: &str) -> Option<Header<'_>> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = (hex(start)?, hex(end)?);
    let _permissions = words.next()?;
    let offset = hex(words.next()?)?;
    let device = words.next()?;
    let from = device.as_ptr() as usize - line.as_ptr() as usize;
    let inode = words.next()?;
    let to = inode.as_ptr() as usize - line.as_ptr() as usize + inode.len();
    Some(Header { inode: line.get(from..to)?, offset, start, end: end.max(start) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000400000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
Size:               4096 kB
Rss:                2048 kB
Pss:                1024 kB
Pss_Dirty:          1024 kB
VmFlags: rd wr sh mr mw me ms sd
7f0000400000-7f0000500000 rw-p 00000000 00:00 0
Pss:                 900 kB
7f0000500000-7f0000600000 rw-s 00100000 00:01 78                         /memfd:x (deleted)
Pss:                 512 kB
7f0000600000-7f0000700000 rw-s 00000000 00:19 77                         /tmp/a 00:01 77
Pss:                 100 kB
";

    #[test]
    fn only_the_kernels_own_tmpfs_is_collected() {
        let mut objects = BTreeMap::new();
        collect(SMAPS, 7, "00:01", &mut objects);
        let first = Object { mapped: 1 << 20, extent: 4 << 20, place: (7, 0x7f00_0000_0000, 0x7f00_0040_0000) };
        let second = Object { mapped: 512 << 10, extent: 2 << 20, place: (7, 0x7f00_0050_0000, 0x7f00_0060_0000) };
        assert_eq!(objects, BTreeMap::from([(77, first), (78, second)]));
    }

    #[test]
    fn our_own_shared_mapping_is_seen() {
        let memfd = memfd_create("seen", MemfdFlags::CLOEXEC).expect("memfd");
        rustix::fs::ftruncate(&memfd, 1 << 20).expect("size");
        let inode = fstat(&memfd).expect("fstat").st_ino;
        let device = written(kernel_tmpfs().expect("device"));
        let me = std::process::id().cast_signed();
        // Not mapped: nothing of it stands in smaps, whoever else maps something.
        let mut objects = BTreeMap::new();
        let mut buffer = Vec::new();
        collect(&read(&format!("/proc/{me}/smaps"), &mut buffer).expect("smaps"), me, &device, &mut objects);
        assert!(!objects.contains_key(&inode));
    }
}
