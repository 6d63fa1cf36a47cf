//! Poorer machines are really poorer: what `without` says it takes away is gone, and the rest is
//! still there. The first line of each is the positive control of the next ones.
use serde_json::Value;
use tipstaff_testkit::{Machine, Under, User, Without, guest, plain};

use crate::both;

/// What can be had on `machine`, by trying.
fn what_is_there(user: User, machine: Machine) -> Value {
    let check = plain([guest("without")]).arg("--check").as_user(user).on(machine).go();
    check.expect_exit(0);
    check.json()
}

fn lacks(user: User, machine: impl Into<Machine>, expected: &[(&str, &str)]) {
    let machine = machine.into();
    if let Some(why) = machine.unavailable(user) {
        tipstaff_testkit::skip!("{why}");
    }
    let full = what_is_there(user, Machine::Full);
    let poor = what_is_there(user, machine);
    for (feature, errno) in expected {
        assert_ne!(full[feature], *errno, "{feature} is missing on this machine anyway: {full}");
        assert_eq!(poor[feature], *errno, "{machine:?}: {poor}");
    }
    for (feature, before) in full.as_object().expect("an object") {
        let changes = expected.iter().any(|(changed, _)| changed == feature);
        // no_new_privs is needed for a filter by whoever is not root; capabilities change where the
        // machine says so.
        let may = ["no_new_privs", "bounding", "netns"].contains(&feature.as_str());
        assert!(changes || may || poor[feature] == *before, "{machine:?} changes {feature} too: {poor}");
    }
}

both!(without_cgroup, |user| lacks(user, Without::Cgroup, &[("cgroup", "ENOENT")]));
both!(without_user_namespace, |user| {
    lacks(user, Without::UserNamespace, &[("userns", "EPERM"), ("clone_userns", "EPERM"), ("clone3", "ENOSYS")]);
});
both!(without_namespaces, |user| {
    lacks(user, Without::Namespaces, &[("userns", "EPERM"), ("clone_userns", "EPERM"), ("clone3", "ENOSYS")]);
});
both!(without_landlock, |user| lacks(user, Without::Landlock, &[("landlock", "ENOSYS")]));
both!(without_listener, |user| lacks(user, Without::Listener, &[("listener", "EBUSY")]));
both!(without_clone3, |user| lacks(user, Without::Clone3, &[("clone3", "ENOSYS")]));
both!(without_ptrace, |user| lacks(user, Without::Ptrace, &[("ptrace", "EPERM")]));
both!(under_docker, |user| {
    let expected = [
        ("userns", "EPERM"),
        ("clone_userns", "EPERM"),
        ("clone3", "ENOSYS"),
        ("bpf", "EPERM"),
        ("personality", "EPERM"),
    ];
    lacks(user, Under::DockerSeccomp, &expected);
});

#[test]
fn the_ordinary_user_is_nobody_special() {
    let there = what_is_there(User::Ordinary, Machine::Full);
    assert_ne!(there["uid"], 0);
    assert_eq!(there["uid"], there["euid"]);
    if User::me() == 0 {
        assert_eq!(there["groups"], 0);
    }
}
