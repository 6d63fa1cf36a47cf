//! Paths: what is denied, and the same allowed by its option.
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tipstaff_testkit::{Machine, Run, Scratch, Under, User, Without, guest, plain, run};

use crate::both;

/// Ways that leave a name or a content changed.
const WRITING: &[&str] = &[
    "open_write",
    "open_append",
    "openat2_write",
    "link",
    "symlink_beside",
    "mkdir_beside",
    "create_beside",
    "rename_exchange",
    "rename",
    "truncate",
    "open_truncate",
    "creat",
    "open_create",
    "unlink",
];
/// Ways that see the content.
const READING: &[&str] = &["read", "openat2_read"];

/// A tree of the user's: `inside/` with a file, `outside/` with another.
struct Tree(Scratch);

impl Tree {
    fn new(user: User) -> Self {
        let scratch = Scratch::new(user);
        scratch.file("inside/file", "inside");
        scratch.file("outside/file", "secret");
        Self(scratch)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path of the kit").to_owned()
    }
}

fn probe(run: Run) -> Value {
    let ran = run.go();
    ran.expect_exit(0);
    ran.json()
}

#[track_caller]
fn all_denied(answers: &Value, ways: &[&str]) {
    for way in ways {
        assert_ne!(answers[way], "OK", "{way} is not denied: {answers:#}");
    }
}

#[track_caller]
fn all_allowed(answers: &Value, ways: &[&str]) {
    for way in ways {
        // Absent where a file with set-id bits could stay behind; the other openings do the same.
        if way.starts_with("openat2") && answers[way] == "ENOSYS" && answers["open_write"] == "OK" {
            continue;
        }
        assert_eq!(answers[way], "OK", "{way} is not allowed: {answers:#}");
    }
}

both!(what_no_rule_names_is_out_of_reach, |user| {
    let tree = Tree::new(user);
    let file = tree.path("outside/file");
    let denied = probe(run(["fsprobe", &file]).as_user(user));
    all_denied(&denied, READING);
    all_denied(&denied, WRITING);
    assert_eq!(fs::read(&file).expect("still there"), b"secret");
    // Positive control: the same program, file and user outside a box.
    let control = Tree::new(user);
    let allowed = probe(plain(["fsprobe", &control.path("outside/file")]).as_user(user));
    all_allowed(&allowed, READING);
    all_allowed(&allowed, WRITING);
});

both!(read_means_read_and_not_write, |user| {
    let tree = Tree::new(user);
    let file = tree.path("inside/file");
    let answers = probe(run(["fsprobe", &file]).option("--read", tree.path("inside")).as_user(user));
    all_allowed(&answers, READING);
    all_denied(&answers, WRITING);
    assert_eq!(fs::read(&file).expect("still there"), b"inside");
});

both!(write_means_write, |user| {
    let tree = Tree::new(user);
    let answers =
        probe(run(["fsprobe", &tree.path("inside/file")]).option("--write", tree.path("inside")).as_user(user));
    all_allowed(&answers, READING);
    all_allowed(&answers, WRITING);
    assert!(!fs::exists(tree.path("inside/file")).expect("look"), "the probe's last way removes the file outside too");
    assert_eq!(fs::read(tree.path("outside/file")).expect("still there"), b"secret");
});

