//! The library as a host uses it: threads, signals, pipes, and nothing left behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use tipstaff::{Command, Profile, Stdio, Verdict};

fn profile(name: &str) -> Profile {
    Profile::preset(name).expect("a preset")
}

/// A profile without a process limit, so that it can be enforced for every user on every machine.
fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).profile(profile("default"));
    command
}

#[test]
fn output_is_captured_and_the_verdict_follows() {
    let output = sh("echo out; echo err >&2; exit 3").output().expect("run");
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(output.report.verdict, Verdict::NonzeroExit);
    assert_eq!(output.report.exit_code, Some(3));
}

#[test]
fn the_output_limit_cuts_exactly() {
    let mut command = sh("head -c 100000 /dev/zero");
    command.profile(profile("default").output(1000));
    let output = command.output().expect("run");
    assert_eq!(output.stdout.len(), 1000);
    assert_eq!(output.report.verdict, Verdict::OutputLimit);
    command.profile(profile("default").output(100_000));
    let output = command.output().expect("run");
    assert_eq!((output.stdout.len(), output.report.verdict), (100_000, Verdict::Ok), "exactly at the limit is within");
}

#[test]
fn a_conversation_through_pipes() {
    let mut child = sh("while read line; do echo \"<$line>\"; done")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut to = child.stdin.take().expect("stdin");
    let mut from = child.stdout.take().expect("stdout");
    to.write_all(b"one\ntwo\n").expect("write");
    drop(to);
    let mut text = String::new();
    from.read_to_string(&mut text).expect("read");
    assert_eq!(text, "<one>\n<two>\n");
    assert_eq!(child.wait().expect("wait").verdict, Verdict::Ok);
    assert_eq!(child.wait().expect("again").verdict, Verdict::Ok, "waiting again gives the same report");
}

#[test]
fn any_thread_can_kill() {
    let mut child = sh("sleep 1000 & wait").spawn().expect("spawn");
    let killer = child.killer();
    let started = Instant::now();
    let thread = thread::spawn(move || killer.kill());
    let report = child.wait().expect("wait");
    thread.join().expect("join");
    assert_eq!(report.verdict, Verdict::Signaled);
    assert!(started.elapsed() < Duration::from_secs(60), "the kill was heard");
}

#[test]
fn an_event_loop_can_drive_it() {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut child = sh("sleep 0.05; exit 4").spawn().expect("spawn");
    let report = loop {
        if let Some(report) = child.try_wait().expect("dispatch") {
            break report;
        }
        poll(&mut [PollFd::from_borrowed_fd(child.as_fd(), PollFlags::IN)], None).expect("poll");
    };
    assert_eq!(report.exit_code, Some(4));
}

#[test]
fn descriptors_arrive_at_their_numbers_and_no_others_do() {
    let (a, b) = (tempfile::tempfile().expect("file"), tempfile::tempfile().expect("file"));
    let dup = |file: &File| OwnedFd::from(file.try_clone().expect("dup"));
    let mut command =
        sh("echo a >&7; echo b >&8; echo c >&7; ls -1 /proc/self/fd > /tmp/fds; sort -n /tmp/fds | tr '\\n' ' '");
    command.fd(dup(&b), 8).fd(dup(&a), 7).fd(dup(&a), 40);
    let output = command.output().expect("run");
    // 3 is the directory that ls itself has open.
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0 1 2 3 7 8 40");
    let read = |mut file: File| {
        use std::io::Seek;
        let mut text = String::new();
        file.rewind().expect("rewind");
        file.read_to_string(&mut text).expect("read");
        text
    };
    assert_eq!((read(a).as_str(), read(b).as_str()), ("a\nc\n", "b\n"));
}

