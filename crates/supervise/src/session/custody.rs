//! What can be done to a box while it runs: looked at, paused, held, throttled.

use std::os::fd::BorrowedFd;
use std::{fmt, io};

use rustix::event::epoll::{self, EventData, EventFlags};
use tipstaff_policy::lower::{Plan, ThrottleBy};
use tipstaff_sys::clock;

use super::{MS, Session, token};
use crate::freeze::{Freezer, Frozen};
use crate::hold::Hold;
use crate::throttle::Throttle;
use crate::{stat, tasks};

/// State of what was ordered from outside.
#[derive(Debug, Default)]
pub(super) struct Custody {
    freezer: Freezer,
    throttle: Option<Throttle>,
    hold: Option<Hold>,
    /// Forks that a hold has refused, which is no limit of the profile.
    refused: u64,
    /// There was one.
    held: bool,
    /// Somebody wants it to stand.
    paused: bool,
    /// Why the last pause was given up.
    failed: Option<String>,
    /// The box's tasks are of uid 0 outside.
    exempt: bool,
    due_freeze: Option<u64>,
    due_throttle: Option<u64>,
}

impl Custody {
    /// Whether tasks have ever been held.
    pub fn was_held(&self) -> bool {
        self.held
    }

    pub fn new(plan: &Plan, cpus: u64, started: u64) -> Self {
        let stops = plan.limits.cpu_percent.filter(|(_, by)| *by == ThrottleBy::Stops);
        Self {
            throttle: stops.map(|(percent, _)| Throttle::new(percent, cpus, started)),
            due_throttle: stops.map(|_| started + MS),
            exempt: plan.ids.outside.0 == 0,
            ..Self::default()
        }
    }

    /// The earliest moment at which something is to be looked at.
    pub fn due(&self) -> Option<u64> {
        [self.due_freeze, self.due_throttle].into_iter().flatten().min()
    }

    /// Nothing runs, or is to run on at once.
    pub fn stands(&self) -> bool {
        *self.freezer.frozen() != Frozen::No
    }
}

/// Somebody who has to do with a box while it runs, and is woken by its session's loop: whoever answers for it.
pub trait Attendant: fmt::Debug + Send {
    /// Readable when [`Attendant::serve`] has something to do.
    fn polled(&self) -> BorrowedFd<'_>;
    /// Does what is due, without waiting.
    fn serve(&mut self, session: &mut Session);
    /// The loop has done a turn.
    fn turned(&mut self, session: &Session);
    /// The box has ended.
    fn ended(self: Box<Self>);
}

/// What a box is and uses at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// User and system time so far, in nanoseconds.
    pub cpu_ns: u64,
    /// Time since the start, in nanoseconds.
    pub wall_ns: u64,
    /// Memory as the limit counts it, in bytes; None when it cannot be told.
    pub memory_bytes: Option<u64>,
    /// The highest that was seen.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads.
    pub tasks: u64,
    /// Each process.
    pub processes: Vec<LookProcess>,
}

/// A process of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookProcess {
    /// Its id, as we count.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Its name: proc_pid_comm(5).
    pub comm: Vec<u8>,
    /// The state letter of proc_pid_stat(5).
    pub state: char,
    /// Its threads.
    pub threads: u64,
}

impl Session {
    /// Begins to stop every task. [`Session::frozen`] says when it is done; [`Session::dispatch`] does it.
    pub fn pause(&mut self) {
        // The keeper has been reaped: its number may be somebody else's.
        if self.done {
            return;
        }
        self.custody.paused = true;
        self.custody.failed = None;
        self.custody.freezer.begin(self.cgroup.as_ref());
        self.custody.due_freeze = Some(clock::monotonic_ns());
        self.look_at_custody(clock::monotonic_ns());
        self.arm();
    }

    /// Stops every task and returns when all of them stand still: how many are still in the kernel and stop before they run on. Err: the box
    /// runs, or has ended; why.
    pub fn pause_and_wait(&mut self) -> Result<u64, String> {
        self.pause();
        loop {
            match self.frozen()? {
                Frozen::Yes(in_kernel) => return Ok(in_kernel),
                _ if self.done => return Err("it has ended".to_owned()),
                _ => {}
            }
            if let Some(outcome) = self.turn(None).map_err(|e| e.to_string())? {
                // For whoever waits for it.
                self.outcome = Some(outcome);
            }
        }
    }

    /// Lets somebody else be woken with the session.
    pub fn attend(&mut self, attendant: Box<dyn Attendant>) -> io::Result<()> {
        epoll::add(&self.epoll, attendant.polled(), EventData::new_u64(token::ATTENDANT), EventFlags::IN)?;
        self.attendant = Some(attendant);
        Ok(())
    }

    pub(super) fn attended(&mut self) {
        if let Some(mut attendant) = self.attendant.take() {
            attendant.serve(self);
            self.attendant = Some(attendant);
        }
    }

    /// Lets the box go on.
    pub fn resume(&mut self) {
        self.custody.paused = false;
        self.custody.failed = None;
        if !self.custody.throttle.as_ref().is_some_and(|throttle| throttle.stands) {
            self.thaw();
        }
        self.due.custody = self.custody.due();
        self.arm();
    }

