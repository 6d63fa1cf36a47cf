//! Calls that a handler has let pass, and that may not have been made yet: the caller has its answer and has not run, or is in the kernel.

use tipstaff_abi::{Arch, Sysno};

use crate::procfs;

/// CPU time that such a call takes at most: this, and as much again for every [`PER_PAGES`] pages whose tables it copies.
const CALL_NS: u64 = 20_000_000;
const PER_PAGES: u64 = 65_536;
/// And for every so many mappings: a fork of 31,000 took up to 172 ms.
const PER_MAPPINGS: u64 = 1_000;

/// A thread is surely not within one of these calls: it is gone, or waits in another one (proc_pid_syscall(5)).
pub(crate) fn is_done(tid: i32, calls: &[&str], arch: Arch) -> bool {
    let path = format!("/proc/{tid}/syscall");
    let Some(text) = procfs::read(&path, &mut Vec::new()).map(|text| text.into_owned()) else {
        // Gone; what may not be looked at is in doubt.
        return !std::path::Path::new(&path).exists();
    };
    // "running", "-1 sp pc" (no call: it waits for a page), or the number and the arguments.
    match text.split_ascii_whitespace().next().and_then(|word| word.parse::<i64>().ok()) {
        None => false,
        Some(number) if number < 0 => true,
        Some(number) => {
            let name = u32::try_from(number).ok().and_then(|number| Sysno(number).name(arch));
            !name.is_some_and(|name| calls.contains(&name))
        }
    }
}

/// A thread has used more CPU time since it was first in doubt than the call can take. `since_ns`: its CPU time then.
pub(crate) fn has_run_on(tid: i32, since_ns: &mut Option<u64>) -> bool {
    let mut buffer = Vec::new();
    let first = |path: String, buffer: &mut Vec<u8>, at: usize| {
        let text = procfs::read(&path, buffer)?;
        text.split_ascii_whitespace().nth(at)?.parse::<u64>().ok()
    };
    let Some(now) = first(format!("/proc/{tid}/schedstat"), &mut buffer, 0) else { return false };
    let resident = first(format!("/proc/{tid}/statm"), &mut buffer, 1).unwrap_or(u64::MAX);
    let since = *since_ns.get_or_insert(now);
    let used = now.saturating_sub(since);
    if used <= CALL_NS.saturating_mul(1 + resident / PER_PAGES) {
        return false;
    }
    // Counting mappings takes a while, so they are counted last.
    let maps = procfs::read(&format!("/proc/{tid}/maps"), &mut buffer);
    let mappings = maps.map_or(u64::MAX, |maps| maps.bytes().filter(|b| *b == b'\n').count() as u64);
    used > CALL_NS.saturating_mul(1 + resident / PER_PAGES + mappings / PER_MAPPINGS)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const CALLS: &[&str] = &["fork", "vfork", "clone"];
    const AGAIN: Duration = Duration::from_micros(300);

    /// A thread that does nothing but run, until it is told to end.
    pub(crate) fn running<T>(test: impl FnOnce(i32) -> T) -> T {
        let (sender, receiver) = std::sync::mpsc::channel();
        let end = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sender.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("told");
                while !end.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let result = test(receiver.recv().expect("told"));
            end.store(true, std::sync::atomic::Ordering::Relaxed);
            result
        })
    }

    #[test]
    fn who_is_gone_or_waits_elsewhere_is_done() {
        assert!(is_done(i32::MAX, CALLS, Arch::X86_64));
        running(|tid| assert!(!is_done(tid, CALLS, Arch::X86_64), "it runs"));
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            sender.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("told");
            std::thread::park();
        });
        let tid = receiver.recv().expect("told");
        let until = Instant::now() + Duration::from_secs(60);
        while !is_done(tid, CALLS, Arch::X86_64) && Instant::now() < until {
            std::thread::sleep(AGAIN);
        }
        assert!(is_done(tid, CALLS, Arch::X86_64));
        waiting.thread().unpark();
        waiting.join().expect("joined");
    }

    #[test]
    fn who_has_run_on_is_not_within_a_fork() {
        let me = rustix::thread::gettid().as_raw_nonzero().get();
        let mut since = None;
        assert!(!has_run_on(me, &mut since));
        let until = Instant::now() + Duration::from_secs(60);
        while !has_run_on(me, &mut since) && Instant::now() < until {
            std::hint::black_box((0..100_000u64).sum::<u64>());
        }
        assert!(has_run_on(me, &mut since));
    }
}
