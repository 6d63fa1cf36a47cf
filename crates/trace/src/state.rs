//! The states of a tracee. Values move through them:
//!
//! ```text
//!  seize ──▶ Running ──wait──▶ Stopped<K> ──resume, listen──▶ Running
//!               │                   └──────detach──▶ (nobody's)
//!               └────wait──▶ Zombie
//! ```
//!
//! Requests are methods of [`Halted`], which only a stop leads to, so that one on a running tracee does not compile:
//!
//! ```compile_fail,E0599
//! fn peek(tracee: tipstaff_trace::Running) {
//!     let _ = tracee.registers();
//! }
//! ```
//!
//! ```
//! fn peek(tracee: tipstaff_trace::Stopped<tipstaff_trace::Entered>) {
//!     let _ = tracee.registers();
//! }
//! ```
//!
//! Nor does one after the stop is over:
//!
//! ```compile_fail,E0382
//! use tipstaff_trace::{Go, Stop};
//! fn late(stop: Stop) {
//!     let _running = stop.resume(Go::Free);
//!     let _ = stop.registers();
//! }
//! ```
//!
//! ```
//! use tipstaff_trace::{Go, Stop};
//! fn in_time(stop: Stop) {
//!     let _ = stop.registers();
//!     let _running = stop.resume(Go::Free);
//! }
//! ```

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use tipstaff_sys::Errno;
use tipstaff_sys::ptrace::{self, Go, Registers};
use tipstaff_sys::wait::{self, Change, Status};

use crate::{Error, Memory, Stop};

/// ptrace(2) takes requests from the thread that seized, and from no other.
type OneThread = PhantomData<*const ()>;

/// A tracee that runs, as far as we know. There is nothing to be asked of it: it can be interrupted, or waited for.
#[derive(Debug)]
#[must_use = "a tracee that nobody waits for stays in its next stop for ever"]
pub struct Running {
    tid: i32,
    thread: OneThread,
}

impl Running {
    pub(crate) const fn new(tid: i32) -> Self {
        Self { tid, thread: PhantomData }
    }

    /// PTRACE_SEIZE: from now on this thread of ours traces `tid`, which runs on. `options` is a sum of
    /// [`option`](tipstaff_sys::ptrace::option); TRACESYSGOOD is needed by [`Stop`] and always added.
    pub fn seize(tid: i32, options: u32) -> Result<Self, Errno> {
        ptrace::seize(tid, options | ptrace::option::TRACESYSGOOD)?;
        Ok(Self::new(tid))
    }

    /// Its thread id.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// PTRACE_INTERRUPT: makes it stop ([`Interrupted`](crate::Interrupted)), unless something else stops it first. No signal is
    /// involved, and a call that blocks is restarted as after a signal without a handler: signal(7).
    pub fn interrupt(&self) {
        // ESRCH: it has ended, which the wait will tell.
        let _ = ptrace::interrupt(self.tid);
    }

    /// Waits for this one tracee to stop or end. EINTR is retried; ECHILD: somebody else has reaped it.
    pub fn wait(self) -> Result<Wait, Error> {
        loop {
            match wait::tracee(self.tid, None) {
                Ok((_, Change::Ended(status))) => return Ok(Wait::Ended(Zombie { tid: self.tid, status })),
                Ok((_, Change::Stopped(code))) => match Stop::decode(self.tid, code) {
                    Ok(stop) => return Ok(Wait::Stopped(stop)),
                    Err(Error::Died) => {}
                    Err(e) => return Err(e),
                },
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::Refused { request: "wait4", errno }),
            }
        }
    }
}

/// What a wait brings.
#[derive(Debug)]
pub enum Wait {
    /// A stop.
    Stopped(Stop),
    /// The end.
    Ended(Zombie),
}

/// A tracee that has ended and is reaped: only its status is left, and its number may be another's by now.
#[derive(Debug)]
pub struct Zombie {
    tid: i32,
    status: Status,
}

impl Zombie {
    /// The thread id that it had.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// How it ended.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }
}

/// A tracee that stands in a ptrace-stop, of whichever kind: what can be asked of any.
///
/// Every request can answer [`Error::Died`], since SIGKILL ends any stop.
#[derive(Debug)]
pub struct Halted {
    tid: i32,
    touched: Cell<bool>,
    /// As they were read or set in this stop.
    known: RefCell<Option<Box<Registers>>>,
    thread: OneThread,
}

impl Halted {
    pub(crate) const fn new(tid: i32) -> Self {
        Self { tid, touched: Cell::new(false), known: RefCell::new(None), thread: PhantomData }
    }

    /// Its thread id, as our PID namespace knows it.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// The general registers, short for 32-bit code. The kernel is asked once in a stop.
    pub fn registers(&self) -> Result<Registers, Error> {
        if let Some(known) = self.known.borrow().as_deref() {
            return Ok(*known);
        }
        let registers = ptrace::registers(self.tid).map_err(|e| Error::of("PTRACE_GETREGSET", e))?;
        self.known.replace(Some(Box::new(registers)));
        Ok(registers)
    }

    /// They have been changed by other means than [`Self::set_registers`]: the kernel is asked again.
    pub fn forget_registers(&self) {
        self.known.take();
    }

    /// Sets the general registers. At an entry or seccomp stop this can change or skip the call, at an exit its result.
    pub fn set_registers(&self, registers: &Registers) -> Result<(), Error> {
        self.touched.set(true);
        self.known.take();
        ptrace::set_registers(self.tid, registers).map_err(|e| Error::of("PTRACE_SETREGSET", e))?;
        self.known.replace(Some(Box::new(*registers)));
        Ok(())
    }

    /// Its process's memory.
    #[must_use]
    pub fn memory(&self) -> Memory<'_> {
        Memory::new(self.tid)
    }

    /// Whether [`Self::set_registers`] was used in this stop.
    #[must_use]
    pub fn touched(&self) -> bool {
        self.touched.get()
    }
}

/// A tracee in a stop of kind `K`.
#[derive(Debug)]
#[must_use = "a stop that is dropped leaves the tracee standing"]
pub struct Stopped<K> {
    halted: Halted,
    kind: K,
}

impl<K> Stopped<K> {
    pub(crate) const fn new(tid: i32, kind: K) -> Self {
        Self { halted: Halted::new(tid), kind }
    }

    /// What this stop says.
    #[must_use]
    pub fn kind(&self) -> &K {
        &self.kind
    }

    pub(crate) fn kind_mut(&mut self) -> &mut K {
        &mut self.kind
    }

    pub(crate) fn go_on(self, go: Go, signal: i32) -> Running {
        // ESRCH: it died in the stop, and the wait says how. EIO is for a signal that there is not; ours come from the kernel or
        // are checked.
        let _ = ptrace::resume(self.halted.tid, go, signal);
        Running::new(self.halted.tid)
    }

    pub(crate) fn let_go(self, signal: i32) {
        let _ = ptrace::detach(self.halted.tid, signal);
    }
}

impl<K> Deref for Stopped<K> {
    type Target = Halted;

    fn deref(&self) -> &Halted {
        &self.halted
    }
}

impl<K> DerefMut for Stopped<K> {
    fn deref_mut(&mut self) -> &mut Halted {
        &mut self.halted
    }
}
