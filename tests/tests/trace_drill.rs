//! Drills of tracing, in their small sizes; `tipstaff-bench drill` has the large ones.
use std::time::{Duration, Instant};

use serde_json::Value;
use tipstaff_testkit::{Ran, Run, Scratch, Signal, User, await_no_survivor, guest, marker, plain, tipstaff_command};

use crate::both;

fn trace(options: &[&str], program: &[&str]) -> Run {
    let words = ["trace"].iter().chain(options).chain(&["--"]).chain(program);
    tipstaff_command(words).patience(Duration::from_secs(550))
}

fn path(name: &str) -> String {
    guest(name).display().to_string()
}

both!(sixty_four_threads_lose_no_call, |user| {
    let calls: u64 = if crate::full_drill() { 1_000_000 } else { 10_000 };
    let out = Scratch::new(user);
    let file = out.join("summary").display().to_string();
    let options = ["-q", "-c", "-e", "getpriority", "-o", &file, "--json"];
    let ran = trace(&options, &[&path("callcount"), "64", &calls.to_string()]).as_user(user).go();
    ran.expect_exit(0).expect_stdout(format!("{}\n", 64 * calls));
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a summary")).expect("JSON");
    let seen = &summary["tables"][0]["calls"][0];
    ran.check(seen["name"] == "getpriority" && seen["calls"] == 64 * calls, format_args!("seen: {seen}"));
});

both!(pipelines_end_and_are_not_interrupted, |user| {
    let n = if crate::full_drill() { 100_000 } else { 2_000 };
    let out = Scratch::new(user);
    let file = out.join("failed").display().to_string();
    let script = format!("i=0; while [ $i -lt {n} ]; do echo a | cat | cat || exit 1; i=$((i+1)); done");
    let options = ["-q", "-e", "status=failed", "-e", "signal=none", "-o", &file];
    let ran = trace(&options, &["/bin/dash", "-c", &script]).as_user(user).go();
    ran.expect_exit(0).expect_stdout("a\n".repeat(n));
    let failed = std::fs::read_to_string(&file).expect("a trace");
    let interrupted: Vec<_> = failed.lines().filter(|line| line.contains(" EINTR")).collect();
    // Positive control: failures are there to be seen.
    ran.check(failed.contains(" ENOENT") && interrupted.is_empty(), format_args!("{interrupted:?}"));
});

both!(execs_from_threads_amid_signals, |user| {
    let n = if crate::full_drill() { "20000" } else { "300" };
    let storm = |options: &[&str]| trace(options, &[&path("execstorm"), n]).as_user(user).go();
    storm(&["-q", "-c", "-o", "/dev/null"]).expect_exit(42);
    storm(&["-q", "-e", "execve", "-o", "/dev/null"]).expect_exit(42);
});

both!(a_killed_tracer_leaves_no_tracee, |user| {
    for point in 0..20 {
        let mark = marker();
        let started = trace(&["-o", "/dev/null"], &[&path("tree"), &mark]).as_user(user).start();
        if point % 4 == 0 {
            started.await_output("ready", 1);
        }
        // The moment is the point of the drill: nothing is awaited here.
        std::thread::sleep(Duration::from_micros(point * 1_700));
        started.signal(Signal::KILL);
        let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        assert!(left.is_empty(), "point {point}: {left:?}");
        started.finish_anyhow();
    }
});

both!(a_killed_tracer_leaves_what_it_was_attached_to, |user| {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if user == User::Ordinary && !matches!(scope.trim(), "" | "0") {
        tipstaff_testkit::skip!("Yama forbids to attach");
    }
    let script = "i=0; while [ $i -lt 1000 ]; do /bin/true || exit 9; i=$((i+1)); done; exit 6";
    let target = plain(["/bin/sh", "-c", script]).as_user(user).patience(Duration::from_secs(550)).start();
    let mut attached = 0;
    for point in 0..8 {
        let pid = target.pid().to_string();
        let tracer = tipstaff_command(["trace", "-o", "/dev/null", "-p", &pid]).as_user(user).start();
        let begun = Instant::now();
        while !traced(target.pid()) && begun.elapsed() < Duration::from_secs(5) {}
        attached += u32::from(traced(target.pid()));
        std::thread::sleep(Duration::from_micros(point * 900));
        tracer.signal(Signal::KILL);
        let _: Ran = tracer.finish_anyhow();
    }
    target.finish().expect_exit(6);
    assert!(attached > 0, "never attached");
});

fn traced(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|by| by.trim() != "0"))
}

both!(several_threads_execute_while_others_are_made, |user| {
    let out = Scratch::new(user);
    let file = out.join("trace").display().to_string();
    for _ in 0..25 {
        trace(&["-q", "-o", &file], &[&path("execrace")]).as_user(user).go().expect_exit(42);
    }
});
