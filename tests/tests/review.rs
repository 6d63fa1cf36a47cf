//! What reviews found, each with its positive control: it must stay found.
use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;

use tipstaff_testkit::{Run, Scratch, Started, User, Without, find, plain, run};

use crate::both;

/// A project with a repository, and a home.
fn project(user: User) -> Scratch {
    let scratch = Scratch::new(user);
    scratch.file("project/.git/config", "[core]\n");
    scratch.dir("project/.git/hooks");
    scratch.dir("home");
    scratch
}

both!(a_protected_name_survives_a_rename_of_its_parent, |user| {
    let scratch = project(user);
    let script = "mv .git .old; mkdir -p .git/hooks; echo x > .git/hooks/pre-commit; echo x > .git/config; ls .git";
    let boxed = |profile: &str| {
        run(["/bin/sh", "-c", script])
            .profile(profile)
            .cwd(scratch.join("project"))
            .env("HOME", scratch.join("home"))
            .as_user(user)
            .go()
    };
    boxed("agent");
    assert!(!fs::exists(scratch.join("project/.git/hooks/pre-commit")).expect("look"), "a hook was planted");
    assert_eq!(fs::read_to_string(scratch.join("project/.git/config")).expect("read"), "[core]\n");
    // Positive control: the same script does it outside a box.
    plain(["/bin/sh", "-c", script]).cwd(scratch.join("project")).as_user(user).go();
    assert!(fs::exists(scratch.join("project/.git/hooks/pre-commit")).expect("look"), "positive control");
});

both!(two_agents_in_one_directory_protect_each_other, |user| {
    let scratch = project(user);
    let boxed = |script: &str| {
        run(["/bin/sh", "-c", script])
            .profile("agent")
            .cwd(scratch.join("project"))
            .env("HOME", scratch.join("home"))
            .as_user(user)
    };
    let first = boxed("echo up; read line").silent_stdin().start();
    first.await_output("up", 1);
    let second = boxed("echo up; while [ -e gone ]; do :; done; sleep 1; echo x > .vscode/tasks.json").start();
    second.await_output("up", 1);
    first.signal(tipstaff_testkit::Signal::TERM);
    first.finish_anyhow();
    let ran = second.finish();
    ran.check(ran.code() != 0, "the second box lost its protection with the first");
    assert!(!fs::exists(scratch.join("project/.vscode")).expect("look"), "a placeholder was left");
});

// Each of them looks at what those before it have made there, and the last to go removes it.
both!(agents_one_after_the_other_in_one_directory_know_each_others_names, |user| {
    let scratch = Scratch::new(user);
    let (project, home) = (scratch.dir("project"), scratch.dir("home"));
    let boxed = |script: &str| {
        let made = run(["/bin/sh", "-c", script]).profile("agent").cwd(&project).env("HOME", &home);
        made.as_user(user).silent_stdin().start()
    };
    let up = |script: &str| {
        let started = boxed(script);
        started.await_output("up", 1);
        started
    };
    let end = |started: Started| {
        started.signal(tipstaff_testkit::Signal::TERM);
        started.finish_anyhow();
    };
    let first = up("echo up; read line");
    let second = up("echo up; read line");
    assert!(project.join(".git/commondir").exists(), "the second has found a repository in what the first has made");
    let third = up("echo up; read line");
    end(first);
    end(second);
    assert!(project.join(".git").exists(), "what the third protects is there");
    end(third);
    assert!(!project.join(".git").exists(), "a placeholder was left");
});

both!(a_worktrees_git_file_is_protected, |user| {
    let scratch = Scratch::new(user);
    scratch.file("project/.git", "gitdir: elsewhere\n");
    scratch.dir("home");
    let ran = run(["/bin/sh", "-c", "echo x > .git; cat .git; echo y > other && cat other"])
        .profile("agent")
        .cwd(scratch.join("project"))
        .env("HOME", scratch.join("home"))
        .as_user(user)
        .go();
    ran.expect_ok().expect_stdout("gitdir: elsewhere\ny\n");
});

