//! The verdict, one sentence of the contract after the other.

use crate::samples::*;
use tipstaff_report::*;

fn verdict(outcome: Outcome) -> Verdict {
    judge(outcome).verdict
}

// A program that ended by itself.

#[test]
fn exit_code_zero_is_ok() {
    let report = judge(outcome(Ending::Exited(0)));
    assert_eq!((report.verdict, report.exit_code, report.signal), (Verdict::Ok, Some(0), None));
    assert_eq!(report.limits_hit, []);
}

#[test]
fn another_exit_code_is_nonzero_exit() {
    let report = judge(outcome(Ending::Exited(137)));
    assert_eq!((report.verdict, report.exit_code, report.signal), (Verdict::NonzeroExit, Some(137), None));
}

#[test]
fn a_signal_is_signaled_and_has_no_exit_code() {
    let report = judge(signaled(11));
    assert_eq!((report.verdict, report.exit_code), (Verdict::Signaled, None));
    assert_eq!(report.signal, Some(Signal { number: 11, name: "SIGSEGV".into() }));
}

#[test]
fn a_program_that_kills_itself_is_signaled_and_no_limit() {
    assert_eq!(verdict(signaled(9)), Verdict::Signaled);
}

#[test]
fn a_peak_over_the_limit_that_nobody_recorded_is_no_cause() {
    let mut outcome = outcome(Ending::Exited(3));
    outcome.usage.memory_peak_bytes = Some(1 << 40);
    outcome.usage.processes_peak = Some(1 << 20);
    assert_eq!(verdict(outcome), Verdict::NonzeroExit);
}

// The cause recorded first by whoever ended the run.

#[test]
fn each_cause_has_its_verdict_and_clock() {
    let table = [
        (Cause::Cpu, Verdict::TimeLimit, Some(Clock::Cpu)),
        (Cause::Wall, Verdict::TimeLimit, Some(Clock::Wall)),
        (Cause::Idle, Verdict::TimeLimit, Some(Clock::Idle)),
        (Cause::Memory, Verdict::MemoryLimit, None),
        (Cause::Output, Verdict::OutputLimit, None),
        (Cause::Policy, Verdict::PolicyViolation, None),
        (Cause::User, Verdict::Signaled, None),
        (Cause::SupervisorFault, Verdict::InternalError, None),
    ];
    for (cause, verdict, clock) in table {
        let report = judge(killed_for(cause));
        assert_eq!((report.verdict, report.clock), (verdict, clock), "{cause:?}");
        assert_eq!((report.exit_code, report.signal), (None, Some(Signal::new(9))), "{cause:?}");
    }
}

#[test]
fn a_cause_stands_whatever_the_program_made_of_its_end() {
    for ending in [Ending::Exited(0), Ending::Exited(1), Ending::Signaled { signal: 24, core: true }, KILLED] {
        for (cause, expected) in [(Cause::Wall, Verdict::TimeLimit), (Cause::Policy, Verdict::PolicyViolation)] {
            assert_eq!(verdict(Outcome { cause: Some((cause, S)), ..outcome(ending) }), expected, "{ending:?}");
        }
    }
}

#[test]
fn a_cause_stands_whatever_the_figures_say() {
    assert_eq!(verdict(with_cpu(killed_for(Cause::Output), 5 * S)), Verdict::OutputLimit);
    let report = judge(with_cpu(killed_for(Cause::Wall), 5 * S));
    assert_eq!((report.verdict, report.clock), (Verdict::TimeLimit, Some(Clock::Wall)));
}

#[test]
fn a_cause_before_the_start_stands_too() {
    let report = judge(Outcome { cause: Some((Cause::Wall, S)), ..outcome(Ending::NeverStarted) });
    assert_eq!((report.verdict, report.exit_code, report.signal), (Verdict::TimeLimit, None, None));
}

#[test]
fn a_kill_by_the_caller_is_signaled_with_its_signal() {
    let outcome = Outcome { cause: Some((Cause::User, S)), ..signaled(15) };
    let report = judge(outcome);
    assert_eq!((report.verdict, report.signal), (Verdict::Signaled, Some(Signal::new(15))));
}

#[test]
fn a_kill_by_the_caller_that_came_too_late_changes_nothing() {
    let late = |ending| verdict(Outcome { cause: Some((Cause::User, S)), ..outcome(ending) });
    assert_eq!(late(Ending::Exited(0)), Verdict::Ok);
    assert_eq!(late(Ending::Exited(2)), Verdict::NonzeroExit);
    let failed = Outcome { cause: Some((Cause::User, S)), ..Outcome::never_started(RunError::new("exec", None, "x")) };
    assert_eq!(verdict(failed), Verdict::LaunchFailed);
    let oom = with_event(Outcome { cause: Some((Cause::User, S)), ..outcome(Ending::Exited(0)) }, Limit::Memory, 2 * S);
    assert_eq!(verdict(oom), Verdict::MemoryLimit);
}

