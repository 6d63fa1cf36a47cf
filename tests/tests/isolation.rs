//! The state a guest starts in, compared with what was expected.
use std::fs;

use serde_json::{Value, json};
use tipstaff_testkit::{Machine, User, Without, plain, run, skip};

use crate::both;

fn posture(user: User) -> Value {
    let ran = run(["posture"]).as_user(user).go();
    ran.expect_ok();
    ran.json()
}

both!(no_privileges, |user| {
    let posture = posture(user);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(posture["status"][set], "0000000000000000", "{set}");
    }
    assert_eq!(posture["bounding_caps"], 0);
    assert_eq!(posture["no_new_privs"], 1);
    assert_eq!(posture["status"]["NoNewPrivs"], "1");
    assert_eq!(posture["status"]["Seccomp"], "2", "a filter is in force");
    // Positive control: outside the box there is none, and root has capabilities.
    let outside = plain(["posture"]).as_user(user).go().json();
    assert_eq!(outside["no_new_privs"], 0);
    assert_eq!(outside["status"]["Seccomp"], "0");
    assert_ne!(outside["bounding_caps"], 0);
});

both!(signal_state_is_fresh, |user| {
    // The caller ignores and blocks; the guest starts as if nobody had.
    let script = format!(
        "trap '' HUP INT QUIT PIPE CHLD USR1 XCPU; exec {} run --quiet --read {dir} --exec {dir} -- {}",
        tipstaff_testkit::tipstaff().display(),
        tipstaff_testkit::guest("posture").display(),
        dir = tipstaff_testkit::guest("posture").parent().expect("directory").display(),
    );
    let ran = plain(["/bin/bash", "-c", &script]).as_user(user).go();
    ran.expect_exit(0);
    let status = &ran.json()["status"];
    for field in ["SigBlk", "SigIgn", "SigCgt"] {
        ran.check(status[field] == "0000000000000000", format_args!("{field} is {}", status[field]));
    }
});

both!(a_session_of_its_own, |user| {
    let posture = posture(user);
    // 0 where the session's leader lies outside this PID namespace, as in many a container.
    let ours = fs::read_to_string("/proc/self/stat").expect("proc(5)");
    let ours: i64 =
        ours.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3)).expect("a session").parse().expect("a number");
    assert_ne!(posture["sid"], ours, "the caller's session");
    assert_ne!(posture["opens"]["/dev/tty"], "OK", "the caller's terminal");
});

both!(nice_affinity_and_oom_are_the_defaults, |user| {
    let script = format!(
        "exec nice -n 5 {} run --quiet --read {dir} --exec {dir} -- {}",
        tipstaff_testkit::tipstaff().display(),
        tipstaff_testkit::guest("posture").display(),
        dir = tipstaff_testkit::guest("posture").parent().expect("directory").display(),
    );
    let ran = plain(["/bin/sh", "-c", &script]).as_user(user).go();
    ran.expect_exit(0);
    let posture = ran.json();
    // Somebody without privileges may not lower his nice value again; who may, does.
    if user == User::Root {
        ran.check(posture["nice"] == 0, "nice value");
        ran.check(posture["scheduler"] == 0, "scheduler");
    }
    ran.check(posture["oom_score_adj"].as_i64().is_some_and(|adj| adj >= 0), "no guest is spared by the OOM killer");
});

#[test]
fn real_time_is_the_hosts_alone() {
    if let Some(why) = Machine::Full.unavailable(User::Root) {
        skip!("{why}");
    }
    let script = format!(
        "chrt --fifo 1 true || exit 77; exec chrt --fifo 1 {} run --quiet --read {dir} --exec {dir} -- {}",
        tipstaff_testkit::tipstaff().display(),
        tipstaff_testkit::guest("posture").display(),
        dir = tipstaff_testkit::guest("posture").parent().expect("directory").display(),
    );
    let ran = plain(["/bin/sh", "-c", &script]).as_user(User::Root).go();
    if ran.code() == 77 {
        skip!("this machine gives root no real-time priority");
    }
    ran.expect_exit(0);
    ran.check(ran.json()["scheduler"] == 0, "scheduler");
}

both!(namespaces_of_its_own, |user| {
    let posture = posture(user);
    for kind in ["pid", "mnt", "net", "ipc", "uts"] {
        let ours = fs::read_link(format!("/proc/self/ns/{kind}")).expect("a namespace");
        let theirs = &posture["ns"][kind];
        assert!(theirs.is_string(), "{kind}: {posture:#}");
        assert_ne!(*theirs, ours.to_str().expect("ASCII"), "the host's {kind} namespace");
    }
});

both!(only_its_own_processes_are_seen, |user| {
    let posture = posture(user);
    let pids = posture["pids"].as_array().expect("a list");
    assert!(pids.len() <= 2, "processes of others: {pids:?}");
    assert_ne!(posture["pid"], 1, "the program is pid 1, where default signal actions are ignored");
});

both!(mounts_are_private_and_read_only, |user| {
    let posture = posture(user);
    let mounts = posture["mounts"].as_array().expect("a list");
    assert!(!mounts.is_empty());
    for mount in mounts {
        let line = mount.as_str().expect("a line");
        let fields: Vec<_> = line.split(' ').collect();
        assert!(!line.contains(" shared:"), "propagates to the machine: {line}");
        let options: Vec<_> = fields[5].split(',').collect();
        assert!(options.contains(&"nosuid"), "setuid works: {line}");
        let place = fields[4];
        let writable =
            ["/tmp", "/dev/shm", "/proc", "/dev", "/run", "/var/tmp"].iter().any(|dir| place.starts_with(dir));
        assert!(options.contains(&"ro") || writable, "writable: {line}");
    }
});

