//! No network by default: nothing on the host can be reached, and the same probe outside the box
//! reaches it.
use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use serde_json::Value;
use tipstaff_testkit::{Machine, Run, Scratch, Under, User, Without, marker, plain, run};

use crate::both;

/// Listeners of every kind on the host.
struct Host {
    _tcp: TcpListener,
    scratch: Scratch,
    words: Vec<String>,
}

impl Host {
    fn new(user: User) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("listen");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let scratch = Scratch::new(user);
        let path = scratch.join("socket");
        let unix = UnixListener::bind(&path).expect("listen");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("own socket");
        let name = marker();
        let abstract_socket =
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("listen");
        let port = |address: std::net::SocketAddr| address.port().to_string();
        let words = vec![
            port(tcp.local_addr().expect("bound")),
            port(udp.local_addr().expect("bound")),
            path.to_str().expect("a path of the kit").to_owned(),
            name,
        ];
        // The echo ends with the test's process; datagrams need an answer to count as arrived.
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((n, from)) = udp.recv_from(&mut buffer) {
                if udp.send_to(&buffer[..n], from).is_err() {
                    return;
                }
            }
        });
        std::thread::spawn(move || while unix.accept().is_ok() {});
        std::thread::spawn(move || while abstract_socket.accept().is_ok() {});
        Self { _tcp: tcp, scratch, words }
    }

    fn probe(&self, make: impl Fn(Vec<String>) -> Run, user: User) -> tipstaff_testkit::Ran {
        let mut words = vec!["netprobe".to_owned()];
        words.extend(self.words.iter().cloned());
        make(words).as_user(user).go()
    }
}

const REACHING: [&str; 8] = [
    "tcp_connect",
    "tcp_fastopen",
    "mptcp_connect",
    "tcp_any_address",
    "tcp_mapped",
    "udp_echo",
    "unix_path",
    "unix_abstract",
];

#[track_caller]
fn none_reached(answers: &Value) {
    for way in REACHING {
        assert_ne!(answers[way], "OK", "{way} reaches the host: {answers:#}");
    }
    for family in ["packet", "vsock", "vsock_wide", "alg", "raw", "audit"] {
        assert_ne!(answers[family], "OK", "a {family} socket can be made: {answers:#}");
    }
}

both!(nothing_on_the_host_is_reached, |user| {
    let host = Host::new(user);
    // Positive control first: everything can be reached from outside a box (MPTCP and fast open as
    // far as this kernel has them).
    let outside = host.probe(plain, user).json();
    for way in ["tcp_connect", "tcp_any_address", "tcp_mapped", "udp_echo", "unix_path", "unix_abstract"] {
        assert_eq!(outside[way], "OK", "{outside:#}");
    }
    let inside = host.probe(run, user);
    inside.expect_ok();
    none_reached(&inside.json());
});

both!(the_hosts_network_only_by_option, |user| {
    let host = Host::new(user);
    let answers = host.probe(|words| run(words).option("--net", "host"), user);
    answers.expect_ok();
    for way in ["tcp_connect", "udp_echo"] {
        answers.check(answers.json()[way] == "OK", format_args!("--net host, and {way} fails"));
    }
    // Kernel interfaces that are no network stay out.
    for family in ["vsock", "vsock_wide", "alg"] {
        answers.check(answers.json()[family] != "OK", format_args!("a {family} socket can be made"));
    }
    drop(host.scratch);
});

#[test]
fn nothing_is_reached_on_poorer_machines() {
    for user in crate::users() {
        for machine in [
            Without::UserNamespace.into(),
            Without::Namespaces.into(),
            Without::Landlock.into(),
            Without::Listener.into(),
            Machine::from(Under::DockerSeccomp),
        ] {
            if machine.unavailable(user).is_some() {
                continue;
            }
            let host = Host::new(user);
            let ran = host.probe(|words| run(words).on(machine), user);
            if ran.refused() {
                ran.expect_refused(machine);
            } else {
                ran.expect_ok();
                none_reached(&ran.json());
            }
        }
    }
}

both!(loopback_of_its_own, |user| {
    // A server and its client in one box: programs that test themselves work.
    let script = "import socket, threading
s = socket.create_server(('127.0.0.1', 0))
threading.Thread(target=lambda: s.accept()[0].sendall(b'inside')).start()
print(socket.create_connection(s.getsockname()).recv(10).decode())";
    let ran = run(["python3", "-c", script]).profile("python").as_user(user).go();
    if ran.code() == 127 {
        tipstaff_testkit::skip!("python3 is not installed");
    }
    ran.expect_ok().expect_stdout("inside\n");
});

both!(a_connected_stdin_is_no_way_out, |user| {
    // A socket as standard stream is passed on as it is: the caller gave it. Nothing else is.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("pair");
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(theirs));
    let mut writer = &ours;
    writer.write_all(b"given").expect("write");
    ours.shutdown(std::net::Shutdown::Write).expect("end");
    ours.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    run(["copy"]).stdin_file(file).as_user(user).go().expect_ok().expect_stdout("given");
});
