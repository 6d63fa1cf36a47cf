//! From an outcome to a report.
//!
//! The order of the questions is the order of authority:
//!
//! 1. What was recorded while the run was going on, in the order of time: a cause (whoever kills records why before
//!    killing) or an event of the memory account, which the kernel may have answered with a kill of its own.
//! 2. What the kernel ended by itself for a limit that was set: SIGXFSZ, SIGXCPU, SIGSYS of a filter without listener.
//! 3. What the final figures say about a program that ended by itself: CPU over the limit.
//! 4. A request for memory that the exact account refused; a fork that was refused, if the run ended other than well.
//! 5. The program's own ending.
//!
//! Figures other than the CPU total never decide: a peak over the limit that nobody recorded is a peak, not a cause.

use crate::signal::{SIGKILL, SIGSYS, SIGXCPU, SIGXFSZ};
use crate::{Cause, Clock, Ending, Event, Limit, LimitHit, LimitsSummary, Outcome, Report, Signal, Usage, Verdict};

/// Finds the verdict and writes the report.
pub fn judge(outcome: Outcome) -> Report {
    let decision = decide(&outcome);
    let mut limits_hit = outcome.events;
    if let Some(refused) = outcome.memory_refused
        && !limits_hit.iter().any(|event| event.limit == Limit::Memory)
    {
        limits_hit.push(refused);
    }
    if let Some(hit) = decision.hit
        && !limits_hit.iter().any(|event| event.limit == hit.limit)
    {
        limits_hit.push(hit);
    }
    limits_hit.sort_by_key(|event| event.at_ns);

    let (exit_code, signal) = match outcome.ending {
        Ending::Exited(code) => (Some(code), None),
        Ending::Signaled { signal, .. } => (None, Some(Signal::new(signal))),
        // Killed by the caller between the clone and the first instruction.
        Ending::NeverStarted if decision.verdict == Verdict::Signaled => (None, Some(Signal::new(SIGKILL))),
        Ending::NeverStarted => (None, None),
    };
    let Usage { cpu, cpu_source, wall_ns, memory_peak_bytes, memory_source, processes_peak, output_bytes } =
        outcome.usage;
    Report {
        schema: Report::SCHEMA,
        verdict: decision.verdict,
        exit_code,
        signal,
        clock: decision.clock,
        cpu_ns: cpu,
        cpu_source,
        wall_ns,
        memory_peak_bytes,
        memory_source,
        processes_peak,
        output_bytes,
        limits_hit,
        denials: outcome.denials,
        denials_coverage: outcome.coverage,
        enforcement: outcome.enforcement,
        error: outcome.error,
    }
}

/// A verdict, its clock, and the limit that it stands for.
struct Decision {
    verdict: Verdict,
    clock: Option<Clock>,
    /// Goes into `limits_hit`, unless an event of the same limit stands there already.
    hit: Option<LimitHit>,
}

impl Decision {
    fn plain(verdict: Verdict) -> Self {
        Self { verdict, clock: None, hit: None }
    }

    fn limit(verdict: Verdict, limit: Limit, outcome: &Outcome, at_ns: u64) -> Self {
        let observed = observed(limit, &outcome.usage);
        let hit = in_force(limit, &outcome.limits).map(|value| LimitHit::new(limit, value, observed, at_ns));
        Self { verdict, clock: limit.clock(), hit }
    }
}

fn decide(outcome: &Outcome) -> Decision {
    recorded(outcome)
        .or_else(|| failed(outcome))
        .or_else(|| ended_by_the_kernel(outcome))
        .or_else(|| over_at_the_end(outcome))
        .or_else(|| memory_was_refused(outcome))
        .or_else(|| fork_was_refused(outcome))
        .unwrap_or_else(|| Decision::plain(own_ending(outcome.ending)))
}

/// Question 1: causes and events of the memory account, the earlier first.
fn recorded(outcome: &Outcome) -> Option<Decision> {
    let memory = outcome.events.iter().filter(|event| event.limit == Limit::Memory).map(|event| event.at_ns).min();
    let over = |_| Decision::plain(Verdict::MemoryLimit);
    match outcome.cause {
        Some((cause, at)) if memory.is_none_or(|memory_at| at <= memory_at) => {
            by_cause(outcome, cause, at).or_else(|| memory.map(over))
        }
        _ => memory.map(over),
    }
}

