//! Signals to the launcher reach the box.
use std::time::Duration;

use tipstaff_testkit::{Signal, await_no_survivor, marker, run};

use crate::both;

both!(forwarded, |user| {
    for (signal, name) in [
        (Signal::INT, "INT"),
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::WINCH, "WINCH"),
    ] {
        let started = run(["sigwait"]).as_user(user).start();
        started.await_output("ready", 1);
        started.signal(signal);
        let ran = started.finish();
        ran.expect_exit(40 + signal.as_raw()).expect_verdict("nonzero_exit").expect_stdout(format!("ready\n{name}\n"));
    }
});

both!(a_default_action_is_the_guests_death, |user| {
    let started = run(["say", "", ""]).as_user(user).go();
    started.expect_ok();
    let started = run(["/bin/sh", "-c", "echo ready; exec sleep 60"]).as_user(user).start();
    started.await_output("ready", 1);
    // The shell may still be on its way to sleep: either of them dies of it.
    started.signal(Signal::TERM);
    started.finish().expect_exit(128 + 15).expect_verdict("signaled");
});

both!(the_second_interrupt_kills, |user| {
    let mark = marker();
    let started = run(["stubborn", &mark]).as_user(user).start();
    started.await_output("ready", 1);
    started.signal(Signal::INT);
    started.await_output("again", 1);
    assert!(!started.ends(Duration::from_millis(300)), "the first interrupt is the guest's");
    started.signal(Signal::INT);
    let ran = started.finish();
    ran.expect_verdict("signaled").expect_exit(137);
    ran.check(ran.elapsed < Duration::from_secs(30), "the second interrupt kills at once");
    let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
});

both!(the_whole_box_dies_with_the_interrupt, |user| {
    let mark = marker();
    let started = run(["tree", &mark]).as_user(user).start();
    started.await_output("ready", 1);
    started.signal(Signal::INT);
    let ran = started.finish();
    ran.expect_exit(128 + 2).expect_verdict("signaled");
    let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
});

both!(a_report_is_written_after_a_signal, |user| {
    let started = run(["sleeper"]).as_user(user).start();
    let work = started.work();
    // The guest is up when the launcher has children: no output says so.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while tipstaff_testkit::descendants(started.pid()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "no guest under {}", work.display());
        std::thread::yield_now();
    }
    started.signal(Signal::TERM);
    let ran = started.finish();
    // Too early for the guest or not, the run ends by the signal and says so.
    ran.check(!ran.report.is_null(), "a report");
    ran.check(ran.code() == 143 || ran.verdict() == "launch_failed", "ended by SIGTERM");
});
