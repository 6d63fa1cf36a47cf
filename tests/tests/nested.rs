//! A box in a box, with every engine outside and inside: limits, verdicts and refusals are right at both levels.
use serde_json::Value;
use tipstaff_testkit::{Ran, Run, Scratch, User, guest, run, tipstaff};

use crate::both;

const ENGINES: [&str; 3] = ["native", "notify", "ptrace"];

/// The engines of a box and of the box in it.
#[derive(Clone, Copy, Debug)]
struct Pair {
    outer: &'static str,
    inner: &'static str,
}

impl Pair {
    /// What lets a box in the outer one have a listener.
    fn listener(self) -> Option<&'static str> {
        match (self.outer, self.inner) {
            ("native", "notify") => Some("native"),
            ("ptrace" | "auto", "notify") => Some("emulate"),
            _ => None,
        }
    }

    fn run(self, user: User, outer: &[(&str, &str)], inner: &[&str], program: &[&str]) -> Ran {
        self.command(user, outer, inner, program).go()
    }

    fn command(self, user: User, outer: &[(&str, &str)], inner: &[&str], program: &[&str]) -> Run {
        let command = tipstaff().display().to_string();
        let guest = guest(program[0]).display().to_string();
        let dirs = [&command, &guest].map(|path| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned());
        let mut words = vec![command.as_str(), "run", "--engine", self.inner, "--quiet", "--report", "-"];
        for dir in &dirs {
            words.extend(["--exec", dir]);
        }
        words.extend(inner);
        words.push("--");
        words.push(&guest);
        words.extend(&program[1..]);
        let mut run = run(words).option("--engine", self.outer).as_user(user);
        for dir in &dirs {
            run = run.option("--exec", dir).option("--read", dir);
        }
        let said = outer.iter().any(|(option, _)| *option == "--guest-listener");
        if let Some(how) = self.listener().filter(|_| !said) {
            run = run.option("--guest-listener", how);
        }
        for (option, value) in outer {
            run = run.option(option, value);
        }
        run
    }
}

/// The inner box's report: behind the program's output.
fn inner(ran: &Ran) -> Value {
    let out = ran.out();
    let report = &out[out.find("{\"schema\"").unwrap_or(0)..];
    serde_json::from_str(report).unwrap_or_else(|e| panic!("no report: {e}: {out}"))
}

fn both_levels(ran: &Ran, verdict: &str, code: i64) -> Value {
    let report = inner(ran);
    assert_eq!(report["verdict"], verdict, "{report}");
    assert_eq!(ran.report["exit_code"], code, "the command's own exit status, as a program's");
    ran.check(ran.verdict() == if code == 0 { "ok" } else { "nonzero_exit" }, "the outer box has ended nothing");
    report
}

fn endings(user: User, pair: Pair) {
    let report = both_levels(&pair.run(user, &[], &[], &["exit", "3"]), "nonzero_exit", 3);
    assert_eq!(report["exit_code"], 3);
    let report = both_levels(&pair.run(user, &[], &[], &["raise", "15"]), "signaled", 143);
    assert_eq!(report["signal"]["name"], "SIGTERM");
}

fn inner_limits(user: User, pair: Pair) {
    let limited = |inner: &[&str], program: &[&str], verdict, code| {
        both_levels(&pair.run(user, &[("--wall", "60s")], inner, program), verdict, code)
    };
    assert_eq!(limited(&["--cpu", "100ms"], &["spin"], "time_limit", 124)["clock"], "cpu");
    assert_eq!(limited(&["--wall", "100ms"], &["sleeper"], "time_limit", 124)["clock"], "wall");
    limited(&["--memory", "32MiB"], &["hog"], "memory_limit", 122);
    limited(&["--output", "4KiB"], &["flood"], "output_limit", 123);
    // Exactly so many, and no more; and whose own ending is good ends well.
    let ran = pair.run(user, &[("--wall", "60s")], &["--processes", "8"], &["forklimit", "0"]);
    if pair.inner == "native" {
        // No control group, uid 0 or no user namespace, and nobody is asked: it says so.
        both_levels(&ran, "launch_failed", 125);
        ran.check(ran.err().contains("limits.processes") && ran.err().contains("--engine auto"), "the cure");
        return;
    }
    both_levels(&ran, "ok", 0);
    ran.check(ran.out().starts_with("8 EAGAIN\n"), "the limit of tasks");
}

