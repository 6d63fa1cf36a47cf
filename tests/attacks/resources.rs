//! R: what a box takes of the machine.

use tipstaff_testkit::{Ran, Run, Scratch, await_no_survivor, marker, survivors};

use crate::attacks;
use crate::case::{Case, answers, refused, works};

attacks! {
    R1 "processes without end" => tried(native notify ptrace: bombs)
        + held("tests/tests/matrix.rs": fork_bomb, "tests/tests/limits.rs": a_fork_bomb_leaves_the_machine_usable);
    R2 "threads without end" => tried(native notify ptrace: bombs) + held("tests/tests/matrix.rs": thread_bomb);
    R3 "forks that outrun the kill" => tried(native notify ptrace: outrun)
        + held("tests/tests/control.rs": processes_that_only_make_the_next_are_stopped_too);
    R4 "a count of processes that drifts" => held("tests/tests/resources.rs": nothing_drifts_after_many_short_lives the_limit_is_exact_on_every_road callers_at_the_same_time_do_not_exceed_it);
    R5 "anonymous memory in every form" => held("tests/tests/resources.rs": anonymous huge devzero, "tests/tests/matrix.rs": memory_until_refused cold_page_cache);
    R6 "shared memory that no process maps" => held("tests/tests/resources.rs": shared shared_orphans memfd_mapped dev_shm tmp
        system_v_segments_cannot_hide_from_samples);
    R7 "page tables" => held("tests/tests/limits.rs": page_tables_count, "tests/tests/resources.rs": tables);
    R8 "pipes, socket buffers and descriptors in flight" => tried(native notify ptrace: kernel_memory)
        + held("tests/tests/resources.rs": kernel_memory_that_no_sample_sees_is_not_to_be_had)
        + left("Without a control group what pipes and sockets hold is seen by no sample: up to the user's own limits, some 64 MiB (docs/limits.md).");
    R9 "watches, timers, queued signals, names" => tried(native notify ptrace: kernel_objects);
    R10 "an account of mappings that drifts" => held("tests/tests/account.rs": nothing_drifts a_fork_copies_the_account_and_an_exec_resets_it
        racing_threads_get_no_more_than_there_is);
    R11 "a spike between two samples" => held("tests/tests/limits.rs": memory_peak_is_the_peak, "tests/tests/resources.rs": shared_dropped);
    R12 "the kernel's killer takes the supervisor" => tried(native notify ptrace: out_of_memory)
        + held("tests/tests/isolation.rs": nice_affinity_and_oom_are_the_defaults);
    R13 "CPU time of children that nobody reaps" => held("tests/tests/matrix.rs": forked_spinners, "tests/tests/limits.rs": cpu_used_is_told_truly);
    R14 "time that is slept away" => held("tests/tests/matrix.rs": sleep sleep_past_cpu stopped);
    R15 "SIGXCPU ignored, limits raised again" => held("tests/tests/matrix.rs": xcpu_ignored, "tests/tests/review.rs":
        limits_of_other_processes_are_not_a_guests_to_set);
    R16 "output without end, or a reader that is gone" => tried(native notify ptrace: output)
        + held("tests/tests/matrix.rs": flood one_byte_flood stderr_flood stdin_never_read, "tests/tests/limits.rs": output_is_cut_at_exactly_the_limit);
    R17 "sparse files, and many files" => held("tests/tests/matrix.rs": sparse_file file_size_ignored, "tests/tests/limits.rs": a_full_private_disk_is_told);
    R18 "names without end" => tried(native notify ptrace: names);
    R19 "directories too deep to remove" => held("tests/tests/resources.rs": depth memory_in_files);
    R20 "leftovers that resist removal" => tried(native notify ptrace: stubborn_leftovers)
        + held("tests/tests/leftovers.rs": what_outlives_a_process_does_not_outlive_the_box every_ending_cleans_up);
    R21 "arguments and stacks of any size" => tried(native notify ptrace: arguments)
        + held("tests/tests/limits.rs": the_stack_is_the_one_asked_for);
    R22 "descriptors of the supervisor" => held("tests/tests/resources.rs": descriptors, "crates/tipstaff/tests/notify_engine/crowd.rs":
        boxes_with_handlers_leave_nothing, "tests/tests/network_send.rs": what_waits_is_held_within_a_budget what_waits_blinds_no_limit);
    R23 "core files, also through a pipe" => tried(native notify ptrace: core_files) + held("tests/tests/limits.rs": core_files_are_never_written,
        "crates/policy/src/lower/tests.rs": a_dump_into_a_pipe_is_stopped_too);
    R24 "storms of sync, and of the page cache" => design("Disk and cache are shared: docs/security.md says that boxes feel each other there. Figures of CPU time and of memory without cache do not.");
    R25 "process numbers that come round" => tried(native notify ptrace: crate::tasks::number_of_another);
    R26 "real-time schedulers and better nice values" => tried(native notify ptrace: priorities)
        + held("tests/tests/isolation.rs": real_time_is_the_hosts_alone);
    R27 "locked and huge pages, advice that changes the machine" => tried(native notify ptrace: pages);
    R28 "control groups made inside" => tried(native notify ptrace: control_groups);
    R29 "a flood of refused calls" => tried(native notify ptrace: denial_flood)
        + held("crates/tipstaff/tests/notify_engine/hot.rs": refusals_without_a_handler_are_all_counted);
}