fn by_cause(outcome: &Outcome, cause: Cause, at: u64) -> Option<Decision> {
    Some(match cause {
        Cause::Cpu => Decision::limit(Verdict::TimeLimit, Limit::Cpu, outcome, at),
        Cause::Wall => Decision::limit(Verdict::TimeLimit, Limit::Wall, outcome, at),
        Cause::Idle => Decision::limit(Verdict::TimeLimit, Limit::Idle, outcome, at),
        Cause::Memory => Decision::limit(Verdict::MemoryLimit, Limit::Memory, outcome, at),
        Cause::Output => Decision::limit(Verdict::OutputLimit, Limit::Output, outcome, at),
        Cause::Policy => Decision::plain(Verdict::PolicyViolation),
        Cause::SupervisorFault => Decision::plain(Verdict::InternalError),
        Cause::User => match outcome.ending {
            Ending::Signaled { .. } => Decision::plain(Verdict::Signaled),
            Ending::NeverStarted if outcome.error.is_none() => Decision::plain(Verdict::Signaled),
            // The kill came too late and killed nobody.
            Ending::Exited(_) | Ending::NeverStarted => return None,
        },
    })
}

/// An error that nobody turned into a cause: before the start it is the launch's, after it ours.
fn failed(outcome: &Outcome) -> Option<Decision> {
    match (outcome.ending, &outcome.error) {
        (Ending::NeverStarted, Some(_)) => Some(Decision::plain(Verdict::LaunchFailed)),
        (Ending::NeverStarted, None) | (_, Some(_)) => Some(Decision::plain(Verdict::InternalError)),
        (_, None) => None,
    }
}

/// Question 2: the signals by which the kernel itself enforces.
fn ended_by_the_kernel(outcome: &Outcome) -> Option<Decision> {
    let Ending::Signaled { signal, .. } = outcome.ending else { return None };
    let (limits, usage) = (&outcome.limits, &outcome.usage);
    match signal {
        SIGSYS if outcome.seccomp_sigsys_is_kill => Some(Decision::plain(Verdict::PolicyViolation)),
        SIGXFSZ if limits.file_size_bytes.is_some() => {
            Some(Decision::limit(Verdict::OutputLimit, Limit::FileSize, outcome, usage.wall_ns))
        }
        SIGXCPU if limits.cpu_ns.is_some_and(|limit| usage.cpu.total >= limit) => {
            Some(Decision::limit(Verdict::TimeLimit, Limit::Cpu, outcome, usage.wall_ns))
        }
        _ => None,
    }
}

/// Question 3: the program was faster to end than we to kill.
fn over_at_the_end(outcome: &Outcome) -> Option<Decision> {
    let over = outcome.limits.cpu_ns.is_some_and(|limit| outcome.usage.cpu.total > limit);
    over.then(|| Decision::limit(Verdict::TimeLimit, Limit::Cpu, outcome, outcome.usage.wall_ns))
}

/// Question 4. However the program took it: without the limit it would have gone on with what it asked for.
fn memory_was_refused(outcome: &Outcome) -> Option<Decision> {
    outcome.memory_refused.as_ref().map(|_| Decision::plain(Verdict::MemoryLimit))
}

/// Question 4.
fn fork_was_refused(outcome: &Outcome) -> Option<Decision> {
    let refused = outcome.events.iter().any(|event: &Event| event.limit == Limit::Processes);
    (refused && own_ending(outcome.ending) != Verdict::Ok).then(|| Decision::plain(Verdict::ProcessLimit))
}

/// Question 5.
fn own_ending(ending: Ending) -> Verdict {
    match ending {
        Ending::Exited(0) => Verdict::Ok,
        Ending::Exited(_) => Verdict::NonzeroExit,
        Ending::Signaled { .. } => Verdict::Signaled,
        Ending::NeverStarted => Verdict::InternalError,
    }
}

/// Where `limit` stood.
fn in_force(limit: Limit, limits: &LimitsSummary) -> Option<u64> {
    match limit {
        Limit::Cpu => limits.cpu_ns,
        Limit::Wall => limits.wall_ns,
        Limit::Idle => limits.idle_ns,
        Limit::Memory => limits.memory_bytes,
        Limit::Processes => limits.processes,
        Limit::Output => limits.output_bytes,
        Limit::FileSize => limits.file_size_bytes,
        Limit::OpenFiles => limits.open_files,
        Limit::Stack => limits.stack_bytes,
        Limit::Disk => limits.disk_bytes,
    }
}

/// What the final figures say about `limit`, where they say anything.
fn observed(limit: Limit, usage: &Usage) -> Option<u64> {
    match limit {
        Limit::Cpu => Some(usage.cpu.total),
        Limit::Wall => Some(usage.wall_ns),
        Limit::Memory => usage.memory_peak_bytes,
        Limit::Processes => usage.processes_peak,
        Limit::Output => usage.output_bytes,
        Limit::Idle | Limit::FileSize | Limit::OpenFiles | Limit::Stack | Limit::Disk => None,
    }
}
