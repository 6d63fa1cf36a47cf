//! Runs in sequence leave the machine as it was. The command is started anew for each, so what is
//! looked for here is on the machine: control groups, mounts, files, System V objects, keys,
//! processes. What a long-lived host could lose (descriptors, zombies, memory) is the library's
//! drill of 2,000 runs, beside the library. This test runs alone.
use std::time::Duration;

use tipstaff_testkit::{Traces, await_no_survivor, marker, run};

use crate::both;

both!(runs_in_sequence_leave_nothing, |user| {
    let rounds = if crate::full_drill() { 1000 } else { 50 };
    run(["exit", "0"]).profile("judge").as_user(user).go().expect_ok();
    let before = Traces::now();
    let mark = marker();
    for _ in 0..rounds {
        run(["exit", "0"]).profile("judge").as_user(user).go().expect_ok();
        run(["leftover", "77003"]).as_user(user).go().expect_ok();
        run(["daemonize", "close", &mark]).profile("judge").as_user(user).go().expect_ok();
        run(["spin", &mark]).profile("judge").cpu("10ms").as_user(user).go().expect_exit(124);
        run(["/no/such/program"]).profile("judge").as_user(user).go().expect_exit(127);
        run(["flood", "5000"]).profile("judge").output("1KiB").as_user(user).go().expect_exit(123);
    }
    let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    assert!(left.is_empty(), "survivors: {left:?}");
    let left = before.await_nothing_new(Duration::from_secs(10));
    assert!(left.is_empty(), "left on the machine after {} runs: {left:#?}", 6 * rounds);
});
