//! `tipstaff record` as a black box: every backend sees the same, says what it lacks, and what it writes runs the program again.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tipstaff_testkit::{
    Machine, Ran, Run, Scratch, Signal, Under, User, Without, guest, guest_32, plain, run, skip, tipstaff_command,
};

use crate::both;

/// What may differ between any two runs of a program, whoever records, and why.
const CHANCE: &[(&str, &str)] = &[
    ("futex", "whether a thread must wait depends on who comes first"),
    ("rt_sigreturn", "two children that end at once may send one SIGCHLD or two, and of a killed thread there is none"),
    ("restart_syscall", "only what blocked long enough is restarted"),
    ("madvise", "a thread that ends while another begins has its stack used again"),
    ("sched_yield", "depends on who comes first"),
    ("pause", "another thread's exec may come before"),
];

/// `tipstaff record OPTIONS… -- COMMAND…`; a first word of the command that names a guest is that guest.
fn record(options: &[&str], command: &[&str]) -> Run {
    let mut words: Vec<String> = vec!["record".into()];
    words.extend(options.iter().map(|&option| option.to_owned()));
    if let Some((program, arguments)) = command.split_first() {
        words.push("--".into());
        let known = tipstaff_testkit::GUESTS.iter().any(|(name, _)| name == program);
        words.push(if known { guest(program).display().to_string() } else { (*program).to_owned() });
        words.extend(arguments.iter().map(|&word| word.to_owned()));
    }
    tipstaff_command(words)
}

/// The one run of a recording.
#[track_caller]
fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut recording: Value = serde_json::from_str(&text).expect("a recording is JSON");
    assert_eq!(recording["runs"].as_array().map(Vec::len), Some(1), "{text}");
    recording["runs"][0].take()
}

/// Names with their architecture, of calls that were made.
fn names(run: &Value) -> BTreeSet<String> {
    let calls = run["calls"].as_array().expect("calls").iter();
    let made = calls.filter(|call| call["seen"].as_array().is_some_and(|seen| !seen.is_empty()));
    made.map(|call| format!("{}:{}", call["arch"].as_str().expect("arch"), call["name"].as_str().expect("name")))
        .collect()
}

fn call<'a>(run: &'a Value, name: &str) -> &'a Value {
    let calls = run["calls"].as_array().expect("calls");
    calls.iter().find(|call| call["name"] == name).unwrap_or(&Value::Null)
}

fn reasons(run: &Value) -> Vec<String> {
    let shortfalls = run["completeness"]["shortfalls"].as_array().expect("shortfalls");
    shortfalls.iter().map(|shortfall| shortfall["reason"].as_str().expect("a reason").to_owned()).collect()
}

/// The backends that this user has.
fn backends(user: User) -> &'static [&'static str] {
    match user {
        User::Root => &["ebpf", "ptrace", "notify"],
        User::Ordinary => &["ptrace", "notify"],
    }
}

/// Records with one backend, and reads what it wrote.
#[track_caller]
fn recorded(user: User, backend: &str, options: &[&str], command: &[&str]) -> (Ran, Value) {
    let place = Scratch::new(user);
    let file = place.join("seen.rec");
    let mut all = vec!["--backend", backend, "--recording", file.to_str().expect("text")];
    all.extend(options);
    let ran = record(&all, command).as_user(user).cwd(place.path()).go();
    let run = read(&file);
    assert_eq!(run["backend"], backend);
    (ran, run)
}

