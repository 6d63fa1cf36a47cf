//! The notify engine as the command offers it.
use tipstaff_testkit::{Machine, User, Without, guest, run, tipstaff_command};

use crate::both;

/// The line of the report that tells the engine.
fn engine(ran: &tipstaff_testkit::Ran) -> String {
    let rules = ran.report["enforcement"].as_array().cloned().unwrap_or_default();
    let rule = rules.iter().find(|rule| rule["rule"].as_str().is_some_and(|rule| rule.starts_with("engine = ")));
    rule.map_or_else(String::new, |rule| format!("{} {}", rule["rule"], rule["mechanism"]))
}

both!(the_report_names_the_engine, |user| {
    let ran = run(["exit", "3"]).on(Machine::Notified(None)).as_user(user).go();
    ran.expect_verdict("nonzero_exit").expect_exit(3);
    ran.check(
        engine(&ran).contains("notify") && engine(&ran).contains("seccomp notification"),
        "the engine is not told",
    );
    // The control: without being asked for, and with nothing to ask, there is none.
    let ran = run(["exit", "3"]).as_user(user).go();
    ran.check(engine(&ran).is_empty(), "an engine that nobody needs");
});

both!(without_a_listener_it_is_refused_with_reason_and_cure, |user| {
    let machine = Machine::Notified(Some(Without::Listener));
    let ran = run(["exit", "0"]).on(machine).as_user(user).go();
    ran.expect_refused(machine);
    let said = ran.report["error"]["message"].as_str().unwrap_or_default().to_owned() + &ran.err();
    for word in ["EBUSY", "--engine", "ptrace"] {
        ran.check(said.contains(word), format_args!("the refusal does not say {word:?}"));
    }
    // The control: the same machine with the engine that needs none.
    run(["exit", "0"]).on(Machine::Traced(Some(Without::Listener))).as_user(user).go().expect_ok();
});

both!(explain_says_what_is_notified, |user| {
    let ran = tipstaff_command(["explain", "--engine", "notify"]).as_user(user).go();
    ran.expect_exit(0).check(ran.out().contains("seccomp notification of no call"), "the set is not shown");
});

both!(a_box_within_a_box, |user| {
    // The inner one finds a listener in its chain, and says so; natively it does not need one.
    let inner = tipstaff_testkit::tipstaff().display().to_string();
    let program = guest("exit").display().to_string();
    let nested = |engine: &str| {
        let words =
            [inner.as_str(), "run", "--engine", engine, "--best-effort", "--quiet", "--", program.as_str(), "0"];
        let dirs = [&inner, &program].map(|path| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned());
        let mut outer = run(words).on(Machine::Notified(None)).as_user(user);
        for dir in &dirs {
            outer = outer.option("--exec", dir).option("--read", dir);
        }
        outer.go()
    };
    let ran = nested("notify");
    ran.check(ran.code() == 125 && ran.err().contains("listener"), "no reason");
});

both!(three_boxes_in_each_other, |user| {
    let inner = tipstaff_testkit::tipstaff().display().to_string();
    let program = guest("exit").display().to_string();
    let dirs = [&inner, &program].map(|path| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned());
    let [first, second] = &dirs;
    let boxed = [inner.as_str(), "run", "--quiet", "--exec", first, "--exec", second, "--"];
    let words: Vec<&str> = boxed.iter().chain(&boxed).copied().chain([program.as_str(), "7"]).collect();
    let ran = run(words).option("--exec", first).option("--exec", second).as_user(user).go();
    ran.check(ran.code() == 7, "the innermost program has run");
});

both!(what_the_default_profile_does_not_notify_is_not_interrupted, |user| {
    // natively none of these ever returns EINTR; a call that waits for its notification to be received would.
    for call in ["fork", "vfork", "openat", "connect", "close"] {
        let ran = run(["interrupted", call, "1000"]).on(Machine::Notified(None)).as_user(user).go();
        ran.expect_ok().check(ran.out().starts_with(&format!("{call} 1000 EINTR 0 ")), "EINTR");
    }
});

both!(dash_pipelines_end, |user| {
    let n = if crate::full_drill() { 100_000 } else { 2_000 };
    let script = format!("i=0; while [ $i -lt {n} ]; do echo a | cat | cat || exit 1; i=$((i+1)); done");
    let ran = run(["/bin/dash", "-c", &script])
        .on(Machine::Notified(None))
        .as_user(user)
        .patience(std::time::Duration::from_secs(600))
        .go();
    ran.expect_ok().expect_stdout("a\n".repeat(n));
    ran.check(!ran.err().contains("Cannot fork"), "a fork was interrupted");
});

#[test]
fn auto_takes_what_there_is() {
    // A rule that has to be asked about, on a machine without a listener: the tracer answers.
    let machine = Machine::Without(Without::Listener);
    if machine.unavailable(User::Ordinary).is_some() {
        tipstaff_testkit::skip!("no machine without a listener");
    }
    let net = |machine: Machine| {
        run(["exit", "0"]).option("--net", "tcp://127.0.0.1:9").option("--net-deny", "127.0.0.2").on(machine).go()
    };
    let with = net(Machine::Full);
    if engine(&with).is_empty() {
        tipstaff_testkit::skip!("the kernel decides this rule by itself here");
    }
    with.expect_ok().check(engine(&with).contains("notify"), "not the engine of choice");
    let without = net(machine);
    without.expect_ok().check(engine(&without).contains("ptrace"), "not the engine that is left");
}
