//! One process's memory, as proc_pid_status(5) and proc_pid_smaps(5) tell it.

use crate::procfs;
use crate::tasks::Process;

/// The cheap figures: counters that the kernel keeps anyway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Anonymous pages, in bytes. Pages that a fork shares are counted in every process.
    pub anonymous: u64,
    /// Pages of a pool of huge pages (hugetlb), in bytes.
    pub pool: u64,
    /// Pages of tmpfs, memfds and shared anonymous mappings that are mapped here, in bytes.
    pub shared: u64,
    /// Page tables of all levels, in bytes.
    pub tables: u64,
    /// Page faults so far. Breaking a shared page (copy on write) is one, and changes no other figure.
    pub faults: u64,
}

/// The cheap figures of a process; None when it is gone.
pub(super) fn figures(process: &Process, buffer: &mut Vec<u8>) -> Option<Figures> {
    let text = procfs::read(&format!("/proc/{}/status", process.pid), buffer)?;
    let get = |key| kib(&text, key);
    let (anonymous, shared, tables) = (get("RssAnon:"), get("RssShmem:"), get("VmPTE:"));
    Some(Figures { anonymous, pool: get("HugetlbPages:"), shared, tables, faults: process.faults })
}

/// Proportional set size of the anonymous pages: a page that n processes share counts 1/n in each. Walks the page tables.
/// None when the process is gone or may not be looked at.
pub(super) fn anonymous_share(pid: i32, buffer: &mut Vec<u8>) -> Option<u64> {
    procfs::read(&format!("/proc/{pid}/smaps_rollup"), buffer).map(|text| kib(&text, "Pss_Anon:"))
}

/// "Key:   123 kB" in bytes.
pub(crate) fn kib(text: &str, key: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value.and_then(|v| v.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
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

    #[test]
    fn our_own_figures_are_there() {
        let me = Process { pid: std::process::id().cast_signed(), ..Process::default() };
        let mut buffer = Vec::new();
        let before = figures(&me, &mut buffer).expect("we are alive");
        assert!(before.anonymous > 0 && before.tables > 0, "{before:?}");
        let held = vec![1u8; 16 << 20];
        let after = figures(&me, &mut buffer).expect("we are alive");
        assert!(after.anonymous >= before.anonymous + (15 << 20), "{before:?} {after:?}");
        drop(held);
    }

    #[test]
    fn who_is_gone_has_no_figures() {
        let nobody = Process { pid: i32::MAX, ..Process::default() };
        assert_eq!(figures(&nobody, &mut Vec::new()), None);
        assert_eq!(anonymous_share(i32::MAX, &mut Vec::new()), None);
    }
}
