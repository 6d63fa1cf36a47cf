//! Containers that run already: recorded, and held against a profile.
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tipstaff_testkit::{Bundle, Podman, Runtime, Said, Scratch, User, tipstaff};

use super::{allowed, has, needs};

/// The same again and again, with a directory more once it is told so, until it is told to end.
const SCRIPT: &str =
    "while [ ! -e /end ]; do if [ -e /more ]; then mkdir /x; rmdir /x; fi; echo >>/rounds; sleep 0.05; done";

/// `tipstaff WORDS…`, until a condition holds, then ^C; its status and what it said.
fn until<Holds: Fn() -> bool>(
    scratch: &Scratch,
    words: &[&str],
    wait_for: &dyn Fn() -> Holds,
) -> (Option<i32>, String) {
    let mut command = Command::new(tipstaff());
    command.args(words).env("XDG_RUNTIME_DIR", scratch.join("xdg")).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut running = command.current_dir(scratch.path()).spawn().expect("tipstaff");
    let mut told = BufReader::new(running.stderr.take().expect("a pipe"));
    let mut text = String::new();
    if words[0] == "verify" {
        // From here on it looks.
        told.read_line(&mut text).expect("a line");
        assert!(text.contains("until it ends or ^C"), "{text}");
    }
    soon("what is to be seen", wait_for());
    Said::by(Command::new("kill").args(["-INT", &running.id().to_string()])).expect_ok();
    told.read_to_string(&mut text).expect("text");
    (running.wait().expect("wait").code(), text)
}

/// Whether it has gone through its loop so often since this was called first.
fn rounds(root: &Path, n: u64) -> impl Fn() -> bool {
    let made = root.join("rounds");
    let size = move || fs::metadata(&made).map_or(0, |file| file.len());
    let before = size();
    move || size() >= before + n
}

/// A container that runs [`SCRIPT`], by its id, with its root.
fn recorded_then_verified(id: &str, scratch: &Scratch, root: &Path) {
    let touch = |name: &str| fs::write(root.join(name), "").expect("a file");
    let count = |name: &str| {
        let text = fs::read_to_string(scratch.join("seen.rec")).unwrap_or_default();
        let recording: Value = serde_json::from_str(&text).unwrap_or_default();
        let calls = recording["runs"][0]["calls"].as_array().cloned().unwrap_or_default();
        let call = calls.into_iter().find(|call| call["name"] == name).unwrap_or_default();
        call["seen"].as_array().into_iter().flatten().filter_map(|seen| seen["count"].as_u64()).sum::<u64>()
    };
    let words = ["record", "-o", "p.json", "--recording", "seen.rec", "--flush", "50ms", "--container", id];
    // Several rounds of the loop.
    let (status, text) = until(scratch, &words, &|| || count("execve") >= 3);
    assert_eq!(status, Some(0), "{text}");
    let names = allowed(&scratch.join("p.json"));
    assert!(has(&names, "execve") && !has(&names, "mkdir"), "{names:?}");

    let verify = ["verify", "p.json", "--container", id];
    let (status, text) = until(scratch, &verify, &|| rounds(root, 3));
    assert!(status == Some(0) && text.contains("nothing is refused"), "{status:?}: {text}");
    touch("more");
    let (status, text) = until(scratch, &verify, &|| rounds(root, 3));
    assert!(status == Some(1) && text.contains("would refuse x86_64 mkdir: errno ENOSYS"), "{status:?}: {text}");

    // It need not be broken off.
    let mut command = Command::new(tipstaff());
    command.args(verify).env("XDG_RUNTIME_DIR", scratch.join("xdg")).current_dir(scratch.path());
    let mut running = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tipstaff");
    let mut told = BufReader::new(running.stderr.take().expect("a pipe"));
    told.read_line(&mut String::new()).expect("a line");
    soon("a round", rounds(root, 3));
    touch("end");
    let mut status = None;
    soon("the container's end", || {
        status = running.try_wait().expect("wait");
        status.is_some()
    });
    let mut text = String::new();
    told.read_to_string(&mut text).expect("text");
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{text}");
}

/// Waits until something holds.
#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn in_a_bundle(runtime: Runtime) {
    let bundle = Bundle::new(runtime, SCRIPT);
    let scratch = Scratch::new(User::Root);
    symlink(bundle.state_dir(), scratch.dir("xdg").join(runtime.name())).expect("a link");
    let mut running = bundle.command().stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a runtime");
    let known = |name: &str| bundle.state_dir().join(bundle.id()).join(name).exists();
    soon("its start", || known("state.json") || known("status"));
    // Its own program runs, and its runtime has done its part.
    soon("a round", rounds(&bundle.root(), 1));
    recorded_then_verified(bundle.id(), &scratch, &bundle.root());
    assert!(running.wait().expect("wait").success());
}

#[test]
fn a_container_of_runc_is_recorded_and_verified_while_it_runs() {
    needs!(Runtime::Runc.unavailable());
    in_a_bundle(Runtime::Runc);
}

#[test]
fn a_container_of_crun_is_recorded_and_verified_while_it_runs() {
    needs!(Runtime::Crun.unavailable());
    in_a_bundle(Runtime::Crun);
}

#[test]
fn a_container_of_podman_is_recorded_and_verified_while_it_runs() {
    needs!(Podman::unavailable(Runtime::Runc));
    let podman = Podman::new(Runtime::Runc);
    let scratch = Scratch::new(User::Root);
    let started = podman.start(&["-d", "--security-opt", "seccomp=unconfined"], &["sh", "-c", SCRIPT]);
    let id = started.expect_ok().out.trim().to_owned();
    let root = podman.call(&["mount", id.as_str()]).said().expect_ok().out.trim().to_owned();
    // The beginning that `podman ps` shows.
    recorded_then_verified(&id[..12], &scratch, Path::new(&root));
}
