//! Yama's restricted ptrace (Documentation/admin-guide/LSM/Yama.rst, scope 1) for one box, whatever the host's scope is.
//!
//! What attaches is asked about: PTRACE_ATTACH, PTRACE_SEIZE, process_vm_readv(2) and process_vm_writev(2), and
//! prctl(PR_SET_PTRACER). pidfd_getfd(2), which names a process by a descriptor that another thread can exchange, the filter refuses. No request that a tracer makes of a tracee is. Everything rests on registers, so what is allowed is left to the kernel, which checks what it always
//! does. Processes are told from each other by number and start, so a number that is used again is nobody's exception.

use std::collections::HashMap;
use std::fs;

use tipstaff_abi::{Arch, SyscallSet, errno};

use crate::handler::{Action, Denied, Handler, Trap};
use crate::{stat, tasks};

const CALLS: &[&str] = &["ptrace", "prctl", "process_vm_readv", "process_vm_writev"];
const PTRACE_ATTACH: u32 = 16;
const PTRACE_SEIZE: u32 = 0x4206;
const PR_SET_PTRACER: u32 = 0x5961_6d61;
const PR_SET_PTRACER_ANY: u64 = u64::MAX;
/// A chain of parents is not longer; a loop that only a race can show ends.
const DEPTH: usize = 4096;
const LOOKS: usize = 3;

/// A process: its number outside of the box, and its start.
type Key = (i32, u64);

/// Whom a process has named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracers {
    Any,
    /// This process and its descendants.
    One(Key),
}

/// Restricts who may attach to whom.
#[derive(Debug)]
pub struct Yama {
    keeper: i32,
    named: HashMap<Key, Tracers>,
    /// The host has Yama: it has to be told too.
    host: bool,
}

/// What a number of a guest's stands for.
enum Found {
    /// A task of the box, by its process outside.
    Process(i32),
    Nobody,
}

impl Default for Yama {
    fn default() -> Self {
        let host = fs::exists("/proc/sys/kernel/yama/ptrace_scope").unwrap_or(true);
        Self { keeper: 0, named: HashMap::new(), host }
    }
}

impl Handler for Yama {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, CALLS.iter().copied())
    }

    fn on_start(&mut self, ancestor: i32) {
        self.keeper = ancestor;
    }

    fn on_syscall(&mut self, trap: &mut Trap<'_>) -> Action {
        let [first, second, ..] = trap.args();
        let low = first as u32;
        match trap.name() {
            Some("ptrace") if low == PTRACE_ATTACH || low == PTRACE_SEIZE => self.attach(trap, second as i32),
            Some("process_vm_readv" | "process_vm_writev") => self.attach(trap, first as i32),
            Some("prctl") if low == PR_SET_PTRACER => self.name_tracer(trap, second),
            _ => Action::Pass,
        }
    }

    fn name(&self) -> &str {
        "ptrace_scope = \"restricted\""
    }
}

impl Yama {
    fn attach(&mut self, trap: &Trap<'_>, number: i32) -> Action {
        match self.find(trap.tid(), number) {
            Found::Process(tracee) => self.decide(trap, tracee),
            // Nobody whom the kernel could find either, or nobody of the box.
            Found::Nobody => Action::Return(-i64::from(errno::ESRCH)),
        }
    }

    fn decide(&mut self, trap: &Trap<'_>, tracee: i32) -> Action {
        let Some(tracer) = tasks::process_of(trap.tid()) else { return Action::Errno(errno::EPERM) };
        if tracer == tracee || descends(tracee, tracer) || self.is_named(tracer, tracee) || traces(tracer, tracee) {
            return Action::Pass;
        }
        let rule = format!("{}: no descendant of the caller's, and it has named nobody", self.name());
        let allow_with =
            Some("[isolation] ptrace_scope = \"classic\", or prctl(PR_SET_PTRACER) in the other".to_owned());
        Action::Deny(Box::new(Denied { errno: errno::EPERM, rule, allow_with }))
    }

    fn is_named(&self, tracer: i32, tracee: i32) -> bool {
        match key(tracee).and_then(|key| self.named.get(&key)) {
            Some(Tracers::Any) => true,
            Some(&Tracers::One(named)) => {
                key(named.0) == Some(named) && (named.0 == tracer || descends(tracer, named.0))
            }
            None => false,
        }
    }

    fn name_tracer(&mut self, trap: &Trap<'_>, who: u64) -> Action {
        let own = tasks::process_of(trap.tid()).and_then(key);
        let Some(own) = own else { return Action::Errno(errno::EPERM) };
        // The dead name nobody, and nobody has to be kept for them.
        self.named.retain(|named, _| key(named.0) == Some(*named));
        let named = match who {
            0 => None,
            PR_SET_PTRACER_ANY => Some(Tracers::Any),
            number => match self.find(trap.tid(), number as i32) {
                Found::Process(pid) => key(pid).map(Tracers::One),
                Found::Nobody => return Action::Return(-i64::from(errno::EINVAL)),
            },
        };
        match named {
            Some(named) => drop(self.named.insert(own, named)),
            None => drop(self.named.remove(&own)),
        }
        if self.host { Action::Pass } else { Action::Return(0) }
    }

    /// The process of the task that a guest's thread calls by this number.
    fn find(&self, caller: i32, number: i32) -> Found {
        let depth = numbers(caller).len();
        if number <= 0 || depth == 0 {
            return Found::Nobody;
        }
        if depth == 1 {
            return tasks::process_of(number).map_or(Found::Nobody, Found::Process);
        }
        let is = |tid: i32| {
            let numbers = numbers(tid);
            numbers.len() >= depth && numbers[depth - 1] == number
        };
        // Who is born or dies while a list of children is read can hide a neighbour from it (proc_pid_task(5)).
        for _ in 0..LOOKS {
            let below = tasks::below(self.keeper);
            let threads = |process: &tasks::Process| stat::threads(process.pid).into_iter().any(is);
            let found = below.iter().find(|process| is(process.pid) || process.threads > 1 && threads(process));
            if let Some(process) = found {
                return Found::Process(process.pid);
            }
        }
        Found::Nobody
    }
}

fn key(pid: i32) -> Option<Key> {
    stat::of(pid).map(|stat| (pid, stat.start))
}

/// A thread's number in each of its PID namespaces, ours first.
fn numbers(tid: i32) -> Vec<i32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// By parents, as they are now.
fn descends(mut pid: i32, ancestor: i32) -> bool {
    for _ in 0..DEPTH {
        match stat::of(pid) {
            Some(stat) if stat.ppid == ancestor => return true,
            Some(stat) if stat.ppid > 1 => pid = stat.ppid,
            _ => return false,
        }
    }
    false
}

/// Whether a thread of `tracer` traces that process already.
fn traces(tracer: i32, tracee: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{tracee}/status")).unwrap_or_default();
    let by = status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok());
    by.is_some_and(|by: i32| by > 0 && tasks::process_of(by) == Some(tracer))
}