// With the real git: what the next `git status` outside would run. In the box git works.
both!(git_outside_runs_nothing_that_a_box_left_in_a_repository, |user| {
    if find("git").is_none() {
        tipstaff_testkit::skip!("no git(1)");
    }
    let setup = "git init -q . && git config user.email a@b && git config user.name n && git init -q sub && git -C sub config user.email a@b && \
                 git -C sub config user.name n && echo 1 > sub/f && git -C sub add f && git -C sub commit -qm 1 && \
                 git add -f sub 2>/dev/null && git commit -qm 1 && git worktree add -q tree";
    // Each leads git to a configuration whose core.fsmonitor is a program. The last word of it tells whether git still works here.
    let evil = "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = touch $HOME/evil #\n";
    let attack = format!(
        "mkdir -p led/refs led/objects; printf '{evil}' > led/config; for git in .git sub/.git; do printf '{evil}' >> $git/config; \
         echo ../led > $git/commondir; mv $git $git.old && cp -r $git.old $git && printf '{evil}' >> $git/config; done; \
         echo ../../../led > .git/worktrees/tree/commondir; printf 'gitdir: ../led\n' > tree/.git; \
         echo 2 >> sub/f; git -C sub commit -qam 2 && git add sub && git commit -qm 2 && echo works"
    );
    let look = "git status; git diff; git -C sub status; git -C tree status; test -e $HOME/evil && echo EVIL; git log --format=%s";
    for boxed in [false, true] {
        let scratch = Scratch::new(user);
        let (project, home) = (scratch.dir("project"), scratch.dir("home"));
        let shell = |run: Run| run.cwd(&project).env("HOME", &home).as_user(user).go();
        let outside = |script: &str| {
            let words = ["/usr/bin/env", &format!("HOME={}", home.display()), "/bin/sh", "-c", script];
            plain(words).cwd(&project).as_user(user).go()
        };
        outside(setup).expect_exit(0);
        if boxed {
            let ran = shell(run(["/bin/sh", "-c", &attack]).profile("agent"));
            ran.check(ran.out().ends_with("works\n"), "git does not work in the box");
        } else {
            outside(&attack);
        }
        let ran = outside(look);
        ran.check(ran.out().contains("EVIL") != boxed, format_args!("boxed: {boxed}"));
        if boxed {
            ran.check(ran.out().ends_with("2\n1\n"), "what was committed in the box is there");
            let left: Vec<_> =
                ["", "sub/"].into_iter().filter(|at| project.join(format!("{at}.git/commondir")).exists()).collect();
            ran.check(left.is_empty(), format_args!("placeholders are left in {left:?}"));
        }
    }
});

// A configuration that nobody may write names files that somebody may.
both!(what_a_configuration_of_git_names_is_kept, |user| {
    if find("git").is_none() {
        tipstaff_testkit::skip!("no git(1)");
    }
    let setup = "git init -q . && git config user.email a@b && git config user.name n && git config core.hooksPath .hooks && mkdir .hooks && \
                 git config include.path ../one.inc && git config -f one.inc include.path two.inc && : > two.inc";
    let attack = "printf '#!/bin/sh\ntouch $HOME/hook\n' > .hooks/pre-commit; chmod +x .hooks/pre-commit; rm -f one.inc two.inc; \
                  printf '[core]\n\tfsmonitor = touch $HOME/one #\n' > one.inc; printf '[core]\n\tfsmonitor = touch $HOME/two #\n' > two.inc; \
                  mv .hooks old; echo x > file && git add file && echo works";
    let look = "git status; git commit -qm 1; ls $HOME";
    for boxed in [false, true] {
        let scratch = Scratch::new(user);
        let (project, home) = (scratch.dir("project"), scratch.dir("home"));
        let outside = |script: &str| {
            let words = ["/usr/bin/env", &format!("HOME={}", home.display()), "/bin/sh", "-c", script];
            plain(words).cwd(&project).as_user(user).go()
        };
        outside(setup).expect_exit(0);
        if boxed {
            let ran =
                run(["/bin/sh", "-c", attack]).profile("agent").cwd(&project).env("HOME", &home).as_user(user).go();
            ran.check(ran.out().ends_with("works\n"), "git does not work in the box");
        } else {
            outside(&attack.replace("mv .hooks old; ", ""));
        }
        let ran = outside(look);
        ran.check(
            ["hook", "one"].iter().any(|done| ran.out().contains(&format!("{done}\n"))) != boxed,
            format_args!("boxed: {boxed}"),
        );
        ran.check(!(boxed && ran.out().contains("two\n")), "the configuration behind the first");
    }
});

both!(a_link_on_the_way_to_a_protected_name_is_kept, |user| {
    const LINKS: [(&str, &str); 6] = [
        (".git", "real"),
        ("sub/.git/hooks", "../../shared"),
        ("sub/.git/config", "../../settings"),
        ("away/.git", "../../outside"),
        (".envrc", "settings"),
        (".vscode", "nowhere"),
    ];
    let names = LINKS.map(|(link, _)| link).join(" ");
    let script =
        format!("for link in {names}; do rm $link; mkdir $link; done; echo x > real/objects/x; ls real/objects");
    for boxed in [true, false] {
        let scratch = Scratch::new(user);
        let project = scratch.dir("project");
        for dir in ["real/objects", "real/refs", "sub/.git", "shared", "away"] {
            scratch.dir(format!("project/{dir}"));
        }
        scratch.dir("outside");
        for (name, text) in [("project/real/HEAD", "x"), ("project/settings", "precious")] {
            scratch.file(name, text);
        }
        for (link, to) in LINKS {
            symlink(to, project.join(link)).expect("a link");
        }
        let made =
            if boxed { run(["/bin/sh", "-c", &script]).profile("agent") } else { plain(["/bin/sh", "-c", &script]) };
        let ran = made.cwd(&project).env("HOME", scratch.dir("home")).as_user(user).go();
        ran.expect_stdout("x\n");
        for (link, _) in LINKS {
            let kept = fs::symlink_metadata(project.join(link)).is_ok_and(|meta| meta.is_symlink());
            ran.check(kept == boxed, format_args!("{link}, boxed: {boxed}"));
        }
        ran.check(!project.join("nowhere").exists(), "a placeholder was left");
    }
});

