//! The summary for people.

use crate::samples::*;
use tipstaff_report::*;

#[test]
fn a_run_that_went_well() {
    let expected = "\
ok
  cpu       0.120 s (user 0.100 s, system 0.020 s)
  wall      0.500 s
  memory    10.0 MiB
  processes 3
  output    12 B
";
    assert_eq!(judge(outcome(Ending::Exited(0))).summary(), expected);
}

#[test]
fn a_limit_says_where_it_stood_and_what_was_seen() {
    let summary = judge(with_cpu(killed_for(Cause::Cpu), S + 4_000_000)).summary();
    assert!(summary.starts_with("time_limit (cpu): ended by SIGKILL\n"), "{summary}");
    assert!(summary.ends_with("  limit     cpu 1.000 s, seen 1.004 s, after 1.000 s\n"), "{summary}");
}

#[test]
fn a_denial_says_its_rule_and_its_cure() {
    let outcome = Outcome { denials: vec![denial("errno")], ..outcome(Ending::Exited(1)) };
    let summary = judge(outcome).summary();
    assert!(summary.starts_with("nonzero_exit: exit code 1\n"), "{summary}");
    let line = "  denied    ptrace x3 (EPERM) by family debug; allow with --guest-ptrace native\n";
    assert!(summary.ends_with(line), "{summary}");
}

#[test]
fn figures_that_are_only_bounds_say_so() {
    let mut outcome = outcome(Ending::Exited(0));
    outcome.usage.cpu_source = CpuSource::RusageLowerBound;
    outcome.usage.memory_source = MemorySource::PssSampling;
    let summary = judge(outcome).summary();
    assert!(summary.contains("  cpu       at least 0.120 s"), "{summary}");
    assert!(summary.contains("  memory    at least 10.0 MiB"), "{summary}");
}

#[test]
fn a_launch_that_failed_shows_the_error_and_no_figures() {
    let error = RunError::new("chdir", Some("ENOENT"), "chdir \"/nope\": No such file or directory");
    let summary = judge(Outcome::never_started(error)).summary();
    assert_eq!(summary, "launch_failed\n  error     chdir \"/nope\": No such file or directory\n");
}

#[test]
fn text_of_the_guests_making_cannot_write_to_the_terminal() {
    let error = RunError::new("exec", None, "exec \"\x1b[2J\nok\"");
    let report = judge(Outcome::never_started(error));
    assert!(!report.summary().contains('\x1b'));
    assert_eq!(report.summary().lines().count(), 2);
}

#[test]
fn pieces_and_text_say_the_same() {
    for (_, outcome) in all() {
        let report = judge(outcome);
        let joined: String = report.summary_lines().iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(joined, report.summary());
        let role = report.summary_lines()[0].pieces[0].role;
        assert_eq!(role == Role::Good, report.verdict == Verdict::Ok);
    }
}
