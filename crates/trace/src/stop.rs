//! The kinds of stop, one type each: ptrace(2), "Stopped states".

use std::ops::Deref;

use tipstaff_sys::Errno;
use tipstaff_sys::ptrace::{self, Go, SigInfo, SyscallOp, event};
use tipstaff_sys::wait::Status;

use crate::state::{Halted, Running, Stopped};
use crate::{Call, Error, Returned};

const SIGTRAP: i32 = 5;
const SYSCALL_TRAP: i32 = SIGTRAP | 0x80;
/// Signals above are the kernel's EIO.
const LAST_SIGNAL: i32 = 64;

/// A tracee in one of its stops.
#[derive(Debug)]
pub enum Stop {
    /// A signal is about to be delivered.
    Signal(Stopped<SignalDelivery>),
    /// The process was stopped by a signal.
    Group(Stopped<Group>),
    /// A new tracee's first stop, the end of a group-stop, or the answer to an interrupt.
    Interrupted(Stopped<Interrupted>),
    /// A task was made: PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_CLONE.
    Forked(Stopped<Forked>),
    /// The child of a vfork has let go of its parent's memory: PTRACE_EVENT_VFORK_DONE.
    VforkDone(Stopped<VforkDone>),
    /// A program has been executed: PTRACE_EVENT_EXEC.
    Executed(Stopped<Executed>),
    /// The thread is about to end: PTRACE_EVENT_EXIT.
    Exiting(Stopped<Exiting>),
    /// A filter asks its tracer: PTRACE_EVENT_SECCOMP.
    Seccomp(Stopped<Seccomp>),
    /// A call was entered.
    Entered(Stopped<Entered>),
    /// A call returns.
    Left(Stopped<Left>),
}

/// A signal-delivery-stop.
#[derive(Debug)]
pub struct SignalDelivery {
    signal: i32,
    deliver: i32,
}

/// A group-stop.
#[derive(Debug)]
pub struct Group {
    signal: i32,
}

/// A stop of PTRACE_EVENT_STOP that no stopping signal caused.
#[derive(Debug)]
pub struct Interrupted {
    reason: Reason,
}

/// Why a tracee was interrupted. Only a [`Tracer`](crate::Tracer) knows; from [`Running::wait`] it is always `Asked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A new task's first stop.
    New,
    /// The first stop of a task that was attached to.
    Attached,
    /// SIGCONT ended a group-stop.
    Continued,
    /// Somebody asked ([`Running::interrupt`]).
    Asked,
}

/// Which call made a task, as the kernel classifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForkKind {
    /// Exit signal SIGCHLD: fork(2).
    Fork,
    /// CLONE_VFORK.
    Vfork,
    /// Everything else: threads among them.
    Clone,
}

/// A task was made.
#[derive(Debug)]
pub struct Forked {
    kind: ForkKind,
    child: i32,
}

/// The end of a vfork's wait.
#[derive(Debug)]
pub struct VforkDone {
    child: i32,
}

/// A successful exec. The stop's thread id is already the process id.
#[derive(Debug)]
pub struct Executed {
    former: i32,
}

/// The end of a thread.
#[derive(Debug)]
pub struct Exiting {
    status: Status,
}

/// SECCOMP_RET_TRACE.
#[derive(Debug)]
pub struct Seccomp {
    call: Call,
    data: u16,
    entered: bool,
}

/// A syscall-entry-stop.
#[derive(Debug)]
pub struct Entered {
    call: Call,
}

/// A syscall-exit-stop.
#[derive(Debug)]
pub struct Left {
    returned: Returned,
}

impl Stopped<SignalDelivery> {
    /// The signal.
    #[must_use]
    pub fn signal(&self) -> i32 {
        self.kind().signal
    }

    /// Its siginfo: PTRACE_GETSIGINFO.
    pub fn info(&self) -> Result<SigInfo, Error> {
        ptrace::signal_info(self.tid()).map_err(|e| Error::of("PTRACE_GETSIGINFO", e))
    }

    /// Changes its siginfo: PTRACE_SETSIGINFO.
    pub fn set_info(&self, info: &SigInfo) -> Result<(), Error> {
        ptrace::set_signal_info(self.tid(), info).map_err(|e| Error::of("PTRACE_SETSIGINFO", e))
    }

    /// What will be delivered when the stop ends; at first the signal itself, with its siginfo as it is.
    #[must_use]
    pub fn delivers(&self) -> Option<i32> {
        (self.kind().deliver != 0).then_some(self.kind().deliver)
    }

    /// Delivers another signal (1 to 64), as if we had sent it, or none. Out of range is EINVAL.
    pub fn deliver(&mut self, signal: Option<i32>) -> Result<(), Error> {
        if signal.is_some_and(|s| !(1..=LAST_SIGNAL).contains(&s)) {
            return Err(Error::Refused { request: "signal number", errno: Errno::INVAL });
        }
        self.kind_mut().deliver = signal.unwrap_or(0);
        Ok(())
    }

    /// Ends the stop.
    pub fn resume(self, go: Go) -> Running {
        let signal = self.kind().deliver;
        self.go_on(go, signal)
    }