both!(nobody_outside_can_be_signalled, |user| {
    let me = std::process::id().to_string();
    let ran = run(["signalout", &me]).as_user(user).go();
    ran.expect_ok();
    let answers = ran.json();
    for way in ["kill", "kill_group", "tgkill", "tkill", "sigqueue", "pidfd", "setpriority"] {
        ran.check(answers[way] != "OK", format_args!("{way} reaches a process outside"));
    }
    ran.check(answers["self"] == "OK", "positive control: itself it may signal");
    if user == User::Root || User::me() != 0 {
        let outside = plain(["signalout", &me]).as_user(user).go().json();
        assert_eq!(outside["kill"], "OK", "positive control: outside the box the signal arrives");
    }
});

/// Without a PID namespace the same number is a process of the machine: Landlock's scope, or
/// another uid, must hold.
#[test]
fn nobody_outside_can_be_signalled_without_namespaces() {
    for user in crate::users() {
        for machine in [Machine::from(Without::UserNamespace), Without::Namespaces.into()] {
            let victim = plain(["sleeper", "60"]).as_user(user).start();
            let ran = run(["signalout", &victim.pid().to_string()]).as_user(user).on(machine).go();
            if ran.refused() {
                ran.expect_refused(machine);
            } else {
                ran.expect_ok();
                for way in ["kill", "tgkill", "tkill", "sigqueue", "pidfd"] {
                    ran.check(ran.json()[way] != "OK", format_args!("{way} reaches a process of the same user"));
                }
            }
            victim.signal(tipstaff_testkit::Signal::KILL);
            victim.finish();
        }
    }
}

both!(the_box_cannot_stop_its_supervisor, |user| {
    // Everybody the guest can name gets a signal; the supervisor still writes its report.
    let script = "kill -KILL $PPID; kill -STOP $PPID; kill -KILL 1; kill -KILL -1; echo alive";
    let ran = run(["/bin/sh", "-c", script]).wall("10s").as_user(user).go();
    ran.check(!ran.report.is_null(), "the supervisor lives and reports");
    ran.check(["ok", "signaled", "nonzero_exit"].contains(&ran.verdict()), "no limit and no fault of ours");
});

both!(guests_may_debug_where_the_profile_says_so, |user| {
    let ran = run(["ptracer"]).profile("default").as_user(user).go();
    ran.expect_ok();
    ran.check(
        ran.json() == json!({"traceme": "OK", "seize": "OK", "process_vm_readv": "OK"}),
        "native in the default profile",
    );
    for profile in ["judge", "strict"] {
        let ran = run(["ptracer"]).profile(profile).as_user(user).go();
        if ran.verdict() == "launch_failed" && profile == "strict" {
            skip!("there is no preset strict");
        }
        for way in ["traceme", "seize", "process_vm_readv"] {
            ran.check(!ran.out().contains(&format!("\"{way}\":\"OK\"")), format_args!("{way} works under {profile}"));
        }
    }
    let ran = run(["ptracer"]).profile("judge").option("--guest-ptrace", "native").as_user(user).go();
    ran.expect_ok();
    ran.check(ran.json()["seize"] == "OK", "the flag overrides the profile");
});

both!(the_host_name_is_not_told, |user| {
    let theirs = posture(user)["hostname"].clone();
    let ours = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    if ours.trim() == "tipstaff" {
        skip!("the machine has the name that boxes have");
    }
    assert_ne!(theirs, ours.trim());
});

both!(cwd_is_where_it_was_asked_to_be, |user| {
    let ran = run(["/bin/pwd"]).option("--read", "@WORK").option("--cwd", "@WORK").as_user(user).go();
    ran.expect_ok();
    ran.check(ran.out().trim().ends_with("/work"), "the working directory");
});

#[test]
fn uid_and_gid_are_those_asked_for() {
    if !User::Root.available() {
        skip!("the suite does not run as root");
    }
    let ran = run(["posture"]).option("--uid", "4321").option("--gid", "8765").as_user(User::Root).go();
    ran.expect_ok();
    let posture = ran.json();
    assert_eq!(posture["uids"], json!([4321, 4321, 4321]));
    assert_eq!(posture["gids"], json!([8765, 8765, 8765]));
    assert_eq!(posture["groups"], json!([]), "groups of the caller");
}

/// user_namespaces(7): where one's own groups were mapped without privilege setgroups(2) is "deny", and uid 0 there can clear none.
#[test]
fn as_root_of_a_user_namespace_without_setgroups() {
    let inside = |words: &[&std::ffi::OsStr]| {
        std::process::Command::new("unshare").arg("-rn").args(words).output().expect("unshare(1)")
    };
    let denied = inside(&["grep".as_ref(), "deny".as_ref(), "/proc/self/setgroups".as_ref()]);
    if !denied.status.success() {
        tipstaff_testkit::skip!("no user namespace without setgroups(2) can be made with unshare(1)");
    }
    let tipstaff = tipstaff_testkit::tipstaff().as_os_str();
    let ran = inside(&[tipstaff, "run".as_ref(), "--".as_ref(), "sh".as_ref(), "-c".as_ref(), "echo ran".as_ref()]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "ran\n", "{}", String::from_utf8_lossy(&ran.stderr));
}
