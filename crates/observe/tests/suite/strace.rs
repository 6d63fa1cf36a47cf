//! The same programs under strace(1): the sets of names are equal.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use tipstaff_observe::Phase;

use crate::kit::{ENVIRONMENT, Waiting, complete, launch};
use crate::observer;

/// Names that strace(1) tells of all processes of a command, but for the execve that starts it.
fn by_strace(words: &[&str]) -> Option<BTreeSet<String>> {
    let dir = tempfile::tempdir().expect("directory");
    let log = dir.path().join("log");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).args(words).env_clear().envs(ENVIRONMENT).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    let text = std::fs::read_to_string(&log).ok()?;
    let name = |line: &str| {
        let call = line.split_once(' ')?.1.trim_start();
        let call = call.strip_prefix("<... ").map_or_else(|| call.split('(').next(), |call| call.split(' ').next())?;
        let is_name = !call.is_empty() && call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then(|| call.to_owned())
    };
    // The first is the execve of the command itself.
    Some(text.lines().skip(1).filter_map(name).collect())
}

#[test]
fn names_are_those_that_strace_sees() {
    let observer = observer!();
    if Command::new("strace").arg("-V").output().is_err() {
        tipstaff_testkit::skip!("strace is not installed");
    }
    let programs: &[&[&str]] = &[
        &["ls", "-lR", "/etc"],
        &["sh", "-c", "echo a | grep a; (true; false) || ls / | sort | head -2"],
        &["find", "/usr/share/doc", "-maxdepth", "2", "-name", "x*"],
        &["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=2000"],
    ];
    for words in programs {
        let theirs = by_strace(words).expect("strace");
        let mut waiting = Waiting::to_execute_cleanly(words);
        let recording = observer.record(&waiting.tree(), &launch()).expect("recording");
        waiting.end();
        let observed = recording.stop().expect("observed");
        complete(&observed);
        let ours = observed.calls.iter().filter(|call| call.key.phase == Phase::Workload);
        let ours: BTreeSet<String> =
            ours.map(|call| call.key.number.name(call.key.arch).expect("a name").to_owned()).collect();
        let differing: Vec<_> = ours.symmetric_difference(&theirs).collect();
        assert!(differing.is_empty(), "{words:?}: {differing:?}");
    }
}
