//! S: ways round the filter.
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tipstaff_testkit::{Pty, Run, Signal, guest, marker, skip, survivors};

use crate::attacks;
use crate::case::{Case, all_refused, answers, refused, refused_otherwise_than, works};

attacks! {
    S1 "32-bit entries of a 64-bit program: the box is killed" => tried(native notify ptrace: foreign_entries);
    S2 "x32 numbers: killed, whether or not the kernel has that table" => tried(native notify ptrace: x32_numbers)
        + held("crates/seccomp/tests/proof.rs": x32_is_explicit_and_negative_numbers_are_no_calls);
    S3 "numbers between and behind the tables: absent" => tried(native notify ptrace: unknown_numbers)
        + held("crates/policy/src/base/tests.rs": unknown_numbers_are_absent_and_foreign_architectures_die);
    S4 "bits above the half that the kernel reads: compared as the kernel does" => tried(native notify ptrace: wide_arguments)
        + held("crates/seccomp/src/condition.rs": a_32_bit_condition_does_not_see_bit_32);
    S5 "clone3, whose flags no filter sees: absent, and libraries fall back" => tried(native notify ptrace: clone3);
    S6 "new namespaces, and the way into others" => tried(native notify ptrace: namespaces);
    S7 "files that may not be executed, by descriptor, copy, link, loader" => tried(native notify ptrace: exec_ways)
        + held("tests/tests/fs.rs": exec_needs_its_rule a_loader_is_an_interpreter)
        + left("The dynamic loader runs what may only be read, as every interpreter does (docs/security.md, Interpreters).");
    S8 "a tracer inside changes the number behind the filter: filtered again" => tried(native notify ptrace: rewritten_number)
        + held("crates/tipstaff/tests/notify_engine/inside.rs": a_rewritten_call_is_judged_as_what_it_has_become);
    S9 "a tracer inside suspends its tracee's filter" => tried(native notify ptrace: suspended_filter);
    S10 "RET_TRACE without a tracer: absent, never made" => tried(native notify ptrace: trace_without_a_tracer);
    S11 "a guest's filter that outranks ours hides calls and makes none" => tried(native notify ptrace: own_filter)
        + held("crates/tipstaff/tests/handlers/outranked.rs": its_own_listener_lets_nothing_through its_own_filters_only_hide_calls);
    S12 "a listener in the chain already: nested boxes work or say why not" => held("tests/tests/notify.rs": a_box_within_a_box
        three_boxes_in_each_other without_a_listener_it_is_refused_with_reason_and_cure);
    S13 "filters stacked up to the kernel's limit: limits still hold" => tried(native notify ptrace: stacked_filters);
    S14 "a thread without the filter: there is none" => tried(native notify ptrace: every_thread);
    S15 "the vsyscall page: filtered like the call" => tried(native notify ptrace: vsyscall_page);
    S16 "time stamp counter and cpuid" => design("Both can be read: no profile promises that runs are the same, and nothing is decided by time inside.");
    S17 "switches of prctl that mislead a supervisor" => tried(native notify ptrace: prctl_switches);
    S18 "personalities that undo hardening" => tried(native notify ptrace: personalities);
    S19 "io_uring, whose operations no filter sees" => tried(native notify ptrace: io_uring)
        + held("tests/tests/stdio.rs": no_other_descriptor_arrives);
    S20 "open_tree as an open" => tried(native notify ptrace: open_tree);
    S21 "the younger mount calls" => tried(native notify ptrace: mounts);
    S22 "lists of mounts behind a private /proc" => tried(native notify ptrace: open_tree);
    S23 "younger and older variants of calls on files" => tried(native notify ptrace: variants)
        + held("tests/tests/fs.rs": read_means_read_and_not_write deny_beats_what_allows);
    S24 "uprobe and uretprobe, which the kernel exempts" => tried(native notify ptrace: uprobes);
    S25 "every number has a decision of its own" => held("crates/policy/src/base/tests.rs": dangerous_calls_are_denied_whole
        unknown_numbers_are_absent_and_foreign_architectures_die all_bases_are_proven_and_small);
    S26 "typing into the caller's terminal" => tried(native notify ptrace: terminals)
        + held("tests/tests/tty.rs": nothing_is_typed_on_the_callers_terminal);
    S27 "ioctls that reach past a descriptor, and devices" => tried(native notify ptrace: ioctls);
    S28 "kernel keys, which outlive a run" => tried(native notify ptrace: keys);
    S29 "userfaultfd, also for user mode alone" => tried(native notify ptrace: userfaultfd);
    S30 "the machine's own calls, also as root" => tried(native notify ptrace: the_machines_own);
    S31 "a sleep that is resumed after a stop, under an allow list" => tried(native notify ptrace: resumed_sleep);
    S32 "more rules than a jump can span" => tried(native notify ptrace: many_rules)
        + held("crates/seccomp/tests/proof.rs": jumps_over_255_instructions_never_wrap);
}

