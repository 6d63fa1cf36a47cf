//! Building a run.

mod next;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tipstaff_abi::Arch;
use tipstaff_abi::caps::KernelCaps;
use tipstaff_control::{Place, Server};
use tipstaff_guest_ptrace::{Mediator, Seam};
use tipstaff_launch::{Armed, Failure, Program, RealHost, Request, Tracer, Wiring, launch};
use tipstaff_policy::lower::{EnginePlan, Plan, ProcessesBy, Surroundings, lower};
use tipstaff_policy::profile;
use tipstaff_supervise::handler::provided::PathPolicy;
use tipstaff_supervise::{
    Account, Anteroom, Engine, Forks, Handler, Handlers, Network, Notify, Options, PolicyFn, Ptrace, RawMode, Refused,
    Restrict, Rewriter, Session, Shortage, Tighten, Yama, size_of,
};

use crate::ahead::Ahead;
use crate::desk::Desk;
use crate::early::Early;
use crate::hall::Kept;
use crate::hidden;
use crate::stdio::Kind;
use crate::{Child, Error, Machine, Output, Profile, Report, Stdio};

/// A run to be started, as [`std::process::Command`]. Without a profile it gets the preset `default`.
///
/// The profile is lowered at the first [`Command::spawn`]; further spawns of an unchanged command reuse the plan.
#[derive(Debug)]
pub struct Command {
    argv: Vec<OsString>,
    profile: Option<profile::Profile>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    stdin: Option<Kind>,
    stdout: Option<Kind>,
    stderr: Option<Kind>,
    fds: Vec<Wiring>,
    signals: Option<OwnedFd>,
    makers: Vec<Maker>,
    name: Option<String>,
    profile_name: Option<OsString>,
    prepared: Option<Arc<Prepared>>,
    early: Option<Early>,
    ahead: Ahead,
    never_ahead: bool,
}

/// Makes a handler for each box.
enum Maker {
    Handler(Box<dyn Fn() -> Box<dyn Handler> + Send + Sync>),
    Rewriter(Box<dyn Fn() -> Box<dyn Rewriter> + Send + Sync>),
    Paths(Box<PathPolicy>),
    Policy(Box<dyn Fn() -> PolicyFn + Send + Sync>),
}

impl std::fmt::Debug for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Handler(_) => "Handler",
            Self::Rewriter(_) => "Rewriter",
            Self::Paths(_) => "Paths",
            Self::Policy(_) => "Policy",
        })
    }
}

/// What does not depend on one run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub armed: Armed,
    pub program: Program,
    profile: profile::Profile,
    pub env: Vec<(OsString, OsString)>,
    cwd: PathBuf,
    pub machine: &'static Machine,
}

/// Where the rules of one box count what they refuse.
#[derive(Default)]
struct Refusals {
    forks: Option<Arc<Refused>>,
    memory: Option<Arc<Shortage>>,
}

/// Handed through even into a clean environment.
const KEPT: [&str; 4] = ["PATH", "HOME", "TERM", "LANG"];