fn outer_limits(user: User, pair: Pair) {
    // What the inner box does counts in the outer one, and goes with it.
    let ran = pair.run(user, &[("--cpu", "200ms")], &[], &["spin"]);
    ran.expect_verdict("time_limit").expect_exit(124);
    assert_eq!(ran.report["clock"], "cpu");
    let ran = pair.run(user, &[("--wall", "300ms")], &["--wall", "50s"], &["sleeper"]);
    ran.expect_verdict("time_limit").expect_exit(124);
    // Where memory is sampled a box refuses Landlock, on which the inner box stands: rulesets are memory that no sample sees.
    let scratch = Scratch::new(user);
    let profile = scratch.file("p.toml", "extends = \"default\"\n[syscalls]\nallow = [\"landlock_create_ruleset\"]\n");
    let profile = profile.display().to_string();
    let outer = [("--profile", profile.as_str()), ("--memory", "96MiB"), ("--wall", "60s")];
    let ran = pair.run(user, &outer, &["--memory", "4GiB"], &["hog"]);
    ran.expect_verdict("memory_limit").expect_exit(122);
}

fn refusals(user: User, pair: Pair) {
    let scratch = Scratch::new(user);
    let (seen, hidden) = (scratch.file("seen", "seen"), scratch.file("hidden", "hidden"));
    let [seen, hidden] = [&seen, &hidden].map(|path| path.display().to_string());
    let cat = |outer: &[(&str, &str)], inner_options: &[&str], path: &str| {
        let ran = pair.run(user, outer, inner_options, &["calls", &format!("cat={path}")]);
        let out = ran.out();
        both_levels(&ran, "ok", 0);
        out.lines().next().unwrap_or_default().to_owned()
    };
    let both = [("--read", seen.as_str())];
    assert_eq!(cat(&both, &["--read", &seen], &seen), "cat OK seen", "what both allow");
    assert_ne!(cat(&both, &["--deny", &seen], &seen), "cat OK seen", "what the inner box denies");
    assert_ne!(cat(&both, &[], &seen), "cat OK seen", "what the inner box does not list");
    // A path that is not in the outer view is none that the inner box could list.
    let ran = pair.run(user, &both, &["--read", &hidden], &["calls", &format!("cat={hidden}")]);
    let lines = ran.err().lines().filter(|line| line.contains(&hidden)).count();
    ran.check(ran.code() == 125 && lines == 1, "one line");
}

macro_rules! pairs {
    ($($name:ident $outer:literal $inner:literal)*) => {$(
        mod $name {
            use super::*;
            const PAIR: Pair = Pair { outer: $outer, inner: $inner };
            both!(endings, |user| super::super::endings(user, PAIR));
            both!(inner_limits, |user| super::super::inner_limits(user, PAIR));
            both!(outer_limits, |user| super::super::outer_limits(user, PAIR));
            both!(refusals, |user| super::super::refusals(user, PAIR));
        }
    )*};
}

pairs! {
    native_in_native "native" "native"
    native_in_notify "notify" "native"
    native_in_ptrace "ptrace" "native"
    notify_in_native "native" "notify"
    notify_in_ptrace "ptrace" "notify"
    notify_in_auto "auto" "notify"
    ptrace_in_native "native" "ptrace"
    ptrace_in_notify "notify" "ptrace"
    ptrace_in_ptrace "ptrace" "ptrace"
}

both!(where_there_is_no_second_listener_it_says_so_in_one_line, |user| {
    for outer in ENGINES {
        let pair = Pair { outer, inner: "notify" };
        let ran = pair.run(user, &[("--guest-listener", "deny")], &[], &["exit", "0"]);
        assert_eq!(inner(&ran)["verdict"], "launch_failed");
        ran.check(
            ran.code() == 125 && ran.err().lines().filter(|line| line.starts_with("tipstaff: cannot")).count() == 1,
            "one line",
        );
        ran.check(ran.err().contains("listener") && ran.err().contains("--guest-listener native"), "no cure");
    }
});

both!(a_default_box_in_a_default_box_is_judged_too, |user| {
    // What is tried first: no options at all, and a preset with limits.
    let pair = Pair { outer: "auto", inner: "auto" };
    both_levels(&pair.run(user, &[], &[], &["exit", "3"]), "nonzero_exit", 3);
    let ran = pair.run(user, &[], &["--profile", "judge"], &["forklimit", "0"]);
    let report = both_levels(&ran, "ok", 0);
    let rules = report["enforcement"].as_array().cloned().unwrap_or_default();
    let rule = rules.iter().find(|rule| rule["rule"] == "limits.processes").expect("the limit of tasks");
    assert_eq!(rule["level"], "full", "{rule}");
});
