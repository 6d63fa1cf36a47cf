//! New processes under the notify engine: each is registered before it runs an instruction.
//!
//! Only a tracer gets to know a child that has not run. So whoever forks becomes one thread's tracee for just that call:
//!
//! ```text
//!  watcher                            caller                               session
//!  PTRACE_SEIZE, PTRACE_INTERRUPT     waits with its notification
//!  the call is to be made again ────▶ PTRACE_EVENT_STOP, before the call
//!  PTRACE_SYSCALL ──────────────────▶ stands at its entry
//!  expects it; PTRACE_SYSCALL ──────▶ notification ──────────────────────▶ expected: let through
//!                                     PTRACE_EVENT_FORK, and its child in its first stop
//!  the child is told ────────────────────────────────────────────────────▶ registered
//!  PTRACE_DETACH of both
//! ```
//!
//! Every step is a stop that the kernel tells, the failure of the call among them (it stops at its exit): there is nothing to time out, and no stop that
//! could interrupt what the caller does next. A signal that comes first is taken, and the call then made again; a handler that makes calls of its own is let go,
//! and the call asked about anew.
//! Should we die in between, PTRACE_O_EXITKILL kills caller and child.

use std::collections::HashSet;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tipstaff_abi::bpf::SeccompData;
use tipstaff_abi::{Arch, Sysno, errno};
use tipstaff_notify::Notification;
use tipstaff_sys::ptrace::{self, Go, SyscallOp, event, option};
use tipstaff_sys::wait::{self, Change};
use tipstaff_sys::{Errno, signal};

use super::said::refused;
use super::voice::Voice;
use crate::handler::Process;

const SIGKILL: i32 = 9;
const SIGTRAP: i32 = 5;
/// PTRACE_O_TRACESYSGOOD.
const SYSCALL_STOP: i32 = SIGTRAP | 0x80;
const CLONE_THREAD: u64 = 0x0001_0000;
const CLONE_UNTRACED: u64 = 0x0080_0000;

/// A call on its way that makes a process.
pub(super) struct Birth {
    pub call: Notification,
    pub tid: i32,
}

/// A new process, and who waits until it has been registered: whoever drops the sender lets it run.
type Told = (Process, Sender<()>);

/// The births of one box: what the watchers and the session's loop tell each other.
#[derive(Clone)]
pub(super) struct Births {
    shared: Arc<Mutex<Shared>>,
    voice: Voice,
}

#[derive(Default)]
struct Shared {
    /// Callers whose next notification is the call that has been decided about.
    expected: HashSet<i32>,
    told: Vec<Told>,
    /// The session is over.
    closed: bool,
}

fn name(data: &SeccompData) -> Option<&'static str> {
    let number = data.nr.cast_unsigned();
    Arch::of(data.arch, number).and_then(|arch| Sysno(number).name(arch))
}

/// A call makes a process, and not a thread.
pub(super) fn makes_process(data: &SeccompData) -> bool {
    match name(data) {
        Some("fork" | "vfork") => true,
        Some("clone") => data.args[0] & CLONE_THREAD == 0,
        _ => false,
    }
}

/// A child that its maker's tracer would not get.
fn makes_untraced(data: &SeccompData) -> bool {
    name(data) == Some("clone") && data.args[0] & CLONE_UNTRACED != 0
}

impl Births {
    pub fn new(voice: Voice) -> Self {
        Self { shared: Arc::default(), voice }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Shared) -> T) -> T {
        what(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// This caller's call has been decided about.
    pub fn comes_again(&self, tid: i32) -> bool {
        self.with(|shared| shared.expected.remove(&tid))
    }

    /// Processes that wait to be registered.
    pub fn registrations(&self) -> Vec<Told> {
        self.with(|shared| std::mem::take(&mut shared.told))
    }

    /// Lets the call through, and registers what it makes.
    pub fn attend(&self, birth: Birth) {
        let Birth { call, tid } = birth;
        let data = *call.data();
        let deny = |who: &str| {
            let number = data.nr.cast_unsigned();
            let arch = Arch::of(data.arch, number).unwrap_or(Arch::X86_64);
            let denied = refused(name(&data), number, arch, who, Some(errno::EPERM));
            self.voice.denied(denied, data.args, tid);
        };
        if makes_untraced(&data) {
            deny("that knows every process: CLONE_UNTRACED");
            let _ = call.refuse(errno::EPERM.into());
            return;
        }
        let options = option::TRACESYSGOOD | option::TRACEFORK | option::TRACEVFORK | option::TRACECLONE;
        match ptrace::seize(tid, options | option::EXITKILL) {
            Ok(()) => {
                // Before the answer: the caller stops on its way to making the call again.
                let _ = ptrace::interrupt(tid);
                // Whoever still waits is the caller; else its number may be somebody else's already.
                let stage = if call.is_waiting() { Stage::Asked } else { Stage::Stranger };
                let _ = call.again();
                Midwife { births: self, tid, call: data, stage, child: Child::None }.work();
            }
            Err(e) => {
                if e != Errno::SRCH {
                    deny(
                        "that knows every process: the caller has a tracer, so its child would run before it is known",
                    );
                }
                let _ = call.refuse(errno::EPERM.into());
            }
        }
    }

    /// Nobody will register anything any more.
    pub fn close(&self) {
        self.with(|shared| {
            shared.closed = true;
            shared.told.clear();
        });
    }

    /// Has a process registered, and waits for that. False: the box is over.
    fn register(&self, pid: i32) -> bool {
        let (told, registered): (Sender<()>, Receiver<()>) = mpsc::channel();
        let process = Process::look(pid);
        let open = self.with(|shared| {
            if !shared.closed {
                shared.told.push((process, told));
            }
            !shared.closed
        });
        self.voice.wake();
        // Whoever has registered it drops the sender.
        open && registered.recv().is_err() && self.with(|shared| !shared.closed)
    }
}

/// How far the caller has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is not the caller, and is let go.
    Stranger,
    /// It is to stop before it makes the call again.
    Asked,
    /// It goes to the call's entry.
    Enters,
    /// It makes the call.
    Makes,
    /// It stands at the event, with a child.
    Stands,
    /// It is nobody's tracee any more.
    Gone,
}

