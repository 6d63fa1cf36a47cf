//! A program under a filter with a listener, from its first instruction.
//!
//! The child installs the filter and sends the listener away (SCM_RIGHTS) before it executes: there is no moment at which a call of the program is made and nobody
//! could be asked. The one sendmsg(2) that this takes passes by random words in registers that the kernel ignores. The program's own execve is its first call under the filter.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tipstaff_abi::{Arch, Sysno};
use tipstaff_sys::child::{CStrings, GuestOp};
use tipstaff_sys::seccomp::Wait;
use tipstaff_sys::signal::SigSet;
use tipstaff_sys::traced::{self, Step, Traced};
use tipstaff_sys::wait::{self, Status};
use tipstaff_sys::{pidfd, seccomp};

use crate::{Filter, Listener, receive};

/// A program to be started under a filter. Descriptors, directory, ids are this process's; signals are as after exec.
#[derive(Clone, Debug)]
pub struct Program {
    path: OsString,
    name: OsString,
    mask: SigSet,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// A started program. Dropped, it is killed and reaped; its own children are its own affair: a box (the `tipstaff` crate) leaves none.
#[derive(Debug)]
pub struct Running {
    child: Traced,
    reaped: bool,
}

impl Program {
    /// The file at `path`, which is not searched for, with this process's environment.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let path = path.as_ref().to_owned();
        let env = std::env::vars_os().collect();
        Self { name: path.clone(), path, mask: SigSet::default(), args: Vec::new(), env }
    }

    /// Gives it another name (argv[0]) than its path.
    #[must_use]
    pub fn name(mut self, name: impl AsRef<OsStr>) -> Self {
        self.name = name.as_ref().to_owned();
        self
    }

    /// The signals that it starts with blocked; else none.
    #[must_use]
    pub fn mask(mut self, mask: SigSet) -> Self {
        self.mask = mask;
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Replaces the environment.
    #[must_use]
    pub fn env(mut self, env: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.env = env.into_iter().collect();
        self
    }

    /// Starts it. EINVAL: the filter cannot be compiled; EBUSY: a listener is in the chain of filters already; any errno of execve(2) comes from [`Running::wait`],
    /// since somebody may have to be asked about that call.
    pub fn start(&self, filter: &Filter) -> io::Result<(Running, Listener)> {
        let secret = seccomp::secret()?;
        let mut rules = filter.0.clone();
        if let Some(table) = Arch::native().and_then(|arch| rules.table_mut(arch))
            && let Some(sendmsg) = Sysno::by_name(table.arch, "sendmsg")
        {
            table.exempt(sendmsg, &[(3, secret[0]), (4, secret[1]), (5, secret[2])]);
        }
        let compiled = rules.compile().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e.to_string()))?;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let install = GuestOp::Seccomp {
            program: compiled.insns().to_vec(),
            channel: Some((theirs.as_raw_fd(), Wait::Killable)),
            secret,
        };
        let argv = std::iter::once(&self.name).chain(&self.args).map(|arg| text(arg));
        let envp = self.env.iter().map(|(key, value)| {
            let mut pair = key.clone();
            pair.push("=");
            pair.push(value);
            text(&pair)
        });
        let program = traced::Program {
            steps: vec![GuestOp::ResetSignals, GuestOp::NoNewPrivs, install],
            stop: false,
            mask: self.mask,
            filter: None,
            path: text(&self.path)?,
            argv: CStrings::new(argv.collect::<io::Result<_>>()?),
            envp: CStrings::new(envp.collect::<io::Result<_>>()?),
        };
        let child = Traced::start(program)?;
        child.go();
        let listener = sent(&child, &ours)?;
        // Kept open until the child has sent.
        drop(theirs);
        Ok((Running { child, reaped: false }, listener))
    }
}

/// What the child sends, or why it did not.
fn sent(child: &Traced, ours: &OwnedFd) -> io::Result<Listener> {
    let mut fds = [PollFd::new(ours, PollFlags::IN), PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)];
    while let Err(e) = poll(&mut fds, None) {
        if e != rustix::io::Errno::INTR {
            return Err(e.into());
        }
    }
    match child.failure() {
        // An exec that has failed already is told by `Running::wait`, as one that fails later.
        Some((Step::Op(_) | Step::Filter, errno)) => Err(errno.into()),
        Some((Step::Exec, _)) | None => receive(ours.as_fd()),
    }
}

fn text(text: &OsStr) -> io::Result<CString> {
    let bytes = OsStr::as_bytes(text).to_vec();
    CString::new(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "an argument contains a NUL byte"))
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Kills it. It may be gone already.
    pub fn kill(&self) {
        const SIGKILL: i32 = 9;
        let _ = pidfd::send_signal(self.child.pidfd(), SIGKILL);
    }

    /// Waits for its end. Somebody must answer its calls meanwhile. Err: it could not be executed.
    pub fn wait(mut self) -> io::Result<Status> {
        let status = self.reap()?;
        match self.child.failure() {
            Some((Step::Exec, errno)) => Err(errno.into()),
            _ => Ok(status),
        }
    }

    fn reap(&mut self) -> io::Result<Status> {
        loop {
            if let Some(status) = wait::reap(self.child.pidfd(), true)? {
                self.reaped = true;
                return Ok(status);
            }
        }
    }
}

/// Readable when it has ended.
impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            let _ = self.reap();
        }
    }
}