/// The presets that the calls are tried under: with ptrace inside, without, and the allow list.
const PRESETS: [&str; 3] = ["default", "judge", "strict"];

fn foreign_entries(case: &Case) {
    for entry in ["int80", "far"] {
        let outside = case.free(["attackentry", entry]).go();
        if !outside.out().contains("OK") {
            skip!("this kernel has no 32-bit entry");
        }
        for preset in PRESETS {
            let ran = case.boxed(["attackentry", entry]).profile(preset).go();
            ran.expect_verdict("policy_violation").expect_exit(121);
            ran.check(ran.out().is_empty(), "the call was answered");
        }
    }
    // Of these two a processor has one or the other; the third, a 32-bit kernel's own page, is not mapped.
    for entry in ["sysenter", "syscall32"] {
        let there = case.free(["attackentry", entry]).go().out().contains("OK");
        for preset in PRESETS {
            let ran = case.boxed(["attackentry", entry]).profile(preset).go();
            ran.check(ran.out().is_empty(), format_args!("{entry} wrote"));
            if there {
                ran.expect_verdict("policy_violation").expect_exit(121);
            }
        }
    }
}

fn x32_numbers(case: &Case) {
    // The control is the interpreter's proof: this kernel may have no such table.
    for number in ["0", "39", "435", "1023"] {
        let ran = case.boxed(["attackentry", "x32", number, number]).go();
        ran.expect_verdict("policy_violation").expect_exit(121);
    }
}

fn unknown_numbers(case: &Case) {
    // A kernel that does not have them says the same: the control is the interpreter's proof.
    for preset in PRESETS {
        case.boxed(["attackentry", "unknown"]).profile(preset).go().expect_ok().expect_stdout("unknown ENOSYS\n");
    }
}

/// A group of calls in every preset, each refused, and something else outside.
pub(crate) fn calls(case: &Case, group: &str, presets: &[&str], same: &[&str]) {
    let free = case.free(["attackcalls", group]).go();
    free.expect_exit(0);
    for preset in presets {
        let ran = case.boxed(["attackcalls", group]).profile(preset).go();
        ran.expect_ok();
        refused_otherwise_than(&free, &ran, case, same);
    }
}

fn wide_arguments(case: &Case) {
    calls(case, "wide", &PRESETS, &["prctl_wide"]);
}

fn clone3(case: &Case) {
    let free = case.free(["attackentry", "clone3"]).go();
    works(&free, &["clone3", "clone3_user", "fork"]);
    let ran = case.boxed(["attackentry", "clone3"]).go();
    ran.expect_ok().expect_stdout("clone3 ENOSYS\nclone3_user ENOSYS\nfork OK\n");
}

fn namespaces(case: &Case) {
    calls(case, "namespaces", &PRESETS, &[]);
}

