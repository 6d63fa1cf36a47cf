//! Recording by seccomp_unotify(2).
//!
//! Every call of the program asks us, and is let go on; nothing is decided, so that memory may be read ([`Notification::proceed_unjudged`]). For programs that
//! we start, since filters cannot be given to others. Unlike under ptrace, debuggers work inside. What it costs:
//!
//! - How a call returns is not seen.
//! - A signal that comes before we have received a call ends it with EINTR, also calls that never return that without us (seccomp_unotify(2)).
//! - rt_sigreturn(2) is not asked about, since it cannot be made again; it is taken as needed where a handler was set.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff_abi::{Arch, SyscallSet, Sysno};
use tipstaff_decode::World;
use tipstaff_notify::{Filter, Listener, Next, Notification, Program, Running};
use tipstaff_recording::{Access, Exit, Phase, Reason, Run};
use tipstaff_report::Signal;
use tipstaff_seccomp::{Action, Filter as Rules, Rule, Table};
use tipstaff_sys::wait::Status;
use tipstaff_sys::{Errno, ids, pidfd};

use crate::book::{Book, Exe};
use crate::ptrace::{kind_name, lock};
use crate::session::{Event, Refused, Session};
use crate::{Command, Error, Options, look, process};

/// Returns of signal handlers: see above.
const UNASKED: [&str; 2] = ["rt_sigreturn", "sigreturn"];

const PATH_MAX: usize = 4096;

const SIGKILL: i32 = 9;

pub(crate) struct Notify {
    book: Arc<Mutex<Book>>,
    command: OwnedFd,
    flags: Arc<Flags>,
    thread: Option<JoinHandle<()>>,
}

/// What both sides know.
#[derive(Default)]
struct Flags {
    /// Everybody has ended.
    over: AtomicBool,
    /// Everybody is to end: under a filter whose listener is gone every call is ENOSYS.
    stopping: AtomicBool,
}

/// How long a stop goes unnoticed at most, once the command itself has ended.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Starts recording.
pub(crate) fn start(command: Command, options: Options, run: Run, events: Sender<Event>) -> Result<Notify, Refused> {
    // What is not seen is not written as if nothing had come of it.
    let options = Options { results: false, ..options };
    let mut book = Book::new(run, options);
    if process::is_filtered(ids::pid()) {
        book.completeness.lacks(Reason::AlreadyFiltered, 1);
    }
    let book = Arc::new(Mutex::new(book));
    let (begun, begins) = sync_channel(1);
    let flags = Arc::<Flags>::default();
    let theirs = (Arc::clone(&book), Arc::clone(&flags));
    let thread = std::thread::Builder::new()
        .name("listener".into())
        .spawn(move || listen(&command, theirs.0, options, &begun, &events, &theirs.1))
        .map_err(|e| Refused::Backend(format!("no thread for the listener: {e}")))?;
    let command = begins.recv().unwrap_or_else(|_| Err(Refused::Backend("the listener ended early".into())))?;
    Ok(Notify { book, command, flags, thread: Some(thread) })
}

impl Session for Notify {
    fn snapshot(&self) -> Run {
        lock(&self.book).run()
    }

    fn stop(&mut self) -> Run {
        if let Some(thread) = self.thread.take() {
            if !self.flags.over.load(SeqCst) {
                lock(&self.book).completeness.lacks(Reason::StillRunning, 1);
                self.flags.stopping.store(true, SeqCst);
                self.signal(SIGKILL);
            }
            let _ = thread.join();
        }
        self.snapshot()
    }

    fn signal(&self, signal: i32) {
        // ESRCH: it has ended.
        let _ = pidfd::send_signal(self.command.as_fd(), signal);
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
        }
    }
}

