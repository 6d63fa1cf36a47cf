//! F: ways round the view of the file system.
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use tipstaff_testkit::{Run, Scratch, Without, guest};

use crate::attacks;
use crate::case::{Case, all_refused, answers, refused, works};

attacks! {
    F1 "a link that turns between the look and the open" => tried(native notify ptrace: turning_link)
        + held("crates/tipstaff/tests/notify_engine/race.rs": open creat openat2 rename link chdir exec);
    F2 "a parent that moves while a path climbs" => held("tests/tests/review.rs": a_protected_name_survives_a_rename_of_its_parent);
    F3 "a hard link out of a place that may only be read" => tried(native notify ptrace: hard_links)
        + held("tests/tests/fs.rs": links_made_inside_lead_nowhere_else);
    F4 "a rename or an exchange over a protected name" => tried(native notify ptrace: protected_name);
    F5 "a protected name that does not exist yet" => tried(native notify ptrace: protected_name);
    F6 "memory of another process by /proc/PID/mem" => tried(native notify ptrace: other_processes)
        + held("crates/tipstaff/tests/notify_engine/inside.rs": supervisor_and_keeper_are_out_of_reach);
    F7 "magic links of /proc that lead out" => tried(native notify ptrace: other_processes)
        + held("tests/tests/fs.rs": magic_links_lead_nowhere);
    F8 "the runner's own executable overwritten" => tried(native notify ptrace: the_runner);
    F9 "a directory descriptor or working directory outside" => tried(native notify ptrace: hidden_directory)
        + held("tests/tests/stdio.rs": no_other_descriptor_arrives, "tests/tests/review.rs": an_open_directory_is_no_standard_stream);
    F10 "a descriptor opened again with more rights" => tried(native notify: reopened);
    F11 "chroot with a directory kept open" => held("crates/policy/src/base/tests.rs": dangerous_calls_are_denied_whole,
        "tests/tests/isolation.rs": no_privileges);
    F12 "mounts that propagate to the machine" => held("tests/tests/isolation.rs": mounts_are_private_and_read_only);
    F13 "what covers a denied name is taken away or raced" => tried(native notify ptrace: cover);
    F14 "a file system in user space that stalls readers" => tried(native notify ptrace: no_fuse);
    F15 "device nodes of one's own, and the machine's changed" => tried(native notify ptrace: nodes);
    F16 "set-id and capability-bearing programs" => held("tests/tests/fs.rs": setuid_bits_give_nothing, "tests/tests/isolation.rs": no_privileges);
    F17 "a set-id file that stays when the box is gone" => tried(native notify ptrace: modes)
        + held("crates/policy/src/lower/tests.rs": openat2_is_absent_where_a_set_id_file_could_stay);
    F18 "/tmp and /dev/shm shared between boxes" => tried(native notify ptrace: private_places)
        + held("tests/tests/fs.rs": tmp_is_private, "tests/tests/leftovers.rs": what_outlives_a_process_does_not_outlive_the_box);
    F19 "abstract sockets, NUL bytes in their names" => held("tests/tests/net.rs": nothing_on_the_host_is_reached, "tests/tests/network_unix.rs":
        unix_sockets_beneath_what_may_be_written unix_sockets_without_namespaces_the_same);
    F20 "sockets with a path" => held("tests/tests/review.rs": unix_sockets_of_the_host_are_out_of_reach, "tests/tests/network_unix.rs":
        unix_sockets_beneath_what_may_be_written);
    F21 "descriptors passed through sockets" => held("tests/tests/net.rs": a_connected_stdin_is_no_way_out, "tests/tests/review.rs":
        unix_sockets_of_the_host_are_out_of_reach);
    F22 "locks and leases as a channel" => design("Two boxes that are shown the same file can lock it: they can as well write to it or time its reading. What must not be shared must not be shown.");
    F23 "what a descriptor for reading lets one change" => tried(native notify ptrace: read_descriptor);
    F24 "modes, owners, times and attributes, which Landlock does not know" => tried(native notify ptrace: read_only_attributes);
    F25 "names that are no names, and odd ones" => tried(native notify ptrace: odd_names)
        + held("tests/tests/bad_input.rs": names_that_are_no_text_work);
    F26 "names that a file system folds together" => design("A denied or protected name is a mount on the entry itself, so that every spelling of it leads to the mount; Landlock's rules go by inode.");
    F27 "the same file by another mount" => design("A rule is about a place: what the profile shows at a second place is shown there, and docs/security.md says so of hard links too.");
    F28 "files without a name that get one" => tried(native notify ptrace: unnamed_files);
    F29 "layers that copy on write" => design("There is no such layer: what may be written is written in place, and the rest is read-only.");
    F30 "results that are links, pipes or devices when the host reads them" => tried(native notify ptrace: planted)
        + held("tests/tests/review.rs": a_report_that_the_guest_wrote_is_not_ours);
    F31 "clean-up or a change of owner through a box's links" => tried(native notify ptrace: planted)
        + held("tests/tests/review.rs": two_agents_in_one_directory_protect_each_other);
    F32 "files that tools of the host trust" => tried(native notify ptrace: trusted_files)
        + held("tests/tests/fs.rs": the_agent_keeps_hooks_and_keys_safe, "tests/tests/review.rs": a_worktrees_git_file_is_protected
               git_outside_runs_nothing_that_a_box_left_in_a_repository)
        + left("A repository that a box makes itself: any new directory can become one, by files of its own, and no rule of the kernel is about names that may \
                come up anywhere (docs/security.md, Git).");
    F33 "switches of the kernel in /proc and /sys, as root" => tried(native notify ptrace: kernel_switches);
    F34 "variables that steer a helper outside" => held("tests/tests/env.rs": the_callers_variables_do_not_steer_the_loader clean_but_for_four);
    F35 "types of file systems out of a configuration" => design("A profile cannot name one: binds, tmpfs, proc and devpts are all that is ever mounted.");
}

