//! How a profile is enforced.

use std::collections::BTreeSet;

use crate::value::words;

words! {
    /// A kind of namespace.
    pub enum Namespace {
        /// A user namespace.
        User = "user",
        /// A mount tree of its own.
        Mount = "mount",
        /// Process ids of its own.
        Pid = "pid",
        /// System V objects and POSIX message queues of its own.
        Ipc = "ipc",
        /// A host name of its own.
        Uts = "uts",
        /// A network of its own, with a loopback.
        Net = "net",
        /// A cgroup root of its own.
        Cgroup = "cgroup",
    }
}

words! {
    /// What decides the calls that are supervised.
    pub enum Engine {
        /// The cheapest that can enforce the profile.
        Auto = "auto",
        /// The kernel alone.
        Native = "native",
        /// Seccomp user notification.
        Notify = "notify",
        /// Ptrace.
        Ptrace = "ptrace",
    }
}

words! {
    /// What becomes of ptrace inside the box.
    pub enum GuestPtrace {
        /// Programs in the box can trace one another.
        Native = "native",
        /// As native, played by the ptrace engine, which holds the real one.
        Emulate = "emulate",
        /// It is refused.
        Deny = "deny",
    }
}

words! {
    /// Who may attach to whom by ptrace(2) inside the box, in the words of Yama (Documentation/admin-guide/LSM/Yama.rst).
    pub enum PtraceScope {
        /// Whoever may by ids: Yama's 0.
        Classic = "classic",
        /// To descendants, and to who has named the tracer by PR_SET_PTRACER: Yama's 1.
        Restricted = "restricted",
        /// CAP_SYS_PTRACE, which nobody in a box has: Yama's 2.
        Admin = "admin",
        /// Nobody: Yama's 3.
        None = "none",
    }
}

words! {
    /// Whether a program in the box can have a listener of its own for seccomp notifications (seccomp_unotify(2)).
    pub enum GuestListener {
        /// The kernel's own: the box has none, since there can be one in a chain of filters.
        Native = "native",
        /// Our tracer serves it, beside the box's own.
        Emulate = "emulate",
        /// It is refused with EBUSY.
        Deny = "deny",
    }
}

words! {
    /// What is told of refused calls.
    pub enum Denials {
        /// Each is recorded with its rule and how to allow it; only refused calls pay for it.
        Report = "report",
        /// Nothing.
        Silent = "silent",
    }
}

/// Which namespaces a box gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Those that the profile needs and the caller can have.
    Auto,
    /// None: Landlock and seccomp alone must hold.
    None,
    /// Exactly these.
    Only(BTreeSet<Namespace>),
}

/// How a profile is enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Which namespaces; auto unless said otherwise.
    pub namespaces: Option<Namespaces>,
    /// Which engine; auto unless said otherwise.
    pub engine: Option<Engine>,
    /// What cannot be enforced fully is weakened and reported, instead of refused.
    pub best_effort: Option<bool>,
    /// Ptrace inside the box.
    pub guest_ptrace: Option<GuestPtrace>,
    /// Who may attach to whom; classic unless said otherwise, and never more than the host allows.
    pub ptrace_scope: Option<PtraceScope>,
    /// Listeners inside the box; deny unless said otherwise.
    pub guest_listener: Option<GuestListener>,
    /// What is told of refused calls; report unless said otherwise.
    pub denials: Option<Denials>,
}

impl Isolation {
    pub(super) fn merge(base: Self, over: Self) -> Self {
        Self {
            namespaces: over.namespaces.or(base.namespaces),
            engine: over.engine.or(base.engine),
            best_effort: over.best_effort.or(base.best_effort),
            guest_ptrace: over.guest_ptrace.or(base.guest_ptrace),
            ptrace_scope: over.ptrace_scope.or(base.ptrace_scope),
            guest_listener: over.guest_listener.or(base.guest_listener),
            denials: over.denials.or(base.denials),
        }
    }
}
