//! Memory of the box: from its control group, else from samples.
//!
//! A sample asks the cheap figure first (anonymous and shared resident pages and page tables of every process, which
//! counts a page shared after fork once per process) and only when that is over the limit the dear one (proportional
//! set sizes from smaps_rollup). Shared memory that nobody has mapped is found where it must be: on the private tmpfs
//! and in open memfds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use tipstaff_cgroup::Cgroup;

use crate::tasks;

/// Bytes of one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub bytes: u64,
    pub tasks: u64,
}

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

/// The cheap figures of one process, from proc_pid_status(5).
struct Resident {
    anonymous: u64,
    shared: u64,
    page_tables: u64,
}

fn resident(pid: i32) -> Resident {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let get = |key| kib(&status, key);
    Resident { anonymous: get("RssAnon:"), shared: get("RssShmem:"), page_tables: get("VmPTE:") }
}

/// Without a control group: looks at every process. `limit` decides whether the dear figure is needed.
pub(crate) fn sample(keeper: i32, limit: Option<u64>) -> Sample {
    let processes = tasks::below(keeper);
    let tasks = processes.iter().map(|process| process.threads).sum();
    let cheap: Vec<Resident> = processes.iter().map(|process| resident(process.pid)).collect();
    let mut unmapped = tmpfs_used(keeper);
    if limit.is_some() {
        // memfds cost a look at every descriptor, which only a limit is worth.
        let mut memfds = BTreeMap::new();
        processes.iter().for_each(|process| memfds_of(process.pid, &mut memfds));
        unmapped += memfds.values().sum::<u64>();
    }
    let private: u64 = cheap.iter().map(|r| r.anonymous + r.page_tables).sum();
    let shared: u64 = cheap.iter().map(|r| r.shared).sum();
    let upper = private + shared.max(unmapped);
    if limit.is_none_or(|limit| upper <= limit) {
        return Sample { bytes: upper, tasks };
    }
    let (mut private, mut shared) = (0, 0);
    for (process, cheap) in processes.iter().zip(cheap) {
        private += cheap.page_tables;
        match fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)) {
            Ok(text) if !text.is_empty() => {
                private += kib(&text, "Pss_Anon:");
                shared += kib(&text, "Pss_Shmem:");
            }
            // Undumpable, or gone: the cheap figures stand for it.
            _ => {
                private += cheap.anonymous;
                shared += cheap.shared;
            }
        }
    }
    Sample { bytes: private + shared.max(unmapped), tasks }
}

/// "Key:   123 kB" in bytes.
fn kib(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.and_then(|v| v.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What lies on the box's private tmpfs. Its own /tmp is seen through the keeper's root.
fn tmpfs_used(keeper: i32) -> u64 {
    private_disk(keeper).map_or(0, |fs| (fs.f_blocks - fs.f_bfree) * fs.f_bsize.unsigned_abs())
}

/// What is left of the private disk.
pub(crate) fn disk_left(keeper: i32) -> Option<u64> {
    private_disk(keeper).map(|fs| fs.f_bavail * fs.f_bsize.unsigned_abs())
}

fn private_disk(keeper: i32) -> Option<rustix::fs::StatFs> {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    rustix::fs::statfs(format!("/proc/{keeper}/root/run")).ok().filter(|fs| fs.f_type == TMPFS_MAGIC)
}

/// Blocks of the memfds that a process has open, by inode, so that each is counted once.
fn memfds_of(pid: i32, found: &mut BTreeMap<u64, u64>) {
    let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
    for fd in fds.flatten().take(4096) {
        let memfd = fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str().as_encoded_bytes().starts_with(b"/memfd:"));
        if memfd && let Ok(meta) = fs::metadata(fd.path()) {
            found.insert(meta.ino(), meta.blocks() * 512);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_whole_key() {
        let text = "Rss:  12 kB\nPss_Anon:          8 kB\nPss:   3 kB\n";
        assert_eq!(kib(text, "Pss_Anon:"), 8192);
        assert_eq!(kib(text, "Pss:"), 3072);
        assert_eq!(kib(text, "None:"), 0);
    }
}