#[test]
fn a_kill_by_the_caller_before_the_first_instruction_is_a_kill() {
    let report = judge(Outcome { cause: Some((Cause::User, 0)), ..outcome(Ending::NeverStarted) });
    assert_eq!((report.verdict, report.signal), (Verdict::Signaled, Some(Signal::new(9))));
}

// Final CPU over the limit.

#[test]
fn a_program_that_ended_by_itself_over_the_cpu_limit_is_time_limit() {
    for ending in [Ending::Exited(0), Ending::Exited(1), KILLED, Ending::Signaled { signal: 11, core: false }] {
        let report = judge(with_cpu(outcome(ending), S + 1));
        assert_eq!((report.verdict, report.clock), (Verdict::TimeLimit, Some(Clock::Cpu)), "{ending:?}");
        assert_eq!(report.limits_hit, [LimitHit::new(Limit::Cpu, S, Some(S + 1), S / 2)]);
    }
}

#[test]
fn exactly_the_cpu_limit_is_not_over_it() {
    assert_eq!(verdict(with_cpu(outcome(Ending::Exited(0)), S)), Verdict::Ok);
}

#[test]
fn cpu_without_a_limit_is_never_over_it() {
    let mut outcome = with_cpu(outcome(Ending::Exited(0)), 1_000 * S);
    outcome.limits.cpu_ns = None;
    assert_eq!(verdict(outcome), Verdict::Ok);
}

#[test]
fn sigxcpu_is_the_limit_only_when_the_limit_was_reached() {
    let report = judge(with_cpu(signaled(24), S));
    assert_eq!((report.verdict, report.clock), (Verdict::TimeLimit, Some(Clock::Cpu)));
    assert_eq!(verdict(with_cpu(signaled(24), S - 1)), Verdict::Signaled);
    let mut unlimited = with_cpu(signaled(24), 9 * S);
    unlimited.limits.cpu_ns = None;
    assert_eq!(verdict(unlimited), Verdict::Signaled);
}

// Precedence is time order; all events stand in `limits_hit`.

#[test]
fn all_events_stand_in_the_order_of_time() {
    let mut outcome = killed_for(Cause::Wall);
    for (limit, at) in [(Limit::Disk, 3), (Limit::OpenFiles, 1), (Limit::Processes, 2)] {
        outcome = with_event(outcome, limit, at);
    }
    let hits: Vec<_> = judge(outcome).limits_hit.iter().map(|hit| hit.limit).collect();
    assert_eq!(hits, [Limit::OpenFiles, Limit::Processes, Limit::Disk, Limit::Wall]);
}

#[test]
fn the_limit_of_the_verdict_stands_once() {
    let report = judge(with_event(killed_for(Cause::Output), Limit::Output, S));
    assert_eq!(report.limits_hit, [LimitHit::new(Limit::Output, 5, Some(6), S)]);
    let report = judge(killed_for(Cause::Output));
    assert_eq!(report.limits_hit, [LimitHit::new(Limit::Output, 1 << 20, Some(12), S)]);
}

#[test]
fn a_memory_event_before_a_cause_comes_first_and_one_after_it_second() {
    assert_eq!(verdict(with_event(killed_for(Cause::Wall), Limit::Memory, S - 1)), Verdict::MemoryLimit);
    assert_eq!(verdict(with_event(killed_for(Cause::Wall), Limit::Memory, S + 1)), Verdict::TimeLimit);
    assert_eq!(verdict(with_event(killed_for(Cause::Policy), Limit::Memory, S)), Verdict::PolicyViolation);
}

// A syscall denied by errno leaves the verdict alone; a denial whose action is kill is a violation.

#[test]
fn a_denial_by_errno_leaves_the_verdict_alone() {
    for (ending, expected) in [(Ending::Exited(0), Verdict::Ok), (Ending::Exited(1), Verdict::NonzeroExit)] {
        let outcome = Outcome { denials: vec![denial("errno")], ..outcome(ending) };
        assert_eq!(verdict(outcome), expected);
    }
}

#[test]
fn death_by_sigsys_is_a_violation_where_only_the_filter_could_kill() {
    let sigsys = |is_kill| Outcome { seccomp_sigsys_is_kill: is_kill, ..signaled(31) };
    assert_eq!(verdict(sigsys(true)), Verdict::PolicyViolation);
    assert_eq!(verdict(sigsys(false)), Verdict::Signaled);
    let exited = Outcome { seccomp_sigsys_is_kill: true, ..outcome(Ending::Exited(0)) };
    assert_eq!(verdict(exited), Verdict::Ok);
}

// Fork at the limit gets EAGAIN; `process_limit` only if the run then ends other than ok.

#[test]
fn a_refused_fork_counts_only_if_the_run_ends_other_than_ok() {
    let refused = |ending| verdict(with_event(outcome(ending), Limit::Processes, S));
    assert_eq!(refused(Ending::Exited(0)), Verdict::Ok);
    assert_eq!(refused(Ending::Exited(1)), Verdict::ProcessLimit);
    assert_eq!(refused(Ending::Signaled { signal: 6, core: false }), Verdict::ProcessLimit);
}