/// Every call of every architecture asks.
fn filter() -> Filter {
    let archs = Arch::native().map_or(&[][..], Arch::with_compat);
    let tables = archs.iter().map(|&arch| {
        let mut table = Table { arch, rules: Default::default(), default: Action::Notify, unknown: Action::Notify };
        for number in UNASKED.into_iter().filter_map(|name| Sysno::by_name(arch, name)) {
            table.push(number, Rule::always(Action::Allow));
        }
        table
    });
    Filter(Rules { tables: tables.collect(), foreign: Action::Notify })
}

fn listen(
    command: &Command,
    book: Arc<Mutex<Book>>,
    options: Options,
    begun: &SyncSender<Result<OwnedFd, Refused>>,
    events: &Sender<Event>,
    flags: &Flags,
) {
    let started = start_program(command, &filter());
    let (running, listener, program) = match started {
        Ok((running, listener, pidfd, program)) => {
            let _ = begun.send(Ok(pidfd));
            (running, listener, program)
        }
        Err(refused) => return drop(begun.send(Err(refused))),
    };
    let mut watch = Watch::new(book, options, program, running.pid());
    let mut running = Some(running);
    loop {
        if let Some(ended) = running.take_if(|running| is_ready(running)) {
            let exit = match ended.wait() {
                Ok(status) => exit(status),
                Err(e) => {
                    flags.over.store(true, SeqCst);
                    let errno = Errno(e.raw_os_error().unwrap_or(0));
                    return drop(events.send(Event::NotExecuted(errno)));
                }
            };
            lock(&watch.book).ended(exit.clone());
            let _ = events.send(Event::Ended(exit));
        }
        let mut fds = vec![PollFd::new(&listener, PollFlags::IN)];
        fds.extend(running.as_ref().map(|running| PollFd::new(running, PollFlags::IN)));
        match poll(&mut fds, running.is_none().then_some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return broken(&watch, events, &e.to_string()),
        }
        let asked = !fds[0].revents().is_empty();
        drop(fds);
        if flags.stopping.load(SeqCst) && running.as_ref().is_none_or(is_ready) {
            watch.kill_all();
        }
        if !asked {
            continue;
        }
        match listener.next() {
            // It is being killed: no code of it runs any more.
            Ok(Next::Call(call)) if flags.stopping.load(SeqCst) => {
                if let Some(tid) = call.pid() {
                    watch.process_of(tid.cast_signed());
                    watch.kill_all();
                }
                call.leave_to_die();
            }
            Ok(Next::Call(call)) => watch.called(call),
            Ok(Next::Nothing) => {}
            Ok(Next::Ended) if running.is_none() => {
                watch.finish();
                flags.over.store(true, SeqCst);
                return drop(events.send(Event::Empty));
            }
            // Its zombie is still to be reaped: the pidfd says so now.
            Ok(Next::Ended) => {
                if let Some(running) = &running {
                    let _ = poll(&mut [PollFd::new(running, PollFlags::IN)], None);
                }
            }
            Err(e) => return broken(&watch, events, &e.to_string()),
        }
    }
}

fn broken(watch: &Watch, events: &Sender<Event>, why: &str) {
    lock(&watch.book).completeness.lacks(Reason::BrokenOff, 1);
    let _ = events.send(Event::Broken(format!("the listener: {why}")));
}

pub(crate) fn start_program(
    command: &Command,
    filter: &Filter,
) -> Result<(Running, Listener, OwnedFd, OsString), Refused> {
    let wrong = |errno| Refused::Target(Error::Exec { program: command.program.clone(), errno });
    let path = std::env::var_os("PATH");
    let path = tipstaff_trace::search(&command.program, path.as_deref()).map_err(wrong)?;
    let program = Program::new(&path).name(&command.program).args(&command.args).mask(command.mask);
    let (running, listener) = program.start(filter).map_err(|e| match e.raw_os_error() {
        Some(16) => Refused::Backend("seccomp: another listener is in force already (EBUSY)".into()),
        _ => Refused::Backend(format!("seccomp with a listener (Linux 5.5): {e}")),
    })?;
    let pidfd = pidfd::open(running.pid()).map_err(|e| Refused::Backend(format!("pidfd_open: {e}")))?;
    Ok((running, listener, pidfd, path))
}

