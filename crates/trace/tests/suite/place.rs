//! Where the tracer's thread runs, and how it is scheduled, is as it was afterwards.

use tipstaff_trace::{Config, Tracer, Turn};

use crate::kit::{Recorder, guest};

/// CPUs and scheduling policy of this thread: proc_pid_status(5), and field 41 of proc_pid_stat(5).
fn mine() -> (String, String) {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    let cpus = status.lines().find(|line| line.starts_with("Cpus_allowed:")).expect("CPUs").to_owned();
    let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("stat");
    let policy = stat[stat.rfind(')').expect("a name") + 2..].split(' ').nth(38).expect("a policy").to_owned();
    (cpus, policy)
}

#[test]
fn a_tracer_that_followed_comes_back() {
    const IDLE: &str = "5";
    let before = mine();
    let mut tracer = Tracer::new(Config::default());
    assert_eq!(mine(), before, "looking changes nothing");
    let mut seen = Recorder::default();
    tracer.launch(&guest("callcount").args(["1", "20000"]), &mut seen).expect("launch");
    let mut followed = false;
    while tracer.step(&mut seen) == Ok(Turn::Handled) && seen.0.len() < 30_000 {
        followed |= seen.0.len().is_multiple_of(500) && mine().1 == IDLE;
    }
    assert_eq!(tracer.run(&mut seen), Ok(Turn::Empty));
    drop(tracer);
    assert_eq!(mine(), before);
    if before.1 != IDLE && rustix::process::geteuid().is_root() && !followed {
        // A machine that is busy, or has one CPU, gives no reason to.
        tipstaff_testkit::skip!("the tracer never followed here");
    }
}

#[test]
fn a_tracer_that_stays_is_never_moved() {
    let before = mine();
    let mut tracer = Tracer::new(Config { follow: false, ..Config::default() });
    let mut seen = Recorder::default();
    tracer.launch(&guest("callcount").args(["1", "3000"]), &mut seen).expect("launch");
    while tracer.step(&mut seen) == Ok(Turn::Handled) {
        if seen.0.len().is_multiple_of(500) {
            assert_eq!(mine(), before);
        }
    }
}
