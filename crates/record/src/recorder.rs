//! A recording, by whatever backend can be had.

use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

use tipstaff_abi::Arch;
use tipstaff_recording::{self as recording, Backend, Machine, Phase, Run};
use tipstaff_report::Bytes;

use crate::ptrace::{self, Whom};
use crate::session::{Event, Refused, Session};
use crate::{Command, Error, Options, PassedOver, Target, process};
use crate::{ebpf, notify};

/// A recording that is going on. Dropped, it stops as [`Self::stop`] does.
pub struct Recorder {
    backend: Backend,
    passed_over: Vec<PassedOver>,
    session: Box<dyn Session>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("backend", &self.backend).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Begins to record. What happens to it is told to `events`: once, whoever receives them may be gone.
    ///
    /// # Errors
    /// If the target is not there, or no backend can record it here: each says what is missing. That a program cannot be executed is told so, or a
    /// moment later by [`Event::NotExecuted`].
    pub fn start(target: &Target, options: Options, events: &Sender<Event>) -> Result<Self, Error> {
        let mut passed_over = Vec::new();
        let wanted = Backend::ALL.into_iter().filter(|&backend| options.backend.is_none_or(|only| only == backend));
        let target = Resolved::of(target)?;
        for backend in wanted {
            let run = target.run(backend)?;
            match session(backend, &target, options, run, events) {
                Ok(session) => return Ok(Self { backend, passed_over, session }),
                Err(Refused::Target(e)) => return Err(e),
                Err(Refused::Backend(why)) => passed_over.push(PassedOver { backend, why }),
            }
        }
        Err(Error::NoBackend(passed_over))
    }

    /// By what it records.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Backends that come first and could not be had.
    #[must_use]
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// What has been seen so far.
    #[must_use]
    pub fn snapshot(&self) -> Run {
        self.session.snapshot()
    }

    /// Ends the recording. What ran already runs on, and so does a command that is recorded by eBPF; a command under ptrace or notifications
    /// cannot run on without its recorder, and is killed if it has not ended.
    #[must_use]
    pub fn stop(mut self) -> Run {
        self.session.stop()
    }

    /// Sends a signal to the command, if the target is one.
    pub fn signal(&self, signal: i32) {
        self.session.signal(signal);
    }
}

/// A target with all that has to be looked up.
struct Resolved<'a> {
    target: &'a Target,
    pids: Vec<i32>,
}

impl<'a> Resolved<'a> {
    fn of(target: &'a Target) -> Result<Self, Error> {
        let pids = match target {
            Target::Command(_) => Vec::new(),
            Target::Processes(pids) => {
                let mut all = Vec::new();
                for &pid in pids {
                    if process::threads(pid).is_empty() {
                        return Err(Error::Target(format!("there is no process {pid}")));
                    }
                    all.extend(process::tree(pid).into_iter().filter(|pid| !all.contains(pid)).collect::<Vec<_>>());
                }
                all
            }
            Target::Cgroup(path) => {
                let wrong = |why: String| Error::Target(format!("{}: {why}", path.display()));
                if !process::is_cgroup(path) {
                    return Err(wrong("no control group; name its directory below /sys/fs/cgroup".into()));
                }
                process::in_cgroup(path).map_err(|e| wrong(e.to_string()))?
            }
            Target::Container(container) => {
                if process::threads(container.init).is_empty() {
                    return Err(Error::Target(format!(
                        "container {}: its process {} is gone",
                        container.about.id, container.init
                    )));
                }
                process::tree(container.init)
            }
        };
        Ok(Self { target, pids })
    }

    fn run(&self, backend: Backend) -> Result<Run, Error> {
        let arch = Arch::native().ok_or_else(|| Error::Failed("no table of this machine's calls".into()))?;
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let target = match self.target {
            Target::Command(Command { program, args, .. }) => recording::Target::Command {
                argv: std::iter::once(program).chain(args).map(|arg| Bytes::from(arg.as_os_str())).collect(),
                directory: std::env::current_dir().map(Bytes::from).unwrap_or_default(),
            },
            Target::Processes(pids) => recording::Target::Process { pids: pids.clone() },
            Target::Cgroup(path) => recording::Target::Cgroup { path: process::bytes(path) },
            Target::Container(container) => recording::Target::Container(container.about.clone()),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Run::new(new_id()?, backend, Machine { kernel, arch }, target, now.as_nanos() as u64))
    }
}

/// 32 hexadecimal digits that nobody has drawn before.
fn new_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    got.map_err(|e| Error::Failed(format!("getrandom: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn session(
    backend: Backend,
    target: &Resolved<'_>,
    options: Options,
    run: Run,
    events: &Sender<Event>,
) -> Result<Box<dyn Session>, Refused> {
    match backend {
        Backend::Ebpf => {
            let whom = match target.target {
                Target::Command(command) => ebpf::Whom::Command(command.clone()),
                Target::Processes(pids) => ebpf::Whom::Processes(pids.clone()),
                Target::Cgroup(path) => ebpf::Whom::Cgroup(path.clone()),
                Target::Container(container) => ebpf::Whom::Container(container.clone()),
            };
            Ok(Box::new(ebpf::start(whom, options, run, events.clone())?))
        }
        Backend::Ptrace => {
            let whom = match target.target {
                Target::Command(command) => Whom::Command(command.clone()),
                Target::Container(container) => {
                    let phase = if container.starting { Phase::Setup } else { Phase::Workload };
                    Whom::Running(target.pids.clone(), phase, container.cgroups.clone())
                }
                Target::Cgroup(path) => Whom::Running(target.pids.clone(), Phase::Workload, vec![path.clone()]),
                Target::Processes(_) => Whom::Running(target.pids.clone(), Phase::Workload, Vec::new()),
            };
            Ok(Box::new(ptrace::start(whom, options, run, events.clone())?))
        }
        Backend::Notify => match target.target {
            Target::Command(command) => Ok(Box::new(notify::start(command.clone(), options, run, events.clone())?)),
            _ => Err(Refused::Backend("only what is started for it can be recorded so".into())),
        },
    }
}