/// The names that strace sees of a 64-bit program.
fn strace(command: &[&str]) -> Option<BTreeSet<String>> {
    let place = Scratch::new(User::Ordinary);
    let file = place.join("strace");
    // A shell believes PWD, where it is right, and asks the kernel else.
    let done =
        Command::new("strace").args(["-f", "-qq", "-o"]).arg(&file).args(command).env_remove("PWD").output().ok()?;
    drop(done);
    let text = fs::read_to_string(&file).expect("strace's file");
    let lines = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest.trim_start());
    let calls = lines.filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'));
    // Of a thread that an exec kills at the entry of a call strace finds registers of zeros, or of few else, which say read, and never a result.
    let has_result = |line: &str| !line.contains("<unfinished") && !line.ends_with("= ?");
    let reads =
        text.lines().any(|line| (line.contains(" read(") || line.contains("read resumed>")) && has_result(line));
    let made = |rest: &&str| reads || !rest.starts_with("read(");
    let calls = calls.filter(made);
    Some(calls.filter_map(|rest| Some(format!("x86_64:{}", rest.split_once('(')?.0))).collect())
}

fn without_chance(names: &BTreeSet<String>) -> BTreeSet<String> {
    let chance = |name: &&String| !CHANCE.iter().any(|(by_chance, _)| name.ends_with(&format!(":{by_chance}")));
    names.iter().filter(chance).cloned().collect()
}

both!(backends_see_what_strace_sees, |user| {
    let (recorded_guest, threadexec, lifecycle) = (guest("recorded"), guest("threadexec"), guest("lifecycle"));
    let [recorded_guest, threadexec, lifecycle] =
        [&recorded_guest, &threadexec, &lifecycle].map(|path| path.to_str().expect("text"));
    let programs: &[&[&str]] = &[
        &["/bin/sh", "-c", "ls / >/dev/null; echo a | grep a"],
        &["/usr/bin/find", "/etc/default"],
        &[recorded_guest, "threads"],
        &[recorded_guest, "nested"],
        &[recorded_guest, "families"],
        &[threadexec, "/bin/echo", "x"],
        &[lifecycle, "thread"],
    ];
    for program in programs {
        let Some(truth) = strace(program) else { skip!("no strace") };
        for backend in backends(user) {
            let (_, run) = recorded(user, backend, &[], program);
            // What depends on who one is is not looked at: strace ran as root.
            assert_eq!(without_chance(&names(&run)), without_chance(&truth), "{program:?} by {backend}");
            assert_eq!(run["completeness"]["verdict"], "complete", "{program:?} by {backend}: {run}");
        }
    }
});

both!(a_call_that_a_signal_ends_before_it_is_seen_is_told, |user| {
    // How many calls returned EINTR, which they never do natively, and what the recording lacks. The program's last write may be such a call as well.
    let told = |microseconds: &str| {
        let (ran, run) = recorded(user, "notify", &[], &["interrupted", "getppid", "2000", microseconds]);
        let interrupted = ran.out().split_whitespace().nth(3).map_or(1, |word| word.parse().expect("a number"));
        (interrupted, reasons(&run))
    };
    let happened = (0..5).any(|_| {
        let (interrupted, reasons): (u64, _) = told("300");
        assert!(interrupted == 0 || reasons == ["dropped"], "{interrupted} calls, {reasons:?}");
        interrupted > 0
    });
    assert!(happened, "no call was interrupted");
    assert_eq!(told("0"), (0, Vec::new()), "without signals nothing is lost");
});

both!(children_that_end_do_not_interrupt_a_shell, |user| {
    let script = "i=0; while [ $i -lt 12 ]; do echo a | cat >/dev/null; i=$((i+1)); done; echo done";
    // A machine that is busy enough may lose a call all the same; then it is said, and nothing is promised.
    let complete = (0..5).any(|_| {
        let (ran, run) = recorded(user, "notify", &[], &["/bin/sh", "-c", script]);
        let complete = run["completeness"]["verdict"] == "complete";
        if complete {
            ran.expect_exit(0).expect_stdout("done\n").check(!ran.err().contains("fork"), "no fork failed");
        } else {
            assert_eq!(reasons(&run), ["dropped"]);
        }
        complete
    });
    assert!(complete, "each time a call was lost");
});

