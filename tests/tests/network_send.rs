//! Messages that wait under network rules by address: how many the supervisor bears, and what a signal makes of them.
use std::io::Read;
use std::net::TcpListener;

use tipstaff_testkit::{Machine, User, Without, guest, plain, run, skip};

use crate::both;

both!(what_waits_is_held_within_a_budget, |user| {
    let outside = plain(["netsend", "hold"]).as_user(user).go().json();
    let ran = run(["netsend", "refused"])
        .patience(std::time::Duration::from_secs(100))
        .option("--net", "udp://127.0.0.1:9")
        .as_user(user)
        .go();
    ran.expect_ok();
    let inside = ran.json();
    // The control: one message with as many descriptors as one can carry, and again and again.
    assert_eq!((&outside["alone"], &inside["alone"]), (&20.into(), &20.into()), "{outside} {inside}");
    assert_eq!(outside["refused"], 0, "outside they wait: {outside}");
    assert!(inside["refused"].as_i64().is_some_and(|n| n >= 22), "{inside}");
});

/// Limits that the supervisor keeps by looking, and what it holds meanwhile.
fn limits_hold(user: User, machine: Machine) {
    if let Some(why) = machine.unavailable(user) {
        skip!("{why}");
    }
    let bomb = |program: &str, args: &[&str]| {
        let program = guest(program).display().to_string();
        let dir = program.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned();
        let words = ["netsend", "bomb", program.as_str()].into_iter().chain(args.iter().copied());
        let run = run(words).option("--exec", &dir).option("--net", "udp://127.0.0.1:9");
        run.as_user(user).on(machine).memory("96MiB").processes(40).wall("30s")
    };
    let hog = bomb("memhog", &["anonymous", "400", "20000"]).start();
    hog.await_output("held", 1);
    let status = std::fs::read_to_string(format!("/proc/{}/status", hog.pid())).expect("the supervisor");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let resident: u64 = resident.expect("a figure").parse().expect("a number");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", hog.pid())).expect("the supervisor").count();
    assert!(resident < 40 << 10 && descriptors < 400, "{resident} KiB, {descriptors} descriptors");
    hog.finish().expect_verdict("memory_limit");
    let forks = bomb("forkroads", &["fork"]).go();
    let count = forks.out().lines().find_map(|line| line.strip_suffix(" EAGAIN")?.parse::<u32>().ok());
    // 25 tasks hold messages, or try to.
    forks.check(count == Some(15), "the limit holds");
}

both!(what_waits_blinds_no_limit, |user| limits_hold(user, Machine::Full));

both!(what_waits_blinds_no_limit_without_control_groups, |user| limits_hold(user, Without::Cgroup.into()));

both!(a_signal_finds_a_part_sent, |user| {
    let sends = |boxed: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = listener.local_addr().expect("bound").port();
        let reader = std::thread::spawn(move || {
            let (mut first, _) = listener.accept().expect("accept");
            // Read only when the signal has been taken.
            let second = listener.accept().expect("accept");
            let mut bytes = Vec::new();
            first.read_to_end(&mut bytes).expect("read");
            drop(second);
            bytes
        });
        let words = ["netsend".to_owned(), "part".to_owned(), port.to_string()];
        let ran = if boxed {
            let rules = ["udp://127.0.0.1:9".to_owned(), format!("tcp://127.0.0.1:{port}")];
            rules.into_iter().fold(run(&words), |run, rule| run.option("--net", rule)).as_user(user).go()
        } else {
            plain(&words).as_user(user).go()
        };
        (ran.json(), reader.join().expect("reader"))
    };
    for boxed in [false, true] {
        let (said, bytes) = sends(boxed);
        assert_eq!(said["gone"], 4 << 20, "{boxed} {said}");
        assert!(said["first"].as_i64().is_some_and(|n| 0 < n && n < 4 << 20), "{boxed} {said}");
        let wrong = (0u32..).zip(bytes.chunks_exact(4)).find(|(i, word)| i.to_ne_bytes() != **word);
        assert_eq!((bytes.len(), wrong), (4 << 20, None), "boxed: {boxed}, {said}");
    }
});
