//! What a call asks the kernel for, read from its registers.

use std::os::unix::fs::MetadataExt;

use tipstaff_policy::lower::FIXED_FROM;

use super::areas::{self, Area};
use crate::procfs;

pub(super) const CALLS: &[&str] = &["mmap", "brk", "mremap", "mprotect", "pkey_mprotect", "ftruncate", "fallocate"];

const PAGE: u64 = 4096;
const PROT_WRITE: u64 = 2;
const MAP_SHARED: u64 = 1;
const MAP_PRIVATE: u64 = 2;
const MAP_TYPE: u64 = 0xf;
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_NORESERVE: u64 = 0x4000;
const MREMAP_DONTUNMAP: u64 = 4;
/// fallocate(2): only these make a file larger, or none at all.
const FALLOC_FL_KEEP_SIZE: u64 = 1;
const FALLOC_FL_ZERO_RANGE: u64 = 0x10;
const FALLOC_FL_INSERT_RANGE: u64 = 0x20;

/// A request for memory. Lengths in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// mmap(2) of something new.
    New(u64),
    /// mmap(2) with MAP_FIXED: over what the caller has reserved. From, to.
    Over(u64, u64),
    /// brk(2): the new break.
    Break(u64),
    /// mremap(2): the address, and how much more.
    Larger(u64, u64),
    /// mprotect(2) to writable: from, to.
    Writable(u64, u64),
    /// ftruncate(2), fallocate(2): the descriptor, and the size.
    Object(i32, u64),
}

impl Request {
    /// None: the call gets no memory.
    pub fn of(call: &str, args: [u64; 6]) -> Option<Self> {
        let [first, second, third, fourth, ..] = args;
        Some(match call {
            "mmap" => {
                let (flags, length) = (fourth, up(second));
                let private = flags & MAP_TYPE == MAP_PRIVATE && third & PROT_WRITE != 0;
                let shared = flags & (MAP_SHARED | MAP_ANONYMOUS) == MAP_SHARED | MAP_ANONYMOUS;
                if flags & MAP_NORESERVE != 0 || !(private || shared) {
                    return None;
                }
                match private && flags & MAP_FIXED != 0 {
                    true if second < FIXED_FROM => return None,
                    true => Self::Over(first, first.saturating_add(length)),
                    false => Self::New(length),
                }
            }
            "brk" => Self::Break(first),
            "mremap" => {
                let (old, new) = (up(second), up(third));
                // The old place stays mapped, and fills with new pages.
                let more = if fourth & MREMAP_DONTUNMAP != 0 { new } else { new.saturating_sub(old) };
                Self::Larger(first, more)
            }
            "mprotect" | "pkey_mprotect" if third & PROT_WRITE != 0 => {
                Self::Writable(first, first.saturating_add(up(second)))
            }
            "ftruncate" => Self::Object(first as i32, second),
            "fallocate" if grows(second) => Self::Object(first as i32, third.saturating_add(fourth)),
            _ => return None,
        })
    }

    /// At most so much is asked for, without the mappings of who asks. brk(2) takes those: 0.
    pub fn at_most(self, tid: i32) -> u64 {
        match self {
            Self::New(length) | Self::Larger(_, length) => length,
            Self::Over(..) | Self::Break(_) => 0,
            Self::Writable(start, end) => end - start,
            Self::Object(fd, to) => growth(tid, fd, to),
        }
    }

    /// Exactly so much, with these mappings of the caller's.
    pub fn exactly(self, tid: i32, pid: i32, areas: &[Area]) -> u64 {
        match self {
            Self::Break(to) => {
                let heap = areas.iter().filter(|area| area.heap).map(|area| area.end).max();
                let end = heap.or_else(|| first_break(pid)).map_or(u64::MAX, up);
                up(to).saturating_sub(end)
            }
            Self::Larger(at, more) => match areas.iter().find(|area| area.start <= at && at < area.end) {
                Some(area) if !area.is_promised() => 0,
                _ => more,
            },
            Self::Writable(start, end) => {
                let more = |area: &Area| {
                    let part = area.end.min(end).saturating_sub(area.start.max(start));
                    let whole = start <= area.start && area.end <= end;
                    part.saturating_sub(if whole { area.anonymous } else { 0 })
                };
                let readable = |area: &&Area| area.private && !area.writable && !area.reserved;
                areas.iter().filter(readable).map(more).sum()
            }
            _ => self.at_most(tid),
        }
    }
}

fn grows(mode: u64) -> bool {
    // `int mode`: the upper half of the register is not looked at.
    let mode = mode & u64::from(u32::MAX);
    mode & !(FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE) == 0 || mode == FALLOC_FL_INSERT_RANGE
}

/// Whole pages.
pub(super) fn up(length: u64) -> u64 {
    length.checked_next_multiple_of(PAGE).unwrap_or(!(PAGE - 1))
}

