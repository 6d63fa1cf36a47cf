//! Network rules by address, on loopback: every road to an address, and real programs. The same guest outside a box is the positive control.
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tipstaff_testkit::{Run, User, plain, run};

use crate::both;

/// Two listeners and two sockets for datagrams; of each kind the first may be reached.
pub(crate) struct Servers {
    pub ports: [u16; 4],
    /// What arrived at the second UDP socket, which nobody may send to.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Servers {
    pub fn new() -> Self {
        let tcp = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("listen"));
        let udp = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("bind"));
        let port = |address: std::io::Result<std::net::SocketAddr>| address.expect("bound").port();
        let ports = [
            port(tcp[0].local_addr()),
            port(udp[0].local_addr()),
            port(tcp[1].local_addr()),
            port(udp[1].local_addr()),
        ];
        for listener in tcp {
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = (&stream)
                        .write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nreached");
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                }
            });
        }
        let heard = Arc::new(Mutex::new(Vec::new()));
        let [allowed, other] = udp;
        let list = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut bytes = [0; 100];
            while let Ok((n, _)) = other.recv_from(&mut bytes) {
                list.lock().expect("list").push(String::from_utf8_lossy(&bytes[..n]).into_owned());
            }
        });
        // Kept open; nobody needs to read it.
        std::mem::forget(allowed);
        Self { ports, heard }
    }

    /// All that has arrived: whoever listens has come as far as a last word of ours, which stands behind everything in the queue.
    fn heard(&self) -> Vec<String> {
        const LAST: &str = "that is all";
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.send_to(LAST.as_bytes(), ("127.0.0.1", self.ports[3])).expect("sent");
        loop {
            let mut heard = self.heard.lock().expect("list");
            if heard.last().is_some_and(|word| word == LAST) {
                heard.pop();
                return std::mem::take(&mut heard);
            }
            drop(heard);
            std::thread::yield_now();
        }
    }

    pub fn words(&self, guest: &str) -> Vec<String> {
        std::iter::once(guest.to_owned()).chain(self.ports.iter().map(u16::to_string)).collect()
    }

    /// A box that may reach the first of each kind.
    pub fn ruled(&self, words: Vec<String>) -> Run {
        let [tcp, udp, ..] = self.ports;
        run(words)
            .option("--net", format!("tcp://127.0.0.1:{tcp}"))
            .option("--net", format!("udp://127.0.0.1:{udp}"))
            .option("--net", "tcp://127.0.0.1:1")
    }
}

const OK: [&str; 16] = [
    "tcp_allowed",
    "tcp_zero",
    "tcp_mapped",
    "tcp_mapped_zero",
    "tcp_padded_address",
    "dissolved",
    "again_allowed",
    "data",
    "sendto_allowed",
    "sendmsg_allowed",
    "sendmmsg_allowed",
    "connected_allowed",
    "bind_any",
    "pair",
    "pair_sends",
    "pair_receives",
];

/// As the kernel itself answers, in a box as outside.
const SAME: [(&str, &str); 7] = [
    ("tcp_closed_port", "ECONNREFUSED"),
    ("tcp_long_address", "EINVAL"),
    ("tcp_short_address", "EINVAL"),
    ("tcp_no_memory", "EFAULT"),
    ("connected_twice", "EISCONN"),
    ("nonblocking", "EINPROGRESS"),
    ("closed", "EBADF"),
];

const REFUSED: [(&str, &str); 23] = [
    ("tcp_other_port", "EACCES"),
    ("tcp_other_port_zero", "EACCES"),
    ("tcp_other_port_mapped", "EACCES"),
    ("tcp_six_any", "EACCES"),
    ("tcp_other_address", "EACCES"),
    ("mptcp", "EPROTONOSUPPORT"),
    ("fastopen", "EOPNOTSUPP"),
    ("fastopen_option", "ENOPROTOOPT"),
    ("source_route", "ENOPROTOOPT"),
    ("again_other", "EACCES"),
    ("sendto_other", "EACCES"),
    ("sendmsg_other", "EACCES"),
    ("sendmmsg_other", "EACCES"),
    ("connected_other", "EACCES"),
    ("connected_then_other", "EACCES"),
    ("unspecified_family", "EAFNOSUPPORT"),
    ("listen_bound", "EACCES"),
    ("listen_unbound", "EACCES"),
    ("bind_tcp", "EACCES"),
    ("bind_udp", "EACCES"),
    ("raw", "EPERM"),
    ("ping", "EPROTONOSUPPORT"),
    ("no_socket", "ENOTSOCK"),
];

