//! Starting a program that is traced from its execve(2) on.
//!
//! The child waits until it is seized and has stopped once; then it takes its steps, stops itself, and runs from syscall stop to syscall
//! stop, unseen, to the entry of its execve, which is the first thing an observer sees. So the exec itself is traced, and nothing before it.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Access;
use tipstaff_abi::bpf::Insn;
use tipstaff_sys::child::{CStrings, GuestOp};
use tipstaff_sys::ptrace::{Go, option};
use tipstaff_sys::signal::{self, SigSet};
use tipstaff_sys::traced::{Filter, Program, Step, Traced};
use tipstaff_sys::wait::Change;
use tipstaff_sys::{Errno, capability};

use crate::config::Turn;
use crate::observer::{End, Observer};
use crate::state::{Running, Wait};
use crate::task::{Origin, Task};
use crate::tracer::Tracer;
use crate::{Error, Returned, Stop};

/// All events, for every tracee of ours.
pub(crate) const OPTIONS: u32 = option::TRACESYSGOOD
    | option::TRACEFORK
    | option::TRACEVFORK
    | option::TRACECLONE
    | option::TRACEEXEC
    | option::TRACEVFORKDONE
    | option::TRACEEXIT
    | option::TRACESECCOMP;

/// Without a filter of ours, a RET_TRACE is another's, and nobody's to answer: ENOSYS, as without a tracer (seccomp(2)).
pub(crate) const WITHOUT_FILTER: u32 = OPTIONS & !option::TRACESECCOMP;

const SYSCALL_TRAP: i32 = 5 | 0x80;
const SIGSTOP: i32 = 19;
/// The kernel's own errnos begin here: the call is restarted.
const RESTARTS: i32 = 512;

/// A program to start. It inherits working directory, ids, limits, terminal, and the descriptors that are not close-on-exec.
#[derive(Debug)]
pub struct Launch {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    filter: Option<Filter>,
    mask: Option<SigSet>,
    stdio: [Option<OwnedFd>; 3],
}

/// A program that runs under trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Its process id.
    pub pid: i32,
    /// PR_SET_NO_NEW_PRIVS was needed for the filter: set-user-ID programs gain nothing. False with CAP_SYS_ADMIN, and without a
    /// filter. (Traced without CAP_SYS_PTRACE they gain nothing in any case: execve(2).)
    pub no_new_privs: bool,
}

/// Why a program was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// A step failed.
    #[error("{step}: {errno}")]
    Step {
        /// The step in words.
        step: String,
        /// Why.
        errno: Errno,
    },
    /// The program cannot be executed: ENOENT where there is no such file (or its interpreter is missing), EACCES, ENOEXEC and so on.
    #[error("exec {program:?}: {errno}")]
    Exec {
        /// The program.
        program: OsString,
        /// Why.
        errno: Errno,
    },
    /// Something ended the child before it had executed.
    #[error("the program was ended before it had started ({0:?})")]
    Ended(End),
    /// A [`Stopper`](crate::Stopper) ended the launch.
    #[error("stopped before the program had started")]
    Stopped,
    /// Tracing failed.
    #[error(transparent)]
    Trace(#[from] Error),
}

