//! Recording by seccomp_unotify(2).
//!
//! Every call of the program asks us, and is let go on; nothing is decided, so that memory may be read ([`Notification::proceed_unjudged`]). For programs that
//! we start, since filters cannot be given to others. Unlike under ptrace, debuggers work inside. What it costs:
//!
//! - How a call returns is not seen.
//! - A signal that comes before we have received a call ends it with EINTR, also calls that never return that without us (seccomp_unotify(2)). So somebody
//!   waits in RECV at every moment ([`receive`]); what is lost all the same is told ([`Reason::Dropped`]) since Linux 6.11.
//! - rt_sigreturn(2) is not asked about, since it cannot be made again; it is taken as needed where a handler was set.

mod receive;
mod watch;

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tipstaff_abi::{Arch, Sysno};
use tipstaff_notify::{Filter, Listener, Program, Running};
use tipstaff_recording::{Exit, Reason, Run};
use tipstaff_report::Signal;
use tipstaff_seccomp::{Action, Filter as Rules, Rule, Table};
use tipstaff_sys::wait::Status;
use tipstaff_sys::{Errno, ids, pidfd};

use self::receive::Receivers;
use self::watch::Watch;
use crate::book::Book;
use crate::ptrace::lock;
use crate::session::{Event, Refused, Session};
use crate::{Command, Error, Options, process};

/// Returns of signal handlers: see above.
const UNASKED: [&str; 2] = ["rt_sigreturn", "sigreturn"];

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
    flags: &Arc<Flags>,
) {
    let started = start_program(command, &filter());
    let (running, listener, program) = match started {
        Ok((running, listener, pidfd, program)) => {
            let _ = begun.send(Ok(pidfd));
            (running, listener, program)
        }
        Err(refused) => return drop(begun.send(Err(refused))),
    };
    let watch = Watch::new(Arc::clone(&book), options, program, running.pid());
    let mut receivers = match Receivers::start(listener, watch, Arc::clone(flags)) {
        Ok(receivers) => receivers,
        Err(e) => return broken(&book, events, &e),
    };
    let (mut running, mut over) = (Some(running), false);
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
            lock(&book).ended(exit.clone());
            let _ = events.send(Event::Ended(exit));
        }
        if over && running.is_none() {
            receivers.watch().finish();
            flags.over.store(true, SeqCst);
            return drop(events.send(Event::Empty));
        }
        let mut fds = vec![PollFd::from_borrowed_fd(receivers.news(), PollFlags::IN)];
        fds.extend(running.as_ref().map(|running| PollFd::new(running, PollFlags::IN)));
        match poll(&mut fds, running.is_none().then_some(&LOOK)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return broken(&book, events, &e.into()),
        }
        let told = !fds[0].revents().is_empty();
        if told {
            match receivers.ended() {
                Ok(all) => over = all,
                Err(e) => return broken(&book, events, &e),
            }
        }
        if flags.stopping.load(SeqCst) && running.as_ref().is_none_or(is_ready) {
            receivers.watch().kill_all();
        }
    }
}

fn broken(book: &Mutex<Book>, events: &Sender<Event>, why: &std::io::Error) {
    lock(book).completeness.lacks(Reason::BrokenOff, 1);
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
