//! A program that its own supervisor starts: cloned, held before its first step until the supervisor lets it go (a tracer has seized it by then), then
//! steps, for a tracer a SIGSTOP of its own to take, filter and execve(2).
//!
//! The child shares our memory ([`crate::shared`]) until it executes or ends. When it has let go, the kernel itself writes a zero
//! (set_tid_address(2)), so nothing that it stands on is freed too early.

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tipstaff_abi::bpf::Insn;

use crate::child::{CStrings, GuestOp, run_guest};
use crate::ptrace::{self, Go};
use crate::raw::{Errno, addr, call, ptr};
use crate::shared::{Arena, CloneSpec, clone_vm};
use crate::signal::{self, SigSet};
use crate::wait::{self, Change};
use crate::{pidfd, seccomp};

/// What is started.
#[derive(Debug)]
pub struct Program {
    /// Steps before the filter, without one that executes.
    pub steps: Vec<GuestOp>,
    /// It stops (SIGSTOP) behind the steps: its tracer sees what follows call by call.
    pub stop: bool,
    /// The signals that the program starts with blocked.
    pub mask: SigSet,
    /// A filter. [`GuestOp::NoNewPrivs`] must be among the steps where CAP_SYS_ADMIN is missing.
    pub filter: Option<Filter>,
    /// The file.
    pub path: CString,
    /// argv.
    pub argv: CStrings,
    /// envp.
    pub envp: CStrings,
}

/// A filter of a program.
#[derive(Debug)]
pub struct Filter {
    /// Instructions.
    pub insns: Vec<Insn>,
    /// SECCOMP_FILTER_FLAG_NEW_LISTENER: see [`Traced::listener`].
    pub listener: bool,
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A [`GuestOp`] by index.
    Op(u32),
    /// seccomp(2).
    Filter,
    /// execve(2).
    Exec,
}

const FILTER: u32 = u32::MAX - 1;
const EXEC: u32 = u32::MAX;

struct Shared {
    program: Program,
    /// The supervisor's process id.
    parent: usize,
    /// 0: wait; 1: go.
    gate: AtomicU32,
    /// Not 0 while the child uses this memory; the kernel clears it.
    inside: AtomicI32,
    listener: AtomicI32,
    failed_step: AtomicU32,
    /// 0: nothing failed.
    failed_errno: AtomicI32,
}

fn fail(shared: &Shared, step: u32, errno: Errno) -> ! {
    shared.failed_step.store(step, SeqCst);
    shared.failed_errno.store(errno.0, SeqCst);
    loop {
        // SAFETY: ends this process alone; 127 as shells do.
        let _ = unsafe { call(libc::SYS_exit_group, [127, 0, 0, 0, 0, 0]) };
    }
}

extern "C" fn main(arg: *mut c_void) -> ! {
    // SAFETY: `Traced` keeps this memory until `inside` is 0 or the process is reaped.
    let shared = unsafe { &*arg.cast::<Shared>() };
    // SAFETY: the kernel writes an int there when this process lets go of the memory.
    let _ = unsafe { call(libc::SYS_set_tid_address, [addr(&shared.inside), 0, 0, 0, 0, 0]) };
    while shared.gate.load(SeqCst) == 0 {
        let wait = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
        let look = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        // SAFETY: sleeps while the word is 0, for a while. A ptrace stop restarts it.
        let _ = unsafe { call(libc::SYS_futex, [addr(&shared.gate), wait, 0, addr(&look), 0, 0]) };
        // SAFETY: no argument. A supervisor that is killed before it has seized us lets nobody go, and no EXITKILL holds yet.
        if unsafe { call(libc::SYS_getppid, [0; 6]) } != Ok(shared.parent) {
            fail(shared, 0, Errno::SRCH);
        }
    }
    let program = &shared.program;
    let (index, errno) = run_guest(&program.steps, &AtomicU64::new(0));
    if index as usize != program.steps.len() {
        fail(shared, index, errno);
    }
    // Handlers of the host must not run here, and what Rust's runtime ignores is not the program's business.
    signal::reset_handlers_and_sigpipe();
    if program.stop {
        // From here on call by call; a hundred calls before this run free. SIGSTOP cannot be blocked, and the tracer takes it away.
        // SAFETY: integers.
        let me = unsafe { call(libc::SYS_getpid, [0; 6]) }.unwrap_or(0);
        // SAFETY: integers.
        let _ = unsafe { call(libc::SYS_kill, [me, libc::SIGSTOP as usize, 0, 0, 0, 0]) };
    }
    signal::set_mask(program.mask);
    if let Some(filter) = &program.filter {
        match seccomp::install(&filter.insns, filter.listener.then_some(seccomp::Wait::Killable)) {
            Ok(listener) => shared.listener.store(listener.unwrap_or(-1), SeqCst),
            Err(errno) => fail(shared, FILTER, errno),
        }
    }
    let args = [ptr(&program.path), program.argv.as_word(), program.envp.as_word(), 0, 0, 0];
    // SAFETY: NULL-terminated arrays of C strings.
    match unsafe { call(libc::SYS_execve, args) } {
        Err(errno) => fail(shared, EXEC, errno),
        Ok(_) => fail(shared, EXEC, Errno::INVAL),
    }
}

