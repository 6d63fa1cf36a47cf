//! What is taken from a box that runs.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use tipstaff::policy::profile::PathRule;
use tipstaff::{Decision, Dropped, Interest, PolicyFn, Verdict};
use tipstaff_testkit::{Machine, User, Without, also_elsewhere};

use crate::guests::{Steps, boxed, scratch, with_guests};

#[test]
fn a_path_is_denied_to_everybody() {
    also_elsewhere("restrict::a_path_is_denied_to_everybody", &[(User::Ordinary, Machine::Full)], || {
        let scratch = scratch();
        let (dir, other) = (scratch.dir("top/secret"), scratch.dir("top/other"));
        for file in [dir.join("key"), dir.join("kept"), other.join("key")] {
            fs::write(file, "k").expect("own file");
        }
        let top = scratch.join("top").display().to_string();
        let mut command = boxed("steps", &[]);
        let mut profile = with_guests();
        profile.0.filesystem.write.push(PathRule::new(scratch.path()));
        command.profile(profile);
        let mut steps = Steps::start(&mut command);
        assert_eq!(steps.step(&format!("open {top}/secret/key")), "OK");
        assert_eq!(steps.step(&format!("keep {top}/secret/kept")), "OK");
        let restrict = steps.child.restrict();
        restrict.deny_path(&dir).expect("a directory");
        restrict.deny_path(other.join("key")).expect("a file");
        assert_eq!(steps.step(&format!("list {top}/secret")), "EACCES");
        assert_eq!(steps.step(&format!("open {top}/secret/key")), "EACCES");
        assert_eq!(steps.step(&format!("open {top}/other/key")), "EACCES");
        assert_eq!(steps.step(&format!("list {top}/other")), "OK", "its neighbours stay");
        assert_eq!(steps.step("again"), "OK", "what is open stays open");
        assert_eq!(steps.step(&format!("rename {top}/secret {top}/moved")), "EBUSY");
        // By another name of a directory on the way.
        assert_eq!(steps.step(&format!("rename {top} {}", scratch.join("moved").display())), "OK");
        assert_eq!(steps.step(&format!("open {}", scratch.join("moved/secret/key").display())), "EACCES");
        assert_eq!(restrict.deny_path("/no/such/file").expect_err("absent").kind(), ErrorKind::NotFound);
        assert_eq!(restrict.deny_path("relative").expect_err("no path").kind(), ErrorKind::InvalidInput);
        assert_eq!(restrict.deny_path("/").expect_err("no path").kind(), ErrorKind::InvalidInput);
        let report = steps.end();
        assert_eq!(report.verdict, Verdict::Ok, "{report:?}");
        let told = report.enforcement.iter().filter(|e| e.rule.to_string().starts_with("deny_path")).count();
        assert_eq!(told, 2, "{:?}", report.enforcement);
        assert_eq!(restrict.deny_path("/etc").expect_err("over").kind(), ErrorKind::NotFound);
        // The host has what it had.
        assert_eq!(fs::read(scratch.join("moved/secret/key")).expect("own file"), b"k");
    });
}

#[test]
fn where_nobody_can_mount_it_says_so() {
    also_elsewhere(
        "restrict::where_nobody_can_mount_it_says_so",
        &[(User::Ordinary, Machine::Without(Without::UserNamespace))],
        || {
            let steps = Steps::start(&mut boxed("steps", &[]));
            let denied = steps.child.restrict().deny_path("/etc");
            if steps.child.restrict().drop_network().is_ok_and(|dropped| dropped == Dropped::HadNone) {
                denied.expect("a mount namespace");
            } else {
                assert_eq!(denied.expect_err("no mount namespace").kind(), ErrorKind::Unsupported);
            }
            steps.end();
        },
    );
}

#[test]
fn a_function_can_take_a_path_away() {
    let scratch = scratch();
    let key = scratch.file("key", "k");
    let mut command = boxed("steps", &[]);
    let mut profile = with_guests();
    profile.0.filesystem.read.push(PathRule::new(scratch.path()));
    command.profile(profile);
    let path = key.clone();
    command.policy_fn(move || {
        let path = path.clone();
        let decide = move |event: &tipstaff::Event| match event.restrict().deny_path(&path) {
            Ok(()) => Decision::Allow,
            Err(_) => Decision::Kill,
        };
        PolicyFn::new(Interest::default(), decide).calls(["getppid"])
    });
    let mut steps = Steps::start(&mut command);
    let open = format!("open {}", key.display());
    assert_eq!(steps.step(&open), "OK");
    assert_eq!(steps.step("pid"), "OK");
    assert_eq!(steps.step(&open), "EACCES");
    assert_eq!(steps.end().verdict, Verdict::Ok);
}