both!(what_a_box_calls_git_holds_up_no_later_one, |user| {
    let scratch = project(user);
    let boxed = |script: &str| {
        let made = run(["/bin/sh", "-c", script]).profile("agent").cwd(scratch.join("project"));
        made.env("HOME", scratch.join("home")).as_user(user).go()
    };
    // A pipe that nobody writes to, what no memory holds, and names that lead nowhere or in a circle.
    let script = "mkdir pipe big a a/.git b b/.git; mkfifo pipe/.git a/.git/commondir a/.git/config; truncate -s 1T big/.git || truncate -s 100G big/.git; \
                  ln -s hooks b/.git/hooks; ln -s nowhere b/.git/config; ls";
    boxed(script).expect_ok().expect_stdout("a\nb\nbig\npipe\n");
    boxed("echo x > a/new && cat a/new").expect_ok().expect_stdout("x\n");
    // They are kept like others.
    for name in ["pipe/.git", "big/.git", "a/.git/commondir", "b/.git/hooks"] {
        boxed(&format!("rm -f {name}")).check(fs::symlink_metadata(scratch.join("project").join(name)).is_ok(), name);
    }
});

both!(an_open_directory_is_no_standard_stream, |user| {
    let ran =
        run(["/bin/cat", "/proc/self/fd/0/etc/hostname"]).stdin_file(File::open("/").expect("/")).as_user(user).go();
    ran.expect_exit(125);
    ran.check(ran.err().contains("directory"), "the error says why");
    let file = File::open("/etc/passwd").expect("a file of every system");
    run(["/usr/bin/head", "-c", "1"]).stdin_file(file).as_user(user).go().expect_ok();
});

both!(minus_one_is_no_user, |user| {
    for option in ["--uid", "--gid"] {
        let ran = run(["/bin/true"]).option(option, "4294967295").as_user(user).go();
        ran.expect_exit(125);
    }
});

both!(limits_of_other_processes_are_not_a_guests_to_set, |user| {
    if !cfg!(target_arch = "x86_64") {
        tipstaff_testkit::skip!("the numbers are those of x86_64");
    }
    // prlimit64(1, RLIMIT_NOFILE, new): pid 1 is the keeper.
    let ran = run(["sysprobe", "302", "1", "7", "@", "0"]).as_user(user).go();
    ran.check(ran.out().contains("EPERM"), format_args!("{}", ran.out()));
    let ran = run(["sysprobe", "302", "0", "7", "0", "@"]).as_user(user).go();
    ran.check(ran.out().contains("OK"), format_args!("positive control, asking: {}", ran.out()));
});

both!(unix_sockets_of_the_host_are_out_of_reach, |user| {
    // socket(AF_UNIX, SOCK_STREAM): where the view is the whole host, none can be made; where it is picked, they work.
    if !cfg!(target_arch = "x86_64") {
        tipstaff_testkit::skip!("the numbers are those of x86_64");
    }
    let ran = run(["sysprobe", "41", "1", "1", "0"]).as_user(user).go();
    ran.check(ran.out().contains("EACCES"), format_args!("{}", ran.out()));
    let ran = run(["sysprobe", "41", "1", "1", "0"]).profile("judge").processes(4).as_user(user).go();
    ran.check(ran.out().contains("OK") || ran.refused(), format_args!("positive control: {}", ran.out()));
});

both!(exec_holds_without_landlock, |user| {
    let scratch = Scratch::new(user);
    let program = scratch.join("shown/true");
    scratch.dir("shown");
    fs::copy("/bin/true", &program).expect("copy");
    let boxed = |rule: &str| {
        run(["/bin/sh", "-c", &format!("exec {}", program.display())])
            .option(rule, scratch.join("shown"))
            .without(Without::Landlock)
            .as_user(user)
            .go()
    };
    let ran = boxed("--read");
    ran.check(ran.code() != 0, "what may only be read was executed");
    boxed("--exec").expect_ok();
});

both!(a_report_that_the_guest_wrote_is_not_ours, |user| {
    let scratch = Scratch::new(user);
    scratch.dir("w");
    let report = scratch.join("w/report.json");
    let script = "printf '{\"verdict\":\"ok\"}' > report.json; head -c 100000 /dev/zero >> report.json; exit 3";
    let ran = run(["/bin/sh", "-c", script])
        .option("--write", scratch.join("w"))
        .option("--report", &report)
        .cwd(scratch.join("w"))
        .without_report()
        .as_user(user)
        .go();
    ran.expect_exit(3);
    let text = fs::read_to_string(&report).expect("report");
    assert!(text.starts_with("{\"schema\"") && text.trim_end().ends_with('}'), "{}", &text[..60]);
});
