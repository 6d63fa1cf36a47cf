//! A process that shares our memory: `clone(CLONE_VM)` on a stack of its own.
//!
//! Every box starts this way. The new process has its own pid, file descriptors, namespaces, credentials and
//! signal handlers, but no copy of our page tables, however big we are, and it reads the operations that were
//! prepared for it where they lie. What it may do is narrow: raw system calls on prepared data. It must not
//! allocate, lock, panic, or touch thread-local storage (CLONE_SETTLS gives it a zeroed block, so that even a
//! stray `errno` hits nobody else's).
//!
//! Tried and left: a plain fork (a page-table copy: 100 µs more for a small host, 10 ms and more for a
//! big one), and a static helper executed from a sealed memfd (one exec more in each run, 40 µs at best, and
//! a second program to build and trust). Starting the keeper on the caller's own CPU, so that no idle one has to be
//! woken, was worse: until the next scheduler tick it often waits behind its caller (4 ms at 250 Hz).
//!
//! Guests cannot use the shared memory as a way in: the keeper holds capabilities that no guest
//! holds, or stands outside the guest's Landlock domain; ptrace(2) access (and with it `/proc/PID/mem`,
//! process_vm_writev(2), pidfd_getfd(2)) is refused by either.

use core::ffi::c_void;
use core::mem;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use crate::arch::clone_call;
use crate::raw::{Errno, addr, call};
use crate::signal::{self, SigSet};

/// struct clone_args, as far as Linux 5.7 (88 bytes: with `cgroup`).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What a new process is cloned with, beside CLONE_VM.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneSpec {
    /// CLONE_NEW* flags.
    pub namespaces: u64,
    /// CLONE_PIDFD.
    pub pidfd: bool,
    /// CLONE_VFORK: the caller waits until the child has executed or ended.
    pub vfork: bool,
    /// CLONE_INTO_CGROUP: descriptor of a v2 control group.
    pub cgroup: Option<RawFd>,
    /// Use clone3(2); otherwise clone(2), which has neither CLONE_INTO_CGROUP nor CLONE_NEWTIME.
    pub clone3: bool,
}

/// Entry of a cloned process.
pub(crate) type Entry = extern "C" fn(*mut c_void) -> !;

/// Stack and thread-local block of cloned processes, in one mapping with guard pages below each stack.
#[derive(Debug)]
pub(crate) struct Arena {
    base: usize,
}

const PAGE: usize = 4096;
const STACK: usize = 16 * PAGE;
const TLS: usize = 2 * PAGE;
const ARENA: usize = PAGE + STACK + PAGE + STACK + TLS;

/// Arenas on which nobody runs any more: a new mapping, its guard pages and the faults of its first use are a good part of what a small box costs.
static FREE: Mutex<[usize; 4]> = Mutex::new([0; 4]);

impl Arena {
    pub(crate) fn new() -> Result<Self, Errno> {
        let free =
            FREE.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().find(|base| **base != 0).map(mem::take);
        if let Some(base) = free {
            return Ok(Self { base });
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        // SAFETY: a new private mapping, then guard pages inside it.
        let base = unsafe {
            let base = call(libc::SYS_mmap, [0, ARENA, prot, flags as usize, usize::MAX, 0])?;
            for guard in [base, base + PAGE + STACK] {
                call(libc::SYS_mprotect, [guard, PAGE, libc::PROT_NONE as usize, 0, 0, 0])?;
            }
            base
        };
        Ok(Self { base })
    }

    fn stack(&self, which: usize) -> usize {
        self.base + PAGE + which * (STACK + PAGE)
    }

    fn tls(&self) -> usize {
        // The thread pointer points past the block on x86_64 and before it on aarch64: the middle serves both.
        self.base + ARENA - TLS / 2
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(place) = FREE.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().find(|base| **base == 0) {
            *place = self.base;
            return;
        }
        // SAFETY: the owner drops an arena only when no process runs on it.
        let _ = unsafe { call(libc::SYS_munmap, [self.base, ARENA, 0, 0, 0, 0]) };
    }
}

/// Clones a process that shares our memory and runs `entry(arg)` on stack 0 or 1 of `arena`, with every signal
/// blocked. Returns its pid and pidfd. Its exit signal is none, so that a host's SIGCHLD handler and a host's
/// `waitpid(-1)` without `__WALL` never see it.
///
/// # Safety
/// `arena` and whatever `arg` leads to outlive the child; `entry` obeys the rules of this module; with stack
/// `which` no other live process runs.
pub(crate) unsafe fn clone_vm(
    spec: &CloneSpec,
    arena: &Arena,
    which: usize,
    entry: Entry,
    arg: *mut c_void,
) -> Result<(i32, OwnedFd), Errno> {
    // SAFETY: passed on to the caller.
    let (pid, pidfd) = unsafe { clone_vm_raw(&CloneSpec { pidfd: true, ..*spec }, arena, which, entry, arg)? };
    // SAFETY: a new descriptor of ours.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// [`clone_vm`] with the pidfd as a number, -1 where none is asked for. Child-safe.
///
/// # Safety
/// As [`clone_vm`]; the caller owns the descriptor.
pub(crate) unsafe fn clone_vm_raw(
    spec: &CloneSpec,
    arena: &Arena,
    which: usize,
    entry: Entry,
    arg: *mut c_void,
) -> Result<(i32, i32), Errno> {
    let mut flags = spec.namespaces | (libc::CLONE_VM | libc::CLONE_SETTLS) as u64;
    if spec.pidfd {
        flags |= libc::CLONE_PIDFD as u64;
    }
    if spec.vfork {
        flags |= libc::CLONE_VFORK as u64;
    }
    let mut pidfd: i32 = -1;
    let pidfd_ptr = core::ptr::from_mut(&mut pidfd) as usize;
    // A handler of the host must never run in the child: it would run on shared memory with foreign identity.
    let old = signal::set_mask(SigSet::ALL);
    let ret = if spec.clone3 {
        if spec.cgroup.is_some() {
            flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP
        }
        let args = CloneArgs {
            flags,
            pidfd: if spec.pidfd { pidfd_ptr as u64 } else { 0 },
            stack: arena.stack(which) as u64,
            stack_size: STACK as u64,
            tls: arena.tls() as u64,
            cgroup: spec.cgroup.unwrap_or(0) as u64,
            ..CloneArgs::default()
        };
        // SAFETY: the stack is mapped, aligned and unused; the caller answers for `entry` and `arg`.
        unsafe { clone_call(libc::SYS_clone3 as usize, [addr(&args), size_of::<CloneArgs>(), 0, 0, 0], entry, arg) }
    } else {
        let top = arena.stack(which) + STACK;
        // SAFETY: as above; the pidfd is written where clone(2) has parent_tid.
        unsafe { clone_call(libc::SYS_clone as usize, [flags as usize, top, pidfd_ptr, 0, arena.tls()], entry, arg) }
    };
    signal::set_mask(old);
    if ret < 0 { Err(Errno(-ret as i32)) } else { Ok((ret as i32, pidfd)) }
}
