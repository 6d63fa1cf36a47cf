//! Stopping signals that the kernel gives twice.
//!
//! A traced thread that is killed with a signal in its hands (by an exec of another thread) puts it back into its process's queue:
//! ptrace_signal() in kernel/signal.c. A SIGSTOP put back so stops the new program, although a SIGCONT was sent after it, and that one
//! is gone: a stopping signal takes it out of the queue. Untraced, the SIGSTOP would have ended with its thread. So we let it.
//!
//! What is put back is told by its siginfo, the same to the last byte, after the thread that had it has ended without a group-stop, and without any
//! other stop than that of its end; nor may its tracer have suppressed it. A program that stops itself twice sends the same bytes twice.
//! If the thread is killed before we saw its stop at all, nothing tells, and the program stays stopped.

use std::collections::HashMap;

use tipstaff_sys::ptrace::SigInfo;

use crate::state::Stopped;
use crate::stop::SignalDelivery;

/// SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU.
const STOPPING: std::ops::RangeInclusive<i32> = 19..=22;

/// The last stopping signal of each process that has not stopped it yet.
#[derive(Debug, Default)]
pub(crate) struct Requeued(HashMap<i32, Given>);

#[derive(Debug)]
struct Given {
    tid: i32,
    info: SigInfo,
    ended: bool,
}

impl Requeued {
    /// A signal is about to be delivered: whether it is one that has been put back.
    pub(crate) fn again(&mut self, process: i32, stop: &Stopped<SignalDelivery>) -> bool {
        if !STOPPING.contains(&stop.signal()) {
            return false;
        }
        let Ok(info) = stop.info() else { return false };
        if self.0.get(&process).is_some_and(|given| given.ended && given.info == info) {
            self.0.remove(&process);
            return true;
        }
        self.0.insert(process, Given { tid: stop.tid(), info, ended: false });
        false
    }

    /// A thread has come to another stop than that of its end, or its signal is not to be delivered: it has nothing in its hands any more.
    pub(crate) fn passed(&mut self, process: i32, tid: i32) {
        if self.0.get(&process).is_some_and(|given| given.tid == tid && !given.ended) {
            self.0.remove(&process);
        }
    }

    /// The process has stopped, or is no more.
    pub(crate) fn settled(&mut self, process: i32) {
        self.0.remove(&process);
    }

    /// A thread has ended.
    pub(crate) fn ended(&mut self, process: i32, tid: i32) {
        if let Some(given) = self.0.get_mut(&process).filter(|given| given.tid == tid) {
            given.ended = true;
        }
    }
}