impl Command {
    /// A run of `program`, found in the guest's PATH unless it has a slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            argv: vec![program.as_ref().to_owned()],
            profile: None,
            env: Vec::new(),
            cwd: None,
            stdin: None,
            stdout: None,
            stderr: None,
            fds: Vec::new(),
            signals: None,
            makers: Vec::new(),
            name: None,
            profile_name: None,
            prepared: None,
            early: None,
            ahead: Ahead::default(),
            never_ahead: false,
        }
    }

    fn changed(&mut self) -> &mut Self {
        self.prepared = None;
        self.ahead = Ahead::default();
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.argv.push(arg.as_ref().to_owned());
        self.changed()
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Self {
        self.argv.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self.changed()
    }

    /// What the run may do.
    pub fn profile(&mut self, profile: impl Into<Profile>) -> &mut Self {
        self.profile = Some(profile.into().0);
        self.changed()
    }

    /// Gives the next box a name, under which `tipstaff ps`, `inspect`, `pause` and the others find it, and [`crate::control`] does. They are
    /// answered while somebody drives the [`Child`]. The name is in use until the child is dropped or has been waited for.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = Some(name.into());
        self.changed()
    }

    /// What `inspect` calls the profile.
    pub fn profile_name(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.profile_name = Some(name.as_ref().to_owned());
        self
    }

    /// Sets a variable. The environment is clean but for PATH, HOME, TERM and LANG.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self.changed()
    }

    /// Working directory.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self.changed()
    }

    /// Standard input; inherited unless set.
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdin = Some(stdio.into().0);
        self.ahead.forget();
        self
    }

    /// Standard output; inherited unless set.
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stdout = Some(stdio.into().0);
        self.ahead.forget();
        self
    }

    /// Standard error; inherited unless set.
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Self {
        self.stderr = Some(stdio.into().0);
        self.ahead.forget();
        self
    }

    /// One more descriptor for the next spawn: ours, and the number that the guest sees it under.
    pub fn fd(&mut self, source: OwnedFd, target: i32) -> &mut Self {
        self.fds.push(Wiring { source, target });
        self
    }

    /// Adds a handler, which is asked before the calls that it wants are made; each box gets one of its own. Handlers are asked in
    /// the order in which they were added, and the first that does not pass decides: [`handler`](crate::handler).
    ///
    /// A thread of this process then traces the box. Its stops cause SIGCHLD in a host that handles it, and a `waitpid(-1)` anywhere in
    /// the host would take them away from it: such a host waits for its own children by their ids.
    pub fn handler<H: Handler + 'static>(&mut self, make: impl Fn() -> H + Send + Sync + 'static) -> &mut Self {
        self.makers.push(Maker::Handler(Box::new(move || Box::new(make()))));
        self.changed()
    }

    /// Adds a handler that can change calls and what they return. That needs a tracer: the ptrace engine.
    pub fn rewriter<R: Rewriter + 'static>(&mut self, make: impl Fn() -> R + Send + Sync + 'static) -> &mut Self {
        self.makers.push(Maker::Rewriter(Box::new(move || Box::new(make()))));
        self.changed()
    }

    /// Adds a policy on paths as a handler, and puts its sets in the place of the profile's lists of paths, so that Landlock and the mount
    /// tree enforce what the handler counts and refuses softly ([`PathPolicy::apply`]). A command has one: the last.
    pub fn paths(&mut self, policy: PathPolicy) -> &mut Self {
        self.makers.retain(|maker| !matches!(maker, Maker::Paths(_)));
        self.makers.push(Maker::Paths(Box::new(policy)));
        self.changed()
    }

    /// Adds a function that decides about events while the box runs, as a handler; each box gets one of its own. It makes nothing possible that the profile does
    /// not allow. One that decides on addresses makes of `--net host` rules by address, under which the supervisor makes the calls: IP sockets of TCP and UDP alone.
    pub fn policy_fn(&mut self, make: impl Fn() -> PolicyFn + Send + Sync + 'static) -> &mut Self {
        self.makers.push(Maker::Policy(Box::new(make)));
        self.changed()
    }

    /// `of`: the box that they are for; None for a plan.
    fn handlers(&self, arch: Arch, of: Option<(&Plan, &Restrict)>) -> Result<Handlers, Error> {
        let mut handlers = Handlers::default();
        for maker in &self.makers {
            let added = match maker {
                Maker::Handler(make) => handlers.push(make(), arch),
                Maker::Rewriter(make) => handlers.push_rewriter(make(), arch),
                Maker::Paths(policy) => handlers.push(policy.clone(), arch),
                Maker::Policy(make) => {
                    let policy = make();
                    if let Some(name) = policy.unknown(arch) {
                        let text = format!("policy function: {name:?} is no system call of {}", arch.name());
                        return Err(Error::Usage(format!("{text}; correct the name")));
                    }
                    let network = of.and_then(|(plan, _)| plan.network.as_ref());
                    let names = network.map(|network| network.hosts.clone()).unwrap_or_default();
                    let restrict = of.map(|(_, restrict)| restrict.clone()).unwrap_or_default();
                    handlers.push(policy.handler(names, restrict), arch)
                }
            };
            added.map_err(|e| Error::Usage(e.to_string()))?;
        }
        Ok(handlers)
    }

    /// Whether boxes may be prepared ahead: they are unless this says no.
    ///
    /// A command that is spawned again within a second gets its next box prepared by a thread of this process while the present one runs; the next spawn then only
    /// lets the program be executed. It does everything anew where anything has changed that the box would show or inherit: this command, our
    /// standard streams, ids, capabilities, limits, CPUs, namespaces, what we have confined ourselves to, mounts, the files and directories that are
    /// bound, the working directory, the program. What it cannot see is that this process has been moved to another control group, or a second
    /// Landlock domain or filter: a host that does so between two spawns of one command says no here. A prepared box that nobody wants goes
    /// within two seconds, and with the command. Where the profile hides or protects names that exist, none is prepared.
    pub fn ahead(&mut self, yes: bool) -> &mut Self {
        self.never_ahead = !yes;
        self.ahead.forget();
        self
    }

    /// A signalfd for the next spawn; what arrives there goes to the guest, and a second SIGINT ends the box.
    pub fn forward_signals(&mut self, signals: OwnedFd) -> &mut Self {
        self.signals = Some(signals);
        self
    }

    /// The plan: what would be enforced, and how.
    pub fn explain(&mut self) -> Result<Plan, Error> {
        Ok(self.explain_armed()?.plan)
    }

    /// The plan with its compiled filter.
    pub fn explain_armed(&mut self) -> Result<Armed, Error> {
        Ok(self.prepare(Some(Machine::full()))?.armed.clone())
    }

    /// Runs to the end.
    pub fn status(&mut self) -> Result<Report, Error> {
        self.spawn_unwatched()?.wait()
    }

    /// Runs to the end with output captured.
    pub fn output(&mut self) -> Result<Output, Error> {
        if self.stdin.is_none() || self.stdout.is_none() || self.stderr.is_none() {
            self.ahead.forget();
        }
        self.stdout.get_or_insert(Kind::Capture);
        self.stderr.get_or_insert(Kind::Capture);
        self.stdin.get_or_insert(Kind::Null);
        self.spawn_unwatched()?.wait_with_output()
    }

    /// Starts a box. When this returns the program has been executed with every restriction in force; an error means
    /// that none of it has run and nothing is left.
    ///
    /// Until somebody waits for it, a thread of this process supervises it.
    pub fn spawn(&mut self) -> Result<Child, Error> {
        self.launch(true)
    }

    /// As [`Self::spawn`], but nobody supervises the box until [`Child::wait`], or the caller polls the child and calls [`Child::try_wait`] whenever
    /// it is readable: no limit is looked at, and a call that somebody has to be asked about waits. For an event loop, and for whoever waits at once;
    /// no thread is started to supervise it.
    pub fn spawn_unwatched(&mut self) -> Result<Child, Error> {
        self.launch(false)
    }

    fn launch(&mut self, watched: bool) -> Result<Child, Error> {
        let prepared = match self.prepared.take() {
            Some(prepared) => prepared,
            None => self.prepare(None)?,
        };
        match self.start(&prepared, watched) {
            Err(Error::Launch(failure, rules)) if failure.assumption => {
                // The quick look assumed too much, or the step failed for a reason of its own: the full look tells.
                let full = Machine::full();
                let assumed = &prepared.machine.caps;
                if (KernelCaps { cgroup: assumed.cgroup, ..full.caps.clone() }) == *assumed {
                    return Err(Error::Launch(failure, rules));
                }
                let prepared = self.prepare(Some(full))?;
                let child = self.start(&prepared, watched)?;
                self.prepared = Some(prepared);
                Ok(child)
            }
            Ok(child) => {
                self.prepared = Some(prepared);
                Ok(child)
            }
            Err(e) => Err(e),
        }
    }

    fn prepare(&mut self, machine: Option<&'static Machine>) -> Result<Arc<Prepared>, Error> {
        let mut profile = match &self.profile {
            Some(profile) => profile.clone(),
            None => Profile::preset("default")?.0,
        };
        for maker in &self.makers {
            if let Maker::Paths(policy) = maker {
                policy.apply(&mut profile);
            }
        }
        let l = &profile.limits;
        let limited = l.cpu.is_some() || l.cpu_percent.is_some() || l.memory.is_some() || l.processes.is_some();
        if machine.is_none() {
            self.early = Early::begin(&profile);
        }
        // A box that has no listener itself would not notice that its guests cannot have one either.
        let asked = profile.isolation.guest_listener;
        let listener = matches!(asked, Some(profile::GuestListener::Native | profile::GuestListener::Emulate));
        let machine = machine.unwrap_or_else(|| if listener { Machine::full() } else { Machine::quick(limited) });
        let here = std::env::current_dir()?;
        if let Some(name) = &self.name {
            // Made before the view is, so that the view can leave it out.
            tipstaff_control::check_name(name).map_err(Error::Usage)?;
            Place::make().map_err(not_ours)?;
        }
        let dir = self.cwd.as_ref().or(profile.program.cwd.as_ref());
        let cwd = dir.map_or_else(|| here.clone(), |dir| here.join(dir));
        hidden::hide(&mut profile, &cwd).map_err(Error::Usage)?;
        if !cwd.is_dir() {
            let errno = tipstaff_sys::Errno(if cwd.exists() { 20 } else { 2 });
            return Err(Error::Launch(Failure::new("chdir", errno, format_args!("chdir {cwd:?}")), Vec::new()));
        }
        let env = self.environment(&profile);
        let search = env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
        let fail = |failure| Error::Launch(failure, Vec::new());
        let program = Program::resolve(&self.argv, search, &cwd).map_err(fail)?;
        let core = std::fs::read("/proc/sys/kernel/core_pattern");
        let handlers = self.handlers(machine.caps.arch, None)?;
        let wants_addresses = |maker: &Maker| matches!(maker, Maker::Policy(make) if make().wants_addresses());
        let handled = handlers.wants(machine.caps.arch);
        let around = Surroundings {
            cwd: cwd.clone(),
            programs: program.shown.clone(),
            core_is_piped: core.map_or(true, |pattern| pattern.starts_with(b"|")),
            handled,
            rewrites: handlers.rewrites(),
            registers: handlers.knows_processes(),
            addresses: self.makers.iter().any(wants_addresses),
            filters: tipstaff_sys::seccomp::filters(),
            names: crate::names::resolve(&profile.network)?,
        };
        let host = RealHost::default();
        let plan = lower(&profile, &machine.caps, &host, &around);
        host.check().map_err(fail)?;
        let plan = plan?;
        let armed = Armed::new(plan, &machine.caps).map_err(fail)?;
        Ok(Arc::new(Prepared { armed, program, profile, env, cwd, machine }))
    }

    fn environment(&self, profile: &profile::Profile) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |key: &OsStr, value: OsString| {
            env.retain(|(k, _)| k != key);
            env.push((key.to_owned(), value));
        };
        let kept = KEPT.iter().map(OsStr::new).chain(profile.program.pass_env.iter().map(OsString::as_os_str));
        for key in kept {
            if let Some(value) = std::env::var_os(key) {
                set(key, value);
            }
        }
        for (key, value) in profile.program.env.iter().chain(self.env.iter().map(|(k, v)| (k, v))) {
            set(key, value.clone());
        }
        env
    }

    /// The engine of a box, with handlers of its own.
    fn engine(&self, prepared: &Prepared, restrict: &Restrict, tighten: &Tighten) -> Result<(Engine, Refusals), Error> {
        let plan = &prepared.armed.plan;
        if plan.engine == EnginePlan::Native {
            return Ok((Engine::Native, Refusals::default()));
        }
        let arch = prepared.machine.caps.arch;
        let mut handlers = self.handlers(arch, Some((plan, restrict)))?;
        if let Some(network) = &plan.network {
            let rules = Network::new(network.clone(), prepared.machine.caps.landlock_abi, tighten.clone());
            handlers.push_rule(Box::new(rules), arch).map_err(|e| Error::Usage(e.to_string()))?;
        }
        if plan.restricts {
            handlers.push_rule(Box::<Yama>::default(), arch).map_err(|e| Error::Usage(e.to_string()))?;
        }
        let mut refusals = Refusals::default();
        if let Some((limit, ProcessesBy::Counted)) = plan.limits.processes {
            let (rule, refused) = Forks::new(limit, arch);
            handlers.push_rule(Box::new(rule), arch).map_err(|e| Error::Usage(e.to_string()))?;
            refusals.forks = Some(refused);
        }
        if let (true, Some((limit, _))) = (plan.limits.memory_exact, plan.limits.memory) {
            let (rule, shortage) = Account::new(limit, arch, restrict.clone());
            handlers.push_rule(Box::new(rule), arch).map_err(|e| Error::Usage(e.to_string()))?;
            refusals.memory = Some(shortage);
        }
        if !handlers.wants(arch).is_subset(&plan.asked) {
            let text = "a handler wants calls that the one made for the plan did not want";
            return Err(Error::Usage(text.to_owned()));
        }
        let engine = match plan.engine {
            EnginePlan::Notify => Engine::Notify(Box::new(Notify::new(handlers)?)),
            _ => {
                let anteroom = prepared.armed.held_at().map(Anteroom::new).transpose()?.map(Arc::new);
                let mediator = || Mediator::new(arch).telling(plan.scope).serving(anteroom.clone());
                let seam = (plan.mediates || plan.serves).then(|| Box::new(mediator()) as Box<dyn Seam>);
                Engine::Ptrace(Ptrace::start(handlers, seam, plan.trace_data)?.serving(anteroom))
            }
        };
        Ok((engine, refusals))
    }

    fn start(&mut self, prepared: &Arc<Prepared>, watched: bool) -> Result<Child, Error> {
        let fail = |failure| Error::Launch(failure, prepared.rules());
        let server = match &self.name {
            Some(name) => Some(Server::bind(Place::make().map_err(not_ours)?, name).map_err(not_ours)?),
            None => None,
        };
        let tighten = Tighten::default();
        let network = prepared.armed.plan.network.as_ref().filter(|network| network.mediate_connect);
        let restrict = Restrict::default().with_network(network.map(|_| tighten.clone()));
        let (engine, refusals) = self.engine(prepared, &restrict, &tighten)?;
        let started = self.start_ahead(prepared);
        let (wires, launched) = match started {
            Some(started) => started,
            None => {
                let mut wires = self.wires(prepared)?;
                let terminal = wires.terminal.as_ref().map(|(from, _)| size_of(from.as_fd()));
                let mut wiring = std::mem::take(&mut wires.wiring);
                wiring.append(&mut self.fds);
                let network = self.early.take().and_then(Early::network);
                let request = Request { env: prepared.env.clone(), wiring, terminal, network };
                let mut take = match &engine {
                    Engine::Ptrace(ptrace) => Some(|pid| ptrace.take(pid)),
                    Engine::Native | Engine::Notify(_) => None,
                };
                let tracer = take.as_mut().map(|take| take as &mut Tracer<'_>);
                let hierarchies = &prepared.machine.hierarchies;
                let launched =
                    launch(&prepared.armed, &prepared.program, request, hierarchies, tracer).map_err(fail)?;
                self.order(prepared);
                (wires, launched)
            }
        };
        let options = Options {
            relays: wires.relays,
            count_output: prepared.armed.plan.limits.output.is_some(),
            terminal: wires.terminal,
            engine,
            forks: refusals.forks,
            shortage: refusals.memory,
            signals: self.signals.take(),
            restrict: Some(restrict.clone()),
        };
        let raw_mode = options.terminal.as_ref().and_then(|(from, _)| RawMode::enter(from.as_fd()).ok());
        let mut session = Session::new(launched, &prepared.armed.plan, prepared.machine.caps.cpus, options)?;
        let [stdin, stdout, stderr] = wires.ends;
        if let Some(server) = server {
            let desk = Desk::new(server, &self.argv, self.profile_name.as_deref(), &prepared.armed.plan);
            session.attend(Box::new(desk))?;
        }
        let undertaker = self.ahead.undertaker();
        if undertaker.is_some() {
            session.linger();
        }
        let remote = session.remote();
        let kept = if watched { Kept::watched(session)? } else { Kept::alone(session)? };
        Ok(Child {
            stdin,
            stdout,
            stderr,
            captured: wires.captured,
            kept,
            remote,
            raw_mode,
            restrict,
            report: None,
            undertaker,
        })
    }
}

