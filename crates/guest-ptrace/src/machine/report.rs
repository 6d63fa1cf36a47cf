//! What a wait finds: wait4(2), waitid(2), for tracees. Real children that are no tracees are the kernel's.

use std::collections::BTreeMap;

use super::{Machine, Stop, Tracee};

/// A tracee that has ended, which its tracer has not been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub tid: i32,
    /// Its process.
    pub process: i32,
    /// Its number in the tracer's PID namespace.
    pub number: i32,
    /// Its tracer.
    pub tracer: i32,
    /// Its tracer's process.
    pub tracer_process: i32,
    /// As wait4(2) has it.
    pub status: i32,
    /// Real user id.
    pub uid: u32,
    /// struct rusage.
    pub usage: [u64; 18],
    /// PTRACE_SEIZE.
    pub seized: bool,
    /// When it became a tracee.
    pub since: u64,
    /// The kernel tells its parent, which is its tracer.
    pub by_kernel: bool,
}

/// Whom a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anybody.
    Any,
    /// Whom the waiter calls so.
    One(i32),
    /// This thread: what a pidfd refers to.
    Thread(i32),
    /// Those that are said to be in a process group.
    Group(i32),
}

/// A wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select {
    /// Whom.
    pub who: Who,
    /// The waiter's process.
    pub process: i32,
    /// __WNOTHREAD: tracees of this thread alone.
    pub thread: Option<i32>,
    /// WEXITED.
    pub exits: bool,
}

/// What a wait is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Of whom.
    pub tid: i32,
    /// Its number in the tracer's PID namespace.
    pub number: i32,
    /// As wait4(2) has it.
    pub status: i32,
    /// A stop, of this kind.
    pub stop: Option<Stop>,
    /// Real user id.
    pub uid: u32,
    /// struct rusage.
    pub usage: [u64; 18],
}

impl Select {
    /// Whether it is for this task of this tracer.
    pub(crate) fn takes(
        &self,
        (tid, number): (i32, i32),
        (tracer, process): (i32, i32),
        in_group: &dyn Fn(i32, i32) -> bool,
    ) -> bool {
        process == self.process
            && self.thread.is_none_or(|thread| thread == tracer)
            && match self.who {
                Who::Any => true,
                Who::One(one) => one == number,
                Who::Thread(one) => one == tid,
                Who::Group(group) => in_group(tid, group),
            }
    }
}

impl Machine {
    /// Whether a process traces anybody, or has not been told of an end.
    #[must_use]
    pub fn traces(&self, process: i32) -> bool {
        self.tracees().any(|(_, t)| t.tracer_process == process)
            || self.ended.iter().any(|e| e.tracer_process == process)
    }

    /// Whether a tracee of this process runs, as far as is known.
    #[must_use]
    pub fn runs(&self, process: i32) -> bool {
        self.tracees().any(|(_, t)| t.tracer_process == process && t.stop.is_none())
    }

    /// Whether a wait has anybody to wait for among the tracees.
    #[must_use]
    pub fn waits(&self, select: &Select, in_group: &dyn Fn(i32, i32) -> bool) -> bool {
        let of = |t: &Tracee| (t.tracer, t.tracer_process);
        self.tracees().any(|(tid, t)| select.takes((tid, t.number), of(t), in_group))
            || self
                .ended
                .iter()
                .filter(|e| !e.by_kernel)
                .any(|e| select.takes((e.tid, e.number), (e.tracer, e.tracer_process), in_group))
    }

    /// The tracee that a process calls so.
    #[must_use]
    pub fn known_to(&self, process: i32, number: i32) -> Option<i32> {
        let ended = self.ended.iter().find(|e| e.tracer_process == process && e.number == number);
        let lives = self.tracees().find(|(_, t)| t.tracer_process == process && t.number == number);
        lives.map(|(tid, _)| tid).or_else(|| ended.map(|e| e.tid))
    }

