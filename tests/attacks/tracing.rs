//! P: what a tracer can get wrong.
use tipstaff_testkit::{guest, marker, survivors};

use crate::attacks;
use crate::case::Case;

attacks! {
    P1 "storms of stops" => tried(native notify ptrace: stop_storm);
    P2 "stops of job control taken for others" => tried(native notify ptrace: stop_storm)
        + held("tests/tests/control.rs": what_job_control_had_stopped_stays_stopped a_parent_does_not_see_its_child_stop);
    P3 "stops that pause a clock" => tried(native notify ptrace: stopped_for_ever) + held("tests/tests/matrix.rs": stopped);
    P4 "a tracer that dies" => held("crates/tipstaff/tests/handlers/ending.rs": nobody_survives_root nobody_survives_an_ordinary_user
        nobody_survives_without_namespaces, "tests/tests/trace.rs": a_kill_of_the_tracer_ends_what_it_started);
    P5 "an exec by a thread that is not the first" => tried(native notify ptrace: exec_of_a_thread);
    P6 "a parent that waits in vfork" => tried(native notify ptrace: vforks)
        + held("crates/tipstaff/tests/handlers/exec.rs": approved_execs_of_every_form_run);
    P7 "a program that asks to be traced" => tried(native notify ptrace: asks_to_be_traced)
        + held("tests/tests/matrix.rs": asks_to_be_traced);
    P8 "a child that wants no tracer" => held("crates/tipstaff/tests/handlers/outranked.rs": no_child_is_untraced
        a_child_is_untraced_where_nobody_minds, "crates/trace/src/untraced.rs": an_untraced_child_is_killed_with_its_maker);
    P9 "a child that is seen before its birth is told" => held("crates/tipstaff/tests/policy/births.rs": many_at_once_all_succeed
        a_process_has_not_run_when_it_is_known);
    P10 "a tracee that is killed in its stop" => tried(native notify ptrace: killed_in_stops)
        + held("crates/tipstaff/tests/handlers/deferral.rs": a_waiting_thread_may_vanish);
    P11 "a host that waits for every child" => tried(native notify ptrace: strangers_children);
    P12 "a leader that ends before its threads" => tried(native notify ptrace: leader_exits) + held("tests/tests/matrix.rs": leader_exits_first);
    P13 "a changed call that the kernel makes again" => held("crates/tipstaff/tests/handlers/signals.rs":
        an_edit_is_applied_once_however_often_the_call_is_restarted interrupted_calls_are_what_they_are_natively);
    P14 "registers of another architecture" => held("crates/tipstaff/tests/handlers/basics.rs": calls_of_another_architecture_are_an_error,
        "tests/tests/record.rs": calls_of_other_architectures_are_told_apart);
    P15 "debuggers and sanitizers inside" => held("tests/tests/guest_ptrace.rs": gdb_breaks_steps_and_watches sanitizers_find_leaks
        strace_sees_calls_signals_and_ends, "crates/tipstaff/tests/notify_engine/inside.rs": leak_sanitizer_works gdb_works);
    P16 "a kill of what stands in a stop" => tried(native notify ptrace: killed_in_stops)
        + held("crates/tipstaff/tests/handlers/deferral.rs": a_kill_ends_a_box_that_waits_for_a_decision);
}

fn stop_storm(case: &Case) {
    let free = case.free(["stopstorm", "300"]).go();
    free.expect_exit(0);
    case.boxed(["stopstorm", "300"]).wall("50s").go().expect_ok();
    // Without end: the limit fires all the same.
    let ran = case.boxed(["stopstorm", "1000000000"]).wall("500ms").go();
    ran.expect_verdict("time_limit");
    ran.check(ran.report["clock"] == "wall", "the storm ends by the wall clock");
}

