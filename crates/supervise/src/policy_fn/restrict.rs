//! Taking things away from a box that runs. There is no way to give anything back.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tipstaff_cgroup::Limiter;
use tipstaff_policy::lower::{MemoryBy, NamespacePlan, ProcessesBy};
use tipstaff_report::{Enforcement, Level};
use tipstaff_sys::rlimit::{RLIMIT_NPROC, Rlimit, set_of};
use tipstaff_sys::{clock, mask};

use crate::network::Tighten;
use crate::tasks;

/// How long somebody waits for a box that is still being started.
const STARTING: Duration = Duration::from_secs(5);
/// Rounds over all processes until nobody new is found.
const ROUNDS: usize = 100;
const NO_LIMIT: &str = "the box has no process limit that could be lowered; give it one (`--processes N`)";
/// What is told in the report.
const TOLD: usize = 100;

/// Takes things away from one box, from any thread. What was taken stays taken. Clones are of the same box. Errors are one line with the cure.
#[derive(Clone, Debug, Default)]
pub struct Restrict(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    surface: Option<Surface>,
    network: Option<Tighten>,
    ended: bool,
    /// No task may be made at the moment: what bounds them is written when they may again.
    held: bool,
    said: Vec<Enforcement>,
}

/// Where a box can be taken hold of.
#[derive(Debug)]
pub struct Surface {
    /// pidfd of its keeper.
    pub keeper: OwnedFd,
    /// Its keeper.
    pub pid: i32,
    /// CLOCK_MONOTONIC at its start.
    pub started_ns: u64,
    /// What is its own.
    pub namespaces: NamespacePlan,
    /// Its control groups.
    pub limiter: Option<Limiter>,
    /// Tasks and mechanism.
    pub processes: Option<(u64, ProcessesBy)>,
    /// Bytes and mechanism.
    pub memory: Option<(u64, MemoryBy)>,
    /// The limit of tasks is not the one that it started with.
    pub lowered: bool,
}

impl Surface {
    fn write_processes(&self, tasks: u64, by: ProcessesBy) -> io::Result<&'static str> {
        if by == ProcessesBy::Cgroup {
            let written = self.limiter.as_ref().and_then(|limiter| limiter.processes(tasks));
            written.ok_or_else(|| unsupported(NO_LIMIT))?.map_err(io::Error::other)?;
            return Ok("cgroup");
        }
        if by == ProcessesBy::RlimitInNamespace {
            // The keeper counts.
            everybody(self.pid, tasks + 1)?;
        } else if by == ProcessesBy::RlimitOfUser {
            everybody(self.pid, tasks)?;
        } else {
            return Err(unsupported("this mechanism has no limit that could be lowered at run time"));
        }
        Ok("RLIMIT_NPROC")
    }
}

/// What came of [`Restrict::drop_network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Nobody can be reached any more, and so many sockets have been shut down.
    Done {
        /// Sockets of TCP and UDP, of all processes.
        sockets: usize,
    },
    /// The box has a network namespace of its own with nothing but a loopback: there was nobody to be reached.
    HadNone,
}

fn unsupported(text: &str) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, text.to_owned())
}

fn invalid(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text)
}