pub(crate) fn is_ready(fd: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().is_empty()
}

pub(crate) fn exit(status: Status) -> Option<Exit> {
    Some(match status {
        Status::Exited(code) => Exit::Code(code as u8),
        Status::Signaled { signal, .. } => Exit::Signal(Signal::new(signal)),
    })
}

/// From notifications to the book.
struct Watch {
    book: Arc<Mutex<Book>>,
    options: Options,
    /// The command's file.
    program: OsString,
    /// The command's process, until it has executed its program: what it calls before is its launch's, but for the execve itself.
    launching: Option<Launching>,
    /// Processes by thread.
    threads: HashMap<i32, i32>,
    processes: HashMap<i32, Process>,
    worth_decoding: Vec<SyscallSet>,
}

#[derive(Clone, Copy)]
struct Launching {
    pid: i32,
    /// Its stack and its call, when it asked for its program.
    asked: Option<(Option<u64>, Arch, u32, [u64; 6])>,
}

struct Process {
    executable: Exe,
    /// It has asked for an exec, with its stack where it was then: whether that came to pass shows at its next call.
    asked_exec: Option<Option<u64>>,
}

impl Watch {
    fn new(book: Arc<Mutex<Book>>, options: Options, program: OsString, first: i32) -> Self {
        let archs = Arch::native().map_or(&[][..], Arch::with_compat);
        Self {
            book,
            options,
            program,
            launching: Some(Launching { pid: first, asked: None }),
            threads: HashMap::new(),
            processes: HashMap::new(),
            worth_decoding: archs.iter().map(|&arch| look::classes(arch)).collect(),
        }
    }

    fn called(&mut self, call: Notification) {
        let data = *call.data();
        let number = data.number();
        let (Some(arch), Some(tid)) = (Arch::of(data.arch, number), call.pid().map(u32::cast_signed)) else {
            lock(&self.book).completeness.lacks(Reason::ForeignCalls, 1);
            return call.proceed_unjudged();
        };
        let mut words = data.args;
        if matches!(arch, Arch::I386 | Arch::Arm) {
            // The kernel reads the low halves; 64-bit code can leave anything in the high ones.
            words = words.map(|word| u64::from(word as u32));
        }
        let name = Sysno(number).name(arch);
        let process = self.process_of(tid);
        let asks_exec = matches!(name, Some("execve" | "execveat"));
        if let Some(launching) = self.launching.as_mut().filter(|launching| launching.pid == process) {
            let stack = process::stack(process);
            match launching.asked {
                Some((before, arch, number, words)) if before != stack => {
                    self.launching = None;
                    self.begun(process, arch, number, &words);
                }
                _ => {
                    launching.asked = asks_exec.then_some((stack, arch, number, words));
                    return call.proceed_unjudged();
                }
            }
        }
        let executable = self.executable(process);
        let behind = |address| {
            let mut bytes = [0; 8];
            matches!(call.read(address, &mut bytes), Ok(8)).then(|| u64::from_ne_bytes(bytes))
        };
        lock(&self.book).made(executable, Phase::Workload, arch, number, &words, behind);
        if asks_exec {
            let stack = process::stack(process);
            if let Some(known) = self.processes.get_mut(&process) {
                known.asked_exec = Some(stack);
            }
        }
        if self.options.files && self.worth_decoding.iter().any(|set| set.arch() == arch && set.contains(Sysno(number)))
        {
            let memory = Memory(&call);
            let world = World { memory: &memory, files: None, string_limit: PATH_MAX, list_limit: 1 };
            self.used(&call, tid, process, &tipstaff_decode::enter(arch, number, words, &world));
        }
        match name {
            Some("exit") => drop(self.threads.remove(&tid)),
            Some("exit_group") => {
                self.threads.retain(|_, of| *of != process);
                self.processes.remove(&process);
            }
            _ => {}
        }
        call.proceed_unjudged();
    }