/// The control proves that a link was turned at least once into the secret.
fn turning_link(case: &Case) {
    let words = |run: Run| run.arg("swap").arg("@WORK/d").arg("@WORK/secret");
    let prepared = |run: Run| words(run).work_file("secret", "SECRET").work_file("d/x", "");
    works(&prepared(case.free(["attackfiles"])).arg("10000000").go(), &["secret"]);
    let ran = prepared(case.boxed(["attackfiles"])).arg("10000").option("--write", "@WORK/d").go();
    ran.expect_ok();
    refused(&ran, &["secret"]);
    // A denied name in the same tree.
    let run = prepared(case.boxed(["attackfiles"])).arg("10000").option("--write", "@WORK");
    let ran = run.option("--deny", "@WORK/secret").go();
    ran.expect_ok();
    refused(&ran, &["secret"]);
}

fn hard_links(case: &Case) {
    let script = "ln @WORK/read/it @WORK/write/alias && echo alias OK || echo alias refused; ln @WORK/write/own @WORK/write/two && echo own OK";
    let prepared = |run: Run| run.work_file("read/it", "it").work_file("write/own", "own");
    works(&prepared(case.free(["/bin/sh", "-c", script])).go(), &["alias", "own"]);
    let run = case.boxed(["/bin/sh", "-c", script]).option("--read", "@WORK/read").option("--write", "@WORK/write");
    let ran = prepared(run).go();
    works(&ran, &["own"]);
    refused(&ran, &["alias"]);
}

fn protected_name(case: &Case) {
    let names = [".git/hooks", ".git/config", ".envrc"];
    for existing in [false, true] {
        for name in names {
            let prepared = |run: Run| {
                let run = run.arg("protect").arg("@WORK").arg(name).cwd("@WORK");
                if existing {
                    run.work_file(".git/hooks/sample", "#")
                        .work_file(".git/config", "[core]\n")
                        .work_file(".envrc", "x")
                } else {
                    run.work_file(".git/HEAD", "ref")
                }
            };
            let free = prepared(case.free(["attackfiles"])).go();
            free.check(answers(&free).values().any(|answer| answer == "OK"), "the control changes the name");
            let ran = prepared(case.boxed(["attackfiles"]).profile("agent")).go();
            ran.expect_ok();
            all_refused(&ran);
        }
    }
}

