//! `tipstaff trace` as a black box: what it shows, what it leaves alone, how it ends, and what it refuses.
use std::time::{Duration, Instant};

use serde_json::Value;
use tipstaff_testkit::{Ran, Run, Scratch, Signal, User, guest, plain, tipstaff, tipstaff_command};

use crate::both;

/// `tipstaff trace OPTIONS… -- COMMAND…`; a first word of the command that names a guest is that guest.
fn trace(options: &[&str], command: &[&str]) -> Run {
    let mut words: Vec<String> = vec!["trace".into()];
    words.extend(options.iter().map(|&option| option.to_owned()));
    if !command.is_empty() {
        words.push("--".into());
        let known = tipstaff_testkit::GUESTS.iter().any(|(name, _)| *name == command[0]);
        let program = if known { guest(command[0]).display().to_string() } else { command[0].to_owned() };
        words.push(program);
        words.extend(command[1..].iter().map(|&word| word.to_owned()));
    }
    tipstaff_command(words)
}

/// The trace on standard error without the line that an ordinary user gets about no_new_privs.
fn lines(ran: &Ran) -> Vec<String> {
    ran.err().lines().filter(|line| !line.contains("no_new_privs")).map(str::to_owned).collect()
}

#[track_caller]
fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

both!(calls_results_and_the_exit_are_shown, |user| {
    let ran = trace(&[], &["/bin/sh", "-c", "exit 5"]).as_user(user).go();
    ran.expect_exit(5).expect_stdout("");
    let err = ran.err();
    let first = err.lines().next().unwrap_or_default();
    ran.check(first.starts_with(r#"execve("/bin/sh", ["/bin/sh", "-c", "exit 5"], "#), "the exec comes first");
    ran.check(first.ends_with(" = 0"), "and succeeds");
    ran.check(err.contains("exit_group(5)") && err.contains(" = ?"), "a call that never returns");
    ran.check(err.ends_with("+++ exited with 5 +++\n"), "the exit comes last");
});

both!(children_of_threads_that_are_killed_in_their_fork_go_on, |user| {
    for options in [&["-f", "-qq", "-o", "/dev/null"][..], &["-f", "-qq", "-e", "getppid", "-o", "/dev/null"]] {
        let ran = trace(options, &["orphans", "20"]).as_user(user).patience(Duration::from_secs(250)).go();
        ran.expect_exit(0).expect_stdout("20 rounds\n");
    }
});

both!(the_status_is_the_programs, |user| {
    trace(&["-q"], &["/bin/true"]).as_user(user).go().expect_exit(0);
    trace(&["-c"], &["/bin/sh", "-c", "kill -9 $$"]).as_user(user).go().expect_exit(137);
    trace(&["-e", "none"], &["/bin/sh", "-c", "kill -SEGV $$"]).as_user(user).go().expect_exit(139);
    let missing = trace(&["-e", "none", "-q"], &["/nowhere/at-all"]).as_user(user).go();
    missing.expect_error_line(127, &["/nowhere/at-all", "No such file"]);
    let data = trace(&["-e", "none"], &["@WORK/data"]).work_file("data", "no program").as_user(user).go();
    data.expect_exit(126);
    data.check(data.err().contains("Permission denied"), "the reason");
});

both!(names_classes_and_all_others, |user| {
    let shown = |set: &str| {
        let ran = trace(&["-e", set, "-qq"], &["/bin/cat", "/dev/null"]).as_user(user).go();
        ran.expect_exit(0);
        lines(&ran).iter().filter_map(|line| Some(line.split_once('(')?.0.to_owned())).collect::<Vec<_>>()
    };
    let only = shown("trace=openat,close");
    assert!(only.contains(&"openat".into()) && only.iter().all(|name| name == "openat" || name == "close"), "{only:?}");
    let files = shown("%file");
    assert!(files.contains(&"openat".into()) && !files.contains(&"read".into()), "{files:?}");
    let others = shown("!openat,close");
    assert!(others.contains(&"read".into()) && !others.iter().any(|name| name == "openat"), "{others:?}");
    assert!(shown("none").is_empty());
});

both!(a_filter_does_not_change_what_the_program_gets, |user| {
    // A filter, a filter for all others, user-space filtering, no filter: the same output and the same status.
    let program = &["lifecycle", "thread"];
    let plain = plain(["callcount", "4", "1000"]).as_user(user).go();
    for options in [&["-e", "getpriority"][..], &["-e", "!getpriority"], &["-Z"], &["-c"], &["-e", "none"]] {
        trace(options, program).as_user(user).go().expect_exit(0);
        let ran = trace(options, &["callcount", "4", "1000"]).as_user(user).go();
        ran.expect_exit(0).expect_stdout(&plain.stdout);
    }
});

both!(no_call_is_lost_or_doubled, |user| {
    for options in [&["--json", "-", "-e", "getpriority"][..], &["--json", "-"]] {
        let ran = trace(options, &["callcount", "8", "500"]).as_user(user).go();
        ran.expect_exit(0);
        let out = ran.out();
        let (events, told): (Vec<_>, Vec<_>) = out.lines().partition(|line| line.starts_with('{'));
        let calls = events.iter().filter(|line| line.contains(r#""name":"getpriority""#)).count();
        ran.check(told == ["4000"] && calls == 4000, format_args!("{calls} calls seen, {told:?} made"));
    }
});

both!(unprivileged_cost_is_said_once, |user| {
    let said = |options: &[&str]| {
        let ran = trace(options, &["/bin/sh", "-c", "/bin/true; /bin/true"]).as_user(user).go();
        ran.expect_exit(0);
        ran.err().matches("no_new_privs").count()
    };
    let wanted = usize::from(user == User::Ordinary);
    assert_eq!(said(&["-e", "openat"]), wanted);
    assert_eq!(said(&["-q", "-e", "openat"]), 0);
    // Nothing is filtered, so nothing is lost.
    assert_eq!(said(&[]), 0);
});

both!(a_set_user_id_program_that_gains_nothing_is_told, |user| {
    use std::os::unix::fs::MetadataExt;
    const SU: &str = "/usr/bin/su";
    if !std::fs::metadata(SU).is_ok_and(|meta| meta.mode() & 0o4000 != 0 && meta.uid() == 0) {
        tipstaff_testkit::skip!("{SU} is not set-user-ID here");
    }
    let said = |options: &[&str], program: &str| {
        let script = format!("{program} --version; {program} --version");
        let ran = trace(options, &["/bin/sh", "-c", &script]).as_user(user).go();
        ran.expect_exit(0).err().matches("set-user-ID").count()
    };
    assert_eq!(said(&["-c"], SU), usize::from(user == User::Ordinary));
    assert_eq!(said(&["-c", "-q"], SU), 0);
    assert_eq!(said(&["-c"], "/bin/cat"), 0);
});

both!(a_summary_counts, |user| {
    let out = Scratch::new(user);
    let file = out.join("c").display().to_string();
    let ran = trace(&["-c", "-S", "calls", "-o", &file], &["callcount", "2", "300"]).as_user(user).go();
    ran.expect_exit(0).expect_stdout("600\n");
    let table = std::fs::read_to_string(&file).expect("a table");
    let row = table.lines().nth(2).expect("rows");
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!((words[3], *words.last().expect("a name")), ("600", "getpriority"), "{table}");
    assert!(table.lines().last().is_some_and(|line| line.ends_with("total")), "{table}");
});

both!(many_outputs_at_once, |user| {
    let out = Scratch::new(user);
    let files = ["t", "j", "p", "h"].map(|name| out.join(name).display().to_string());
    let [t, j, p, h] = files.each_ref().map(String::as_str);
    let options = ["-o", t, "--json", j, "--perfetto", p, "--html", h, "--why"];
    let ran = trace(&options, &["/bin/sh", "-c", "cat /nowhere; exit 1"]).as_user(user).go();
    ran.expect_exit(1);
    let [text, json, timeline, page] = files.map(|file| std::fs::read_to_string(&file).expect("an output"));
    ran.check(text.lines().all(|line| line.as_bytes()[0].is_ascii_digit()), "each line has its thread");
    let events = json_lines(&json);
    let calls = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    let shown = text.lines().filter(|line| line.contains(" execve(")).count();
    ran.check(calls("execve") == shown && shown == 2, "text and JSON say the same");
    ran.check(events.iter().any(|event| event["event"] == "executed" && event["argv"][0] == "cat"), "programs by name");
    let timeline: Value = serde_json::from_str(&timeline).expect("a timeline");
    ran.check(timeline.as_array().is_some_and(|events| events.len() > 20), "a timeline");
    ran.check(page.starts_with("<!DOCTYPE html>") || page.starts_with("<!doctype html>"), "a page");
    ran.check(page.contains("/nowhere"), "the page holds the trace");
    let why = ran.err();
    let holds = ["tipstaff:", "/nowhere", "ENOENT", "exited with status 1"].iter().all(|word| why.contains(word));
    ran.check(holds, "why says which call, which path, which errno");
});

both!(each_thread_has_its_file, |user| {
    let out = Scratch::new(user);
    let stem = out.join("t").display().to_string();
    trace(&["-ff", "-o", &stem], &["/bin/sh", "-c", "/bin/true; /bin/true"]).as_user(user).go().expect_exit(0);
    let entries = std::fs::read_dir(out.path()).expect("the directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("t.")));
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        assert!(text.contains("execve(") && text.ends_with("+++ exited with 0 +++\n"), "{text}");
    }
});

both!(results_paths_and_descriptors_choose, |user| {
    let script = "cat /dev/null /nowhere";
    let failed = trace(&["-Z", "-e", "openat"], &["/bin/sh", "-c", script]).as_user(user).go();
    let failing = lines(&failed);
    let calls: Vec<_> = failing.iter().filter(|line| line.contains("openat(")).collect();
    failed.check(!calls.is_empty() && calls.iter().all(|line| line.contains("= -1 E")), "only failures");
    let well = trace(&["-z", "-e", "openat"], &["/bin/sh", "-c", script]).as_user(user).go();
    well.check(well.err().contains("/dev/null") && !well.err().contains("= -1 E"), "only successes");
    let path = trace(&["-P", "/dev/null"], &["/bin/cat", "/dev/null"]).as_user(user).go();
    let of_path = lines(&path);
    let opened = of_path.iter().any(|line| line.starts_with(r#"openat(AT_FDCWD, "/dev/null""#));
    path.check(opened && of_path.iter().any(|line| line.starts_with("read(")), "the open and what follows");
    path.check(!path.err().contains("libc.so"), "nothing else");
    let fds = trace(&["-y", "-e", "read"], &["/bin/cat", "/dev/null"]).as_user(user).go();
    fds.check(fds.err().contains("read(3</dev/null>, \"\""), "what a descriptor refers to");
});

both!(times_and_lengths, |user| {
    let of = |options: &[&str]| {
        let options = [options, &["-e", "openat,write", "-qq"]].concat();
        let ran = trace(&options, &["/bin/echo", "0123456789012345678901234567890123456789"]).as_user(user).go();
        ran.expect_exit(0);
        lines(&ran)
    };
    let digits = |text: &str, form: &str| {
        text.len() >= form.len()
            && text.bytes().zip(form.bytes()).all(|(b, f)| if f == b'9' { b.is_ascii_digit() } else { b == f })
    };
    assert!(of(&["-t"]).iter().all(|line| digits(line, "99:99:99 ")));
    assert!(of(&["-tt"]).iter().all(|line| digits(line, "99:99:99.999999 ")));
    assert!(of(&["-ttt"]).iter().all(|line| digits(line, "9999999999.999999 ")));
    assert!(of(&["--absolute-timestamps=unix"]).iter().all(|line| digits(line, "9999999999.999999 ")));
    assert!(of(&["-r"]).iter().all(|line| digits(line.trim_start(), "9.999999 ")));
    assert!(of(&["-T"]).iter().all(|line| line.ends_with('>') && line.contains(" <0.")));
    let write = |options: &[&str]| of(options).into_iter().find(|line| line.starts_with("write(")).expect("a write");
    assert!(write(&[]).contains(r#""01234567890123456789012345678901"..., 41"#));
    assert!(write(&["-s", "4"]).contains(r#""0123"..., 41"#));
    assert!(write(&["-s", "100"]).contains(r#"0123456789\n", 41"#));
});

both!(injected_results_reach_the_program, |user| {
    let cat =
        |injection: &str| trace(&["--inject", injection, "-e", "none"], &["/bin/cat", "/dev/null"]).as_user(user).go();
    cat("read:error=EIO:when=1000").expect_exit(0);
    let refused = cat("openat:error=EACCES");
    refused.check(refused.code() != 0, "an error is an error");
    let killed = cat("openat:signal=KILL:when=2");
    killed.expect_exit(137);
    // /dev/zero without end: the third read says that it is over.
    let ended =
        trace(&["-e", "inject=read:retval=0:when=3+", "-e", "none"], &["/bin/cat", "/dev/zero"]).as_user(user).go();
    ended.expect_exit(0);
    let begun = Instant::now();
    let late = cat("openat:delay_enter=200ms:delay_exit=200ms:when=1");
    late.expect_exit(0);
    late.check(begun.elapsed() >= Duration::from_millis(400), "both delays");
    let fault = trace(&["--fault", "getpriority", "-e", "none"], &["callcount", "2", "10"]).as_user(user).go();
    fault.expect_exit(0).expect_stdout("0\n");
});

both!(signals_are_shown_or_not, |user| {
    let of = |options: &[&str]| {
        trace(options, &["/bin/sh", "-c", "kill -USR1 $$"]).as_user(user).go().expect_exit(138).err()
    };
    let err = of(&["-e", "none"]);
    assert!(
        err.contains("--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=")
            && err.contains("+++ killed by SIGUSR1"),
        "{err}"
    );
    let err = of(&["-e", "none", "-e", "signal=!USR1"]);
    assert!(!err.contains("--- SIGUSR1") && err.contains("+++ killed by SIGUSR1"), "{err}");
});

/// Whether Yama lets us attach to what is no child of ours.
fn may_attach(user: User) -> bool {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    user == User::Root || matches!(scope.trim(), "" | "0")
}

both!(attach_and_detach_leave_the_program_alone, |user| {
    if !may_attach(user) {
        tipstaff_testkit::skip!("Yama forbids to attach");
    }
    for signal in [Signal::INT, Signal::TERM] {
        // A busy machine may be slower than a short nap.
        let attached = ["2000", "10000", "40000"].into_iter().any(|nap| {
            let target = plain(["napper", nap]).as_user(user).start();
            target.await_output("ready", 1);
            let pid = target.pid();
            let tracer = trace(&["-o", "/dev/null", "-p", &pid.to_string()], &[]).as_user(user).start();
            while !traced(pid) && !target.ends(Duration::from_millis(5)) {}
            let attached = traced(pid);
            if attached {
                tracer.signal(signal);
                tracer.finish().expect_exit(0);
            }
            // It slept its whole time in one call that it never saw interrupted.
            target.finish().expect_exit(0).expect_stdout("ready\nOK long\n");
            attached
        });
        assert!(attached, "never attached");
    }
});

both!(who_reads_no_more_ends_the_trace_and_not_the_program, |user| {
    let script =
        "\"$0\" trace /bin/sh -c 'for i in 1 2 3 4 5 6 7 8 9; do /bin/true; done; echo end > end; exit 7' 2>&1 |
        head -1 > /dev/null; echo ${PIPESTATUS[0]}; cat end";
    let out = Scratch::new(user);
    let ran = plain(["/bin/bash", "-c", script]).arg(tipstaff()).cwd(out.path()).as_user(user).go();
    ran.expect_stdout("7\nend\n");
    // A full device is another matter: it is said, and the program still runs to its end.
    let page = out.join("page").display().to_string();
    let options = ["-o", "/dev/full", "--html", &page];
    let full = trace(&options, &["/bin/sh", "-c", "/bin/true; echo finished"]).as_user(user).go();
    full.expect_exit(125).expect_stdout("finished\n");
    full.check(std::fs::read_to_string(&page).expect("a page").contains("</html>"), "other outputs are whole");
    full.check(full.err().contains("No space left"), "the reason");
});

both!(a_file_is_not_behind_a_program_that_waits, |user| {
    for json in [false, true] {
        let out = Scratch::new(user);
        let file = out.join("t").display().to_string();
        let options = if json { vec!["--json", &file] } else { vec!["-o", &file] };
        let started = trace(&options, &["/bin/sh", "-c", "echo ready; exec sleep 100"]).as_user(user).start();
        started.await_output("ready", 1);
        let deadline = Instant::now() + Duration::from_secs(60);
        let asleep = if json { "munmap" } else { "nanosleep(" };
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains(asleep)) {
            assert!(Instant::now() < deadline, "the call in which it waits is not in the file");
            std::thread::sleep(Duration::from_millis(20));
        }
        started.signal(Signal::TERM);
        started.finish().expect_exit(137);
    }
});

both!(the_terminals_interrupt_is_the_programs, |user| {
    // The tracer alone gets it here: the program's own would come from the terminal.
    let started = trace(&["-o", "/dev/null"], &["/bin/sh", "-c", "echo ready; exec sleep 100"]).as_user(user).start();
    started.await_output("ready", 1);
    for signal in [Signal::INT, Signal::QUIT, Signal::HUP] {
        started.signal(signal);
    }
    assert!(!started.ends(Duration::from_millis(300)), "the program's signals are not ours");
    started.signal(Signal::TERM);
    started.finish().expect_exit(137);
});

both!(a_kill_of_the_tracer_ends_what_it_started, |user| {
    let started = trace(&["-o", "/dev/null"], &["/bin/sh", "-c", "echo ready; exec sleep 100"]).as_user(user).start();
    started.await_output("ready", 1);
    started.signal(Signal::TERM);
    started.finish().expect_exit(137);
});

both!(wrong_input_is_one_line_and_starts_nothing, |user| {
    let started = &["/bin/echo", "STARTED"][..];
    for (options, command, words) in [
        (&["-e", "opennat"][..], started, &["opennat", "openat"][..]),
        (&["-e", "trace=%networc"], started, &["%networc", "%network"]),
        (&["-e", "trace=arm_fadvise64_64"], started, &["arm_fadvise64_64", "arm"]),
        (&["-e", "trase=open"], started, &["trase", "trace"]),
        (&["-e", "signal=SIGUSR3"], started, &["SIGUSR3", "SIGUSR1"]),
        (&["-e", "status=good"], started, &["good", "successful"]),
        (&["--inject", "openat"], started, &["openat", "error="]),
        (&["--inject", "openat:error=ENOSUCH"], started, &["ENOSUCH", "no such errno"]),
        (&["--inject", "openat:error=EIO:when=0"], started, &["when=0", "FIRST"]),
        (&["-o", "/nowhere/x"], started, &["-o", "/nowhere/x", "No such file"]),
        (&["--html", "/nowhere/x"], started, &["--html", "/nowhere/x"]),
        (&["-ff"], started, &["-ff", "-o"]),
        (&["-r", "-t"], started, &["-r", "-t"]),
        (&["-s", "many"], started, &["many", "--string-limit"]),
        (&["-S", "size"], started, &["size", "time"]),
        (&["-c", "-C"], started, &["--summary-only", "cannot be used"]),
        (&["-E", "=x"], started, &["-E", "VAR"]),
        (&["-p", "1"], started, &["-p"]),
        (&["-p", "x"], &[], &["-p x", "number"]),
        (&["-p", "999999999"], &[], &["999999999", "no process"]),
        (&["-p", "-4"], &[], &["-4"]),
        (&["--json"], &[], &["nothing to trace"]),
        (&[], &[], &["nothing to trace", "-p"]),
    ] {
        let ran = trace(options, command).as_user(user).go();
        ran.expect_error_line(125, words);
    }
    if user == User::Ordinary {
        trace(&["-p", "1"], &[]).as_user(user).go().expect_exit(125);
    }
});

both!(who_traces_already_is_named, |user| {
    if !may_attach(user) {
        tipstaff_testkit::skip!("Yama forbids to attach");
    }
    let first = trace(&["-o", "/dev/null"], &["/bin/sh", "-c", "echo $$ ready; exec sleep 100"]).as_user(user).start();
    first.await_output("ready", 1);
    let tracee = tipstaff_testkit::descendants(first.pid());
    let tracee = tracee.iter().map(|process| process.pid).find(|&pid| traced(pid)).expect("a tracee");
    let ran = trace(&["-p", &tracee.to_string()], &[]).as_user(user).go();
    ran.expect_error_line(125, &["already traced", "tipstaff"]);
    first.signal(Signal::TERM);
    first.finish();
});

fn traced(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|by| by.trim() != "0"))
}