both!(threads_namespaces_and_unknown_numbers_are_followed, |user| {
    for backend in backends(user) {
        let (ran, run) = recorded(user, backend, &[], &["recorded", "threads"]);
        ran.expect_exit(0);
        assert!(names(&run).contains("x86_64:sysinfo"), "{backend}: an exec from a thread that is not the leader");
        let (ran, run) = recorded(user, backend, &[], &["recorded", "nested"]);
        ran.expect_exit(0);
        assert!(names(&run).contains("x86_64:getpgid"), "{backend}: a child in another namespace");
        assert_eq!(call(&run, "unshare")["arguments"]["values"], serde_json::json!([[0x1000_0000]]), "{backend}");
        let (ran, run) = recorded(user, backend, &[], &["recorded", "unknown"]);
        ran.expect_exit(0);
        assert!(names(&run).contains("x86_64:#1000"), "{backend}: {:?}", names(&run));
        assert!(names(&run).contains("x86_64:getpriority"), "{backend}: what comes after it");
    }
});

both!(calls_of_other_architectures_are_told_apart, |user| {
    for backend in backends(user) {
        let (ran, run) = recorded(user, backend, &[], &["int80"]);
        ran.expect_exit(0);
        let names = names(&run);
        assert!(names.contains("i386:getpid") && names.contains("x86_64:execve"), "{backend}: {names:?}");
        assert!(!names.contains("x86_64:writev"), "{backend}: 20 is getpid there");
        ran.check(ran.err().contains("calls of other architectures: i386"), "it is said");
        let Some(program) = guest_32("i386") else { continue };
        let (_, run) = recorded(user, backend, &[], &[program.to_str().expect("text")]);
        assert!(
            self::names(&run).iter().any(|name| name == "i386:exit" || name == "i386:exit_group"),
            "{backend}: {run}"
        );
    }
});

both!(counts_arguments_and_results, |user| {
    for backend in backends(user) {
        let (ran, run) = recorded(user, backend, &["--results"], &["callcount", "4", "250"]);
        ran.expect_exit(0).expect_stdout("1000\n");
        let count: u64 = call(&run, "getpriority")["seen"]
            .as_array()
            .expect("seen")
            .iter()
            .filter_map(|s| s["count"].as_u64())
            .sum();
        assert_eq!(count, 1000, "{backend}: none is lost and none counts twice");
        let results = &call(&run, "getpriority")["results"];
        match *backend {
            "notify" => assert!(results.is_null(), "not seen, and not said"),
            _ => assert_eq!(results["ok"], 1000, "{backend}: {results}"),
        }
        let (_, run) = recorded(user, backend, &[], &["recorded", "families"]);
        let values = &call(&run, "socket")["arguments"]["values"];
        assert_eq!(*values, serde_json::json!([[1, 1, 0], [2, 0x8_0001, 0], [10, 2, 0]]), "{backend}");
    }
});

both!(files_are_recorded_alike, |user| {
    let place = Scratch::new(user);
    place.file("in.txt", "x");
    let script = "cat in.txt >out.txt; cat nothing-here 2>/dev/null; exit 0";
    let mut all = Vec::new();
    for backend in backends(user) {
        let file = place.join(format!("{backend}.rec"));
        let _ = fs::remove_file(place.join("out.txt"));
        let options = ["--files", "--backend", backend, "--recording", file.to_str().expect("text")];
        record(&options, &["/bin/sh", "-c", script]).as_user(user).cwd(place.path()).go().expect_exit(0);
        let run = read(&file);
        let mine = place.path().to_str().expect("text");
        let uses: BTreeSet<(String, String, bool)> = run["files"]
            .as_array()
            .expect("files")
            .iter()
            .filter(|used| {
                used["path"].as_str().is_some_and(|path| path.starts_with(mine) && path.len() > mine.len() + 1)
            })
            .filter(|used| used["access"] != "stat")
            .map(|used| {
                let failed = used["failed"].as_u64().is_some_and(|failed| failed > 0);
                (
                    used["path"].as_str().expect("path")[mine.len() + 1..].to_owned(),
                    used["access"].as_str().expect("access").to_owned(),
                    failed,
                )
            })
            .collect();
        let find = |path: &str, access: &str, failed| uses.contains(&(path.to_owned(), access.to_owned(), failed));
        assert!(find("in.txt", "read", false), "{backend}: {uses:?}");
        assert!(find("out.txt", "write", false) && find("out.txt", "create", false), "{backend}: {uses:?}");
        assert!(find("nothing-here", "read", *backend != "notify"), "{backend}: {uses:?}");
        all.push(uses.into_iter().map(|(path, access, _)| (path, access)).collect::<BTreeSet<_>>());
    }
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
});

