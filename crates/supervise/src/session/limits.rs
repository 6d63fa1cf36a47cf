//! What may be over its limit, and when it is looked at next.

use tipstaff_policy::lower::{MemoryBy, ProcessesBy};
use tipstaff_report::{Cause, Event, Limit};
use tipstaff_sys::clock;

use super::{MS, Session};
use crate::{memory, tasks};

impl Session {
    pub(super) fn first_deadlines(&mut self, started: u64) {
        let ns = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.due.wall = self.limits.wall.map(|d| started.saturating_add(ns(d)));
        self.due.idle = self.limits.idle.map(|d| started.saturating_add((ns(d) / 8).clamp(MS, 100 * MS)));
        // The first looks come early: a limit may be smaller than what a program burns at its start.
        self.due.cpu = self.limits.cpu.map(|d| started.saturating_add((ns(d) / self.cpus).clamp(MS, 500 * MS)));
        self.due.memory = Some(started + MS);
        self.due.custody = self.custody.due();
    }

    pub(super) fn out_of_memory(&mut self) {
        let Some(group) = &self.cgroup else { return };
        if let Some((fd, false)) = group.oom_fd() {
            let mut count = [0u8; 8];
            let _ = rustix::io::read(fd, &mut count);
        }
        // v1 signals before the kernel has chosen a victim: the event itself is the evidence. v2 wakes for other
        // counters of the file too.
        if group.memory_version() == Some(tipstaff_cgroup::Version::V2) && group.oom_kills() == 0 {
            return;
        }
        self.memory_over(None);
    }

    fn memory_over(&mut self, observed: Option<u64>) {
        let at = self.elapsed();
        self.tightened();
        let Some((limit, _)) = self.limits.memory else { return };
        self.event(Event::new(Limit::Memory, limit, observed, at));
        self.kill(Cause::Memory);
    }

    pub(super) fn event(&mut self, event: Event) {
        if !self.events.iter().any(|e| e.limit == event.limit) {
            self.events.push(event);
        }
    }

    pub(super) fn elapsed(&self) -> u64 {
        clock::monotonic_ns().saturating_sub(self.keeper.started_ns())
    }

    pub(super) fn deadlines(&mut self) {
        let now = clock::monotonic_ns();
        if self.due.next().is_some_and(|at| at <= now) {
            self.look(now);
        }
        self.unpark();
    }

    fn look(&mut self, now: u64) {
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if due(self.due.hard_kill) {
            self.keeper.kill_hard();
            self.due.hard_kill = None;
        }
        if due(self.due.wall) {
            self.time_over(Cause::Wall, Limit::Wall, now - self.keeper.started_ns());
            return;
        }
        if due(self.due.custody) {
            self.look_at_custody(now);
        }
        if due(self.due.cpu) {
            self.look_at_cpu(now);
        }
        if due(self.due.idle) {
            self.look_at_idle(now);
        }
        if due(self.due.memory) {
            self.tightened();
            self.look_at_memory(now);
        }
        if due(self.due.signals) {
            self.look_at_signals(now);
        }
    }

    /// Limits that somebody has lowered since.
    pub(super) fn tightened(&mut self) {
        let Some(restrict) = &self.options.restrict else { return };
        self.limits.memory = restrict.memory().or(self.limits.memory);
        self.limits.processes = restrict.processes().or(self.limits.processes);
    }

    fn time_over(&mut self, cause: Cause, limit: Limit, observed: u64) {
        let at = self.elapsed();
        let ns = |d: Option<std::time::Duration>| d.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        let value = match limit {
            Limit::Cpu => ns(self.limits.cpu),
            Limit::Wall => ns(self.limits.wall),
            _ => ns(self.limits.idle),
        };
        self.event(Event::new(limit, value, Some(observed), at));
        self.kill(cause);
    }

    /// Nobody burns more than one second per second and CPU, so the limit cannot be reached before what remains has
    /// been burnt on all of them at once.
    fn look_at_cpu(&mut self, now: u64) {
        let Some(limit) = self.limits.cpu else { return };
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let used = self.collected.cpu.read(&self.keeper, self.cgroup.as_ref());
        if used > limit {
            self.time_over(Cause::Cpu, Limit::Cpu, used);
        } else {
            let pause = ((limit - used) / self.cpus).max(MS);
            // Without a control group a child can have lived and gone meanwhile, and left nothing behind.
            let counted = self.cgroup.as_ref().is_some_and(|group| group.cpu_version().is_some());
            let pause = if counted { pause } else { pause.min(self.collected.cpu.pause()) };
            self.due.cpu = Some(clock::monotonic_ns().max(now) + pause);
        }
    }

