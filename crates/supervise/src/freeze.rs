//! Stopping every task of a box, and proving it.
//!
//! A v2 control group is frozen by the kernel. Without one it is done with SIGSTOP, by pidfd, to every process of the tree, over and
//! over, until two looks in a row find the same processes and every thread of them in a state in which it runs no code of its program.
//!
//! A process is stopped when its parent stands still: the parent then does not see its child stop (WUNTRACED), cannot make another
//! one, and cannot end and leave a stopped, orphaned process group behind, to which the kernel sends SIGHUP (setpgid(2)). For the same
//! reason a process group waits for those of its members whose parents are outside of it. Letting go is the other way round.
//!
//! What outruns that (processes that only live to make the next) is stopped by the keeper in one step, kill(2) of -1, where there is a
//! PID namespace; where there is none, the attempt is given up after a while and undone.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

use tipstaff_cgroup::Cgroup;
use tipstaff_sys::keeper::Keeper;
use tipstaff_sys::{clock, pidfd};

use crate::stat::{self, Stat};
use crate::{procfs, tasks};

const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;
const MS: u64 = 1_000_000;
/// The order is kept for so many looks.
const ORDERLY: u32 = 10;
/// Then the keeper is asked, where it can.
const ALONE: u32 = 20;
/// An all-stop that takes longer than this is given up.
const PATIENCE_NS: u64 = 2000 * MS;
/// Looked at again while everything is stopped: somebody outside may have sent a SIGCONT.
const AGAIN_NS: u64 = 500 * MS;

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Frozen {
    /// The box runs.
    #[default]
    No,
    /// It is being stopped.
    Stopping,
    /// Every task is stopped. How many of them still are in the kernel, and stop before they run on.
    Yes(u64),
}

/// What names a process for ever: its number and its start.
type Id = (i32, u64);

/// A process that we have stopped.
#[derive(Debug)]
struct Stopped {
    pidfd: OwnedFd,
    depth: u32,
    /// Looks since the signal.
    looks: u32,
}

/// Stops and lets go of one box.
#[derive(Debug, Default)]
pub(crate) struct Freezer {
    frozen: Frozen,
    since: u64,
    passes: u32,
    ours: BTreeMap<Id, Stopped>,
    /// Those that stood still before we came: their job control's matter.
    theirs: BTreeSet<Id>,
    /// What the look before saw, if everything stood still.
    before: Option<BTreeSet<Id>>,
    all_at_once: bool,
    by_group: bool,
}

impl Freezer {
    pub fn frozen(&self) -> &Frozen {
        &self.frozen
    }

    /// Begins; [`Freezer::look`] is to be called at once.
    pub fn begin(&mut self, group: Option<&Cgroup>) {
        if self.frozen == Frozen::No {
            let by_group = group.is_some_and(|g| g.can_freeze() && g.freeze(true).is_ok());
            *self = Self { frozen: Frozen::Stopping, since: clock::monotonic_ns(), by_group, ..Self::default() };
        }
    }

    /// Does a step. When to come again, on CLOCK_MONOTONIC. Err: given up, and everything runs again; why.
    pub fn look(&mut self, keeper: &Keeper, group: Option<&Cgroup>) -> Result<u64, String> {
        let done = if self.by_group { group.is_none_or(Cgroup::is_frozen).then_some(0) } else { self.pass(keeper) };
        let now = clock::monotonic_ns();
        if let Some(in_kernel) = done {
            self.frozen = Frozen::Yes(in_kernel);
            return Ok(now + AGAIN_NS);
        }
        if matches!(self.frozen, Frozen::Yes(_)) {
            // Somebody else has let a task go on.
            (self.frozen, self.since) = (Frozen::Stopping, now);
        }
        if now.saturating_sub(self.since) > PATIENCE_NS {
            if self.all_at_once {
                // Whoever the keeper's step has stopped and no look has seen yet is let go too.
                let (seen, _) = look(keeper.pid());
                for process in &seen {
                    if !process.is_dead() && !self.theirs.contains(&process.id()) {
                        self.take(process);
                    }
                }
            }
            self.let_go(group);
            let why = "its processes come and go faster than they can be stopped, or are not ours to stop";
            return Err(why.to_owned());
        }
        Ok(now + MS / 5 * u64::from(self.passes.clamp(1, 25)))
    }

