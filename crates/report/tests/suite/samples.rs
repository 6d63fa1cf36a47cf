//! Outcomes to start from.

use tipstaff_report::*;

/// One second in nanoseconds.
pub const S: u64 = 1_000_000_000;

/// A run under every limit that ended well within them.
pub fn outcome(ending: Ending) -> Outcome {
    Outcome {
        usage: Usage {
            cpu: CpuNs { user: S / 10, system: S / 50, total: S / 10 + S / 50 },
            cpu_source: CpuSource::CgroupV2,
            wall_ns: S / 2,
            memory_peak_bytes: Some(10 << 20),
            memory_source: MemorySource::CgroupV2,
            processes_peak: Some(3),
            output_bytes: Some(12),
        },
        limits: LimitsSummary {
            cpu_ns: Some(S),
            wall_ns: Some(3 * S),
            idle_ns: Some(2 * S),
            memory_bytes: Some(64 << 20),
            processes: Some(8),
            output_bytes: Some(1 << 20),
            file_size_bytes: Some(1 << 20),
            open_files: Some(64),
            stack_bytes: Some(8 << 20),
            disk_bytes: Some(1 << 20),
        },
        coverage: Coverage::Syscalls,
        ..Outcome::new(ending)
    }
}

pub const KILLED: Ending = Ending::Signaled { signal: 9, core: false };

pub fn signaled(signal: i32) -> Outcome {
    outcome(Ending::Signaled { signal, core: false })
}

/// A run that somebody killed for `cause` at one second.
pub fn killed_for(cause: Cause) -> Outcome {
    Outcome { cause: Some((cause, S)), ..outcome(KILLED) }
}

/// A run that has used `total` of CPU.
pub fn with_cpu(mut outcome: Outcome, total: u64) -> Outcome {
    outcome.usage.cpu = CpuNs { user: total, system: 0, total };
    outcome
}

/// A run with one more event.
pub fn with_event(mut outcome: Outcome, limit: Limit, at_ns: u64) -> Outcome {
    outcome.events.push(Event::new(limit, 5, Some(6), at_ns));
    outcome
}

pub fn denial(action: &str) -> Denial {
    Denial {
        syscall: "ptrace".into(),
        arch: "x86_64".into(),
        args: vec![0, 1, 2, u64::MAX, 4, 5],
        pid: Some(4711),
        rule: "family debug".into(),
        action: action.into(),
        errno: (action == "errno").then(|| "EPERM".into()),
        count: 3,
        allow_with: Some("--guest-ptrace native".into()),
    }
}

/// One outcome of each kind, by name.
pub fn all() -> Vec<(&'static str, Outcome)> {
    let mut denied = outcome(Ending::Exited(0));
    denied.denials = vec![denial("errno")];
    let mut weakened = outcome(Ending::Exited(0));
    weakened.enforcement = vec![
        Enforcement { rule: "memory 64MiB".into(), mechanism: "cgroup_v2".into(), level: Level::Full, why: None },
        Enforcement {
            rule: b"deny /tmp/\xff".as_slice().into(),
            mechanism: "landlock".into(),
            level: Level::Weakened,
            why: Some("the kernel is too old".into()),
        },
    ];
    let mut violation = killed_for(Cause::Policy);
    violation.denials = vec![denial("kill")];
    let mut bytes = Outcome::never_started(RunError::new("exec", Some("ENOENT"), b"exec \"/\xff\"".as_slice()));
    bytes.enforcement =
        vec![Enforcement { rule: "net none".into(), mechanism: "none".into(), level: Level::Refused, why: None }];
    vec![
        ("ok", outcome(Ending::Exited(0))),
        ("nonzero exit", outcome(Ending::Exited(3))),
        ("signaled", signaled(11)),
        ("real-time signal", signaled(40)),
        ("cpu", killed_for(Cause::Cpu)),
        ("wall", killed_for(Cause::Wall)),
        ("idle", killed_for(Cause::Idle)),
        ("memory", killed_for(Cause::Memory)),
        ("output", killed_for(Cause::Output)),
        ("processes", with_event(outcome(Ending::Exited(1)), Limit::Processes, S)),
        ("policy", violation),
        ("user", killed_for(Cause::User)),
        ("fault", killed_for(Cause::SupervisorFault)),
        ("launch", bytes),
        ("denied", denied),
        ("weakened", weakened),
        ("nothing known", Outcome::new(Ending::Exited(0))),
        ("never started", Outcome::new(Ending::NeverStarted)),
    ]
}