fn other_processes(case: &Case) {
    let free = case.free(["attackfiles", "others", "self"]).go();
    works(&free, &["root/etc/passwd", "environ", "cmdline", "maps", "mem_write"]);
    // The keeper is number 1, and a name that is not there is as good as one that cannot be opened.
    for pid in ["1", "0"] {
        let ran = case.boxed(["attackfiles", "others", pid]).go();
        ran.expect_ok();
        all_refused(&ran);
    }
    // Without a PID namespace the numbers are the machine's: the supervisor's, and this test's.
    let mine = std::process::id().to_string();
    let ran = case.boxed(["attackfiles", "others", &mine]).without(Without::Namespaces).go();
    if ran.refused() {
        ran.expect_refused(Without::Namespaces.into());
    } else {
        refused(
            &ran,
            &[
                "root/etc/passwd",
                "cwd/.",
                "exe",
                "fd/0",
                "fd/1",
                "environ",
                "maps",
                "mem",
                "mem_write",
                "ns/mnt",
                "oom_score_adj",
            ],
        );
    }
}

fn the_runner(case: &Case) {
    let script = "for p in /proc/[0-9]*; do readlink $p/exe; done; for p in /proc/[0-9]*/exe; do (: >> $p) 2>/dev/null && echo written; done; true";
    let ran = case.boxed(["/bin/sh", "-c", script]).go();
    ran.check(!ran.out().contains("tipstaff"), "the runner is seen");
    ran.check(!ran.out().contains("written"), "an executable was opened for writing");
    ran.check(ran.out().contains("sh"), "the control: one's own is seen");
    // And the file itself, by its name.
    let runner = tipstaff_testkit::tipstaff();
    let before = fs::metadata(runner).expect("the binary");
    let script = format!("(: >> {0}) 2>/dev/null && echo written; true", runner.display());
    let ran = case.boxed(["/bin/sh", "-c", &script]).go();
    ran.check(!ran.out().contains("written"), "the runner can be written");
    let after = fs::metadata(runner).expect("the binary");
    assert_eq!((before.len(), before.mtime()), (after.len(), after.mtime()));
}

fn hidden_directory(case: &Case) {
    // Called from a directory that the profile does not show.
    let script = "cat secret ../*/secret 2>/dev/null; ls -a; ls -a ..; pwd; true";
    let prepared = |run: Run| {
        run.work_file("secret", "SECRET").work_file("none.toml", "extends = \"judge\"\n[filesystem]\ncwd = \"none\"\nreplace = [\"exec\"]\nexec_if_exists = [\"/usr\", \"/bin\", \"/lib\", \"/lib64\"]\n").cwd("@WORK")
    };
    let free = prepared(case.free(["/bin/sh", "-c", script])).go();
    assert!(free.out().contains("SECRET"), "{free}");
    let ran = prepared(case.boxed(["/bin/sh", "-c", script]).option("--profile", "./none.toml")).go();
    ran.check(!ran.out().contains("SECRET") && !ran.out().contains("none.toml"), "the caller's directory is seen");
}

fn reopened(case: &Case) {
    let scratch = Scratch::new(case.user);
    let path = scratch.file("input", "precious");
    let input = || File::open(&path).expect("own file");
    let free = case.free(["attackfiles", "reopen"]).stdin_file(input()).go();
    works(&free, &["read_write", "write", "truncate", "append", "path_truncate"]);
    scratch.file("input", "precious");
    let ways = ["read_write", "write", "truncate", "append", "path_truncate", "link", "empty_path", "up"];
    let ran = case.boxed(["attackfiles", "reopen"]).stdin_file(input()).go();
    ran.expect_ok();
    refused(&ran, &ways);
    assert_eq!(fs::read(&path).expect("own file"), b"precious");
    // Where nobody would refuse it, such a stream is.
    let ran = case.boxed(["attackfiles", "reopen"]).stdin_file(input()).without(Without::Landlock).go();
    ran.expect_exit(125);
    ran.check(ran.err().contains("Landlock") && ran.err().contains("standard input"), "the reason is said");
    assert_eq!(fs::read(&path).expect("own file"), b"precious");
    let ran = case.boxed(["/usr/bin/head", "-c", "3"]).stdin("precious").without(Without::Landlock).go();
    ran.expect_ok().expect_stdout("pre");
}

