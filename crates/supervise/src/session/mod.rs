//! The loop over one box.

mod answers;
mod custody;
mod due;
mod end;
mod limits;
mod receiver;
mod streams;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;
use tipstaff_launch::{Idle, Launched};
use tipstaff_notify::Listener;
use tipstaff_policy::lower::{FilterPlan, LimitPlan, Plan};
use tipstaff_report::{Cause, Event, Outcome};
use tipstaff_sys::clock;
use tipstaff_sys::keeper::{Keeper, Remote};

use crate::account::Shortage;
use crate::engine::{Engine, Said};
use crate::forks::Refused;
use crate::memory::Sampler;
use crate::policy_fn::{Restrict, Surface};
use crate::procfs;
use crate::relay::{Relay, Sink};
use crate::tasks;
use crate::usage::Collected;
use answers::{Answers, Pace};
pub use custody::{Attendant, Look, LookProcess};
use due::Due;
use receiver::Receiver;

/// What a session relays and listens to beside its box.
#[derive(Debug, Default)]
pub struct Options {
    /// The guest's output streams.
    pub relays: Vec<Relay>,
    /// Output counts against the limit (a terminal's does not, unless a limit is set).
    pub count_output: bool,
    /// The box has a terminal: our standard input feeds it, its output goes to our standard output.
    pub terminal: Option<(OwnedFd, OwnedFd)>,
    /// Asks the handlers; a tracer has taken the box's first process.
    pub engine: Engine,
    /// Where a handler counts the tasks, what it refused.
    pub forks: Option<Arc<Refused>>,
    /// Where a handler accounts memory, what it refused.
    pub shortage: Option<Arc<Shortage>>,
    /// A signalfd: SIGWINCH resizes the terminal, everything else goes to the guest; a second SIGINT kills.
    pub signals: Option<OwnedFd>,
    /// Takes things away from the box while it runs.
    pub restrict: Option<Restrict>,
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
    pub const THREADS: u64 = 8;
    pub const ATTENDANT: u64 = 9;
    pub const RECEIVER: u64 = 10;
    pub const ANTEROOM: u64 = 11;
    pub const RELAY: u64 = 16;
}

const MS: u64 = 1_000_000;
/// The kill of a keeper that does not answer, after this.
const HARD_KILL_NS: u64 = 1000 * MS;
/// After the kill, or after the end of the first process, tasks that are still there are in a sleep from which no signal wakes them (a network or FUSE file
/// system whose server is silent). The end of a process with very much memory takes a second or two.
const GIVE_UP_NS: u64 = 10_000 * MS;
/// If they are not, it is looked again.
const LOOK_AGAIN_NS: u64 = 1000 * MS;
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

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
    options: Options,
    /// Our standard input and the master of the box's terminal.
    input: Option<(OwnedFd, OwnedFd)>,
    /// Relays that wait for their reader, by index.
    parked: Vec<bool>,
    due: Due,
    custody: custody::Custody,
    attendant: Option<Box<dyn Attendant>>,
    /// Shared with the receiver.
    answers: Arc<Mutex<Answers>>,
    /// More than one call waited when we looked last.
    crowded: bool,
    pace: Pace,
    /// Has the listener, as long as calls follow each other.
    receiver: Option<Receiver>,
    cpus: u64,
    memory_pause: u64,
    sampler: Sampler,
    idle_since: (u64, u64),
    interrupts: u32,
    cause: Option<(Cause, u64)>,
    events: Vec<Event>,
    collected: Collected,
    counted_output: u64,
    /// What failed in a handler or in the engine.
    fault: Option<String>,
    outcome: Option<Outcome>,
    done: bool,
    /// Somebody drops it elsewhere who can wait for the keeper.
    lingers: bool,
    /// Where the listener of the keeper's next box will arrive.
    next_channel: Option<OwnedFd>,
}

