//! proc_pid_stat(5), as far as it is needed.

use crate::procfs;

/// A process or thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub pid: i32,
    pub state: u8,
    pub ppid: i32,
    pub pgrp: i32,
    pub session: i32,
    pub threads: u64,
    /// Page faults so far, of all its threads.
    pub faults: u64,
    /// utime and stime of children that it has waited for, in clock ticks (1/100 s), cut off.
    pub waited_for: u64,
    /// Start, in ticks since the machine's: with the number it names one process.
    pub start: u64,
}

/// A process; None when it is gone.
pub(crate) fn of(pid: i32) -> Option<Stat> {
    of_in(pid, &mut Vec::new())
}

/// A process, read into this buffer.
pub(crate) fn of_in(pid: i32, buffer: &mut Vec<u8>) -> Option<Stat> {
    read(&format!("/proc/{pid}/stat"), buffer)
}

/// A thread.
pub(crate) fn of_thread(pid: i32, tid: i32) -> Option<Stat> {
    read(&format!("/proc/{pid}/task/{tid}/stat"), &mut Vec::new())
}

/// The threads of a process, itself among them.
pub(crate) fn threads(pid: i32) -> Vec<i32> {
    let entries = procfs::list(&format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn read(path: &str, buffer: &mut Vec<u8>) -> Option<Stat> {
    parse(procfs::read(path, buffer)?.as_bytes())
}

fn parse(text: &[u8]) -> Option<Stat> {
    // The name in parentheses may hold anything, a parenthesis too: what follows the last one is regular.
    let end = text.iter().rposition(|b| *b == b')')?;
    let pid = str::from_utf8(text.split(|b| *b == b' ').next()?).ok()?.parse().ok()?;
    let rest = str::from_utf8(&text[end + 1..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Field 3 (state) is the first here.
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    Some(Stat {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        ppid: number(4)? as i32,
        pgrp: number(5)? as i32,
        session: number(6)? as i32,
        faults: (number(10)? + number(12)?).cast_unsigned(),
        waited_for: (number(16)? + number(17)?).cast_unsigned(),
        threads: number(20)?.cast_unsigned(),
        start: number(22)?.cast_unsigned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"42 (a) R 1 (b) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 12345 1 2 3\n";
        let stat = parse(line).expect("a line of proc_pid_stat(5)");
        assert_eq!((stat.pid, stat.state, stat.ppid, stat.pgrp, stat.session), (42, b'S', 7, 8, 9));
        assert_eq!((stat.threads, stat.start), (3, 12345));
        assert_eq!((stat.faults, stat.waited_for), (4, 15));
        assert_eq!(parse(b"42 (cut"), None);
        assert_eq!(of(std::process::id().cast_signed()).map(|s| s.pid), Some(std::process::id().cast_signed()));
    }
}