fn stopped_for_ever(case: &Case) {
    // The control: who stops nobody is at the end before either clock.
    let run = case.boxed(["exit", "0"]).profile("judge").wall("40s");
    run.option("--idle", "20s").go().expect_ok();
    let ran = case.boxed(["stopself"]).profile("judge").wall("400ms").go();
    ran.expect_verdict("time_limit");
    ran.check(ran.report["clock"] == "wall", "who stops himself is ended by the wall clock");
    let ran = case.boxed(["stopself"]).profile("judge").option("--idle", "300ms").wall("40s").go();
    ran.expect_verdict("time_limit");
    ran.check(ran.report["clock"] == "idle", "or by the idle clock");
}

fn exec_of_a_thread(case: &Case) {
    case.free(["threadexec"]).arg(guest("exit")).arg("3").go().expect_exit(3);
    case.boxed(["threadexec"]).arg(guest("exit")).arg("3").go().expect_verdict("nonzero_exit").expect_exit(3);
    let ran = case.boxed(["execstorm", "40"]).wall("50s").go();
    ran.expect_verdict("nonzero_exit").expect_exit(42);
}

fn vforks(case: &Case) {
    let script = "i=0; while [ $i -lt 40 ]; do /bin/true | /bin/true; i=$((i + 1)); done; echo done";
    case.free(["/bin/sh", "-c", script]).go().expect_exit(0).expect_stdout("done\n");
    case.boxed(["/bin/sh", "-c", script]).wall("50s").go().expect_ok().expect_stdout("done\n");
    case.boxed(["attacktasks", "leave", "exit", "x", "vfork"]).wall("50s").go().expect_ok();
}

fn asks_to_be_traced(case: &Case) {
    // The control: outside its parent is no debugger either, and its stop lasts; here somebody ends it.
    let ran = case.boxed(["traceme"]).profile("judge").go();
    ran.check(ran.verdict() != "time_limit" && !ran.report.is_null(), "it ends");
    let ran = case.boxed(["attacktasks", "leave", "exit", "x", "traced"]).profile("default").wall("50s").go();
    ran.expect_ok();
}

fn killed_in_stops(case: &Case) {
    let mark = marker();
    let start = case
        .boxed(["attacktasks", "leave", "stay", &mark, "stopped", "traced", "vfork", "leaderless"])
        .wall("60s")
        .start();
    start.await_output("ready", 1);
    assert!(survivors(&mark).len() >= 5, "the control: they stand");
    start.signal(tipstaff_testkit::Signal::INT);
    start.signal(tipstaff_testkit::Signal::INT);
    let ran = start.finish();
    let left = tipstaff_testkit::await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
}

fn leader_exits(case: &Case) {
    case.free(["leaderexit", "4"]).go().expect_exit(4);
    case.boxed(["leaderexit", "4"]).go().expect_verdict("nonzero_exit").expect_exit(4);
}

/// Children that the command has not made: whoever executes it leaves it his own.
fn strangers_children(case: &Case) {
    let mark = marker();
    let quick = "(exit 7) & (sleep 0.02; exit 9) &";
    let sleeper = guest("sleeper").display().to_string();
    let tipstaff = tipstaff_testkit::tipstaff().display();
    let script = format!(
        "{quick} {sleeper} 600 {mark} >/dev/null 2>&1 & exec {tipstaff} run --quiet --engine {} -- /bin/sh -c 'sleep 0.1; exit 3'",
        case.engine
    );
    case.free(["/bin/bash", "-c", &script]).go().expect_exit(3);
    let left = survivors(&mark);
    let sleeps = left.iter().filter(|process| process.command.starts_with(&sleeper)).count();
    tipstaff_testkit::await_no_survivor(&mark, &[], std::time::Duration::ZERO);
    assert_eq!(sleeps, 1, "the stranger was ended or waited for: {left:?}");
    // The control: who waits for anybody gets somebody else's status.
    let script = "sleep 600 >/dev/null 2>&1 & own=$!; (exit 7) & wait -n; status=$?; kill $own; exit $status";
    case.free(["/bin/bash", "-c", script]).go().expect_exit(7);
}
