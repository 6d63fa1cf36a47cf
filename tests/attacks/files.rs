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
    F10 "a descriptor opened again with more rights" => tried(native notify ptrace: reopened);
    F11 "chroot with a directory kept open" => tried(native notify ptrace: kept_directory)
        + held("crates/policy/src/base/tests.rs": dangerous_calls_are_denied_whole,
        "tests/tests/isolation.rs": no_privileges);
    F12 "mounts that propagate to the machine" => held("tests/tests/isolation.rs": mounts_are_private_and_read_only);
    F13 "what covers a denied name is taken away or raced" => tried(native notify ptrace: cover);
    F14 "a file system in user space that stalls readers" => tried(native notify ptrace: no_fuse);
    F15 "device nodes of one's own, and the machine's changed" => tried(native notify ptrace: nodes);
    F16 "set-id and capability-bearing programs" => tried(native notify ptrace: program_with_capabilities)
        + held("tests/tests/fs.rs": setuid_bits_give_nothing, "tests/tests/isolation.rs": no_privileges);
    F17 "a set-id file that stays when the box is gone" => tried(native notify ptrace: modes)
        + held("crates/policy/src/lower/tests.rs": openat2_is_absent_where_a_set_id_file_could_stay);
    F18 "/tmp and /dev/shm shared between boxes" => tried(native notify ptrace: private_places)
        + held("tests/tests/fs.rs": tmp_is_private, "tests/tests/leftovers.rs": what_outlives_a_process_does_not_outlive_the_box);
    F19 "abstract sockets, NUL bytes in their names" => held("tests/tests/net.rs": nothing_on_the_host_is_reached, "tests/tests/network_unix.rs":
        unix_sockets_beneath_what_may_be_written unix_sockets_without_namespaces_the_same);
    F20 "sockets with a path" => held("tests/tests/review.rs": unix_sockets_of_the_host_are_out_of_reach, "tests/tests/network_unix.rs":
        unix_sockets_beneath_what_may_be_written);
    F21 "descriptors passed through sockets" => tried(native notify ptrace: handed_out)
        + held("tests/tests/net.rs": a_connected_stdin_is_no_way_out, "tests/tests/review.rs":
        unix_sockets_of_the_host_are_out_of_reach);
    F22 "locks and leases as a channel" => tried(native notify ptrace: leases)
        + left("Locks (flock, fcntl) on a file that is shown: whoever may read it may hold up whoever locks it outside (docs/security.md, Locks).");
    F23 "what a descriptor for reading lets one change" => tried(native notify ptrace: read_descriptor);
    F24 "modes, owners, times and attributes, which Landlock does not know" => tried(native notify ptrace: read_only_attributes);
    F25 "names that are no names, and odd ones" => tried(native notify ptrace: odd_names)
        + held("tests/tests/bad_input.rs": names_that_are_no_text_work);
    F26 "names that a file system folds together" => tried(native notify ptrace: spellings);
    F27 "the same file by another mount" => tried(native notify ptrace: second_place);
    F28 "files without a name that get one" => tried(native notify ptrace: unnamed_files);
    F29 "layers that copy on write" => tried(native notify ptrace: no_layers);
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
    F35 "types of file systems out of a configuration" => tried(native notify ptrace: mounts_of_a_profile);
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
    if case.is_root() && Path::new("/dev/fuse").exists() {
        let free = case.free(["/bin/sh", "-c", "(: <> /dev/fuse) && echo opened"]).go();
        free.expect_stdout("opened\n");
    }
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
    // The control: what both are shown is seen.
    let scratch = Scratch::new(case.user);
    let shown = scratch.dir("shown");
    let script = format!("cd \"$1\"; [ -e {mark} ] && echo seen; : >{mark}; true");
    for said in ["", "seen\n"] {
        let ran = case.boxed(["/bin/sh", "-c", &script, "sh"]).arg(&shown).option("--write", &shown).go();
        ran.expect_ok().expect_stdout(said);
    }
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
    let prepared = |run: Run| {
        run.arg("exec").arg("@WORK/it").arg("@WORK/d").work_file("it", body.clone()).work_file("d/x", "").go()
    };
    works(&prepared(case.free(["attackfiles"])), &["tmpfile_linked"]);
    let ran = prepared(case.boxed(["attackfiles"]).option("--read", "@WORK"));
    ran.expect_ok();
    refused(&ran, &["tmpfile_linked", "copy"]);
    // A name that goes while the file is open: what it may be opened for again is what it was.
    let script = "exec 3<it; echo ready; while [ -e it ]; do sleep 0.01; done; (echo x >/proc/self/fd/3) 2>/dev/null && echo written OK || echo written EACCES; \
                  read line </proc/self/fd/3 && echo read OK; cat <&3 >/dev/null && echo open OK";
    let words = ["/bin/sh", "-c", script];
    let gone = |run: Run| {
        let start = run.cwd("@WORK").work_file("it", "content\n").start();
        start.await_output("ready", 1);
        let file = start.work().join("it");
        let held = File::open(&file).expect("own file");
        fs::remove_file(file).expect("own file");
        (start.finish(), held.metadata().expect("own file").len())
    };
    let (free, length) = gone(case.free(words));
    works(&free, &["written", "open"]);
    assert_eq!(length, 2, "{free}");
    for machine in [None, Some(Without::Namespaces)] {
        let run = case.boxed(words).option("--read", "@WORK");
        let (ran, length) = gone(match machine {
            Some(without) => run.without(without),
            None => run,
        });
        refused(&ran, &["written"]);
        works(&ran, &["read", "open"]);
        assert_eq!(length, 8, "{ran}");
    }
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
    // A pipe that nobody reads holds nobody up; one with a reader is a stream like others.
    let pipe = dir.join("pipe");
    case.free(["/usr/bin/mkfifo"]).arg(&pipe).go().expect_exit(0);
    for option in ["--stdout", "--stderr", "--report"] {
        let ran = case.boxed(["/bin/echo", "lost"]).option(option, &pipe).without_report().go();
        ran.expect_error_line(125, &["pipe", "reads"]);
    }
    let reader =
        case.free(["/bin/sh", "-c", "exec 3<>\"$1\"; echo ready; read line <&3; echo $line", "sh"]).arg(&pipe).start();
    reader.await_output("ready", 1);
    case.boxed(["/bin/echo", "piped"]).option("--stdout", &pipe).go().expect_ok();
    reader.finish().expect_exit(0).expect_stdout("ready\npiped\n");
    // A box that puts one in the place of its report, or a directory.
    for plant in ["mkfifo report", "mkdir report"] {
        let script = format!("cd \"$1\" && rm -rf report && {plant} && echo planted");
        let run = case.boxed(["/bin/sh", "-c", &script, "sh"]).arg(&dir).option("--write", &dir).without_report();
        let ran = run.option("--report", dir.join("report")).go();
        ran.expect_exit(125).expect_stdout("planted\n");
        ran.check(ran.err().contains("replaced"), "a report that was replaced is told");
        let _ = fs::remove_file(dir.join("report"));
        let _ = fs::remove_dir(dir.join("report"));
    }
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