fn cover(case: &Case) {
    let script = "cd $1; cat t/sub/secret; rm -rf t/sub; umount t/sub/secret; mv t/sub/secret t/s2; cat t/s2; ln t/sub/secret t/s3; cat t/s3; \
                  mv t/sub t/moved; cat t/moved/secret t/sub/secret; true";
    let scratch = Scratch::new(case.user);
    let secret = scratch.file("t/sub/secret", "SECRET");
    let words = ["/bin/sh", "-c", script, "sh", &scratch.path().display().to_string()];
    let ran = case.boxed(words).option("--write", scratch.join("t")).option("--deny", &secret).go();
    ran.check(!ran.out().contains("SECRET"), "the denied file was read");
    let left = ["t/sub/secret", "t/moved/secret"].map(|name| fs::metadata(scratch.join(name)).ok());
    let left: Vec<_> = left.into_iter().flatten().collect();
    ran.check(left.len() == 1 && left[0].nlink() == 1, "the denied file is gone, or has a second name");
    scratch.file("t/sub/secret", "SECRET");
    let free = case.free(words).go();
    free.check(free.out().contains("SECRET"), "the control reads it");
}

fn no_fuse(case: &Case) {
    let script = "(: <> /dev/fuse) && echo opened; mount -t fuse none /tmp && echo mounted; fusermount3 /tmp; true";
    let ran = case.boxed(["/bin/sh", "-c", script]).go();
    ran.check(ran.out().is_empty(), "a file system in user space can be had");
}

fn modes(case: &Case) {
    let prepared = |run: Run| run.arg("modes").arg("@WORK/d").work_file("d/x", "");
    let free = prepared(case.free(["attackfiles"])).go();
    works(&free, &["chmod", "fchmodat2", "open", "openat2", "creat", "mknod", "tmpfile"]);
    if case.is_root() {
        works(&free, &["character", "block", "kmsg", "capability"]);
    }
    let presets: &[&str] = if case.item == "F17" { &["default", "judge", "build", "strict"] } else { &["default"] };
    for preset in presets {
        let ran = prepared(case.boxed(["attackfiles"]).profile(preset)).option("--write", "@WORK/d").go();
        ran.expect_ok();
        all_refused(&ran);
    }
}

fn nodes(case: &Case) {
    modes(case);
    let free = case.free(["attackfiles", "nodes"]).go();
    works(&free, &["write"]);
    if case.is_root() {
        works(&free, &["chmod_of_/dev/null", "fchmod_of_/dev/null", "chown_of_/dev/zero", "chmod_of_/dev/stdin"]);
    }
    for preset in ["default", "judge", "agent"] {
        let ran = case.boxed(["attackfiles", "nodes"]).profile(preset).go();
        ran.expect_ok();
        works(&ran, &["write"]);
        let all = answers(&ran);
        let changes: Vec<_> = all.keys().map(String::as_str).filter(|way| *way != "write").collect();
        refused(&ran, &changes);
        ran.check(changes.len() >= 12, "too few were tried");
    }
}

fn private_places(case: &Case) {
    let mark = tipstaff_testkit::marker();
    let places = ["/tmp", "/var/tmp", "/dev/shm", "/run"];
    let script = format!(
        "for d in {}; do [ -e $d/{mark} ] && echo seen $d; echo x > $d/{mark} && echo made $d; done; true",
        places.join(" ")
    );
    // Two at a time, each looking for what the other made; and one after them.
    let first =
        case.boxed(["/bin/sh", "-c", &format!("{script}; echo ready; read line")]).silent_stdin().wall("60s").start();
    first.await_output("ready", 1);
    for _ in 0..2 {
        let ran = case.boxed(["/bin/sh", "-c", &script]).go();
        ran.expect_ok();
        ran.check(ran.out().matches("made").count() == places.len(), "there is something to make");
        ran.check(!ran.out().contains("seen"), "a file of another box is seen");
    }
    for place in places {
        assert!(!Path::new(place).join(&mark).exists(), "{place} is the host's");
    }
    drop(first);
}