impl Launch {
    /// A program with the tracer's environment. Without a slash it is searched in `PATH` as execvp(3) does.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: std::env::vars_os().collect(),
            filter: None,
            mask: None,
            stdio: [None, None, None],
        }
    }

    /// One argument more.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        let key = key.into();
        self.env.retain(|(known, _)| *known != key);
        self.env.push((key, value.into()));
        self
    }

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(known, _)| known != key.as_ref());
        self
    }

    /// Installs a filter before the exec, with a listener that the tracer keeps: no guest can then have a filter with a listener of
    /// its own (EBUSY), whose USER_NOTIF would outrank this one's RET_TRACE. Such a program cannot be detached from.
    #[must_use]
    pub fn filter(mut self, insns: Vec<Insn>) -> Self {
        self.filter = Some(Filter { insns, listener: true });
        self
    }

    /// As [`Self::filter`], without the listener: for programs that are not meant to be held, only to be seen.
    #[must_use]
    pub fn filter_without_listener(mut self, insns: Vec<Insn>) -> Self {
        self.filter = Some(Filter { insns, listener: false });
        self
    }

    /// The signals that the program starts with blocked; else those that the calling thread has blocked.
    #[must_use]
    pub fn mask(mut self, mask: SigSet) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Gives the program another standard descriptor (0 to 2) than ours.
    #[must_use]
    pub fn stdio(mut self, number: usize, descriptor: OwnedFd) -> Self {
        if let Some(slot) = self.stdio.get_mut(number) {
            *slot = Some(descriptor);
        }
        self
    }

    fn exec_error(&self, errno: Errno) -> LaunchError {
        LaunchError::Exec { program: self.program.clone(), errno }
    }

    /// execvp(3)'s search.
    fn find(&self) -> Result<CString, LaunchError> {
        let path = self.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
        self.c_string(&search(&self.program, path).map_err(|errno| self.exec_error(errno))?)
    }

    fn c_string(&self, text: &OsStr) -> Result<CString, LaunchError> {
        // A NUL inside cannot be said to the kernel.
        CString::new(text.as_bytes()).map_err(|_| self.exec_error(Errno::INVAL))
    }

    /// Everything that the child will need; the descriptors are to be kept until it has executed.
    fn prepare(&self, no_new_privs: bool) -> Result<(Program, Vec<OwnedFd>), LaunchError> {
        let path = self.find()?;
        let argv = std::iter::once(&self.program).chain(&self.args).map(|arg| self.c_string(arg));
        let envp = self.env.iter().map(|(key, value)| {
            let mut line = key.clone().into_vec();
            line.push(b'=');
            line.extend(value.as_bytes());
            self.c_string(OsStr::from_bytes(&line))
        });
        let mut kept = Vec::new();
        let mut steps = Vec::new();
        for (target, descriptor) in self.stdio.iter().enumerate() {
            if let Some(descriptor) = descriptor {
                // Above every target, so that no dup overwrites the source of the next.
                let copy = rustix::io::fcntl_dupfd_cloexec(descriptor, 3).map_err(|e| step("dup", e.into()))?;
                steps.push(GuestOp::DupTo(copy.as_raw_fd(), target as i32));
                kept.push(copy);
            }
        }
        if no_new_privs {
            steps.push(GuestOp::NoNewPrivs);
        }
        let mask = self.mask.unwrap_or_else(|| signal::block(SigSet::default()));
        let program = Program {
            steps,
            stop: true,
            mask,
            filter: self.filter.as_ref().map(|f| Filter { insns: f.insns.clone(), listener: f.listener }),
            path,
            argv: CStrings::new(argv.collect::<Result<_, _>>()?),
            envp: CStrings::new(envp.collect::<Result<_, _>>()?),
        };
        Ok((program, kept))
    }
}

/// The file that execvp(3) would execute for this name, with this value of `PATH`. ENOENT, or EACCES where a file of that name may not be executed.
pub fn search(name: &OsStr, path: Option<&OsStr>) -> Result<OsString, Errno> {
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(name.to_owned());
    }
    let mut why = Errno::NOENT;
    for dir in path.map_or(&b"/bin:/usr/bin"[..], OsStr::as_bytes).split(|&b| b == b':') {
        let dir = if dir.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(dir)) };
        let file = dir.join(name);
        if !file.is_file() {
            continue;
        }
        match rustix::fs::access(&file, Access::EXEC_OK) {
            Ok(()) => return Ok(file.into_os_string()),
            Err(e) => why = e.into(),
        }
    }
    Err(why)
}

