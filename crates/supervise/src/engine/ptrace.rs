//! The ptrace engine: one thread that traces every task of a box.
//!
//! The box's first process waits at a gate until it is seized (PTRACE_SEIZE, with PTRACE_O_EXITKILL), and only then installs its filter and
//! executes. From then on it runs free but for the calls that the filter sends us (SECCOMP_RET_TRACE) and ptrace's own events. The keeper
//! stays every process's real parent: the kernel tells it of an end when we have seen it.
//!
//! The thread waits blocking, and ends with its last tracee; the session does everything else. Should the thread end otherwise, the
//! kernel kills the tracees.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use tipstaff_policy::lower::DeniedCall;
use tipstaff_sys::Errno;
use tipstaff_trace::{Address, Call, Config, End, Go, Halted, Observer, Resume, Stop, Task, Tracer, Turn};

use super::exec::Approved;
use super::pool::Pool;
use crate::handler::{Asked, Entry, Guest, Handlers, Return, Trap, Verdict};

/// How long the end of a box waits for the tracer's last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What the tracer tells the session.
pub(crate) enum Said {
    /// A handler refused a call, or the exec that was made is not the one that was approved.
    Denied { call: DeniedCall, args: [u64; 6], pid: u32 },
    /// The box must die, by a handler's order.
    Kill,
    /// Tracing or a handler failed.
    Fault(String),
}

#[derive(Default)]
struct Heard {
    said: Vec<Said>,
}

/// A tracer that waits for its box.
pub struct Ptrace {
    take: Sender<(i32, Sender<Result<(), Errno>>)>,
    heard: Arc<Mutex<Heard>>,
    news: Arc<OwnedFd>,
    over: Receiver<()>,
}

impl fmt::Debug for Ptrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ptrace")
    }
}

impl Ptrace {
    /// Starts the thread. It waits for [`Self::take`], and ends if that does not come.
    pub fn start(handlers: Handlers) -> std::io::Result<Self> {
        let (take, taken) = mpsc::channel::<(i32, Sender<Result<(), Errno>>)>();
        let (done, over) = mpsc::channel();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let news = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let voice = Voice { heard: Arc::clone(&heard), news: Arc::clone(&news) };
        thread::Builder::new().name("tracer".into()).spawn(move || {
            if let Ok((pid, reply)) = taken.recv() {
                trace(pid, &reply, handlers, voice);
            }
            drop(done);
        })?;
        Ok(Self { take, heard, news, over })
    }

    /// Takes a process, before it executes anything.
    pub fn take(&self, pid: i32) -> Result<(), Errno> {
        let (reply, answer) = mpsc::channel();
        self.take.send((pid, reply)).map_err(|_| Errno::SRCH)?;
        answer.recv().unwrap_or(Err(Errno::SRCH))
    }

    /// Readable when the tracer has said something.
    pub(crate) fn news(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }

    /// What it has said.
    pub(crate) fn hear(&self) -> Vec<Said> {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&*self.news, &mut count);
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner).said)
    }

    /// The box is empty: waits for the tracer's end, and hears its last words.
    pub(crate) fn finish(&self) -> Vec<Said> {
        let _ = self.over.recv_timeout(LAST_WORDS);
        self.hear()
    }
}

/// Tells the session.
struct Voice {
    heard: Arc<Mutex<Heard>>,
    news: Arc<OwnedFd>,
}

impl Voice {
    fn say(&self, said: Said) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).said.push(said);
        let _ = rustix::io::write(&*self.news, &1u64.to_ne_bytes());
    }
}

fn trace(pid: i32, reply: &Sender<Result<(), Errno>>, handlers: Handlers, voice: Voice) {
    let mut tracer = Tracer::new(Config { start: Go::Free, no_untraced: true, ..Config::default() });
    let taken = tracer.take(pid);
    let failed = taken.is_err();
    let _ = reply.send(taken);
    if failed {
        return;
    }
    let mut guide =
        Guide { handlers, voice, calls: HashMap::new(), execs: HashMap::new(), pool: None, waiting: HashMap::new() };
    loop {
        // Before the wait: what was decided meanwhile; and from here on an answer ends the wait.
        guide.settle(&mut tracer);
        match tracer.step(&mut guide) {
            Ok(Turn::Empty) => return,
            Ok(_) => {}
            Err(e) => {
                // The tracees die with this thread's tracer.
                guide.voice.say(Said::Fault(format!("tracer: {e}")));
                guide.voice.say(Said::Kill);
                return;
            }
        }
    }
}

