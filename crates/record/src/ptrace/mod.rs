//! Recording by ptrace(2).
//!
//! # One stop per call
//! A tracer that counts calls the usual way (PTRACE_SYSCALL) stops a program twice for each: at the entry, and at the return, of which counting learns
//! nothing. A program that we start gets a seccomp filter instead that says RET_TRACE to every call, and runs free between: one stop, of which
//! nothing but the registers is read. Only a call whose return matters (files, results) is followed to it.
//!
//! A stop for a call that was seen before cannot be had for less. Filters are never removed, a newer filter cannot allow what an older one has traced, and
//! they keep no state: whether a call has been seen is not for a filter to know. What PTRACE_O_SUSPEND_SECCOMP lets run, runs unseen.
//!
//! A program that runs already has no filter of ours, and stops twice.

mod follow;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tipstaff_abi::Arch;
use tipstaff_recording::{Exit, Phase, Reason, Run};
use tipstaff_report::Signal;
use tipstaff_seccomp::{Action, Filter};
use tipstaff_sys::{Errno, capability, ids, pidfd};
use tipstaff_trace::{AttachError, Config, End, Go, Launch, LaunchError, Stopper, Tracer, Turn};

use crate::book::Book;
use crate::session::{Event, Refused, Session};
use crate::{Command, Error, Options, process};

use follow::Follow;
pub(crate) use follow::kind_name;

/// The data of our RET_TRACE: another is from a filter of the program's own.
const DATA: u16 = 0x7472;

/// Who is traced.
pub(crate) enum Whom {
    Command(Command),
    /// Running processes, the phase that they are in, and the control groups whose processes they are: who joins these is not followed.
    Running(Vec<i32>, Phase, Vec<PathBuf>),
}

pub(crate) struct Ptrace {
    book: Arc<Mutex<Book>>,
    stopper: Stopper,
    stopping: Arc<AtomicBool>,
    command: Option<std::os::fd::OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// What the tracer's thread says when it has begun.
struct Begun {
    stopper: Stopper,
    pid: Option<i32>,
}

/// Starts recording.
pub(crate) fn start(whom: Whom, options: Options, run: Run, events: Sender<Event>) -> Result<Ptrace, Refused> {
    let mut book = Book::new(run, options);
    // What is in force for us is for what we start, too.
    if matches!(whom, Whom::Command(_)) && process::is_filtered(ids::pid()) {
        book.completeness.lacks(Reason::AlreadyFiltered, 1);
    }
    let book = Arc::new(Mutex::new(book));
    let stopping = Arc::new(AtomicBool::new(false));
    let (begun, begins) = sync_channel(1);
    let thread = {
        let (book, stopping) = (Arc::clone(&book), Arc::clone(&stopping));
        std::thread::Builder::new()
            .name("tracer".into())
            .spawn(move || trace(whom, options, book, &stopping, &begun, &events))
            .map_err(|e| Refused::Backend(format!("no thread for the tracer: {e}")))?
    };
    let Begun { stopper, pid } =
        begins.recv().unwrap_or_else(|_| Err(Refused::Backend("the tracer ended early".into())))?;
    // It was there a moment ago, and has not been reaped by anybody but its tracer.
    let command = pid.and_then(|pid| pidfd::open(pid).ok());
    Ok(Ptrace { book, stopper, stopping, command, thread: Some(thread) })
}

pub(crate) fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session for Ptrace {
    fn snapshot(&self) -> Run {
        lock(&self.book).run()
    }

    fn stop(&mut self) -> Run {
        self.stopping.store(true, SeqCst);
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.snapshot()
    }

    fn signal(&self, signal: i32) {
        if let Some(command) = &self.command {
            // ESRCH: it has ended.
            let _ = pidfd::send_signal(std::os::fd::AsFd::as_fd(command), signal);
        }
    }
}

impl Drop for Ptrace {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
        }
    }
}

