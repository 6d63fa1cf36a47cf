//! The path policy, and what enforces it.

use std::fs;

use tipstaff::handler::provided::{PathCounts, PathPolicy};
use tipstaff::{Command, Output, Verdict};
use tipstaff_testkit::{Machine, Scratch, User, Without, also_elsewhere, guest};

use crate::guests::{boxed, show, text, with_guests};

/// A directory with `open`, `shut`, `ban` (a file each) and an empty `out`.
fn tree() -> Scratch {
    let user = if User::Root.available() { User::Root } else { User::Ordinary };
    let scratch = Scratch::new(user);
    for name in ["open", "shut", "ban"] {
        scratch.file(format!("{name}/file"), if name == "open" { "public" } else { "secret" });
    }
    scratch.dir("out");
    scratch
}

fn policy(dir: &str) -> PathPolicy {
    // A static program's start looks at /proc/self/exe.
    let policy = PathPolicy::new().read(format!("{dir}/open/")).write(format!("{dir}/out/")).stat("/proc/self/exe");
    policy.ban(format!("{dir}/ban/"), 5)
}

fn run(policy: PathPolicy, words: &[String]) -> (Output, PathCounts) {
    let counts = policy.counts();
    let mut command = Command::new(guest("calls"));
    command.args(words).profile(with_guests()).paths(policy);
    (command.output().expect("run"), counts)
}

#[test]
fn sets_decide_and_count() {
    let places = [
        (User::Ordinary, Machine::Full),
        (User::Root, Machine::Without(Without::Namespaces)),
        (User::Ordinary, Machine::Without(Without::UserNamespace)),
        (User::Ordinary, Machine::Without(Without::Landlock)),
    ];
    also_elsewhere("paths::sets_decide_and_count", &places, || {
        let scratch = tree();
        let dir = show(scratch.path());
        std::os::unix::fs::symlink("../shut/file", scratch.join("open/way")).expect("link");
        let words = ["cat=D/open/file", "cat=D/shut/file", "cat=D/ban/file", "cat=D/open/way", "stat=D", "stat=D/shut"]
            .into_iter()
            .chain([
                "touch=D/open/new",
                "touch=D/out/new",
                "mkdir=D/out/sub",
                "mkdir=D/shut/sub",
                "cat=/proc/self/fd/0",
            ])
            .map(|word| word.replace('D', dir));
        let (output, counts) = run(policy(dir), &words.collect::<Vec<_>>());
        let seen: Vec<_> = text(&output).lines().map(str::to_owned).collect();
        let right = ["cat OK public", "cat EACCES ", "cat EIO ", "cat EACCES ", "stat OK", "stat EACCES"]
            .into_iter()
            .chain(["touch EACCES", "touch OK", "mkdir OK", "mkdir EACCES", "cat EACCES "]);
        assert_eq!(seen, right.collect::<Vec<_>>(), "{output:?}");
        assert_eq!(output.report.verdict, Verdict::Ok);
        assert!(scratch.join("out/new").is_file() && scratch.join("out/sub").is_dir());
        let tally = counts.tally();
        assert_eq!((tally.read, tally.write, tally.stat, tally.exec), (1, 2, 2, 0), "{tally:?}");
        // Also in a box whose view does not have it.
        assert_eq!(tally.soft.values().sum::<u64>(), 1, "{tally:?}");
        assert!(tally.refused.values().sum::<u64>() >= 4, "{tally:?}");
    });
}

#[test]
fn a_refusal_can_kill() {
    let scratch = tree();
    let dir = show(scratch.path());
    let (output, _) = run(policy(dir).kill(), &[format!("cat={dir}/shut/file")]);
    assert_eq!(output.report.verdict, Verdict::PolicyViolation, "{output:?}");
    let (output, _) = run(policy(dir).kill(), &[format!("cat={dir}/open/file")]);
    assert_eq!(output.report.verdict, Verdict::Ok, "{output:?}");
}

#[test]
fn a_dynamic_program_runs_under_a_policy() {
    let policy =
        PathPolicy::new().exec("/usr/").exec("/bin/").exec("/lib/").exec("/lib64/").read("/etc/").read("/proc/self/");
    let policy = policy.read("/dev/*").stat("/").write("/tmp/");
    let counts = policy.counts();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo a > /tmp/tipstaff-here; cat /tmp/tipstaff-here; ls / >/tmp/tipstaff-there; exec tr a b < /tmp/tipstaff-here"]).paths(policy);
    let output = command.output().expect("run");
    assert_eq!((text(&output).as_str(), output.report.verdict), ("a\nb\n", Verdict::Ok), "{output:?}");
    assert!(!std::path::Path::new("/tmp/tipstaff-here").exists(), "the box has a /tmp of its own");
    let tally = counts.tally();
    assert!(tally.exec >= 3 && tally.write >= 3, "{tally:?}");
}

#[test]
fn the_policy_of_the_documentation() {
    let policy =
        PathPolicy::new().exec("/usr/").exec("/bin/").exec("/lib/").exec("/lib64/").read("/etc/").write("/tmp/");
    let policy = policy.ban("/etc/passwd", 2);
    let counts = policy.counts();
    let output = Command::new("sh").args(["-c", "cat /etc/passwd"]).paths(policy).output().expect("run");
    assert_eq!(counts.tally().soft.into_iter().collect::<Vec<_>>(), [("/etc/passwd".into(), 1)], "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file"), "{output:?}");
}

#[test]
fn what_is_below_holds_when_memory_is_rewritten() {
    let places = [
        (User::Ordinary, Machine::Full),
        (User::Root, Machine::Without(Without::Namespaces)),
        (User::Root, Machine::Without(Without::Landlock)),
    ];
    also_elsewhere("paths::what_is_below_holds_when_memory_is_rewritten", &places, || {
        let scratch = tree();
        let (open, shut) = (scratch.join("open/file"), scratch.join("shut/file"));
        let args = [show(&open), show(&shut), "3000"];
        let dir = show(scratch.path());
        let mut command = boxed("swapopen", &args);
        command.paths(policy(dir));
        let output = command.output().expect("run");
        assert_eq!(text(&output), "opened some, secret 0\n", "{output:?}");
    });
    // The handler alone, over a profile that shows both.
    let scratch = tree();
    let (open, shut) = (scratch.join("open/file"), scratch.join("shut/file"));
    let mut command = boxed("swapopen", &[show(&open), show(&shut), "1000000"]);
    let policy = policy(show(scratch.path()));
    command.profile(with_guests().read(scratch.path())).handler(move || policy.clone());
    let output = command.output().expect("run");
    assert_eq!(text(&output), "opened some, secret 1\n", "the attack works: {output:?}");
}

#[test]
fn directories_and_descriptors_lead_where_they_lead() {
    let scratch = tree();
    let dir = show(scratch.path());
    fs::write(scratch.join("open/script"), "cd D/open; cat file; cat ../shut/file; cd ../out && echo x > y && cat ./../out/y; exec 7< .; cat /proc/self/fd/7/y; cat /proc/self/cwd/y".replace('D', dir)).expect("script");
    let policy = policy(dir).exec("/usr/").exec("/bin/").exec("/lib/").exec("/lib64/").read("/etc/").write("/dev/null");
    let policy = policy.read("/proc/self/");
    let mut command = Command::new("/bin/sh");
    command.arg(scratch.join("open/script")).paths(policy);
    let output = command.output().expect("run");
    assert_eq!(text(&output), "publicx\nx\nx\n", "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("shut/file"), "{output:?}");
}
