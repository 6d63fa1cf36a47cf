use super::*;

fn peers(rules: &[&str]) -> Vec<Peer> {
    let one = |text: &&str| {
        let rule: NetRule = text.parse().expect("a rule");
        let pinned: &[IpAddr] = match rule.dest {
            Dest::Name(_) => &[IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            _ => &[],
        };
        Peer::new(&rule, pinned)
    };
    rules.iter().map(one).collect()
}

fn reach(allow: &[&str], deny: &[&str]) -> Reach {
    Reach { everything: false, allow: peers(allow), deny: peers(deny) }
}

fn goes(reach: &Reach, proto: Proto, peer: &str) -> bool {
    reach.permits(proto, meant(peer.parse().expect("an address"))).is_ok()
}

#[test]
fn an_empty_list_allows_nobody() {
    for peer in ["127.0.0.1:80", "[::1]:80", "192.0.2.1:443"] {
        assert!(!goes(&reach(&[], &[]), Proto::Tcp, peer), "{peer}");
    }
    assert!(goes(&reach(&["*"], &[]), Proto::Tcp, "192.0.2.1:443"), "the control");
}

#[test]
fn protocol_address_and_port_all_count() {
    let reach = reach(&["tcp://192.0.2.1:443"], &[]);
    assert!(goes(&reach, Proto::Tcp, "192.0.2.1:443"));
    assert!(goes(&reach, Proto::Tcp, "[::ffff:192.0.2.1]:443"), "in IPv6 clothes");
    for (proto, peer) in [(Proto::Udp, "192.0.2.1:443"), (Proto::Tcp, "192.0.2.1:80"), (Proto::Tcp, "192.0.2.2:443")] {
        assert!(!goes(&reach, proto, peer), "{proto} {peer}");
    }
}

#[test]
fn names_are_their_pinned_addresses() {
    let reach = reach(&["tcp://example.test:80"], &[]);
    assert!(goes(&reach, Proto::Tcp, "192.0.2.7:80") && goes(&reach, Proto::Tcp, "[::1]:80"));
    assert!(!goes(&reach, Proto::Tcp, "192.0.2.8:80"));
}

#[test]
fn deny_beats_allow_in_every_clothing() {
    let reach = reach(&["*"], &["169.254.169.254", "[::1]", "127.0.0.0/8"]);
    for peer in [
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[64:ff9b:1::a9fe:a9fe]:80",
        "[2002:a9fe:a9fe::1]:80",
        "[::a9fe:a9fe]:80",
        "0.0.0.0:80",
        "[::]:80",
        "[::ffff:0.0.0.0]:80",
        "127.9.9.9:80",
    ] {
        assert!(!goes(&reach, Proto::Tcp, peer), "{peer}");
    }
    for peer in ["169.254.169.253:80", "[2001:db8::a9fe:a9fe]:80", "[64:ff9b::1.2.3.4]:80"] {
        assert!(goes(&reach, Proto::Tcp, peer), "{peer}");
    }
}

#[test]
fn what_a_gateway_might_unwrap_is_not_allowed_by_it() {
    let reach = reach(&["192.0.2.1"], &[]);
    assert!(
        !goes(&reach, Proto::Tcp, "[64:ff9b::192.0.2.1]:80"),
        "there may be no gateway, but a host of that address"
    );
}

#[test]
fn the_unspecified_address_is_loopback() {
    let reach = reach(&["127.0.0.1:80"], &[]);
    assert!(goes(&reach, Proto::Tcp, "0.0.0.0:80"));
    assert!(!goes(&reach, Proto::Tcp, "[::]:80"), "that is ::1");
    let given = |text: &str| meant(text.parse().expect("an address")).to_string();
    assert_eq!(given("0.0.0.0:80"), "127.0.0.1:80");
    assert_eq!(given("[::]:80"), "[::1]:80");
    assert_eq!(given("[2001:db8::1%3]:80"), "[2001:db8::1]:80", "no scope where none counts");
    assert_eq!(given("[fe80::1%3]:80"), "[fe80::1%3]:80");
}

#[test]
fn a_refusal_names_the_peer_and_the_cure() {
    let reach = reach(&["tcp://192.0.2.1:443"], &["udp://192.0.2.9"]);
    let why = |proto, peer: &str| reach.permits(proto, peer.parse().expect("an address")).expect_err("refused");
    let refused = why(Proto::Tcp, "[2001:db8::1]:80");
    assert_eq!(refused.rule, "network.allow: tcp://[2001:db8::1]:80 is not in the list");
    let allow_with = refused.allow_with.expect("a cure");
    assert_eq!(allow_with, "--net tcp://[2001:db8::1]:80");
    assert!(allow_with.strip_prefix("--net ").expect("an option").parse::<NetRule>().is_ok());
    assert_eq!(why(Proto::Udp, "192.0.2.9:53").rule, "network.deny = \"udp://192.0.2.9\": udp://192.0.2.9:53");
}

#[test]
fn the_kernel_alone_can_say_ports_of_tcp() {
    assert!(reach(&["tcp://*:443", "tcp://*:80-82"], &[]).is_ports_alone());
    assert!(!reach(&["tcp://*:443"], &["192.0.2.1"]).is_ports_alone());
    assert!(!reach(&["*:443"], &[]).is_ports_alone(), "UDP too");
    assert!(!reach(&["tcp://192.0.2.1:443"], &[]).is_ports_alone());
    assert_eq!(reach(&["tcp://*:443", "udp://*"], &[]).tcp_ports().map(|ports| ports.len()), Some(1));
    assert_eq!(reach(&["tcp://*"], &[]).tcp_ports(), None);
}
