//! The loop over one box.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tipstaff_launch::Launched;
use tipstaff_notify::Listener;
use tipstaff_policy::lower::{FilterPlan, LimitPlan, MemoryBy, Plan, ProcessesBy};
use tipstaff_report::{Cause, Coverage, Ending, Event, Limit, Outcome, RunError};
use tipstaff_sys::keeper::{Keeper, Remote};
use tipstaff_sys::wait::Status;
use tipstaff_sys::{clock, signal};

use crate::denials::{Denials, Told};
use crate::engine::{Ptrace, Said};
use crate::relay::{Moved, Relay, Sink};
use crate::usage::{self, Collected};
use crate::{memory, tasks, terminal};

/// What a session relays and listens to beside its box.
#[derive(Debug, Default)]
pub struct Options {
    /// The guest's output streams.
    pub relays: Vec<Relay>,
    /// Output counts against the limit (a terminal's does not, unless a limit is set).
    pub count_output: bool,
    /// The box has a terminal: our standard input feeds it, its output goes to our standard output.
    pub terminal: Option<(OwnedFd, OwnedFd)>,
    /// Asks the handlers, and has taken the box's first process.
    pub engine: Option<Ptrace>,
    /// A signalfd: SIGWINCH resizes the terminal, everything else goes to the guest; a second SIGINT kills.
    pub signals: Option<OwnedFd>,
}

mod token {
    pub const KEEPER: u64 = 0;
    pub const CHANGED: u64 = 1;
    pub const TIMER: u64 = 2;
    pub const LISTENER: u64 = 3;
    pub const OOM: u64 = 4;
    pub const SIGNALS: u64 = 5;
    pub const INPUT: u64 = 6;
    pub const ENGINE: u64 = 7;
    pub const RELAY: u64 = 16;
}

const MS: u64 = 1_000_000;
/// The kill of a keeper that does not answer, after this.
const HARD_KILL_NS: u64 = 1000 * MS;
/// Notifications answered in one go.
const BUDGET: usize = 64;

/// When something is looked at next, on CLOCK_MONOTONIC.
#[derive(Debug, Default)]
struct Due {
    cpu: Option<u64>,
    memory: Option<u64>,
    idle: Option<u64>,
    wall: Option<u64>,
    hard_kill: Option<u64>,
}

/// One box under supervision.
#[derive(Debug)]
pub struct Session {
    keeper: Keeper,
    cgroup: Option<tipstaff_cgroup::Cgroup>,
    listener: Option<Listener>,
    filter: Option<Arc<FilterPlan>>,
    limits: LimitPlan,
    rules: Vec<tipstaff_report::Enforcement>,
    epoll: OwnedFd,
    timer: OwnedFd,
    options: Options,
    /// Our standard input and the master of the box's terminal.
    input: Option<(OwnedFd, OwnedFd)>,
    /// Relays that have ended, by index.
    ended: Vec<bool>,
    due: Due,
    cpus: u64,
    memory_pause: u64,
    idle_since: (u64, u64),
    interrupts: u32,
    cause: Option<(Cause, u64)>,
    events: Vec<Event>,
    denials: Denials,
    collected: Collected,
    counted_output: u64,
    /// What failed in a handler or in the engine.
    fault: Option<String>,
    outcome: Option<Outcome>,
    done: bool,
}

impl Session {
    /// Takes a launched box over. `cpus` is how many CPUs the box can use at once.
    pub fn new(launched: Launched, plan: &Plan, cpus: u32, mut options: Options) -> io::Result<Self> {
        let Launched { keeper, cgroup, channel, terminal } = launched;
        // The guest has executed, so its listener is in the channel already.
        let listener = channel.map(|channel| tipstaff_notify::receive(channel.as_fd())).transpose()?;
        let mut input = None;
        if let (Some(channel), Some((from, to))) = (terminal, options.terminal.take()) {
            let master = tipstaff_notify::receive_fd(channel.as_fd())?;
            options.relays.push(Relay::new(master.try_clone()?, Sink::Fd(to))?);
            input = Some((from, master));
        }
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let started = keeper.started_ns();
        let mut session = Self {
            ended: vec![false; options.relays.len()],
            limits: plan.limits.clone(),
            filter: plan.filter.clone(),
            rules: plan.rules.iter().map(|r| r.enforcement.clone()).collect(),
            due: Due::default(),
            cpus: u64::from(cpus.max(1)),
            memory_pause: MS,
            idle_since: (started, 0),
            interrupts: 0,
            cause: None,
            events: Vec::new(),
            denials: Denials::default(),
            collected: Collected::default(),
            counted_output: 0,
            fault: None,
            outcome: None,
            done: false,
            keeper,
            cgroup,
            listener,
            epoll,
            timer,
            input,
            options,
        };
        session.register()?;
        session.first_deadlines(started);
        session.arm();
        Ok(session)
    }

