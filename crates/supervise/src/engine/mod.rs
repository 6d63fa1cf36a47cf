//! Engines: who asks the handlers.
//!
//! Under the native engine nobody does: the kernel decides alone. [`Notify`] answers seccomp notifications from the session's own loop.
//! [`Ptrace`] traces every task of the box from before its first instruction.

mod anteroom;
mod birth;
mod exec;
mod guard;
mod guide;
mod notify;
mod pool;
mod ptrace;
mod said;
mod threads;
mod voice;

use std::os::fd::BorrowedFd;

pub use anteroom::Anteroom;
pub(crate) use exec::Approved;
pub(crate) use notify::Answered;
pub use notify::Notify;
pub use ptrace::Ptrace;
pub(crate) use voice::{Said, Voice};

/// Who asks the handlers of a box.
#[derive(Debug, Default)]
pub enum Engine {
    /// Nobody.
    #[default]
    Native,
    /// The session's loop.
    Notify(Box<Notify>),
    /// A thread that traces the box.
    Ptrace(Ptrace),
}

impl Engine {
    /// Readable when one of its threads has said something.
    pub(crate) fn news(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Native => None,
            Self::Notify(notify) => Some(notify.news()),
            Self::Ptrace(ptrace) => Some(ptrace.news()),
        }
    }

    /// Where the tracer and the session meet over guests' listeners.
    pub(crate) fn anteroom(&self) -> Option<&Anteroom> {
        match self {
            Self::Ptrace(ptrace) => ptrace.anteroom(),
            Self::Native | Self::Notify(_) => None,
        }
    }

    /// What its threads have said.
    pub(crate) fn hear(&self) -> Said {
        match self {
            Self::Native => Said::default(),
            Self::Notify(notify) => notify.hear(),
            Self::Ptrace(ptrace) => ptrace.hear(),
        }
    }

    /// The box is empty: their last words.
    pub(crate) fn finish(&self) -> Said {
        match self {
            Self::Ptrace(ptrace) => ptrace.finish(),
            other => other.hear(),
        }
    }
}
