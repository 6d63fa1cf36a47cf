//! Putting it together: control groups, ruleset, channel, operations; then the keeper.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tipstaff_abi::bpf::Insn;
use tipstaff_abi::caps::KernelCaps;
use tipstaff_cgroup::{Cgroup, Hierarchies, Reserved, Version, Wanted};
use tipstaff_policy::lower::{MemoryBy, Plan, ProcessesBy, SECRET_WORDS, ThrottleBy, held_at};
use tipstaff_sys::child::SetupOp;
use tipstaff_sys::keeper::{Keeper, Launch, Leftover, Stage, StartError, eventfd, keeper_fds, raise_above};
use tipstaff_sys::probe::ns;
use tipstaff_sys::shared::CloneSpec;
use tipstaff_sys::{Errno, ids, pidfd, seccomp};

use crate::guest::{self, Compiled, Numbers};
use crate::witness::Hosts;
use crate::{Failure, Program, Request, placeholders, ruleset, setup};

/// A plan with its filter compiled: what many boxes can be launched from.
#[derive(Clone, Debug)]
pub struct Armed {
    /// The plan.
    pub plan: Plan,
    insns: Option<Vec<Insn>>,
    secret: [u64; SECRET_WORDS],
    clone3: bool,
    /// Filled with the host's paths, where the box has no view of its own.
    ruleset: Option<Arc<OwnedFd>>,
    /// Asked for by boxes that are prepared ahead.
    pub(crate) hosts: OnceLock<Hosts>,
}

/// A box that runs.
#[derive(Debug)]
pub struct Launched {
    /// Its keeper.
    pub keeper: Keeper,
    /// Its control groups, if it has any.
    pub cgroup: Option<Cgroup>,
    /// Where the filter's listener arrives: it is there already.
    pub channel: Option<OwnedFd>,
    /// Where the master of the guest's terminal arrives: it is there already.
    pub terminal: Option<OwnedFd>,
    /// The keeper may have another box, whose listener arrives where this one's did.
    pub again: bool,
}

impl Armed {
    /// The instruction pointer at which calls are held in the box's listener: where the plan serves listeners of guests' own.
    #[must_use]
    pub fn held_at(&self) -> Option<u64> {
        self.plan.serves.then(|| held_at(self.secret))
    }

    /// Compiles the filter, with secret words that the kernel's random numbers choose.
    pub fn new(plan: Plan, caps: &KernelCaps) -> Result<Self, Failure> {
        let secret = seccomp::secret().map_err(|e| Failure::new("seccomp", e, "getrandom"))?;
        let insns = plan.filter.as_ref().map(|filter| filter.compile(secret)).transpose();
        let insns = insns.map_err(|e| Failure::own("seccomp", format!("syscalls: {e}; merge or drop rules")))?;
        let shared = plan.landlock.as_ref().filter(|_| !plan.namespaces.mount).map(ruleset::filled).transpose();
        let ruleset = shared.map_err(|e| Failure::new("landlock", e, "fill the Landlock ruleset"))?.map(Arc::new);
        Ok(Self { plan, insns, secret, clone3: caps.clone3, ruleset, hosts: OnceLock::new() })
    }

    /// The compiled filter.
    pub fn insns(&self) -> Option<&[Insn]> {
        self.insns.as_deref()
    }
}

/// Takes the guest's first process, by its pid here, before it executes anything: PTRACE_SEIZE.
pub type Tracer<'a> = dyn FnMut(i32) -> Result<(), Errno> + 'a;

/// What the guest waits for before it installs its filter or executes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    None,
    /// A tracer.
    Tracer,
    /// Whoever the box is prepared for; at most so many seconds. Whether its descriptors serve further boxes too.
    Owner(u32, bool),
}

/// Everything that a start needs, before the clone.
pub(crate) struct Laid<'a> {
    pub launch: Launch,
    pub groups: Groups<'a>,
    pub channel: Option<OwnedFd>,
    pub terminal: Option<OwnedFd>,
    /// What the operations name by number; to be kept until the child has been cloned and is past them.
    pub sources: Vec<OwnedFd>,
}