fn hogs(case: &Case, words: &[&str]) -> Run {
    case.boxed(["attackhogs"].iter().chain(words)).profile("judge").memory("48MiB").cpu("5s").wall("40s")
}

/// Ended by the memory limit, or stopped by a limit of the kernel's before it.
#[track_caller]
fn bounded(ran: &Ran, what: &str) {
    if ran.verdict() == "memory_limit" {
        return;
    }
    ran.expect_ok();
    ran.check(
        ["EMFILE", "ENFILE", "EAGAIN", "ENOSPC", "ENOMEM", "ELOOP", "E2BIG", "EDQUOT"]
            .contains(&answers(ran)[what].as_str()),
        "nothing ends it",
    );
}

fn bombs(case: &Case) {
    let mark = marker();
    let (program, verdict) =
        if case.item == "R1" { ("forkbomb", "time_limit") } else { ("threadbomb", "process_limit") };
    let ran = case.boxed([program, &mark]).profile("judge").processes(24).cpu("200ms").wall("40s").go();
    ran.check([verdict, "time_limit"].contains(&ran.verdict()), format_args!("verdict {}", ran.verdict()));
    ran.check(ran.report["processes_peak"].as_u64().is_none_or(|peak| peak <= 24), "more tasks than the limit");
    let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
    // The control: it is the limit that ends them, and no other.
    for most in [24, 40] {
        let ran = case.boxed(["forklimit", "0"]).profile("judge").processes(most).go();
        ran.expect_ok().expect_stdout(format!("{most} EAGAIN\n"));
    }
}

fn outrun(case: &Case) {
    // A tree that makes the next ones, and children that are made as soon as there is room.
    for program in ["tree", "forkbomb"] {
        let mark = marker();
        let start = case.boxed([program, &mark]).processes(48).wall("60s").start();
        while survivors(&mark).len() < 8 {
            assert!(!start.ends(std::time::Duration::from_millis(5)), "{program}: the control: they stand");
        }
        start.signal(tipstaff_testkit::Signal::INT);
        start.signal(tipstaff_testkit::Signal::INT);
        let ran = start.finish();
        let left = await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
        ran.check(left.is_empty(), format_args!("survivors: {left:?}"));
    }
}

fn kernel_memory(case: &Case) {
    few(case, "pipes", "/tmp", 4);
    few(case, "sockets", "/tmp", 1);
    // How large a pipe can be depends on what the user has of them elsewhere at that moment.
    bounded(&hogs(case, &["pipes"]).go(), "pipes");
    let ran = hogs(case, &["sockets"]).memory("12MiB").go();
    bounded(&ran, "sockets");
    if ran.report["memory_source"].as_str().is_some_and(|source| source.starts_with("cgroup")) {
        ran.expect_verdict("memory_limit");
    }
}