// The working directory and the program are shown by themselves, below what a list shows for writing: nothing is taken away by that.
both!(what_is_shown_by_itself_may_be_written_where_a_list_says_so, |user| {
    let tree = Tree::new(user);
    let script = tree.0.file("inside/script", "#!/bin/sh\necho new >file && rm script && echo removed\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("own file");
    let inside = tree.path("inside");
    let listed = |option: &str| run([&script]).cwd(&inside).option(option, tree.path("")).as_user(user).go();
    let ran = listed("--read");
    ran.check(ran.code() != 0 && script.exists(), "a list that says read alone");
    let ran = listed("--write");
    ran.expect_exit(0);
    assert!(ran.out() == "removed\n" && !script.exists(), "{}", ran.out());
});

both!(deny_beats_what_allows, |user| {
    let tree = Tree::new(user);
    let denied = tree.path("inside/file");
    let boxed = |path: &str| run(["fsprobe", path]).option("--write", tree.path("inside")).as_user(user);
    let answers = probe(boxed(&denied).option("--deny", &denied));
    all_denied(&answers, &["read"]);
    // Names beside it may be made; the denied one may be neither changed, nor replaced, nor
    // removed.
    all_denied(
        &answers,
        &[
            "open_write",
            "openat2_write",
            "link",
            "rename_exchange",
            "rename",
            "truncate",
            "creat",
            "open_create",
            "unlink",
        ],
    );
    assert_eq!(fs::read(&denied).expect("still there"), b"inside");
    all_allowed(&probe(boxed(&denied)), READING);
});

both!(deny_holds_for_what_lies_below, |user| {
    let tree = Tree::new(user);
    tree.0.file("inside/keys/id", "key");
    let boxed = || run(["/bin/cat", &tree.path("inside/keys/id")]).option("--read", tree.path("inside")).as_user(user);
    let ran = boxed().option("--deny", tree.path("inside/keys")).go();
    ran.check(ran.code() != 0 && ran.stdout.is_empty(), "the key was read");
    boxed().go().expect_ok().expect_stdout("key");
});

both!(links_lead_nowhere_else, |user| {
    let tree = Tree::new(user);
    std::os::unix::fs::symlink(tree.path("outside/file"), tree.path("inside/link")).expect("link");
    let boxed = || run(["/bin/cat", &tree.path("inside/link")]).option("--read", tree.path("inside")).as_user(user);
    let ran = boxed().go();
    ran.check(ran.code() != 0 && ran.stdout.is_empty(), "the link led out");
    boxed().option("--read", tree.path("outside")).go().expect_ok().expect_stdout("secret");
});

both!(links_made_inside_lead_nowhere_else, |user| {
    let tree = Tree::new(user);
    let (link, secret) = (tree.path("inside/new"), tree.path("outside/file"));
    let script = format!(
        "ln -sfn {secret} {link} && cat {link}; ln -f {secret} {link}2 && cat {link}2; cat {link}/../../outside/file"
    );
    let boxed = || run(["/bin/sh", "-c", &script]).option("--write", tree.path("inside")).as_user(user);
    let ran = boxed().go();
    ran.check(!ran.out().contains("secret"), "a link led out");
    let control = boxed().option("--read", tree.path("outside")).go();
    control.check(control.out().contains("secret"), "positive control: the script reads what a rule allows");
});

both!(magic_links_lead_nowhere, |user| {
    let tree = Tree::new(user);
    let secret = tree.path("outside/file");
    for way in [
        format!("/proc/self/root{secret}"),
        format!("/proc/1/root{secret}"),
        format!("/proc/self/cwd{secret}"),
        format!("/proc/1/cwd{secret}"),
    ] {
        let ran = run(["/bin/cat", &way]).as_user(user).go();
        ran.check(!ran.out().contains("secret"), format_args!("{way} leads out"));
    }
    // The parents of the box, wherever they are visible.
    let script =
        format!("for p in /proc/[0-9]*; do cat $p/root{secret} $p/cwd{secret} $p/environ; done 2>/dev/null; echo end");
    let ran = run(["/bin/sh", "-c", &script]).env("SECRET", "in-the-environment-of-the-supervisor").as_user(user).go();
    ran.check(ran.out().contains("end"), "the script ran");
    ran.check(!ran.out().contains("secret") && !ran.out().contains("in-the-environment"), "something leaked");
});

both!(exec_needs_its_rule, |user| {
    let tree = Tree::new(user);
    let program = tree.0.join("inside/program");
    fs::copy(guest("exit"), &program).expect("copy");
    let program = program.to_str().expect("path").to_owned();
    let boxed = |option: &str| {
        run(["/bin/sh", "-c", &format!("{program} 42")]).option(option, tree.path("inside")).as_user(user).go()
    };
    let ran = boxed("--read");
    ran.check(ran.code() != 42, "executed what may only be read");
    boxed("--exec").expect_exit(42);
});

both!(a_loader_is_an_interpreter, |user| {
    let Some(loader) = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]
        .into_iter()
        .find(|path| fs::exists(path).unwrap_or(false))
    else {
        tipstaff_testkit::skip!("no glibc loader at a known place");
    };
    let tree = Tree::new(user);
    let program = tree.0.join("inside/program");
    fs::copy(tipstaff_testkit::guest_dynamic("exit"), &program).expect("copy");
    let boxed =
        |option: &str| run([loader]).arg(&program).arg("42").option(option, tree.path("inside")).as_user(user).go();
    boxed("--exec").expect_exit(42);
    // What may not even be read it cannot run either.
    let ran = run([loader]).arg(&program).arg("42").as_user(user).go();
    ran.check(ran.code() != 42, "what is not shown was run");
    // Where what may not be executed is mounted noexec, the mapping is refused too; Landlock has no right for it: docs/security.md.
    let ran = run([loader]).arg(&program).arg("42").option("--read", tree.path("inside"));
    let ran = ran.without(Without::Landlock).as_user(user).go();
    ran.check(ran.code() != 42, "what may only be read was run, although it is mounted noexec");
});