// A request for memory that was refused is the verdict, however the run ends.

#[test]
fn refused_memory_is_the_verdict() {
    let event = Event::new(Limit::Memory, 64 << 20, Some(65 << 20), S);
    let refused = |ending| Outcome { memory_refused: Some(event.clone()), ..outcome(ending) };
    assert_eq!(verdict(refused(Ending::Exited(1))), Verdict::MemoryLimit);
    assert_eq!(verdict(refused(Ending::Signaled { signal: 6, core: false })), Verdict::MemoryLimit);
    let report = judge(refused(Ending::Exited(0)));
    assert_eq!((report.verdict, report.limits_hit), (Verdict::MemoryLimit, vec![event.clone()]));
    // Whoever killed has said why.
    assert_eq!(verdict(Outcome { cause: Some((Cause::Wall, 2 * S)), ..refused(KILLED) }), Verdict::TimeLimit);
    let both = judge(with_event(refused(KILLED), Limit::Memory, 2 * S));
    assert_eq!((both.verdict, both.limits_hit.len()), (Verdict::MemoryLimit, 1));
}

#[test]
fn a_bomb_that_somebody_ended_has_the_verdict_of_its_end() {
    assert_eq!(verdict(with_event(killed_for(Cause::Cpu), Limit::Processes, 1)), Verdict::TimeLimit);
}

#[test]
fn without_a_refused_fork_there_is_no_process_limit() {
    let mut outcome = outcome(Ending::Exited(1));
    outcome.usage.processes_peak = outcome.limits.processes;
    assert_eq!(verdict(outcome), Verdict::NonzeroExit);
}

// File size: SIGXFSZ death is `output_limit`; ignored, its own exit decides. Open files, disk: likewise.

#[test]
fn death_by_sigxfsz_is_output_limit_when_a_file_size_limit_was_set() {
    let report = judge(signaled(25));
    assert_eq!(report.verdict, Verdict::OutputLimit);
    assert_eq!(report.limits_hit, [LimitHit::new(Limit::FileSize, 1 << 20, None, S / 2)]);
    let mut unlimited = signaled(25);
    unlimited.limits.file_size_bytes = None;
    assert_eq!(verdict(unlimited), Verdict::Signaled);
}

#[test]
fn a_limit_that_answers_with_an_errno_leaves_the_verdict_to_the_exit() {
    for limit in [Limit::FileSize, Limit::OpenFiles, Limit::Disk, Limit::Stack] {
        assert_eq!(verdict(with_event(outcome(Ending::Exited(0)), limit, S)), Verdict::Ok, "{limit}");
        let report = judge(with_event(outcome(Ending::Exited(1)), limit, S));
        assert_eq!((report.verdict, report.limits_hit.len()), (Verdict::NonzeroExit, 1), "{limit}");
    }
}

// OOM event, sampled excess, or a recorded refusal make `memory_limit`; a failed malloc that nobody recorded does not.

#[test]
fn a_kill_by_the_kernel_for_memory_is_memory_limit() {
    assert_eq!(verdict(with_event(signaled(9), Limit::Memory, S)), Verdict::MemoryLimit);
}

#[test]
fn a_recorded_refusal_of_memory_is_memory_limit_however_the_program_ends() {
    for ending in [Ending::Exited(3), Ending::Signaled { signal: 6, core: false }] {
        assert_eq!(verdict(with_event(outcome(ending), Limit::Memory, S)), Verdict::MemoryLimit);
    }
}

#[test]
fn a_failed_malloc_that_nobody_recorded_is_the_programs_own_affair() {
    assert_eq!(verdict(outcome(Ending::Exited(3))), Verdict::NonzeroExit);
}

// Launch failures and our own.

#[test]
fn a_program_that_never_started_is_launch_failed() {
    let report = judge(Outcome::never_started(RunError::new("chdir", Some("ENOENT"), "chdir \"/nope\"")));
    assert_eq!((report.verdict, report.exit_code, report.signal), (Verdict::LaunchFailed, None, None));
    assert_eq!(report.error.map(|error| error.step), Some("chdir".into()));
}

#[test]
fn a_program_that_never_started_for_no_known_reason_is_our_fault() {
    assert_eq!(verdict(outcome(Ending::NeverStarted)), Verdict::InternalError);
}

#[test]
fn an_error_after_the_start_is_never_ok() {
    let error = Some(RunError::new("epoll_wait", Some("EINVAL"), "epoll_wait"));
    assert_eq!(verdict(Outcome { error: error.clone(), ..outcome(Ending::Exited(0)) }), Verdict::InternalError);
    assert_eq!(verdict(Outcome { error, ..killed_for(Cause::Wall) }), Verdict::TimeLimit);
}

#[test]
fn only_a_time_limit_has_a_clock_and_a_run_has_one_end() {
    for (name, outcome) in all() {
        let report = judge(outcome);
        assert_eq!(report.clock.is_some(), report.verdict == Verdict::TimeLimit, "{name}");
        assert!(report.exit_code.is_none() || report.signal.is_none(), "{name}");
    }
}