impl Session {
    /// Takes a launched box over. `cpus` is how many CPUs the box can use at once.
    pub fn new(launched: Launched, plan: &Plan, cpus: u32, mut options: Options) -> io::Result<Self> {
        let Launched { keeper, cgroup, channel, terminal, again } = launched;
        // The guest has executed, so its listener is in the channel already.
        let listener = channel.as_ref().map(|channel| tipstaff_notify::receive(channel.as_fd())).transpose()?;
        let next_channel = channel.filter(|_| again);
        let mut input = None;
        if let (Some(channel), Some((from, to))) = (terminal, options.terminal.take()) {
            let master = tipstaff_notify::receive_fd(channel.as_fd())?;
            options.relays.push(Relay::new(master.try_clone()?, Sink::Fd(to))?);
            input = Some((from, master));
        }
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let started = keeper.started_ns();
        let mut session = Self {
            parked: vec![false; options.relays.len()],
            limits: plan.limits.clone(),
            filter: plan.filter.clone(),
            rules: plan.rules.iter().map(|r| r.enforcement.clone()).collect(),
            due: Due::new()?,
            custody: custody::Custody::new(plan, u64::from(cpus.max(1)), started),
            attendant: None,
            answers: Arc::new(Mutex::new(Answers {
                engine: std::mem::take(&mut options.engine),
                ..Answers::default()
            })),
            crowded: false,
            pace: Pace::default(),
            receiver: None,
            cpus: u64::from(cpus.max(1)),
            memory_pause: MS,
            sampler: Sampler::new(plan.limits.memory.map(|(bytes, _)| bytes), u64::from(cpus), started),
            idle_since: (started, 0),
            interrupts: 0,
            cause: None,
            events: Vec::new(),
            collected: Collected::default(),
            counted_output: 0,
            fault: None,
            outcome: None,
            done: false,
            lingers: false,
            next_channel,
            keeper,
            cgroup,
            listener,
            epoll,
            input,
            options,
        };
        if let Some(restrict) = &session.options.restrict {
            restrict.open(Surface {
                keeper: session.keeper.pidfd().try_clone_to_owned()?,
                pid: session.keeper.pid(),
                started_ns: started,
                namespaces: plan.namespaces,
                limiter: session.cgroup.as_ref().map(tipstaff_cgroup::Cgroup::limiter),
                processes: session.limits.processes,
                memory: session.limits.memory,
                lowered: false,
            });
        }
        let ancestor = session.keeper.pid();
        if let Engine::Notify(notify) = &mut session.answers().engine {
            notify.start(ancestor);
        }
        session.register()?;
        session.first_deadlines(started);
        session.arm();
        Ok(session)
    }

