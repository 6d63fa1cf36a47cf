//! execve(2) by a thread that is not the leader: its id becomes the process's.

use tipstaff_trace::{Config, End, ForkKind};

use crate::kit::{What, guest, run};

#[test]
fn the_thread_takes_the_leaders_id_and_the_others_are_replaced() {
    let exit = tipstaff_testkit::guest("exit");
    let ran = run(Config::default(), guest("threadexec").arg(exit).arg("5"));
    ran.seen.expect_whole();
    assert_eq!(ran.end(), Some(End::Exited(5)));
    let former = ran.seen.0.iter().find_map(|seen| match seen.what {
        What::Executed(former) if former != ran.pid => Some(former),
        _ => None,
    });
    let former = former.expect("an exec by another thread");
    // The leader waited in pthread_join, a call that never returns, or was on its way there.
    let joins = |call: Option<&str>| call.is_none_or(|call| call == "futex");
    let replaced = ran.seen.position(ran.pid, |what| match what {
        What::End(End::Replaced { by }, call) => *by == former && joins(*call),
        _ => false,
    });
    let executed = ran.seen.position(ran.pid, |what| *what == What::Executed(former));
    assert!(replaced.is_some() && replaced < executed, "{:#?}", ran.seen);
    // The execve returns under the new id.
    let returned = ran.seen.0[executed.expect("executed")..].iter().find(|seen| seen.what == What::Left("execve", 0));
    assert_eq!(returned.map(|seen| seen.tid), Some(ran.pid));
    // Nothing is told of the former id afterwards.
    let last = ran.seen.0.iter().rposition(|seen| seen.tid == former);
    assert!(last < executed);
}

#[test]
fn a_storm_of_them_with_noise() {
    const EXECS: usize = 300;
    let ran = run(Config::default(), guest("execstorm").arg(EXECS.to_string()));
    ran.seen.expect_whole();
    assert_eq!(ran.end(), Some(End::Exited(42)));
    let executed: Vec<_> = ran
        .seen
        .0
        .iter()
        .filter_map(|seen| match seen.what {
            What::Executed(former) => Some((seen.tid, former)),
            _ => None,
        })
        .collect();
    assert_eq!(executed.len(), EXECS + 1);
    assert!(executed[1..].iter().all(|&(tid, former)| tid == ran.pid && former != tid));
}

#[test]
fn a_storm_that_runs_free() {
    let config = Config { start: tipstaff_trace::Go::Free, ..Config::default() };
    let ran = run(config, guest("execstorm").arg("300"));
    assert_eq!(ran.end(), Some(End::Exited(42)));
    assert_eq!(ran.seen.count(|what| matches!(what, What::Executed(_))), 301);
}

/// Threads fork while another executes a program or ends their process: whoever was made is told of by its maker, or adopted, and ends.
#[test]
fn who_was_made_by_a_thread_that_is_killed_in_the_call_goes_on() {
    let mut adopted = 0;
    for start in [tipstaff_trace::Go::Syscall, tipstaff_trace::Go::Free] {
        let ran = run(Config { start, ..Config::default() }, guest("orphans").arg("40"));
        assert_eq!((ran.end(), ran.output.as_str()), (Some(End::Exited(0)), "40 rounds\n"));
        if start == tipstaff_trace::Go::Syscall {
            ran.seen.expect_whole();
        }
        adopted += ran.seen.count(|what| matches!(what, What::Adopted(ForkKind::Fork, _)));
    }
    println!("{adopted} adopted");
}
