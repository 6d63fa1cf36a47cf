//! getrlimit(2), prlimit(2).

use crate::raw::{Errno, addr, addr_mut, call};

pub use libc::{
    RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NICE,
    RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_RTPRIO, RLIMIT_SIGPENDING, RLIMIT_STACK,
};

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// A resource number as the kernel counts them (`RLIMIT_*`).
pub type Resource = u32;

/// One resource limit to be set in the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*`.
    pub resource: Resource,
    /// Soft limit; the unit depends on the resource.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

/// Soft and hard limit of this process.
pub fn get(resource: Resource) -> Result<(u64, u64), Errno> {
    get_of(0, resource)
}

/// Soft and hard limit of another process (same user ids, or CAP_SYS_RESOURCE).
pub fn get_of(pid: i32, resource: Resource) -> Result<(u64, u64), Errno> {
    let mut old = [0u64; 2];
    // SAFETY: prlimit64 writes one struct rlimit64 (two words).
    unsafe { call(libc::SYS_prlimit64, [pid as usize, resource as usize, 0, addr_mut(&mut old), 0, 0])? };
    Ok((old[0], old[1]))
}

/// Sets a limit of this process, or of the child that calls it.
pub fn set(limit: &Rlimit) -> Result<(), Errno> {
    set_of(0, limit)
}

/// Sets a limit of another process (same user ids, or CAP_SYS_RESOURCE).
pub fn set_of(pid: i32, limit: &Rlimit) -> Result<(), Errno> {
    let new = [limit.soft, limit.hard];
    // SAFETY: prlimit64 reads one struct rlimit64 (two words).
    unsafe { call(libc::SYS_prlimit64, [pid as usize, limit.resource as usize, addr(&new), 0, 0, 0])? };
    Ok(())
}
