//! The notify engine: handlers are asked in the session's own loop, or by the thread that receives for it.
//!
//! Each notification is answered once, by its type. What takes time is deferred to the pool, and the call waits with its
//! notification; what a handler has looked at of an exec is compared when it has happened ([`super::guard`]). A caller whose deferred call a signal would have
//! interrupted takes its signal: the kernel itself lets only fatal ones through while a received call waits (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).

use std::collections::HashMap;
use std::fmt;
use std::os::fd::BorrowedFd;

use tipstaff_abi::{Arch, errno};
use tipstaff_notify::Notification;

use super::birth::{self, Birth};
use super::exec::Approved;
use super::guard::{Exec, Guard};
use super::pool::{Answer, Pool};
use super::said::{refused, ruled};
use super::threads::Threads;
use super::voice::{Said, Voice};
use crate::denials::Denials;
use crate::handler::{Action, Asked, Entry, Guest, Handlers, Process, Recall, Seen, Trap, Verdict};
use crate::tasks;

/// Calls that a signal ends early and SA_RESTART makes again: signal(7). Only these can be interrupted while they are decided.
const RESTARTED: [&str; 22] = [
    "accept",
    "accept4",
    "connect",
    "creat",
    "flock",
    "open",
    "openat",
    "openat2",
    "read",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "wait4",
    "waitid",
    "write",
    "writev",
    "mq_timedreceive",
    "mq_timedsend",
];

/// Handlers that are asked by notifications.
pub struct Notify {
    handlers: Handlers,
    voice: Voice,
    pool: Option<Pool>,
    guard: Guard,
    /// Calls that wait for a decision, by ticket.
    waiting: HashMap<u64, Waiting>,
    threads: Option<Threads>,
    /// Somebody wants to know every process before it runs.
    registers: bool,
}

struct Waiting {
    call: Notification,
    /// Who has deferred.
    seat: usize,
    /// What the handlers have found out so far.
    seen: Seen,
    /// What was begun for it must be ended first.
    recall: Option<Recall>,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It has its answer, or will.
    Done,
    /// The box must die, and the caller stays where it is.
    Kill,
}

/// The caller of a notification.
struct Caller<'a>(&'a Notification);

impl Guest for Caller<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.0.read(address, into).unwrap_or(0)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.0.write(address, bytes) == Ok(bytes.len())
    }

    fn stack(&self) -> Option<u64> {
        None
    }

    fn process(&self, tid: i32) -> Option<i32> {
        tasks::process_of(tid).filter(|_| self.is_waiting())
    }

    fn is_waiting(&self) -> bool {
        self.0.is_waiting()
    }

    fn replace(&self, at: u32, fd: BorrowedFd<'_>, cloexec: bool) -> bool {
        self.0.replace(at, fd, cloexec)
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notify").field("handlers", &self.handlers).finish_non_exhaustive()
    }
}

impl Notify {
    /// Handlers of one box.
    pub fn new(handlers: Handlers) -> std::io::Result<Self> {
        let voice = Voice::new()?;
        let registers = handlers.knows_processes();
        let threads = handlers.keeps_threads().then(Threads::new).transpose()?;
        let guard = Guard::new(voice.clone());
        Ok(Self { handlers, voice, pool: None, guard, waiting: HashMap::new(), threads, registers })
    }

    /// The box has started.
    pub(crate) fn start(&mut self, ancestor: i32) {
        if let Some(fault) = self.handlers.start(ancestor) {
            self.voice.fault(fault);
        }
        // Nobody else can have been made yet: whoever makes one waits for us.
        if self.registers
            && let Some(first) = tasks::below(ancestor).first()
        {
            self.born(&Process::look(first.pid));
        }
    }

    fn born(&mut self, process: &Process) {
        if let Some(fault) = self.handlers.born(process) {
            self.voice.fault(fault);
        }
    }

