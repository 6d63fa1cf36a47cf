//! Nothing crosses from one run to the next, and nothing is left on the machine. These tests run
//! alone.
use std::time::Duration;

use tipstaff_testkit::{Machine, Traces, Under, User, Without, await_no_survivor, marker, plain, run};

use crate::both;

/// Long enough for a slow machine to take a control group away.
const SOON: Duration = Duration::from_secs(10);

both!(what_outlives_a_process_does_not_outlive_the_box, |user| {
    let before = Traces::now();
    let first = run(["leftover", "77001"]).as_user(user).go();
    first.expect_ok();
    // The same names again: O_EXCL and IPC_EXCL would say EEXIST.
    let second = run(["leftover", "77001"]).as_user(user).go();
    second.expect_ok();
    second.check(
        first.json() == second.json(),
        format_args!("the second run finds something of the first: {}", first.json()),
    );
    second.check(second.json()["shm"] == "OK" && second.json()["tmp"] == "OK", "there was something to leave");
    let left = before.await_nothing_new(SOON);
    assert!(left.is_empty(), "left on the machine: {left:#?}");
});

/// The check above can fail: the same guest outside a box leaves what the picture sees.
#[test]
fn outside_a_box_it_would_be_seen() {
    let user = User::Ordinary;
    let before = Traces::now();
    let control = plain(["leftover", "77002"]).as_user(user).go();
    control.expect_exit(0);
    let left = before.new_since();
    for what in ["System V shm 77002", "System V msg 77002", "System V sem 77002", "file /tmp/tipstaff-left-77002"] {
        assert!(left.iter().any(|line| line.starts_with(what)), "{what} is not seen in {left:#?}");
    }
    let script = "ipcrm -M 77002 -Q 77002 -S 77002; rm /tmp/tipstaff-left-77002 /dev/shm/tipstaff-left-77002";
    plain(["/bin/sh", "-c", script]).as_user(user).go().expect_exit(0);
}

both!(daemons_are_gone_when_the_command_ends, |user| {
    for kind in ["close", "hold"] {
        let mark = marker();
        let ran = run(["daemonize", kind, &mark]).wall("20s").as_user(user).go();
        ran.expect_ok();
        ran.check(ran.elapsed < Duration::from_secs(10), "the daemon delayed the verdict");
        let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
    }
});

both!(daemons_are_gone_on_poorer_machines, |user| {
    for machine in [
        Without::Cgroup.into(),
        Without::UserNamespace.into(),
        Without::Namespaces.into(),
        Without::Listener.into(),
        Without::Clone3.into(),
        Machine::from(Under::DockerSeccomp),
    ] {
        if machine.unavailable(user).is_some() {
            continue;
        }
        let mark = marker();
        let ran = run(["daemonize", "hold", &mark]).wall("20s").as_user(user).on(machine).go();
        if ran.refused() {
            ran.expect_refused(machine);
        } else {
            ran.expect_ok();
        }
        let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
    }
});

both!(every_ending_cleans_up, |user| {
    let before = Traces::now();
    let mark = marker();
    run(["spin", &mark]).profile("judge").cpu("100ms").as_user(user).go().expect_exit(124);
    run(["hog"]).profile("judge").memory("32MiB").wall("20s").as_user(user).go().expect_exit(122);
    run(["flood", "1000000"]).profile("judge").output("1KiB").as_user(user).go().expect_exit(123);
    run(["raise", "9"]).profile("judge").as_user(user).go().expect_exit(137);
    run(["/no/such/program"]).profile("judge").as_user(user).go().expect_exit(127);
    run(["forkbomb", &mark]).profile("judge").processes(20).cpu("200ms").as_user(user).go().expect_exit(124);
    let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    assert!(left.is_empty(), "survivors: {left:?}");
    let left = before.await_nothing_new(SOON);
    assert!(left.is_empty(), "left on the machine: {left:#?}");
});

/// Control groups are seen across PID namespaces, numbers are not: each of these supervisors is number 1, and each sweeps.
#[test]
fn supervisors_in_several_pid_namespaces_do_not_sweep_each_other() {
    if let Some(why) = Machine::Full.unavailable(User::Root) {
        tipstaff_testkit::skip!("{why}");
    }
    let script = format!(
        "one() {{ for i in 1 2 3 4 5 6 7 8; do \
         unshare --pid --fork --mount-proc {} run --quiet --memory 64MiB --processes 9 -- /bin/true || echo failed; done; }}; \
         one & one & one & one & wait",
        tipstaff_testkit::tipstaff().display()
    );
    let ran = plain(["/bin/bash", "-c", &script]).as_user(User::Root).go();
    ran.expect_exit(0);
    ran.check(ran.out().is_empty(), "a run failed");
}
