//! What a guest of each preset is and sees, beside a text in the repository: whoever changes a posture changes that text, and is seen to.
//!
//! The text leaves out what differs from machine to machine: numbers of processes and namespaces, mounts of the host's own directories,
//! limits that are the caller's. `UPDATE_POSTURE=1` writes it.
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tipstaff_testkit::{Machine, Ran, User, plain, run, skip};

const PRESETS: [&str; 7] = ["default", "judge", "strict", "python", "node", "build", "agent"];

/// Places that every box has of its own.
const OWN: [&str; 7] = ["/dev", "/proc", "/run", "/tmp", "/var/tmp", "/dev/shm", "/dev/pts"];

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The posture in lines.
fn text(boxed: &Ran, free: &Value) -> String {
    let is = boxed.json();
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{}", format!("{name}: {value}").trim_end_matches(": "));
    };
    let same = |key: &str| if is[key] == free[key] { "the caller's".to_owned() } else { is[key].to_string() };
    line("user ids", &same("uids"));
    line("group ids", &same("gids"));
    // An ordinary user of a user namespace has no other groups; the suite's has none at all.
    line(
        "groups",
        &if is["groups"].as_array().is_some_and(|groups| groups.iter().all(|g| *g == is["gids"][0])) {
            "none but that".to_owned()
        } else {
            words(&is["groups"])
        },
    );
    for set in [
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "SigBlk",
        "SigIgn",
        "SigCgt",
        "TracerPid",
    ] {
        let value = words(&is["status"][set]);
        let number = |of: &Value| words(&of["status"][set]).parse().unwrap_or(0u64);
        match set {
            "TracerPid" if value != "0" => line(set, "traced"),
            // The suite may run under filters of its own.
            "Seccomp_filters" => line(set, &(number(&is) - number(free)).to_string()),
            _ => line(set, &value),
        }
    }
    for key in ["securebits", "dumpable", "scheduler", "umask", "hostname", "no_new_privs"] {
        line(key, &same(key));
    }
    for (kind, there) in is["ns"].as_object().expect("namespaces") {
        let own = there.is_string() && *there != free["ns"][kind];
        line(&format!("{kind} namespace"), if own { "its own" } else { "the caller's" });
    }
    let fds: Vec<_> = is["fds"].as_object().expect("descriptors").keys().cloned().collect();
    line("descriptors", &fds.join(" "));
    let mut env: Vec<_> = is["env"].as_array().expect("names").iter().map(words).collect();
    env.sort();
    line("environment", &env.join(" "));
    for (name, limit) in is["rlimits"].as_object().expect("limits") {
        // Where the kernel counts tasks otherwise, this one is the caller's.
        if name == "nproc" {
            continue;
        }
        let inherited = *limit == free["rlimits"][name] && !["core", "rtprio", "nice"].contains(&name.as_str());
        line(&format!("limit {name}"), &if inherited { "the caller's".to_owned() } else { limit.to_string() });
    }
    line(
        "processes seen",
        if is["pids"].as_array().is_some_and(|pids| pids.len() <= 2) { "its own" } else { "others" },
    );
    let mut own = Vec::new();
    let (mut open, mut writable) = (false, false);
    for mount in is["mounts"].as_array().expect("mounts") {
        let mount = words(mount);
        let fields: Vec<_> = mount.split(' ').collect();
        let options: Vec<_> = fields[5].split(',').filter(|option| !option.contains("atime")).collect();
        let place = fields[4];
        if place == "/" || OWN.contains(&place) || place.starts_with("/dev/") {
            own.push(format!("mount {place}: {}", options.join(",")));
        } else {
            // Which there are depends on the machine.
            open |= !options.contains(&"nosuid") || !options.contains(&"nodev");
            writable |= options.contains(&"rw");
        }
    }
    own.sort();
    own.iter().for_each(|mount| line(mount, ""));
    line("other mounts with set-id bits or devices", if open { "some" } else { "none" });
    line("other mounts that may be written", if writable { "some" } else { "none" });
    for (path, answer) in is["opens"].as_object().expect("openings") {
        // Readable by everybody, and shows zeroes without a capability.
        if path == "/proc/kallsyms" {
            continue;
        }
        // Present or not, refused or hidden: what counts is whether it opens.
        line(&format!("open {path}"), if answer == "OK" { "yes" } else { "no" });
    }
    for rule in boxed.report["enforcement"].as_array().expect("rules") {
        let name = words(&rule["rule"]);
        // What holds a limit depends on the machine's control groups.
        let by = if name.starts_with("limits.") {
            "held".to_owned()
        } else {
            words(&rule["mechanism"]).replace(|c: char| c.is_ascii_digit(), "N")
        };
        line(&format!("rule {name}"), &format!("{by}, {}", words(&rule["level"])));
    }
    text
}

fn file(preset: &str, user: User) -> PathBuf {
    let user = if user == User::Root { "root" } else { "ordinary" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("attacks/posture/{preset}.{user}.txt"))
}

fn check(preset: &str, user: User) {
    if let Some(why) = Machine::Full.unavailable(user) {
        skip!("{why}");
    }
    let ran = run(["posture"]).profile(preset).as_user(user).go();
    ran.expect_ok();
    let rules = ran.report["enforcement"].to_string();
    for needed in ["\"mount namespace\"", "\"pid namespace\"", "landlock (ABI", "seccomp listener"] {
        if !rules.contains(needed) {
            skip!("this machine has no {needed}: what holds instead is docs/security.md");
        }
    }
    let found = text(&ran, &plain(["posture"]).as_user(user).go().json());
    let file = file(preset, user);
    if std::env::var_os("UPDATE_POSTURE").is_some() {
        fs::create_dir_all(file.parent().expect("a directory")).and_then(|()| fs::write(&file, &found)).expect("write");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let other: Vec<_> = found.lines().filter(|line| !expected.lines().any(|known| known == *line)).collect();
    let gone: Vec<_> = expected.lines().filter(|line| !found.lines().any(|known| known == *line)).collect();
    assert!(
        found == expected,
        "the posture of {preset} is another; new: {other:#?}, gone: {gone:#?}. If that is meant, UPDATE_POSTURE=1 writes it"
    );
}

macro_rules! postures {
    ($($preset:ident)*) => {$(
        mod $preset {
            #[test]
            fn root() {
                super::check(stringify!($preset), tipstaff_testkit::User::Root);
            }

            #[test]
            fn ordinary() {
                super::check(stringify!($preset), tipstaff_testkit::User::Ordinary);
            }
        }
    )*};
}

postures! { default judge strict python node build agent }

#[test]
fn every_text_has_its_test() {
    for entry in fs::read_dir(file("x", User::Root).parent().expect("a directory")).expect("postures") {
        let name = entry.expect("entry").file_name().into_string().expect("a name");
        assert!(PRESETS.iter().any(|preset| name.starts_with(&format!("{preset}."))), "{name} belongs to no preset");
    }
}
