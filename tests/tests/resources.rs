//! Memory and tasks without control groups: every way in which a program can have memory, every way in which it can make a task.
use serde_json::Value;
use tipstaff_testkit::{Machine, Ran, Run, User, Without, plain, run, skip};

use crate::full_drill;

/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;

/// A machine without control groups for this user; None where the suite cannot make one.
fn without_groups(user: User) -> Option<Machine> {
    let machine = Machine::from(Without::Cgroup);
    match machine.unavailable(user) {
        None => Some(machine),
        // Who may not hide them may have none of their own: the report tells.
        Some(_) if user == User::Ordinary => Some(Machine::Full),
        Some(_) => None,
    }
}

fn peak(ran: &Ran) -> u64 {
    ran.report["memory_peak_bytes"].as_u64().unwrap_or(0)
}

/// The first entry of `limits_hit` for `limit`.
fn hit<'a>(report: &'a Value, limit: &str) -> &'a Value {
    let hits = report["limits_hit"].as_array();
    hits.and_then(|hits| hits.iter().find(|hit| hit["limit"] == limit)).unwrap_or(&Value::Null)
}

fn hog(kind: &str, mib: u64, keep_ms: u64) -> Run {
    run(["memhog", kind, &mib.to_string(), &keep_ms.to_string()]).memory("64MiB").wall("60s")
}

/// Whoever samples a busy machine may come too late for what is kept for a moment: then it is kept for longer.
fn kept(kind: &str, mib: u64, keep_ms: u64, user: User, machine: Machine, is_seen: impl Fn(&Ran) -> bool) -> Ran {
    let go = |keep_ms| hog(kind, mib, keep_ms).as_user(user).on(machine).go();
    let mut ran = go(keep_ms);
    for longer in [3_000, 20_000] {
        if ran.report["memory_source"] != "pss_sampling" || is_seen(&ran) {
            break;
        }
        ran = go(longer);
    }
    ran
}

/// It was ended, or refused what it asked for.
fn is_over(ran: &Ran) -> bool {
    ran.verdict() != "ok"
}

/// Four times what is allowed ends the run; less than is allowed does not, and stands in the report.
fn kind_is_counted(kind: &str, user: User) {
    let Some(machine) = without_groups(user) else { skip!("hiding control groups needs root") };
    // What nobody maps is looked for once a second at least.
    let keep = if kind.starts_with("shared_") { 1300 } else { 300 };
    // What nobody maps is known to root alone: an ordinary user sees how much the machine has more than before, and others on it may
    // have less meanwhile.
    let vague = kind.starts_with("shared_") && user == User::Ordinary;
    let least = if vague { 0 } else { 38 * MIB };
    let fits = kept(kind, 40, keep, user, machine, |ran| is_over(ran) || peak(ran) >= least);
    if fits.report["memory_source"] != "pss_sampling" {
        skip!("this user has a memory control group");
    }
    fits.expect_ok().expect_stdout("OK\n");
    let seen = peak(&fits);
    fits.check((least..56 * MIB).contains(&seen), format_args!("40 MiB were held, {seen} bytes were seen"));
    let over = kept(kind, 256, 1000, user, machine, is_over);
    // A file system of the box has a size of its own, a little above the limit.
    if ["tmp", "dev_shm"].contains(&kind) && over.verdict() != "memory_limit" {
        let out = over.out();
        let full = out.strip_suffix(" ENOSPC\n").and_then(|mib| mib.parse::<u64>().ok());
        over.expect_exit(3).check(full.is_some_and(|mib| mib <= 72), "refused for want of space");
        return;
    }
    over.expect_verdict("memory_limit").expect_exit(122);
    over.check(hit(&over.report, "memory")["limit_value"] == 64 * MIB, "the hit names the limit");
    let observed = hit(&over.report, "memory")["observed"].as_u64().unwrap_or(0);
    over.check(observed > 64 * MIB, "what was seen is over the limit");
}

