//! The box's tasks, where no control group keeps them: the tree below the keeper, from proc_pid_task(5)'s `children`
//! files. A task that is born or dies while we look is ordinary.

use std::fs;

use crate::{procfs, stat};

/// A process of the box, as proc_pid_stat(5) tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Process {
    /// Number in our PID namespace.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Start time, in clock ticks since boot: a number that is used again is another process.
    pub started: u64,
    /// Its threads.
    pub threads: u64,
    /// Page faults so far, of all its threads.
    pub faults: u64,
    /// utime and stime of children that it has waited for, in nanoseconds; kept in clock ticks (1/100 s), cut off.
    pub waited_for_ns: u64,
}

/// Every process below `keeper`, itself left out.
pub(crate) fn below(keeper: i32) -> Vec<Process> {
    let mut found = Vec::new();
    let mut buffer = Vec::new();
    let mut queue = Vec::new();
    add_children(keeper, keeper, &mut buffer, &mut queue);
    // Bounded: a fork bomb must not hold the supervisor up for longer than one look.
    while let Some(pid) = queue.pop() {
        if found.len() >= 16_384 {
            break;
        }
        let Some(mut process) = process(pid, &mut buffer) else { continue };
        if process.threads <= 1 {
            add_children(pid, pid, &mut buffer, &mut queue);
        } else {
            // A child belongs to the thread that forked it.
            let threads = stat::threads(pid);
            threads.iter().for_each(|tid| add_children(pid, *tid, &mut buffer, &mut queue));
            if !threads.is_empty() {
                process.threads = threads.len() as u64;
            }
        }
        found.push(process);
    }
    found
}

/// Whether all that is left below `keeper` are tasks in a sleep that no signal ends (`D`), and such as have ended.
pub(crate) fn none_wakes(keeper: i32) -> bool {
    let mut sleep = false;
    for process in below(keeper) {
        for tid in stat::threads(process.pid) {
            match stat::of_thread(process.pid, tid).map(|stat| stat.state) {
                Some(b'D') => sleep = true,
                Some(b'Z' | b'X') | None => {}
                Some(_) => return false,
            }
        }
    }
    sleep
}

/// Children that a thread has made, or taken over from threads that ended.
pub(crate) fn children(pid: i32, tid: i32) -> Vec<i32> {
    let mut found = Vec::new();
    add_children(pid, tid, &mut Vec::new(), &mut found);
    found
}

fn add_children(pid: i32, tid: i32, buffer: &mut Vec<u8>, into: &mut Vec<i32>) {
    if let Some(text) = procfs::read(&format!("/proc/{pid}/task/{tid}/children"), buffer) {
        into.extend(text.split_ascii_whitespace().filter_map(|p| p.parse::<i32>().ok()));
    }
}

fn process(pid: i32, buffer: &mut Vec<u8>) -> Option<Process> {
    const TICK_NS: u64 = 10_000_000;
    let stat = stat::of_in(pid, buffer)?;
    Some(Process {
        pid,
        parent: stat.ppid,
        started: stat.start,
        threads: stat.threads,
        faults: stat.faults,
        waited_for_ns: stat.waited_for * TICK_NS,
    })
}

/// The process of a thread; None when it is gone.
pub(crate) fn process_of(tid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Whether a thread is about to take a signal: one is pending and not blocked, and the kernel has told this very thread (TIF_SIGPENDING).
///
/// A signal for a process is told to one thread of it, and which one cannot be seen from outside: the first thread, if that does not block it (kill(2), timers), or the
/// parent of a child that has ended (SIGCHLD). So it counts for an only thread, and for the first one.
pub(crate) fn has_signal(tid: i32) -> bool {
    told(tid, &fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default())
}

fn told(tid: i32, status: &str) -> bool {
    const CHLD: u64 = 1 << (17 - 1);
    let field = |key| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let set = |key| field(key).and_then(|value| u64::from_str_radix(value, 16).ok()).unwrap_or(0);
    let shared = match (field("Threads:"), field("Tgid:")) {
        (Some("1"), _) => set("ShdPnd:"),
        (_, Some(first)) if first.parse() == Ok(tid) => set("ShdPnd:") & !CHLD,
        _ => 0,
    };
    (set("SigPnd:") | shared) & !set("SigBlk:") != 0
}

/// Open descriptors of a process: the size of its `fd` directory (Linux 6.2), or its entries. 0 when it is gone.
pub(crate) fn descriptors(pid: i32) -> u64 {
    let path = format!("/proc/{pid}/fd");
    match fs::metadata(&path) {
        Ok(fd) if fd.len() > 0 => fd.len(),
        _ => fs::read_dir(path).map_or(0, |entries| entries.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_figures_are_there() {
        let me = std::process::id().cast_signed();
        let mut buffer = Vec::new();
        let before = process(me, &mut buffer).expect("we are alive");
        assert!(before.faults > 0 && before.started > 0 && before.threads > 0, "{before:?}");
        let held = vec![1u8; 16 << 20];
        let after = process(me, &mut buffer).expect("we are alive");
        assert!(after.faults > before.faults && after.started == before.started, "{before:?} {after:?}");
        drop(held);
    }

    #[test]
    fn a_child_is_found_below_its_parent_until_it_is_reaped() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        let script = "sleep 60 & echo $!; read go; kill $!; wait; echo reaped; read go";
        let mut shell = Command::new("sh");
        let mut shell =
            shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut said = BufReader::new(shell.stdout.take().expect("piped")).lines();
        let mut next = || said.next().expect("a line").expect("text");
        let pid: i32 = next().parse().expect("a pid");
        let parent = shell.id().cast_signed();
        let found = below(parent);
        assert!(found.len() == 1 && found[0].pid == pid && found[0].threads == 1, "{found:?}");
        let mut go = shell.stdin.take().expect("piped");
        std::io::Write::write_all(&mut go, b"\n").expect("go");
        assert_eq!(next(), "reaped");
        assert_eq!(below(parent), []);
        assert_eq!(process(pid, &mut Vec::new()), None);
        drop(go);
        shell.wait().expect("wait");
    }

    #[test]
    fn a_signal_of_the_process_is_not_every_threads() {
        let status = |tgid: i32, threads, own: u64, shared: u64, blocked: u64| {
            format!(
                "Tgid:\t{tgid}\nThreads:\t{threads}\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n"
            )
        };
        let (usr1, chld) = (1 << 9, 1 << 16);
        assert!(told(7, &status(7, 1, 0, usr1, 0)) && told(7, &status(7, 1, 0, chld, 0)));
        assert!(told(7, &status(7, 2, 0, usr1, 0)), "the first thread is asked first");
        assert!(!told(7, &status(7, 2, 0, chld, 0)), "the parent's alone");
        assert!(!told(8, &status(7, 2, 0, usr1, 0)) && told(8, &status(7, 2, usr1, 0, 0)));
        assert!(!told(7, &status(7, 1, usr1, usr1, usr1)), "blocked");
        assert!(!told(7, "") && !told(7, &status(7, 1, 0, 0, 0)));
    }
}
