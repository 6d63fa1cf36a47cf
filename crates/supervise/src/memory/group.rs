//! Peaks of a memory control group.

use tipstaff_cgroup::Cgroup;

/// Peaks of a control group's samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupPeak {
    counted: u64,
    cache: u64,
}

impl GroupPeak {
    /// Takes a sample.
    pub fn look(&mut self, group: &Cgroup) {
        if let Some(now) = group.memory() {
            self.counted = self.counted.max(now.counted());
            self.cache = self.cache.max(now.cache());
        }
    }

    /// The peak without page cache. The kernel's own peak includes it; what a program has as cache at its highest
    /// bounds the difference, so where there is none the kernel's figure is exact.
    pub fn bytes(&self, group: &Cgroup, limit: u64) -> u64 {
        let total = group.memory_total_peak().unwrap_or(0);
        self.counted.max(total.saturating_sub(self.cache)).min(limit)
    }
}