macro_rules! kinds {
    ($($kind:ident)*) => {
        mod kinds {
            $(mod $kind {
                #[test]
                fn root() {
                    super::super::kind_is_counted(stringify!($kind), tipstaff_testkit::User::Root);
                }

                #[test]
                fn ordinary() {
                    super::super::kind_is_counted(stringify!($kind), tipstaff_testkit::User::Ordinary);
                }
            })*
        }
    };
}

kinds! {
    anonymous huge devzero shared shared_dropped shared_orphans memfd_mapped memfd_written memfd_allocated memfd_passed memfd_flight
    dev_shm tmp copies tables crowd stacks mremap mremap_kept brk unlocked
}

/// A test for both users on a machine without control groups.
macro_rules! both_without {
    ($(#[$about:meta])* $name:ident, |$user:ident, $machine:ident| $test:block) => {
        $(#[$about])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn test($user: User) {
                let Some($machine) = without_groups($user) else { skip!("hiding control groups needs root") };
                $test
            }

            #[test]
            fn root() {
                test(User::Root);
            }

            #[test]
            fn ordinary() {
                test(User::Ordinary);
            }
        }
    };
}

both_without!(system_v_segments_cannot_hide_from_samples, |user, machine| {
    for kind in ["sysv_attached", "sysv_detached"] {
        let ran = hog(kind, 256, 0).as_user(user).on(machine).go();
        if ran.report["memory_source"] != "pss_sampling" {
            skip!("this user has a memory control group");
        }
        ran.expect_exit(3).expect_stdout("0 ENOSYS\n");
        let denied = &ran.report["denials"][0];
        ran.check(denied["syscall"] == "shmget" && denied["rule"] == "limits.memory, sampled", "the rule is named");
        plain(["memhog", kind, "4", "0"]).as_user(user).go().expect_exit(0).expect_stdout("OK\n");
    }
});

both_without!(kernel_memory_that_no_sample_sees_is_not_to_be_had, |user, machine| {
    let kinds = [
        ("spliced", "vmsplice", "ENOSYS"),
        ("zerocopy", "setsockopt", "ENOPROTOOPT"),
        ("rulesets", "landlock_create_ruleset", "ENOSYS"),
    ];
    for (kind, call, errno) in kinds {
        let ran = hog(kind, 256, 500).as_user(user).on(machine).go();
        if ran.report["memory_source"] != "pss_sampling" {
            skip!("this user has a memory control group");
        }
        ran.expect_exit(3).expect_stdout(format!("0 {errno}\n"));
        let denied = &ran.report["denials"][0];
        ran.check(denied["syscall"] == call && denied["rule"] == "limits.memory, sampled", "the rule is named");
        plain(["memhog", kind, "16", "0"]).as_user(user).go().expect_exit(0).expect_stdout("OK\n");
        // Where nothing is sampled, nothing is refused.
        let free = run(["memhog", kind, "16", "0"]).memory("unlimited").as_user(user).on(machine).go();
        free.expect_ok().expect_stdout("OK\n");
    }
});

both_without!(what_is_reserved_is_not_used, |user, machine| {
    let ran = hog("reserved", 1024, 100).as_user(user).on(machine).go();
    ran.expect_ok().expect_stdout("OK\n");
    ran.check(peak(&ran) < 8 * MIB, "one MiB was touched");
});

both_without!(what_a_fork_shares_counts_once, |user, machine| {
    // Nine processes with 40 MiB each by their resident sets.
    let ran = kept("sharers", 40, 500, user, machine, |ran| is_over(ran) || peak(ran) >= 38 * MIB);
    if ran.report["memory_source"] != "pss_sampling" {
        skip!("this user has a memory control group");
    }
    ran.expect_ok().expect_stdout("OK\n");
    let seen = peak(&ran);
    ran.check((38 * MIB..56 * MIB).contains(&seen), format_args!("40 MiB are shared, {seen} bytes were seen"));
    // The same with pages of one's own in each.
    kept("copies", 160, 2000, user, machine, is_over).expect_verdict("memory_limit");
});

fn tasks(program: &[&str], limit: u32) -> Run {
    run(program.iter().copied()).processes(limit).wall("60s")
}

