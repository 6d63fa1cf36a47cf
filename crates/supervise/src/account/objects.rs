//! Shared objects without a file name: each counts once, by its size, however many processes have it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::areas::Area;
use crate::memory::kernel_tmpfs;

/// At most so many descriptors are looked at in one go; the sampler sees the rest.
const DESCRIPTORS: usize = 16_384;

/// The objects of a box, by inode.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Memfds that somebody has a descriptor of.
    open: BTreeMap<u64, u64>,
    /// What is mapped: how far its mappings reach.
    mapped: BTreeMap<u64, u64>,
}

impl Objects {
    /// Takes in what a process maps.
    pub fn map(&mut self, areas: &[Area], device: &str) {
        for area in areas.iter().filter(|area| !area.private && !area.segment && area.device == device) {
            // MAP_NORESERVE: as far as it is used.
            let bytes = if area.reserved { area.resident } else { area.offset.saturating_add(area.end - area.start) };
            let known = self.mapped.entry(area.inode).or_default();
            *known = bytes.max(*known);
        }
    }

    /// Takes in what a process has open.
    pub fn open(&mut self, pid: i32, left: &mut usize) {
        let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
        for fd in fds.flatten().take(*left) {
            *left -= 1;
            let path = fd.path();
            let is_memfd =
                fs::read_link(&path).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"));
            if is_memfd && let Ok(meta) = fs::metadata(&path) {
                self.open.insert(meta.ino(), meta.len().max(meta.blocks() * 512));
            }
        }
    }

    /// How many descriptors are looked at in one go.
    pub fn descriptors() -> usize {
        DESCRIPTORS
    }

    /// All of them, in bytes.
    pub fn bytes(&self) -> u64 {
        let closed = self.mapped.iter().filter(|(inode, _)| !self.open.contains_key(inode));
        self.open.values().sum::<u64>() + closed.map(|(_, bytes)| bytes).sum::<u64>()
    }
}

/// The device of memfds and shared anonymous mappings, as proc_pid_maps(5) writes it.
pub(super) fn device() -> String {
    let device = kernel_tmpfs().unwrap_or_default();
    format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_counts_once() {
        let area = |inode, offset, reserved| Area {
            start: 0x1000,
            end: 0x3000,
            device: "00:01".to_owned(),
            inode,
            offset,
            reserved,
            resident: 0x1000,
            ..Area::default()
        };
        let mut objects = Objects::default();
        let private = Area { private: true, ..area(4, 0, false) };
        let other = Area { device: "08:01".to_owned(), ..area(5, 0, false) };
        objects.map(&[area(1, 0, false), area(1, 0x2000, false), area(2, 0, true), private, other], "00:01");
        objects.map(&[area(1, 0, false)], "00:01");
        assert_eq!(objects.bytes(), 0x4000 + 0x1000);
    }

    #[test]
    fn an_open_memfd_counts_by_its_size() {
        let memfd = rustix::fs::memfd_create("sized", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
        rustix::fs::ftruncate(&memfd, 1 << 20).expect("size");
        let inode = rustix::fs::fstat(&memfd).expect("fstat").st_ino;
        let (mut objects, mut left) = (Objects::default(), DESCRIPTORS);
        let me = std::process::id().cast_signed();
        objects.open(me, &mut left);
        objects.open(me, &mut left);
        assert_eq!(objects.open.get(&inode), Some(&(1 << 20)));
    }
}
