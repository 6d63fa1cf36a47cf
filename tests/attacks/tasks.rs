//! E: processes that outlive the box, and signals that leave it.
use std::time::{Duration, Instant};

use tipstaff_testkit::{
    Machine, Ran, Run, Scratch, Signal, Started, Without, await_no_survivor, descendants, marker, survivors,
};

use crate::attacks;
use crate::case::{Case, refused, works};

attacks! {
    E1 "sessions and process groups of their own" => tried(native notify ptrace: leavers)
        + held("tests/tests/leftovers.rs": daemons_are_gone_when_the_command_ends daemons_are_gone_on_poorer_machines);
    E2 "daemons by double fork, their streams closed" => tried(native notify ptrace: leavers);
    E3 "background children after a normal end" => tried(native notify ptrace: leavers)
        + held("tests/tests/leftovers.rs": every_ending_cleans_up);
    E4 "PDEATHSIG cleared, or never had" => tried(native notify ptrace: killed_supervisor);
    E5 "a subreaper of their own that hides orphans" => tried(native notify ptrace: leavers);
    E6 "the supervisor killed by SIGKILL" => tried(native notify ptrace: killed_supervisor)
        + held("tests/tests/kill_drill.rs": no_survivor_at_any_moment a_killed_supervisor_on_a_poorer_machine,
            "crates/tipstaff/tests/notify_engine/killed.rs": nothing_survives);
    E7 "the supervisor stopped or killed from inside" => tried(native notify ptrace: signals_to_the_supervisor)
        + held("tests/tests/isolation.rs": the_box_cannot_stop_its_supervisor nobody_outside_can_be_signalled_without_namespaces);
    E8 "a signal to everybody" => tried(native notify ptrace: signals_to_everybody);
    E9 "signals that the kernel sends on a guest's order" => tried(native notify ptrace: signals_by_the_kernel)
        + held("crates/policy/src/base/tests.rs": terminals_tasks_and_files);
    E10 "a process group of a number that another has now" => tried(native notify ptrace: number_of_another);
    E11 "tasks that no signal ends" => tried(native notify ptrace: endless_sleep)
        + held("tests/tests/control.rs": a_task_in_vfork_is_told_and_does_not_hold_a_pause_up,
        "tests/tests/isolation.rs": only_its_own_processes_are_seen);
    E12 "services of the host that start programs" => held("tests/tests/review.rs": unix_sockets_of_the_host_are_out_of_reach,
        "tests/tests/net.rs": nothing_on_the_host_is_reached nothing_is_reached_on_poorer_machines);
    E13 "a caller that ignores or blocks signals" => held("tests/tests/isolation.rs": signal_state_is_fresh);
    E14 "a program that runs before its limits do" => tried(native notify ptrace: limits_from_the_first_call);
}

const KINDS: [&str; 11] = [
    "session",
    "group",
    "daemon",
    "subreaper",
    "deaf",
    "stopped",
    "vfork",
    "leaderless",
    "pdeathsig",
    "sibling",
    "untraced",
];

/// This machine, and those on which something else keeps count.
fn machines(case: &Case) -> Vec<Option<Without>> {
    let poorer = [Without::Cgroup, Without::Namespaces].map(Some);
    [None]
        .into_iter()
        .chain(poorer)
        .filter(|m| m.is_none_or(|without| Machine::from(without).unavailable(case.user).is_none()))
        .collect()
}

fn on(run: Run, without: Option<Without>) -> Run {
    match without {
        Some(without) => run.without(without),
        None => run,
    }
}

/// Those that an item is about.
fn kinds(case: &Case) -> &'static [&'static str] {
    match case.item {
        "E1" => &["session", "group", "deaf", "stopped"],
        "E2" => &["daemon", "vfork", "sibling"],
        "E3" => &["leaderless", "untraced"],
        "E5" => &["subreaper"],
        _ => &KINDS,
    }
}

fn leave(run: Run, how: &str, mark: &str, kinds: &[&str]) -> Run {
    let run = run.arg("leave").arg(how).arg(mark);
    kinds.iter().fold(run, Run::arg)
}

#[track_caller]
fn nobody_is_left(ran: &Ran, mark: &str) {
    let left = await_no_survivor(mark, &[], tipstaff_testkit::GONE);
    ran.check(left.is_empty(), format_args!("survivors: {left:#?}"));
}

