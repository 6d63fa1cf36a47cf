//! The limit of tasks where the kernel cannot count them: every fork(2), vfork(2) and clone(2) waits for [`Forks`].
//!
//! Nothing is counted up and down, since nobody tells of an end: a child may be waited for, or never, or by nobody. What counts is how many
//! tasks there are below the keeper, zombies too, as with RLIMIT_NPROC and a pids control group. A look at them is needed only when
//! the last look's figure and what was allowed since would pass the limit.
//!
//! A call that was allowed may not have made its task yet when the tasks are looked at. It is done when its caller
//! asks again, is gone, waits in another call (proc_pid_syscall(5)), or when the task is seen; until then it counts. Where that
//! leaves nothing but doubt, the decision waits for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tipstaff_abi::{Arch, SyscallSet, errno};

use crate::handler::{Action, Handler, Trap};
use crate::inflight::{has_run_on, is_done};
use crate::tasks::{self, Process};

/// How long a decision waits for calls that may or may not have made their tasks.
const PATIENCE: Duration = Duration::from_millis(200);
const AGAIN: Duration = Duration::from_micros(300);
const CALLS: &[&str] = &["fork", "vfork", "clone"];
/// After so many refusals in a row it is a bomb: what was found a moment ago is then good enough, and tasks that ask without end would keep
/// the supervisor looking without end.
const STORM: u64 = 16;
const MOMENT: Duration = Duration::from_millis(1);
/// And after so many the answer comes late.
const LONG_STORM: u64 = 1 << 16;
const LATE: Duration = Duration::from_millis(20);

/// How many calls were refused.
#[derive(Debug, Default)]
pub struct Refused(AtomicU64);

impl Refused {
    /// So far.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Refuses with EAGAIN what would be a task too many.
#[derive(Debug)]
pub struct Forks {
    ledger: Arc<Mutex<Ledger>>,
    refused: Arc<Refused>,
    in_a_row: u64,
}

/// A call that was allowed, by its caller's thread.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    /// How often since the last look. Only the last one can still be under way.
    times: u64,
    /// The caller's CPU time when it was first seen to be in doubt, in nanoseconds.
    since_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Allow,
    Refuse,
    /// It depends on calls that are under way.
    Doubt,
}

type Key = (i32, u64);

#[derive(Debug)]
struct Ledger {
    limit: u64,
    arch: Arch,
    keeper: i32,
    /// No more tasks than this are there, or about to be.
    bound: u64,
    allowed: HashMap<i32, Allowed>,
    /// The tasks of the last look: threads by process.
    known: BTreeMap<Key, u64>,
    /// When a look found no room.
    full_at: Option<Instant>,
}

impl Forks {
    /// For a box that may have `limit` tasks; and where the refusals are counted.
    #[must_use]
    pub fn new(limit: u64, arch: Arch) -> (Self, Arc<Refused>) {
        let refused = Arc::new(Refused::default());
        let (allowed, known) = (HashMap::new(), BTreeMap::new());
        // Nothing is known yet: the first call looks.
        let ledger = Ledger { limit, arch, keeper: 0, bound: limit, allowed, known, full_at: None };
        (Self { ledger: Arc::new(Mutex::new(ledger)), refused: Arc::clone(&refused), in_a_row: 0 }, refused)
    }
}

impl Handler for Forks {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, CALLS.iter().copied())
    }

    fn on_start(&mut self, ancestor: i32) {
        lock(&self.ledger).keeper = ancestor;
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let tid = trap.tid();
        let storm = self.in_a_row >= STORM;
        match lock(&self.ledger).decide(tid, storm) {
            Decision::Allow => {
                self.in_a_row = 0;
                Action::Pass
            }
            Decision::Refuse => {
                self.in_a_row += 1;
                let answer = refuse(&self.refused);
                if self.in_a_row > LONG_STORM { Action::after(LATE, answer) } else { answer }
            }
            Decision::Doubt => {
                let (ledger, refused) = (Arc::clone(&self.ledger), Arc::clone(&self.refused));
                Action::defer(PATIENCE * 2, errno::EAGAIN, move || {
                    let until = Instant::now() + PATIENCE;
                    loop {
                        std::thread::sleep(AGAIN);
                        let decision = lock(&ledger).decide(tid, false);
                        match decision {
                            Decision::Allow => return Action::Pass,
                            Decision::Doubt if Instant::now() < until => {}
                            _ => return refuse(&refused),
                        }
                    }
                })
            }
        }
    }

    fn name(&self) -> &str {
        "limits.processes"
    }
}

/// As the kernel would: no rule was broken, so this is no denial.
fn refuse(refused: &Refused) -> Action {
    refused.0.fetch_add(1, Relaxed);
    Action::Return(-i64::from(errno::EAGAIN))
}