both!(the_system_is_read_only, |user| {
    for path in
        ["/etc/tipstaff-test", "/usr/tipstaff-test", "/bin/tipstaff-test", "/tipstaff-test", "/lib/tipstaff-test"]
    {
        let ran = run(["/bin/sh", "-c", &format!("echo x > {path}")]).as_user(user).go();
        ran.check(ran.code() != 0, format_args!("{path} was written"));
        assert!(!fs::exists(path).expect("look"), "{path} is on the machine");
    }
});

both!(tmp_is_private, |user| {
    // In a directory of the system: the working directory is shown at its own place, which may be below /tmp.
    let script = "echo x > /tmp/left && cat /tmp/left; ls -A /tmp; echo x > /dev/shm/left && ls -A /dev/shm";
    for _ in 0..2 {
        let ran = run(["/bin/sh", "-c", script]).option("--cwd", "/usr").as_user(user).go();
        ran.expect_ok();
        ran.check(ran.out().starts_with("x\n"), "private /tmp can be written");
        let seen = ran.out();
        ran.check(!seen.contains("tipstaff-testkit-"), "the machine's /tmp is seen");
        ran.check(seen.ends_with("left\n"), "private /dev/shm starts empty");
    }
    assert!(!fs::exists("/tmp/left").expect("look") && !fs::exists("/dev/shm/left").expect("look"));
});

both!(a_path_below_tmp_is_visible_at_its_own_place, |user| {
    let ran = run(["/bin/cat", "@WORK/f"]).option("--read", "@WORK").work_file("f", "here").as_user(user).go();
    ran.expect_ok().expect_stdout("here");
});

both!(the_home_is_not_seen, |user| {
    let scratch = Scratch::new(user);
    scratch.file(".ssh/id_ed25519", "key");
    scratch.file("notes", "notes");
    let home = scratch.path();
    let boxed = |profile: &str, file: &str, rule: bool| {
        let run = run(["/bin/cat"]).arg(home.join(file)).profile(profile).env("HOME", home).as_user(user);
        if rule { run.option("--read", home) } else { run }.go()
    };
    for profile in ["default", "judge"] {
        let ran = boxed(profile, ".ssh/id_ed25519", false);
        ran.check(ran.code() != 0 && ran.stdout.is_empty(), "a key was read");
        boxed(profile, "notes", true).expect_ok().expect_stdout("notes");
    }
    // The default profile denies keys by name: a rule that shows the whole home does not show them.
    // Judge has no such list.
    let ran = boxed("default", ".ssh/id_ed25519", true);
    ran.check(ran.code() != 0 && ran.stdout.is_empty(), "a key was read because the home may be");
    boxed("judge", ".ssh/id_ed25519", true).expect_ok().expect_stdout("key");
});