fn kept_directory(case: &Case) {
    let free = case.free(["attackfiles", "chroot", "@WORK/d"]).work_file("d/x", "").go();
    if case.is_root() {
        works(&free, &["chroot", "way_out"]);
    }
    for preset in ["default", "judge", "strict"] {
        let run = case.boxed(["attackfiles", "chroot", "@WORK/d"]).work_file("d/x", "").option("--write", "@WORK/d");
        let ran = run.profile(preset).go();
        ran.expect_ok();
        works(&ran, &["kept"]);
        refused(&ran, &["chroot", "way_out"]);
    }
}

fn program_with_capabilities(case: &Case) {
    // VFS_CAP_REVISION_2 with the effective bit, CAP_NET_RAW permitted (capabilities(7)).
    const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if !tipstaff_testkit::User::Root.available() {
        tipstaff_testkit::skip!("giving a program capabilities needs root");
    }
    let scratch = Scratch::new(case.user);
    let program = scratch.file("posture", fs::read(guest("posture")).expect("a guest"));
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("own file");
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::setxattr(&program, "security.capability", &NET_RAW, flags) {
        tipstaff_testkit::skip!("this file system keeps no capabilities: {error}");
    }
    let effective = |ran: &tipstaff_testkit::Ran| ran.json()["status"]["CapEff"].clone();
    let free = case.free([&program]).go();
    free.check(effective(&free) != "0000000000000000", "the control has the capability");
    for preset in ["default", "judge"] {
        let run = case.boxed([&program]).profile(preset).option("--read", scratch.path());
        let ran = run.option("--exec", scratch.path()).go();
        ran.expect_ok();
        ran.check(effective(&ran) == "0000000000000000", "the program's file gives a capability");
    }
}

