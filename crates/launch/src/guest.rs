//! The operations of the guest's first process, in the order of design.md: session, control groups, descriptors,
//! ids, directory, program, signals, Landlock, limits, seccomp, exec.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use tipstaff_abi::bpf::Insn;
use tipstaff_policy::lower::{LimitPlan, Plan, ProcessesBy, ViewOp};
use tipstaff_sys::child::{CStrings, GuestOp, Seen};
use tipstaff_sys::rlimit::{self, Rlimit};
use tipstaff_sys::seccomp::Wait;

use crate::setup::c;
use crate::{Failure, Program};

/// Descriptor numbers that the operations refer to.
pub(crate) struct Numbers {
    /// `tasks` of each v1 group: directory, path beneath it.
    pub join: Vec<(i32, CString)>,
    /// Source and target.
    pub wiring: Vec<(i32, i32)>,
    pub ruleset: Option<i32>,
    pub channel: Option<i32>,
    /// Arrived, open, pidfd of the supervisor.
    pub gate: Option<(i32, i32, i32)>,
    /// The box stands at its gate, at most so many seconds, with as much in force as can be.
    pub patience: Option<u32>,
    /// The keeper has several such boxes.
    pub again: bool,
    /// Channel and size.
    pub terminal: Option<(i32, (u16, u16))>,
}

/// Descriptors that a launch surely has room in.
const ROOM: u64 = 64;

pub(crate) struct Compiled {
    pub insns: Vec<Insn>,
    pub secret: [u64; 3],
}

pub(crate) fn ops(
    plan: &Plan,
    program: &Program,
    env: Vec<(OsString, OsString)>,
    numbers: &Numbers,
    filter: Option<Compiled>,
) -> Result<Vec<GuestOp>, Failure> {
    let mut ops = vec![GuestOp::NewSession];
    ops.extend(numbers.join.iter().map(|(parent, tasks)| GuestOp::JoinCgroup(*parent, tasks.clone())));
    descriptors(&mut ops, plan, numbers);
    // In a new procfs instance the file costs 50 µs, and there is mostly nothing to change.
    if std::fs::read("/proc/self/oom_score_adj").map_or(true, |score| score != b"0\n") {
        ops.push(GuestOp::OomScoreZero);
    }
    ops.push(GuestOp::NiceZero);
    if plan.ids.clear_groups {
        ops.push(GuestOp::ClearGroups);
    }
    if plan.ids.change {
        ops.push(GuestOp::Gid(plan.ids.inside.1));
        ops.push(GuestOp::Uid(plan.ids.inside.0));
    }
    if let Some((channel, size)) = numbers.terminal {
        // With the guest's ids, so that it owns its terminal.
        let ptmx = if plan.namespaces.mount { "/dev/pts/ptmx" } else { "/dev/ptmx" };
        ops.push(GuestOp::Terminal { ptmx: c(ptmx), channel, size });
    }
    ops.push(GuestOp::DropCapabilities { bounding: !numbers.again });
    ops.push(GuestOp::NoNewPrivs);
    if !plan.namespaces.pid {
        ops.push(GuestOp::DieWithKeeper);
    }
    ops.push(GuestOp::Umask(0o022));
    ops.push(GuestOp::Chdir(c(&plan.view.cwd), Seen::default()));
    ops.push(GuestOp::OpenProgram { path: c(&program.path), dev: program.dev, ino: program.ino });
    ops.push(if numbers.again { GuestOp::UnblockSignals } else { GuestOp::ResetSignals });
    if let Some(ruleset) = numbers.ruleset {
        ops.push(GuestOp::Landlock(ruleset));
    }
    // The listener needs a number: a guest that may have three descriptors is bound to them when it has sent it away, if its filter
    // still lets it.
    let (late, early): (Vec<_>, Vec<_>) = limits(&plan.limits).into_iter().partition(|limit| {
        limit.resource == rlimit::RLIMIT_NOFILE
            && limit.soft < ROOM
            && plan.filter.as_ref().is_some_and(|filter| filter.lets("prlimit64"))
    });
    ops.extend(early.into_iter().map(GuestOp::Limit));
    let patience = numbers.patience;
    let gate = numbers.gate.map(|(arrived, open, supervisor)| GuestOp::Gate { arrived, open, supervisor, patience });
    // Behind the filter, whose compilation is a good part of a start, only if it lets everything pass that the gate calls.
    let lets = |call| plan.filter.as_ref().is_none_or(|filter| filter.lets(call));
    let last = patience.is_some() && ["write", "ppoll", "read"].into_iter().all(lets);
    let (late_gate, gate) = if last { (gate, None) } else { (None, gate) };
    ops.extend(gate);
    let mut exec_secret = 0;
    if let Some(Compiled { insns, secret }) = filter {
        exec_secret = secret[0];
        // Who is held in our listener for a guest's has to take its signals there.
        let serves = plan.filter.as_ref().is_some_and(|filter| filter.serves);
        let wait = if serves { Wait::Interruptible } else { Wait::Killable };
        let channel = numbers.channel.map(|channel| (channel, wait));
        ops.push(GuestOp::Seccomp { program: insns, channel, secret });
    }
    ops.extend(late_gate);
    ops.extend(late.into_iter().map(GuestOp::Limit));
    let name = program.argv.first().cloned().unwrap_or_default();
    let envp = env.into_iter().map(|(key, value)| {
        let mut text = key.into_vec();
        text.push(b'=');
        text.extend(value.into_vec());
        CString::new(text).map_err(|_| Failure::own("arguments", "a variable contains a NUL byte"))
    });
    let envp = CStrings::new(envp.collect::<Result<_, _>>()?);
    ops.push(GuestOp::Exec { name, argv: CStrings::new(program.argv.clone()), envp, secret: exec_secret });
    Ok(ops)
}