    fn register(&self) -> io::Result<()> {
        let add = |fd: BorrowedFd<'_>, token, flags| epoll::add(&self.epoll, fd, EventData::new_u64(token), flags);
        add(self.keeper.pidfd(), token::KEEPER, EventFlags::IN)?;
        add(self.keeper.changed(), token::CHANGED, EventFlags::IN)?;
        add(self.due.timer(), token::TIMER, EventFlags::IN)?;
        if let Some(listener) = &self.listener {
            add(listener.as_fd(), token::LISTENER, EventFlags::IN)?;
        }
        let answers = self.answers();
        if let Some(news) = answers.engine.news() {
            add(news, token::ENGINE, EventFlags::IN)?;
        }
        if let Some(anteroom) = answers.engine.anteroom() {
            add(anteroom.ends(), token::ANTEROOM, EventFlags::IN)?;
        }
        if let Engine::Notify(notify) = &answers.engine
            && let Some(ends) = notify.ends()
        {
            add(ends, token::THREADS, EventFlags::IN)?;
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

    /// The outcome does not wait until the keeper has removed what is left of the empty box and ended; dropping the session does.
    pub fn linger(&mut self) {
        self.lingers = true;
    }

    /// The keeper, after the end of a lingering session, where it can have another box.
    pub fn idle_keeper(&mut self) -> Option<Idle> {
        if !self.done || self.cgroup.is_some() {
            return None;
        }
        let channel = self.next_channel.take();
        Idle::new(&mut self.keeper, channel)
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
        self.due.give_up.get_or_insert(now + GIVE_UP_NS);
        self.due.only_the_kill();
    }

    /// Sets the timer. No limit would be kept without it, so a box whose timer cannot be set is ended.
    fn arm(&mut self) {
        if let Err(error) = self.due.arm() {
            self.fault.get_or_insert(format!("the timer cannot be set: {error}"));
            self.kill(Cause::SupervisorFault);
        }
    }

    /// Sends a signal to the guest's process group.
    pub fn signal(&self, number: i32) {
        self.keeper.remote().signal(number);
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> io::Result<Outcome> {
        let mut pause = Some(NOW);
        loop {
            if let Some(outcome) = self.turn(pause.as_ref())? {
                return Ok(outcome);
            }
            pause = None;
        }
    }

    /// Does what is due, without waiting. The outcome comes once, when the box is empty.
    pub fn dispatch(&mut self) -> io::Result<Option<Outcome>> {
        self.turn(Some(&NOW))
    }

    /// Waits for something to do and does it.
    fn turn(&mut self, pause: Option<&Timespec>) -> io::Result<Option<Outcome>> {
        if self.done {
            return Ok(self.outcome.take());
        }
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 16];
        let mut tokens = [(0, EventFlags::empty()); 16];
        let ready = match epoll::wait(&self.epoll, &mut events, pause) {
            Ok((ready, _)) => {
                tokens.iter_mut().zip(&*ready).for_each(|(token, event)| *token = (event.data.u64(), event.flags));
                ready.len()
            }
            Err(rustix::io::Errno::INTR) => 0,
            Err(e) => return Err(e.into()),
        };
        let (mut ended, mut others) = (false, false);
        for (token, flags) in &tokens[..ready] {
            ended |= *token == token::KEEPER;
            others |= *token != token::LISTENER;
            self.handle(*token, *flags);
        }
        // Nothing is due before the timer says so: a call that is answered needs no look at the clock.
        if others {
            self.deadlines();
        } else {
            self.unpark();
        }
        if procfs::was_blind() {
            self.hear(Said { lost: Some(procfs::BLIND_WORDS.to_owned()), ..Said::default() });
        }
        if let Some(mut attendant) = self.attendant.take() {
            attendant.turned(self);
            self.attendant = Some(attendant);
        }
        if self.is_stuck() || self.keeper.is_empty() || (ended && self.keeper.is_lost()) {
            let outcome = self.conclude();
            self.done = true;
            if let Some(attendant) = self.attendant.take() {
                attendant.ended();
            }
            return Ok(Some(outcome));
        }
        self.arm();
        Ok(None)
    }

    /// Nothing but tasks that no signal ends are left. Whoever only waits for a CPU of a busy machine is waited for.
    fn is_stuck(&mut self) -> bool {
        let now = clock::monotonic_ns();
        if self.due.give_up.is_none_or(|at| at > now) {
            return false;
        }
        self.due.give_up = Some(now + LOOK_AGAIN_NS);
        !self.keeper.is_empty() && tasks::none_wakes(self.keeper.pid())
    }

    fn handle(&mut self, token: u64, flags: EventFlags) {
        match token {
            token::CHANGED => {
                self.keeper.acknowledge();
                if self.keeper.status().is_some() && !self.keeper.is_empty() {
                    self.due.give_up.get_or_insert(clock::monotonic_ns() + GIVE_UP_NS);
                }
            }
            token::TIMER => self.due.fired(),
            token::LISTENER if flags.contains(EventFlags::IN) => self.serve_listener(),
            // No task is left under the filter: nothing will ever come, and the event would stay.
            token::LISTENER => {
                if let Some(listener) = &self.listener {
                    let _ = epoll::delete(&self.epoll, listener);
                }
            }
            token::OOM => self.out_of_memory(),
            token::SIGNALS => self.take_signals(),
            token::INPUT => self.feed(),
            token::ENGINE => {
                let said = self.answers().engine.hear();
                self.hear(said);
                self.settle();
                self.watch_waiting();
            }
            token::THREADS => {
                if let Engine::Notify(notify) = &mut self.answers().engine {
                    notify.part();
                }
            }
            token::ANTEROOM => {
                if let Some(anteroom) = self.answers().engine.anteroom() {
                    anteroom.hear();
                }
            }
            token::RECEIVER => self.hear_receiver(),
            token::ATTENDANT => self.attended(),
            token if token >= token::RELAY => self.relay((token - token::RELAY) as usize),
            _ => {}
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its handlers end here and now, whoever still holds the rest.
        *self.answers() = Answers { closed: true, ..Answers::default() };
        if let Some(restrict) = &self.options.restrict {
            restrict.close();
        }
    }
}

impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
