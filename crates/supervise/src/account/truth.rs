//! One look at what the kernel has promised the whole box.

use std::collections::BTreeMap;

use tipstaff_sys::kcmp;

use super::areas::{self, Area};
use super::objects::Objects;
use super::ranges::Ranges;
use crate::memory::{kib, used_on_disk};
use crate::procfs;
use crate::tasks::{self, Process};

/// THREAD_SIZE: the stack that the kernel keeps for every task (x86-64 and aarch64).
const KERNEL_STACK: u64 = 16 << 10;
/// A page of a page table serves so many bytes for each of its own.
pub(super) const PER_TABLE: u64 = 512;

/// Which process: its number and its start time.
pub(super) type Key = (i32, u64);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// All that may be in use without another call, in bytes.
    pub bytes: u64,
    /// The mappings of the process that was asked for.
    pub areas: Vec<Area>,
}

/// An address space that has been counted.
struct Space {
    pid: i32,
    /// VmSize: spaces that differ here are not the same.
    size: u64,
}

/// Looks at every process below the keeper. `spaces`: what each has put over its reservations; those who are gone are forgotten.
pub(super) fn look(keeper: i32, caller: i32, device: &str, spaces: &mut BTreeMap<Key, Ranges>) -> Truth {
    let mut buffer = Vec::new();
    let processes = tasks::below(keeper);
    inherit(&processes, spaces);
    let mut truth = Truth { bytes: used_on_disk(keeper), ..Truth::default() };
    let mut objects = Objects::default();
    let mut descriptors = Objects::descriptors();
    let mut seen: Vec<Space> = Vec::new();
    for process in &processes {
        truth.bytes += process.threads.max(1) * KERNEL_STACK;
        objects.open(process.pid, &mut descriptors);
        let Some((size, tables, anonymous)) = figures(process.pid, &mut buffer) else { continue };
        // vfork(2), posix_spawn(3): the child has its parent's memory.
        let same = |space: &Space| space.size == size && kcmp::same_memory(space.pid, process.pid) == Ok(true);
        if seen.iter().any(same) {
            spaces.entry((process.pid, process.started)).or_default();
            if process.pid == caller {
                truth.areas = areas::of(caller, &mut buffer).unwrap_or_default();
            }
            continue;
        }
        let Some(areas) = areas::of(process.pid, &mut buffer) else {
            // Undumpable for us: what is there counts.
            truth.bytes += anonymous + tables;
            continue;
        };
        let fixed = spaces.entry((process.pid, process.started)).or_default();
        fixed.prune(|start, end| areas.iter().any(|a| a.is_promised() && a.start < end && start < a.end));
        let charge: u64 = areas.iter().map(|area| area.charge(fixed)).sum();
        let there: u64 = areas.iter().filter(|area| area.private).map(|area| area.anonymous).sum();
        truth.bytes += charge + tables + charge.saturating_sub(there) / PER_TABLE;
        objects.map(&areas, device);
        seen.push(Space { pid: process.pid, size });
        if process.pid == caller {
            truth.areas = areas;
        }
    }
    truth.bytes += objects.bytes();
    truth
}

/// A fork copies the account with the mappings; who is gone needs none.
fn inherit(processes: &[Process], spaces: &mut BTreeMap<Key, Ranges>) {
    let before = std::mem::take(spaces);
    let parents: BTreeMap<i32, u64> = processes.iter().map(|process| (process.pid, process.started)).collect();
    for process in processes {
        let own = before.get(&(process.pid, process.started));
        let parent = || before.get(&(process.parent, *parents.get(&process.parent)?));
        if let Some(ranges) = own.or_else(parent) {
            spaces.insert((process.pid, process.started), ranges.clone());
        }
    }
}

/// VmSize, page tables and anonymous pages of a process, in bytes; None for one without memory, or gone.
fn figures(pid: i32, buffer: &mut Vec<u8>) -> Option<(u64, u64, u64)> {
    let text = procfs::read(&format!("/proc/{pid}/status"), buffer)?;
    let size = kib(&text, "VmSize:");
    (size > 0).then(|| (size, kib(&text, "VmPTE:"), kib(&text, "RssAnon:")))
}
