//! Where there is no eBPF, the reason is said.

use std::process::Command;

use tipstaff_observe::{Unavailable, probe};

/// Runs one test of this program again, changed.
fn again(test: &str, change: impl FnOnce(&mut Command)) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture", "--ignored"]);
    change(&mut command);
    let out = command.output().expect("run");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
#[ignore = "run by the tests below"]
fn says() {
    match probe() {
        Ok(()) => println!("there"),
        Err(error) => println!("error: {error} ({error:?})"),
    }
}

#[test]
fn it_can_be_switched_off_for_tests() {
    let said = again("unavailable::says", |command| {
        command.env("TIPSTAFF_WITHOUT_BPF", "1");
    });
    assert!(said.contains("error: switched off by TIPSTAFF_WITHOUT_BPF"), "{said}");
}

#[test]
fn an_ordinary_user_hears_which_capabilities_are_missing() {
    use std::os::unix::process::CommandExt;
    let said = again("unavailable::says", |command| {
        if tipstaff_testkit::User::me() == 0 {
            // This program lies where another user may not look: the descriptor is handed over.
            command.uid(12345).gid(12345);
        }
    });
    if said.is_empty() {
        tipstaff_testkit::skip!("another user cannot execute the test program");
    }
    assert!(said.contains("CAP_BPF and CAP_PERFMON are needed"), "{said}");
}

#[test]
fn the_probe_says_what_a_recording_would() {
    match (probe(), tipstaff_observe::Observer::load(&tipstaff_observe::Setup::default())) {
        (Ok(()), Ok(_)) => {}
        (Err(Unavailable::Permission { .. }), Err(Unavailable::Permission { .. })) => {}
        (probed, loaded) => panic!("{probed:?} {loaded:?}"),
    }
}