    fn look_at_idle(&mut self, now: u64) {
        let Some(limit) = self.limits.idle else { return };
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let used = self.collected.cpu.read(&self.keeper, self.cgroup.as_ref());
        let (since, before) = self.idle_since;
        // Switching to a task and back costs it some microseconds even if it only goes back to sleep.
        if used > before + MS / 10 || self.custody.stands() {
            self.idle_since = (now, used);
        } else if now.saturating_sub(since) >= limit {
            self.time_over(Cause::Idle, Limit::Idle, now.saturating_sub(since));
            return;
        }
        self.due.idle = Some(now + (limit / 8).clamp(MS, 100 * MS));
    }

    /// Limits that answer the program with an errno and tell nobody else.
    pub(super) fn look_at_quiet_limits(&mut self) {
        let pid = self.keeper.pid();
        if let Some(limit) = self.limits.open_files {
            let most = tasks::below(pid).iter().map(|process| tasks::descriptors(process.pid)).max().unwrap_or(0);
            if most >= limit {
                let at = self.elapsed();
                self.event(Event::new(Limit::OpenFiles, limit, Some(most), at));
            }
        }
        if self.limits.disk.is_some() {
            self.note_disk(memory::disk_left(pid));
        }
    }

    pub(super) fn note_disk(&mut self, left: Option<u64>) {
        // tmpfs gives out whole pages.
        const PAGE: u64 = 4096;
        if let (Some(limit), Some(left)) = (self.limits.disk, left)
            && left < PAGE
        {
            let at = self.elapsed();
            self.event(Event::new(Limit::Disk, limit, Some(limit - left), at));
        }
    }

    /// The last sample: what a program that was faster than the first left on the private disk is memory as well.
    pub(super) fn note_memory_on_disk(&mut self) {
        if let (Some((limit, MemoryBy::Sampling)), Some((used, _))) = (self.limits.memory, self.keeper.disk())
            && used > limit
        {
            let at = self.elapsed();
            self.event(Event::new(Limit::Memory, limit, Some(used), at));
            self.cause.get_or_insert((Cause::Memory, at));
        }
    }

    fn look_at_memory(&mut self, now: u64) {
        self.look_at_quiet_limits();
        let longest = if self.limits.open_files.is_some() { 20 * MS } else { 1000 * MS };
        if let Some(group) = self.cgroup.as_ref().filter(|g| g.memory_version().is_some()) {
            self.collected.group_peak.look(group);
            let uncounted = !group.has_pids();
            if group.oom_kills() > 0 {
                self.memory_over(None);
                return;
            }
            self.memory_pause = (self.memory_pause * 2).min(longest.min(100 * MS));
            self.due.memory = Some(now + self.memory_pause);
            if uncounted {
                self.note_tasks(tasks::below(self.keeper.pid()).iter().map(|process| process.threads).sum());
            }
            return;
        }
        let sample = self.sampler.look(self.keeper.pid(), now);
        self.collected.sampled_peak = self.collected.sampled_peak.max(Some(sample.bytes).filter(|b| *b > 0));
        self.note_tasks(sample.tasks);
        if self.limits.memory.is_some_and(|(limit, _)| sample.bytes > limit) {
            self.memory_over(Some(sample.bytes));
        } else if self.limits.memory.is_some() {
            self.due.memory = Some(clock::monotonic_ns() + sample.pause);
        } else {
            self.memory_pause = (self.memory_pause * 2).min(longest);
            self.due.memory = Some(now + self.memory_pause.max(sample.pause));
        }
    }

    /// Whether a box that has as many tasks as it may is taken for one that was refused more: RLIMIT_NPROC tells nobody when it refuses. Every program
    /// stands at a limit of one, and in a box that was held tasks did not begin for another reason.
    pub(super) fn tells_a_refusal(&self, limit: u64, by: ProcessesBy) -> bool {
        let silent = matches!(by, ProcessesBy::RlimitInNamespace | ProcessesBy::RlimitOfUser);
        silent && limit > 1 && !self.custody.was_held()
    }

    fn note_tasks(&mut self, tasks: u64) {
        self.collected.tasks_peak = self.collected.tasks_peak.max(tasks);
        if let Some((limit, by)) = self.limits.processes
            && self.tells_a_refusal(limit, by)
            && tasks >= limit
        {
            let at = self.elapsed();
            self.event(Event::new(Limit::Processes, limit, Some(tasks), at));
        }
    }
}
