//! The machine: its line in the table, and what is found on it.

use std::fs;
use std::path::{Path, PathBuf};

/// Kernel, CPUs, and what else decides the figures.
pub fn line() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("CPU", |(_, name)| name);
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let caps = &tipstaff::Machine::full().caps;
    let groups = match (Path::new("/sys/fs/cgroup/cgroup.controllers").exists(), Path::new("/sys/fs/cgroup").exists()) {
        (true, _) => "cgroup v2",
        (false, true) => "cgroup v1",
        (false, false) => "no cgroup",
    };
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?");
    let debug = if cfg!(debug_assertions) { ", NOT A RELEASE BUILD" } else { "" };
    format!(
        "Linux {} {}, {cpus} CPUs ({model}), {groups}, Landlock ABI {}, load {load}{debug}",
        read("/proc/sys/kernel/osrelease").trim(),
        std::env::consts::ARCH,
        caps.landlock_abi,
    )
}

/// The command under measurement.
pub fn tipstaff() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("TIPSTAFF_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("tipstaff"),
    };
    anyhow::ensure!(
        path.is_file(),
        "{} is not there: cargo build --release -p tipstaff-cli, or set TIPSTAFF_BIN",
        path.display()
    );
    Ok(path)
}

/// A program in the usual places.
pub fn find(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/local/bin", "/usr/bin", "/bin"];
    dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// A number of /proc/PID/status (KiB for sizes).
pub fn status(pid: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Control groups that process `pid` made, on every hierarchy.
pub fn cgroups_of(pid: u32) -> Vec<String> {
    fn walk(dir: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    found.push(entry.path().display().to_string());
                } else if depth > 0 {
                    walk(&entry.path(), prefix, depth - 1, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &format!("tipstaff-{pid}-"), 8, &mut found);
    found
}