both!(files_of_others_stay_out, |user| {
    // As root too: /etc/shadow is not part of any view.
    let ran = run(["posture"]).as_user(user).go();
    ran.expect_ok();
    let opens = &ran.json()["opens"];
    for path in ["/etc/shadow", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/kvm", "/proc/kcore", "/proc/sysrq-trigger"]
    {
        ran.check(opens[path] != "OK", format_args!("{path} can be opened"));
    }
    ran.check(
        opens["/proc/sys/kernel/core_pattern"] != "OK" && opens["/proc/1/mem"] != "OK",
        "the kernel's switches can be written",
    );
    for path in ["/dev/null", "/dev/zero", "/dev/urandom", "/usr/bin/env"] {
        ran.check(opens[path] == "OK", format_args!("{path} cannot be opened"));
    }
    let judged = run(["posture"]).profile("judge").as_user(user).go();
    judged.expect_ok();
    for path in ["/etc/shadow", "/root"] {
        judged.check(judged.json()["opens"][path] != "OK", format_args!("{path} can be opened under judge"));
    }
});

both!(setuid_bits_give_nothing, |user| {
    if User::me() != 0 {
        tipstaff_testkit::skip!("making a setuid program needs root");
    }
    let scratch = Scratch::new(User::Root);
    let program = scratch.join("posture");
    fs::copy(guest("posture"), &program).expect("copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).expect("setuid");
    if user == User::Ordinary {
        // Positive control: outside the box the bit works.
        let control = plain([&program]).as_user(user).go();
        control.check(control.json()["uids"][1] == 0, "setuid works on this file system");
    }
    let ran = run([&program]).option("--read", scratch.path()).option("--exec", scratch.path()).as_user(user).go();
    ran.expect_ok();
    let posture = ran.json();
    ran.check(posture["no_new_privs"] == 1, "no_new_privs");
    ran.check(posture["uids"][0] == posture["uids"][1], "the setuid bit changed the user");
});

both!(the_agent_keeps_hooks_and_keys_safe, |user| {
    let scratch = Scratch::new(user);
    scratch.file("project/src.txt", "text");
    scratch.dir("project/.git/hooks");
    scratch.file("home/.ssh/id_rsa", "key");
    scratch.file("home/.aws/credentials", "key");
    let project = scratch.join("project");
    let boxed = |script: &str| {
        run(["/bin/sh", "-c", script])
            .profile("agent")
            .cwd(&project)
            .env("HOME", scratch.join("home"))
            .as_user(user)
            .go()
    };
    boxed("echo changed > src.txt && cat src.txt").expect_ok().expect_stdout("changed\n");
    for script in [
        "echo x > .git/hooks/pre-commit",
        "mkdir -p .vscode && echo x > .vscode/tasks.json",
        "echo x > .envrc",
        "mv .git/hooks .git/old && mkdir .git/hooks && echo x > .git/hooks/pre-commit",
        "echo x > $HOME/.bashrc",
        "cat $HOME/.ssh/id_rsa",
        "cat $HOME/.aws/credentials",
    ] {
        let ran = boxed(script);
        ran.check(ran.code() != 0 && !ran.out().contains("key"), format_args!("{script} is not denied"));
    }
    for path in ["project/.git/hooks/pre-commit", "project/.vscode/tasks.json", "project/.envrc", "home/.bashrc"] {
        assert!(!fs::exists(scratch.join(path)).expect("look"), "{path} was made");
    }
});

/// Path rules hold by whatever is left: namespaces gone, or Landlock gone. Both ways the answer is
/// the same, or a refusal.
#[test]
fn rules_hold_on_poorer_machines() {
    for user in crate::users() {
        for machine in [
            Without::Landlock.into(),
            Without::UserNamespace.into(),
            Without::Namespaces.into(),
            Without::Listener.into(),
            Machine::from(Under::DockerSeccomp),
        ] {
            if machine.unavailable(user).is_some() {
                continue;
            }
            let tree = Tree::new(user);
            let file = tree.path("outside/file");
            let ran = run(["fsprobe", &file]).as_user(user).on(machine).go();
            if ran.refused() {
                ran.expect_refused(machine);
                continue;
            }
            ran.expect_ok();
            all_denied(&ran.json(), READING);
            all_denied(&ran.json(), WRITING);
            assert_eq!(fs::read(&file).expect("still there"), b"secret");
        }
    }
}
