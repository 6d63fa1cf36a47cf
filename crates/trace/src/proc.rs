//! /proc/TID/status, where no system call tells: proc_pid_status(5).

use std::fs;

/// A field's first number.
pub(crate) fn field(tid: i32, name: &str) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The state's letter.
pub(crate) fn state(tid: i32) -> Option<char> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("State:"))?.trim_start().chars().next()
}

/// proc_pid_stat(5) from the third field on: the name, the second, can have anything in it.
fn stat(tid: i32) -> Option<String> {
    let mut stat = fs::read_to_string(format!("/proc/{tid}/stat")).ok()?;
    Some(stat.split_off(stat.rfind(')')? + 1))
}

/// Its state's letter, and its time in user mode in clock ticks.
pub(crate) fn doing(tid: i32) -> Option<(char, u64)> {
    let stat = stat(tid)?;
    let mut fields = stat.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(10)?.parse().ok()?))
}

/// The signal that tells its parent of its end; -1 for a thread.
pub(crate) fn exit_signal(tid: i32) -> Option<i32> {
    stat(tid)?.split_whitespace().nth(35)?.parse().ok()
}

/// The process whose thread made this task: its own for a thread, else its parent.
pub(crate) fn maker(tid: i32) -> Option<i32> {
    let process = field(tid, "Tgid")? as i32;
    if process != tid { Some(process) } else { field(tid, "PPid").map(|parent| parent as i32) }
}