/// The mechanism that lowering chose for the process limit.
fn mechanism(ran: &Ran) -> String {
    let rules = ran.report["enforcement"].as_array();
    let rule = rules.and_then(|rules| rules.iter().find(|rule| rule["rule"] == "limits.processes"));
    rule.map_or_else(String::new, |rule| rule["mechanism"].as_str().unwrap_or("").to_owned())
}

/// Where a limit of tasks is enforced, and by what: a control group, RLIMIT_NPROC, the supervisor's count.
macro_rules! roads {
    ($name:ident, $test:ident) => {
        mod $name {
            use super::*;

            fn on(machine: impl Into<Machine>, user: User, mechanism: &str) {
                let machine = machine.into();
                if let Some(why) = machine.unavailable(user) {
                    skip!("{why}");
                }
                $test(user, machine, mechanism);
            }

            #[test]
            fn control_group() {
                on(Machine::Full, User::Root, "pids control group");
            }

            #[test]
            fn rlimit() {
                on(Without::Cgroup, User::Ordinary, "RLIMIT_NPROC in the box's user namespace");
            }

            #[test]
            fn counted_for_root() {
                on(Without::Cgroup, User::Root, "notification of fork, vfork and clone");
            }

            #[test]
            fn counted_for_an_ordinary_user() {
                on(Without::UserNamespace, User::Ordinary, "notification of fork, vfork and clone");
            }

            #[test]
            fn counted_by_a_tracer_for_root() {
                on(Machine::Traced(Some(Without::Cgroup)), User::Root, "ptrace stops at fork, vfork and clone");
            }

            #[test]
            fn counted_by_a_tracer_for_an_ordinary_user() {
                on(
                    Machine::Traced(Some(Without::UserNamespace)),
                    User::Ordinary,
                    "ptrace stops at fork, vfork and clone",
                );
            }
        }
    };
}

/// The run took the road that is being tested; otherwise this machine has another one.
macro_rules! takes_road {
    ($ran:expr, $mechanism:expr) => {
        if mechanism(&$ran) != $mechanism {
            skip!("the limit is enforced by {:?} here", mechanism(&$ran));
        }
    };
}

fn exact_on_every_road(user: User, machine: Machine, by: &str) {
    for road in ["fork", "vfork", "clone", "clone3", "thread"] {
        let ran = tasks(&["forkroads", road], 12).as_user(user).on(machine).go();
        takes_road!(ran, by);
        let again = if road == "thread" { 0 } else { 10 };
        ran.expect_ok().expect_stdout(format!("12 EAGAIN\nagain {again}\n"));
    }
}

roads!(the_limit_is_exact_on_every_road, exact_on_every_road);

fn nothing_drifts(user: User, machine: Machine, by: &str) {
    let count = if full_drill() { "100000" } else { "1500" };
    for how in ["wait", "nohang", "ignored", "crash", "orphan", "thread", "alarm"] {
        let ran = tasks(&["shortlived", count, how], 12).wall("600s").patience(std::time::Duration::from_secs(600));
        let ran = ran.as_user(user).on(machine).go();
        takes_road!(ran, by);
        ran.expect_ok().expect_stdout(format!("{count} 12 EAGAIN\n"));
    }
}

roads!(nothing_drifts_after_many_short_lives, nothing_drifts);

fn no_race_gets_one_too_many(user: User, machine: Machine, by: &str) {
    let ran = tasks(&["forkrace", "12", "1000"], 16).as_user(user).on(machine).go();
    takes_road!(ran, by);
    ran.expect_ok();
    let out = ran.out();
    let words: Vec<&str> = out.split_whitespace().collect();
    let most: u32 = words[1].parse().expect("a number");
    ran.check(most <= 16, "one too many");
    // Those that were there were not all there to say so at the same moment.
    ran.check(most >= 8 && words[3] == "1", "the limit was reached and calls were refused");
}

roads!(callers_at_the_same_time_do_not_exceed_it, no_race_gets_one_too_many);