fn leavers(case: &Case) {
    let mark = marker();
    // The control: they stand, and outside a box they stay. The search ends them.
    let free = leave(case.free(["attacktasks"]), "exit", &mark, kinds(case)).start();
    free.await_output("ready", 1);
    assert!(!survivors(&mark).is_empty(), "the control leaves nobody");
    assert!(!await_no_survivor(&mark, &[], Duration::ZERO).is_empty());
    await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    drop(free);
    for machine in machines(case) {
        for how in ["exit", "stay"] {
            let mark = marker();
            let start = on(leave(case.boxed(["attacktasks"]), how, &mark, kinds(case)), machine).wall("50s").start();
            // One ends by itself, the other when somebody says so.
            if how == "stay" && stands(&start) {
                start.signal(Signal::TERM);
            }
            let ran = start.finish();
            if ran.refused() {
                ran.expect_refused(machine.map_or(Machine::Full, Machine::from));
                continue;
            }
            works(&ran, kinds(case));
            ran.expect_verdict(if how == "exit" { "ok" } else { "signaled" });
            nobody_is_left(&ran, &mark);
        }
    }
}

fn killed_supervisor(case: &Case) {
    for machine in machines(case) {
        let mark = marker();
        let start = on(leave(case.boxed(["attacktasks"]), "stay", &mark, kinds(case)), machine).wall("60s").start();
        if !stands(&start) {
            start.finish().expect_refused(machine.map_or(Machine::Full, Machine::from));
            continue;
        }
        let known = descendants(start.pid());
        assert!(survivors(&mark).len() >= KINDS.len(), "the control: they are seen while the box lives");
        start.signal(Signal::KILL);
        let left = await_no_survivor(&mark, &known, tipstaff_testkit::GONE);
        assert!(left.is_empty(), "{machine:?}: survivors: {left:#?}");
        start.finish_anyhow();
    }
}

/// Waits until the guest says that all stand; false if the command ended before.
fn stands(start: &Started) -> bool {
    let begun = Instant::now();
    while !start.said("ready") {
        if start.ends(Duration::from_millis(2)) && !start.said("ready") {
            return false;
        }
        assert!(begun.elapsed() < Duration::from_secs(50), "the guest says nothing");
    }
    true
}

fn signals_to_the_supervisor(case: &Case) {
    for machine in [None, Some(Without::Namespaces)] {
        let scratch = Scratch::new(case.user);
        let script = "while [ ! -s $1/pid ]; do :; done; exec $2 $(cat $1/pid)";
        let (dir, guest) = (scratch.path().display().to_string(), tipstaff_testkit::guest("signalout"));
        let guests = guest.parent().expect("a directory");
        let run = case.boxed(["/bin/sh", "-c", script, "sh", &dir]).arg(&guest).option("--read", &dir);
        let start = on(run.option("--read", guests).option("--exec", guests), machine).wall("30s").start();
        // Whole at once, so that half a number is never read.
        scratch.file("part", start.pid().to_string());
        std::fs::rename(scratch.join("part"), scratch.join("pid")).expect("own file");
        let ran = start.finish();
        if ran.refused() {
            ran.expect_refused(machine.map_or(Machine::Full, Machine::from));
            continue;
        }
        ran.expect_ok();
        for way in ["kill", "kill_group", "tgkill", "tkill", "sigqueue", "pidfd", "setpriority"] {
            ran.check(ran.json()[way] != "OK", format_args!("{way} reaches the supervisor"));
        }
        ran.check(ran.json()["self"] == "OK", "the control");
    }
    let mine = std::process::id().to_string();
    let free = case.free(["signalout", &mine]).go();
    if case.is_root() {
        assert_eq!(free.json()["kill"], "OK", "the control reaches this test");
    }
}

fn signals_to_everybody(case: &Case) {
    // A bystander of the same user, whom SIGWINCH would end with 40 + 28.
    const SIGWINCH: &str = "28";
    for machine in [None, Some(Without::Namespaces)] {
        let bystander = case.free(["sigwait"]).start();
        bystander.await_output("ready", 1);
        let ran = on(case.boxed(["attacktasks", "everybody", SIGWINCH]), machine).go();
        if ran.refused() {
            ran.expect_refused(machine.map_or(Machine::Full, Machine::from));
        } else {
            ran.expect_ok();
            works(&ran, &["alive", "group"]);
        }
        ran.check(!bystander.ends(Duration::from_millis(20)), "a process outside got the signal");
        // The control: it would have ended it.
        bystander.signal(Signal::WINCH);
        bystander.finish().expect_exit(40 + 28);
    }
}

fn signals_by_the_kernel(case: &Case) {
    let ran = case.boxed(["attacktasks", "exitsignal"]).go();
    ran.expect_ok().expect_stdout("alive OK\n");
    let ran = on(case.boxed(["attacktasks", "exitsignal"]), Some(Without::Namespaces)).go();
    if !ran.refused() {
        ran.expect_ok().expect_stdout("alive OK\n");
    }
    let ran = case.boxed(["attackcalls", "owner", "ioctl"]).go();
    refused(&ran, &["f_setown", "f_setown_ex", "f_setsig", "fiosetown", "siocspgrp"]);
    works(&case.free(["attackcalls", "owner"]).go(), &["f_setown", "f_setsig"]);
}

