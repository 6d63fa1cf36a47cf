//! Many of everything.

use tipstaff_trace::{Config, End, Launch, Observer, Resume, Stop, Task};

use crate::kit::{What, guest, run, run_with};

/// Counts the calls of one name, entries and returns.
#[derive(Default)]
struct Count {
    entered: u64,
    left: u64,
    end: Option<End>,
}

impl Observer for Count {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        match stop {
            Stop::Entered(s) if s.call().name() == Some("getpriority") => self.entered += 1,
            Stop::Left(s) if task.call().is_some_and(|c| c.name() == Some("getpriority")) => {
                assert!(!s.returned().is_error);
                self.left += 1;
            }
            _ => {}
        }
        Resume::AsBefore
    }

    fn on_end(&mut self, _: &Task, end: End) {
        self.end = Some(end);
    }
}

#[test]
fn sixty_four_threads_lose_no_call() {
    let mut count = Count::default();
    let (_, output) = run_with(Config::default(), guest("callcount").args(["64", "10000"]), &mut count);
    let own: u64 = output.trim().parse().expect("a number");
    assert_eq!((count.entered, count.left, own), (640_000, 640_000, 640_000));
    assert_eq!(count.end, Some(End::Exited(0)));
}

#[test]
fn pipelines_of_a_shell_neither_hang_nor_fail() {
    // dash's SIGCHLD handler has no SA_RESTART: an EINTR that it would not get natively makes it fail.
    const ROUNDS: usize = 2000;
    let script = format!(
        "i=0; while [ $i -lt {ROUNDS} ]; do x=$(printf a | cat | cat) || exit 3; [ \"$x\" = a ] || exit 4; i=$((i+1)); done; echo $i"
    );
    let mut seen = Failures::default();
    let (pid, output) =
        run_with(Config { start: tipstaff_trace::Go::Free, ..Config::default() }, sh(&script), &mut seen);
    assert_eq!(output.trim(), ROUNDS.to_string());
    assert_eq!(seen.ends.iter().find(|(tid, _)| *tid == pid).map(|(_, end)| *end), Some(End::Exited(0)));
    assert!(seen.ends.iter().all(|(_, end)| *end == End::Exited(0)));
}

#[test]
fn pipelines_traced_call_by_call_see_no_eintr() {
    let script = "i=0; while [ $i -lt 100 ]; do x=$(printf a | cat | cat) || exit 3; i=$((i+1)); done";
    let ran = run(Config::default(), sh(script));
    ran.seen.expect_whole();
    assert_eq!(ran.end(), Some(End::Exited(0)));
    assert_eq!(ran.seen.count(|what| matches!(what, What::Left(_, -4))), 0);
}

#[derive(Default)]
struct Failures {
    ends: Vec<(i32, End)>,
}

impl Observer for Failures {
    fn on_stop(&mut self, _: &Task, _: &mut Stop) -> Resume {
        Resume::AsBefore
    }

    fn on_end(&mut self, task: &Task, end: End) {
        self.ends.push((task.tid(), end));
    }
}

fn sh(script: &str) -> Launch {
    Launch::new("/bin/sh").args(["-c", script])
}

#[test]
fn a_storm_of_stops_and_continues_ends_running() {
    // On a busy machine each stop may be taken back before it takes hold.
    let takes_hold = || {
        let ran = run(Config::default(), guest("stopstorm").arg("2000"));
        ran.seen.expect_whole();
        assert_eq!(ran.end(), Some(End::Exited(0)));
        ran.seen.count(|what| matches!(what, What::Group(_))) > 0
    };
    assert!((0..50).any(|_| takes_hold()), "at least one stop took hold");
}

#[test]
fn a_storm_of_stops_and_continues_running_free() {
    let config = Config { start: tipstaff_trace::Go::Free, ..Config::default() };
    let ran = run(config, guest("stopstorm").arg("5000"));
    assert_eq!(ran.end(), Some(End::Exited(0)));
}
