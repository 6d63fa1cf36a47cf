//! Signals that the kernel would send: SIGCHLD for what a tracer is told, SIGSTOP of an attach, SIGTRAP after an exec.
//!
//! A siginfo with a code of the kernel's may only be sent to oneself: rt_sigqueueinfo(2). So what is sent has a code that no program knows, with the
//! true one in si_errno, and it is set right when the signal is about to be delivered, which every signal of a traced task is shown to us for. What
//! the kernel overwrites on the way from another PID or user namespace, si_pid and si_uid, travels where the value of a queued signal lies.

use std::hash::{BuildHasher, Hasher, RandomState};

use tipstaff_sys::ptrace::SigInfo;
use tipstaff_sys::signal;
use tipstaff_trace::{SignalDelivery, Stopped};

pub(crate) const SIGTRAP: i32 = 5;
pub(crate) const SIGCHLD: i32 = 17;
pub(crate) const SIGSTOP: i32 = 19;
pub(crate) const SI_USER: i32 = 0;
pub(crate) const SI_KERNEL: i32 = 0x80;
pub(crate) const TRAP_BRKPT: i32 = 1;
pub(crate) const CLD_EXITED: i32 = 1;
pub(crate) const CLD_KILLED: i32 = 2;
pub(crate) const CLD_DUMPED: i32 = 3;
pub(crate) const CLD_TRAPPED: i32 = 4;
pub(crate) const CLD_STOPPED: i32 = 5;

/// What SIGCHLD does to a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disposition {
    pub ignored: bool,
    pub handled: bool,
    /// SA_NOCLDSTOP.
    pub no_stops: bool,
    /// SA_NOCLDWAIT.
    pub no_wait: bool,
}

/// A SIGCHLD that nobody hears of unless it is blocked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    pub process: i32,
    /// si_code.
    pub code: i32,
    /// si_pid, si_uid, si_status.
    pub rest: [i32; 3],
}

/// The code of our own signals; a guest does not know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(i32);

impl Mark {
    pub fn new() -> Self {
        // Keyed at random by the standard library.
        let number = RandomState::new().build_hasher().finish() as i32;
        Self(-(1 << 16) - (number & 0x0fff_ffff))
    }

    fn sent(self, signal: i32, code: i32, rest: [i32; 3]) -> SigInfo {
        let mut words = [0i32; 32];
        // Codes and states are small.
        (words[0], words[1], words[2]) = (signal, code | rest[2] << 16, self.0);
        (words[6], words[7]) = (rest[0], rest[1]);
        info(words)
    }

    /// For a thread. No two are the same, or the second would be taken for the first one put back by the kernel.
    pub fn thread(self, (process, tid): (i32, i32), signal: i32, code: i32, sequence: i32, [a, b]: [i32; 2]) {
        // ESRCH: it is gone.
        let _ = signal::queue_thread(process, tid, &self.sent(signal, code, [a, b, sequence & 0x7fff]));
    }

    /// For a process.
    pub fn process(self, process: i32, signal: i32, code: i32, rest: [i32; 3]) {
        let _ = signal::queue(process, &self.sent(signal, code, rest));
    }

    /// Sets right what is about to be delivered, if it is ours: then that is what it tells.
    pub fn unveil(self, stop: &Stopped<SignalDelivery>) -> Option<SigInfo> {
        if !matches!(stop.signal(), SIGTRAP | SIGCHLD | SIGSTOP) {
            return None;
        }
        let told = self.told(&stop.info().ok()?)?;
        let _ = stop.set_info(&told);
        Some(told)
    }

    /// The SIGSTOP of a new tracee: from nobody.
    pub fn is_first_stop(self, found: &SigInfo) -> bool {
        self.told(found).is_some_and(|told| told.signal() == SIGSTOP && told.code() == SI_USER)
    }

    /// What one of ours stands for.
    pub fn told(self, found: &SigInfo) -> Option<SigInfo> {
        if found.code() != self.0 {
            return None;
        }
        let mut words = words(found);
        let packed = found.errno();
        (words[1], words[2]) = (0, packed & 0xffff);
        let state = if found.signal() == SIGCHLD { packed >> 16 } else { 0 };
        (words[4], words[5], words[6], words[7]) = (words[6], words[7], state, 0);
        Some(info(words))
    }
}

fn words(info: &SigInfo) -> [i32; 32] {
    let bytes = info.bytes();
    std::array::from_fn(|at| {
        let at = at * 4;
        i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    })
}

fn info(words: [i32; 32]) -> SigInfo {
    let mut bytes = [0; 128];
    for (piece, word) in bytes.chunks_exact_mut(4).zip(words) {
        piece.copy_from_slice(&word.to_ne_bytes());
    }
    SigInfo::from_bytes(bytes)
}

/// SIGCHLD as the kernel sends it. `rest`: si_pid, si_uid, si_status.
pub(crate) fn child(code: i32, rest: [i32; 3]) -> SigInfo {
    let mut words = [0; 32];
    (words[0], words[2], words[4], words[5], words[6]) = (SIGCHLD, code, rest[0], rest[1], rest[2]);
    info(words)
}

/// What the kernel makes of a signal that a tracer puts in the place of another: as if the tracer had sent it with kill(2).
pub(crate) fn from_tracer(signal: i32, pid: i32, uid: u32) -> SigInfo {
    let mut words = [0; 32];
    (words[0], words[2], words[4], words[5]) = (signal, SI_USER, pid, uid.cast_signed());
    info(words)
}
