//! What happened in a traced program.

use tipstaff_decode::{Call, Value};

/// One thing that happened to one thread.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Nanoseconds since the trace began, CLOCK_MONOTONIC. For a call: when it was entered.
    pub at_ns: u64,
    /// The process (thread group).
    pub pid: i32,
    /// The thread.
    pub tid: i32,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A call was entered and has not returned yet. Only sent to writers that show time as it passes; [`What::Returned`] or [`What::Exited`] follows.
    Entered(Call),
    /// A call returned, or will never return (`call.returned` is absent: exit, exec in another thread, a kill).
    Returned {
        /// The call, complete.
        call: Call,
        /// From entry to return, nanoseconds of CLOCK_MONOTONIC, the tracer's own share included.
        took_ns: u64,
    },
    /// A signal is about to be delivered.
    Signal {
        /// Its number.
        number: i32,
        /// siginfo, decoded.
        info: Value,
    },
    /// A new thread or process. `tid` and `pid` of the event are its maker's.
    Forked {
        /// The new thread's id.
        child: i32,
        /// Its process.
        child_pid: i32,
    },
    /// A program replaced the process's memory. The event's `tid` is the new one, the leader's.
    Executed {
        /// The thread that called, which may have had another id.
        former_tid: i32,
        /// The file that runs now.
        path: Vec<u8>,
        /// Its arguments.
        argv: Vec<Vec<u8>>,
    },
    /// The thread ended by itself.
    Exited {
        /// The status, 0 to 255.
        status: i32,
    },
    /// The thread was ended by a signal.
    Killed {
        /// Its number.
        signal: i32,
        /// A core was dumped.
        core: bool,
    },
    /// The process was stopped by a signal (group-stop).
    Stopped {
        /// Its number.
        signal: i32,
    },
    /// The thread is traced from now on, having run before.
    Attached,
    /// The thread runs on, untraced.
    Detached,
}