    /// Gives the tracee up; the signal is delivered all the same.
    pub fn detach(self) {
        let signal = self.kind().deliver;
        self.let_go(signal);
    }
}

impl Stopped<Group> {
    /// SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU.
    #[must_use]
    pub fn signal(&self) -> i32 {
        self.kind().signal
    }

    /// PTRACE_LISTEN: it stays stopped, as it would untraced, until SIGCONT; that is a stop of its own ([`Reason::Continued`]).
    pub fn listen(self) -> Running {
        let _ = ptrace::listen(self.tid());
        Running::new(self.tid())
    }

    /// Makes it run although its process is stopped.
    pub fn resume(self, go: Go) -> Running {
        self.go_on(go, 0)
    }

    /// Gives the tracee up; it stays stopped.
    pub fn detach(self) {
        self.let_go(0);
    }
}

macro_rules! plain {
    ($($kind:ty),*) => {$(
        impl Stopped<$kind> {
            /// Ends the stop.
            pub fn resume(self, go: Go) -> Running {
                self.go_on(go, 0)
            }

            /// Gives the tracee up, which runs on.
            pub fn detach(self) {
                self.let_go(0);
            }
        }
    )*};
}

plain!(Interrupted, Forked, VforkDone, Executed, Exiting, Seccomp, Entered, Left);

impl Stopped<Interrupted> {
    /// Why it stopped.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.kind().reason
    }
}

impl Stopped<Forked> {
    /// The new task's thread id.
    #[must_use]
    pub fn child(&self) -> i32 {
        self.kind().child
    }

    /// Which call made it.
    #[must_use]
    pub fn fork_kind(&self) -> ForkKind {
        self.kind().kind
    }
}

impl Stopped<VforkDone> {
    /// The child.
    #[must_use]
    pub fn child(&self) -> i32 {
        self.kind().child
    }
}

impl Stopped<Executed> {
    /// The thread id that the caller had; another than [`tid`](Halted::tid) if it was not the leader.
    #[must_use]
    pub fn former(&self) -> i32 {
        self.kind().former
    }
}

impl Stopped<Exiting> {
    /// How it will end, if nothing intervenes.
    #[must_use]
    pub fn status(&self) -> Status {
        self.kind().status
    }
}

impl Stopped<Seccomp> {
    /// The call. It has not been made yet.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.kind().call
    }

    /// SECCOMP_RET_DATA of the filter: the newest one's, if several say RET_TRACE.
    #[must_use]
    pub fn data(&self) -> u16 {
        self.kind().data
    }

    /// Whether this very call had an entry stop before. A tracee that runs to syscall stops has both; one that runs free only this.
    /// Only a [`Tracer`](crate::Tracer) knows.
    #[must_use]
    pub fn entered(&self) -> bool {
        self.kind().entered
    }
}

impl Stopped<Entered> {
    /// The call. It has not been made yet.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.kind().call
    }
}

impl Stopped<Left> {
    /// What came of the call.
    #[must_use]
    pub fn returned(&self) -> Returned {
        self.kind().returned
    }
}

/// The message of the stop that the wait told of. A tracee that is killed in a stop goes on to PTRACE_EVENT_EXIT, where the same request
/// answers with an exit status; so what the stop is gets looked at after its message.
fn message(tid: i32, code: i32) -> Result<u64, Error> {
    let message = ptrace::event_message(tid).map_err(|e| Error::of("PTRACE_GETEVENTMSG", e))?;
    let info = ptrace::signal_info(tid).map_err(|e| Error::of("PTRACE_GETSIGINFO", e))?;
    // ptrace_do_notify() in the kernel puts the whole code there.
    if info.code() == code { Ok(message) } else { Err(Error::Died) }
}

impl Stop {
    /// From what wait4(2) said: the signal and, above it, the event. No request for signals and group-stops,
    /// one for calls, two for events.
    pub(crate) fn decode(tid: i32, code: i32) -> Result<Self, Error> {
        let signal = code & 0xff;
        let message = || message(tid, code);
        let forked = |kind| Ok(Self::Forked(Stopped::new(tid, Forked { kind, child: message()? as i32 })));
        match code >> 8 {
            0 if signal == SYSCALL_TRAP => Self::syscall(tid),
            0 => Ok(Self::Signal(Stopped::new(tid, SignalDelivery { signal, deliver: signal }))),
            event::STOP if signal == SIGTRAP => {
                Ok(Self::Interrupted(Stopped::new(tid, Interrupted { reason: Reason::Asked })))
            }
            event::STOP => Ok(Self::Group(Stopped::new(tid, Group { signal }))),
            event::FORK => forked(ForkKind::Fork),
            event::VFORK => forked(ForkKind::Vfork),
            event::CLONE => forked(ForkKind::Clone),
            event::VFORK_DONE => Ok(Self::VforkDone(Stopped::new(tid, VforkDone { child: message()? as i32 }))),
            event::EXEC => Ok(Self::Executed(Stopped::new(tid, Executed { former: message()? as i32 }))),
            event::EXIT => {
                let status = Status::from_wait(message()? as i32);
                Ok(Self::Exiting(Stopped::new(tid, Exiting { status })))
            }
            event::SECCOMP => Self::syscall(tid),
            // PTRACE_SEIZE gives events only for options that were asked for, and these are all.
            _ => Err(Error::Refused { request: "PTRACE_EVENT", errno: Errno::INVAL }),
        }
    }

