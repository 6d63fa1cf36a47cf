//! Races and stalls: what a guest changes between a decision and the call changes nothing, and nobody waits for somebody else.
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;
use tipstaff_testkit::{Ran, plain, run};

use crate::both;

/// Two listeners that take everything.
fn listeners() -> [u16; 2] {
    [(); 2].map(|()| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || while listener.accept().is_ok() {});
        port
    })
}

fn flips() -> String {
    if crate::full_drill() { "1000000" } else { "100000" }.to_owned()
}

fn words(how: &str, flips: &str, [allowed, other]: [u16; 2]) -> Vec<String> {
    let ports = [allowed, other].map(|port| port.to_string());
    ["netrace", how, flips].map(str::to_owned).into_iter().chain(ports).collect()
}

fn wrong(ran: &Ran) -> i64 {
    let answers: Value = ran.json();
    ran.check(answers["connected"].as_i64().is_some_and(|n| n > 0), "something must have been allowed");
    answers["wrong"].as_i64().expect("a number")
}

both!(an_address_that_changes_meanwhile, |user| {
    let ports = listeners();
    // The control: whoever looks and then lets the kernel look again loses.
    let loses = || wrong(&plain(words("address", "3000000", ports)).arg("control").as_user(user).go()) > 0;
    assert!((0..10).any(|_| loses()), "the race can be lost");
    for how in ["address", "shared"] {
        let allowed = format!("tcp://127.0.0.1:{}", ports[0]);
        let ran = run(words(how, &flips(), ports)).option("--net", allowed).as_user(user).go();
        ran.expect_ok();
        assert_eq!(wrong(&ran), 0, "{how}");
    }
});

both!(an_address_of_a_datagram_or_a_bind_that_changes_meanwhile, |user| {
    // Ports that were somebody's a moment ago are nobody's now.
    let free = || std::net::UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
    let binds = [free(), free()];
    let sockets = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").expect("bind"));
    let sends = [0, 1].map(|n: usize| sockets[n].local_addr().expect("bound").port());
    let heard = |socket: &std::net::UdpSocket| {
        socket.set_nonblocking(true).expect("flag");
        let mut byte = [0; 8];
        std::iter::from_fn(|| socket.recv(&mut byte).ok()).count()
    };
    for how in ["bind", "sendto", "sendmsg"] {
        let ports = if how == "bind" { binds } else { sends };
        // The control: whoever looks and then lets the kernel look again loses.
        let lost = (0..10).any(|_| {
            let control = plain(words(how, "300000", ports)).arg("control").as_user(user).go();
            let said = wrong(&control);
            said > 0 || heard(&sockets[1]) > 0
        });
        assert!(lost, "{how}: the race can be lost");
        for how in [how.to_owned(), format!("{how}-shared")] {
            heard(&sockets[1]);
            let ran = run(words(&how, &flips(), ports)).as_user(user);
            let ran = if how.starts_with("bind") {
                ran.option("--bind", ports[0].to_string())
            } else {
                ran.option("--net", format!("udp://127.0.0.1:{}", ports[0]))
            };
            let ran = ran.go();
            ran.expect_ok();
            assert_eq!(wrong(&ran) + heard(&sockets[1]) as i64, 0, "{how}");
        }
    }
});

both!(a_socket_that_changes_meanwhile, |user| {
    let ports = listeners();
    let allowed = format!("udp://127.0.0.1:{}", ports[0]);
    let ran = run(words("swap", "20000", ports))
        .option("--net", allowed)
        .option("--net", "tcp://127.0.0.1:1")
        .as_user(user)
        .go();
    ran.expect_ok();
    assert_eq!(wrong(&ran), 0);
    // The control: without the rule the TCP socket does get there.
    let loses = || wrong(&plain(words("swap", "20000", ports)).as_user(user).go()) > 0;
    assert!((0..50).any(|_| loses()), "the race can be lost");
});

both!(a_connect_that_blocks_stalls_nobody, |user| {
    let open = listeners()[0];
    // A backlog that is full: nobody accepts.
    let full = TcpListener::bind("127.0.0.1:0").expect("listen");
    rustix::net::listen(&full, 0).expect("a backlog of its own");
    let address = full.local_addr().expect("bound");
    let mut fillers = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        fillers.push(stream);
        assert!(fillers.len() < 100, "it never fills");
    }
    let words = ["netstall".to_owned(), address.port().to_string(), open.to_string()];
    let rules = |run: tipstaff_testkit::Run| run.option("--net", "tcp://127.0.0.1").as_user(user);
    let outside = plain(&words).as_user(user).go().json();
    let inside = rules(run(&words)).go();
    inside.expect_ok();
    let inside = inside.json();
    for answers in [&outside, &inside] {
        assert_eq!(answers["alarm"], "EINTR", "{outside} {inside}");
        assert_eq!(answers["goes_on"], "EALREADY", "{outside} {inside}");
        assert_eq!(answers["sibling"], "OK", "{outside} {inside}");
    }
    // Who is held up is so until the kernel gives a connection up, which takes two minutes.
    assert!(inside["alarm_ms"].as_i64().is_some_and(|ms| (900..30_000).contains(&ms)), "{inside}");
    assert!(inside["sibling_ms"].as_i64().is_some_and(|ms| ms < 30_000), "{inside}");
    // And the wall limit fires on time.
    let script = format!("import socket; socket.create_connection(('127.0.0.1', {}))", address.port());
    let ran = rules(run(["python3", "-c", &script]).profile("python")).wall("500ms").go();
    if ran.code() != 127 {
        ran.expect_verdict("time_limit");
    }
});