/// What is known of its child.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Child {
    None,
    /// In its first stop.
    Stands(i32),
    /// Killed before that, or let go.
    Gone,
}

/// One caller and its child.
struct Midwife<'a> {
    births: &'a Births,
    tid: i32,
    call: SeccompData,
    stage: Stage,
    child: Child,
}

impl Midwife<'_> {
    fn work(mut self) {
        loop {
            match wait::any(None) {
                Ok((pid, Change::Stopped(what))) if pid == self.tid => self.stopped(what & 0xff, what >> 8),
                Ok((pid, Change::Ended(_))) if pid == self.tid => self.gone(),
                // This thread has one tracee: nobody else's child comes to it.
                Ok((pid, Change::Stopped(_))) => self.child = Child::Stands(pid),
                Ok((_, Change::Ended(_))) => self.child = Child::Gone,
                Err(Errno::INTR) => {}
                // Nobody is traced by this thread any more. Its number may be another watcher's by now.
                Err(_) if self.stage == Stage::Gone => return,
                Err(_) => return self.gone(),
            }
            match (self.stage, self.child) {
                (Stage::Stands | Stage::Gone, Child::Stands(pid)) => {
                    if self.births.register(pid) {
                        let _ = ptrace::detach(pid, 0);
                    } else {
                        let _ = signal::kill(pid, SIGKILL);
                    }
                    self.child = Child::Gone;
                    self.let_go(0);
                }
                (Stage::Stands, Child::Gone) => self.let_go(0),
                _ => {}
            }
        }
    }

    fn gone(&mut self) {
        self.births.comes_again(self.tid);
        self.stage = Stage::Gone;
    }

    fn stopped(&mut self, stop: i32, event: i32) {
        match (self.stage, stop, event) {
            // Another signal than SIGTRAP: a group-stop, which holds on without us.
            (Stage::Asked, SIGTRAP, event::STOP) => self.go_on(Stage::Enters, 0),
            (Stage::Enters, SYSCALL_STOP, 0) => match self.entered() {
                Entered::TheCall => {
                    self.births.with(|shared| shared.expected.insert(self.tid));
                    self.go_on(Stage::Makes, 0);
                }
                Entered::Handler => self.go_on(Stage::Enters, 0),
                // A handler with calls of its own, or one that does not come back.
                Entered::Another => self.let_go(0),
            },
            // A signal to take first: its handler runs, and then the call is made again.
            (Stage::Enters, signal, 0) => self.go_on(Stage::Enters, signal),
            (Stage::Makes, _, event::FORK | event::VFORK | event::CLONE) => self.stage = Stage::Stands,
            (Stage::Makes, SYSCALL_STOP, 0) if self.make_it_again() => {
                self.births.comes_again(self.tid);
                self.go_on(Stage::Enters, 0);
            }
            (_, signal, 0) if signal != SYSCALL_STOP => self.let_go(signal),
            _ => self.let_go(0),
        }
    }

    fn go_on(&mut self, stage: Stage, signal: i32) {
        self.stage = stage;
        // ESRCH: killed, and the wait tells it.
        let _ = ptrace::resume(self.tid, Go::Syscall, signal);
    }

    fn let_go(&mut self, signal: i32) {
        if self.stage != Stage::Gone {
            // Before it can make another call.
            self.gone();
            let _ = ptrace::detach(self.tid, signal);
        }
    }

    /// Where it stands on its way to the call that has been decided about.
    fn entered(&self) -> Entered {
        let Ok(info) = ptrace::syscall_info(self.tid) else { return Entered::Another };
        let number = |nr: u64| u32::try_from(nr).ok();
        match info.op {
            SyscallOp::Entry { nr, args }
                if info.arch == self.call.arch
                    && number(nr) == Some(self.call.nr.cast_unsigned())
                    && args == self.call.args =>
            {
                Entered::TheCall
            }
            SyscallOp::Entry { nr, .. } => {
                let arch = number(nr).and_then(|nr| Arch::of(info.arch, nr));
                let name = arch.and_then(|arch| Sysno(number(nr)?).name(arch));
                if name == Some("rt_sigreturn") { Entered::Handler } else { Entered::Another }
            }
            SyscallOp::Exit { .. } => Entered::Handler,
            _ => Entered::Another,
        }
    }

    /// A signal came first, and the call is made again. One that came before the session has received the notification makes the kernel answer ERESTARTSYS, which a
    /// handler without SA_RESTART turns into an EINTR that fork(2) does not know; ERESTARTNOINTR is what fork itself answers a signal.
    fn make_it_again(&self) -> bool {
        let Ok(SyscallOp::Exit { value, .. }) = ptrace::syscall_info(self.tid).map(|info| info.op) else {
            return false;
        };
        if value == -512 {
            let set = ptrace::registers(self.tid).and_then(|mut registers| {
                registers.set_result(-513);
                ptrace::set_registers(self.tid, &registers)
            });
            return set.is_ok();
        }
        value == -513
    }
}

/// Where a caller stands.
enum Entered {
    /// At the entry of the call that has been decided about.
    TheCall,
    /// On its way back from a signal handler.
    Handler,
    /// At the entry of another call.
    Another,
}