impl Restrict {
    /// The network rules of the box, which drop_network closes.
    #[must_use]
    pub fn with_network(self, network: Option<Tighten>) -> Self {
        self.lock().network = network;
        self
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(&self, surface: Surface) {
        self.lock().surface = Some(surface);
        self.0.opened.notify_all();
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        (state.surface, state.ended) = (None, true);
    }

    /// The limit of memory, if it has been lowered or set meanwhile.
    pub(crate) fn memory(&self) -> Option<(u64, MemoryBy)> {
        self.peek(|surface| surface.memory)
    }

    /// Tasks are held or let go by `what`, which writes their limit. A limit that has been lowered meanwhile holds afterwards.
    pub(crate) fn holding<T>(&self, held: bool, what: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        let done = what();
        if state.held
            && !held
            && let Some(surface) = &state.surface
            && let Some((tasks, by)) = surface.processes.filter(|_| surface.lowered)
        {
            // As it was written before; a process that is gone meanwhile needs none.
            let _ = surface.write_processes(tasks, by);
        }
        state.held = held;
        done
    }

    /// The limit of processes as it is now.
    pub(crate) fn processes(&self) -> Option<(u64, ProcessesBy)> {
        self.peek(|surface| surface.processes)
    }

    /// For the session's loop, which does not wait for somebody who is at work on the box.
    fn peek<T>(&self, what: impl FnOnce(&Surface) -> Option<T>) -> Option<T> {
        self.0.state.try_lock().ok()?.surface.as_ref().and_then(what)
    }

    /// Names that the box has asked for in vain, and how often.
    pub(crate) fn unknown_names(&self) -> BTreeMap<String, u64> {
        self.lock().network.as_ref().map(Tighten::unknown_names).unwrap_or_default()
    }

    /// What was taken, as the report wants it.
    pub(crate) fn said(&self) -> Vec<Enforcement> {
        self.lock().said.clone()
    }

    /// Does something to the box, once it has been started.
    fn hold<T>(
        &self,
        rule: String,
        what: impl FnOnce(&mut Surface, Option<&Tighten>, bool) -> io::Result<(T, &'static str)>,
    ) -> io::Result<T> {
        let waiting = |state: &mut State| state.surface.is_none() && !state.ended;
        let (mut state, _) =
            self.0.opened.wait_timeout_while(self.lock(), STARTING, waiting).unwrap_or_else(PoisonError::into_inner);
        let State { surface, network, said, held, .. } = &mut *state;
        let Some(surface) = surface else {
            return Err(io::Error::new(ErrorKind::NotFound, format!("{rule}: the box does not run")));
        };
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{rule}: {e}"));
        let (done, mechanism) = what(surface, network.as_ref(), *held).map_err(named)?;
        if said.len() < TOLD {
            let ms = clock::monotonic_ns().saturating_sub(surface.started_ns) / 1_000_000;
            let why = Some(format!("at run time, {ms} ms after the start").into());
            let (rule, mechanism) = (rule.into(), mechanism.to_owned());
            said.push(Enforcement { rule, mechanism, level: Level::Full, why });
        }
        Ok(done)
    }

    /// Nobody can be reached from now on: calls with an address and listen(2) are denied, those that wait as well,
    /// and the sockets of TCP and UDP that are there are shut down, in flight (SCM_RIGHTS) too, unless in a unix connection that nobody has accepted. Unsupported in a box that
    /// shares the network of its caller without rules by address (`--net host` alone).
    pub fn drop_network(&self) -> io::Result<Dropped> {
        self.hold("drop_network".to_owned(), |surface, network, _| match network {
            Some(network) => {
                let all = || tasks::below(surface.pid).into_iter().map(|process| process.pid);
                let sockets = network.drop_network(all);
                Ok((Dropped::Done { sockets }, "on behalf"))
            }
            None if surface.namespaces.net => Ok((Dropped::HadNone, "network namespace")),
            None => Err(unsupported(
                "the kernel alone decides about this network; give the box rules by address (`--net tcp://HOST:PORT`)",
            )),
        })
    }

    /// A path of the box, absolute as the box sees it, can be opened by nobody in it from now on (EACCES); a directory with all that is below. What is open
    /// stays open; another name of the same file (a hard link, a second mount) is not covered. Unsupported without a mount namespace;
    /// NotFound where nothing stands there.
    pub fn deny_path(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        if !path.is_absolute() || path == Path::new("/") {
            return Err(invalid(format!("deny_path {path:?}: give an absolute path below the root")));
        }
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| invalid(format!("deny_path {path:?}: a path has no NUL")))?;
        self.hold(format!("deny_path {}", path.display()), |surface, _, _| {
            if !surface.namespaces.mount {
                let cure = "the box has no mount namespace of its own; deny the path in the profile";
                return Err(unsupported(cure));
            }
            let masked = mask::mask(surface.keeper.as_fd(), surface.namespaces.user, &name);
            masked.map_err(|(step, errno)| {
                let e = io::Error::from(errno);
                io::Error::new(e.kind(), format!("{step}: {errno}"))
            })?;
            Ok(((), "mount namespace"))
        })
    }

    /// A lower limit of tasks. Those that are there stay; no new one is made while there are as many. Unsupported where the box has no limit
    /// (`limits.processes`); InvalidInput if it is not lower.
    pub fn limit_processes(&self, tasks: u64) -> io::Result<()> {
        self.hold(format!("limit_processes {tasks}"), |surface, _, held| {
            let (limit, by) = surface.processes.ok_or_else(|| unsupported(NO_LIMIT))?;
            if tasks >= limit || tasks == 0 {
                return Err(invalid(format!(
                    "a limit can only be lowered, and is {limit}; give a number from 1 below it"
                )));
            }
            let mechanism = if held { "when tasks may be made again" } else { surface.write_processes(tasks, by)? };
            (surface.processes, surface.lowered) = (Some((tasks, by)), true);
            Ok(((), mechanism))
        })
    }

    /// A lower limit of memory, in bytes; a first one is sampled, within a second from now on. InvalidInput if it is not lower; an error of the control group if more is
    /// in use than it can be brought down to.
    pub fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        self.hold(format!("limit_memory {bytes}"), |surface, _, _| {
            if let Some((limit, _)) = surface.memory.filter(|(limit, _)| bytes >= *limit) {
                return Err(invalid(format!("a limit can only be lowered, and is {limit} bytes")));
            }
            let by = surface.memory.map_or(MemoryBy::Sampling, |(_, by)| by);
            if by == MemoryBy::Cgroup {
                let limiter = surface.limiter.as_ref().and_then(|limiter| limiter.memory(bytes));
                limiter.ok_or_else(|| unsupported("the box has no memory group"))?.map_err(io::Error::other)?;
            }
            surface.memory = Some((bytes, by));
            Ok(((), if by == MemoryBy::Cgroup { "cgroup" } else { "sampling" }))
        })
    }
}

/// RLIMIT_NPROC of every process. A child has what its parent had: round by round, until there is nobody new.
fn everybody(keeper: i32, limit: u64) -> io::Result<()> {
    let mut done = std::collections::HashSet::new();
    for _ in 0..ROUNDS {
        let mut news = false;
        for process in tasks::below(keeper) {
            if done.insert(process.pid) {
                news = true;
                match set_of(process.pid, &Rlimit { resource: RLIMIT_NPROC, soft: limit, hard: limit }) {
                    Ok(()) | Err(tipstaff_sys::Errno::SRCH) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        if !news {
            return Ok(());
        }
    }
    Err(io::Error::other("processes are made faster than they can be limited"))
}
