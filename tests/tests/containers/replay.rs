//! What was recorded is enough to run the same again, and no more.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use tipstaff_testkit::{Bundle, Podman, Runtime, Said, tipstaff};

use super::{Hook, KEY, PLAIN, allowed, has, needs, of};

/// Recorded; run again under what was recorded; and one call more is refused, which without a profile is not.
fn recorded_and_replayed(runtime: Runtime) {
    let hook = Hook::new();
    let file = hook.output("p.json");
    hook.on(Bundle::new(runtime, PLAIN), &of(&file)).run().expect_ok();
    hook.expect_nothing_left();
    assert_eq!(fs::metadata(&file).expect("a profile").mode() & 0o7777, 0o600);
    let names = allowed(&file);
    for name in ["execve", "getdents64", "write", "exit_group"] {
        assert!(has(&names, name), "{name}: {names:?}");
    }
    // The runtime's set-up of the root is not the container's need.
    for name in ["mkdir", "pivot_root", "mount", "sethostname"] {
        assert!(!has(&names, name), "{name}: {names:?}");
    }
    let again = Bundle::new(runtime, PLAIN).seccomp(&file).run();
    assert_eq!(again.expect_ok().out, "a\n");
    let more = "mkdir /x && echo made";
    Bundle::new(runtime, more).seccomp(&file).run().expect_failure("Function not implemented");
    assert_eq!(Bundle::new(runtime, more).run().expect_ok().out, "made\n");
}

#[test]
fn runc_records_and_replays() {
    needs!(Runtime::Runc.unavailable());
    recorded_and_replayed(Runtime::Runc);
}

#[test]
fn crun_records_and_replays() {
    needs!(Runtime::Crun.unavailable());
    recorded_and_replayed(Runtime::Crun);
}

fn podman_records(runtime: Runtime) {
    let podman = Podman::new(runtime);
    let hook = Hook::new();
    hook.install(&podman);
    let annotation = format!("{KEY}={}", of(&hook.output("{name}.json")));
    let unconfined = ["--security-opt", "seccomp=unconfined", "--annotation", &annotation, "--name", "tipstaff-web"];
    let said = podman.run(&unconfined, &["sh", "-c", PLAIN]);
    assert_eq!(said.expect_ok().out, "a\n");
    // The container is gone with --rm, the file is not.
    let file = hook.output("tipstaff-web.json");
    let names = allowed(&file);
    assert!(has(&names, "execve") && !has(&names, "mkdir"), "{names:?}");
    hook.expect_nothing_left();
    let confined = format!("seccomp={}", file.display());
    let confined = ["--security-opt", &confined];
    assert_eq!(podman.run(&confined, &["sh", "-c", PLAIN]).expect_ok().out, "a\n");
    podman.run(&confined, &["mkdir", "/x"]).expect_failure("Function not implemented");
    podman.run(&[], &["mkdir", "/x"]).expect_ok();
}

#[test]
fn podman_with_runc() {
    needs!(Podman::unavailable(Runtime::Runc));
    podman_records(Runtime::Runc);
}

#[test]
fn podman_with_crun() {
    needs!(Podman::unavailable(Runtime::Crun));
    podman_records(Runtime::Crun);
}

/// An image that brings its profile along.
#[test]
fn podman_takes_a_profile_from_an_image_s_label() {
    needs!(Podman::unavailable(Runtime::Runc));
    let podman = Podman::new(Runtime::Runc);
    let hook = Hook::new();
    let file = hook.output("p.json");
    hook.install(&podman);
    let annotation = format!("{KEY}={}", of(&file));
    podman
        .run(&["--security-opt", "seccomp=unconfined", "--annotation", &annotation], &["sh", "-c", PLAIN])
        .expect_ok();
    let convert = ["profile", "convert", file.to_str().expect("UTF-8"), "--format", "label"];
    let label = Said::by(Command::new(tipstaff()).args(convert)).expect_ok().out.trim_end().to_owned();
    let image = "localhost/tipstaff-test:labelled";
    let containerfile = hook.scratch.file("Containerfile", format!("FROM {}\n{label}\n", Podman::IMAGE));
    let build = ["build", "--quiet", "--network=host", "--isolation=chroot", "--tag", image, "--file"];
    podman.call(&build).arg(containerfile).arg(hook.scratch.path()).said().expect_ok();
    let run = |policy: &str, script: &str| {
        const LIMITS: [&str; 5] = ["--network=none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
        let words = [&["run", "--rm"], &LIMITS[..], &[policy, image, "sh", "-c", script]].concat();
        podman.call(&words).said()
    };
    assert_eq!(run("--seccomp-policy=image", PLAIN).expect_ok().out, "a\n");
    run("--seccomp-policy=image", "mkdir /x").expect_failure("Function not implemented");
    run("--seccomp-policy=default", "mkdir /x").expect_ok();
}
