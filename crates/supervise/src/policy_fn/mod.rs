//! Policy functions: a function of yours decides about a call before it is made.
//!
//! A [`PolicyFn`] is a [`Handler`](crate::Handler) that does what a function on events must not be left to do by itself: it reads arguments from one copy, refuses
//! what cannot be read whole, runs the function in a thread where it may take its time, and refuses when the function is late or panics.
//! The function never opens anything: what it allows is still up to the handlers behind it, and to the profile.
//!
//! | event | what may be decided |
//! |---|---|
//! | exec | file and arguments: what was decided about is compared with what runs, at PTRACE_EVENT_EXEC |
//! | fork | by registers: that a process is made |
//! | connect, send, bind | the address: the network rules make the call from the same copy |
//! | open | nothing but to look: another thread can change the path before the kernel reads it |
//! | any other call | by its six words |

mod asking;
mod audit;
mod event;
mod restrict;

use std::fmt;
use std::net::IpAddr;
use std::ops::BitOr;
use std::sync::Arc;
use std::time::Duration;

use tipstaff_abi::{Arch, SyscallSet};

pub(crate) use asking::Asking;
pub use audit::AuditTrail;
pub use event::{Category, Event, Subject};
pub use restrict::{Dropped, Restrict, Surface};

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No objection. The handlers behind this one and the profile decide.
    Allow,
    /// As [`Self::Allow`], and the event is written into the [`AuditTrail`].
    Audit,
    /// It fails: EACCES for an exec and for an address, EPERM for anything else.
    Deny,
    /// It fails with this errno (1 to 4095).
    Errno(u16),
    /// The box is killed; the verdict is `policy_violation`.
    Kill,
}

/// The events that a function wants to see; the calls behind them, and no others, are held up. A sum: `Interest::EXEC | Interest::FORK`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// Programs that are executed: execve(2), execveat(2).
    pub const EXEC: Self = Self(1);
    /// Processes that are made: fork(2), vfork(2), clone(2); not threads.
    pub const FORK: Self = Self(2);
    /// Whom a call reaches: connect(2), and sendto(2), sendmsg(2), sendmmsg(2) with an address.
    pub const CONNECT: Self = Self(4);
    /// Which address a socket takes: bind(2).
    pub const BIND: Self = Self(8);
    /// Files that are opened, for the record: open(2), openat(2), openat2(2), creat(2).
    pub const OPEN: Self = Self(16);

    const CALLS: [(Self, &'static [&'static str]); 5] = [
        (Self::EXEC, &["execve", "execveat"]),
        (Self::FORK, &["fork", "vfork", "clone"]),
        (Self::CONNECT, &["connect", "sendto", "sendmsg", "sendmmsg"]),
        (Self::BIND, &["bind"]),
        (Self::OPEN, &["open", "openat", "openat2", "creat"]),
    ];

    /// Whether all of that is wanted.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn calls(self, arch: Arch) -> SyscallSet {
        let names = Self::CALLS.iter().filter(|(of, _)| self.contains(*of)).flat_map(|(_, calls)| calls.iter());
        SyscallSet::from_names(arch, names.copied())
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

type Decide = dyn Fn(&Event) -> Decision + Send + Sync;

/// A function that decides about events of one box, and how it is asked. Calls of several tasks are decided at the same time, each in a thread of its own.
#[derive(Clone)]
pub struct PolicyFn {
    name: String,
    interest: Interest,
    more: Vec<String>,
    deadline: Duration,
    processes: bool,
    audit: AuditTrail,
    decide: Arc<Decide>,
}

impl fmt::Debug for PolicyFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyFn")
            .field("name", &self.name)
            .field("interest", &self.interest)
            .field("more", &self.more)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl PolicyFn {
    /// Asks `decide` about those events.
    pub fn new(interest: Interest, decide: impl Fn(&Event) -> Decision + Send + Sync + 'static) -> Self {
        Self {
            name: "policy".to_owned(),
            interest,
            more: Vec::new(),
            deadline: Duration::from_secs(5),
            processes: false,
            audit: AuditTrail::default(),
            decide: Arc::new(decide),
        }
    }

    /// Asks about these calls too, by name. Their events have the six words and nothing that these lead to.
    #[must_use]
    pub fn calls<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.more.extend(names.into_iter().map(Into::into));
        self
    }

    /// How long a decision may take; 5 s unless it is set. One that is late is a refusal with EPERM, and the report's error says so.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What the report calls it; `policy` unless it is set.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Every process is known before it runs an instruction: [`Event::process`]. Costs what
    /// [`Handler::knows_processes`](crate::Handler::knows_processes) says.
    #[must_use]
    pub fn know_processes(mut self) -> Self {
        self.processes = true;
        self
    }

    /// What was answered with [`Decision::Audit`]: a handle that can be read at any time.
    #[must_use]
    pub fn audit(&self) -> AuditTrail {
        self.audit.clone()
    }

    /// Decides on addresses, so the calls must be made on the guest's behalf.
    #[must_use]
    pub fn wants_addresses(&self) -> bool {
        self.interest.contains(Interest::CONNECT) || self.interest.contains(Interest::BIND)
    }

    /// The names that stand for no call of this architecture.
    #[must_use]
    pub fn unknown(&self, arch: Arch) -> Option<&str> {
        self.more.iter().map(String::as_str).find(|name| tipstaff_abi::Sysno::by_name(arch, name).is_none())
    }

    /// The handler of one box. `names`: what its network rules have pinned.
    pub fn handler(self, names: Vec<(String, Vec<IpAddr>)>, restrict: Restrict) -> Box<dyn crate::Handler> {
        Box::new(Asking::new(self, names, restrict))
    }
}