fn read_descriptor(case: &Case) {
    let prepared = |run: Run| run.arg("touch").arg("@WORK/it").work_file("it", vec![b'x'; 8192]);
    works(&prepared(case.free(["attackfiles"])).go(), &["fchmod", "futimens"]);
    let start = prepared(case.boxed(["attackfiles"]).option("--read", "@WORK")).start();
    let held = File::open(start.work().join("it")).expect("own file");
    let before = held.metadata().expect("own file");
    let ran = start.finish();
    ran.expect_ok();
    all_refused(&ran);
    let after = held.metadata().expect("own file");
    let picture = |meta: &fs::Metadata| (meta.len(), meta.mode(), meta.mtime(), meta.mtime_nsec());
    assert_eq!(picture(&before), picture(&after), "{ran}");
}

fn read_only_attributes(case: &Case) {
    let words = ["attackfiles", "variants", "@WORK/it"];
    let free = case.free(words).work_file("it", "content").go();
    works(&free, &["chmod", "utime", "utimes", "futimesat", "utimensat", "chown"]);
    let start = case.boxed(words).work_file("it", "content").option("--read", "@WORK").start();
    let held = File::open(start.work().join("it")).expect("own file");
    let before = held.metadata().expect("own file");
    let ran = start.finish();
    ran.expect_ok();
    refused(
        &ran,
        &[
            "chmod",
            "fchmodat2",
            "utime",
            "utimes",
            "futimesat",
            "utimensat",
            "setxattr",
            "setxattrat",
            "removexattrat",
            "chown",
            "fchownat",
            "file_setattr",
        ],
    );
    let after = held.metadata().expect("own file");
    assert_eq!((before.mode(), before.mtime_nsec()), (after.mode(), after.mtime_nsec()), "{ran}");
}

fn odd_names(case: &Case) {
    let prepared = |run: Run| run.arg("names").arg("@WORK/d").work_file("d/x", "");
    let free = answers(&prepared(case.free(["attackfiles"])).go());
    let ran = prepared(case.boxed(["attackfiles"]).option("--write", "@WORK/d")).go();
    ran.expect_ok();
    // As without a box, and the supervisor lives to tell.
    assert_eq!(free, answers(&ran), "{ran}");
}

fn unnamed_files(case: &Case) {
    // Linked from nowhere into where nothing may be made.
    let body = fs::read(guest("exit")).expect("a guest");
    let ran = case
        .boxed(["attackfiles", "exec", "@WORK/it", "@WORK/d"])
        .work_file("it", body)
        .work_file("d/x", "")
        .option("--read", "@WORK")
        .start();
    let dir = ran.work().join("d");
    let shown = File::open(&dir).expect("own directory");
    let ran = ran.finish();
    ran.check(!ran.out().contains("tmpfile_linked OK"), "a file without a name was linked and executed");
    drop(shown);
}

fn planted(case: &Case) {
    let scratch = Scratch::new(case.user);
    let victim = scratch.file("victim", "precious");
    let dir = scratch.dir("w");
    let show = |path: &Path| path.display().to_string();
    let words = ["attackfiles", "plant", &show(&dir), &show(&victim)];
    let report = dir.join("report.json");
    let ran = case.boxed(words).option("--write", &dir).option("--report", &report).without_report().go();
    works(&ran, &["report.json", "out"]);
    ran.check(ran.err().contains("replaced"), "a report that was replaced is told");
    assert_eq!(fs::read(&victim).expect("own file"), b"precious", "{ran}");
    // What an earlier box left where a later one's streams lead.
    for option in ["--stdout", "--stderr", "--stdin", "--report"] {
        let ran = case.boxed(["/bin/echo", "overwritten"]).option(option, dir.join("out")).without_report().go();
        ran.expect_error_line(125, &["symbolic link"]);
    }
    let profile = scratch.file("p.toml", format!("extends = \"judge\"\n[program]\nstdout = {:?}\n", dir.join("out")));
    case.boxed(["/bin/echo", "overwritten"])
        .option("--profile", profile)
        .without_report()
        .go()
        .expect_error_line(125, &["symbolic link"]);
    assert_eq!(fs::read(&victim).expect("own file"), b"precious");
    // The control: a name that is no link.
    let ran = case.boxed(["/bin/echo", "written"]).option("--stdout", &victim).go();
    ran.expect_ok();
    assert_eq!(fs::read(&victim).expect("own file"), b"written\n");
    // Links in the place of what is removed at the end.
    let project = scratch.dir("project");
    let other = scratch.dir("other");
    scratch.file("other/keep", "keep");
    symlink(&other, project.join("sub")).expect("a link");
    let ran =
        case.boxed(["/bin/sh", "-c", "rm -rf .git; ln -s ../other .git; true"]).profile("agent").cwd(&project).go();
    ran.check(other.join("keep").exists(), "something was removed through a link");
}