/// A service of the host that gives whoever connects the directory of its secrets.
fn handed_out(case: &Case) {
    const SERVE: &str = "import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\nos.chmod(sys.argv[1], 0o777)\ns.listen()\n\
        print('ready', flush=True)\nd = os.open(sys.argv[2], os.O_RDONLY)\nwhile True:\n  c = s.accept()[0]\n  socket.send_fds(c, [b'x'], [d])\n  c.close()\n";
    const TAKE: &str = "import os, socket, sys\ntry:\n  s = socket.socket(socket.AF_UNIX)\n  s.connect(sys.argv[1])\n  d = socket.recv_fds(s, 1, 1)[1][0]\n\
        \x20 print('secret', os.read(os.open('secret', os.O_RDONLY, dir_fd=d), 9).decode())\nexcept OSError as e: print('refused', e.errno)\n";
    const PYTHON: &str = "/usr/bin/python3";
    if case.free([PYTHON, "-c", "import socket; socket.send_fds"]).go().code() != 0 {
        tipstaff_testkit::skip!("python3 is not installed");
    }
    let scratch = Scratch::new(case.user);
    scratch.file("hidden/secret", "SECRET");
    let socket = scratch.join("hidden/service");
    let service = case.free([PYTHON, "-c", SERVE]).arg(&socket).arg(scratch.join("hidden")).start();
    service.await_output("ready", 1);
    case.free([PYTHON, "-c", TAKE]).arg(&socket).go().expect_stdout("secret SECRET\n");
    // Where the whole host is shown no socket can be made; where it is picked, the socket is not there.
    for preset in ["default", "agent", "judge", "python"] {
        let ran = case.boxed([PYTHON, "-c", TAKE]).arg(&socket).profile(preset).go();
        ran.expect_ok();
        ran.check(ran.out().starts_with("refused "), "a directory was handed in");
    }
    service.signal(tipstaff_testkit::Signal::KILL);
    service.finish();
}