both!(statuses_are_the_programs, |user| {
    for backend in backends(user) {
        let with = |command: &[&str]| record(&["-q", "--backend", backend], command).as_user(user).go();
        with(&["/bin/sh", "-c", "exit 5"]).expect_exit(5).expect_stdout("");
        with(&["/bin/sh", "-c", "kill -9 $$"]).expect_exit(137);
        with(&["/nowhere/at-all"]).expect_error_line(127, &["/nowhere/at-all", "No such file"]);
        with(&["@WORK/data"]).expect_exit(127);
        let data =
            record(&["-q", "--backend", backend], &["@WORK/data"]).work_file("data", "no program").as_user(user).go();
        data.expect_error_line(126, &["data", "Permission denied"]);
        let ran =
            record(&["-q", "--backend", backend], &["/bin/sh", "-c", "echo out; echo err >&2"]).as_user(user).go();
        ran.expect_exit(0).expect_stdout("out\n");
        ran.check(ran.err() == "err\n", "streams are the program's own");
    }
});

both!(what_outlives_the_command_is_recorded, |user| {
    for backend in backends(user) {
        let place = Scratch::new(user);
        let made = place.join("made");
        let (ran, run) = recorded(user, backend, &[], &["recorded", "orphan", made.to_str().expect("text")]);
        ran.expect_exit(0);
        assert!(made.is_dir() && names(&run).contains("x86_64:mkdir"), "{backend}: {:?}", names(&run));
        assert_eq!(run["completeness"]["verdict"], "complete", "{backend}");
    }
});

both!(without_ebpf_the_next_backend_is_taken_and_the_reason_said, |user| {
    let ran = match user {
        User::Root => record(&["-o", "-"], &["/bin/true"]).env("TIPSTAFF_WITHOUT_BPF", "1").go(),
        User::Ordinary => record(&["-o", "-"], &["/bin/true"]).as_user(user).go(),
    };
    ran.expect_exit(0);
    let reason = if user == User::Root { "switched off" } else { "CAP_BPF and CAP_PERFMON are needed" };
    ran.check(
        ran.err().contains(reason) && ran.err().contains("recording by ptrace"),
        "what is missing, and what is taken",
    );
    ran.check(ran.json()["defaultErrnoRet"] == 38, "a profile");
    let forced = record(&["--backend", "ebpf"], &["/bin/true"]).env("TIPSTAFF_WITHOUT_BPF", "1").as_user(user).go();
    forced.expect_error_line(125, &["nothing can record this here", "ebpf"]);
});

both!(without_ptrace_notifications_are_taken, |user| {
    let machine = Machine::Without(Without::Ptrace);
    if let Some(why) = machine.unavailable(user) {
        skip!("{why}");
    }
    let ran = record(&[], &["/bin/true"]).env("TIPSTAFF_WITHOUT_BPF", "1").as_user(user).on(machine).go();
    ran.expect_exit(0);
    ran.check(
        ran.err().contains("recording by notify") || ran.err().contains("recorded by notify"),
        "the third backend",
    );
    let control = record(&[], &["/bin/true"]).env("TIPSTAFF_WITHOUT_BPF", "1").as_user(user).go();
    control.check(control.err().contains("recorded by ptrace"), "with ptrace, ptrace");
});

