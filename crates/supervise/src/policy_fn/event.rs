//! What a policy function is asked about.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Restrict;
use crate::handler::{Process, SocketAddress};

/// What kind of thing a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// It makes a process, or executes a program.
    Process,
    /// It opens a file.
    File,
    /// It reaches somebody, or takes an address.
    Network,
    /// Anything else.
    Other,
}

/// What a call is about, from one copy of the guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A program is executed.
    Exec {
        /// As the caller wrote it.
        path: PathBuf,
        /// What that leads to, as the guest's root has it, links followed; of a script, the script.
        file: PathBuf,
        /// All of its arguments, byte for byte.
        argv: Vec<OsString>,
    },
    /// A process is made. The flags are those of clone(2), as fork(2) and vfork(2) would have them.
    Fork {
        /// CLONE_* and the signal that is sent at the end.
        flags: u64,
    },
    /// Somebody is reached.
    Connect {
        /// Address and port, or a unix socket's name.
        to: SocketAddress,
        /// The names that the network rules have pinned to this address.
        hosts: Vec<String>,
    },
    /// A socket takes an address.
    Bind {
        /// Address and port, or a unix socket's name.
        to: SocketAddress,
    },
    /// A file is opened. The path can be another one by the time that the kernel reads it.
    Open {
        /// As the caller wrote it; relative to `dirfd`, or to its working directory.
        path: PathBuf,
    },
    /// Another call.
    Call,
}

/// A call that waits for a decision.
#[derive(Clone)]
pub struct Event {
    pub(super) call: &'static str,
    pub(super) args: [u64; 6],
    pub(super) pid: i32,
    pub(super) tid: i32,
    pub(super) parent: i32,
    pub(super) program: Option<PathBuf>,
    pub(super) subject: Subject,
    pub(super) process: Option<Arc<Process>>,
    pub(super) restrict: Restrict,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}: {:?}", self.call, self.pid, self.subject)
    }
}

impl Event {
    /// The call's name.
    #[must_use]
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// Its six words, as they are in the registers.
    #[must_use]
    pub fn args(&self) -> [u64; 6] {
        self.args
    }

    /// What kind of thing it does.
    #[must_use]
    pub fn category(&self) -> Category {
        match self.subject {
            Subject::Exec { .. } | Subject::Fork { .. } => Category::Process,
            Subject::Open { .. } => Category::File,
            Subject::Connect { .. } | Subject::Bind { .. } => Category::Network,
            Subject::Call => Category::Other,
        }
    }

    /// The caller's process, as it is numbered outside the box.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The calling thread.
    #[must_use]
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// The caller's parent, as it is numbered outside the box; it can be one outside.
    #[must_use]
    pub fn parent(&self) -> i32 {
        self.parent
    }

    /// The program that the caller runs: proc_pid_exe(5). None if it cannot be read.
    #[must_use]
    pub fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The caller as it was registered; None unless [`PolicyFn::know_processes`](super::PolicyFn::know_processes) was asked for.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_deref()
    }

    /// Takes something away from the box, from here on: also after the decision, and from any thread.
    #[must_use]
    pub fn restrict(&self) -> &Restrict {
        &self.restrict
    }

    /// The subject in a few words, for the report.
    pub(super) fn words(&self) -> String {
        match &self.subject {
            Subject::Exec { file, .. } => format!("exec {}", file.display()),
            Subject::Fork { .. } => "a new process".to_owned(),
            Subject::Connect { to, .. } => format!("reach {}", address(to)),
            Subject::Bind { to } => format!("bind {}", address(to)),
            Subject::Open { path } => format!("open {}", path.display()),
            Subject::Call => self.call.to_owned(),
        }
    }
}

fn address(to: &SocketAddress) -> String {
    match to {
        SocketAddress::Inet(addr) => addr.to_string(),
        SocketAddress::Unix(path) => format!("unix {}", path.display()),
        SocketAddress::Abstract(name) => format!("unix @{}", String::from_utf8_lossy(name)),
        SocketAddress::Other(family) => format!("address family {family}"),
    }
}
