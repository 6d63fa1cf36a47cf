//! Names in network rules: the box's own name server knows them, and nobody else can be asked.
use tipstaff_testkit::run;

use crate::both;

/// Nobody's address (RFC 5737).
const ELSEWHERE: &str = "192.0.2.53";

/// User namespaces can be had.
fn unshare() -> bool {
    std::process::Command::new("unshare").args(["-U", "true"]).status().is_ok_and(|status| status.success())
}

both!(the_boxs_name_server_knows_allowed_names_only, |user| {
    let words = ["netdns", ELSEWHERE, "localhost", "secret.elsewhere.test"];
    for engine in ["notify", "ptrace"] {
        let ran = run(words)
            .profile("default")
            .option("--engine", engine)
            .option("--net", "tcp://localhost:1")
            .as_user(user)
            .go();
        ran.expect_ok();
        let denied = ran.report["denials"].as_array().expect("a list").iter();
        let told: Vec<_> = denied.filter(|d| d["allow_with"] == "--net tcp://secret.elsewhere.test").collect();
        ran.check(
            told.len() == 1 && told[0]["count"].as_u64() >= Some(3),
            "the name is told, with what would allow it",
        );
        let answers = ran.json();
        for how in ["connected", "unconnected", "many", "mapped", "stream"] {
            assert_eq!(answers[format!("{how} localhost")], "0/1", "{how}: {answers:#}");
            assert_eq!(answers[format!("{how} secret.elsewhere.test")], "3/0", "{how}: {answers:#}");
        }
        // Port 53 of the address is root's, and one box's at a time; else only notifications can move a socket to where it is ours.
        if engine == "notify" && unshare() {
            assert_eq!(answers["same_source localhost"], true, "{answers:#}");
        }
        for road in ["elsewhere", "other_port"] {
            assert_eq!(answers[road], "EACCES", "{road}: {answers:#}");
        }
    }
});

/// The address is nobody else's while this is kept: another test's box may have it, and may give it back at any time. An ordinary user needs nothing, and has nothing.
fn held(address: &str) -> Option<std::net::UdpSocket> {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        match std::net::UdpSocket::bind(address) {
            Ok(socket) => return Some(socket),
            Err(refused) if refused.kind() == std::io::ErrorKind::PermissionDenied => return None,
            Err(other) => assert!(std::time::Instant::now() < until, "{address}: {other}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

// musl's, and others like it: one socket that is not connected, and an ear for the server's own address and port alone.
both!(small_static_resolvers_hear_the_boxs_name_server, |user| {
    // The port is an ordinary user's nowhere, and now not root's either.
    let taken = held("127.84.83.53:53");
    let asks = |engine: &str| {
        let asks = run(["resolver", "localhost", "secret.elsewhere.test", "localhost"]).profile("default");
        asks.option("--engine", engine).option("--net", "localhost:1").as_user(user).go()
    };
    // Where a socket cannot be moved, an answer comes from another port.
    asks("ptrace").expect_stdout(
        "localhost: an answer from elsewhere\nsecret.elsewhere.test: an answer from elsewhere\nlocalhost: an answer from elsewhere\n",
    );
    if !unshare() {
        tipstaff_testkit::skip!("no user namespace can be made with unshare(1)");
    }
    asks("notify").expect_stdout(
        "localhost: 2 answers, code 0, 127.0.0.1\nsecret.elsewhere.test: 2 answers, code 3, none\nlocalhost: 2 answers, code 0, 127.0.0.1\n",
    );
    drop(taken);
});

both!(a_rule_for_a_name_server_is_a_rule_like_others, |user| {
    let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
    let port = server.local_addr().expect("bound").port().to_string();
    server.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a time");
    let script = "import socket, sys
try: print(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'query', ('127.0.0.1', int(sys.argv[1]))))
except OSError as e: print(type(e).__name__)";
    let asks = || run(["python3", "-c", script, &port]).profile("python").option("--net", "tcp://localhost:1");
    let mut bytes = [0; 16];
    asks().as_user(user).go().expect_stdout("PermissionError\n");
    assert!(server.recv(&mut bytes).is_err(), "a name opens no way to another server");
    let rule = format!("udp://*:{port}");
    asks().option("--net", rule).as_user(user).go().expect_stdout("5\n");
    assert!(server.recv(&mut bytes).is_ok());
});

both!(real_resolvers_find_allowed_names, |user| {
    let script = "import socket
for name in ('localhost', 'secret.elsewhere.test'):
    try: print(sorted({a[4][0] for a in socket.getaddrinfo(name, 1, socket.AF_INET, socket.SOCK_STREAM)}))
    except socket.gaierror as e: print(e.errno == socket.EAI_NONAME or e)";
    let ran = run(["python3", "-c", script]).profile("python").option("--net", "localhost:1").as_user(user).go();
    if ran.code() == 127 {
        tipstaff_testkit::skip!("python3 is not installed");
    }
    ran.expect_stdout("['127.0.0.1']\nTrue\n");
    let node = "const dns = require('dns');
dns.resolve4('localhost', (e, a) => { console.log(e ? e.code : a.join());
dns.resolve4('secret.elsewhere.test', (e, a) => console.log(e ? e.code : a.join())); });";
    let ran = run(["node", "-e", node]).profile("node").option("--net", "localhost:1").as_user(user).go();
    if ran.code() != 127 {
        ran.expect_stdout("127.0.0.1\nENOTFOUND\n");
    }
});
