//! The mappings of one process, from proc_pid_smaps(5): what it has been promised, and what of it is there.

use super::ranges::Ranges;
use crate::procfs;

/// What is in use of a mapping, and what may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Area {
    pub start: u64,
    pub end: u64,
    /// Not MAP_SHARED.
    pub private: bool,
    pub writable: bool,
    /// PROT_NONE.
    pub closed: bool,
    /// VM_NORESERVE: the kernel keeps MAP_NORESERVE for as long as the mapping exists, through mprotect(2) too.
    pub reserved: bool,
    /// Offset into the object that is mapped.
    pub offset: u64,
    /// "major:minor" of that object.
    pub device: String,
    pub inode: u64,
    /// Below the program break.
    pub heap: bool,
    /// System V: its inode is a number of another kind.
    pub segment: bool,
    /// Bytes in memory.
    pub resident: u64,
    /// Anonymous bytes, in memory and in swap.
    pub anonymous: u64,
}

impl Area {
    fn size(&self) -> u64 {
        self.end - self.start
    }

    /// Its pages can be the process's own without another call: VM_ACCOUNT, as the kernel's own overcommit account has it.
    pub fn is_promised(&self) -> bool {
        self.private && self.writable && !self.reserved
    }

    /// What it counts, in bytes. Of what was put over a reservation (`fixed`), and of what can no longer be written, only what is there.
    pub fn charge(&self, fixed: &Ranges) -> u64 {
        if !self.private {
            return 0;
        }
        let promised = if self.is_promised() { self.size() - fixed.overlap(self.start, self.end) } else { 0 };
        promised.max(self.anonymous)
    }
}

/// The mappings of a process; None when it is gone or may not be looked at.
pub(super) fn of(pid: i32, buffer: &mut Vec<u8>) -> Option<Vec<Area>> {
    procfs::read(&format!("/proc/{pid}/smaps"), buffer).map(|text| parse(&text))
}

/// Nothing from `start` to `end` can be read or written: it is reserved. From proc_pid_maps(5).
pub(super) fn is_closed(pid: i32, start: u64, end: u64, buffer: &mut Vec<u8>) -> bool {
    let Some(text) = procfs::read(&format!("/proc/{pid}/maps"), buffer) else { return false };
    let mut within = text.lines().filter_map(header).filter(|area| area.start < end && start < area.end).peekable();
    within.peek().is_some() && within.all(|area| area.closed)
}

/// The end of the heap, a whole number of pages; None where there is none yet. From proc_pid_maps(5), which costs less.
pub(super) fn heap_end(pid: i32, buffer: &mut Vec<u8>) -> Option<u64> {
    let text = procfs::read(&format!("/proc/{pid}/maps"), buffer)?;
    text.lines().filter_map(header).filter(|area| area.heap).map(|area| area.end).max()
}

fn parse(text: &str) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for line in text.lines() {
        if let Some(area) = header(line) {
            areas.push(area);
            continue;
        }
        let Some(area) = areas.last_mut() else { continue };
        let kib = |rest: &str| rest.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kib| kib * 1024);
        if let Some(rest) = line.strip_prefix("Rss:") {
            area.resident = kib(rest);
        } else if let Some(rest) = line.strip_prefix("Anonymous:").or_else(|| line.strip_prefix("Swap:")) {
            area.anonymous += kib(rest);
        } else if let Some(rest) = line.strip_prefix("Private_Hugetlb:") {
            area.anonymous += kib(rest);
        } else if let Some(rest) = line.strip_prefix("VmFlags:") {
            area.reserved = rest.split_ascii_whitespace().any(|flag| flag == "nr");
        }
    }
    areas
}

/// "start-end perms offset device inode path". None for a line of figures.
fn header(line: &str) -> Option<Area> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let (start, end) = (hex(start)?, hex(end)?);
    let permissions = words.next()?.as_bytes();
    let offset = hex(words.next()?)?;
    let device = words.next()?.to_owned();
    let inode = words.next()?.parse().ok()?;
    let path = words.next().unwrap_or_default();
    Some(Area {
        start,
        end: end.max(start),
        private: permissions.get(3) == Some(&b'p'),
        closed: permissions.starts_with(b"---"),
        writable: permissions.get(1) == Some(&b'w'),
        offset,
        device,
        inode,
        heap: path == "[heap]",
        segment: path.starts_with("/SYSV"),
        ..Area::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0021000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
Rss:                   8 kB
Pss_Anon:              8 kB
Anonymous:             4 kB
Swap:                  4 kB
SwapPss:               0 kB
VmFlags: rd wr mr mw me ac sd
7f0000000000-7f0000400000 rw-p 00000000 00:00 0
Rss:                1024 kB
Anonymous:          1024 kB
VmFlags: rd wr mr mw me nr sd
7f0000400000-7f0000500000 rw-s 00100000 00:01 78                         /memfd:x (deleted)
Rss:                 512 kB
Anonymous:             0 kB
VmFlags: rd wr sh mr mw me ms sd
7f0000500000-7f0000600000 r--p 00000000 00:00 0
Anonymous:           100 kB
VmFlags: rd mr mw me ac sd
";

    #[test]
    fn a_promise_counts_whole_and_a_reservation_as_far_as_it_is_used() {
        let areas = parse(SMAPS);
        let none = Ranges::default();
        let charges: Vec<u64> = areas.iter().map(|area| area.charge(&none) >> 10).collect();
        assert_eq!(charges, [132, 1024, 0, 100]);
        assert!(areas[0].heap && areas[0].anonymous == 8 << 10);
        assert_eq!((areas[2].device.as_str(), areas[2].inode, areas[2].offset), ("00:01", 78, 1 << 20));
        let mut fixed = Ranges::default();
        fixed.add(0x55d0_c000_0000, 0x55d0_c002_1000);
        assert_eq!(areas[0].charge(&fixed), 8 << 10, "what is there counts wherever it is");
    }

    /// What the account says of a process is what smaps says: the mapping appears whole, and goes whole.
    #[test]
    fn our_own_promises_are_seen() {
        let me = std::process::id().cast_signed();
        let mut buffer = Vec::new();
        let held = vec![0u8; 64 << 20];
        let inside = held.as_ptr() as u64 + (32 << 20);
        let areas = of(me, &mut buffer).expect("smaps");
        let area = areas.iter().find(|area| area.start <= inside && inside < area.end).expect("mapped");
        assert!(area.charge(&Ranges::default()) >= 64 << 20 && area.anonymous < 64 << 20, "{area:?}");
        assert!(!is_closed(me, inside, inside + 1, &mut buffer) && !is_closed(me, 0, 1, &mut buffer));
        drop(held);
        assert_eq!(of(i32::MAX, &mut buffer), None);
    }
}
