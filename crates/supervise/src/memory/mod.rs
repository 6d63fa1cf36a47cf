//! Memory of the box: from its control group, else from samples.
//!
//! A [`Sampler`] asks the cheap figures of every process first: anonymous and shared resident pages, page tables, and a stack in the kernel for
//! each thread. They bound the truth from above: pages that a fork shares are in every process's figure. Only when this bound passes the limit, or
//! would raise the peak, the dear figures are asked: proportional set sizes for anonymous pages, and a look through all descriptors and
//! mappings for shared memory ([`shared`]). From then on the bound starts from what was found, and grows with the processes' figures
//! and faults, so that a box of many copies is not looked at dearly for ever.

pub(crate) mod flight;
mod group;
mod mapped;
mod pace;
mod process;
mod shared;

use std::collections::{BTreeMap, BTreeSet};

use rustix::time::{ClockId, clock_gettime};
use tipstaff_sys::kcmp::same_memory;

use crate::tasks::{self, Process};
pub(crate) use group::GroupPeak;
pub(crate) use mapped::kernel_tmpfs;
use pace::Pace;
pub(crate) use process::kib;
use process::{Figures, anonymous_share, figures};
use shared::Shared;
pub(crate) use shared::{disk_left, used_on_disk};

/// THREAD_SIZE: the stack that the kernel keeps for every task (x86-64 and aarch64).
const KERNEL_STACK: u64 = 16 << 10;
/// What a fault can add that no other figure shows: the copy of one page.
const PAGE: u64 = 4096;
/// A look that finds its processes changed meanwhile is made again this often.
const ROUNDS: usize = 3;

/// Bytes of one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Anonymous, shared and kernel memory of the box.
    pub bytes: u64,
    /// Processes and threads.
    pub tasks: u64,
    /// When to look again, in nanoseconds from now.
    pub pause: u64,
}

/// Which process: its number and its start time.
type Key = (i32, u64);

/// Looks at the memory of one box without a control group.
#[derive(Debug)]
pub(crate) struct Sampler {
    limit: Option<u64>,
    cpus: u64,
    pace: Pace,
    shared: Shared,
    /// Anonymous memory at the last dear look, and what each process had then.
    share: Option<(u64, BTreeMap<Key, Figures>)>,
    peak: u64,
    buffer: Vec<u8>,
}

impl Sampler {
    /// For a box that starts now (CLOCK_MONOTONIC, nanoseconds) and may use so many CPUs.
    pub fn new(limit: Option<u64>, cpus: u64, now: u64) -> Self {
        let (pace, shared) = (Pace::new(now), Shared::new());
        Self { limit, cpus: cpus.max(1), pace, shared, share: None, peak: 0, buffer: Vec::new() }
    }

    /// Looks, as deeply as it takes.
    pub fn look(&mut self, keeper: i32, now: u64) -> Sample {
        let begun = thread_cpu_ns();
        let processes = tasks::below(keeper);
        let tasks = processes.iter().map(|process| process.threads).sum();
        let bytes = self.bytes(keeper, &processes, tasks, now);
        let cost = thread_cpu_ns().saturating_sub(begun);
        let pause = self.pace.next(now, cost, bytes, self.limit, self.cpus);
        Sample { bytes, tasks, pause }
    }