fn judge(answers: &Value) {
    for road in OK {
        assert_eq!(answers[road], "OK", "{road}: {answers:#}");
    }
    for (road, errno) in SAME.iter().chain(&REFUSED) {
        assert_eq!(answers[*road], *errno, "{road}: {answers:#}");
    }
}

both!(every_road_is_asked_about, |user| {
    let servers = Servers::new();
    // The control: outside, the other peers can be reached on the same roads.
    let outside = plain(servers.words("netrules")).as_user(user).go().json();
    for road in OK.iter().chain(&[
        "tcp_other_port",
        "tcp_other_port_zero",
        "tcp_other_port_mapped",
        "again_other",
        "sendto_other",
        "sendmsg_other",
        "sendmmsg_other",
        "connected_other",
        "connected_then_other",
        "listen_bound",
        "listen_unbound",
    ]) {
        assert_eq!(outside[*road], "OK", "{road}: {outside:#}");
    }
    for (road, errno) in SAME {
        assert_eq!(outside[road], errno, "{road}: {outside:#}");
    }
    let heard = servers.heard().len();
    assert!(heard >= 4, "outside, datagrams arrive: {heard}");
    let ran = servers.ruled(servers.words("netrules")).as_user(user).go();
    ran.expect_ok();
    judge(&ran.json());
    assert_eq!(servers.heard(), [""; 0], "what is refused is not sent");
    let denied = ran.report["denials"].to_string();
    let peer = format!("tcp://127.0.0.1:{}", servers.ports[2]);
    ran.check(denied.contains(&format!("network.allow: {peer} is not in the list")), &denied);
    ran.check(denied.contains(&format!("--net {peer}")), &denied);
});

both!(under_a_tracer_the_same, |user| {
    let servers = Servers::new();
    let ran = servers.ruled(servers.words("netrules")).option("--engine", "ptrace").as_user(user).go();
    ran.expect_ok();
    judge(&ran.json());
});

both!(without_namespaces_the_same, |user| {
    let servers = Servers::new();
    let profile = "extends = \"default\"\n[isolation]\nnamespaces = \"none\"\n";
    let scratch = tipstaff_testkit::Scratch::new(user);
    let file = scratch.file("p.toml", profile);
    let ran = servers.ruled(servers.words("netrules")).profile(&file).as_user(user).go();
    ran.expect_ok();
    judge(&ran.json());
});

both!(an_empty_list_and_a_denial_close_and_the_rest_is_open, |user| {
    let servers = Servers::new();
    let [tcp, udp, other, other_udp] = servers.ports;
    let ran = run(servers.words("netrules"))
        .option("--net", "host")
        .option("--net-deny", format!("127.0.0.1:{other},{other_udp}"))
        .as_user(user)
        .go();
    ran.expect_ok();
    let answers = ran.json();
    for road in ["tcp_allowed", "tcp_zero", "sendto_allowed", "sendmmsg_allowed", "listen_unbound"] {
        assert_eq!(answers[road], "OK", "{road}: {answers:#}");
    }
    for road in [
        "tcp_other_port",
        "tcp_other_port_zero",
        "tcp_other_port_mapped",
        "sendto_other",
        "sendmsg_other",
        "sendmmsg_other",
        "connected_other",
    ] {
        assert_eq!(answers[road], "EACCES", "{road}: {answers:#}");
    }
    assert_eq!(servers.heard(), [""; 0]);
    // Denials alone allow nobody.
    let ran = run(servers.words("netrules")).option("--net-deny", format!("127.0.0.1:{tcp},{udp}")).as_user(user).go();
    assert_ne!(ran.json()["tcp_other_port"], "OK");
});

both!(the_kernel_alone_holds_ports, |user| {
    let servers = Servers::new();
    let ran = run(servers.words("netrules"))
        .option("--net", format!("tcp://*:{}", servers.ports[0]))
        .option("--engine", "native")
        .as_user(user)
        .go();
    ran.expect_ok();
    let answers = ran.json();
    for road in ["tcp_allowed", "tcp_zero", "tcp_mapped", "bind_any"] {
        assert_eq!(answers[road], "OK", "{road}: {answers:#}");
    }
    for road in ["tcp_other_port", "mptcp", "listen_bound", "listen_unbound", "bind_tcp", "sendto_allowed", "fastopen"]
    {
        assert_ne!(answers[road], "OK", "{road}: {answers:#}");
    }
});

both!(a_server_listens_where_it_may, |user| {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let script = format!(
        "import socket
s = socket.create_server(('127.0.0.1', {port}))
print('listens', flush=True)
for other in ({port} ^ 1, 0):
    try:
        socket.create_server(('127.0.0.1', other))
        print('wrong')
    except PermissionError: print('refused', flush=True)
s.accept()[0].sendall(b'inside')"
    );
    let started =
        run(["python3", "-c", &script]).profile("python").option("--bind", port.to_string()).as_user(user).start();
    started.await_output("refused", 2);
    let mut answer = String::new();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
    assert_eq!(answer, "inside");
    started.finish().expect_ok();
});