/// A handler that panicked with the lock has left nothing half done that the next look would not mend.
fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// `storm`: if a moment ago there was no room, there is none.
    fn decide(&mut self, tid: i32, storm: bool) -> Decision {
        if storm && self.full_at.is_some_and(|at| at.elapsed() < MOMENT) {
            self.allowed.remove(&tid);
            return Decision::Refuse;
        }
        let mut doubts = 0;
        if self.bound >= self.limit {
            // Who asks is in no call that was allowed before.
            self.allowed.remove(&tid);
            doubts = self.look();
        }
        if self.bound < self.limit {
            self.bound += 1;
            // It is this call that may be under way from now on, and no earlier one.
            let times = self.allowed.get(&tid).map_or(0, |allowed| allowed.times) + 1;
            self.allowed.insert(tid, Allowed { times, since_ns: None });
            Decision::Allow
        } else if doubts > 0 {
            Decision::Doubt
        } else {
            self.full_at = Some(Instant::now());
            Decision::Refuse
        }
    }

    /// Counts the tasks. How many calls may yet make theirs.
    fn look(&mut self) -> u64 {
        // What is done by now has its task among those that are counted after this.
        let arch = self.arch;
        self.allowed.retain(|tid, _| !is_done(*tid, CALLS, arch));
        let processes = exactly_below(self.keeper);
        let alive: u64 = processes.iter().map(|process| process.threads.max(1)).sum();
        let mut open: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for tid in self.allowed.keys() {
            open.entry(tasks::process_of(*tid).unwrap_or(*tid)).or_default().push(*tid);
        }
        for (pid, tids) in open {
            let times: u64 = tids.iter().filter_map(|tid| self.allowed.get(tid)).map(|allowed| allowed.times).sum();
            // All that these threads may have made is there: none of their calls is under way.
            let all_there = self.born(pid, &processes) >= times;
            for tid in tids {
                if all_there || self.allowed.get_mut(&tid).is_none_or(|allowed| has_run_on(tid, &mut allowed.since_ns))
                {
                    self.allowed.remove(&tid);
                } else if let Some(allowed) = self.allowed.get_mut(&tid) {
                    allowed.times = 1;
                }
            }
        }
        self.known = processes.iter().map(|process| ((process.pid, process.started), process.threads)).collect();
        let doubts = self.allowed.len() as u64;
        if crate::procfs::is_blind() {
            // Who is not seen is not absent.
            self.bound = self.limit;
            return 0;
        }
        self.bound = alive + doubts;
        doubts
    }

    /// How many of these tasks a process has made since the last look, children and threads.
    fn born(&self, pid: i32, processes: &[Process]) -> u64 {
        let is_new = |process: &&Process| !self.known.contains_key(&(process.pid, process.started));
        let children = processes.iter().filter(|process| process.parent == pid).filter(is_new).count() as u64;
        let own = processes.iter().find(|process| process.pid == pid);
        let threads = own.map_or(0, |own| {
            let before = self.known.get(&(pid, own.started)).copied().unwrap_or(1);
            own.threads.saturating_sub(before)
        });
        children + threads
    }
}

/// The processes below the keeper. A process whose parent ends while we look moves to another parent, and may be missed: two looks that
/// agree have missed none.
fn exactly_below(keeper: i32) -> Vec<Process> {
    let keys = |processes: &[Process]| {
        let mut keys: Vec<_> = processes.iter().map(|p| (p.pid, p.started, p.threads)).collect();
        keys.sort_unstable();
        keys
    };
    let mut last = tasks::below(keeper);
    for _ in 0..4 {
        let next = tasks::below(keeper);
        if keys(&next) == keys(&last) {
            return next;
        }
        last = next;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflight::tests::running;

    fn ledger(limit: u64) -> Ledger {
        let keeper = std::process::id().cast_signed();
        let (allowed, known) = (HashMap::new(), BTreeMap::new());
        Ledger { limit, arch: Arch::X86_64, keeper, bound: limit, allowed, known, full_at: None }
    }

    #[test]
    fn who_asks_again_is_done_and_who_runs_is_in_doubt() {
        running(|tid| {
            // Nobody is below this process, so that nothing ever comes of what is allowed.
            let mut ledger = ledger(2);
            for _ in 0..10 {
                assert_eq!(ledger.decide(tid, false), Decision::Allow);
            }
            ledger.bound = ledger.limit;
            assert_eq!(ledger.look(), 1);
            assert_eq!(
                ledger.decide(i32::MAX, false),
                Decision::Allow,
                "one may be on its way: there is room for another"
            );
            assert_eq!(ledger.decide(i32::MAX, false), Decision::Allow, "who is not there has none on its way");
            ledger.limit = 1;
            assert_eq!(ledger.decide(i32::MAX, false), Decision::Doubt);
            assert_eq!(ledger.decide(tid, false), Decision::Allow);
        });
    }
}
