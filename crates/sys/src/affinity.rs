//! sched_getaffinity(2), sched_setaffinity(2), sched_setattr(2): on which CPUs a thread may run, and how it competes there.

use crate::raw::{Errno, addr, addr_mut, call};

/// A set of CPUs, bit N of the whole for CPU N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSet([u64; 128]);

impl CpuSet {
    /// One CPU.
    pub fn one(cpu: usize) -> Self {
        let mut set = [0; 128];
        if let Some(word) = set.get_mut(cpu / 64) {
            *word |= 1 << (cpu % 64);
        }
        Self(set)
    }

    /// Whether a CPU is in it.
    pub fn has(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1)
    }

    /// How many.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The CPUs that the calling thread may run on.
pub fn mine() -> Result<CpuSet, Errno> {
    let mut set = CpuSet([0; 128]);
    // SAFETY: the kernel writes at most the given number of bytes.
    unsafe { call(libc::SYS_sched_getaffinity, [0, size_of::<CpuSet>(), addr_mut(&mut set), 0, 0, 0])? };
    Ok(set)
}

/// Sets the CPUs that the calling thread may run on. New threads and children inherit them.
pub fn set_mine(set: &CpuSet) -> Result<(), Errno> {
    // SAFETY: the kernel reads the given number of bytes.
    unsafe { call(libc::SYS_sched_setaffinity, [0, size_of::<CpuSet>(), addr(set), 0, 0, 0]) }.map(drop)
}

/// Number of CPUs that this thread may run on, at least 1.
pub fn cpus() -> u32 {
    mine().map_or(1, |set| set.len()).max(1)
}

/// struct sched_attr, first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl SchedAttr {
    /// SCHED_OTHER.
    pub fn is_other(&self) -> bool {
        self.policy == libc::SCHED_OTHER as u32
    }

    /// The nice value.
    pub fn nice(&self) -> i32 {
        self.nice
    }

    /// The same with another nice value (-20 to 19; EINVAL beyond).
    pub fn with_nice(self, nice: i32) -> Self {
        Self { nice, ..self }
    }

    /// The same as SCHED_IDLE.
    pub fn idle(self) -> Self {
        Self { policy: libc::SCHED_IDLE as u32, ..self }
    }

    /// The same with another slice, nanoseconds (Linux 6.12; before, nothing changes): how long it runs at a stretch, and, the
    /// shorter, how soon it gets its turn.
    pub fn slice(self, ns: u64) -> Self {
        Self { runtime: ns, ..self }
    }
}

/// How the calling thread is scheduled: sched_getattr(2).
pub fn attr() -> Result<SchedAttr, Errno> {
    let mut attr = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    // SAFETY: the kernel writes at most `size` bytes.
    unsafe { call(libc::SYS_sched_getattr, [0, addr_mut(&mut attr), size, 0, 0, 0])? };
    Ok(attr)
}

/// Changes how the calling thread is scheduled. New threads and children inherit it. EPERM: from SCHED_IDLE back to SCHED_OTHER only
/// with CAP_SYS_NICE or a high enough RLIMIT_NICE.
pub fn set_attr(attr: &SchedAttr) -> Result<(), Errno> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: the kernel reads `size` bytes.
    unsafe { call(libc::SYS_sched_setattr, [0, addr(&attr), 0, 0, 0, 0]) }.map(drop)
}
