//! SIGKILL of the supervisor at any moment: after a second nothing of the box is left. These tests
//! run alone.
use std::time::{Duration, Instant};

use tipstaff_testkit::{Signal, Traces, User, await_no_survivor, descendants, marker, run, survivors};

use crate::both;

/// A stream of numbers that differs from run to run; its seed is printed, so that a failure can be
/// told.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos() as u64 | 1;
        println!("seed {seed}");
        Self(seed)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn tree(mark: &str, user: User, stopped: bool) -> tipstaff_testkit::Run {
    let run = run(["tree", mark]).profile("judge").processes(100).wall("60s").as_user(user);
    if stopped { run.arg("stopped") } else { run }
}

both!(no_survivor_at_any_moment, |user| {
    let points = if crate::full_drill() { 1000 } else { 200 };
    let before = Traces::now();
    // How long a start takes here: the points lie from its very beginning to as long again after
    // the guest is up.
    let mark = marker();
    let begun = Instant::now();
    let first = tree(&mark, user, false).start();
    first.await_output("ready", 1);
    let up = begun.elapsed();
    assert!(!survivors(&mark).is_empty(), "positive control: the mark is seen while the tree lives");
    first.signal(Signal::KILL);
    let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    assert!(left.is_empty(), "killed with the whole tree up; survivors: {left:#?}");
    first.finish();
    let mut random = Random::new();
    let mut reached = 0;
    for point in 0..points {
        let mark = marker();
        let begun = Instant::now();
        let started = tree(&mark, user, point % 4 == 0).start();
        let delay = Duration::from_micros(random.below(2 * up.as_micros() as u64 + 20_000));
        // The moment is the point of the drill: nothing is awaited here.
        while begun.elapsed() < delay {
            std::thread::sleep(Duration::from_micros(200).min(delay.saturating_sub(begun.elapsed())));
        }
        let known = descendants(started.pid());
        reached += u32::from(!known.is_empty());
        started.signal(Signal::KILL);
        let left = await_no_survivor(&mark, &known, tipstaff_testkit::GONE);
        assert!(
            left.is_empty(),
            "point {point}, killed after {delay:?}, {} processes then; survivors: {left:#?}",
            known.len()
        );
        started.finish();
    }
    assert!(reached > points / 4, "only {reached} of {points} points hit a living box");
    println!("figure supervisors killed {points}");
    // Control groups too: each was known to its keeper before it was made.
    let left = before.await_nothing_new(Duration::from_secs(10));
    assert!(left.is_empty(), "left on the machine: {left:#?}");
});

both!(a_killed_supervisor_on_a_poorer_machine, |user| {
    use tipstaff_testkit::{Machine, Under, Without};
    for machine in [
        Without::Cgroup.into(),
        Without::UserNamespace.into(),
        Without::Namespaces.into(),
        Without::Landlock.into(),
        Without::Listener.into(),
        Without::Clone3.into(),
        Machine::from(Under::DockerSeccomp),
    ] {
        if machine.unavailable(user).is_some() {
            continue;
        }
        for _ in 0..3 {
            let mark = marker();
            let started = tree(&mark, user, true).on(machine).start();
            // A refusal ends at once; else the tree says that it is up.
            let deadline = Instant::now() + Duration::from_secs(30);
            while survivors(&mark).len() < 12 && !started.ends(Duration::ZERO) && Instant::now() < deadline {
                std::thread::yield_now();
            }
            if started.ends(Duration::ZERO) {
                started.finish().expect_refused(machine);
                break;
            }
            let known = descendants(started.pid());
            started.signal(Signal::KILL);
            let left = await_no_survivor(&mark, &known, tipstaff_testkit::GONE);
            assert!(left.is_empty(), "{machine:?}: survivors: {left:#?}");
            started.finish();
        }
    }
});
