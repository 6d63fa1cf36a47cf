//! sched_getaffinity(2): how many CPUs a task may run on.

use crate::raw::{addr_mut, call};

/// Number of CPUs that this thread may run on, at least 1.
pub fn cpus() -> u32 {
    let mut mask = [0u64; 128];
    // SAFETY: the kernel writes at most the given number of bytes into `mask`.
    let n = unsafe { call(libc::SYS_sched_getaffinity, [0, size_of_val(&mask), addr_mut(&mut mask), 0, 0, 0]) };
    let words = n.unwrap_or(0) / 8;
    mask.iter().take(words).map(|w| w.count_ones()).sum::<u32>().max(1)
}
