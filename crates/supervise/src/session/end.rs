//! The end: what only it can tell, and the outcome.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use tipstaff_abi::Arch;
use tipstaff_policy::lower::{DeniedCall, ProcessesBy, SURVIVES};
use tipstaff_report::{Cause, Coverage, Ending, Event, Level, Limit, Outcome, RunError};
use tipstaff_sys::wait::Status;
use tipstaff_sys::{clock, signal};

use super::Session;
use crate::policy_fn::Restrict;
use crate::relay::Moved;
use crate::usage;

impl Session {
    pub(super) fn conclude(&mut self) -> Outcome {
        let limit = self.limits.output;
        let signals = self.options.signals.take();
        let mut wait = |target: BorrowedFd<'_>| wait_for_reader(target, signals.as_ref());
        for relay in &mut self.options.relays {
            if relay.drain(&mut self.counted_output, limit, &mut wait) == Moved::Over
                && let Some(limit) = limit
            {
                // Written before the end and read after it: over is over.
                let at = clock::monotonic_ns().saturating_sub(self.keeper.started_ns());
                if !self.events.iter().any(|e| e.limit == Limit::Output) {
                    self.events.push(Event::new(Limit::Output, limit, Some(limit + 1), at));
                }
                self.cause.get_or_insert((Cause::Output, at));
            }
        }
        self.tightened();
        if let Some(restrict) = &self.options.restrict {
            restrict.close();
            self.rules.extend(restrict.said());
        }
        self.hear_the_last();
        self.count_unknown_names();
        self.collected.output = self.options.count_output.then_some(self.counted_output);
        self.last_events();
        let stuck = !self.keeper.is_empty() && !self.keeper.is_lost();
        if stuck {
            self.tell_of_the_stuck();
        }
        let lost = self.keeper.is_lost();
        if let (None, Some(at)) = (self.cause, self.keeper.killed_ns())
            && self.keeper.ended_ns().is_none_or(|ended| at <= ended)
        {
            self.cause = Some((Cause::User, at.saturating_sub(self.keeper.started_ns())));
        }
        let mut collected = std::mem::take(&mut self.collected);
        if collected.sampled_peak.is_none() && self.cgroup.is_none() {
            collected.tasks_peak = collected.tasks_peak.max(1);
        }
        let memory_limit = self.limits.memory.map(|(bytes, _)| bytes);
        let usage = usage::finish(&self.keeper, self.cgroup.as_ref(), memory_limit, collected);
        let ending = match self.keeper.status() {
            Some(Status::Exited(code)) => Ending::Exited(code),
            Some(Status::Signaled { signal, core }) => Ending::Signaled { signal, core },
            // Killed hard, with the namespace: the first process with it.
            None => Ending::Signaled { signal: 9, core: false },
        };
        let error = (lost && self.cause.is_none()).then(|| {
            RunError::new("supervise", None, "the box's keeper was killed from outside; its figures are incomplete")
        });
        let error = error.or_else(|| self.fault.take().map(|words| RunError::new("handler", None, words)));
        if stuck {
            self.keeper.leave();
        } else if self.lingers && self.keeper.can_have_another() {
            // It waits for whoever comes for it, or to be dropped.
        } else if self.lingers {
            self.keeper.release();
        } else {
            // The groups go while the keeper lets its mounts go; whoever comes second finds none.
            self.keeper.release();
            self.cgroup = None;
            self.keeper.finish();
        }
        let denials = self.close();
        Outcome {
            ending,
            cause: self.cause,
            events: std::mem::take(&mut self.events),
            memory_refused: self.memory_refused(),
            usage,
            limits: self.limits.summary(),
            denials: denials.into_report(),
            coverage: if self.listener.is_some() { Coverage::Syscalls } else { Coverage::None },
            enforcement: std::mem::take(&mut self.rules),
            error,
            seccomp_sigsys_is_kill: self.listener.is_none() && self.filter.is_some(),
        }
    }

    /// Its name server has said that they do not exist.
    fn count_unknown_names(&self) {
        let names = self.options.restrict.as_ref().map(Restrict::unknown_names).unwrap_or_default();
        let arch = Arch::native().map_or("", |arch| arch.name());
        for (name, times) in names {
            let call = DeniedCall {
                syscall: "sendto".to_owned(),
                arch: arch.to_owned(),
                rule: format!(
                    "network rules by name: {name} is named by none, so the box's name server does not know it"
                ),
                kill: false,
                errno: 0,
                allow_with: Some(format!("--net tcp://{name}")),
            };
            self.answers().denials.count(call, [0; 6], None, times);
        }
    }

    /// Tasks are left that have been killed and do not end.
    fn tell_of_the_stuck(&mut self) {
        let why = "tasks that have been killed are in a sleep that no signal ends (a file system whose server is silent); they run nothing any more, \
                   and hold their files, memory and control groups until it answers";
        let rule = self.rules.iter_mut().find(|rule| rule.rule == SURVIVES);
        if let Some(rule) = rule {
            (rule.level, rule.why) = (Level::Weakened, Some(why.into()));
        }
    }

    fn memory_refused(&self) -> Option<Event> {
        let first = self.options.shortage.as_ref()?.first()?;
        let at = first.at_ns.saturating_sub(self.keeper.started_ns());
        Some(Event::new(Limit::Memory, first.limit, Some(first.observed), at))
    }

    /// What only the end can tell: kills by the kernel, refused forks.
    fn last_events(&mut self) {
        self.note_disk(self.keeper.disk().map(|(_, left)| left));
        self.note_memory_on_disk();
        let at = self.keeper.ended_ns().unwrap_or_else(clock::monotonic_ns).saturating_sub(self.keeper.started_ns());
        if let Some((limit, by)) = self.limits.processes
            && self.tells_a_refusal(limit, by)
            && self.keeper.tasks_ever() == Some(limit)
        {
            // A box that had exactly as many tasks as it may, in all its life, has stood at the limit, however short that was.
            self.event(Event::new(Limit::Processes, limit, Some(limit), at));
            self.collected.tasks_peak = self.collected.tasks_peak.max(limit);
        }
        if let (Some((limit, _)), Some(forks)) = (self.limits.processes, &self.options.forks)
            && forks.count() > 0
        {
            self.event(Event::new(Limit::Processes, limit, Some(limit), at));
            self.collected.tasks_peak = self.collected.tasks_peak.max(limit);
        }
        let Some(group) = &self.cgroup else { return };
        if let (Some((limit, _)), true) = (self.limits.memory, group.oom_kills() > 0) {
            self.event(Event::new(Limit::Memory, limit, None, at));
        }
        let Some(group) = &self.cgroup else { return };
        if let (Some((limit, ProcessesBy::Cgroup)), (peak, Some(refused))) = (self.limits.processes, group.pids())
            && refused > self.refused_by_hold()
        {
            self.event(Event::new(Limit::Processes, limit, peak, at));
        }
    }
}

/// Waits until a reader takes more. False when we are told to end: the box is empty, and what nobody reads is dropped.
fn wait_for_reader(target: BorrowedFd<'_>, signals: Option<&OwnedFd>) -> bool {
    const SIGWINCH: i32 = 28;
    let mut fds = vec![PollFd::from_borrowed_fd(target, PollFlags::OUT)];
    fds.extend(signals.map(|fd| PollFd::new(fd, PollFlags::IN)));
    let _ = poll(&mut fds, None);
    signals.and_then(|fd| signal::next(fd.as_fd())).is_none_or(|number| number == SIGWINCH)
}