both!(a_filter_that_is_there_already_is_a_bias, |user| {
    let machine = Machine::Under(Under::DockerSeccomp);
    if let Some(why) = machine.unavailable(user) {
        skip!("{why}");
    }
    let place = Scratch::new(user);
    let file = place.join("seen.rec");
    let options = ["--backend", "ptrace", "--recording", file.to_str().expect("text")];
    let ran = record(&options, &["/bin/true"]).as_user(user).on(machine).go();
    ran.expect_exit(0);
    let run = read(&file);
    assert!(reasons(&run).contains(&"already_filtered".to_owned()), "{run}");
    assert_eq!(run["completeness"]["verdict"], "incomplete");
    ran.check(ran.err().contains("incomplete: a seccomp filter was in force already"), "and it is said");
});

both!(a_running_program_is_recorded_and_left_running, |user| {
    for backend in backends(user).iter().filter(|backend| **backend != "notify") {
        let place = Scratch::new(user);
        let file = place.join("seen.rec");
        let target = plain(["threads", "8"]).as_user(user).start();
        target.await_output("ready", 1);
        // Below `plain`'s wrapper, if there is one.
        let pid = tipstaff_testkit::descendants(target.pid()).last().map_or(target.pid(), |process| process.pid);
        let pids = pid.to_string();
        let options =
            ["--backend", backend, "--recording", file.to_str().expect("text"), "--flush", "100ms", "-p", &pids];
        let recorder = record(&options, &[]).as_user(user).start();
        // Flushed while it goes on.
        let count = |run: &Value| call(run, "clock_nanosleep")["seen"][0]["count"].as_u64().unwrap_or(0);
        until("what all threads do is in the file", || file.exists() && count(&read(&file)) > 8);
        let flushed = read(&file);
        recorder.signal(Signal::INT);
        let ran = recorder.finish();
        ran.expect_exit(0);
        let run = read(&file);
        assert_eq!(run["id"], flushed["id"], "one run");
        assert!(!target.ends(Duration::from_millis(50)), "{backend}: the target goes on");
        let reasons = reasons(&run);
        for reason in ["attached_running", "still_running"] {
            assert!(reasons.contains(&reason.to_owned()), "{backend}: {reasons:?}");
        }
        assert!(names(&run).contains("x86_64:clock_nanosleep"), "{backend}: {:?}", names(&run));
        assert!(count(&run) > 8, "{backend}: all threads: {}", count(&run));
        target.signal(Signal::KILL);
        target.finish_anyhow();
    }
});

both!(bad_input_is_one_line, |user| {
    let wrong = |options: &[&str], command: &[&str], words: &[&str]| {
        record(options, command).as_user(user).go().expect_error_line(125, words);
    };
    wrong(&[], &[], &["nothing to record", "-p PID"]);
    wrong(&["-p", "2147483646"], &[], &["no process 2147483646"]);
    wrong(&["-p", "x"], &[], &["-p x", "write a number"]);
    wrong(&["-p", "1"], &["/bin/true"], &["leave the program out"]);
    wrong(&["-o", "profile.xyz"], &["/bin/true"], &["profile.xyz", "--format"]);
    wrong(&["-o", "/nowhere/p.json"], &["/bin/true"], &["/nowhere/p.json"]);
    wrong(&["-o", "a.json", "-o", "a.json"], &["/bin/true"], &["given twice"]);
    wrong(&["-o", "a.json", "-o", "./a.json"], &["/bin/true"], &["given twice"]);
    wrong(&["-o", "a.json", "--recording", "a.json"], &["/bin/true"], &["given twice"]);
    wrong(&["--floor", "no-such-floor"], &["/bin/true"], &["no-such-floor", "docker-default"]);
    wrong(&["--flush", "0s"], &["/bin/true"], &["--flush"]);
    wrong(&["--cgroup", "/etc"], &[], &["/etc", "no control group"]);
    wrong(&["--container", "no-such-container"], &[], &["no-such-container", "runc"]);
    wrong(&["--backend", "notify", "-p", "1"], &[], &["notify"]);
    tipstaff_command(["recording", "show", "/nowhere/x.rec"])
        .as_user(user)
        .go()
        .expect_error_line(125, &["/nowhere/x.rec"]);
    let bad = tipstaff_command(["recording", "merge", "@WORK/x.rec"])
        .work_file("x.rec", "{\"schema\": 7}")
        .as_user(user)
        .go();
    bad.expect_error_line(125, &["x.rec", "version 7"]);
});

