//! `tipstaff hook` without a runtime: what it makes of states, and of an administrator's mistakes.
use tipstaff_testkit::{Ran, Scratch, User, tipstaff_command};

use crate::both;

/// The hook with this state on standard input, and directories of its own.
fn hook(user: User, scratch: &Scratch, options: &[&str], state: &str) -> Ran {
    let dir = scratch.dir("run");
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("own directory");
    let mut command = tipstaff_command(["hook"]).option("--runtime-dir", &dir).option("--output-root", scratch.path());
    for option in options {
        command = command.flag(option);
    }
    command.stdin(state).as_user(user).go()
}

fn state(status: &str, pid: u32, annotation: &str) -> String {
    format!(
        r#"{{"ociVersion":"1.0.2","id":"nobody","status":"{status}","pid":{pid},"bundle":"/nonexistent","annotations":{{"io.containers.trace-syscall":"{annotation}"}}}}"#
    )
}

both!(what_is_no_state_is_said_in_one_line, |user| {
    let scratch = Scratch::new(user);
    for (input, words) in [
        ("", "nothing on standard input"),
        ("{", "container's state: EOF"),
        (r#"{"id":"a"}"#, "missing field `status`"),
        (r#"{"id":"../x","status":"stopped","bundle":"/b"}"#, "is no container's id"),
    ] {
        hook(user, &scratch, &[], input).expect_error_line(125, &[words]);
    }
});

both!(a_container_that_cannot_be_recorded_does_not_start, |user| {
    let scratch = Scratch::new(user);
    // Nobody has that pid; what is wrong is found before it matters.
    let start = |annotation: &str| hook(user, &scratch, &[], &state("creating", 4_000_000, annotation));
    start("relative").expect_error_line(125, &[r#"invalid annotation: must start "if:" or "of:" prefix"#]);
    start("of:x").expect_error_line(125, &["invalid annotation: output file path must be absolute: \"x\""]);
    let bundle = scratch.join("bundle");
    std::fs::create_dir(&bundle).expect("a directory");
    std::fs::write(bundle.join("config.json"), r#"{"ociVersion":"1.0.2","process":{"args":["sh"]},"linux":{}}"#)
        .expect("a file");
    let elsewhere =
        state("creating", 4_000_000, "of:/elsewhere/p.json").replace("/nonexistent", bundle.to_str().expect("text"));
    hook(user, &scratch, &[], &elsewhere)
        .expect_error_line(125, &["outside the directories that results may be written to"]);
    let inside = format!("of:{}/p.json", scratch.path().display());
    start(&inside).expect_error_line(125, &["\"/nonexistent/config.json\": no such file"]);
    let run = hook(user, &scratch, &["--on-error=run"], &state("creating", 4_000_000, "relative"));
    run.expect_exit(0).check(run.err().contains("runs unrecorded: invalid annotation"), "why it is not recorded");
});

both!(other_stages_and_other_containers_are_let_alone, |user| {
    let scratch = Scratch::new(user);
    for (status, pid, words) in [
        ("creating", 1, "createContainer"),
        ("created", 0, "createContainer"),
        ("running", 4_000_000, "poststart"),
        ("stopped", 0, "nobody was not recorded"),
    ] {
        let ran = hook(user, &scratch, &[], &state(status, pid, "of:/x"));
        ran.expect_exit(0).check(ran.err().contains(words), words);
    }
});

both!(a_private_directory_that_others_may_enter_is_refused, |user| {
    let scratch = Scratch::new(user);
    let open = scratch.dir("open");
    let ran = tipstaff_command(["hook"]).option("--runtime-dir", &open).stdin(state("creating", 4_000_000, "of:/x"));
    ran.as_user(user).go().expect_error_line(125, &["mode 0755", "chmod 0700"]);
});

#[test]
fn nobody_but_root_has_the_usual_place() {
    if User::me() != 0 {
        tipstaff_testkit::skip!("only root can be somebody else");
    }
    let ran = tipstaff_command(["hook"]).stdin(state("creating", 4_000_000, "of:/x")).as_user(User::Ordinary).go();
    ran.expect_error_line(125, &["/run/tipstaff", "permission denied"]);
}