    fn register(&self) -> io::Result<()> {
        let add = |fd: BorrowedFd<'_>, token, flags| epoll::add(&self.epoll, fd, EventData::new_u64(token), flags);
        add(self.keeper.pidfd(), token::KEEPER, EventFlags::IN)?;
        add(self.keeper.changed(), token::CHANGED, EventFlags::IN)?;
        add(self.timer.as_fd(), token::TIMER, EventFlags::IN)?;
        if let Some(listener) = &self.listener {
            add(listener.as_fd(), token::LISTENER, EventFlags::IN)?;
        }
        if let Some(engine) = &self.options.engine {
            add(engine.news(), token::ENGINE, EventFlags::IN)?;
        }
        if let Some((fd, priority)) = self.cgroup.as_ref().and_then(|g| g.oom_fd()) {
            add(fd, token::OOM, if priority { EventFlags::PRI } else { EventFlags::IN })?;
        }
        if let Some(signals) = &self.options.signals {
            add(signals.as_fd(), token::SIGNALS, EventFlags::IN)?;
        }
        if let Some((from, _)) = &self.input {
            // A regular file cannot be polled; then there is no terminal behind it either.
            let _ = add(from.as_fd(), token::INPUT, EventFlags::IN);
        }
        for (index, relay) in self.options.relays.iter().enumerate() {
            if let Some(source) = relay.source() {
                add(source, token::RELAY + index as u64, EventFlags::IN)?;
            }
        }
        Ok(())
    }

    fn first_deadlines(&mut self, started: u64) {
        let ns = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.due.wall = self.limits.wall.map(|d| started.saturating_add(ns(d)));
        self.due.idle = self.limits.idle.map(|d| started.saturating_add((ns(d) / 8).clamp(MS, 100 * MS)));
        // The first looks come early: a limit may be smaller than what a program burns at its start.
        self.due.cpu = self.limits.cpu.map(|d| started.saturating_add((ns(d) / self.cpus).clamp(MS, 500 * MS)));
        self.due.memory = Some(started + MS);
    }

    /// A handle that kills or signals from any thread.
    pub fn remote(&self) -> Remote {
        self.keeper.remote()
    }

    /// Ends the run; the first cause is the one that counts.
    pub fn kill(&mut self, cause: Cause) {
        let now = clock::monotonic_ns();
        // A program that ended first ended by itself; but what it wrote before that was too much all the same.
        if self.cause.is_none() && (self.keeper.status().is_none() || cause == Cause::Output) {
            self.cause = Some((cause, now.saturating_sub(self.keeper.started_ns())));
        }
        self.keeper.kill();
        self.due.hard_kill.get_or_insert(now + HARD_KILL_NS);
        (self.due.cpu, self.due.memory, self.due.idle, self.due.wall) = (None, None, None, None);
    }