/// The box's control groups: named, to be made while the keeper is at its steps.
pub(crate) struct Groups<'a> {
    reserved: Option<Reserved>,
    hierarchies: &'a Hierarchies,
    wanted: Wanted,
    pub made: Option<Cgroup>,
    refused: Option<Failure>,
}

impl Groups<'_> {
    pub fn make(&mut self) -> Result<(), Errno> {
        let Some(reserved) = &self.reserved else { return Ok(()) };
        match Cgroup::create(reserved, self.hierarchies, &self.wanted) {
            Ok(made) => {
                self.made = Some(made);
                Ok(())
            }
            Err(e) => {
                let failure = cgroup_failure(e);
                let errno = failure.errno.unwrap_or(Errno::PERM);
                self.refused = Some(failure);
                Err(errno)
            }
        }
    }

    /// Why a start failed: what was refused here comes first.
    pub fn failure(self, e: StartError) -> Failure {
        self.refused.unwrap_or_else(|| failure(e))
    }
}

/// Starts a box. With a tracer, the guest waits for it before it installs its filter. Returns when its program has been executed, or with the step that failed; then nothing is left.
pub fn launch(
    armed: &Armed,
    program: &Program,
    request: Request,
    hierarchies: &Hierarchies,
    mut tracer: Option<&mut Tracer<'_>>,
) -> Result<Launched, Failure> {
    let gate = if tracer.is_some() { Gate::Tracer } else { Gate::None };
    let Laid { launch, mut groups, channel, terminal, sources: _sources } =
        lay(armed, program, request, hierarchies, gate)?;
    let mut hold = |keeper: i32| {
        let guest = only_child(keeper).ok_or(Errno::SRCH)?;
        tracer.as_mut().map_or(Ok(()), |take| take(guest))
    };
    match Keeper::start(launch, &mut || groups.make(), &mut hold) {
        Ok(keeper) => Ok(Launched { keeper, cgroup: groups.made, channel, terminal, again: false }),
        Err(e) => Err(groups.failure(e)),
    }
}

