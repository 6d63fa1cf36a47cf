//! Limits and what enforces them.

use std::time::Duration;

use tipstaff_abi::caps::KernelCaps;
use tipstaff_abi::{Arch, SyscallSet};
use tipstaff_report::LimitsSummary;

use super::engine::EnginePlan;
use super::host::Surroundings;
use super::ids::IdPlan;
use super::namespaces::NamespacePlan;
use super::plan::Cost;
use super::sink::Sink;
use super::{Ask, account};
use crate::profile::{MemoryAccount, Profile};
use crate::value::Setting;

/// What bounds memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryBy {
    /// The memory controller.
    Cgroup,
    /// Samples of the box's proportional set sizes, and the sizes of its tmpfs.
    Sampling,
}

/// What bounds the number of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessesBy {
    /// The pids controller.
    Cgroup,
    /// RLIMIT_NPROC, which a user namespace of the box's own counts for itself (Linux 5.14).
    RlimitInNamespace,
    /// The supervisor, which is asked about every fork(2), vfork(2) and clone(2), and counts the box's tasks.
    Counted,
    /// RLIMIT_NPROC, which counts every process of the user.
    RlimitOfUser,
}

/// What holds the box to its share of the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThrottleBy {
    /// The bandwidth of the cpu controller.
    Cgroup,
    /// The supervisor stops all tasks for a part of each tenth of a second.
    Stops,
}

/// The limits of a box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitPlan {
    /// CPU time of the whole box.
    pub cpu: Option<Duration>,
    /// Percent of one CPU, and mechanism.
    pub cpu_percent: Option<(u64, ThrottleBy)>,
    /// Wall-clock time.
    pub wall: Option<Duration>,
    /// Idle time.
    pub idle: Option<Duration>,
    /// Bytes and mechanism.
    pub memory: Option<(u64, MemoryBy)>,
    /// Requests for memory that do not fit under the limit are refused: the supervisor is asked.
    pub memory_exact: bool,
    /// Tasks and mechanism.
    pub processes: Option<(u64, ProcessesBy)>,
    /// Bytes on stdout and stderr.
    pub output: Option<u64>,
    /// Bytes of one file.
    pub file_size: Option<u64>,
    /// Descriptors of one process.
    pub open_files: Option<u64>,
    /// Bytes of stack.
    pub stack: Option<u64>,
    /// Bytes of private disk.
    pub disk: Option<u64>,
    /// CPU time comes from a control group.
    pub cpu_by_cgroup: bool,
    /// Value of RLIMIT_CORE: no core is written.
    pub core: u64,
}

impl LimitPlan {
    /// The calls that somebody has to be asked about for these limits.
    pub(super) fn asked(&self, arch: Arch) -> SyscallSet {
        let counted = matches!(self.processes, Some((_, ProcessesBy::Counted)));
        SyscallSet::from_names(arch, FORKS.into_iter().filter(|_| counted))
    }

    /// The calls that somebody has to be asked about under conditions.
    pub(super) fn asks(&self) -> Vec<Ask> {
        if self.memory_exact { account::asks() } else { Vec::new() }
    }

