//! Who is still alive: found by a mark in the arguments, which a fork keeps and no guest removes.
use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that was found in /proc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// When it started, in ticks since boot: with the id it names one process for ever.
    pub started: u64,
    /// The state letter of /proc/PID/stat.
    pub state: char,
    /// Its arguments, separated by spaces.
    pub command: String,
}

/// A word that stands in no other process's arguments.
pub fn marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos();
    format!("testkit-mark-{}-{}-{since}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Processes that carry `mark` and are alive. A zombie has no arguments any more and is none.
pub fn survivors(mark: &str) -> Vec<Process> {
    all().into_iter().map(|(_, process)| process).filter(|process| process.command.contains(mark)).collect()
}

/// Everything below `pid`, alive or zombie, the root not included.
pub fn descendants(pid: i32) -> Vec<Process> {
    let all = all();
    let mut below: HashMap<i32, Vec<&Process>> = HashMap::new();
    for (parent, process) in &all {
        below.entry(*parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        for process in below.get(&pid).into_iter().flatten() {
            next.push(process.pid);
            found.push((*process).clone());
        }
    }
    found
}

impl Process {
    /// Is this very process still alive?
    pub fn lives(&self) -> bool {
        read(self.pid).is_some_and(|(_, now)| now.started == self.started && !matches!(now.state, 'Z' | 'X'))
    }

    /// Kills this very process: a test that found a survivor does not leave it behind. Whether it
    /// still lives is looked up while a pidfd holds its number.
    pub fn end(&self) {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return;
        };
        let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if self.lives() {
            // It may have ended in the meantime, which is as good.
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
        }
    }
}

/// How long a test waits for what must go. A busy machine takes its time, and whoever survives does so for longer: how fast an end is, drills say. Guests that are to be
/// ended live twice as long at least.
pub const GONE: Duration = Duration::from_secs(10);

/// Waits until nobody carries `mark` and none of `known` lives. Those who still do after `within`
/// are the answer, and are killed: a test that fails leaves nothing behind either.
pub fn await_no_survivor(mark: &str, known: &[Process], within: Duration) -> Vec<Process> {
    let start = Instant::now();
    loop {
        let mut left = survivors(mark);
        left.extend(known.iter().filter(|process| process.lives()).cloned());
        if left.is_empty() || start.elapsed() > within {
            left.iter().for_each(Process::end);
            return left;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every process with its parent.
fn all() -> Vec<(i32, Process)> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.flatten().filter_map(|entry| read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// The bit of a task's flags that says: a thread of the kernel, which has no arguments.
const PF_KTHREAD: u64 = 0x20_0000;

fn read(pid: i32) -> Option<(i32, Process)> {
    // In the middle of an exec a process has no arguments for a moment: it is looked at again.
    for attempt in 0..100 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything: fields count from the last one.
        let fields: Vec<_> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
        let state = fields.first()?.chars().next()?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let has_none = matches!(state, 'Z' | 'X') || number(6)? & PF_KTHREAD != 0;
        if arguments.is_empty() && !has_none && attempt < 99 {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let command = String::from_utf8_lossy(&arguments).replace('\0', " ");
        return Some((fields.get(1)?.parse().ok()?, Process { pid, started: number(19)?, state, command }));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_marked_process_is_found_until_it_is_dead() {
        let mark = marker();
        let mut child = Command::new(crate::guest("sleeper")).args(["0", &mark]).spawn().expect("guest");
        // The mark is there from the exec on, and spawn returns when the exec cannot fail any more.
        let found = survivors(&mark);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].lives());
        assert!(descendants(std::process::id() as i32).iter().any(|process| process.pid == child.id() as i32));
        // Nobody ends it: it is the answer, and is dead after that.
        assert_eq!(await_no_survivor(&mark, &[], Duration::ZERO).len(), 1);
        assert_eq!(await_no_survivor(&mark, &found, Duration::from_secs(10)), []);
        child.wait().expect("wait");
    }
}
