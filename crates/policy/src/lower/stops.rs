//! What a filter must add for an engine: the calls about which it is asked, and no way round a tracer.

use tipstaff_abi::{SyscallSet, Sysno, errno};
use tipstaff_seccomp::{Action, Condition, Op, Rule, Table, Width};

use super::EnginePlan;
use super::network::{self, Ask};

/// The data of every RET_TRACE of ours, without a box around ("TS"). The tracer tells calls by their number; other data comes from a guest's own filter.
pub const TRACE_DATA: u16 = 0x5453;

/// The data of a box's RET_TRACE, where its launcher is under so many filters. Where two filters say RET_TRACE the newest one's data is told: a box
/// within a box is under more filters than that was, so each engine knows its own stops, and the outer one gives the inner one its.
pub(super) fn trace_data(filters: u16) -> u16 {
    TRACE_DATA.wrapping_add(filters)
}

/// The calls about which an engine is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stops {
    calls: SyscallSet,
    /// The calls that the network rules ask about, with their conditions.
    asks: Vec<Ask>,
    /// How the filter asks.
    action: Action,
    /// Data of its RET_TRACE.
    data: u16,
    /// New tasks are counted, or followed by a tracer: none may come past.
    follows: bool,
}

/// The calls that make processes, and not threads. clone3(2), which keeps its flags in memory, is absent.
pub(super) fn births() -> Vec<Ask> {
    const CLONE_THREAD: u64 = 0x0001_0000;
    let process = Condition { arg: 0, width: Width::W64, op: Op::MaskedEq(CLONE_THREAD), value: 0 };
    let ask = |call, conditions| Ask { call, conditions };
    vec![ask("fork", Vec::new()), ask("vfork", Vec::new()), ask("clone", vec![process])]
}

/// What our tracer has to see to play the kernel's part in guests' ptrace(2): the calls themselves, what a tracer waits with, what SIGCHLD does
/// to it and how else it may take that, and children that are tracees by a flag. `shows`: and what opens files for reading, since proc(5) would tell of our tracer.
#[must_use]
pub fn mediated(shows: bool) -> Vec<Ask> {
    const SIGCHLD: u64 = 17;
    const CLONE_PTRACE: u64 = 0x2000;
    let ask = |call, conditions| Ask { call, conditions };
    let sigchld = Condition { arg: 0, width: Width::W32, op: Op::Eq, value: SIGCHLD };
    let flag = Condition { arg: 0, width: Width::W64, op: Op::MaskedEq(CLONE_PTRACE), value: CLONE_PTRACE };
    let mut asks = vec![
        ask("ptrace", Vec::new()),
        ask("wait4", Vec::new()),
        ask("waitid", Vec::new()),
        ask("rt_sigaction", vec![sigchld]),
        ask("clone", vec![flag]),
        ask("rt_sigtimedwait", Vec::new()),
        ask("rt_sigpending", Vec::new()),
        ask("signalfd", Vec::new()),
        ask("signalfd4", Vec::new()),
    ];
    if shows {
        // O_ACCMODE, O_CREAT, O_DIRECTORY, O_PATH.
        const NOT_TO_READ: u64 = 0o3 | 0o100 | 0o200_000 | 0o10_000_000;
        let reads = |arg| vec![Condition { arg, width: Width::W32, op: Op::MaskedEq(NOT_TO_READ), value: 0 }];
        asks.extend([ask("open", reads(1)), ask("openat", reads(2)), ask("openat2", Vec::new())]);
    }
    asks
}

/// What our tracer has to see to serve guests' listeners: that a filter is installed with one, or for all threads, and what is asked of a listener, whose
/// requests all have the letter `!`.
pub(super) fn serving() -> Vec<Ask> {
    const SECCOMP_SET_MODE_FILTER: u32 = 1;
    const TSYNC: u64 = 1;
    const NEW_LISTENER: u64 = 8;
    let installs = |flag| {
        let flag = Condition { arg: 1, width: Width::W32, op: Op::MaskedEq(flag), value: flag };
        let conditions = vec![Condition::w32(0, Op::Eq, SECCOMP_SET_MODE_FILTER), flag];
        Ask { call: "seccomp", conditions }
    };
    let letter = Condition { arg: 1, width: Width::W32, op: Op::MaskedEq(0xff00), value: 0x2100 };
    vec![installs(NEW_LISTENER), installs(TSYNC), Ask { call: "ioctl", conditions: vec![letter] }]
}