    fn bytes(&mut self, keeper: i32, processes: &[Process], tasks: u64, now: u64) -> u64 {
        let alone = processes.len() < 2;
        let cheap = self.cheap(processes);
        let sum = |of: fn(&Figures) -> u64| cheap.iter().map(|(_, figures)| of(figures)).sum::<u64>();
        let kernel = sum(|f| f.tables + f.pool) + tasks * KERNEL_STACK;
        let mapped = sum(|f| f.shared);
        let bound = self.shared.bound(keeper, mapped);
        let (mut private, mut shared) = (self.private_bound(&cheap), bound.certain + bound.doubtful);
        let limit = self.limit.unwrap_or(u64::MAX);
        let over = |private: u64, shared: u64| private + shared + kernel > limit;
        // What only raises the peak is worth a dear look as long as looks are cheap.
        let higher = private + shared + kernel > self.peak + self.peak / 64;
        let worth = over(private, shared) || higher && self.pace.is_rich();
        if worth && bound.doubtful > 0 || self.shared.is_old(now) && self.limit.is_some() {
            let pids: Vec<i32> = processes.iter().map(|process| process.pid).collect();
            let room = if self.pace.is_rich() { 0 } else { limit.saturating_sub(private + kernel) };
            shared = self.shared.look(keeper, &pids, mapped, room, now, &mut self.buffer);
        }
        if !alone && worth && (over(private, shared) || self.pace.is_rich()) {
            private = self.private(&cheap, limit.saturating_sub(shared + kernel));
        }
        let bytes = private + shared + kernel;
        self.peak = self.peak.max(bytes);
        bytes
    }

    fn cheap(&mut self, processes: &[Process]) -> Vec<(Process, Figures)> {
        let mut found = Vec::with_capacity(processes.len());
        found.extend(processes.iter().filter_map(|one| Some((*one, figures(one, &mut self.buffer)?))));
        found
    }

    /// At most this much anonymous memory is there. Since the last dear look a process can have taken what its own figure grew by, and a
    /// page for every fault, which is how a page that a fork shares becomes one's own.
    fn private_bound(&self, cheap: &[(Process, Figures)]) -> u64 {
        let all = cheap.iter().map(|(_, figures)| figures.anonymous).sum();
        let Some((share, then)) = &self.share else { return all };
        let grown = |(process, now): &(Process, Figures)| match then.get(&key(process)) {
            Some(then) => {
                let faults = now.faults.saturating_sub(then.faults);
                now.anonymous.saturating_sub(then.anonymous) + faults * PAGE
            }
            None => now.anonymous,
        };
        all.min(share + cheap.iter().map(grown).sum::<u64>())
    }

    /// The dear look. A page counts 1/n in each of the n processes that share it when it is read; a process that ends between two reads
    /// makes the sum too large. So if one did, all is read again, and of some such rounds the lowest counts. Nothing is read once there
    /// is no `room` for what was.
    fn private(&mut self, cheap: &[(Process, Figures)], room: u64) -> u64 {
        let mut lowest = u64::MAX;
        // The largest first. A zombie has no memory, and no file that says so.
        let mut order: Vec<_> = cheap.iter().filter(|(_, figures)| figures.anonymous > 0).collect();
        order.sort_unstable_by_key(|(_, figures)| std::cmp::Reverse(figures.anonymous));
        // A child of vfork(2) runs in its parent's memory until it executes: that is there once.
        let pids: BTreeSet<i32> = order.iter().map(|(process, _)| process.pid).collect();
        order.retain(|(process, _)| {
            !pids.contains(&process.parent) || same_memory(process.pid, process.parent) != Ok(true)
        });
        for _ in 0..ROUNDS {
            let mut sum = 0;
            let mut all_there = true;
            for (process, cheap) in &order {
                if sum > room {
                    break;
                }
                match anonymous_share(process.pid, &mut self.buffer) {
                    Some(bytes) => sum += bytes,
                    // Gone; or undumpable, and the cheap figure stands for it.
                    None => match figures(process, &mut self.buffer) {
                        Some(now) if now.anonymous > 0 => sum += cheap.anonymous,
                        _ => all_there = false,
                    },
                }
            }
            lowest = lowest.min(sum);
            if all_there {
                break;
            }
        }
        self.share = Some((lowest, cheap.iter().map(|(process, figures)| (key(process), *figures)).collect()));
        lowest
    }
}

fn key(process: &Process) -> Key {
    (process.pid, process.started)
}

/// CPU time of this thread: what a look costs, however long others kept it waiting.
fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