/// The tracer's thread, from start to end.
fn trace(
    whom: Whom,
    options: Options,
    book: Arc<Mutex<Book>>,
    stopping: &AtomicBool,
    begun: &SyncSender<Result<Begun, Refused>>,
    events: &Sender<Event>,
) {
    let launched = matches!(whom, Whom::Command(_));
    let start = if launched { Go::Free } else { Go::Syscall };
    let mut tracer = Tracer::new(Config { start, ..Config::default() });
    let (phase, groups) = match &whom {
        Whom::Command(_) => (Phase::Workload, Vec::new()),
        Whom::Running(_, phase, groups) => (*phase, groups.clone()),
    };
    let mut follow = Follow::new(Arc::clone(&book), options, phase, launched);
    let first = match begin(&mut tracer, whom, &mut follow) {
        Ok(first) => first,
        Err(refused) => return drop(begun.send(Err(refused))),
    };
    follow.first = first;
    match tracer.stopper() {
        Ok(stopper) => drop(begun.send(Ok(Begun { stopper, pid: first }))),
        Err(e) => return drop(begun.send(Err(Refused::Backend(format!("the tracer's alarm: {e}"))))),
    }
    let mut told = false;
    loop {
        match tracer.step(&mut follow) {
            Ok(Turn::Handled | Turn::Idle | Turn::Interrupted) => {
                if !told && let Some(end) = follow.first_end {
                    told = true;
                    let exit = exit(end);
                    lock(&book).ended(exit.clone());
                    let _ = events.send(Event::Ended(exit));
                }
            }
            Ok(Turn::Empty) => {
                if !told && let Some(end) = follow.first_end {
                    let exit = exit(end);
                    lock(&book).ended(exit.clone());
                    let _ = events.send(Event::Ended(exit));
                }
                return drop(events.send(Event::Empty));
            }
            Ok(Turn::Asked) if stopping.load(SeqCst) => {
                let inside = groups.iter().flat_map(|group| process::in_cgroup(group).unwrap_or_default());
                let joined: BTreeSet<i32> = inside.filter(|&pid| tracer.tasks().get(pid).is_none()).collect();
                lock(&book).completeness.lacks(Reason::ThreadsMissed, joined.len() as u64);
                if !tracer.tasks().is_empty() {
                    lock(&book).completeness.lacks(Reason::StillRunning, 1);
                }
                if !launched {
                    follow.leaving = true;
                    let _ = tracer.detach(&mut follow);
                }
                // What was launched is under our filter and cannot run on: it is killed when the tracer is dropped.
                return;
            }
            // A stopper works once, and only `stop` has it.
            Ok(Turn::Asked) => {}
            Err(e) => {
                lock(&book).completeness.lacks(Reason::BrokenOff, 1);
                return drop(events.send(Event::Broken(format!("tracing: {e}"))));
            }
        }
    }
}

fn begin(tracer: &mut Tracer, whom: Whom, follow: &mut Follow) -> Result<Option<i32>, Refused> {
    match whom {
        Whom::Command(command) => {
            let filter = Filter { tables: Vec::new(), foreign: Action::Trace(DATA) };
            let program = filter.compile().map_err(|e| Refused::Backend(format!("the filter: {e}")))?;
            let launch = Launch::new(&command.program)
                .args(command.args)
                .mask(command.mask)
                .filter_without_listener(program.insns().to_vec());
            let launched = tracer.launch(&launch, follow).map_err(|e| match e {
                LaunchError::Exec { program, errno } => Refused::Target(Error::Exec { program, errno }),
                e => Refused::Backend(format!("ptrace: {e}")),
            })?;
            Ok(Some(launched.pid))
        }
        Whom::Running(pids, ..) => {
            let mut attached = 0;
            for &pid in &pids {
                let in_flight = follow.in_flight(pid);
                match tracer.attach(pid, follow) {
                    Ok(()) => {
                        attached += 1;
                        follow.found(pid, in_flight);
                    }
                    // It ended a moment ago; if nobody is left, that is said below.
                    Err(AttachError::Gone(_)) => {}
                    Err(e @ (AttachError::Traced { .. } | AttachError::Itself(_))) => {
                        return Err(Refused::Backend(e.to_string()));
                    }
                    Err(e) => return Err(Refused::Backend(reason(&e))),
                }
            }
            match (attached, pids.first()) {
                (0, Some(pid)) => Err(Refused::Target(Error::Target(format!("there is no process {pid}")))),
                _ => Ok(None),
            }
        }
    }
}

fn reason(e: &AttachError) -> String {
    match e {
        AttachError::Refused(_) if !capability::has(capability::SYS_PTRACE) => {
            format!("{e}; CAP_SYS_PTRACE is missing")
        }
        e => e.to_string(),
    }
}

fn exit(end: End) -> Option<Exit> {
    match end {
        End::Exited(status) => Some(Exit::Code(status as u8)),
        End::Killed { signal, .. } => Some(Exit::Signal(Signal::new(signal))),
        End::Lost | End::Detached | End::Replaced { .. } => None,
    }
}

/// The architecture of a process whose call in flight is known by its number only.
fn arch_of(pid: i32) -> Option<Arch> {
    process::arch(pid).or(Arch::native())
}

/// The kernel's own errnos: the call is made again, or fails with EINTR once a handler has run.
const fn is_restart(value: i64) -> bool {
    matches!(value, -516..=-512)
}

const ENOSYS: i64 = Errno::NOSYS.0 as i64;
