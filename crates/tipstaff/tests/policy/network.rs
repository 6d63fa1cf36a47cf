//! Functions that decide on addresses: the call is made from the copy that was decided about.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tipstaff::handler::SocketAddress;
use tipstaff::{Category, Decision, Event, Interest, PolicyFn, Profile, Subject, Verdict};
use tipstaff_testkit::{Machine, User, also_elsewhere};

use crate::guests::{Steps, boxed, with_guests};

fn reaching(rules: &[&str]) -> Profile {
    let mut profile = with_guests();
    profile.0.network.allow = Some(rules.iter().map(|rule| rule.parse().expect("a rule")).collect());
    profile
}

/// Denies everything but this port.
fn only(port: u16) -> impl Fn(&Event) -> Decision + Clone + Send + Sync {
    move |event| match event.subject() {
        Subject::Connect { to: SocketAddress::Inet(to), .. } | Subject::Bind { to: SocketAddress::Inet(to) }
            if to.port() == port =>
        {
            Decision::Allow
        }
        _ => Decision::Deny,
    }
}

#[test]
fn an_address_is_decided_about_on_every_road() {
    also_elsewhere("network::an_address_is_decided_about_on_every_road", &[(User::Ordinary, Machine::Full)], || {
        let here = (Ipv4Addr::LOCALHOST, 0);
        let (tcp, other) = (TcpListener::bind(here).expect("port"), TcpListener::bind(here).expect("port"));
        let udp = UdpSocket::bind(here).expect("port");
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let datagrams = udp.local_addr().expect("bound").port();
        for rules in [&["tcp://127.0.0.1", "udp://127.0.0.1"][..], &["host"]] {
            for (good, road, bad) in [
                (port(&tcp), "tcp", port(&other)),
                (datagrams, "udp", datagrams ^ 1),
                (datagrams, "msg", datagrams ^ 1),
                (datagrams, "many", datagrams ^ 1),
            ] {
                let mut command = boxed("steps", &[]);
                command.profile(reaching(rules));
                let decide = only(good);
                command.policy_fn(move || PolicyFn::new(Interest::CONNECT, decide.clone()));
                let mut steps = Steps::start(&mut command);
                let answers = [good, bad].map(|port| steps.step(&format!("{road} 127.0.0.1 {port}")));
                let report = steps.end();
                assert_eq!(answers, ["OK", "EACCES"], "{road} {rules:?}: {report:?}");
                let rule = format!("policy: reach 127.0.0.1:{bad}");
                assert!(report.denials.iter().any(|d| d.rule.to_string() == rule), "{road}: {report:?}");
            }
        }
        let mut bytes = [0; 8];
        udp.set_read_timeout(Some(Duration::from_secs(5))).expect("option");
        assert_eq!(udp.recv(&mut bytes).expect("a datagram"), 1, "it has arrived");
    });
}

#[test]
fn a_function_opens_nothing() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("port");
    let port = other.local_addr().expect("bound").port();
    let mut command = boxed("steps", &[]);
    command.profile(reaching(&["tcp://127.0.0.1:1"]));
    command.policy_fn(|| PolicyFn::new(Interest::CONNECT, |_| Decision::Allow));
    let mut steps = Steps::start(&mut command);
    assert_eq!(steps.step(&format!("tcp 127.0.0.1 {port}")), "EACCES");
    let report = steps.end();
    assert_eq!(report.verdict, Verdict::Ok);
    assert!(report.denials.iter().any(|d| d.rule.to_string().starts_with("network.allow")), "{report:?}");
    // Nor where the profile has no network at all.
    let mut command = boxed("steps", &[]);
    command.policy_fn(|| PolicyFn::new(Interest::CONNECT, |_| Decision::Allow));
    let mut steps = Steps::start(&mut command);
    assert_ne!(steps.step(&format!("tcp 127.0.0.1 {port}")), "OK");
    steps.end();
}

#[test]
fn an_event_has_the_pinned_name() {
    let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
    let all = seen.clone();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("port");
    let port = tcp.local_addr().expect("bound").port();
    let mut command = boxed("steps", &[]);
    command.profile(reaching(&[&format!("tcp://localhost:{port}")]));
    command.policy_fn(move || {
        let all = all.clone();
        PolicyFn::new(Interest::CONNECT | Interest::BIND, move |event| {
            all.lock().expect("list").push(event.clone());
            Decision::Allow
        })
    });
    let mut steps = Steps::start(&mut command);
    assert_eq!(steps.step(&format!("tcp 127.0.0.1 {port}")), "OK");
    assert_eq!(steps.step("bind 127.0.0.1 0"), "OK");
    steps.end();
    let seen = seen.lock().expect("list");
    let [connect, bind] = &seen[..] else { panic!("{seen:?}") };
    let Subject::Connect { to: SocketAddress::Inet(to), hosts } = connect.subject() else { panic!("{connect:?}") };
    assert_eq!(
        (to.port(), hosts.as_slice(), connect.category()),
        (port, &["localhost".to_owned()][..], Category::Network)
    );
    assert!(matches!(bind.subject(), Subject::Bind { to: SocketAddress::Inet(to) } if to.port() == 0), "{bind:?}");
}