    fn syscall(tid: i32) -> Result<Self, Error> {
        const REQUEST: &str = "PTRACE_GET_SYSCALL_INFO (Linux 5.3)";
        let info = ptrace::syscall_info(tid).map_err(|e| Error::of(REQUEST, e))?;
        match info.op {
            SyscallOp::Entry { nr, args } => {
                Ok(Self::Entered(Stopped::new(tid, Entered { call: Call::new(&info, nr, args) })))
            }
            SyscallOp::Exit { value, is_error } => {
                Ok(Self::Left(Stopped::new(tid, Left { returned: Returned { value, is_error } })))
            }
            SyscallOp::Seccomp { nr, args, data } => {
                let call = Call::new(&info, nr, args);
                Ok(Self::Seccomp(Stopped::new(tid, Seccomp { call, data: data as u16, entered: false })))
            }
            // It was killed in its stop, and stands in the next one, PTRACE_EVENT_EXIT, which the wait will tell.
            SyscallOp::None => Err(Error::Died),
        }
    }

    pub(crate) fn set_reason(&mut self, reason: Reason) {
        if let Self::Interrupted(stop) = self {
            stop.kind_mut().reason = reason;
        }
    }

    pub(crate) fn set_entered(&mut self) {
        if let Self::Seccomp(stop) = self {
            stop.kind_mut().entered = true;
        }
    }

    /// The call that is about to be made: at an entry or a seccomp stop.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Entered(stop) => Some(stop.call()),
            Self::Seccomp(stop) => Some(stop.call()),
            _ => None,
        }
    }

    /// The call that is about to be made, as the registers have it now; -1: none.
    #[must_use]
    pub fn call_now(&self) -> Option<Call> {
        let (registers, known) = (self.registers().ok()?, *self.call()?);
        let args = std::array::from_fn(|index| registers.arg(known.arch, index));
        Some(Call { number: registers.number().cast_unsigned(), args, ..known })
    }

    /// What a call returns has been changed in the registers: [`Left`] says so from here on.
    pub fn returns_now(&mut self) {
        if let Self::Left(stop) = self
            && stop.touched()
            && let Ok(registers) = stop.registers()
        {
            let value = registers.result();
            stop.kind_mut().returned = Returned { value, is_error: (-4095..0).contains(&value) };
        }
    }

    /// Ends the stop with this request and this signal, whatever it is.
    pub(crate) fn exactly(self, go: Go, signal: i32) -> Running {
        let tid = self.tid();
        // As in `go_on`.
        let _ = ptrace::resume(tid, go, signal);
        Running::new(tid)
    }

    /// PTRACE_LISTEN.
    pub(crate) fn listen(self) {
        let _ = ptrace::listen(self.tid());
    }

    /// Ends the stop: the signal of a signal-delivery-stop is delivered, a group-stop is listened to, everything else goes on.
    pub fn resume(self, go: Go) -> Running {
        match self {
            Self::Signal(stop) => stop.resume(go),
            Self::Group(stop) => stop.listen(),
            Self::Interrupted(stop) => stop.resume(go),
            Self::Forked(stop) => stop.resume(go),
            Self::VforkDone(stop) => stop.resume(go),
            Self::Executed(stop) => stop.resume(go),
            Self::Exiting(stop) => stop.resume(go),
            Self::Seccomp(stop) => stop.resume(go),
            Self::Entered(stop) => stop.resume(go),
            Self::Left(stop) => stop.resume(go),
        }
    }

    /// Gives the tracee up. A signal that was about to be delivered is delivered, a stopped process stays stopped.
    pub fn detach(self) {
        match self {
            Self::Signal(stop) => stop.detach(),
            Self::Group(stop) => stop.detach(),
            Self::Interrupted(stop) => stop.detach(),
            Self::Forked(stop) => stop.detach(),
            Self::VforkDone(stop) => stop.detach(),
            Self::Executed(stop) => stop.detach(),
            Self::Exiting(stop) => stop.detach(),
            Self::Seccomp(stop) => stop.detach(),
            Self::Entered(stop) => stop.detach(),
            Self::Left(stop) => stop.detach(),
        }
    }
}

impl Deref for Stop {
    type Target = Halted;

    fn deref(&self) -> &Halted {
        match self {
            Self::Signal(stop) => stop,
            Self::Group(stop) => stop,
            Self::Interrupted(stop) => stop,
            Self::Forked(stop) => stop,
            Self::VforkDone(stop) => stop,
            Self::Executed(stop) => stop,
            Self::Exiting(stop) => stop,
            Self::Seccomp(stop) => stop,
            Self::Entered(stop) => stop,
            Self::Left(stop) => stop,
        }
    }
}