both!(a_link_is_not_followed_and_the_old_file_stays, |user| {
    let place = Scratch::new(user);
    let victim = place.file("victim", "mine");
    std::os::unix::fs::symlink(&victim, place.join("p.json")).expect("a link");
    let ran = record(&["-o", "p.json"], &["/bin/true"]).as_user(user).cwd(place.path()).go();
    ran.expect_error_line(125, &["p.json", "symbolic link"]);
    assert_eq!(fs::read_to_string(victim).expect("victim"), "mine");
});

/// Runs a command recorded as TOML, under the TOML.
fn again(user: User, place: &Scratch, command: &[&str]) -> Ran {
    let toml = place.join("again.toml");
    let ran = record(&["-o", toml.to_str().expect("text")], command).as_user(user).cwd(place.path()).go();
    ran.expect_exit(0);
    let profile = format!("{}", toml.display());
    run(command).profile(profile).as_user(user).cwd(place.path()).go()
}

both!(a_profile_runs_what_was_recorded, |user| {
    let place = Scratch::new(user);
    again(user, &place, &["/bin/sh", "-c", "ls / >/dev/null; echo a | grep a >out.txt; cat out.txt"])
        .expect_ok()
        .expect_stdout("a\n");
    if Path::new("/usr/bin/python3").exists() {
        let script = "import threading,asyncio,json,ssl; t=threading.Thread(target=lambda: open('t','w').write('x')); t.start(); t.join(); \
            asyncio.run(asyncio.sleep(0.01)); print(json.dumps([1]))";
        again(user, &place, &["/usr/bin/python3", "-c", script]).expect_ok().expect_stdout("[1]\n");
    }
    if Path::new("/usr/bin/sqlite3").exists() {
        let sql = "create table if not exists t(a); insert into t values(1); select a from t limit 1;";
        again(user, &place, &["/usr/bin/sqlite3", "a.db", sql]).expect_ok().expect_stdout("1\n");
    }
});

both!(a_profile_refuses_what_was_not_recorded, |user| {
    let place = Scratch::new(user);
    let toml = place.join("p.toml");
    record(&["-o", toml.to_str().expect("text")], &["/bin/sh", "-c", "echo a"])
        .as_user(user)
        .cwd(place.path())
        .go()
        .expect_exit(0);
    let under = |command: &[&str]| run(command).profile(&toml).as_user(user).cwd(place.path()).go();
    under(&["/bin/sh", "-c", "echo a"]).expect_ok().expect_stdout("a\n");
    let refused = under(&["/bin/sh", "-c", "umask 022; echo b >made"]);
    refused.check(refused.code() != 0 && !place.join("made").exists(), "a file that nobody was seen to make");
    // The same as an OCI profile under the kernel alone.
    let json = place.join("p.json");
    let options = ["-o", json.to_str().expect("text")];
    record(&options, &["/bin/sh", "-c", "mkdir x; rmdir x"]).as_user(user).cwd(place.path()).go().expect_exit(0);
    let over = place.file(
        "over.toml",
        format!("extends = \"default\"\n[filesystem]\ncwd = \"write\"\n[syscalls]\nbase = \"{}\"\n", json.display()),
    );
    let under = |command: &[&str]| run(command).profile(&over).as_user(user).cwd(place.path()).go();
    under(&["/bin/sh", "-c", "mkdir x; rmdir x"]).expect_ok();
    let refused = under(&["/bin/sh", "-c", "mkdir y; ln -s a b"]);
    refused.check(refused.code() != 0 && !place.join("b").exists(), "a call that nobody was seen to make");
});