    /// How far a pause is. Err: it was given up, and why; the box runs.
    pub fn frozen(&self) -> Result<Frozen, String> {
        match &self.custody.failed {
            Some(why) => Err(why.clone()),
            // A stop of the throttle's is none that was asked for.
            None if !self.custody.paused => Ok(Frozen::No),
            None => Ok(self.custody.freezer.frozen().clone()),
        }
    }

    /// Lets no new task begin: fork(2) answers EAGAIN. Ok: a word on how far it holds. Err: it cannot be done, and why.
    pub fn hold(&mut self) -> Result<Option<String>, String> {
        if self.done {
            return Err("it has ended".to_owned());
        }
        if self.custody.hold.is_some() {
            return Ok(None);
        }
        let limit = self.limits.processes.map(|(limit, _)| limit);
        let begin = || Hold::begin(&self.keeper, self.cgroup.as_ref(), limit, self.custody.exempt);
        let (hold, note) = match &self.options.restrict {
            Some(restrict) => restrict.holding(true, begin).inspect_err(|_| restrict.holding(false, || ())),
            None => begin(),
        }?;
        (self.custody.hold, self.custody.held) = (Some(hold), true);
        Ok(note)
    }

    /// Lets tasks begin again.
    pub fn release(&mut self) {
        if let Some(hold) = self.custody.hold.take().filter(|_| !self.done) {
            let end = || hold.end(&self.keeper, self.cgroup.as_ref());
            self.custody.refused += match &self.options.restrict {
                Some(restrict) => restrict.holding(false, end),
                None => end(),
            };
        }
    }

    /// Whether new tasks are refused.
    pub fn is_held(&self) -> bool {
        self.custody.hold.is_some()
    }

    /// Forks that were refused because of a hold.
    pub(super) fn refused_by_hold(&self) -> u64 {
        self.custody.refused + self.custody.hold.as_ref().map_or(0, |hold| hold.refused(self.cgroup.as_ref()))
    }

    /// What the box is and uses. After its end: nothing; the outcome has the figures.
    pub fn usage(&mut self) -> Look {
        if self.done {
            return Look::default();
        }
        let cpu_ns = self.collected.cpu.read(&self.keeper, self.cgroup.as_ref());
        let group = self.cgroup.as_ref().filter(|group| group.memory_version().is_some());
        let (memory_bytes, memory_peak_bytes) = match group {
            Some(group) => {
                self.collected.group_peak.look(group);
                (group.memory().map(|m| m.counted()), Some(self.collected.group_peak.bytes(group, u64::MAX)))
            }
            None => {
                let bytes = self.sampler.look(self.keeper.pid(), clock::monotonic_ns()).bytes;
                self.collected.sampled_peak = self.collected.sampled_peak.max(Some(bytes).filter(|b| *b > 0));
                (Some(bytes), self.collected.sampled_peak)
            }
        };
        let processes: Vec<LookProcess> = tasks::below(self.keeper.pid())
            .into_iter()
            .filter_map(|process| {
                let stat = stat::of(process.pid)?;
                let mut comm = std::fs::read(format!("/proc/{}/comm", process.pid)).ok()?;
                comm.truncate(comm.len().saturating_sub(1));
                let state = char::from(stat.state);
                Some(LookProcess { pid: stat.pid, ppid: stat.ppid, comm, state, threads: stat.threads })
            })
            .collect();
        let tasks = processes.iter().map(|process| process.threads).sum();
        Look { cpu_ns, wall_ns: self.elapsed(), memory_bytes, memory_peak_bytes, tasks, processes }
    }

    /// Process id of the box's first process, as we count; None when it has ended.
    pub fn first_pid(&self) -> Option<i32> {
        // Children stand in the order of their birth, and orphans come behind.
        let first = tasks::children(self.keeper.pid(), self.keeper.pid()).first().copied();
        first.filter(|_| self.keeper.status().is_none())
    }

    fn thaw(&mut self) {
        self.custody.due_freeze = None;
        self.custody.freezer.let_go(self.cgroup.as_ref());
        self.idle_since.0 = clock::monotonic_ns();
    }

    pub(super) fn look_at_custody(&mut self, now: u64) {
        self.mind(now);
        self.due.custody = self.custody.due();
    }

    fn mind(&mut self, now: u64) {
        if self.cause.is_some() {
            // It is being killed: SIGKILL takes stopped tasks and v2 groups as well.
            (self.custody.due_freeze, self.custody.due_throttle) = (None, None);
            return;
        }
        if self.custody.due_throttle.is_some_and(|at| at <= now) {
            let used = self.collected.cpu.read(&self.keeper, self.cgroup.as_ref());
            let Some(throttle) = &mut self.custody.throttle else { return };
            self.custody.due_throttle = Some(throttle.look(clock::monotonic_ns(), used));
            let stands = throttle.stands;
            if stands && !self.custody.stands() {
                self.custody.freezer.begin(self.cgroup.as_ref());
                self.custody.due_freeze = Some(now);
            } else if !stands && !self.custody.paused && self.custody.stands() {
                self.thaw();
            }
        }
        if self.custody.due_freeze.is_some_and(|at| at <= now) {
            match self.custody.freezer.look(&self.keeper, self.cgroup.as_ref()) {
                Ok(next) => self.custody.due_freeze = Some(next),
                Err(why) => {
                    self.custody.due_freeze = None;
                    if std::mem::take(&mut self.custody.paused) {
                        self.custody.failed = Some(why);
                    }
                    self.idle_since.0 = clock::monotonic_ns();
                }
            }
        }
    }
}