both!(real_programs_reach_by_name_and_no_further, |user| {
    let servers = Servers::new();
    let [tcp, _, other, _] = servers.ports;
    let python = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())";
    let node = "require('http').get(process.argv[1], r => r.on('data', d => console.log(String(d)))).on('error', e => { console.error(e.code); process.exit(1); })";
    let curl: &[&str] = &["curl", "-sS", "--max-time", "10"];
    for program in [&["python3", "-c", python], &["node", "-e", node][..], curl] {
        for (port, reached) in [(tcp, true), (other, false)] {
            let mut words: Vec<String> = program.iter().map(|word| (*word).to_owned()).collect();
            words.push(format!("http://localhost:{port}/"));
            let profile = if program[0] == "node" { "node" } else { "python" };
            let ran = run(words).profile(profile).option("--net", format!("localhost:{tcp}")).as_user(user).go();
            if ran.code() == 127 {
                eprintln!("{} is not installed", program[0]);
                continue;
            }
            ran.check(ran.out().contains("reached") == reached, format_args!("{} to {port}", program[0]));
        }
    }
});

both!(java_reaches_by_rule_and_no_further, |user| {
    let servers = Servers::new();
    let [tcp, _, other, _] = servers.ports;
    let scratch = tipstaff_testkit::Scratch::new(user);
    let source = "import java.net.*; import java.io.*;
class Reach { public static void main(String[] a) throws Exception {
  for (String port : a) try {
    HttpURLConnection c = (HttpURLConnection) new URL(\"http://127.0.0.1:\" + port + \"/\").openConnection();
    System.out.println(new String(c.getInputStream().readAllBytes()));
  } catch (IOException e) { System.out.println(e.getClass().getSimpleName()); } } }";
    let file = scratch.file("Reach.java", source);
    let built = std::process::Command::new("javac").arg("-d").arg(scratch.path()).arg(&file).output();
    if !built.is_ok_and(|out| out.status.success()) {
        tipstaff_testkit::skip!("there is no javac");
    }
    let words = ["java".into(), "-cp".into(), scratch.path().display().to_string(), "Reach".into()];
    let words = words.into_iter().chain([tcp.to_string(), other.to_string()]).collect::<Vec<String>>();
    plain(&words).as_user(user).go().expect_stdout("reached\nreached\n");
    let ran = run(&words)
        .profile("default")
        .option("--read", "/")
        .option("--read", scratch.path())
        .option("--net", format!("tcp://127.0.0.1:{tcp}"))
        .as_user(user)
        .go();
    ran.check(ran.out().starts_with("reached\n") && !ran.out().trim_end().ends_with("reached"), "one of two");
});

both!(a_pair_of_datagram_sockets_is_no_way_to_the_hosts, |user| {
    let scratch = tipstaff_testkit::Scratch::new(user);
    let path = scratch.join("datagrams");
    let host = std::os::unix::net::UnixDatagram::bind(&path).expect("bind");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("own socket");
    host.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a time");
    let script = "import socket, sys
try: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', sys.argv[1])
except OSError as e: print(type(e).__name__)";
    let words = ["python3", "-c", script, path.to_str().expect("a path of the kit")];
    let mut byte = [0; 4];
    plain(words).as_user(user).go().expect_stdout("");
    assert!(host.recv(&mut byte).is_ok(), "the control");
    for net in ["none", "tcp://*:443", "192.0.2.1"] {
        let ran =
            run(words).profile("default").option("--read", "/").option("--read", scratch.path()).option("--net", net);
        ran.as_user(user).go().expect_stdout("PermissionError\n");
        assert!(host.recv(&mut byte).is_err(), "{net}");
    }
});

both!(bad_rules_are_one_line, |user| {
    let refused = |options: &[(&str, &str)], words: &[&str]| {
        let mut command = run(["exit"]).as_user(user);
        for (name, value) in options {
            command = command.option(name, value);
        }
        command.go().expect_error_line(125, words);
    };
    refused(&[("--net", "tcp://nobody.invalid:80")], &["nobody.invalid", "cannot resolve", "write the address"]);
    refused(&[("--net", "192.0.2.1:80"), ("--net-deny", "192.0.2.1:80")], &["both allowed and denied", "leave one"]);
    refused(&[("--net", "tcp://*:90-80")], &["reversed range", "80-90"]);
    refused(&[("--net", "192.0.2.1"), ("--engine", "native")], &["the kernel alone"]);
});

/// A network namespace with addresses of its own on its loopback: one may be reached, one not.
#[test]
fn between_addresses_of_a_namespace() {
    if std::process::Command::new("unshare")
        .args(["-n", "ip", "link"])
        .output()
        .map_or(true, |out| !out.status.success())
    {
        tipstaff_testkit::skip!("no network namespace can be made with unshare(1) and ip(8)");
    }
    let python = "import socket
for host in ('192.0.2.1', '192.0.2.2'):
    try:
        socket.create_connection((host, 8000), 5); print(host, 'reached')
    except OSError as e: print(host, type(e).__name__)";
    let script = "ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip addr add 192.0.2.2/32 dev lo || exit 9
        python3 -c \"import socket,time; s=socket.create_server(('0.0.0.0',8000)); open('up','w'); time.sleep(60)\" & server=$!
        while ! [ -e up ]; do sleep 0.05; done
        \"$0\" \"$@\"; code=$?; kill $server; exit $code";
    let scratch = tipstaff_testkit::Scratch::new(User::Root);
    let tipstaff = tipstaff_testkit::tipstaff();
    let mut command = std::process::Command::new("unshare");
    command.args(["-n", "sh", "-c", script]).arg(tipstaff).args(["run", "--quiet", "--profile", "python"]);
    command.args(["--net", "tcp://192.0.2.0/31:8000", "--", "python3", "-c", python]).current_dir(scratch.path());
    let out = command.output().expect("unshare");
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(text, "192.0.2.1 reached\n192.0.2.2 PermissionError\n", "{}", String::from_utf8_lossy(&out.stderr));
}

/// Two network namespaces and a pair of veth(4) between them: servers in one, the box in the other.
#[test]
fn between_two_namespaces() {
    let script = "unshare -n sh -c 'touch made; while ! [ -e wired ]; do sleep 0.05; done
            ip link set lo up && ip addr add 192.0.2.1/24 dev tstb && ip addr add 192.0.2.2/24 dev tstb && ip link set tstb up || exit 9
            exec python3 -c \"$SERVE\"' & server=$!
        while ! [ -e made ]; do sleep 0.05; done
        ip link add tsta type veth peer name tstb && ip link set tstb netns $server || { kill $server; exit 77; }
        ip link set lo up; ip addr add 192.0.2.10/24 dev tsta; ip link set tsta up; touch wired
        n=0; while ! [ -e up ] && [ $n -lt 1200 ]; do sleep 0.05; n=$((n+1)); done
        \"$@\"; code=$?; kill $server; exit $code";
    let serve = "import socket, threading, time
s = socket.create_server(('0.0.0.0', 8000))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 8000))
open('up', 'w')
def echo():
    while True:
        data, peer = u.recvfrom(100); u.sendto(data, peer)
