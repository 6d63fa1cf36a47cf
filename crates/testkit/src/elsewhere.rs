//! A test of the library, run again as another user and on poorer machines.
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use crate::{Machine, User, guest, note_skip, place};

/// Set in the environment of a test that runs elsewhere.
const ELSEWHERE: &str = "TIPSTAFF_TESTKIT_ELSEWHERE";

/// Runs `body` here and then, in a process of its own each, as those users on those machines. `test` is the test's whole name, which that
/// process is started with. What cannot be had is skipped and counted.
#[track_caller]
pub fn also_elsewhere(test: &str, places: &[(User, Machine)], body: impl FnOnce()) {
    body();
    if std::env::var_os(ELSEWHERE).is_some() {
        return;
    }
    for &(user, machine) in places {
        if let Some(why) = machine.unavailable(user) {
            note_skip(&format!("{test} as {user:?} on {machine:?}: {why}"));
            continue;
        }
        let mut command = this_program(user, machine);
        let out = command.args([test, "--exact", "--nocapture"]).output().expect("a test program runs");
        let text = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).join("\n");
        assert!(out.status.success() && text.contains("1 passed"), "as {user:?} on {machine:?}: {text}");
    }
}

/// Whether this process was started as a test on that machine: by [`also_elsewhere`] or [`this_program`].
pub fn is_on(machine: Machine) -> bool {
    std::env::var(ELSEWHERE).is_ok_and(|here| here == format!("{machine:?}"))
}

/// This very test program as `user` on `machine`, its arguments still to be given.
pub fn this_program(user: User, machine: Machine) -> Command {
    let me = std::env::current_exe().expect("a test knows its own path");
    let mut command = match (user.other(), machine.word()) {
        (None, None) => Command::new(me),
        (other, word) => {
            let mut command = Command::new(guest("without"));
            command.args(other.map(|uid| format!("--uid={uid}")).iter().flat_map(|uid| uid.split('=')));
            command.args(word).arg("--").arg(copy_for_everybody(me));
            command
        }
    };
    command.env(ELSEWHERE, format!("{machine:?}")).current_dir("/");
    command
}

fn copy_for_everybody(me: PathBuf) -> PathBuf {
    let found = fs::metadata(&me).unwrap_or_else(|error| panic!("{}: {error}", me.display()));
    let mut hash = DefaultHasher::new();
    (&me, found.len(), found.mtime(), found.mtime_nsec()).hash(&mut hash);
    let copy = place::shared().join(format!("bin-{:016x}", hash.finish())).join("test");
    place::once(&copy, 0o755, |part| {
        // Not by us: a child that another thread forks meanwhile would hold the file open for writing, and its exec would be ETXTBSY.
        let status = Command::new("cp").arg(&me).arg(part).status().expect("cp");
        assert!(status.success(), "copy of the test");
    });
    copy
}