const NULL: &str = "/dev/null";

/// The number of the character device at a path; None: it is none.
fn device(path: &str) -> Option<u64> {
    std::fs::metadata(path).ok().filter(|meta| meta.file_type().is_char_device()).map(|meta| meta.rdev())
}

/// Sources stand above every target, so no dup3 can overwrite one; gaps between targets are closed, and all above
/// goes at exec.
fn descriptors(ops: &mut Vec<GuestOp>, plan: &Plan, numbers: &Numbers) {
    let wiring = &numbers.wiring;
    ops.extend(wiring.iter().map(|(source, target)| GuestOp::DupTo(*source, *target)));
    // The host's null device would be root's to change by its descriptor (fchmod(2)), for the whole machine: the box's is mounted read-only.
    let own = |op: &ViewOp| matches!(op, ViewOp::Bind { target, devices: true, .. } if target == Path::new(NULL));
    if plan.view.ops.iter().any(own)
        && let Some(null) = device(NULL)
    {
        let is_null = |source: i32| device(&format!("/proc/self/fd/{source}")) == Some(null);
        ops.extend(wiring.iter().filter(|(source, _)| is_null(*source)).map(|(_, target)| GuestOp::Null(*target)));
    }
    let mut targets: Vec<i32> = wiring.iter().map(|(_, target)| *target).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut next = if numbers.terminal.is_some() { 3 } else { 0 };
    for target in targets {
        if target > next {
            ops.push(GuestOp::CloseRange(next as u32, target as u32 - 1));
        }
        next = target + 1;
    }
    // A guest that stands ready closes now what its exec would have to close, and what is its keeper's.
    if let (Some(_), Some((arrived, open, supervisor))) = (numbers.patience, numbers.gate) {
        let mut needed: Vec<i32> =
            [arrived, open, supervisor].into_iter().chain(numbers.ruleset).chain(numbers.channel).collect();
        needed.sort_unstable();
        let mut next = next;
        for fd in needed.into_iter().chain([i32::MAX]) {
            if fd > next {
                ops.push(GuestOp::CloseRange(next as u32, if fd == i32::MAX { u32::MAX } else { fd as u32 - 1 }));
            }
            next = fd.saturating_add(1);
        }
    }
    ops.push(GuestOp::CloexecFrom(next as u32));
}

/// How many signals and timers may wait in a box that has a process limit. The kernel's own limit is some hundred thousand for a user.
const SIGNALS: u64 = 4096;

fn limits(plan: &LimitPlan) -> Vec<Rlimit> {
    let mut limits = Vec::new();
    let mut set = |resource, soft: u64, hard: u64| {
        // Never above what the host gives us: raising a hard limit needs CAP_SYS_RESOURCE, and a stricter host wins.
        let (_, ours) = rlimit::get(resource).unwrap_or((u64::MAX, u64::MAX));
        limits.push(Rlimit { resource, soft: soft.min(ours), hard: hard.min(ours) });
    };
    set(rlimit::RLIMIT_CORE, plan.core, plan.core);
    if let Some(bytes) = plan.file_size {
        set(rlimit::RLIMIT_FSIZE, bytes, bytes);
    }
    if let Some(n) = plan.open_files {
        set(rlimit::RLIMIT_NOFILE, n, n);
    }
    if let Some(bytes) = plan.stack {
        set(rlimit::RLIMIT_STACK, bytes, bytes);
    }
    if let Some(cpu) = plan.cpu {
        // Per process and in whole seconds: a net under the supervisor's own clock, should it be held up.
        let net = cpu.as_secs() + 2;
        set(rlimit::RLIMIT_CPU, net, net + 1);
    }
    match plan.processes {
        // The keeper is counted in the box's user namespace too.
        Some((n, ProcessesBy::RlimitInNamespace)) => {
            let most = n.saturating_add(1);
            set(rlimit::RLIMIT_NPROC, most, most);
        }
        Some((n, ProcessesBy::RlimitOfUser)) => set(rlimit::RLIMIT_NPROC, n, n),
        Some((_, ProcessesBy::Cgroup | ProcessesBy::Counted)) | None => {}
    }
    // No real-time priority and no better nice value, whatever the host allows its user.
    set(rlimit::RLIMIT_RTPRIO, 0, 0);
    set(rlimit::RLIMIT_NICE, 0, 0);
    if plan.processes.is_some() {
        // Queued signals and timers (timer_create(2)) count against the user in every user namespace above: a box that takes them all leaves none to
        // the user's programs outside.
        set(rlimit::RLIMIT_SIGPENDING, SIGNALS, SIGNALS);
    }
    limits
}