fn leases(case: &Case) {
    // Whoever opens for writing what somebody has a lease on waits for him, or is told to come again.
    let would_wait = |file: &Path| {
        use std::os::unix::fs::OpenOptionsExt;
        const O_NONBLOCK: i32 = 0o4000;
        let opened = fs::OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(file);
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let held = |run: Run| {
        let start = run.arg("@WORK/it").work_file("it", "content").start();
        start.await_output("ready", 1);
        let waits = would_wait(&start.work().join("it"));
        start.signal(tipstaff_testkit::Signal::KILL);
        (start.finish_anyhow(), waits)
    };
    let (free, waits) = held(case.free(["attackfiles", "lease"]));
    works(&free, &["lease", "lease_wide"]);
    free.check(waits, "the control: a lease holds writers up");
    for preset in ["default", "judge", "agent", "strict"] {
        let (ran, waits) = held(case.boxed(["attackfiles", "lease"]).profile(preset).option("--read", "@WORK"));
        refused(&ran, &["lease", "lease_wide"]);
        ran.check(!waits, "a box holds a writer of the host up");
    }
}

fn spellings(case: &Case) {
    let script = "mkdir -p d; ln -s ../secret d/up; ln -s \"$PWD\" here 2>/dev/null; cd d; \
        for p in ../secret ..//secret ./../secret ../d/../secret up ../here/secret /proc/self/cwd/../secret \"$PWD/../secret\"; do echo \"$p $(cat \"$p\" 2>/dev/null)\"; done; \
        cat ../SECRET ../secret. '../secret ' 2>/dev/null; true";
    let prepared =
        |run: Run| run.arg("-c").arg(script).work_file("secret", "hunter2").work_file("d/x", "").cwd("@WORK");
    let free = prepared(case.free(["/bin/sh"])).go();
    assert_eq!(free.out().matches("hunter2").count(), 8, "every spelling leads there: {free}");
    let run = prepared(case.boxed(["/bin/sh"])).option("--write", "@WORK");
    let ran = run.option("--deny", "@WORK/secret").go();
    ran.expect_ok();
    ran.check(ran.out().lines().count() == 8 && !ran.out().contains("hunter2"), "a spelling leads to it");
    let ran = prepared(case.boxed(["/bin/sh"])).option("--write", "@WORK").go();
    ran.check(ran.out().contains("hunter2"), "the control: it is the rule");
}

/// The directory is mounted at a second place too: there it is what the profile says of that place.
fn second_place(case: &Case) {
    let scratch = Scratch::new(case.user);
    let (one, two) = (scratch.dir("one"), scratch.dir("two"));
    scratch.file("one/secret", "SECRET");
    scratch.file("one/other", "other");
    let look = |boxed: bool, shown: &[&Path]| {
        let tipstaff = tipstaff_testkit::tipstaff().display().to_string();
        let mut words = vec!["unshare".to_owned(), "--mount".into()];
        if !case.is_root() {
            words.extend(["--user".into(), "--map-current-user".into(), "--keep-caps".into()]);
        }
        let script = "mount --bind \"$1\" \"$2\" || exit 77; shift 2; exec \"$@\"";
        words.extend(["/bin/sh", "-c", script, "sh"].map(str::to_owned));
        words.extend([&one, &two].map(|path| path.display().to_string()));
        if boxed {
            // In a user namespace of somebody else's nobody counts tasks for the box.
            let profile = ["run", "--quiet", "--engine", case.engine, "--profile", "judge", "--processes", "unlimited"];
            let profile = profile.map(str::to_owned);
            words.extend([vec![tipstaff], profile.to_vec()].concat());
            words.extend(shown.iter().flat_map(|path| ["--read".to_owned(), path.display().to_string()]));
            words.extend(["--deny".to_owned(), one.join("secret").display().to_string(), "--".into()]);
        }
        let names = [one.join("secret"), one.join("other"), two.join("secret")];
        words.extend(["/bin/sh".to_owned(), "-c".into(), "for f; do cat $f; echo; done".into(), "sh".into()]);
        words.extend(names.map(|path| path.display().to_string()));
        case.free(words).go()
    };
    let free = look(false, &[]);
    if free.code() == 77 || free.code() == 1 {
        tipstaff_testkit::skip!("nothing can be mounted: {}", free.err().trim());
    }
    free.expect_stdout("SECRET\nother\nSECRET\n");
    look(true, &[&one]).expect_stdout("\nother\n\n");
    // As asked for, and as docs/security.md has it.
    look(true, &[&one, &two]).expect_stdout("\nother\nSECRET\n");
}

fn no_layers(case: &Case) {
    let scratch = Scratch::new(case.user);
    let layers = |boxed: bool| {
        let (dir, outside) = (scratch.dir("w"), scratch.file("outside", "precious"));
        let it = scratch.file("w/it", "x");
        scratch.file("w/other", "other");
        let before = fs::metadata(&it).expect("own file").ino();
        let words = ["attackfiles", "layers"];
        let run = if boxed { case.boxed(words).option("--write", &dir) } else { case.free(words) };
        let ran = run.arg(&dir).arg(&outside).go();
        let devices = fs::read_dir(&dir).expect("own directory").flatten();
        let devices = devices.filter(|entry| entry.metadata().is_ok_and(|meta| meta.mode() & 0o170_000 == 0o020_000));
        (ran, before, fs::metadata(&it).ok().map(|meta| (meta.ino(), meta.len())), devices.count())
    };
    let (ran, before, after, devices) = layers(true);
    ran.expect_ok();
    works(&ran, &["in_place"]);
    refused(
        &ran,
        &["whiteout_node", "opaque", "through_link", "truncate_link", "rename_out", "exchange_out", "rename_whiteout"],
    );
    assert_eq!(after, Some((before, 2)), "what may be written is written in place: {ran}");
    assert_eq!(fs::read(scratch.join("outside")).expect("own file"), b"precious", "{ran}");
    assert_eq!(devices, 0, "a device is left: {ran}");
    fs::remove_file(scratch.join("w/link")).expect("made inside");
    let (free, ..) = layers(false);
    works(&free, &["in_place", "through_link", "rename_out", "rename_whiteout"]);
}

fn mounts_of_a_profile(case: &Case) {
    let scratch = Scratch::new(case.user);
    let source = scratch.dir("source");
    scratch.file("source/it", "shown");
    let profile = |mount: &str| {
        let file = scratch.file("p.toml", format!("extends = \"judge\"\n[filesystem]\nmounts = [{mount}]\n"));
        case.boxed(["/bin/cat", "/data/it"]).option("--profile", file).go()
    };
    // The control: a part of the host elsewhere.
    profile(&format!("{{ source = {source:?}, target = \"/data\" }}")).expect_ok().expect_stdout("shown");
    for more in
        ["type = \"proc\"", "fstype = \"cgroup2\"", "options = \"suid,dev\"", "data = \"lowerdir=/\"", "flags = 0"]
    {
        let ran = profile(&format!("{{ source = {source:?}, target = \"/data\", {more} }}"));
        ran.expect_exit(125);
        ran.check(ran.stdout.is_empty() && ran.err().contains("unknown"), format_args!("{more} is no error"));
    }
    for source in ["proc", "none", "sysfs", "cgroup2", "overlay", "debugfs", "tmpfs", "/dev/vda", "/dev/sda1"] {
        let ran = profile(&format!("{{ source = {source:?}, target = \"/data\" }}"));
        ran.check(ran.code() != 0 && ran.stdout.is_empty(), format_args!("{source} was mounted"));
    }
}
