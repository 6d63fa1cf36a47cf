//! What can be done to a group while it runs: no more tasks, no more running, less of a CPU.

use std::io;
use std::path::Path;

use crate::Version;
use crate::files::{Gauge, field, tasks, write};
use crate::group::{Cgroup, Error, step};

/// The period of the bandwidth controller in microseconds, the kernel's default.
const PERIOD_US: u64 = 100_000;

/// CPU bandwidth: `cpu.cfs_quota_us` (v1), `cpu.max` (v2). The kernel takes no quota below 1 ms, which is one percent.
pub(crate) fn bound_cpu(version: Version, dir: &Path, percent: u64) -> Result<(), Error> {
    let quota = percent.saturating_mul(PERIOD_US / 100);
    match version {
        Version::V1 => {
            let period = write(dir, "cpu.cfs_period_us", &PERIOD_US.to_string());
            step("write cpu.cfs_period_us", dir, period)?;
            step("write cpu.cfs_quota_us", dir, write(dir, "cpu.cfs_quota_us", &quota.to_string()))
        }
        Version::V2 => step("write cpu.max", dir, write(dir, "cpu.max", &format!("{quota} {PERIOD_US}"))),
    }
}

impl Cgroup {
    /// Whether the whole box lies in a group that can be frozen and whose tasks can be killed all the same: a v2 group (Linux 5.2).
    ///
    /// The v1 freezer is not used: its tasks do not die of SIGKILL before they are thawed, so a supervisor that is killed
    /// while they are frozen would leave them for ever.
    pub fn can_freeze(&self) -> bool {
        self.v2().is_some_and(|dir| dir.join("cgroup.freeze").exists())
    }

    fn v2(&self) -> Option<&Path> {
        self.dirs.iter().find(|dir| dir.version == Version::V2).map(|dir| dir.path.as_path())
    }

    /// Begins to freeze, or thaws: cgroup.freeze. [`Cgroup::is_frozen`] says when all have stopped.
    pub fn freeze(&self, on: bool) -> io::Result<()> {
        let dir = self.v2().ok_or(io::ErrorKind::Unsupported)?;
        write(dir, "cgroup.freeze", if on { "1" } else { "0" })
    }

    /// Every task of the group is frozen: cgroup.events.
    pub fn is_frozen(&self) -> bool {
        let text = self.v2().and_then(|dir| Gauge::open(dir, "cgroup.events").ok()?.text().ok());
        text.and_then(|text| field(&text, "frozen")) == Some(1)
    }

    /// Whether a pids controller counts the box.
    pub fn has_pids(&self) -> bool {
        self.pids.is_some()
    }

    /// Sets pids.max. Below what there is, it refuses every fork and ends nobody.
    pub fn set_pids_max(&self, limit: u64) -> io::Result<()> {
        let dir = self.pids.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        write(dir, "pids.max", &tasks(limit))
    }
}