pub(crate) fn lay<'a>(
    armed: &Armed,
    program: &Program,
    request: Request,
    hierarchies: &'a Hierarchies,
    gate: Gate,
) -> Result<Laid<'a>, Failure> {
    let plan = &armed.plan;
    let wanted = wanted(plan);
    let reserved = (wanted != Wanted::default()).then(|| Reserved::new(hierarchies, &wanted)).transpose();
    let reserved = reserved.map_err(cgroup_failure)?;
    let groups = reserved.as_ref().map_or(Ok(Vec::new()), Reserved::entries).map_err(cgroup_failure)?;
    let top = request.wiring.iter().map(|w| w.target + 1).max().unwrap_or(0);
    let (mut setup, placeholders) = setup::ops(plan);
    let floor = keeper_fds(placeholders.len() + groups.len()).max(top);
    let raise = |fd: OwnedFd| raise_above(fd, floor).map_err(|e| Failure::new("launch", e, "dup"));

    let network = request.network.filter(|_| plan.namespaces.net && !plan.namespaces.user).map(raise).transpose()?;
    if let Some(network) = &network {
        setup.retain(|op| !matches!(op, SetupOp::LoopbackUp));
        setup.insert(0, SetupOp::EnterNetwork(network.as_raw_fd()));
    }
    let mut join = Vec::new();
    let mut guest_cgroup = None;
    let mut leftovers = Vec::new();
    for group in groups {
        let (parent, name) = (raise(group.parent)?, group.name);
        match group.version {
            Version::V1 => {
                let tasks = [name.as_bytes(), b"/tasks"].concat();
                join.push((parent.as_raw_fd(), CString::new(tasks).unwrap_or_default()));
            }
            Version::V2 => guest_cgroup = Some((parent.as_raw_fd(), name.clone())),
        }
        leftovers.push(Leftover { parent, name, shared: false, mounted: None, text: None });
    }
    let ruleset = match (&armed.ruleset, &plan.landlock) {
        (Some(shared), _) => Some(shared.try_clone().map_err(|e| Failure::new("landlock", e.into(), "dup"))?),
        (None, Some(landlock)) => {
            Some(ruleset::create(landlock).map_err(|e| Failure::new("landlock", e, "landlock_create_ruleset"))?)
        }
        (None, None) => None,
    };
    let ruleset = ruleset.map(raise).transpose()?;
    let listener = plan.filter.as_ref().is_some_and(|f| f.listener);
    let pair = |wanted: bool| -> Result<(Option<OwnedFd>, Option<OwnedFd>), Failure> {
        if !wanted {
            return Ok((None, None));
        }
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.map_err(|e| Failure::new("launch", e.into(), "socketpair"))?;
        Ok((Some(ours), Some(raise(theirs)?)))
    };
    let (channel, guest_end) = pair(listener)?;
    let (terminal, terminal_end) = pair(request.terminal.is_some())?;
    let mut sources = Vec::new();
    for wire in request.wiring {
        sources.push((raise(wire.source)?, wire.target));
    }
    let supervisor = pidfd::open(ids::pid());
    let supervisor = raise(supervisor.map_err(|e| Failure::new("launch", e, "pidfd_open"))?)?;

    let step = if gate == Gate::Tracer { "ptrace" } else { "launch" };
    let patience = if let Gate::Owner(seconds, _) = gate { Some(seconds) } else { None };
    let again =
        matches!(gate, Gate::Owner(_, true)) && !plan.namespaces.pid && leftovers.is_empty() && placeholders.is_empty();
    let gate = (gate != Gate::None).then(|| Ok((eventfd(floor)?, eventfd(floor)?))).transpose();
    let gate = gate.map_err(|e| Failure::new(step, e, "eventfd"))?;
    let prepared = reserved.is_some().then(|| eventfd(floor)).transpose();
    let prepared = prepared.map_err(|e| Failure::new("launch", e, "eventfd"))?;
    // Last: the groups are made while the keeper builds the rest.
    setup.extend(prepared.as_ref().map(|fd| SetupOp::Prepared(fd.as_raw_fd(), supervisor.as_raw_fd())));
    let numbers = Numbers {
        gate: gate.as_ref().map(|(a, o)| (a.as_raw_fd(), o.as_raw_fd(), supervisor.as_raw_fd())),
        patience,
        again,
        join,
        wiring: sources.iter().map(|(fd, target)| (fd.as_raw_fd(), *target)).collect(),
        ruleset: ruleset.as_ref().map(AsRawFd::as_raw_fd),
        channel: guest_end.as_ref().map(AsRawFd::as_raw_fd),
        terminal: terminal_end.as_ref().map(AsRawFd::as_raw_fd).zip(request.terminal),
    };
    let keep = patience.map(|_| {
        let given = sources.iter().map(|(fd, _)| fd.as_raw_fd());
        let joined = numbers.join.iter().map(|(parent, _)| *parent);
        let others = [numbers.ruleset, numbers.channel, numbers.terminal.map(|(fd, _)| fd)];
        given.chain(joined).chain(others.into_iter().flatten()).collect()
    });
    let filter = armed.insns.clone().map(|insns| Compiled { insns, secret: armed.secret });
    let guest = guest::ops(plan, program, request.env, &numbers, filter)?;
    leftovers.extend(placeholders::leftovers(&placeholders, &raise)?);
    let leaves = plan.namespaces.mount && !plan.namespaces.user && placeholders.is_empty() && !leftovers.is_empty();
    let outside = leaves.then(|| std::fs::File::open("/proc/self/ns/mnt").ok()).flatten();
    let outside = outside.map(|file| raise(OwnedFd::from(file))).transpose()?;
    let namespaces = if network.is_some() { flags(plan) & !ns::NET } else { flags(plan) };
    let sampled = matches!(plan.limits.memory, Some((_, MemoryBy::Sampling)));
    let launch = Launch {
        keeper: CloneSpec { namespaces, clone3: armed.clone3, ..CloneSpec::default() },
        subreaper: !plan.namespaces.pid,
        watch_disk: plan.namespaces.mount && (plan.limits.disk.is_some() || sampled),
        setup,
        ruleset: numbers.ruleset,
        guest,
        guest_cgroup: guest_cgroup.filter(|_| armed.clone3),
        clone3: armed.clone3,
        again,
        leftovers,
        outside,
        supervisor,
        prepared,
        gate,
        keep,
    };
    // Their numbers stand in the operations; the child has copies as soon as it is cloned.
    let sources = sources
        .into_iter()
        .map(|(fd, _)| fd)
        .chain(ruleset)
        .chain(guest_end)
        .chain(terminal_end)
        .chain(network)
        .collect();
    Ok(Laid {
        launch,
        groups: Groups { reserved, hierarchies, wanted, made: None, refused: None },
        channel,
        terminal,
        sources,
    })
}