fn exec_ways(case: &Case) {
    // What is shown may be read and written; only what `exec` names may be executed. A program that was never a file, in a memfd, is like code
    // that a guest writes into its own memory: docs/security.md.
    const PROFILE: &str = "extends = \"judge\"\n[filesystem]\ncwd = \"none\"\ntmp_exec = false\n";
    let ways = ["path", "execveat_empty", "proc_fd", "execveat_o_path", "symlink", "copy", "tmpfile_linked"];
    let prepared = |run: Run| {
        let body = fs::read(guest("exit")).expect("a guest");
        run.arg("exec").arg("@WORK/it").arg("@WORK").work_file("it", body).work_file("p.toml", PROFILE).go()
    };
    works(&prepared(case.free(["attackfiles"])), &ways);
    let ran = prepared(case.boxed(["attackfiles"]).option("--profile", "@WORK/p.toml").option("--write", "@WORK"));
    ran.expect_ok();
    refused(&ran, &ways);
}

fn rewritten_number(case: &Case) {
    works(&case.free(["attackfilter", "rewrite"]).go(), &["rewrite"]);
    for preset in ["default", "judge"] {
        let ran = case.boxed(["attackfilter", "rewrite"]).profile(preset).go();
        ran.expect_ok().expect_stdout("rewrite EPERM\n");
    }
}

fn suspended_filter(case: &Case) {
    let free = case.free(["attackfilter", "suspend"]).go();
    if case.is_root() {
        works(&free, &["suspend"]);
    }
    let ran = case.boxed(["attackfilter", "suspend"]).go();
    refused(&ran, &["suspend"]);
    works(&ran, &["seize"]);
}

fn trace_without_a_tracer(case: &Case) {
    // The control is the same call before the program has put its filter on.
    for preset in ["default", "judge"] {
        case.boxed(["attackfilter", "trace"])
            .profile(preset)
            .go()
            .expect_ok()
            .expect_stdout("before OK\ntrace ENOSYS\n");
    }
}

fn own_filter(case: &Case) {
    // The control: without a filter of its own.
    case.boxed(["sysprobe", "250", "0", "-3", "1"]).go().expect_ok().expect_stdout("-1 EPERM\n");
    // Told that it succeeded, by itself: the call was not made, and nothing waits for a notification that never comes.
    case.boxed(["attackfilter", "outrank"]).wall("20s").go().expect_ok().expect_stdout("outrank 0\n");
}

fn stacked_filters(case: &Case) {
    // The control is ENOMEM: there is no more that it could put on.
    let ran = case.boxed(["attackfilter", "stack"]).cpu("500ms").wall("50s").go();
    ran.expect_verdict("time_limit").expect_exit(124);
    ran.check(ran.out() == "stacked ENOMEM\n", "the kernel took the stack to its end");
}

fn every_thread(case: &Case) {
    let ran = case.boxed(["attackfilter", "threads"]).go();
    ran.expect_ok().expect_stdout("threads 9\nbare 0\n");
    case.free(["attackfilter", "threads"]).go().expect_exit(0).expect_stdout("threads 9\nbare 9\n");
}

fn vsyscall_page(case: &Case) {
    let free = case.free(["attackentry", "vsyscall"]).go();
    if free.out() != "vsyscall OK\n" {
        skip!("this kernel emulates no vsyscall page");
    }
    let profile = "extends = \"judge\"\n[syscalls]\ndeny = [\"time\"]\n";
    let ran = |profile: &str| {
        case.boxed(["attackentry", "vsyscall"]).work_file("p.toml", profile).option("--profile", "@WORK/p.toml").go()
    };
    works(&ran("extends = \"judge\"\n"), &["vsyscall"]);
    // A refused emulation is SIGSEGV or the errno.
    let denied = ran(profile);
    denied.check(!denied.out().contains("OK"), "the page gets round the filter");
}

fn prctl_switches(case: &Case) {
    calls(case, "prctl", &PRESETS, &["set_mm", "set_mm_wide", "set_io_flusher"]);
}

fn personalities(case: &Case) {
    calls(case, "personality", &PRESETS, &[]);
}

fn io_uring(case: &Case) {
    calls(case, "uring", &PRESETS, &[]);
}