    /// What a wait is told, if there is something. `keep`: WNOWAIT.
    pub fn report(&mut self, select: &Select, keep: bool, in_group: &dyn Fn(i32, i32) -> bool) -> Option<Report> {
        // As do_wait() goes through its lists: children, the oldest first, then other tracees, the newest first.
        let order = |child: bool, since: u64| if child { (0, since) } else { (1, u64::MAX - since) };
        let takes = |names, of| select.takes(names, of, in_group);
        let stopped =
            self.tracees().filter(|(tid, t)| t.code.is_some() && takes((*tid, t.number), (t.tracer, t.tracer_process)));
        let stopped = stopped.map(|(tid, t)| (order(t.child && t.process == tid, t.since), tid));
        let ended = self
            .ended
            .iter()
            .filter(|e| select.exits && !e.by_kernel && takes((e.tid, e.number), (e.tracer, e.tracer_process)));
        let (_, tid) = stopped.chain(ended.map(|e| (order(false, e.since), e.tid))).min()?;
        if let Some(at) = self.ended.iter().position(|e| e.tid == tid && !e.by_kernel) {
            let ended = self.ended[at].clone();
            if !keep {
                self.forget(|ended| ended.tid == tid);
            }
            let Ended { number, status, uid, usage, .. } = ended;
            return Some(Report { tid, number, status, stop: None, uid, usage });
        }
        let tracee = self.tracees.get_mut(&tid)?;
        let code = if keep { tracee.code } else { tracee.code.take() }?;
        let status = code << 8 | 0x7f;
        Some(Report { tid, number: tracee.number, status, stop: tracee.stop, uid: tracee.uid, usage: tracee.usage })
    }

    /// A tracee has ended, really: what its tracer is told. `leaves_none`: as [`Self::keeps`] has it.
    pub fn ended(
        &mut self,
        tid: i32,
        status: i32,
        usage: [u64; 18],
        leaves_none: &dyn Fn(i32) -> bool,
    ) -> Option<Ended> {
        let by_kernel = !self.keeps(tid, leaves_none);
        let tracee = self.tracees.remove(&tid)?;
        let Tracee { process, number, tracer, tracer_process, uid, seized, since, .. } = tracee;
        let ended =
            Ended { tid, process, number, tracer, tracer_process, status, uid, usage, seized, since, by_kernel };
        self.ended.push(ended.clone());
        Some(ended)
    }

    /// The kernel has told a process of the end of its child. `ours`: that was not passed on, and is to be told by us.
    pub fn told(&mut self, process: i32, number: i32, ours: bool) {
        let is = |e: &Ended| e.by_kernel && e.tracer_process == process && e.number == number;
        if ours {
            self.ended.iter_mut().filter(|e| is(e)).for_each(|e| e.by_kernel = false);
        } else {
            self.ended.retain(|e| !is(e));
        }
    }

    /// Whether the kernel has this end to tell, or has told it just now.
    #[must_use]
    pub fn tells(&self, process: i32, number: i32) -> bool {
        self.ended.iter().any(|e| e.by_kernel && e.tracer_process == process && e.number == number)
    }

    /// Of the ends that the kernel tells this process of: those of whom nothing is left have been told.
    pub fn reaped(&mut self, process: i32, gone: &dyn Fn(i32) -> bool) {
        self.ended.retain(|e| !e.by_kernel || e.tracer_process != process || !gone(e.tid));
    }

    /// Whether a process has a child that is its tracee and is not about to end, and no end to be told of by the kernel.
    #[must_use]
    pub fn has_living_child(&self, process: i32, dying: &BTreeMap<i32, i32>) -> bool {
        let mut children = self.tracees().filter(|(tid, t)| t.tracer_process == process && t.is_child(*tid)).peekable();
        children.peek().is_some() && children.all(|(tid, _)| !dying.contains_key(&tid)) && !self.is_owed(process)
    }

    /// Whether the kernel has an end to tell this process, as far as is known.
    #[must_use]
    pub fn is_owed(&self, process: i32) -> bool {
        self.ended.iter().any(|e| e.by_kernel && e.tracer_process == process)
    }

    /// A process has no children.
    pub fn childless(&mut self, process: i32) {
        self.ended.retain(|e| !e.by_kernel || e.tracer_process != process);
    }

    /// A tracee has gone without an end: the leader whose place an executing thread took.
    pub fn replaced(&mut self, tid: i32) {
        self.tracees.remove(&tid);
    }
}