/// A refused fork is the verdict only where the run then ends otherwise than well; and where it is counted, it is never missed.
#[test]
fn a_refusal_that_was_counted_is_the_verdict_of_a_run_that_fails() {
    let machine = Machine::from(Without::UserNamespace);
    let failing = tasks(&["forklimit", "1"], 10).as_user(User::Ordinary).on(machine).go();
    takes_road!(failing, "notification of fork, vfork and clone");
    failing.expect_verdict("process_limit").expect_exit(123).expect_stdout("10 EAGAIN\n");
    failing.check(hit(&failing.report, "processes")["limit_value"] == 10, "the hit names the limit");
    failing.check(failing.report["denials"] == serde_json::json!([]), "a limit is no denial");
    tasks(&["forklimit", "0"], 10).as_user(User::Ordinary).on(machine).go().expect_ok();
    let below = tasks(&["forkroads", "fork"], 600).as_user(User::Ordinary).on(machine).go();
    below.check(hit(&below.report, "processes").is_null(), "nothing was refused");
}

#[test]
fn explain_says_which_road_and_what_it_costs() {
    let machine = Machine::from(Without::UserNamespace);
    let words = ["explain", "--processes", "8", "--", "true"];
    let ran = tipstaff_testkit::tipstaff_command(words).as_user(User::Ordinary).on(machine).go();
    let out = ran.out();
    let line = out.lines().find(|line| line.starts_with("limits.processes")).unwrap_or_default();
    if line.contains("control group") {
        skip!("this user has a pids control group");
    }
    ran.check(line.contains("notification of fork, vfork and clone"), "the mechanism");
    ran.check(out.contains("EINTR"), "what it costs");
}

/// Bombs of every kind, as an ordinary user without control groups: each ends, with the right verdict, and nothing of it is left.
mod bombs {
    use std::time::Duration;

    use super::*;

    fn ends(program: &[&str], limit: impl Fn(Run) -> Run, verdict: &str) -> Option<Ran> {
        let machine = without_groups(User::Ordinary)?;
        let mark = tipstaff_testkit::marker();
        let bomb = run(program.iter().copied()).profile("judge").memory("64MiB").cpu("10s").wall("20s");
        let ran = limit(bomb.arg(&mark)).as_user(User::Ordinary).on(machine).go();
        ran.expect_verdict(verdict);
        // How late the end may be on an idle machine is a figure of the drill; on a busy one it proves nothing.
        if let (true, Some(at)) = (full_drill(), ran.report["limits_hit"][0]["at_ns"].as_u64()) {
            let late = Duration::from_nanos(ran.report["wall_ns"].as_u64().unwrap_or(u64::MAX).saturating_sub(at));
            ran.check(late < Duration::from_millis(500), format_args!("the end came {late:?} after the limit"));
        }
        let left = tipstaff_testkit::await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
        Some(ran)
    }

    macro_rules! bomb {
        ($name:ident, $program:expr, $verdict:expr, |$run:ident| $limit:expr) => {
            #[test]
            fn $name() {
                if ends(&$program, |$run| $limit, $verdict).is_none() {
                    skip!("no machine without control groups");
                }
            }
        };
        ($name:ident, $program:expr, $verdict:expr) => {
            bomb!($name, $program, $verdict, |run| run);
        };
    }

    bomb!(forks, ["forkbomb"], "time_limit", |run| run.processes(32).cpu("500ms"));
    bomb!(threads, ["threadbomb"], "process_limit", |run| run.processes(32));
    bomb!(memory, ["memhog", "anonymous", "4096", "60000"], "memory_limit");
    bomb!(memory_of_many, ["forkhog", "8", "40"], "memory_limit");
    bomb!(memory_in_files, ["deepdirs", "many"], "memory_limit", |run| run.cpu("60s").wall("60s"));
    bomb!(descriptors, ["fdexhaust", "10"], "ok", |run| run.option("--open-files", "64"));
    bomb!(output, ["flood", "400000000", "65536", "1"], "output_limit", |run| run.output("1MiB"));
    bomb!(depth, ["deepdirs", "1000000000"], "time_limit", |run| run.memory("1GiB").cpu("1s"));
}
