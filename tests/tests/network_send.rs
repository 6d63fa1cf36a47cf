//! Messages that wait under network rules by address: how many the supervisor bears, and what a signal makes of them.
use std::io::Read;
use std::net::TcpListener;

use tipstaff_testkit::{plain, run};

use crate::both;

both!(what_waits_is_held_within_a_budget, |user| {
    let words = ["netsend", "hold"].map(str::to_owned);
    let outside = plain(&words).as_user(user).go().json();
    let ran = run(&words).option("--net", "udp://127.0.0.1:9").as_user(user).go();
    ran.expect_ok();
    let inside = ran.json();
    // The control: one message with as many descriptors as one can carry, and again and again.
    assert_eq!((&outside["alone"], &inside["alone"]), (&20.into(), &20.into()), "{outside} {inside}");
    assert_eq!(outside["refused"], 0, "outside they wait: {outside}");
    assert!(inside["refused"].as_i64().is_some_and(|n| n >= 22), "{inside}");
});

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