    /// Lets go on what we have stopped, and nobody else.
    pub fn let_go(&mut self, group: Option<&Cgroup>) {
        if self.by_group
            && let Some(group) = group
        {
            let _ = group.freeze(false);
        }
        let mut ours: Vec<Stopped> = std::mem::take(&mut self.ours).into_values().collect();
        // Children first: a parent that runs must not find a child stopped.
        ours.sort_by_key(|stopped| std::cmp::Reverse(stopped.depth));
        for stopped in ours {
            let _ = pidfd::send_signal(stopped.pidfd.as_fd(), SIGCONT);
        }
        *self = Self::default();
    }

    /// One look at everybody. How many tasks are still in the kernel, if everything stands still and did so the last time.
    fn pass(&mut self, keeper: &Keeper) -> Option<u64> {
        self.passes += 1;
        let (seen, steady) = look(keeper.pid());
        let engine = tipstaff_sys::ids::pid();
        let mut all_quiet = steady;
        let mut in_kernel = 0;
        let quiet: BTreeMap<i32, bool> = seen
            .iter()
            .map(|p| {
                let ours = self.ours.get_mut(&p.id());
                let looks = ours.map_or(0, |stopped| {
                    stopped.looks += 1;
                    stopped.looks
                });
                (p.stat.pid, p.is_quiet(looks, engine))
            })
            .collect();
        let still = |pid: i32| quiet.get(&pid).copied().unwrap_or(true);
        let anchored = anchors(&seen);
        for process in &seen {
            let id = process.id();
            if process.is_dead() {
                continue;
            }
            if still(process.stat.pid) {
                in_kernel += process.blocked();
                if !self.ours.contains_key(&id) {
                    if self.all_at_once && !self.theirs.contains(&id) {
                        // Stopped by the keeper's step: ours to let go.
                        self.take(process);
                    } else {
                        self.theirs.insert(id);
                    }
                }
                continue;
            }
            all_quiet = false;
            let group = anchored.get(&process.stat.pgrp);
            let is_anchor = group.is_some_and(|members| members.contains(&process.stat.pid));
            let turn = process.depth == 0 || still(process.stat.ppid);
            let turn = turn && (is_anchor || group.is_none_or(|members| members.iter().all(|pid| still(*pid))));
            if turn || self.passes > ORDERLY {
                self.stop(process);
            }
        }
        if !all_quiet && self.passes > ALONE && keeper.remote().signal_everybody(SIGSTOP) {
            self.all_at_once = true;
        }
        let now = ids(&seen);
        let same = self.before.as_ref() == Some(&now);
        self.before = all_quiet.then_some(now);
        (all_quiet && same).then_some(in_kernel)
    }

    fn stop(&mut self, process: &Seen) {
        let id = process.id();
        self.theirs.remove(&id);
        if !self.ours.contains_key(&id) && !self.take(process) {
            return;
        }
        // Again each time: a process that was not stopped yet may have sent it a SIGCONT, which took ours away.
        if let Some(stopped) = self.ours.get(&id) {
            let _ = pidfd::send_signal(stopped.pidfd.as_fd(), SIGSTOP);
        }
    }

    /// Takes hold of a process: the descriptor is of that very process if its start is the same afterwards.
    fn take(&mut self, process: &Seen) -> bool {
        let Some(pidfd) = procfs::pidfd(process.stat.pid) else { return false };
        let same = stat::of(process.stat.pid).is_some_and(|now| (now.pid, now.start) == process.id());
        if same && !self.ours.contains_key(&process.id()) {
            self.ours.insert(process.id(), Stopped { pidfd, depth: process.depth, looks: 0 });
        }
        same
    }
}