both!(a_floor_is_met_and_what_is_beyond_is_said, |user| {
    let place = Scratch::new(user);
    let ran = record(&["-o", "p.json", "--floor", "docker-default"], &["recorded", "nested"])
        .as_user(user)
        .cwd(place.path())
        .go();
    ran.expect_exit(0);
    ran.check(
        ran.err().contains("refused by --floor docker-default") && ran.err().contains("unshare"),
        "what it needs more",
    );
    let profile: Value =
        serde_json::from_str(&fs::read_to_string(place.join("p.json")).expect("a profile")).expect("JSON");
    let allows = |name: &str| {
        let entries = profile["syscalls"].as_array().expect("entries").iter();
        let allowing = entries.filter(|entry| entry["action"] == "SCMP_ACT_ALLOW");
        allowing.flat_map(|entry| entry["names"].as_array().into_iter().flatten()).any(|known| known == name)
    };
    assert!(allows("getpgid") && !allows("unshare"), "{profile}");
    // A Tipstaff profile, which has the default base besides: nothing is allowed that the floor refuses, with whatever arguments.
    let script = "ls / >/dev/null; echo a | grep a";
    let options = ["-o", "p.toml", "--floor", "docker-default"];
    let ran = record(&options, &["/bin/sh", "-c", script]).as_user(user).cwd(place.path()).go();
    ran.expect_exit(0);
    let diff = tipstaff_command(["profile", "diff", "docker-default", "p.toml"]).as_user(user).cwd(place.path()).go();
    // Where the floor allows all, any change takes away.
    let widens = |line: &str| line.split_once(" -> ").is_some_and(|(_, to)| to.contains("allow"));
    let more =
        |line: &&str| line.starts_with('+') || line.starts_with('~') && !line.contains(": allow -> ") && widens(line);
    diff.check(diff.out().lines().filter(more).count() == 0, "nothing more than the floor");
    diff.check(diff.out().lines().any(|line| line.starts_with('-')), "and less than that");
    let toml = place.join("p.toml");
    let under = |script: &str| run(["/bin/sh", "-c", script]).profile(&toml).as_user(user).cwd(place.path()).go();
    under(script).expect_ok().expect_stdout("a\n");
    let options = ["-o", "n.toml", "--floor", "docker-default"];
    let ran = record(&options, &["recorded", "nested"]).as_user(user).cwd(place.path()).go();
    ran.check(
        ran.err().contains("refused by --floor docker-default") && ran.err().contains("unshare"),
        "what is beyond",
    );
    let diff = tipstaff_command(["profile", "diff", "docker-default", "n.toml"]).as_user(user).cwd(place.path()).go();
    diff.check(diff.out().lines().filter(more).count() == 0, "nothing more than the floor");
});

both!(a_store_keeps_every_run_and_merging_counts_them, |user| {
    let place = Scratch::new(user);
    let once = |script: &str| {
        let options = ["--store", "runs", "-o", "p.json"];
        record(&options, &["/bin/sh", "-c", script]).as_user(user).cwd(place.path()).go()
    };
    once("echo a").expect_exit(0);
    once("echo a").expect_exit(0);
    let third = once("umask 077; mkdir d");
    third.expect_exit(0);
    third.check(third.err().contains("in 3 runs"), "the profile is of all runs");
    assert_eq!(fs::read_dir(place.join("runs")).expect("a store").count(), 3);
    let merge = tipstaff_command(["recording", "merge", "runs", "-o", "all.rec"]).as_user(user).cwd(place.path()).go();
    merge.expect_exit(0);
    let out = merge.out();
    let row =
        |name: &str| out.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or("").to_owned();
    merge.check(row("mkdir").contains("1/3") && row("execve").contains("3/3"), "k of n");
    merge.check(
        out.contains("new calls per run: ") && out.contains("likely new in the next run: "),
        "what is still unseen",
    );
    // Merged with its own parts it is the same.
    let again = tipstaff_command(["recording", "merge", "all.rec", "runs", "-o", "again.rec", "-q"])
        .as_user(user)
        .cwd(place.path())
        .go();
    again.expect_exit(0).expect_stdout("");
    let text = |name: &str| fs::read_to_string(place.join(name)).expect("a recording");
    assert_eq!(text("all.rec"), text("again.rec"));
});