    /// Sends a signal to the guest's process group.
    pub fn signal(&self, number: i32) {
        self.keeper.remote().signal(number);
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> io::Result<Outcome> {
        loop {
            if let Some(outcome) = self.dispatch()? {
                return Ok(outcome);
            }
            match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Does what is due, without waiting. The outcome comes once, when the box is empty.
    pub fn dispatch(&mut self) -> io::Result<Option<Outcome>> {
        if self.done {
            return Ok(self.outcome.take());
        }
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 16];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready: Vec<u64> = match epoll::wait(&self.epoll, &mut events, Some(&now)) {
            Ok((ready, _)) => ready.iter().map(|event| event.data.u64()).collect(),
            Err(rustix::io::Errno::INTR) => Vec::new(),
            Err(e) => return Err(e.into()),
        };
        for token in ready {
            self.handle(token);
        }
        self.deadlines();
        if self.keeper.is_empty() || self.keeper.is_lost() {
            let outcome = self.conclude();
            self.done = true;
            return Ok(Some(outcome));
        }
        self.arm();
        Ok(None)
    }

    fn handle(&mut self, token: u64) {
        match token {
            token::CHANGED => self.keeper.acknowledge(),
            token::TIMER => {
                let mut count = [0u8; 8];
                let _ = rustix::io::read(&self.timer, &mut count);
            }
            token::LISTENER => self.serve_listener(),
            token::OOM => self.out_of_memory(),
            token::SIGNALS => self.take_signals(),
            token::INPUT => self.feed(),
            token::ENGINE => {
                let said = self.options.engine.as_ref().map(Ptrace::hear);
                self.hear(said.unwrap_or_default());
            }
            token if token >= token::RELAY => self.relay((token - token::RELAY) as usize),
            _ => {}
        }
    }

    fn serve_listener(&mut self) {
        let (Some(listener), Some(filter)) = (&self.listener, &self.filter) else { return };
        match self.denials.serve(listener, filter, BUDGET) {
            Told::Answered => {}
            Told::Kill => self.kill(Cause::Policy),
            Told::Ended => {
                let _ = epoll::delete(&self.epoll, listener);
            }
        }
    }

    fn hear(&mut self, said: Said) {
        for (call, (args, pid, times)) in said.denied {
            self.denials.count(call, args, Some(pid), times);
        }
        self.denials.dropped += said.dropped;
        if let Some(words) = said.fault {
            self.fault.get_or_insert(words);
        }
        if let Some(at) = said.kill {
            // The tracer has said so before it killed, and we may hear of the end first.
            if self.cause.is_none() && self.keeper.ended_ns().is_none_or(|ended| at <= ended) {
                self.cause = Some((Cause::Policy, at.saturating_sub(self.keeper.started_ns())));
            }
            self.kill(Cause::Policy);
        }
        if let Some(words) = said.lost {
            self.fault.get_or_insert(words);
            self.kill(Cause::SupervisorFault);
        }
    }

    fn out_of_memory(&mut self) {
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
        let Some((limit, _)) = self.limits.memory else { return };
        self.event(Event::new(Limit::Memory, limit, observed, at));
        self.kill(Cause::Memory);
    }

    fn event(&mut self, event: Event) {
        if !self.events.iter().any(|e| e.limit == event.limit) {
            self.events.push(event);
        }
    }

    fn elapsed(&self) -> u64 {
        clock::monotonic_ns().saturating_sub(self.keeper.started_ns())
    }

    fn take_signals(&mut self) {
        const SIGINT: i32 = 2;
        const SIGWINCH: i32 = 28;
        let Some(fd) = &self.options.signals else { return };
        let mut numbers = Vec::new();
        while let Some(number) = signal::next(fd.as_fd()) {
            numbers.push(number);
        }
        for number in numbers {
            match number {
                SIGWINCH => {
                    if let Some((from, to)) = &self.input {
                        terminal::copy_size(from.as_fd(), to.as_fd());
                    } else {
                        self.signal(number);
                    }
                }
                SIGINT => {
                    self.interrupts += 1;
                    if self.interrupts >= 2 { self.kill(Cause::User) } else { self.signal(number) }
                }
                other => self.signal(other),
            }
        }
    }

    /// Our terminal's input to the guest's. Both are terminals: a read gives at most one line or what was typed.
    fn feed(&mut self) {
        let Some((from, to)) = &self.input else { return };
        let mut bytes = [0u8; 1024];
        match rustix::io::read(from, &mut bytes) {
            Ok(n) if n > 0 => {
                let mut rest = &bytes[..n];
                while !rest.is_empty() {
                    match rustix::io::write(to, rest) {
                        Ok(n) => rest = &rest[n..],
                        Err(rustix::io::Errno::INTR) => {}
                        // A full terminal drops what is typed, as a full line buffer does.
                        Err(_) => break,
                    }
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // Our side hung up: end of file for the guest (VEOF is 4 unless it changed that).
            _ => {
                let _ = rustix::io::write(to, b"\x04");
                let _ = epoll::delete(&self.epoll, from);
            }
        }
    }

    fn relay(&mut self, index: usize) {
        if matches!(self.cause, Some((Cause::Output, _))) {
            // The budget is used up; the rest is dropped at the end.
            if let Some(source) = self.options.relays.get(index).and_then(Relay::source) {
                let _ = epoll::delete(&self.epoll, source);
            }
            return;
        }
        let limit = self.limits.output;
        let Some(relay) = self.options.relays.get_mut(index) else { return };
        let moved = relay.pump(&mut self.counted_output, limit);
        let stalled = relay.is_stalled();
        match moved {
            Moved::Over => self.output_over(),
            Moved::Ended => self.ended[index] = true,
            Moved::Some | Moved::More => {}
        }
        if stalled {
            self.watch_target(index);
        }
    }

    /// The reader is slow: wait until it takes more instead of reading on.
    fn watch_target(&mut self, index: usize) {
        let Some(relay) = self.options.relays.get(index) else { return };
        let data = EventData::new_u64(token::RELAY + index as u64);
        if let Some(source) = relay.source() {
            let _ = epoll::delete(&self.epoll, source);
        }
        if let Some(target) = relay.target()
            && epoll::add(&self.epoll, target, data, EventFlags::OUT | EventFlags::ONESHOT).is_err()
        {
            // Already watched (both streams may go to one file), or a regular file: it takes everything at once.
            let again = epoll::modify(&self.epoll, target, data, EventFlags::OUT | EventFlags::ONESHOT);
            if let (Err(_), Some(source)) = (again, relay.source()) {
                let _ = epoll::add(&self.epoll, source, data, EventFlags::IN);
            }
        }
    }

    fn output_over(&mut self) {
        let at = self.elapsed();
        if let Some(limit) = self.limits.output {
            self.event(Event::new(Limit::Output, limit, Some(self.counted_output + 1), at));
        }
        self.kill(Cause::Output);
    }

    fn deadlines(&mut self) {
        let now = clock::monotonic_ns();
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if due(self.due.hard_kill) {
            self.keeper.kill_hard();
            self.due.hard_kill = None;
        }
        if due(self.due.wall) {
            self.time_over(Cause::Wall, Limit::Wall, now - self.keeper.started_ns());
            return;
        }
        if due(self.due.cpu) {
            self.look_at_cpu(now);
        }
        if due(self.due.idle) {
            self.look_at_idle(now);
        }
        if due(self.due.memory) {
            self.look_at_memory(now);
        }
        // Stalled relays come back to their source.
        for index in 0..self.options.relays.len() {
            let relay = &self.options.relays[index];
            if let (false, Some(source), None) = (relay.is_stalled(), relay.source(), self.cause) {
                let data = EventData::new_u64(token::RELAY + index as u64);
                let _ = epoll::add(&self.epoll, source, data, EventFlags::IN);
            }
        }
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
            self.due.cpu = Some(clock::monotonic_ns().max(now) + pause);
        }
    }

    fn look_at_idle(&mut self, now: u64) {
        let Some(limit) = self.limits.idle else { return };
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let used = self.collected.cpu.read(&self.keeper, self.cgroup.as_ref());
        let (since, before) = self.idle_since;
        // Switching to a task and back costs it some microseconds even if it only goes back to sleep.
        if used > before + MS / 10 {
            self.idle_since = (now, used);
        } else if now.saturating_sub(since) >= limit {
            self.time_over(Cause::Idle, Limit::Idle, now.saturating_sub(since));
            return;
        }
        self.due.idle = Some(now + (limit / 8).clamp(MS, 100 * MS));
    }

    /// Limits that answer the program with an errno and tell nobody else.
    fn look_at_quiet_limits(&mut self) {
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

    fn note_disk(&mut self, left: Option<u64>) {
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
    fn note_memory_on_disk(&mut self) {
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
            if group.oom_kills() > 0 {
                self.memory_over(None);
                return;
            }
            self.memory_pause = (self.memory_pause * 2).min(longest.min(100 * MS));
            self.due.memory = Some(now + self.memory_pause);
            return;
        }
        let limit = self.limits.memory.map(|(bytes, _)| bytes);
        let sample = memory::sample(self.keeper.pid(), limit);
        self.collected.sampled_peak = self.collected.sampled_peak.max(Some(sample.bytes).filter(|b| *b > 0));
        self.note_tasks(sample.tasks);
        if let Some(limit) = limit {
            if sample.bytes > limit {
                self.memory_over(Some(sample.bytes));
                return;
            }
            // Page faults fill at most some 2 bytes per nanosecond and CPU.
            let pause = ((limit - sample.bytes) / (2 * self.cpus)).clamp(MS, 50 * MS);
            // A look must not cost more than a tenth of the time, whatever the box holds.
            let cost = clock::monotonic_ns().saturating_sub(now);
            self.due.memory = Some(clock::monotonic_ns() + pause.max(cost * 10));
        } else {
            self.memory_pause = (self.memory_pause * 2).min(longest);
            self.due.memory = Some(now + self.memory_pause);
        }
    }

    fn note_tasks(&mut self, tasks: u64) {
        self.collected.tasks_peak = self.collected.tasks_peak.max(tasks);
        if let Some((limit, by)) = self.limits.processes
            && by != ProcessesBy::Cgroup
            && tasks >= limit
        {
            let at = self.elapsed();
            self.event(Event::new(Limit::Processes, limit, Some(tasks), at));
        }
    }

    /// Sets the timer for the earliest thing that is due.
    fn arm(&self) {
        let due = &self.due;
        let all = [due.cpu, due.memory, due.idle, due.wall, due.hard_kill];
        // Zero disarms; a moment in the past fires at once.
        let at = all.into_iter().flatten().min().map_or(0, |at| at.max(1));
        let value = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec);
    }

    fn conclude(&mut self) -> Outcome {
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
        let last = self.options.engine.as_ref().map(Ptrace::finish);
        self.hear(last.unwrap_or_default());
        self.collected.output = self.options.count_output.then_some(self.counted_output);
        self.last_events();
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
        self.keeper.finish();
        self.cgroup = None;
        let denials = std::mem::take(&mut self.denials);
        Outcome {
            ending,
            cause: self.cause,
            events: std::mem::take(&mut self.events),
            usage,
            limits: self.limits.summary(),
            denials: denials.into_report(),
            coverage: if self.listener.is_some() { Coverage::Syscalls } else { Coverage::None },
            enforcement: std::mem::take(&mut self.rules),
            error,
            seccomp_sigsys_is_kill: self.listener.is_none() && self.filter.is_some(),
        }
    }

    /// What only the end can tell: kills by the kernel, refused forks.
    fn last_events(&mut self) {
        self.note_disk(self.keeper.disk().map(|(_, left)| left));
        self.note_memory_on_disk();
        let at = self.keeper.ended_ns().unwrap_or_else(clock::monotonic_ns).saturating_sub(self.keeper.started_ns());
        if let Some((limit, by)) = self.limits.processes
            && by != ProcessesBy::Cgroup
            && self.keeper.tasks_ever() == Some(limit)
        {
            // RLIMIT_NPROC tells nobody when it refuses. A box that had exactly as many tasks as it may, in all its
            // life, has stood at the limit, however short that was.
            self.event(Event::new(Limit::Processes, limit, Some(limit), at));
            self.collected.tasks_peak = self.collected.tasks_peak.max(limit);
        }
        let Some(group) = &self.cgroup else { return };
        if let (Some((limit, _)), true) = (self.limits.memory, group.oom_kills() > 0) {
            self.event(Event::new(Limit::Memory, limit, None, at));
        }
        let Some(group) = &self.cgroup else { return };
        if let (Some((limit, ProcessesBy::Cgroup)), (peak, Some(refused))) = (self.limits.processes, group.pids())
            && refused > 0
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

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