    /// Readable when a deferred decision has come, or something is to be heard.
    pub(crate) fn news(&self) -> BorrowedFd<'_> {
        self.voice.news()
    }

    /// Readable when a thread has ended of which a handler keeps something.
    pub(crate) fn ends(&self) -> Option<BorrowedFd<'_>> {
        self.threads.as_ref().map(Threads::ends)
    }

    pub(crate) fn hear(&self) -> Said {
        self.voice.hear()
    }

    /// Calls wait for a decision that takes time.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tells the handlers of the threads that are gone.
    pub(crate) fn part(&mut self) {
        for tid in self.threads.as_mut().map(Threads::ended).unwrap_or_default() {
            self.gone(tid);
        }
    }

    fn gone(&mut self, tid: i32) {
        if let Some(fault) = self.handlers.gone(tid) {
            self.voice.fault(fault);
        }
    }

    /// Asks about a call, and answers it.
    pub(crate) fn serve(&mut self, call: Notification, denials: &mut Denials) -> Answered {
        let Some(tid) = call.pid().map(u32::cast_signed) else {
            // Nobody can be told who it is.
            let _ = call.refuse(errno::EPERM.into());
            return Answered::Done;
        };
        if self.registers && self.guard.births().comes_again(tid) {
            // It has been decided about, and a tracer waits for what comes of it.
            call.proceed_unjudged();
            return Answered::Done;
        }
        if let Some(threads) = &mut self.threads
            && threads.meet(tid, || tasks::process_of(tid).unwrap_or(tid))
        {
            self.gone(tid);
        }
        self.ask(call, 0, Seen::default(), denials)
    }

    /// Asks the handlers from seat `from` on.
    fn ask(&mut self, call: Notification, from: usize, seen: Seen, denials: &mut Denials) -> Answered {
        let caller = Caller(&call);
        let mut entry = Entry::new(trap(&caller, seen));
        let mut asked = self.handlers.ask(&mut entry, from, &mut Vec::new());
        if let Some(fault) = asked.fault.take() {
            self.voice.fault(fault);
        }
        if let Verdict::Defer(mut deferred) = asked.verdict {
            let recall = deferred.recall.take();
            if self.pool.is_none() {
                self.pool = Pool::start().ok();
            }
            let ticket = match self.pool.as_mut() {
                Some(pool) => pool.take(deferred),
                None => Err((Action::Errno(errno::EPERM), None)),
            };
            match ticket {
                Ok(ticket) => {
                    let seen = entry.trap.into_seen();
                    let seat = asked.by.unwrap_or_default();
                    self.waiting.insert(ticket, Waiting { call, seat, seen, recall });
                    // It may have been decided before anybody waited for it.
                    self.voice.wake();
                    return Answered::Done;
                }
                Err((action, fault)) => {
                    if let Some(words) = fault {
                        self.voice.fault(format!("handler {}: {words}", self.handlers.name(asked.by)));
                    }
                    asked.verdict = Verdict::of(action);
                }
            }
        }
        let approved = approve(&mut asked, &entry.trap);
        drop(entry);
        self.decided(asked, approved, call, denials)
    }

    /// A verdict that is none to wait for.
    fn decided(
        &mut self,
        asked: Asked,
        approved: Result<Option<Approved>, u16>,
        call: Notification,
        denials: &mut Denials,
    ) -> Answered {
        let data = *call.data();
        let pid = call.pid();
        let mut deny = |errno| {
            let number = data.nr.cast_unsigned();
            let arch = Arch::of(data.arch, number).unwrap_or(Arch::X86_64);
            let name = tipstaff_abi::Sysno(number).name(arch);
            denials.count(refused(name, number, arch, self.handlers.name(asked.by), errno), data.args, pid, 1);
        };
        match (asked.verdict, approved) {
            // A program that is not there is no refusal.
            (Verdict::Make, Err(errno)) => drop(call.refuse(errno.into())),
            (Verdict::Make, Ok(Some(approved))) => {
                let tid = pid.unwrap_or_default().cast_signed();
                self.guard.watch(Exec { call, tid, approved });
            }
            (Verdict::Make, Ok(None)) if self.registers && birth::makes_process(&data) => {
                let tid = pid.unwrap_or_default().cast_signed();
                self.guard.deliver(Birth { call, tid });
            }
            // What was read may have been a reason to refuse, and was none; what allows is the profile: `handler`, the table.
            (Verdict::Make, Ok(None)) => call.proceed_unjudged(),
            (Verdict::Errno(errno), _) => {
                deny(Some(errno));
                let _ = call.refuse(errno.into());
            }
            (Verdict::Deny(denied), _) => {
                let number = data.nr.cast_unsigned();
                let arch = Arch::of(data.arch, number).unwrap_or(Arch::X86_64);
                let errno = denied.errno;
                let told = ruled(tipstaff_abi::Sysno(number).name(arch), number, arch, *denied);
                denials.count(told, data.args, pid, 1);
                let _ = call.refuse(errno.into());
            }
            (Verdict::Return(value), _) => drop(call.give(value)),
            (Verdict::Kill, _) => {
                deny(None);
                call.leave_to_die();
                return Answered::Kill;
            }
            // A deferral within a deferral.
            (Verdict::Defer(_), _) => drop(call.refuse(errno::EPERM.into())),
        }
        Answered::Done
    }

    /// Answers the calls that have been decided meanwhile.
    pub(crate) fn settle(&mut self, denials: &mut Denials) -> Answered {
        let mut end = Answered::Done;
        for (process, told) in self.guard.births().registrations() {
            self.born(&process);
            drop(told);
        }
        while !self.waiting.is_empty() {
            let voice = self.voice.clone();
            let Some(pool) = &self.pool else { break };
            let answers = pool.answers(Box::new(move || voice.wake()));
            if answers.is_empty() {
                break;
            }
            for answer in answers {
                if self.answered(answer, denials) == Answered::Kill {
                    end = Answered::Kill;
                }
            }
        }
        end
    }

    fn answered(&mut self, answer: Answer, denials: &mut Denials) -> Answered {
        let Some(waiting) = self.waiting.remove(&answer.ticket) else { return Answered::Done };
        let Waiting { call, seat, seen, .. } = waiting;
        if let Some(words) = answer.fault {
            self.voice.fault(format!("handler {}: {words}", self.handlers.name(Some(seat))));
        }
        match answer.action {
            Action::Pass => self.ask(call, seat + 1, seen, denials),
            // Rules of the profile have the last word.
            Action::Allow if seat < self.handlers.first_rule() => {
                let from = self.handlers.first_rule();
                self.ask(call, from, seen, denials)
            }
            action => {
                let mut asked = Asked { verdict: Verdict::of(action), by: Some(seat), fault: None };
                let caller = Caller(&call);
                let trap = trap(&caller, seen);
                let approved = approve(&mut asked, &trap);
                drop(trap);
                self.decided(asked, approved, call, denials)
            }
        }
    }

    /// Lets callers go that have a signal to take, or asks for that, and drops those that are gone. A decision that comes later finds nobody.
    pub(crate) fn interrupt(&mut self) {
        let mut free = Vec::new();
        for (ticket, waiting) in &self.waiting {
            let data = waiting.call.data();
            let number = data.nr.cast_unsigned();
            let name = Arch::of(data.arch, number).and_then(|arch| tipstaff_abi::Sysno(number).name(arch));
            let tid = waiting.call.pid().unwrap_or_default().cast_signed();
            let restarted = name.is_some_and(|name| RESTARTED.contains(&name));
            let gone = !waiting.call.is_waiting();
            if gone || (restarted && tasks::has_signal(tid)) {
                if let Some(recall) = &waiting.recall {
                    recall();
                }
                // Of what was begun, only those who do it know how far it has come: theirs is the answer.
                if gone || waiting.recall.is_none() {
                    free.push(*ticket);
                }
            }
        }
        for ticket in free {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                let _ = waiting.call.restart();
            }
        }
    }
}

/// A call that waits for its decision.
fn trap<'a>(caller: &'a Caller<'a>, seen: Seen) -> Trap<'a> {
    let data = caller.0.data();
    let number = data.nr.cast_unsigned();
    Trap {
        arch: Arch::of(data.arch, number).unwrap_or(Arch::X86_64),
        number,
        args: data.args,
        pid: 0.into(),
        tid: caller.0.pid().unwrap_or_default().cast_signed(),
        guest: caller,
        looked: seen.looked.into(),
        memory: seen.memory.into(),
        approved: seen.approved.into(),
    }
}

/// What an exec that was looked at must become; Err: the errno that the kernel would answer.
fn approve(asked: &mut Asked, trap: &Trap<'_>) -> Result<Option<Approved>, u16> {
    let made = trap.looked.get() && matches!(asked.verdict, Verdict::Make);
    let exec = made && matches!(trap.name(), Some("execve" | "execveat"));
    if exec { trap.approved().map(Some) } else { Ok(None) }
}