/// The program break. `last`: what the process asked for last; the kernel shows only whole pages. None when it is gone.
pub(super) fn break_of(pid: i32, last: Option<u64>) -> Option<u64> {
    // Within the first page there is no mapping yet.
    let shown = areas::heap_end(pid, &mut Vec::new()).or_else(|| first_break(pid))?;
    Some(last.filter(|last| up(*last) == up(shown)).unwrap_or(shown))
}

/// Where the heap would begin: `start_brk`, field 47 of proc_pid_stat(5).
fn first_break(pid: i32) -> Option<u64> {
    let mut buffer = Vec::new();
    let text = procfs::read(&format!("/proc/{pid}/stat"), &mut buffer)?;
    let (_, rest) = text.rsplit_once(')')?;
    // Field 3 is the first here.
    rest.split_ascii_whitespace().nth(47 - 3)?.parse().ok()
}

/// How much larger a memfd gets; 0 for what is none.
fn growth(tid: i32, fd: i32, to: u64) -> u64 {
    let path = format!("/proc/{tid}/fd/{fd}");
    let is_memfd = std::fs::read_link(&path).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"));
    // What else it may be is not asked: a file system may take its time.
    let now = is_memfd.then(|| std::fs::metadata(&path).ok()).flatten();
    now.map_or(0, |now| up(to).saturating_sub(up(now.len()).max(now.blocks() * 512)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn mmap(length: u64, prot: u64, flags: u64) -> Option<Request> {
        Request::of("mmap", [0x1000, length, prot, flags, u64::MAX, 0])
    }

    #[test]
    fn what_is_only_reserved_asks_for_nothing() {
        let anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
        assert_eq!(mmap(MIB, 3, anonymous), Some(Request::New(MIB)));
        assert_eq!(mmap(1, 2, MAP_PRIVATE), Some(Request::New(PAGE)), "a private mapping of a file is a copy to be");
        assert_eq!(mmap(MIB, 0, MAP_SHARED | MAP_ANONYMOUS), Some(Request::New(MIB)));
        assert_eq!(mmap(MIB, 3, anonymous | MAP_FIXED), Some(Request::Over(0x1000, 0x1000 + MIB)));
        for (length, prot, flags) in [
            (MIB, 0, anonymous),
            (MIB, 1, anonymous),
            (MIB, 3, anonymous | MAP_NORESERVE),
            (MIB - 1, 3, anonymous | MAP_FIXED),
            (MIB, 3, MAP_SHARED),
        ] {
            assert_eq!(mmap(length, prot, flags), None, "{prot} {flags:#x}");
        }
    }

    #[test]
    fn growth_is_what_comes_on_top() {
        assert_eq!(Request::of("mremap", [7, MIB, 3 * MIB, 1, 0, 0]), Some(Request::Larger(7, 2 * MIB)));
        assert_eq!(Request::of("mremap", [7, 3 * MIB, MIB, 1, 0, 0]), Some(Request::Larger(7, 0)));
        assert_eq!(Request::of("mremap", [7, MIB, MIB, 5, 0, 0]), Some(Request::Larger(7, MIB)));
        assert_eq!(Request::of("mprotect", [0x1000, 1, 1, 0, 0, 0]), None);
        assert_eq!(Request::of("mprotect", [0x1000, 1, 3, 0, 0, 0]), Some(Request::Writable(0x1000, 0x2000)));
        let area = |start, writable, reserved| Area {
            start,
            end: start + MIB,
            private: true,
            writable,
            reserved,
            anonymous: PAGE,
            ..Area::default()
        };
        let areas = [area(0, false, false), area(MIB, true, false), area(2 * MIB, false, true)];
        assert_eq!(Request::Writable(0, 3 * MIB).exactly(1, 1, &areas), MIB - PAGE);
        assert_eq!(Request::Larger(MIB + 1, 5).exactly(1, 1, &areas), 5);
        assert_eq!(Request::Larger(2 * MIB, 5).exactly(1, 1, &areas), 0, "a reservation");
    }

    #[test]
    fn a_memfd_grows_by_what_it_has_not() {
        use std::os::fd::AsRawFd;
        let memfd = rustix::fs::memfd_create("grows", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
        let me = rustix::thread::gettid().as_raw_nonzero().get();
        let asks = |call: &str, args| Request::of(call, args).map(|request| request.at_most(me));
        let fd = memfd.as_raw_fd() as u64;
        assert_eq!(asks("ftruncate", [fd, MIB, 0, 0, 0, 0]), Some(MIB));
        rustix::fs::ftruncate(&memfd, MIB).expect("size");
        assert_eq!(asks("ftruncate", [fd, MIB, 0, 0, 0, 0]), Some(0));
        assert_eq!(asks("fallocate", [fd, 0, MIB, MIB, 0, 0]), Some(MIB));
        assert_eq!(asks("fallocate", [fd, 3, 0, MIB, 0, 0]), None, "a hole");
        let file = std::fs::File::open("/proc/self/exe").expect("a file");
        assert_eq!(asks("ftruncate", [file.as_raw_fd() as u64, u64::MAX >> 1, 0, 0, 0, 0]), Some(0));
    }
}
