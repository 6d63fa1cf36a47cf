//! W: ways to the network.
use tipstaff_testkit::plain;

use crate::attacks;
use crate::case::{Case, all_refused, answers, refused, works};
use crate::notifications::{allowed, ports};

attacks! {
    W1 "a name that changes its address between look and connect" => held("crates/tipstaff/tests/policy/network.rs": an_event_has_the_pinned_name,
        "tests/tests/network_names.rs": the_boxs_name_server_knows_allowed_names_only);
    W2 "an address in other clothing" => held("crates/policy/src/value/net_tests.rs": a_network_contains_its_addresses_in_every_clothing
        other_spellings_come_into_one_form, "crates/supervise/src/network/address.rs": what_is_judged_is_what_the_kernel_gets);
    W3 "the address of nobody reaches the loopback" => held("tests/tests/net.rs": nothing_on_the_host_is_reached, "tests/tests/network.rs":
        every_road_is_asked_about);
    W4 "names and numbers that parsers read differently" => held("crates/policy/src/value/net_tests.rs": each_fault_has_its_name
        other_spellings_come_into_one_form, "crates/supervise/src/network/dns.rs": nonsense_is_an_error_or_nothing);
    W5 "families of sockets beside the internet's" => tried(native notify ptrace: families)
        + held("crates/policy/src/base/tests.rs": sockets_by_domain_type_and_protocol);
    W6 "every call that sends to an address" => held("tests/tests/network.rs": every_road_is_asked_about under_a_tracer_the_same without_namespaces_the_same);
    W7 "a socket that is connected again" => held("tests/tests/network.rs": every_road_is_asked_about, "tests/tests/network_drill.rs":
        a_socket_that_changes_meanwhile);
    W8 "listening without a bind" => held("tests/tests/network.rs": a_server_listens_where_it_may the_kernel_alone_holds_ports);
    W9 "a listener's port taken over" => tried(native notify ptrace: taken_port)
        + held("tests/tests/network.rs": a_server_listens_where_it_may);
    W10 "protocols that Landlock does not know" => held("crates/policy/src/base/tests.rs": sockets_by_domain_type_and_protocol, "tests/tests/network.rs":
        the_kernel_alone_holds_ports);
    W11 "control messages that name another way" => held("tests/tests/network.rs": every_road_is_asked_about, "tests/tests/network_send.rs":
        what_waits_is_held_within_a_budget);
    W12 "a proxy variable that a program ignores" => held("tests/tests/network.rs": real_programs_reach_by_name_and_no_further
        java_reaches_by_rule_and_no_further);
    W13 "a relay inside that speaks for others" => tried(notify ptrace: relay);
    W14 "names inside of TLS and HTTP" => tried(notify ptrace: other_names);
    W15 "bytes that leave in names" => held("tests/tests/network_names.rs": the_boxs_name_server_knows_allowed_names_only real_resolvers_find_allowed_names);
    W16 "services on the host's loopback" => held("tests/tests/net.rs": nothing_on_the_host_is_reached nothing_is_reached_on_poorer_machines loopback_of_its_own);
    W17 "a socket that was there before" => held("tests/tests/stdio.rs": no_other_descriptor_arrives, "tests/tests/net.rs": a_connected_stdin_is_no_way_out);
    W18 "an empty list that means everything" => tried(native notify ptrace: empty_lists)
        + held("tests/tests/network.rs": an_empty_list_and_a_denial_close_and_the_rest_is_open);
}

fn families(case: &Case) {
    let free = answers(&case.free(["attackcalls", "families"]).go());
    assert!(free.values().any(|answer| answer == "OK"), "the control makes some: {free:?}");
    for preset in ["default", "judge", "strict"] {
        let ran = case.boxed(["attackcalls", "families"]).profile(preset).go();
        ran.expect_ok();
        all_refused(&ran);
    }
}

