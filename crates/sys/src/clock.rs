//! clock_gettime(2): the monotonic clock, and the CPU clock of any process.

use crate::raw::{Errno, addr_mut, call, word};

fn gettime(clock: i32) -> Result<u64, Errno> {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a timespec that the kernel fills.
    unsafe { call(libc::SYS_clock_gettime, [word(clock), addr_mut(&mut ts), 0, 0, 0, 0])? };
    Ok(ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64)
}

/// CLOCK_MONOTONIC in nanoseconds. Usable in the child.
pub fn monotonic_ns() -> u64 {
    gettime(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// CPU time (user and system) of a whole thread group in nanoseconds, threads that ended included.
/// ESRCH or EINVAL when there is no such process.
///
/// The clock id is the one of clock_getcpuclockid(3): `(~pid << 3) | CPUCLOCK_SCHED`; any process may read it.
pub fn process_cpu_ns(pid: i32) -> Result<u64, Errno> {
    const CPUCLOCK_SCHED: i32 = 2;
    gettime((!pid << 3) | CPUCLOCK_SCHED)
}