/// A process at one look.
#[derive(Debug)]
pub(crate) struct Seen {
    pub stat: Stat,
    /// State letters of its threads.
    threads: Vec<u8>,
    depth: u32,
}

impl Seen {
    fn id(&self) -> Id {
        (self.stat.pid, self.stat.start)
    }

    pub fn is_dead(&self) -> bool {
        self.threads.iter().all(|state| matches!(state, b'Z' | b'X'))
    }

    /// Threads in an uninterruptible sleep: a disk, or vfork(2), whose child we stop.
    fn blocked(&self) -> u64 {
        self.threads.iter().filter(|state| **state == b'D').count() as u64
    }

    /// No thread runs code of the program. `looks`: how often it was seen since we sent SIGSTOP. A task that has been in an
    /// uninterruptible sleep since then meets the signal before it is back in its program.
    fn is_quiet(&self, looks: u32, engine: i32) -> bool {
        let traced = self.threads.contains(&b't');
        self.threads.iter().all(|state| match state {
            b'T' | b'Z' | b'X' => true,
            b'D' => looks >= 3,
            b't' => true,
            _ => false,
        }) && (!traced || self.is_held(engine))
    }

    /// A tracing stop ends when the tracer wants. One inside the box is stopped itself; our own engine lets its tracees run on
    /// until they meet the signal, which then is no longer pending: proc_pid_status(5).
    fn is_held(&self, engine: i32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.stat.pid)).unwrap_or_default();
        let field = |key| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim).unwrap_or_default();
        if field("TracerPid:").parse() != Ok(engine) {
            return true;
        }
        let pending = u64::from_str_radix(field("ShdPnd:"), 16).unwrap_or(0);
        pending & 1 << (SIGSTOP - 1) == 0
    }
}

/// What names each of them, the dead too: where somebody is reaped, somebody has been running.
pub(crate) fn ids(seen: &[Seen]) -> BTreeSet<(i32, u64)> {
    seen.iter().map(Seen::id).collect()
}

/// Everybody below the keeper, parents before children; and whether everybody who was listed was still there when we got to him. Where one was not,
/// he may have made another one that no list has shown.
pub(crate) fn look(keeper: i32) -> (Vec<Seen>, bool) {
    let mut steady = true;
    let mut seen: Vec<Seen> = Vec::new();
    let mut level = tasks::children(keeper, keeper);
    let mut known: BTreeSet<i32> = BTreeSet::new();
    let mut depth = 0;
    while !level.is_empty() && seen.len() < 65_536 {
        let mut next = Vec::new();
        for pid in level {
            // Listed twice: its parent has ended, and it was handed on.
            if !known.insert(pid) {
                continue;
            }
            let Some(stat) = stat::of(pid) else {
                steady = false;
                continue;
            };
            let mut threads = Vec::new();
            for tid in stat::threads(pid) {
                if let Some(thread) = stat::of_thread(pid, tid) {
                    threads.push(thread.state);
                    next.extend(tasks::children(pid, tid));
                }
            }
            // A number that another one has got since we read the list names somebody else.
            let ours = stat.ppid == keeper || known.contains(&stat.ppid);
            if ours && !threads.is_empty() {
                seen.push(Seen { stat, threads, depth });
            } else {
                steady = false;
            }
        }
        level = next;
        depth += 1;
    }
    (seen, steady)
}

/// By process group, those of its members whose parent is in another group of the same session: they keep the group from being
/// orphaned (setpgid(2)).
fn anchors(seen: &[Seen]) -> BTreeMap<i32, Vec<i32>> {
    let by_pid: BTreeMap<i32, &Seen> = seen.iter().map(|process| (process.stat.pid, process)).collect();
    let mut anchors: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in seen.iter().filter(|process| !process.is_dead()) {
        if by_pid
            .get(&process.stat.ppid)
            .is_some_and(|parent| parent.stat.pgrp != process.stat.pgrp && parent.stat.session == process.stat.session)
        {
            anchors.entry(process.stat.pgrp).or_default().push(process.stat.pid);
        }
    }
    anchors
}