/// Whether the last task under a listener's filter is gone: it polls HUP then (Linux 5.8).
fn abandoned(listener: &OwnedFd) -> bool {
    let mut poll = [PollFd::new(listener, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut poll, Some(&now)).is_ok() && poll[0].revents().contains(PollFlags::HUP)
}

fn step(step: impl fmt::Display, errno: Errno) -> LaunchError {
    LaunchError::Step { step: step.to_string(), errno }
}

/// A launch between its execve's entry and its end.
#[derive(Debug)]
pub(crate) struct Launching {
    traced: Traced,
    /// The execve has failed; what the child still does is ours, not the program's.
    failed: bool,
    ended: Option<End>,
}

impl Launching {
    pub(crate) fn pid(&self) -> i32 {
        self.traced.pid()
    }

    fn why(&self, launch: &Launch) -> Option<LaunchError> {
        let (which, errno) = self.traced.failure()?;
        Some(match which {
            Step::Exec => launch.exec_error(errno),
            Step::Filter => step("install the seccomp filter", errno),
            Step::Op(index) => {
                let op = self.traced.program().steps.get(index as usize);
                step(op.map_or_else(|| "launch".into(), GuestOp::words), errno)
            }
        })
    }
}

impl Tracer {
    /// Starts a program under trace. The observer sees the entry of its execve first, and has seen [`Stop::Executed`] when this returns.
    /// Other tracees are served meanwhile, and [`Resume::Hold`](crate::Resume) is no answer for the new one until then. A failed execve is
    /// shown, then told as [`LaunchError::Exec`].
    pub fn launch(&mut self, launch: &Launch, observer: &mut dyn Observer) -> Result<Launched, LaunchError> {
        let no_new_privs = launch.filter.is_some() && !capability::has(capability::SYS_ADMIN);
        let (program, _kept) = launch.prepare(no_new_privs)?;
        // The child inherits how and where this thread is scheduled.
        self.place.rest();
        let traced = Traced::start(program).map_err(|e| step("clone", e))?;
        let pid = traced.pid();
        let mut launching = Launching { traced, failed: false, ended: None };
        self.to_execve(&mut launching, launch)?;
        let origin = Origin::Launched { filtered: launch.filter.is_some() };
        self.listeners.retain(|listener| !abandoned(listener));
        self.listeners.extend(launching.traced.listener().map_err(|e| step("take over the listener", e))?);
        self.launching = Some(launching);
        let mut task = Task::new(pid, pid, None, origin, self.config.start);
        task.fresh = false;
        self.tasks.insert(task);
        // The stop that it stands in: told again, this time to the observer.
        self.ready.push_back((pid, Change::Stopped(SYSCALL_TRAP)));
        let mut asked = false;
        loop {
            let Some(launching) = self.launching.as_ref() else { return Ok(Launched { pid, no_new_privs }) };
            if let Some(end) = launching.ended {
                let why = launching.why(launch).unwrap_or(LaunchError::Ended(end));
                self.launching = None;
                return Err(if asked { LaunchError::Stopped } else { why });
            }
            if self.step(observer)? == Turn::Asked {
                asked = true;
                let _ = signal::kill(pid, 9);
            }
        }
    }

    /// Seizes the child and brings it to the entry of its execve.
    fn to_execve(&self, launching: &mut Launching, launch: &Launch) -> Result<(), LaunchError> {
        let stops = if launch.filter.is_some() || self.config.foreign { OPTIONS } else { WITHOUT_FILTER };
        let options = stops | option::EXITKILL;
        let running = Running::seize(launching.pid(), options).map_err(|e| step("PTRACE_SEIZE", e))?;
        running.interrupt();
        let mut running = match running.wait()? {
            Wait::Stopped(stop) => {
                launching.traced.go();
                stop.resume(Go::Free)
            }
            Wait::Ended(zombie) => return Err(LaunchError::Ended(zombie.status().into())),
        };
        let mut stepped = false;
        loop {
            running = match running.wait()? {
                Wait::Stopped(Stop::Entered(stop)) if self.is_execve(stop.call()) => return Ok(()),
                // Its own: the steps are done.
                Wait::Stopped(Stop::Signal(mut stop)) if !stepped && stop.signal() == SIGSTOP => {
                    stepped = true;
                    stop.deliver(None)?;
                    stop.resume(Go::Syscall)
                }
                Wait::Stopped(stop) => stop.resume(if stepped { Go::Syscall } else { Go::Free }),
                Wait::Ended(zombie) => {
                    let end = zombie.status().into();
                    return Err(launching.why(launch).unwrap_or(LaunchError::Ended(end)));
                }
            };
        }
    }

    /// Whether what this task does is the launch's own business.
    pub(crate) fn launch_hides(&self, tid: i32) -> bool {
        self.launching.as_ref().is_some_and(|launching| launching.failed && launching.pid() == tid)
    }

    pub(crate) fn launch_returned(&mut self, tid: i32, returned: Returned) {
        if let Some(launching) = self.launching.as_mut().filter(|launching| launching.pid() == tid) {
            launching.failed |= returned.errno().is_some_and(|errno| errno < RESTARTS);
        }
    }

    pub(crate) fn launch_executed(&mut self, tid: i32) {
        if self.launching.as_ref().is_some_and(|launching| launching.pid() == tid) {
            self.launching = None;
        }
    }

    pub(crate) fn launch_ended(&mut self, tid: i32, end: End) {
        if let Some(launching) = self.launching.as_mut().filter(|launching| launching.pid() == tid) {
            launching.ended = Some(end);
        }
    }
}
