//! The box's tasks, where no control group keeps them: the tree below the keeper, from proc_pid_task(5)'s `children`
//! files. A task that is born or dies while we look is ordinary.

use std::fs;

/// A process of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Number in our PID namespace.
    pub pid: i32,
    /// Its threads.
    pub threads: u64,
}

/// Every process below `keeper`, itself left out.
pub(crate) fn below(keeper: i32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut queue = children(keeper, keeper);
    // Bounded: a fork bomb must not hold the supervisor up for longer than one look.
    while let Some(pid) = queue.pop() {
        if found.len() >= 16_384 {
            break;
        }
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        let mut threads = 0;
        for task in tasks.flatten() {
            threads += 1;
            if let Some(tid) = task.file_name().to_str().and_then(|t| t.parse().ok()) {
                queue.extend(children(pid, tid));
            }
        }
        found.push(Process { pid, threads });
    }
    found
}

/// Children that a thread has made, or taken over from threads that ended.
pub(crate) fn children(pid: i32, tid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// The process of a thread; None when it is gone.
pub(crate) fn process_of(tid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Whether a thread has a signal to take: pending for it or its process, and not blocked.
pub(crate) fn has_signal(tid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let set = |key| {
        let value = status.lines().find_map(|line| line.strip_prefix(key));
        value.and_then(|v| u64::from_str_radix(v.trim(), 16).ok()).unwrap_or(0)
    };
    (set("SigPnd:") | set("ShdPnd:")) & !set("SigBlk:") != 0
}

/// Open descriptors of a process: the size of its `fd` directory (Linux 6.2), or its entries. 0 when it is gone.
pub(crate) fn descriptors(pid: i32) -> u64 {
    let path = format!("/proc/{pid}/fd");
    match fs::metadata(&path) {
        Ok(fd) if fd.len() > 0 => fd.len(),
        _ => fs::read_dir(path).map_or(0, |entries| entries.count() as u64),
    }
}

/// utime and stime of children that a process has waited for, in nanoseconds, as proc_pid_stat(5) gives them: in
/// clock ticks (1/100 s), cut off.
pub(crate) fn waited_for_ns(pid: i32) -> u64 {
    const TICK_NS: u64 = 10_000_000;
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { return 0 };
    // The name in parentheses may hold anything, a parenthesis too: what follows the last one is regular.
    let Some(end) = stat.iter().rposition(|b| *b == b')') else { return 0 };
    let rest = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
    // Field 3 (state) is the first here; cutime and cstime are 16 and 17.
    rest.split_ascii_whitespace().skip(13).take(2).filter_map(|t| t.parse::<u64>().ok()).sum::<u64>() * TICK_NS
}