threading.Thread(target=echo, daemon=True).start()
time.sleep(60)";
    let python = "import socket
for host in ('192.0.2.1', '192.0.2.2'):
    try:
        socket.create_connection((host, 8000), 10); print(host, 'tcp')
    except OSError as e: print(host, type(e).__name__)
    try:
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
        u.sendto(b'echo', (host, 8000)); print(host, u.recv(10).decode())
    except OSError as e: print(host, type(e).__name__)";
    let go = |rules: &[&str]| {
        let scratch = tipstaff_testkit::Scratch::new(User::Root);
        let mut command = std::process::Command::new("unshare");
        command.args(["-n", "sh", "-c", script, "sh"]).env("SERVE", serve).current_dir(scratch.path());
        if !rules.is_empty() {
            command.arg(tipstaff_testkit::tipstaff()).args(["run", "--quiet", "--profile", "python"]);
            command.args(rules.iter().flat_map(|rule| ["--net", rule])).arg("--");
        }
        command.args(["python3", "-c", python]).output().expect("unshare(1)")
    };
    let all = "192.0.2.1 tcp\n192.0.2.1 echo\n192.0.2.2 tcp\n192.0.2.2 echo\n";
    let outside = go(&[]);
    if !outside.status.success() {
        let why = String::from_utf8_lossy(&outside.stderr).trim().to_owned();
        tipstaff_testkit::skip!("no pair of veth(4) between namespaces can be made: {why}");
    }
    assert_eq!(String::from_utf8_lossy(&outside.stdout), all, "the control");
    let ruled = go(&["192.0.2.1:8000"]);
    let one = "192.0.2.1 tcp\n192.0.2.1 echo\n192.0.2.2 PermissionError\n192.0.2.2 PermissionError\n";
    assert_eq!(String::from_utf8_lossy(&ruled.stdout), one, "{}", String::from_utf8_lossy(&ruled.stderr));
    assert_eq!(String::from_utf8_lossy(&go(&["192.0.2.0/30:8000"]).stdout), all);
}