    /// As the report's judge wants them.
    pub fn summary(&self) -> LimitsSummary {
        let ns = |d: Option<Duration>| d.map(|d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        LimitsSummary {
            cpu_ns: ns(self.cpu),
            wall_ns: ns(self.wall),
            idle_ns: ns(self.idle),
            memory_bytes: self.memory.map(|(bytes, _)| bytes),
            processes: self.processes.map(|(n, _)| n),
            output_bytes: self.output,
            file_size_bytes: self.file_size,
            open_files: self.open_files,
            stack_bytes: self.stack,
            disk_bytes: self.disk,
        }
    }
}

/// The calls that make tasks. clone3(2) keeps its flags in memory, and is absent where these are asked about.
pub(super) const FORKS: [&str; 3] = ["fork", "vfork", "clone"];

fn at<T>(setting: Option<Setting<T>>) -> Option<T> {
    setting.and_then(Setting::value)
}

pub(super) fn lower(
    profile: &Profile,
    caps: &KernelCaps,
    ns: &NamespacePlan,
    ids: &IdPlan,
    around: &Surroundings,
    engine: EnginePlan,
    sink: &mut Sink,
) -> LimitPlan {
    let limits = &profile.limits;
    let mut plan = LimitPlan {
        cpu: at(limits.cpu),
        wall: at(limits.wall),
        idle: at(limits.idle),
        output: at(limits.output),
        file_size: at(limits.file_size),
        open_files: at(limits.open_files),
        stack: at(limits.stack),
        disk: at(limits.disk),
        core: u64::from(around.core_is_piped),
        ..LimitPlan::default()
    };
    cpu(&mut plan, caps, sink);
    plan.cpu_percent = at(limits.cpu_percent).map(|percent| (percent, throttle(percent, caps, sink)));
    if plan.wall.is_some() {
        sink.full("limits.wall", "timerfd", Cost::Timer);
    }
    if plan.idle.is_some() {
        sink.full("limits.idle", "CPU clock, sampled", Cost::Timer);
    }
    plan.memory = at(limits.memory).map(|bytes| (bytes, memory(caps, sink)));
    plan.memory_exact =
        plan.memory.is_some() && limits.memory_account == Some(MemoryAccount::Exact) && account::lower(engine, sink);
    plan.processes = at(limits.processes).and_then(|n| processes(caps, ns, ids, engine, sink).map(|by| (n, by)));
    if plan.output.is_some() {
        sink.full("limits.output", "pipe, counted by the supervisor", Cost::Relay);
    }
    for (set, rule, mechanism) in [
        (plan.file_size.is_some(), "limits.file_size", "RLIMIT_FSIZE"),
        (plan.open_files.is_some(), "limits.open_files", "RLIMIT_NOFILE"),
        (plan.stack.is_some(), "limits.stack", "RLIMIT_STACK"),
    ] {
        if set {
            sink.full(rule, mechanism, Cost::Kernel);
        }
    }
    disk(&mut plan, profile, ns, sink);
    sink.full("no core files", "RLIMIT_CORE", Cost::Free);
    plan
}

fn cpu(plan: &mut LimitPlan, caps: &KernelCaps, sink: &mut Sink) {
    if plan.cpu.is_none() {
        return;
    }
    plan.cpu_by_cgroup = caps.cgroup.cpu;
    if caps.cgroup.cpu {
        sink.full("limits.cpu", "control group CPU account", Cost::Timer);
    } else {
        let why = "no control group: of children whose parent ignores SIGCHLD, only what a sample saw is counted, a lower bound";
        sink.full_but("limits.cpu", "CPU clocks of all tasks, and wait4 in the keeper", why, Cost::Sampling);
    }
}

fn throttle(percent: u64, caps: &KernelCaps, sink: &mut Sink) -> ThrottleBy {
    const RULE: &str = "limits.cpu_percent";
    if percent > 100 * u64::from(caps.cpus) {
        let why = format!("this machine has {} CPUs, that is {} percent", caps.cpus, 100 * caps.cpus);
        sink.impossible(RULE, &why, "ask for less, or leave it out");
    }
    if caps.cgroup.bandwidth {
        sink.full(RULE, "cpu control group (bandwidth)", Cost::Kernel);
        ThrottleBy::Cgroup
    } else {
        let why = "no cpu control group: all tasks are stopped and continued, up to ten times a second, which programs that \
                   handle SIGCONT or are traced inside the box can see; of children whose parent ignores SIGCHLD, only what a \
                   sample saw is counted";
        sink.full_but(RULE, "SIGSTOP and SIGCONT to every process", why, Cost::Sampling);
        ThrottleBy::Stops
    }
}

fn memory(caps: &KernelCaps, sink: &mut Sink) -> MemoryBy {
    if caps.cgroup.memory {
        sink.full("limits.memory", "memory control group", Cost::Kernel);
        MemoryBy::Cgroup
    } else {
        let why = "no control group: a bound. A spike shorter than the pause between two samples, and what pipes and sockets \
                   hold, pass unseen";
        sink.full_but("limits.memory", "PSS samples, memfds and tmpfs sizes", why, Cost::Sampling);
        MemoryBy::Sampling
    }
}

/// `engine`: who would be asked.
fn processes(
    caps: &KernelCaps,
    ns: &NamespacePlan,
    ids: &IdPlan,
    engine: EnginePlan,
    sink: &mut Sink,
) -> Option<ProcessesBy> {
    const RULE: &str = "limits.processes";
    if caps.cgroup.pids {
        sink.full(RULE, "pids control group", Cost::Kernel);
        return Some(ProcessesBy::Cgroup);
    }
    // Host uid 0 is exempt from RLIMIT_NPROC, in a namespace too.
    if ns.user && ids.outside.0 != 0 && caps.release >= (5, 14) {
        sink.full(RULE, "RLIMIT_NPROC in the box's user namespace", Cost::Kernel);
        return Some(ProcessesBy::RlimitInNamespace);
    }
    if engine == EnginePlan::Ptrace {
        let why = "neither a pids control group nor RLIMIT_NPROC binds here: fork, vfork and clone stop for the supervisor's count; clone3 is absent";
        sink.full_but(RULE, "ptrace stops at fork, vfork and clone", why, Cost::Traced);
        return Some(ProcessesBy::Counted);
    }
    if engine == EnginePlan::Notify {
        let why = "neither a pids control group nor RLIMIT_NPROC binds here: fork, vfork and clone wait for the supervisor's count, and a signal \
                   that comes before it has taken the call makes it fail with EINTR; clone3 is absent";
        sink.full_but(RULE, "notification of fork, vfork and clone", why, Cost::Notified);
        return Some(ProcessesBy::Counted);
    }
    let cure = "let the supervisor have the listener (`--engine auto`), give the caller a pids control group, or lift the limit with `--processes unlimited`";
    let why = if ids.outside.0 == 0 {
        "no pids control group can be had, and RLIMIT_NPROC does not bind uid 0"
    } else {
        "no pids control group and no user namespace can be had; RLIMIT_NPROC would count all processes of the user"
    };
    let go_on = sink.weaken(RULE, "RLIMIT_NPROC of the user", why, cure, Cost::Kernel);
    go_on.then_some(ProcessesBy::RlimitOfUser)
}

fn disk(plan: &mut LimitPlan, profile: &Profile, ns: &NamespacePlan, sink: &mut Sink) {
    const RULE: &str = "limits.disk";
    if plan.disk.is_none() {
        return;
    }
    if !ns.mount {
        let cure = "run where namespaces can be had, or leave --disk out";
        sink.refuse(RULE, "without a mount namespace there is no private disk", cure);
        plan.disk = None;
    } else if profile.filesystem.write.is_empty() && profile.filesystem.cwd != Some(crate::profile::CwdAccess::Write) {
        sink.full(RULE, "tmpfs size", Cost::Kernel);
    } else {
        let why = "it bounds the private /tmp, not the host directories that may be written";
        sink.weaken(RULE, "tmpfs size", why, "leave --disk or the writable directories out", Cost::Kernel);
    }
}