fn open_tree(case: &Case) {
    works(&case.free(["attackcalls", "lists"]).go(), &["open_tree_root", "open_tree_path"]);
    calls(case, "lists", &PRESETS, &[]);
}

fn mounts(case: &Case) {
    calls(case, "mount", &PRESETS, &[]);
}

fn variants(case: &Case) {
    let words = ["attackfiles", "variants", "@WORK/it"];
    let free = case.free(words).work_file("it", "content").go();
    let all = answers(&free);
    // The first name that moved the file away leaves nothing for those behind it.
    works(
        &free,
        &[
            "creat",
            "open_write",
            "openat2_write",
            "truncate",
            "chmod",
            "utime",
            "utimes",
            "futimesat",
            "utimensat",
            "link",
            "rename",
        ],
    );
    let ran = case.boxed(words).work_file("it", "content").option("--read", "@WORK").go();
    ran.expect_ok();
    all_refused(&ran);
    ran.check(answers(&ran).len() == all.len(), "not every way was tried");
    // A name that is denied inside a tree that may be written.
    let start =
        case.boxed(words).work_file("it", "content").option("--write", "@WORK").option("--deny", "@WORK/it").start();
    let file = start.work().join("it");
    let held = fs::File::open(&file).expect("own file");
    let before = held.metadata().expect("own file");
    let ran = start.finish();
    ran.expect_ok();
    // Other names beside it may be made.
    let beside = ["symlink", "mknod"];
    let denied: Vec<_> = all.keys().map(String::as_str).filter(|way| !beside.contains(way)).collect();
    refused(&ran, &denied);
    works(&ran, &beside[..1]);
    let after = held.metadata().expect("own file");
    let same = after.len() == 7 && after.mode() == before.mode() && after.mtime_nsec() == before.mtime_nsec();
    ran.check(same, "the denied file was changed");
}

fn terminals(case: &Case) {
    calls(case, "ioctl", &["default"], &[]);
    // On a terminal itself; the width is the kernel's.
    let typed = |run: Run, pty: &Pty| {
        run.on_pty(pty).start().finish();
        // What was written is read by somebody else: its line may still be on its way.
        pty.expect("\n", Duration::from_secs(60));
        pty.screen()
    };
    for request in ["0x5412", "0x100005412"] {
        let words = ["sysprobe", "16", "0", request, "@x"];
        let pty = Pty::new(case.user);
        let screen = typed(case.boxed(words), &pty);
        assert!(screen.contains("-1 EPERM"), "ioctl {request} was not refused: {screen:?}");
        let pty = Pty::new(case.user);
        let screen = typed(case.free(words), &pty);
        if !screen.contains("0 OK") {
            skip!("this kernel lets nobody type (dev.tty.legacy_tiocsti)");
        }
    }
}

fn ioctls(case: &Case) {
    calls(case, "ioctl", &PRESETS, &[]);
    calls(case, "owner", &PRESETS, &[]);
    for device in [
        "/dev/kvm",
        "/dev/loop-control",
        "/dev/fuse",
        "/dev/userfaultfd",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/net/tun",
        "/dev/vhost-net",
    ] {
        let ran = case.boxed(["/bin/sh", "-c", "exec 3<>\"$1\" && echo opened", "sh", device]).go();
        ran.check(!ran.out().contains("opened"), format_args!("{device} can be opened"));
    }
    // The control: a device that every box has, and one that root has outside.
    let open = ["/bin/sh", "-c", "exec 3<>\"$1\" && echo opened", "sh"];
    case.boxed(open).arg("/dev/null").go().expect_ok().expect_stdout("opened\n");
    if case.is_root() && std::path::Path::new("/dev/fuse").exists() {
        case.free(open).arg("/dev/fuse").go().expect_stdout("opened\n");
    }
}