/// The keeper's child as it is numbered here, while it has no other: proc_pid_task(5)'s `children`, or where the kernel has none
/// (CONFIG_PROC_CHILDREN), a search.
fn only_child(keeper: i32) -> Option<i32> {
    if let Ok(list) = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")) {
        return list.split_whitespace().next()?.parse().ok();
    }
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).and_then(|ppid| ppid.parse().ok())
            == Some(keeper)
    };
    let pids = std::fs::read_dir("/proc").ok()?;
    pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find(is_child)
}

fn flags(plan: &Plan) -> u64 {
    let n = &plan.namespaces;
    [(n.user, ns::USER), (n.mount, ns::MOUNT), (n.pid, ns::PID), (n.ipc, ns::IPC), (n.uts, ns::UTS), (n.net, ns::NET)]
        .iter()
        .filter(|(on, _)| *on)
        .fold(0, |sum, (_, flag)| sum | flag)
}

fn wanted(plan: &Plan) -> Wanted {
    let limits = &plan.limits;
    Wanted {
        memory: limits.memory.filter(|(_, by)| *by == MemoryBy::Cgroup).map(|(bytes, _)| bytes),
        pids: limits.processes.filter(|(_, by)| *by == ProcessesBy::Cgroup).map(|(n, _)| n),
        cpu: limits.cpu_by_cgroup,
        cpu_percent: limits.cpu_percent.filter(|(_, by)| *by == ThrottleBy::Cgroup).map(|(percent, _)| percent),
    }
}

fn cgroup_failure(e: tipstaff_cgroup::Error) -> Failure {
    let errno = Errno(e.source.raw_os_error().unwrap_or(5));
    Failure { message: e.to_string(), assumption: true, ..Failure::new("cgroup", errno, "") }
}

fn failure(e: StartError) -> Failure {
    let StartError { stage, errno, step, words } = e;
    let failure = Failure::new(step, errno, &words);
    match (stage, step) {
        (Stage::Setup(_) | Stage::Clone, _) | (_, "seccomp" | "ids") => Failure { assumption: true, ..failure },
        (Stage::Guest(_), "ptrace") => {
            let message = format!(
                "cannot trace the program: {errno} (PTRACE_SEIZE); allow ptrace(2) here, or use `--engine native`"
            );
            Failure { message, ..failure }
        }
        (Stage::Keeper, _) => Failure { message: words, ..failure },
        (Stage::Guest(_), "exec") if errno == Errno::STALE => {
            Failure { message: format!("{words}: the program was replaced while it was being started"), ..failure }
        }
        (Stage::Guest(_), "exec") if errno == Errno::NOENT => {
            let message = format!("{words}: {errno} (it, or the ELF interpreter that it names, is not in the box)");
            Failure { message, ..failure }
        }
        (Stage::Guest(_), _) => failure,
    }
}