    fn process_of(&mut self, tid: i32) -> i32 {
        *self
            .threads
            .entry(tid)
            .or_insert_with(|| process::status(tid, "Tgid").and_then(|pid| i32::try_from(pid).ok()).unwrap_or(tid))
    }

    fn executable(&mut self, pid: i32) -> Exe {
        let executed = match self.processes.get_mut(&pid) {
            None => false,
            Some(known) => match known.asked_exec.take() {
                None => return known.executable,
                Some(stack) if stack == process::stack(pid) => return known.executable,
                Some(_) => true,
            },
        };
        self.runs(pid, executed)
    }

    /// The command's program runs.
    fn begun(&mut self, pid: i32, arch: Arch, number: u32, words: &[u64; 6]) {
        let executable = self.runs(pid, true);
        let mut book = lock(&self.book);
        book.made(executable, Phase::Workload, arch, number, words, |_| None);
        if self.options.files {
            book.file(process::absolute(pid, None, self.program.as_bytes()), Access::Exec, None);
        }
    }

    /// Looks up what a process runs. `executed`: since its last call.
    fn runs(&mut self, pid: i32, executed: bool) -> Exe {
        let path = process::executable(pid);
        let mut book = lock(&self.book);
        let executable = book.executable(path, executed);
        drop(book);
        self.processes.insert(pid, Process { executable, asked_exec: None });
        executable
    }

    fn used(&mut self, call: &Notification, tid: i32, pid: i32, decoded: &tipstaff_decode::Call) {
        let uses = look::uses(decoded);
        for named in uses.files {
            let path = process::absolute(tid, named.directory, &named.path);
            let mut book = lock(&self.book);
            named.access.iter().for_each(|&access| book.file(path.clone(), access, None));
        }
        for (fd, mut used) in uses.sockets {
            used.kind = pidfd::for_files(tid, || pid)
                .and_then(|pidfd| pidfd::get_fd(pidfd.as_fd(), fd))
                .ok()
                .and_then(|socket| kind_name(rustix::net::sockopt::socket_type(socket).ok()?));
            lock(&self.book).socket(used);
        }
        // A caller that is gone has used nothing.
        if call.is_waiting() {
            lock(&self.book).completeness.lacks(Reason::PathsUnread, uses.unread);
        }
    }

    /// Kills every process that has called and lives, if it is under a filter: a number may be another's by now, but hardly such a one's.
    fn kill_all(&self) {
        for &pid in self.threads.values().chain(self.processes.keys()) {
            if let Ok(pidfd) = pidfd::open(pid)
                && process::is_filtered(pid)
            {
                let _ = pidfd::send_signal(pidfd.as_fd(), SIGKILL);
            }
        }
    }

    /// Everybody has ended.
    fn finish(&mut self) {
        let mut book = lock(&self.book);
        let archs = Arch::native().map_or(&[][..], Arch::with_compat);
        for &arch in archs {
            for (handler, returns) in
                [("rt_sigaction", "rt_sigreturn"), ("sigaction", "sigreturn"), ("signal", "sigreturn")]
            {
                let numbers = Sysno::by_name(arch, handler).zip(Sysno::by_name(arch, returns));
                if let Some((_, returns)) = numbers.filter(|(handler, _)| book.has(arch, handler.0)) {
                    let nobody = book.executable(Default::default(), false);
                    book.needed(nobody, Phase::Workload, arch, returns.0);
                }
            }
        }
    }
}

/// The memory of a caller.
struct Memory<'a>(&'a Notification);

impl tipstaff_decode::Memory for Memory<'_> {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        self.0.read(address, into).unwrap_or(0)
    }
}
