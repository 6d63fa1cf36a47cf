//! Recording by eBPF: `tipstaff-observe` sees, here its sight becomes a run.
//!
//! The programs are loaded once per process, and shared by all recordings. A command is held at its gate until it is being recorded.

mod convert;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tipstaff_abi::Arch;
use tipstaff_abi::enumerable::Enumerable;
use tipstaff_observe::{Error as ObserveError, Observer, Phase, Recording, Returns, Setup, Target, Unavailable};
use tipstaff_recording::{Exit, MOST_TUPLES, Reason, Run};
use tipstaff_report::Signal;
use tipstaff_sys::child::CStrings;
use tipstaff_sys::traced::{self, Step, Traced};
use tipstaff_sys::wait::{self, Status};
use tipstaff_sys::{Errno, pidfd};

use crate::session::{Event, Refused, Session};
use crate::{Command, ContainerTarget, Error, Options, process};

/// How often it is looked whether anybody of a target is left, once its first process is not.
const LOOK: Duration = Duration::from_millis(10);

/// Who is watched.
pub(crate) enum Whom {
    Command(Command),
    Processes(Vec<i32>),
    Cgroup(std::path::PathBuf),
    Container(ContainerTarget),
}

pub(crate) struct Ebpf {
    live: Arc<Live>,
    command: Option<OwnedFd>,
}

/// A recording, and what of it is known besides.
struct Live {
    options: Options,
    /// A command: what it does before its program is its launch's.
    launched: bool,
    state: Mutex<State>,
}

struct State {
    run: Run,
    /// None: it is over, and `run` is all there is.
    recordings: Vec<Recording>,
    /// Nobody waits for its end any more.
    stopped: bool,
}

/// The programs of this process; of its own who wants other arguments looked at.
fn observer(looked_at: &[Enumerable]) -> Result<Observer, Unavailable> {
    static OBSERVER: OnceLock<Result<Observer, Unavailable>> = OnceLock::new();
    // The switch of tests is looked at each time.
    if std::env::var_os("TIPSTAFF_WITHOUT_BPF").is_some() {
        return tipstaff_observe::probe().and(Err(Unavailable::SwitchedOff));
    }
    if looked_at.is_empty() {
        return OBSERVER.get_or_init(|| Observer::load(&Setup::default())).clone();
    }
    let mut setup = Setup::default();
    let instead =
        |usual: &Enumerable| looked_at.iter().any(|call| (call.arch, call.number) == (usual.arch, usual.number));
    setup.arguments.retain(|usual| !instead(usual));
    setup.arguments.extend(looked_at);
    Observer::load(&setup)
}

/// Starts recording.
pub(crate) fn start(whom: Whom, options: Options, run: Run, events: Sender<Event>) -> Result<Ebpf, Refused> {
    let observer = observer(options.looked_at).map_err(|e| Refused::Backend(e.to_string()))?;
    let launched = matches!(whom, Whom::Command(_));
    let state = Mutex::new(State { run, recordings: Vec::new(), stopped: false });
    let live = Arc::new(Live { options, launched, state });
    let (begun, begins) = sync_channel(1);
    let theirs = Arc::clone(&live);
    // It is not waited for: while a command runs it goes on waiting, or nobody would reap it.
    std::thread::Builder::new()
        .name("observer".into())
        .spawn(move || watch(&observer, whom, &theirs, &begun, &events))
        .map_err(|e| Refused::Backend(format!("no thread for the observer: {e}")))?;
    let command = begins.recv().unwrap_or_else(|_| Err(Refused::Backend("the observer ended early".into())))?;
    Ok(Ebpf { live, command })
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run as it is now.
    fn snapshot(&self) -> Run {
        let state = self.lock();
        let mut run = state.run.clone();
        for recording in &state.recordings {
            match recording.snapshot() {
                Ok(observed) => convert::add(&mut run, &observed, self.options, self.launched),
                Err(_) => run.completeness.lacks(Reason::BrokenOff, 1),
            }
        }
        convert::finish(&mut run, self.options);
        run
    }

    fn tasks(&self) -> u64 {
        self.lock().recordings.iter().map(Recording::tasks).sum()
    }

    fn stopped(&self) -> bool {
        self.lock().stopped
    }
}