impl Prepared {
    fn rules(&self) -> Vec<tipstaff_report::Enforcement> {
        self.armed.plan.rules.iter().map(|r| r.enforcement.clone()).collect()
    }
}

/// The directory, or the name in it, is refused: a line for whoever chose it.
fn not_ours(e: std::io::Error) -> Error {
    Error::Usage(e.to_string())
}

fn kind_slot(target: usize, command: &mut Command) -> &mut Option<Kind> {
    match target {
        0 => &mut command.stdin,
        1 => &mut command.stdout,
        _ => &mut command.stderr,
    }
}

impl Kind {
    /// What of this serves a next spawn too.
    fn again(&self) -> Option<Self> {
        match self {
            Self::Inherit => Some(Self::Inherit),
            Self::Null => Some(Self::Null),
            Self::Piped => Some(Self::Piped),
            Self::Capture => Some(Self::Capture),
            Self::Fd(fd) => fd.try_clone().ok().map(Self::Fd),
        }
    }
}

fn open_file(path: &Path, target: usize) -> Result<OwnedFd, Failure> {
    let opened = Stdio::file(path, target != 0);
    let step = ["stdin", "stdout", "stderr"][target.min(2)];
    opened.map(OwnedFd::from).map_err(|e| match e.raw_os_error() {
        Some(_) => Failure::new(step, e.into(), format_args!("open {path:?}")),
        None => Failure::own(step, format!("open {path:?}: {e}")),
    })
}