#[test]
fn the_network_is_dropped() {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("port");
    let connect = format!("tcp 127.0.0.1 {}", tcp.local_addr().expect("bound").port());
    let mut command = boxed("steps", &[]);
    let mut profile = with_guests();
    profile.0.network.allow = Some(vec!["tcp://127.0.0.1".parse().expect("a rule")]);
    command.profile(profile);
    let mut steps = Steps::start(&mut command);
    assert_eq!(steps.step(&connect), "OK");
    assert_eq!(steps.child.restrict().drop_network().expect("rules by address"), Dropped::Done { sockets: 0 });
    assert_eq!(steps.step(&connect), "EACCES");
    let report = steps.end();
    assert!(report.enforcement.iter().any(|e| e.rule == *"drop_network"), "{report:?}");
    // Without one there is nothing to be dropped; with all of the caller's nobody could.
    let steps = Steps::start(&mut boxed("steps", &[]));
    assert_eq!(steps.child.restrict().drop_network().expect("none"), Dropped::HadNone);
    steps.end();
    let mut command = boxed("steps", &[]);
    let mut profile = with_guests();
    profile.0.network.allow = Some(vec!["host".parse().expect("a rule")]);
    let mut steps = Steps::start(command.profile(profile));
    assert_eq!(steps.child.restrict().drop_network().expect_err("the kernel's").kind(), ErrorKind::Unsupported);
    assert_eq!(steps.step(&connect), "OK");
    steps.end();
}

#[test]
fn what_waits_listens_or_stands_apart_is_dropped_too() {
    for drops in [false, true] {
        let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("port");
        let full = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("port");
        // A backlog that is full: the next one waits until somebody accepts.
        rustix::net::listen(&full, 0).expect("a backlog of its own");
        let address = full.local_addr().expect("bound");
        let filler = std::net::TcpStream::connect(address).expect("the one that fits");
        let own = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port").port();
        let mut command = boxed("steps", &[]);
        let mut profile = with_guests();
        profile.0.network.allow = Some(vec!["tcp://127.0.0.1".parse().expect("a rule")]);
        profile.0.network.bind = vec![tipstaff::policy::value::PortRange { first: own, last: own }];
        let mut steps = Steps::start(command.profile(profile));
        let open_port = open.local_addr().expect("bound").port();
        assert_eq!(steps.step(&format!("apart 127.0.0.1 {open_port}")), "OK");
        let listen = format!("listen 127.0.0.1 {own}");
        assert_eq!(steps.step(&listen), "OK");
        assert_eq!(steps.step(&format!("pend 127.0.0.1 {}", address.port())), "OK");
        std::thread::sleep(std::time::Duration::from_millis(300));
        if drops {
            let dropped = steps.child.restrict().drop_network().expect("rules by address");
            assert!(matches!(dropped, Dropped::Done { sockets: 1.. }), "{dropped:?}");
        }
        // There is room now.
        drop(full.accept().expect("the filler"));
        drop(filler);
        let said = ["over 1", "send 1", &listen].map(|words| steps.step(words));
        assert_eq!(said, if drops { ["EACCES", "EPIPE", "EACCES"] } else { ["OK"; 3] });
        let report = steps.end();
        let named = format!("{report:?}").contains("the network of this box was dropped while it ran");
        assert_eq!(named, drops, "{report:?}");
    }
}

#[test]
fn limits_only_sink() {
    let places = [(User::Ordinary, Machine::Full), (User::Ordinary, Machine::Without(Without::Cgroup))];
    also_elsewhere("restrict::limits_only_sink", &places, || {
        let start = || {
            let mut command = boxed("steps", &[]);
            command.profile(with_guests().processes(20).memory(512 << 20));
            Steps::start(&mut command)
        };
        let mut steps = start();
        let restrict = steps.child.restrict();
        assert_eq!(steps.step("fork 4"), "4");
        for wrong in [20, 21, 0] {
            assert_eq!(restrict.limit_processes(wrong).expect_err("no lower").kind(), ErrorKind::InvalidInput);
        }
        // A hold stays one, and what comes after it is the lower limit.
        let held = steps.child.hold().is_ok();
        restrict.limit_processes(8).expect("lower");
        if held {
            assert_eq!(steps.step("fork 1"), "0", "held");
            steps.child.release().expect("let go");
        }
        assert_eq!(steps.step("fork 30"), "3", "with the first one: eight");
        assert_eq!(restrict.limit_processes(9).expect_err("higher again").kind(), ErrorKind::InvalidInput);
        assert_eq!(restrict.limit_memory(512 << 20).expect_err("no lower").kind(), ErrorKind::InvalidInput);
        assert_eq!(steps.step("touch 40"), "OK");
        restrict.limit_memory(100 << 20).expect("lower");
        // Sampled, it can still answer.
        steps.step("touch 300");
        let report = steps.killed();
        assert_eq!(report.verdict, Verdict::MemoryLimit, "{report:?}");
        assert!(report.limits_hit.iter().any(|hit| hit.limit_value == 100 << 20), "{:?}", report.limits_hit);
        let mut steps = start();
        assert_eq!((steps.step("fork 30"), steps.step("touch 300")), ("19".to_owned(), "OK".to_owned()));
        steps.end();
    });
}