impl Session for Ebpf {
    fn snapshot(&self) -> Run {
        self.live.snapshot()
    }

    fn stop(&mut self) -> Run {
        let mut run = self.live.snapshot();
        if self.live.tasks() > 0 {
            run.completeness.lacks(Reason::StillRunning, 1);
        }
        let mut state = self.live.lock();
        state.stopped = true;
        // Dropped, they end.
        state.recordings.clear();
        state.run = run.clone();
        run
    }

    fn signal(&self, signal: i32) {
        if let Some(command) = &self.command {
            // ESRCH: it has ended.
            let _ = pidfd::send_signal(command.as_fd(), signal);
        }
    }
}

impl Drop for Ebpf {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        state.stopped = true;
        state.recordings.clear();
    }
}

type Begun = SyncSender<Result<Option<OwnedFd>, Refused>>;

fn watch(observer: &Observer, whom: Whom, live: &Live, begun: &Begun, events: &Sender<Event>) {
    match whom {
        Whom::Command(command) => watch_command(observer, &command, live, begun, events),
        Whom::Processes(pids) => {
            let targets: Vec<Target> = pids.iter().map(|&pid| Target::Tree(pid)).collect();
            let all = pids.iter().flat_map(|&pid| process::tree(pid)).collect();
            watch_running(observer, &targets, all, Phase::Workload, live, begun, events);
        }
        Whom::Cgroup(path) => {
            let all = process::in_cgroup(&path).unwrap_or_default();
            watch_running(observer, &[Target::Cgroup(path)], all, Phase::Workload, live, begun, events);
        }
        Whom::Container(container) => {
            let ContainerTarget { init, cgroups, starting, .. } = container;
            let all = process::tree(init);
            let phase = if starting { Phase::Setup } else { Phase::Workload };
            watch_running(observer, &[Target::Container { init, cgroups }], all, phase, live, begun, events);
        }
    }
}

fn observe_options(options: Options, phase: Phase, joiners: Phase) -> tipstaff_observe::Options {
    let returns = if options.results || options.files { Returns::Always } else { Returns::WhenFiltered };
    tipstaff_observe::Options {
        phase,
        joiners,
        returns,
        arguments: options.arguments,
        tuples_per_call: MOST_TUPLES as u32,
        files: options.files,
        sockets: options.files,
        capabilities: options.files,
    }
}

fn refused(e: ObserveError) -> Refused {
    match e {
        e @ (ObserveError::NoProcess(_) | ObserveError::Cgroup { .. } | ObserveError::MachineNamespace(_)) => {
            Refused::Target(Error::Target(e.to_string()))
        }
        e => Refused::Backend(e.to_string()),
    }
}

fn watch_running(
    observer: &Observer,
    targets: &[Target],
    pids: Vec<i32>,
    phase: Phase,
    live: &Live,
    begun: &Begun,
    events: &Sender<Event>,
) {
    // Who enters a container is its runtime first, and the program only after its execve.
    let joiners = if matches!(targets, [Target::Container { .. }]) { Phase::Setup } else { phase };
    let options = observe_options(live.options, phase, joiners);
    let mut recordings = Vec::new();
    for target in targets {
        match observer.record(target, &options) {
            Ok(recording) => recordings.push(recording),
            // A descendant of one that is recorded already.
            Err(ObserveError::Taken(_)) if !recordings.is_empty() => {}
            Err(e) => return drop(begun.send(Err(refused(e)))),
        }
    }
    let mut state = live.lock();
    state.recordings = recordings;
    if phase == Phase::Workload {
        state.run.completeness.lacks(Reason::AttachedRunning, 1);
    }
    for pid in pids {
        in_flight(&mut state.run, live.options, pid, phase);
    }
    drop(state);
    if begun.send(Ok(None)).is_err() {
        return;
    }
    let forever = matches!(targets, [Target::Cgroup(_)]);
    while !live.stopped() {
        if !forever && live.tasks() == 0 {
            return drop(events.send(Event::Empty));
        }
        std::thread::sleep(LOOK);
    }
}