fn limits_from_the_first_call(case: &Case) {
    let ran = case.boxed(["attacktasks", "first"]).processes(1).go();
    ran.check(ran.out() == "first EAGAIN\n", "the first fork is over the limit");
    case.boxed(["attacktasks", "first"]).processes(2).go().expect_ok().expect_stdout("first OK\n");
    if case.is_root() {
        let ran = case.boxed(["/bin/cat", "/proc/self/cgroup"]).memory("64MiB").processes(8).go();
        ran.expect_ok();
        let source = ran.report["memory_source"].as_str().unwrap_or_default().to_owned();
        ran.check(
            !source.starts_with("cgroup") || ran.out().contains("tipstaff"),
            "the program begins outside its control group",
        );
    }
}

/// In a PID namespace of its own, whose next number can be said, and a box without one: a child of the box has led a group and is gone, and a bystander
/// has its number, as process and as group, when the box is ended.
pub(crate) fn number_of_another(case: &Case) {
    let scratch = Scratch::new(case.user);
    let profile = scratch.file("p.toml", "extends = \"default\"\n[isolation]\nnamespaces = \"none\"\n");
    let guest = tipstaff_testkit::guest("attacktasks");
    let script = r#"
        out=$1/out; : >$out
        $2 run --quiet --engine $3 --profile $4 --wall 60s --read ${5%/*} --exec ${5%/*} -- $5 numbers >$out 2>$1/err & box=$!
        while ! grep -q gone $out; do kill -0 $box 2>/dev/null || { cat $1/err; exit 3; }; sleep 0.02; done
        number=$(sed -n 's/^gone //p' $out)
        for try in 1 2 3 4 5 6 7 8 9; do
            echo $((number - 1)) >/proc/sys/kernel/ns_last_pid || exit 4
            setsid sleep 600 >/dev/null 2>&1 & other=$!
            [ $other = $number ] && break
            kill $other; wait $other
        done
        [ $other = $number ] || exit 5
        until [ "$(cut -d' ' -f5 /proc/$number/stat)" = $number ]; do sleep 0.01; done
        kill -TERM $box; kill -TERM $box; wait $box
        kill -0 $number && echo alive OK || echo alive ESRCH
        kill -KILL -- -$number; wait $number; kill -0 $number 2>/dev/null || echo ended OK"#;
    let mut words = vec!["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !case.is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    words.extend(["/bin/bash", "-c", script, "bash"]);
    let run = case.free(words).arg(scratch.path()).arg(tipstaff_testkit::tipstaff()).arg(case.engine);
    let ran = run.arg(profile).arg(guest).go();
    if ran.code() == 4 || ran.code() == 1 && ran.out().is_empty() {
        tipstaff_testkit::skip!("no PID namespace whose next number can be said: {}", ran.err().trim());
    }
    ran.expect_exit(0).expect_stdout("alive OK\nended OK\n");
}

/// A file system whose server is silent: who asks it sleeps, and SIGKILL does not wake him. The run ends all the same, and says so.
fn endless_sleep(case: &Case) {
    if !case.is_root() {
        tipstaff_testkit::skip!("a file system in user space is root's to mount here");
    }
    let scratch = Scratch::new(case.user);
    let dir = scratch.dir("dead");
    let free = case.free(["deadfs"]).arg(&dir).arg("--control").go();
    if free.code() == 77 {
        tipstaff_testkit::skip!("no such file system can be had: {}", free.err().trim());
    }
    works(&free, &["stays"]);
    let mark = marker();
    let report = scratch.join("report.json");
    let run = case.free(["deadfs"]).arg(&dir).arg(tipstaff_testkit::tipstaff());
    // Long enough for him to ask before it, beside whatever load.
    let run = ["run", "--quiet", "--engine", case.engine, "--wall", "3s"].iter().fold(run, Run::arg);
    let run = run.arg("--report").arg(&report).arg("--read").arg(&dir).arg("--").arg("/bin/cat");
    let ran = run.arg(dir.join(&mark)).go();
    ran.expect_exit(124);
    let text = std::fs::read(&report).expect("a report");
    let said: serde_json::Value = serde_json::from_slice(&text).expect("a report");
    ran.check(said["verdict"] == "time_limit" && said["clock"] == "wall", &said["verdict"]);
    let rule =
        said["enforcement"].as_array().into_iter().flatten().find(|rule| rule["rule"] == "nothing survives the box");
    let told =
        rule.is_some_and(|rule| rule["level"] == "weakened" && rule["why"].to_string().contains("no signal ends"));
    ran.check(told, "who is left is not told");
    // Its server has ended, and so has he.
    nobody_is_left(&ran, &mark);
}