fn taken_port(case: &Case) {
    // A server of the same user with SO_REUSEPORT, and a box that would share its port.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let script = format!(
        "import socket\ns = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\ns.bind(('127.0.0.1', {port}))\ns.listen()\nprint('bound', s.getsockname()[1] == {port})\n\
         c = socket.create_connection(('127.0.0.1', {port}), 5)\na, _ = s.accept()\nprint('own', True)\n"
    );
    if plain(["/usr/bin/python3", "-c", "pass"]).as_user(case.user).go().code() != 0 {
        tipstaff_testkit::skip!("python3 is not installed");
    }
    // In a network of its own the port is free, and whoever connects there meets the box itself: never the host's listener.
    let ran = case.boxed(["/usr/bin/python3", "-c", &script]).profile("judge").go();
    ran.expect_ok().expect_stdout("bound True\nown True\n");
    listener.set_nonblocking(true).expect("own socket");
    assert!(listener.accept().is_err(), "the host's listener was reached");
    let free = case.free(["/usr/bin/python3", "-c", &script]).go();
    free.check(free.code() != 0, "the control: outside the port is taken");
}

fn relay(case: &Case) {
    let [good, bad] = ports();
    let words = ["attackreach", "relay", &good, &bad];
    works(&case.free(words).go(), &["right", "wrong"]);
    let ran = case.boxed(words).option("--net", allowed(&good)).go();
    ran.expect_ok();
    works(&ran, &["right"]);
    refused(&ran, &["wrong"]);
}

/// Rules are about addresses and ports. What is said on an allowed connection is not looked at, and no rule can be written that claims it.
fn other_names(case: &Case) {
    let [good, bad] = ports_that_answer();
    let words = ["attackreach", "host", &good, &bad];
    works(&case.free(words).go(), &["named", "wrong"]);
    let ran = case.boxed(words).option("--net", allowed(&good)).go();
    ran.expect_ok();
    // The documented limit; and whom the request names is not reached by it.
    works(&ran, &["named"]);
    refused(&ran, &["wrong"]);
    for rule in [
        "https://127.0.0.1:443",
        "http://127.0.0.1",
        "tcp://127.0.0.1:80/path",
        "tcp://user@127.0.0.1:80",
        "tcp://127.0.0.1:80?x",
        "tcp://127.0.0.1:80#x",
        "tcp://127.0.0.1%2e:80",
    ] {
        let ran = case.boxed(words).option("--net", rule).without_report().go();
        ran.expect_exit(125);
        ran.check(ran.stdout.is_empty(), format_args!("{rule} is a rule"));
    }
}

/// Two servers that answer a request.
fn ports_that_answer() -> [String; 2] {
    [0, 0].map(|_| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port().to_string();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for mut stream in listener.incoming().flatten() {
                // Whoever only connects is gone before it says anything.
                if stream.read(&mut [0; 512]).is_ok_and(|n| n > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                }
            }
        });
        port
    })
}

fn empty_lists(case: &Case) {
    let [good, bad] = ports();
    let words = ["attackreach", "once", &good, &bad];
    works(&case.free(words).go(), &["right", "wrong"]);
    for network in ["allow = []", "allow = []\ndeny = []\nbind = []", "deny = [\"192.0.2.1\"]", ""] {
        let profile = format!("extends = \"judge\"\n[network]\n{network}\n");
        let ran = case.boxed(words).work_file("p.toml", profile).option("--profile", "@WORK/p.toml").go();
        ran.expect_ok();
        refused(&ran, &["right", "wrong"]);
    }
    // The control, where this engine can ask: the list with one in it.
    if case.engine != "native" {
        let profile = format!("extends = \"judge\"\n[network]\nallow = [\"{}\"]\n", allowed(&good));
        let ran = case.boxed(words).work_file("p.toml", profile).option("--profile", "@WORK/p.toml").go();
        works(&ran, &["right"]);
        refused(&ran, &["wrong"]);
    }
    // Lists of files: what none names is not there.
    let cat = ["/bin/cat", "@WORK/it"];
    let files = |lists: &str| {
        let text = format!("extends = \"judge\"\n[filesystem]\ncwd = \"none\"\n{lists}\n");
        case.boxed(cat).work_file("it", "content").work_file("p.toml", text).option("--profile", "@WORK/p.toml")
    };
    let ran = files("read = []\nwrite = []").go();
    ran.check(ran.stdout.is_empty(), "an empty list shows a file");
    files("read = []").option("--read", "@WORK").go().expect_ok().expect_stdout("content");
}