/// The control: so many of them are no crime.
fn few(case: &Case, what: &str, dir: &str, most: u32) {
    let ran = hogs(case, &[what, dir, &most.to_string()]).go();
    ran.expect_ok().expect_stdout(format!("{what} OK\ncount {most}\n"));
}

fn kernel_objects(case: &Case) {
    for what in ["inotify", "epoll", "timers", "signals", "areas"] {
        few(case, what, "/tmp", 3);
        bounded(&hogs(case, &[what]).go(), what);
    }
    // Not all that the user has: others of the user outside still get some.
    for what in ["timers", "signals"] {
        let ran = hogs(case, &[what]).go();
        let count: u64 = answers(&ran)["count"].parse().expect("a number");
        ran.check(count <= 4096, format_args!("{count} of {what}"));
    }
}

fn out_of_memory(case: &Case) {
    case.boxed(["hog", "16"]).profile("judge").memory("32MiB").wall("40s").go().expect_ok(); // The control.
    let ran = case.boxed(["hog"]).profile("judge").memory("32MiB").wall("40s").go();
    ran.expect_verdict("memory_limit").expect_exit(122);
    ran.check(!ran.report.is_null(), "the supervisor lives to tell");
}

fn output(case: &Case) {
    // The reader reads one line and is gone; under an output limit the supervisor is in between.
    let tipstaff = tipstaff_testkit::tipstaff().display().to_string();
    let guest = tipstaff_testkit::guest("attackhogs");
    let dir = guest.parent().expect("a directory").display().to_string();
    for limit in ["", "--output 1MiB"] {
        let script = format!(
            "{tipstaff} run --quiet --engine {} {limit} --wall 20s --read {dir} --exec {dir} -- {} output 100000000 | head -c 10 | wc -c; true",
            case.engine,
            guest.display()
        );
        let ran = case.free(["/bin/sh", "-c", &script]).go();
        ran.expect_exit(0).expect_stdout("10\n");
    }
}

fn names(case: &Case) {
    for (what, dir) in [("files", "/tmp"), ("directories", "/dev/shm"), ("files", "/run")] {
        few(case, what, dir, 100);
        bounded(&hogs(case, &[what, dir]).memory("16MiB").go(), what);
    }
}

fn stubborn_leftovers(case: &Case) {
    let script = "cd /tmp && mkdir -p a/b/c && echo x > a/b/c/d && chmod 000 a/b/c/d a/b/c a/b a; mkfifo f; ln -s / l; mkdir -m 0 z; \
                  (umask 777; echo x > hidden); chattr +i hidden 2>/dev/null; cd /dev/shm && mkdir -m 000 q; echo done OK";
    let empty = Scratch::new(case.user);
    let look = "ls -AR /tmp /dev/shm /run /var/tmp 2>/dev/null; true";
    let go = |script: &str| case.boxed(["/bin/sh", "-c", script]).cwd(empty.path()).go();
    let before = go(look);
    before.expect_ok();
    let ran = go(&format!("{script}; {look}"));
    ran.expect_ok();
    works(&ran, &["done"]);
    for name in ["hidden", "q", "z", "l", "f"] {
        ran.check(ran.out().lines().any(|line| line == name), format_args!("the control: {name} is there"));
    }
    // The next box finds none of it.
    let after = go(look);
    after.check(after.out() == before.out(), "something is left");
}

fn arguments(case: &Case) {
    let ran = hogs(case, &["environment"]).go();
    bounded(&ran, "environment");
    // The control: long ones of a reasonable number.
    let long = "x".repeat(100_000);
    let run = (0..15).fold(case.boxed(["/bin/echo"]).profile("judge"), |run, _| run.arg(&long));
    run.go().expect_ok();
}

