//! What a task is called where somebody else stands: PID and user namespaces, from proc_pid_status(5).

use std::collections::HashMap;
use std::fs;
use std::io::Read;

/// Numbers of tasks in each PID namespace that they are in, the outermost first. They do not change while a task lives, but for an exec by
/// another thread than the leader.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<i32, Vec<i32>>);

impl Names {
    fn of(&mut self, tid: i32) -> &[i32] {
        self.0.entry(tid).or_insert_with(|| numbers(&status(tid), "NSpid:"))
    }

    pub fn forget(&mut self, tid: i32) {
        self.0.remove(&tid);
    }

    /// What `tid` is called by `viewer`; 0 where it cannot be seen, as the kernel says.
    pub fn seen(&mut self, viewer: i32, tid: i32) -> i32 {
        let depth = self.of(viewer).len();
        self.of(tid).get(depth.wrapping_sub(1)).copied().unwrap_or(0)
    }

    /// How many PID namespaces a task is in; 1: ours alone.
    pub fn depth(&mut self, tid: i32) -> usize {
        self.of(tid).len()
    }

    /// Who among `tids` is called `number` by `viewer`. Two namespaces beside each other can have the same numbers; then it is nobody.
    pub fn find(&mut self, viewer: i32, number: i32, tids: impl Iterator<Item = i32>) -> Option<i32> {
        let mut found = tids.filter(|&tid| self.seen(viewer, tid) == number);
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

/// proc_pid_status(5), in one read(2) where it is as short as it is; empty where there is no such task.
pub(crate) fn status(tid: i32) -> String {
    let mut text = Vec::with_capacity(4096);
    let read = fs::File::open(format!("/proc/{tid}/status")).and_then(|file| file.take(1 << 16).read_to_end(&mut text));
    // A task's name can be any bytes.
    read.map(|_| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// The numbers of a line.
pub(crate) fn numbers(status: &str, key: &str) -> Vec<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect()).unwrap_or_default()
}

/// A line that is one hexadecimal number.
pub(crate) fn mask(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok()).unwrap_or(0)
}

/// The real parent's process.
pub(crate) fn parent(tid: i32) -> Option<i32> {
    numbers(&status(tid), "PPid:").first().copied()
}

/// How many threads a process has.
pub(crate) fn threads(tid: i32) -> i32 {
    numbers(&status(tid), "Threads:").first().copied().unwrap_or(1)
}

/// The real user id of `tid`, as the user namespace of `viewer` has it: user_namespaces(7).
pub(crate) fn uid(viewer: i32, tid: i32) -> u32 {
    const NOBODY: u32 = 65534;
    let uid = numbers(&status(tid), "Uid:").first().copied().map_or(NOBODY, i32::cast_unsigned);
    let Ok(map) = fs::read_to_string(format!("/proc/{viewer}/uid_map")) else { return NOBODY };
    let mapped = map.lines().find_map(|line| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        let (inside, outside, count) = (words.next()?.ok()?, words.next()?.ok()?, words.next()?.ok()?);
        let at = uid.checked_sub(outside)?;
        (at < count).then(|| inside + at)
    });
    mapped.unwrap_or(NOBODY)
}

/// Whether a task is in a process group, which `viewer` calls by this number; 0: its own.
pub(crate) fn in_group(viewer: i32, tid: i32, group: i32) -> bool {
    let of = |tid| numbers(&status(tid), "NSpgid:");
    let (mine, its) = (of(viewer), of(tid));
    if group == 0 {
        return !mine.is_empty() && mine.first() == its.first();
    }
    its.get(mine.len().wrapping_sub(1)) == Some(&group)
}