/// The calls that threads are in, entered perhaps before anybody looked: they are needed, and have not been counted.
fn in_flight(run: &mut Run, options: Options, pid: i32, phase: Phase) {
    let executable = process::executable(pid);
    for tid in process::threads(pid) {
        match process::current_call(pid, tid) {
            Ok(None) => {}
            Ok(Some((number, _))) => {
                let Some(arch) = process::arch(pid).or(Arch::native()) else { continue };
                convert::needed(run, options, arch, number, convert::phase(phase), &executable);
            }
            // It has ended.
            Err(_) if !process::threads(pid).contains(&tid) => {}
            Err(_) => run.completeness.lacks(Reason::CallsInFlight, 1),
        }
    }
}

fn watch_command(observer: &Observer, command: &Command, live: &Live, begun: &Begun, events: &Sender<Event>) {
    let child = match start_program(observer, command, live) {
        Ok(child) => child,
        Err(e) => return drop(begun.send(Err(e))),
    };
    let pidfd = match pidfd::open(child.pid()) {
        Ok(pidfd) => pidfd,
        Err(e) => return drop(begun.send(Err(Refused::Backend(format!("pidfd_open: {e}"))))),
    };
    child.go();
    let _ = begun.send(Ok(Some(pidfd)));
    let status = loop {
        match wait::reap(child.pidfd(), true) {
            Ok(Some(status)) => break Some(status),
            Ok(None) => {}
            Err(_) => break None,
        }
    };
    if let Some((Step::Exec, errno)) = child.failure() {
        return drop(events.send(Event::NotExecuted(errno)));
    }
    let exit = status.map(exit);
    live.lock().run.exit.clone_from(&exit);
    let _ = events.send(Event::Ended(exit));
    while !live.stopped() {
        if live.tasks() == 0 {
            return drop(events.send(Event::Empty));
        }
        std::thread::sleep(LOOK);
    }
}

/// A child at its gate, recorded.
fn start_program(observer: &Observer, command: &Command, live: &Live) -> Result<Traced, Refused> {
    let wrong = |errno| Refused::Target(Error::Exec { program: command.program.clone(), errno });
    let path = std::env::var_os("PATH");
    let path = tipstaff_trace::search(&command.program, path.as_deref()).map_err(wrong)?;
    let text = |text: &std::ffi::OsStr| {
        std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(text)).map_err(|_| wrong(Errno::INVAL))
    };
    let argv = std::iter::once(&command.program).chain(&command.args).map(|arg| text(arg));
    let envp = std::env::vars_os().map(|(mut key, value)| {
        key.push("=");
        key.push(value);
        text(&key)
    });
    let program = traced::Program {
        steps: Vec::new(),
        stop: false,
        mask: command.mask,
        filter: None,
        path: text(&path)?,
        argv: CStrings::new(argv.collect::<Result<_, _>>()?),
        envp: CStrings::new(envp.collect::<Result<_, _>>()?),
    };
    let child = Traced::start(program).map_err(|e| Refused::Backend(format!("clone: {e}")))?;
    let options = observe_options(live.options, Phase::Setup, Phase::Workload);
    let recording = observer.record(&Target::Tree(child.pid()), &options).map_err(refused)?;
    live.lock().recordings.push(recording);
    Ok(child)
}

fn exit(status: Status) -> Exit {
    match status {
        Status::Exited(code) => Exit::Code(code as u8),
        Status::Signaled { signal, .. } => Exit::Signal(Signal::new(signal)),
    }
}