/// Stands between the tracer's loop and the handlers.
struct Guide {
    handlers: Handlers,
    voice: Voice,
    /// Calls whose return somebody wants to see, by thread.
    calls: HashMap<i32, Call>,
    /// Execs that somebody has looked at, by thread.
    execs: HashMap<i32, Approved>,
    pool: Option<Pool>,
    /// Threads that wait for the pool, by ticket.
    waiting: HashMap<u64, Waiting>,
}

struct Waiting {
    tid: i32,
    /// As it is to be made.
    call: Call,
    asked: Asked,
}

/// A stopped thread's memory.
struct Stopped<'a>(&'a Halted);

impl Guest for Stopped<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.0.memory().read(Address(address), into)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> bool {
        self.0.memory().write(Address(address), bytes).is_ok()
    }
}

fn trap<'a>(call: &Call, task: &Task, guest: &'a dyn Guest) -> Trap<'a> {
    let (pid, tid) = (task.process(), task.tid());
    Trap { arch: call.arch, number: call.number, args: call.args, pid, tid, guest, looked: false.into() }
}

impl Observer for Guide {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        match stop {
            Stop::Seccomp(seccomp) => {
                let call = *seccomp.call();
                self.entered(&call, task, stop)
            }
            Stop::Left(left) => {
                let value = left.returned().value;
                if let Some(call) = self.calls.remove(&task.tid()) {
                    self.left(&call, value, task, stop);
                }
                Resume::Free
            }
            Stop::Executed(exec) => {
                let approved = self.execs.remove(&exec.former());
                match approved {
                    Some(approved) if !approved.is_what_runs(task.tid()) => {
                        self.denied("execve", task.tid(), [0; 6], "the executed program is not the approved one", None);
                        self.voice.say(Said::Kill);
                        Resume::Kill
                    }
                    _ => Resume::Free,
                }
            }
            _ => Resume::AsBefore,
        }
    }

    fn on_end(&mut self, task: &Task, _: End) {
        self.calls.remove(&task.tid());
        self.execs.remove(&task.tid());
    }
}

impl Guide {
    fn entered(&mut self, call: &Call, task: &Task, stop: &Stop) -> Resume {
        let guest = Stopped(stop);
        let mut entry = Entry { trap: trap(call, task, &guest), changed: false };
        let mut asked = self.handlers.ask(&mut entry);
        let is_exec = matches!(entry.trap.name(), Some("execve" | "execveat"));
        if is_exec && asked.looked && matches!(asked.verdict, Verdict::Make | Verdict::Defer { .. }) {
            match Approved::of(&entry.trap) {
                Some(approved) => drop(self.execs.insert(task.tid(), approved)),
                // Not there, not readable, too many interpreters: the kernel would say which. It is not asked, since by then it may be there.
                None => {
                    const ENOENT: u16 = 2;
                    asked.verdict = Verdict::Errno { errno: ENOENT, by: "exec that cannot be verified".to_owned() };
                }
            }
        }
        if let Some(fault) = asked.fault.take() {
            self.voice.say(Said::Fault(fault));
        }
        let call = Call { number: entry.trap.number, args: entry.trap.args, ..*call };
        if let Verdict::Defer { .. } = asked.verdict {
            return self.defer(asked, &call, task, stop);
        }
        self.carry_out(asked, &call, task.tid(), stop)
    }