fn uprobes(case: &Case) {
    // No filter is asked about them. Whoever calls them from elsewhere than the kernel's own trampoline gets nothing, and dies of one.
    let free = case.free(["attackentry", "uprobes"]).go();
    free.expect_exit(0);
    let told = answers(&free);
    free.check(told.len() == 2 && !told.values().any(|end| end == "OK"), "the kernel answers them to everybody");
    for preset in ["default", "judge"] {
        let ran = case.boxed(["attackentry", "uprobes"]).profile(preset).go();
        ran.expect_ok();
        ran.check(answers(&ran) == told, "another answer than the kernel's");
    }
}

fn keys(case: &Case) {
    calls(case, "keys", &PRESETS, &[]);
}

fn userfaultfd(case: &Case) {
    calls(case, "userfaultfd", &PRESETS, &[]);
}

fn the_machines_own(case: &Case) {
    calls(case, "machine", &PRESETS, &[]);
    calls(case, "ptrace", &["judge", "strict"], &["kcmp", "kcmp_wide"]);
    let ran = case.boxed(["attackcalls", "machine"]).go();
    if case.hears() {
        let told: Vec<_> =
            ran.report["denials"].as_array().expect("a list").iter().filter_map(|d| d["syscall"].as_str()).collect();
        for call in ["bpf", "swapon", "reboot", "settimeofday", "open_by_handle_at"] {
            ran.check(told.contains(&call), format_args!("{call} is not among the refused calls: {told:?}"));
        }
    }
}

fn resumed_sleep(case: &Case) {
    // The control: of the calls that are made once more by their own number, the list has few.
    case.boxed(["sysprobe", "250", "0", "-3", "1"]).profile("strict").go().expect_ok().expect_stdout("-1 EPERM\n");
    // The kernel goes on with a sleep that a stop interrupted by restart_syscall(2), which the program never calls.
    let mark = marker();
    let start = case.boxed(["attackentry", "nap", &mark]).profile("strict").wall("30s").start();
    start.await_output("ready", 1);
    let program = guest("attackentry").display().to_string();
    let sleeper = survivors(&mark).into_iter().find(|process| process.command.starts_with(&program));
    // Under load it may have slept already.
    if let Some(pid) = sleeper.and_then(|process| Pid::from_raw(process.pid)) {
        for signal in [Signal::STOP, Signal::CONT] {
            let _ = kill_process(pid, signal);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    start.finish().expect_ok().expect_stdout("ready\nnap OK\n");
}

fn many_rules(case: &Case) {
    let names = [
        "swapon",
        "swapoff",
        "reboot",
        "acct",
        "chroot",
        "syslog",
        "vhangup",
        "sysinfo",
        "times",
        "getpgrp",
        "getsid",
        "sync",
        "syncfs",
        "mlock",
        "munlock",
        "getpriority",
    ];
    // Each number with hundreds of conditions: longer by far than what eight bits can jump over.
    let mut profile = format!("extends = \"judge\"\n[syscalls]\ndeny = {names:?}\n");
    for value in 1000..1600 {
        profile += &format!(
            "[[syscalls.rule]]\nnames = [\"getpgid\"]\naction = \"deny\"\nargs = [{{ index = 0, op = \"==\", value = {value} }}]\n"
        );
    }
    let run = |words: &[&str]| {
        case.boxed(words).work_file("p.toml", profile.clone()).option("--profile", "@WORK/p.toml").go()
    };
    run(&["sysprobe", "121", "1000"]).expect_ok().expect_stdout("-1 EPERM\n");
    run(&["sysprobe", "121", "1599"]).expect_ok().expect_stdout("-1 EPERM\n");
    run(&["sysprobe", "121", "0x1000004d2"]).expect_ok().expect_stdout("-1 EPERM\n");
    // The control: what no rule names is answered by the kernel.
    run(&["sysprobe", "121", "1600"]).expect_ok().expect_stdout("-1 ESRCH\n");
    run(&["sysprobe", "99", "@"]).expect_ok().expect_stdout("-1 EPERM\n");
    run(&["attackentry", "int80"]).expect_verdict("policy_violation");
    run(&["attackentry", "x32", "39", "39"]).expect_verdict("policy_violation");
}