#[test]
fn one_command_serves_many_spawns_from_many_threads() {
    // The host's own habits: SIGCHLD ignored, and somebody who waits for everything.
    // SAFETY: a disposition of this test's own process.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            thread::spawn(move || {
                let mut command = sh(&format!("exit {thread}"));
                for _ in 0..10 {
                    let report = command.status().expect("run");
                    assert_eq!(report.exit_code, Some(thread));
                    // SAFETY: no status is asked for.
                    let stolen = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
                    assert!(stolen <= 0, "a host's waitpid(-1) sees a box");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
}

#[test]
fn a_dropped_child_is_a_dead_box() {
    let dir = tempfile::tempdir().expect("dir");
    let (read, write) = rustix::pipe::pipe().expect("pipe");
    let mut command = sh("sleep 1000 >&9 & sleep 1000");
    command.current_dir(dir.path()).fd(write, 9);
    drop(command.spawn().expect("spawn"));
    // End of file comes only when every holder of the pipe is gone.
    let mut byte = [0u8; 1];
    assert_eq!(rustix::io::read(&read, &mut byte), Ok(0));
}

#[test]
fn a_box_is_paused_and_goes_on() {
    let mut child = sh("while :; do :; done").spawn().expect("run");
    let used = |child: &mut tipstaff::Child| child.usage().expect("a box").cpu_ns;
    let grows = |child: &mut tipstaff::Child| {
        let (begun, before) = (Instant::now(), used(child));
        while used(child) <= before + 5_000_000 {
            assert!(begun.elapsed() < Duration::from_secs(60), "no CPU is used");
            thread::sleep(Duration::from_millis(5));
        }
    };
    grows(&mut child);
    assert_eq!(child.pause().expect("paused"), 0);
    assert_eq!(child.pause().expect("still paused"), 0);
    let before = used(&mut child);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(used(&mut child), before);
    let look = child.usage().expect("a box");
    assert!(look.processes.iter().all(|process| process.state == 'T') && look.tasks == 1, "{look:?}");
    child.resume().expect("a box");
    grows(&mut child);
    child.pause().expect("paused");
    child.kill().expect("kill");
    assert_eq!(child.wait().expect("ended").verdict, Verdict::Signaled);
    let mut child = sh("exit 0").spawn().expect("run");
    child.wait().expect("ended");
    assert!(child.pause().expect_err("nobody is left").to_string().contains("ended"));
}

#[test]
fn a_launch_that_fails_says_where_and_runs_nothing() {
    let error = Command::new("/nonexistent/program").profile(profile("default")).spawn().expect_err("not found");
    let report = error.report();
    assert_eq!((report.verdict, report.exit_status()), (Verdict::LaunchFailed, 127));
    let error = sh("true").current_dir("/nonexistent").spawn().expect_err("no directory");
    assert_eq!(error.report().exit_status(), 125);
    assert!(error.to_string().contains("chdir \"/nonexistent\""), "{error}");
}

#[test]
fn two_thousand_runs_leave_nothing() {
    let mut command = Command::new("/bin/true");
    let limited = profile("default").cpu_ms(10_000).memory(64 << 20);
    command.profile(limited).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let run = |command: &mut Command| assert_eq!(command.status().expect("run").verdict, Verdict::Ok);
    (0..20).for_each(|_| run(&mut command));
    let (before, resident) = (picture(), resident());
    (0..2000).for_each(|_| run(&mut command));
    assert_eq!(picture(), before);
    let grown = self::resident().saturating_sub(resident);
    assert!(grown <= 1 << 20, "resident memory grew by {grown} bytes");
}

/// Our descriptors, threads, mounts, children and control groups.
fn picture() -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for (what, dir) in [("fd", "/proc/self/fd"), ("thread", "/proc/self/task")] {
        let count = std::fs::read_dir(dir).expect(dir).count();
        seen.insert(format!("{count} of {what}"));
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    seen.extend(mounts.lines().map(str::to_owned));
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    seen.insert(format!("children {children}"));
    let ours = format!("tipstaff-{}-", std::process::id());
    groups("/sys/fs/cgroup".as_ref(), &ours, &mut seen);
    seen
}

fn groups(dir: &std::path::Path, prefix: &str, seen: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                seen.insert(entry.path().display().to_string());
            }
            groups(&entry.path(), prefix, seen);
        }
    }
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
}

#[test]
fn the_files_of_a_profile_are_not_its_programs_to_write() {
    let dir = std::fs::canonicalize(env!("CARGO_TARGET_TMPDIR")).expect("a directory").join("own-rules");
    std::fs::create_dir_all(&dir).expect("a directory");
    let [base, own] = ["base.toml", "own.toml"].map(|name| dir.join(name));
    std::fs::write(&base, "extends = \"judge\"\n[filesystem]\ncwd = \"write\"\n").expect("a profile");
    std::fs::write(&own, "extends = \"base.toml\"\n").expect("a profile");
    let profile = Profile::preset(&own).expect("a profile");
    assert!([&base, &own].into_iter().all(|file| profile.0.filesystem.protect.contains(file)), "{profile:?}");
    assert!(Profile::preset("judge").expect("a preset").0.filesystem.protect.is_empty());
}
