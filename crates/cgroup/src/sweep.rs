//! Groups that nobody removed, because the machine or every process that could was killed.

use std::path::Path;

use crate::Hierarchies;

pub(crate) const PREFIX: &str = "tipstaff-";

/// Name of the group of the `n`th box of this process.
pub(crate) fn name(n: u64) -> String {
    format!("{PREFIX}{}-{n}", std::process::id())
}

impl Hierarchies {
    /// Removes empty groups of processes that are gone. A group with tasks is left: its keeper still works on it.
    pub fn sweep(&self) {
        for place in [&self.memory, &self.pids, &self.cpu, &self.freezer].into_iter().flatten() {
            sweep_dir(&place.dir);
        }
    }
}

fn sweep_dir(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.strip_prefix(PREFIX)).and_then(|n| n.split('-').next()) else {
            continue;
        };
        let alive = pid.parse::<u32>().is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists());
        if !alive {
            // EBUSY with tasks inside, which is what keeps a live keeper's group.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}