/// A child that waits to be seized, and then its way to execve(2). Dropped before it has executed, it is killed and reaped.
#[derive(Debug)]
pub struct Traced {
    pid: i32,
    pidfd: OwnedFd,
    shared: *mut Shared,
    /// Given back when the child has let go; leaked when that cannot be known.
    arena: Option<Arena>,
}

impl Traced {
    /// Clones the child. It does nothing until [`Self::go`]. The calling thread is its parent, and must be its tracer.
    pub fn start(program: Program) -> Result<Self, Errno> {
        let arena = Arena::new()?;
        let shared = Box::into_raw(Box::new(Shared {
            program,
            parent: std::process::id() as usize,
            gate: AtomicU32::new(0),
            inside: AtomicI32::new(1),
            listener: AtomicI32::new(-1),
            failed_step: AtomicU32::new(0),
            failed_errno: AtomicI32::new(0),
        }));
        // SAFETY: arena and `shared` are kept until the child has let go of them (`drop`).
        match unsafe { clone_vm(&CloneSpec::default(), &arena, 0, main, shared.cast()) } {
            Ok((pid, pidfd)) => Ok(Self { pid, pidfd, shared, arena: Some(arena) }),
            Err(errno) => {
                // SAFETY: no child was made; this is the only owner.
                drop(unsafe { Box::from_raw(shared) });
                Err(errno)
            }
        }
    }

    fn shared(&self) -> &Shared {
        // SAFETY: freed in `drop` only; the child reads it and writes atomics.
        unsafe { &*self.shared }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its pidfd.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Lets it take its steps.
    pub fn go(&self) {
        self.shared().gate.store(1, SeqCst);
        let wake = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
        // SAFETY: wakes the one waiter.
        let _ = unsafe { call(libc::SYS_futex, [addr(&self.shared().gate), wake, 1, 0, 0, 0]) };
    }

    /// The step that failed, if one did. The child ends then.
    pub fn failure(&self) -> Option<(Step, Errno)> {
        let errno = self.shared().failed_errno.load(SeqCst);
        let step = match self.shared().failed_step.load(SeqCst) {
            EXEC => Step::Exec,
            FILTER => Step::Filter,
            index => Step::Op(index),
        };
        (errno != 0).then_some((step, Errno(errno)))
    }

    /// What was started, for words about a failure.
    pub fn program(&self) -> &Program {
        &self.shared().program
    }

    /// The filter's listener, taken over with pidfd_getfd(2) (Linux 5.6). Between the filter and the end of the execve: there the
    /// child's own descriptor is closed.
    pub fn listener(&self) -> Result<Option<OwnedFd>, Errno> {
        match self.shared().listener.load(SeqCst) {
            -1 => Ok(None),
            number => pidfd::get_fd(self.pidfd(), number).map(Some),
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let inside = self.shared().inside.load(SeqCst) != 0;
        // ESRCH: reaped, so it cannot be inside. EPERM: it changed its user to one that we may not kill; keep the memory for it.
        if inside {
            match pidfd::send_signal(self.pidfd(), libc::SIGKILL) {
                Ok(()) => {
                    // It may stop once more on its way out (PTRACE_O_TRACEEXIT).
                    while let Ok((_, Change::Stopped(_))) = wait::tracee(self.pid, None) {
                        let _ = ptrace::resume(self.pid, Go::Free, 0);
                    }
                }
                Err(Errno::SRCH) => {}
                Err(_) => {
                    core::mem::forget(self.arena.take());
                    return;
                }
            }
        }
        // SAFETY: the child has executed or is gone, so this is the only owner.
        drop(unsafe { Box::from_raw(self.shared) });
    }
}
