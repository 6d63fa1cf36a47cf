use super::*;

fn fault(text: &str) -> NetFault {
    match text.parse::<NetSpec>() {
        Err(ValueError::BadNet { why, text: quoted }) => {
            assert_eq!(quoted, text);
            why
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn shown(text: &str) -> String {
    text.parse::<NetSpec>().unwrap_or_else(|error| panic!("{error}")).to_string()
}

#[test]
fn what_is_in_its_one_form_stays_as_it_is() {
    for text in [
        "none",
        "host",
        "*",
        "*:443",
        "tcp://*:80,443,8000-8010",
        "udp://example.org:53",
        "example.org",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "192.0.2.1:22",
        "[2001:db8::]/32",
        "[::1]:80",
        "tcp://[::]/0:443",
        "my_host",
        "a-b.c1",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn other_spellings_come_into_one_form() {
    assert_eq!(shown("Example.ORG.:443"), "example.org:443");
    assert_eq!(shown("[::ffff:192.0.2.1]:80"), "192.0.2.1:80");
    assert_eq!(shown("[::ffff:10.0.0.0]/104"), "10.0.0.0/8");
    assert_eq!(shown("10.0.0.1/32"), "10.0.0.1");
    assert_eq!(shown("*:80-80"), "*:80");
    assert_eq!(shown("TCP://*:80"), "tcp://*:80");
}

#[test]
fn a_network_contains_its_addresses_in_every_clothing() {
    let net = |text: &str| match text.parse() {
        Ok(NetSpec::To(NetRule { dest: Dest::Net(net), .. })) => net,
        other => panic!("{other:?}"),
    };
    let contains = |text: &str, addr: &str| net(text).contains(addr.parse().unwrap());
    assert!(contains("10.0.0.0/8", "10.255.0.1"));
    assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert!(!contains("10.0.0.0/8", "11.0.0.1"));
    assert!(contains("0.0.0.0/0", "255.255.255.255"));
    assert!(!contains("0.0.0.0/0", "::1"));
    assert!(contains("[::]/0", "2001:db8::1"));
    assert!(!contains("[::]/0", "192.0.2.1"));
    assert!(contains("[::1]", "::1"));
    assert!(!contains("[::1]", "::2"));
}

#[test]
fn each_fault_has_its_name() {
    let faults = [
        ("", NetFault::NoHost),
        (":80", NetFault::NoHost),
        ("tcp://", NetFault::NoHost),
        ("http://example.org", NetFault::Url("tcp://example.org:80".into())),
        ("ftp://example.org", NetFault::Protocol),
        ("::1", NetFault::Brackets),
        ("2001:db8::/32", NetFault::Brackets),
        ("[::1", NetFault::BadBrackets),
        ("[example.org]", NetFault::BadBrackets),
        ("[127.0.0.1]", NetFault::BadBrackets),
        ("[fe80::1%eth0]", NetFault::BadBrackets),
        ("[2001:db8::/32]", NetFault::BadBrackets),
        ("[::1]x", NetFault::BadBrackets),
        ("a:b:c", NetFault::BadHost),
        ("exa mple.org", NetFault::BadHost),
        ("example.org\0.evil", NetFault::BadHost),
        ("example..org", NetFault::BadHost),
        ("example.org..", NetFault::BadHost),
        ("-x.org", NetFault::BadHost),
        ("b\u{fc}cher.example", NetFault::BadHost),
        ("example.org/8", NetFault::BadHost),
        ("127.1", NetFault::OddAddress),
        ("0x7f.1", NetFault::OddAddress),
        ("0x7f000001", NetFault::OddAddress),
        ("2130706433", NetFault::OddAddress),
        ("010.0.0.1", NetFault::OddAddress),
        ("1.2.3.4.5", NetFault::OddAddress),
        ("127.0.0.1.", NetFault::OddAddress),
        ("*.example.org", NetFault::Wildcard),
        ("10.0.0.0/33", NetFault::BadPrefix),
        ("10.0.0.0/+8", NetFault::BadPrefix),
        ("10.0.0.0/", NetFault::BadPrefix),
        ("[::]/129", NetFault::BadPrefix),
        ("[::ffff:10.0.0.0]/8", NetFault::BadPrefix),
        ("10.0.0.1/8", NetFault::HostBits("10.0.0.0/8".into())),
        ("[2001:db8::1]/32", NetFault::HostBits("[2001:db8::]/32".into())),
        ("https://example.org/", NetFault::Url("tcp://example.org:443".into())),
        ("http://me@example.org/a?c#d", NetFault::Url("tcp://example.org:80".into())),
        ("https://example.org:8443/a", NetFault::Url("tcp://example.org:8443".into())),
        ("http://[::1]/", NetFault::Url("tcp://[::1]:80".into())),
        ("https://", NetFault::Protocol),
        ("https://10.1/", NetFault::Protocol),
        ("a.example,b.example", NetFault::List),
        ("tcp://a.example:80,tcp://b.example:80", NetFault::List),
        ("none,host", NetFault::List),
        ("*:", NetFault::BadPorts),
        ("*:http", NetFault::BadPorts),
        ("*:65536", NetFault::BadPorts),
        ("*:80,", NetFault::BadPorts),
        ("*:+80", NetFault::BadPorts),
        ("*:80-", NetFault::BadPorts),
        ("*:1-2-3", NetFault::BadPorts),
        ("*:90-80", NetFault::Reversed("80-90".into())),
        ("*:0", NetFault::PortZero),
        ("*:0-80", NetFault::PortZero),
    ];
    for (text, expected) in faults {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn a_port_to_listen_on_may_be_zero() {
    assert_eq!(parse_ports("0"), Ok(vec![PortRange { first: 0, last: 0 }]));
    assert_eq!(parse_ports("8000-8010,9000").map(|ranges| ranges.len()), Ok(2));
    assert!(parse_ports("").is_err());
}

#[test]
fn ports_to_listen_on_stand_alone() {
    let fault = |text: &str| match parse_ports(text) {
        Err(ValueError::BadNet { why, .. }) => why,
        other => panic!("{text}: {other:?}"),
    };
    for text in ["99999", "http", "", "80,", "tcp://http"] {
        assert_eq!(fault(text), NetFault::BadBind, "{text}");
    }
    for text in ["tcp://80", "127.0.0.1:80", "[::1]:80", ":80", "*:80"] {
        assert_eq!(fault(text), NetFault::BindAddress("80".into()), "{text}");
    }
    assert_eq!(fault("90-80"), NetFault::Reversed("80-90".into()));
}

#[test]
fn none_and_host_are_no_rules() {
    for text in ["none", "host"] {
        assert!(matches!(text.parse::<NetRule>(), Err(ValueError::BadNet { why: NetFault::NotARule, .. })));
    }
}