fn trusted_files(case: &Case) {
    for name in [
        ".git/hooks/pre-commit",
        ".git/config",
        ".vscode/tasks.json",
        ".envrc",
        ".claude/settings.json",
        ".idea/workspace.xml",
    ] {
        let script = format!("mkdir -p $(dirname {name}); echo evil > {name}; cat {name}");
        let ran = case.boxed(["/bin/sh", "-c", &script]).profile("agent").work_file("README", "x").cwd("@WORK").go();
        ran.check(!ran.out().contains("evil"), format_args!("{name} was written"));
    }
    // Repositories below, of submodules and of further working trees: as the top one's.
    for name in [
        ".git/commondir",
        ".git/modules/a/b/config",
        ".git/modules/a/b/hooks",
        ".git/worktrees/w/commondir",
        "sub/.git/hooks",
        "sub/.git/config",
        "sub/.git/commondir",
        "tree/.git",
    ] {
        let prepared = |run: Run| {
            let files =
                [".git/HEAD", ".git/modules/a/b/config", ".git/worktrees/w/commondir", "sub/.git/config", "tree/.git"];
            let run = run.arg("protect").arg("@WORK").arg(name).cwd("@WORK");
            files.into_iter().fold(run, |run, file| run.work_file(file, "x"))
        };
        let free = prepared(case.free(["attackfiles"])).go();
        free.check(answers(&free).values().any(|answer| answer == "OK"), format_args!("the control changes {name}"));
        let ran = prepared(case.boxed(["attackfiles"]).profile("agent")).go();
        ran.expect_ok();
        all_refused(&ran);
        let moved = "mv sub other || mv .git/modules other || mv .git other";
        let ran = prepared(case.boxed(["/bin/sh", "-c", moved]).profile("agent")).go();
        ran.check(ran.code() != 0, "a directory above was moved");
    }
    // What a box has closed, so that the next one's start cannot look into it, stays closed there.
    let closed = "chmod 755 sub && echo evil > sub/.git/config && cat sub/.git/config";
    let prepared = |run: Run| run.work_file("sub/.git/config", "x").cwd("@WORK");
    let shell = |script: &str| ["/bin/sh".to_owned(), "-c".into(), script.to_owned()];
    if !case.is_root() {
        let close = |what: &str| format!("chmod 000 sub; {what}");
        let free = prepared(case.free(shell(&close(closed)))).go();
        free.check(free.out().contains("evil"), "the control opens it again");
        let nested = format!(
            "chmod 000 sub; {} run --quiet --profile agent -- /bin/sh -c '{closed}'; chmod 755 sub",
            tipstaff_testkit::tipstaff().display()
        );
        let ran = prepared(case.free(shell(&nested))).go();
        ran.check(!ran.out().contains("evil") && ran.err().contains("Read-only"), "the box opens what was closed");
    }
    let script = "mkdir -p a/b && echo evil > a/b/other && cat a/b/other";
    let control = case.boxed(["/bin/sh", "-c", script]).profile("agent").work_file("README", "x").cwd("@WORK").go();
    control.expect_ok().expect_stdout("evil\n");
}

fn kernel_switches(case: &Case) {
    // What is one's own in every process is no switch of the kernel's. Anybody may open ns_last_pid; writing it takes a capability.
    let own = [
        "/proc/sys/kernel/ns_last_pid",
        "/proc/self/loginuid",
        "/proc/pressure/cpu",
        "/proc/self/timens_offsets",
        "/proc/self/uid_map",
        "/proc/self/setgroups",
    ];
    let free = case.free(["attackfiles", "kernel"]).go();
    if case.is_root() {
        works(&free, &["/proc/sys/vm/drop_caches", "/proc/sys/kernel/core_pattern"]);
    }
    let ran = case.boxed(["attackfiles", "kernel"]).go();
    ran.expect_ok();
    let all = answers(&ran);
    let others: Vec<_> = all.keys().map(String::as_str).filter(|way| !own.contains(way)).collect();
    refused(&ran, &others);
}