/// What attaches to others: Yama's restricted scope. None of the requests that a tracer makes of its tracees is among them.
pub(super) fn attaching() -> Vec<Ask> {
    const PTRACE_ATTACH: u64 = 16;
    const PTRACE_SEIZE: u64 = 0x4206;
    const PR_SET_PTRACER: u64 = 0x5961_6d61;
    let ask = |call, conditions| Ask { call, conditions };
    let first = |value| vec![Condition { arg: 0, width: Width::W32, op: Op::Eq, value }];
    vec![
        ask("ptrace", first(PTRACE_ATTACH)),
        ask("ptrace", first(PTRACE_SEIZE)),
        ask("prctl", first(PR_SET_PTRACER)),
        ask("process_vm_readv", Vec::new()),
        ask("process_vm_writev", Vec::new()),
    ]
}

impl Stops {
    /// `counts`: an engine counts tasks, or registers processes.
    pub fn of(engine: EnginePlan, calls: &SyscallSet, asks: Vec<Ask>, counts: bool, data: u16) -> Option<Self> {
        let action = match engine {
            EnginePlan::Native => return None,
            EnginePlan::Notify => Action::Notify,
            EnginePlan::Ptrace => Action::Trace(data),
        };
        let follows = counts || engine == EnginePlan::Ptrace;
        Some(Self { calls: calls.clone(), asks, action, data, follows })
    }

    /// Whether a call can be asked about, by its number.
    pub fn asks_about(&self, number: Sysno) -> bool {
        self.calls.contains(number)
            || number.name(self.calls.arch()).is_some_and(|name| self.asks.iter().any(|ask| ask.call == name))
    }

    /// They are asked through the listener.
    pub fn notify(&self) -> bool {
        self.action == Action::Notify
    }

    /// Makes the wanted calls stop, where they would pass. A call that the profile refuses stays refused, and nobody is asked.
    pub fn insert(&self, table: &mut Table) {
        network::insert(table, &self.asks, self.action);
        for nr in self.calls.iter().filter(|_| self.calls.arch() == table.arch) {
            let default = table.default;
            let rules = table.rules.entry(nr.0).or_default();
            for rule in rules.iter_mut().filter(|rule| passes(rule.action)) {
                rule.action = self.action;
            }
            if passes(default) && rules.last().is_none_or(|rule| !rule.conditions.is_empty()) {
                rules.push(Rule { conditions: Vec::new(), action: self.action });
            }
        }
        if self.follows {
            no_clone3(table);
        }
        if !self.notify() {
            keep_traced(table, self.data);
        }
    }
}

pub(super) fn passes(action: Action) -> bool {
    matches!(action, Action::Allow | Action::Log)
}

/// clone3(2) keeps its flags in memory, where nobody can check them: it is absent, also where a profile allows it. C libraries fall back to
/// clone(2).
fn no_clone3(table: &mut Table) {
    let Some(clone3) = Sysno::by_name(table.arch, "clone3") else { return };
    let default = table.default;
    let rules = table.rules.entry(clone3.0).or_default();
    let asks = |action| matches!(action, Action::Trace(_) | Action::Notify);
    let reached = |rule: &Rule| passes(rule.action) || asks(rule.action);
    rules.iter_mut().filter(|rule| reached(rule)).for_each(|rule| rule.action = Action::Errno(errno::ENOSYS));
    if passes(default) && rules.last().is_none_or(|rule| !rule.conditions.is_empty()) {
        rules.push(Rule { conditions: Vec::new(), action: Action::Errno(errno::ENOSYS) });
    }
}

/// clone(2) with CLONE_UNTRACED: a child that its maker's tracer would not get.
#[must_use]
pub fn untraced() -> Ask {
    const CLONE_UNTRACED: u64 = 0x0080_0000;
    let flag = Condition { arg: 0, width: Width::W64, op: Op::MaskedEq(CLONE_UNTRACED), value: CLONE_UNTRACED };
    Ask { call: "clone", conditions: vec![flag] }
}

/// It stops, and the tracer takes the flag out of the register.
fn keep_traced(table: &mut Table, data: u16) {
    let Ask { call, conditions } = untraced();
    let Some(clone) = Sysno::by_name(table.arch, call) else { return };
    let default = table.default;
    let rules = table.rules.entry(clone.0).or_default();
    let at = rules.iter().position(|rule| passes(rule.action)).unwrap_or(rules.len());
    if at < rules.len() || passes(default) {
        rules.insert(at, Rule { conditions, action: Action::Trace(data) });
    }
}