    /// Makes the stop end as decided.
    fn carry_out(&mut self, asked: Asked, call: &Call, tid: i32, stop: &Stop) -> Resume {
        let result = match asked.verdict {
            Verdict::Make => None,
            Verdict::Return(value) => Some(value),
            Verdict::Errno { errno, by } => {
                self.denied_call(call, tid, &by, Some(errno));
                Some(-i64::from(errno))
            }
            Verdict::Kill { by } => {
                self.denied_call(call, tid, &by, None);
                self.voice.say(Said::Kill);
                return Resume::Kill;
            }
            // Deferred once already; the pool does not do that.
            Verdict::Defer { deferred, .. } => Some(-i64::from(deferred.errno)),
        };
        if result.is_some() {
            self.execs.remove(&tid);
        }
        if result.is_some() || asked.changed {
            let edited = stop.registers().and_then(|mut registers| {
                for (index, value) in call.args.iter().enumerate() {
                    registers.set_arg(call.arch, index, *value);
                }
                registers.set_number(if result.is_some() { -1 } else { call.number.cast_signed() });
                if let Some(value) = result {
                    registers.set_result(value);
                }
                stop.set_registers(&registers)
            });
            match edited {
                Ok(()) | Err(tipstaff_trace::Error::Died) => {}
                Err(e) => {
                    // It must not be made as it was asked for.
                    self.voice.say(Said::Fault(format!("tracer: {e}")));
                    return Resume::Kill;
                }
            }
        }
        if asked.shown {
            self.calls.insert(tid, *call);
            Resume::ToSyscall
        } else {
            Resume::Free
        }
    }

    fn left(&mut self, call: &Call, value: i64, task: &Task, stop: &Stop) {
        let guest = Stopped(stop);
        let mut returned = Return { trap: trap(call, task, &guest), value, changed: false };
        if let Some(fault) = self.handlers.show(&mut returned) {
            self.voice.say(Said::Fault(fault));
        }
        if returned.changed {
            let value = returned.value;
            let edited = stop.registers().and_then(|mut registers| {
                registers.set_result(value);
                stop.set_registers(&registers)
            });
            if let Err(tipstaff_trace::Error::Refused { .. }) = edited {
                self.voice.say(Said::Fault("tracer: a result could not be changed".to_owned()));
            }
        }
    }

    fn defer(&mut self, asked: Asked, call: &Call, task: &Task, stop: &Stop) -> Resume {
        let Asked { verdict, shown, changed, looked, fault } = asked;
        let rest = |verdict| Asked { verdict, shown, changed, looked, fault };
        let Verdict::Defer { deferred, by } = verdict else {
            return self.carry_out(rest(verdict), call, task.tid(), stop);
        };
        let errno = deferred.errno;
        if self.pool.is_none() {
            self.pool = Pool::start().ok();
        }
        let ticket = self.pool.as_mut().and_then(|pool| pool.take(deferred, &by));
        match ticket {
            Some(ticket) => {
                let asked = rest(Verdict::Errno { errno, by });
                self.waiting.insert(ticket, Waiting { tid: task.tid(), call: *call, asked });
                Resume::Hold
            }
            None => {
                let asked = rest(Verdict::Errno { errno, by });
                self.carry_out(asked, call, task.tid(), stop)
            }
        }
    }

    /// Ends the stops that have been decided.
    fn settle(&mut self, tracer: &mut Tracer) {
        if self.waiting.is_empty() {
            return;
        }
        loop {
            let stopper = tracer.stopper().ok();
            let answers = self.pool.as_ref().map(|pool| pool.answers(stopper)).unwrap_or_default();
            if answers.is_empty() {
                return;
            }
            for answer in answers {
                let Some(Waiting { tid, call, asked }) = self.waiting.remove(&answer.ticket) else { continue };
                // Gone if it was killed meanwhile.
                let Some(stop) = tracer.held(tid) else { continue };
                let asked = Asked { verdict: answer.verdict, ..asked };
                let resume = self.carry_out(asked, &call, tid, stop);
                tracer.release(tid, resume);
            }
        }
    }

    fn denied_call(&self, call: &Call, tid: i32, by: &str, errno: Option<u16>) {
        let name = call.name().map_or_else(|| format!("syscall {}", call.number), str::to_owned);
        self.denied(&name, tid, call.args, &format!("handler {by}"), errno);
    }

    fn denied(&self, syscall: &str, tid: i32, args: [u64; 6], rule: &str, errno: Option<u16>) {
        let arch = tipstaff_abi::Arch::native().map_or("", |arch| arch.name());
        let call = DeniedCall {
            syscall: syscall.to_owned(),
            arch: arch.to_owned(),
            rule: rule.to_owned(),
            kill: errno.is_none(),
            errno: errno.map_or(0, i32::from),
            allow_with: None,
        };
        self.voice.say(Said::Denied { call, args, pid: tid.cast_unsigned() });
    }
}
