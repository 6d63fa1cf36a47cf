//! The final figures.

use tipstaff_cgroup::Version;
use tipstaff_report::{CpuNs, CpuSource, MemorySource, Usage};
use tipstaff_sys::keeper::Keeper;

use crate::cpu::CpuAccount;
use crate::memory::GroupPeak;
use tipstaff_cgroup::Cgroup;

/// What the loop collected by itself.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub cpu: CpuAccount,
    pub group_peak: GroupPeak,
    pub sampled_peak: Option<u64>,
    pub tasks_peak: u64,
    pub output: Option<u64>,
}

pub(crate) fn finish(keeper: &Keeper, cgroup: Option<&Cgroup>, memory_limit: Option<u64>, mut c: Collected) -> Usage {
    let counted = keeper.counted();
    let (user, system) = (counted.user_us * 1000, counted.system_us * 1000);
    let settled = c.cpu.settle(keeper);
    let (cpu, cpu_source) = match cgroup.and_then(|g| Some((g.cpu()?, g.cpu_version()?))) {
        Some((r, Version::V1)) => (CpuNs { user: r.user, system: r.system, total: r.total }, CpuSource::CgroupV1),
        Some((r, Version::V2)) => (CpuNs { user: r.user, system: r.system, total: r.total }, CpuSource::CgroupV2),
        None => {
            // A task whose parent ignores SIGCHLD is in nobody's account. Nothing tells us whether there was one, so
            // wherever the program was not alone the figure is a bound.
            let alone = counted.reaped <= 1 && (c.tasks_peak <= 1 && keeper.tasks_ever().is_none_or(|n| n <= 1));
            let source = if alone { CpuSource::Rusage } else { CpuSource::RusageLowerBound };
            (CpuNs { user, system, total: settled.max(user + system) }, source)
        }
    };
    let (memory_peak_bytes, memory_source) = match cgroup.and_then(|g| Some((g, g.memory_version()?))) {
        Some((group, version)) => {
            c.group_peak.look(group);
            let source = if version == Version::V1 { MemorySource::CgroupV1 } else { MemorySource::CgroupV2 };
            (Some(c.group_peak.bytes(group, memory_limit.unwrap_or(u64::MAX))), source)
        }
        None => match c.sampled_peak {
            Some(bytes) => (Some(bytes), MemorySource::PssSampling),
            // No sample fell into so short a life. The high-water mark of wait4(2) is no stand-in: it still knows the
            // memory that the guest's first process shared with us before its exec.
            None => (None, MemorySource::None),
        },
    };
    let pids = cgroup.and_then(|g| g.pids().0);
    let wall_ns =
        keeper.ended_ns().unwrap_or_else(tipstaff_sys::clock::monotonic_ns).saturating_sub(keeper.started_ns());
    Usage {
        cpu,
        cpu_source,
        wall_ns,
        memory_peak_bytes,
        memory_source,
        processes_peak: Some(pids.unwrap_or(0).max(c.tasks_peak).max(1)),
        output_bytes: c.output,
    }
}