fn priorities(case: &Case) {
    let ran = case.boxed(["attacktasks", "realtime"]).go();
    ran.expect_ok();
    refused(
        &ran,
        &[
            "fifo",
            "round_robin",
            "fifo_reset_on_fork",
            "deadline",
            "nice",
            "nice_group",
            "io_realtime",
            "rtprio",
            "nice_limit",
        ],
    );
    if case.is_root() {
        let free = case.free(["attacktasks", "realtime"]).go();
        works(&free, &["nice"]);
    }
    // Where the user's own limits would allow it: the box has none of that.
    let ran = case.boxed(["/bin/bash", "-c", "ulimit -r; ulimit -e"]).go();
    ran.expect_ok().expect_stdout("0\n0\n");
}

fn pages(case: &Case) {
    // No control outside: it would take a page of the machine's memory away for good. 256 MiB are locked: more than the limit, whoever says so first.
    let ran = case.boxed(["attacktasks", "memory"]).profile("judge").memory("64MiB").go();
    let locked = answers(&ran).get("mlock").is_some_and(|answer| answer == "OK");
    ran.check(ran.verdict() == "memory_limit" || ran.verdict() == "ok" && !locked, "locked pages are in no account");
    let ran = case.boxed(["attacktasks", "memory"]).go();
    ran.expect_ok();
    refused(&ran, &["hwpoison", "soft_offline"]);
}

fn control_groups(case: &Case) {
    let script = "ls /sys/fs 2>/dev/null; mkdir /sys/fs/cgroup/x 2>/dev/null && echo made; mount -t cgroup2 none /tmp 2>/dev/null && echo mounted; \
                  echo $$ > /sys/fs/cgroup/cgroup.procs 2>/dev/null && echo moved; true";
    let free = case.free(["/bin/sh", "-c", "ls /sys/fs"]).go();
    free.check(free.out().contains("cgroup"), "the control sees the groups");
    for profile in ["default", "judge", "agent"] {
        let ran = case.boxed(["/bin/sh", "-c", script]).profile(profile).go();
        ran.expect_ok().expect_stdout("");
    }
}

fn denial_flood(case: &Case) {
    let scratch = Scratch::new(case.user);
    let report = scratch.join("report.json");
    let ran =
        case.boxed(["attackhogs", "denied", "20000"]).option("--report", &report).without_report().wall("40s").go();
    ran.expect_exit(0).expect_stdout("count 20000\n");
    let text = std::fs::read(&report).expect("a report");
    ran.check(text.len() < 64 << 10, format_args!("the report has {} bytes", text.len()));
    let said: serde_json::Value = serde_json::from_slice(&text).expect("a report");
    if said["denials_coverage"] != "none" {
        let all = said["denials"].as_array().into_iter().flatten().filter_map(|denial| denial["count"].as_u64());
        ran.check(all.sum::<u64>() >= 20_000, "refusals are lost");
    }
    // The control: few are told as few.
    let ran = case.boxed(["attackhogs", "denied", "10"]).go();
    let all = ran.report["denials"].as_array().into_iter().flatten().filter_map(|denial| denial["count"].as_u64());
    ran.check(all.sum::<u64>() <= 11, "refusals are made up");
}

fn core_files(case: &Case) {
    // Where the program may write, with the limit raised as far as it goes.
    let crash = tipstaff_testkit::guest("segv");
    let script = "ulimit -c unlimited 2>/dev/null; ulimit -c; \"$1\"; echo $?; ls core* 2>/dev/null; true";
    let words = |run: Run| run.arg(&crash).cwd("@WORK").work_file("x", "").go();
    let free = words(case.free(["/bin/sh", "-c", script, "sh"]));
    let guests = crash.parent().expect("a directory");
    let run = case.boxed(["/bin/sh", "-c", script, "sh"]).option("--write", "@WORK");
    let ran = words(run.option("--read", guests).option("--exec", guests));
    ran.expect_ok();
    ran.check(ran.out() == "0\n139\n", "a core was written, or could be");
    // The control, where the machine's pattern is a name in the working directory.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with("core") && free.out().starts_with("unlimited") {
        free.check(free.out().lines().count() > 2, "the control writes one");
    }
}