both!(what_a_command_leaves_behind_does_not_hold_the_recorder, |user| {
    for backend in backends(user) {
        let place = Scratch::new(user);
        let file = place.join("seen.rec");
        let options = ["-q", "--backend", backend, "--recording", file.to_str().expect("text")];
        let script = "trap '' TERM; sleep 1000 & echo $! $$; exit 3";
        let left = record(&options, &["sh", "-c", script]).as_user(user).start();
        left.await_output("\n", 1);
        // Only when its parent has waited for it nobody has its number any more.
        until("the command has ended", || {
            let below = tipstaff_testkit::descendants(left.pid());
            !below.iter().any(|process| left.said(&format!(" {}\n", process.pid)))
        });
        left.signal(Signal::TERM);
        assert!(left.ends(Duration::from_secs(60)), "{backend}: asked to stop");
        let ran = left.finish_anyhow();
        ran.expect_exit(3);
        assert_eq!(reasons(&read(&file)), ["still_running"], "{backend}");
        let sleeper: i32 = ran.out().split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id");
        if let Some(pid) = rustix::process::Pid::from_raw(sleeper) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
});

/// Waits until something holds, with the patience of a busy machine.
#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A control group of a test, removed at its end.
struct Group(std::path::PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists())?;
        let path = root.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        Some(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes are children of the test, and have been waited for; the kernel lets go of them a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_control_group_is_recorded_and_who_joins_it() {
    if let Some(why) = Machine::Full.unavailable(User::Root) {
        skip!("{why}");
    }
    for backend in ["ebpf", "ptrace"] {
        let Some(group) = Group::new("tipstaff-record") else { skip!("no control group can be made here") };
        let place = Scratch::new(User::Root);
        let file = place.join("seen.rec");
        let join = format!("echo $$ >{}/cgroup.procs", group.0.display());
        let mut first =
            Command::new("sh").args(["-c", &format!("{join}; while :; do sleep 0.02; done")]).spawn().expect("sh");
        until("it has joined", || fs::read_to_string(group.0.join("cgroup.procs")).is_ok_and(|list| !list.is_empty()));
        let path = group.0.to_str().expect("text").to_owned();
        let options =
            ["--backend", backend, "--recording", file.to_str().expect("text"), "--flush", "100ms", "--cgroup", &path];
        let recorder = record(&options, &[]).start();
        until("who was there is in the file", || {
            file.exists() && names(&read(&file)).contains("x86_64:clock_nanosleep")
        });
        // It stays as long as it is looked at.
        let joiner = format!("{join}; mkdir {0}/d; rmdir {0}/d; : >{0}/made; exec sleep 1000", place.path().display());
        let mut second = Command::new("sh").args(["-c", &joiner]).spawn().expect("sh");
        until("it has joined and made something", || place.join("made").exists());
        recorder.signal(Signal::TERM);
        recorder.finish().expect_exit(0);
        let run = read(&file);
        for child in [&mut first, &mut second] {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
        assert_eq!(run["target"]["path"], path.as_str());
        assert!(names(&run).contains("x86_64:clock_nanosleep"), "{backend}: who was there: {:?}", names(&run));
        let joined = names(&run).contains("x86_64:mkdir");
        match backend {
            "ebpf" => assert!(joined, "who joins: {:?}", names(&run)),
            _ => assert!(
                !joined && reasons(&run).contains(&"threads_missed".to_owned()),
                "it is said: {:?}",
                reasons(&run)
            ),
        }
    }
}
