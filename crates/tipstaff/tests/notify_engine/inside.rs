//! Tools that trace, inside of a box: they work, and are no way out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Plain;

use tipstaff::policy::profile::PathRule;
use tipstaff::{Action, Command, Output};
use tipstaff_testkit::{Machine, Scratch, User, Without, also_elsewhere, guest, guest_dynamic, skip};

use crate::guests::{boxed, closure, show, text, with_guests};

const ORDINARY: [(User, Machine); 1] = [(User::Ordinary, Machine::Full)];
const NARROW: [(User, Machine); 3] = [
    (User::Ordinary, Machine::Full),
    (User::Ordinary, Machine::Without(Without::UserNamespace)),
    (User::Root, Machine::Without(Without::Namespaces)),
];
const GETPPID: u32 = 110;
const MOUNT: u32 = 165;

/// A box in which a handler answers these calls.
fn answering(calls: &'static [&'static str], words: &[&str], more: Option<&Path>) -> Output {
    let mut command = Command::new(words[0]);
    let mut profile = with_guests();
    profile.0.filesystem.exec.extend(more.map(PathRule::new));
    command.args(&words[1..]).profile(profile);
    // Not getppid(2) for all of them: LeakSanitizer asks it whether its own parent is still there.
    command.handler(move || closure(calls, |_| Action::Return(4711)));
    command.output().expect("run")
}

fn tool(name: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/usr/local/bin"].map(|dir| Path::new(dir).join(name));
    found.into_iter().find(|path| path.is_file())
}

#[test]
fn gdb_works() {
    let Some(gdb) = tool("gdb") else { skip!("gdb is not installed") };
    also_elsewhere("inside::gdb_works", &ORDINARY, || {
        let program = guest_dynamic("calls");
        let script = ["break main", "run", "backtrace", "continue"].map(|line| ["-ex", line]).concat();
        let mut words = vec![show(&gdb), "-q", "-nx", "-batch"];
        words.extend(script);
        words.extend(["--args", show(&program), "getppid"]);
        let output = answering(&["getppid"], &words, None);
        let said = text(&output);
        for part in ["Breakpoint 1,", "#0 ", "getppid OK 4711", "exited normally"] {
            assert!(said.contains(part), "no {part:?}: {output:?}");
        }
    });
}

#[test]
fn strace_works() {
    let Some(strace) = tool("strace") else { skip!("strace is not installed") };
    also_elsewhere("inside::strace_works", &ORDINARY, || {
        let program = guest("calls");
        let script = format!("{0} getppid & {0} getuid; wait", program.display());
        let output = answering(
            &["getppid"],
            &[show(&strace), "-f", "-e", "trace=getppid,getuid", "/bin/sh", "-c", &script],
            None,
        );
        let seen = String::from_utf8_lossy(&output.stderr);
        // The answer is ours, and strace sees it.
        let answered = seen.lines().any(|line| line.contains("getppid()") && line.ends_with("= 4711"));
        assert!(answered && seen.matches("+++ exited with 0 +++").count() == 3, "{output:?}");
        assert!(text(&output).contains("getppid OK 4711"), "{output:?}");
    });
}

#[test]
fn leak_sanitizer_works() {
    also_elsewhere("inside::leak_sanitizer_works", &ORDINARY, || {
        let user = if User::me() == 0 { User::Root } else { User::Ordinary };
        let scratch = Scratch::new(user);
        let source = "#include <stdlib.h>\n#include <sys/syscall.h>\n#include <unistd.h>\nchar *volatile kept;\n\
                      int main(void) { kept = malloc(77); kept = 0; return syscall(SYS_getpriority, 0, 0) == 4711 ? 0 : 9; }\n";
        scratch.file("leak.c", source);
        // What each of them ends with when something leaked.
        for (kind, status) in [("leak", 23), ("address", 1)] {
            let program = scratch.join(kind);
            let flag = format!("-fsanitize={kind}");
            let gcc = Plain::new("gcc").args([&flag, "-O0", "-o"]).arg(&program).arg(scratch.join("leak.c")).output();
            if !gcc.is_ok_and(|out| out.status.success()) {
                skip!("gcc cannot build with {flag}");
            }
            let output = answering(&["getpriority"], &[show(&program)], Some(scratch.path()));
            let said = String::from_utf8_lossy(&output.stderr);
            // It stops all threads by ptrace(2).
            assert!(said.contains("detected memory leaks") && said.contains("77 byte(s)"), "{kind}: {output:?}");
            assert_eq!(output.report.exit_code, Some(status), "{kind}: {output:?}");
        }
    });
}

#[test]
fn a_rewritten_call_is_judged_as_what_it_has_become() {
    if !cfg!(target_arch = "x86_64") {
        skip!("the guest knows the registers of x86_64");
    }
    also_elsewhere("inside::a_rewritten_call_is_judged_as_what_it_has_become", &ORDINARY, || {
        for place in ["entry", "seccomp"] {
            let stops = format!("seccomp stops {}\n", i32::from(place == "seccomp"));
            let with = |call: u32, handled: bool| {
                let mut command = boxed("rewriter", &[place, &call.to_string()]);
                if handled {
                    command.handler(|| closure(&["getppid"], |_| Action::Errno(13)));
                }
                text(&command.output().expect("run"))
            };
            // The control: nobody is asked, so the call that the tracer has made of it is made.
            assert_eq!(with(GETPPID, false), format!("{place} made\n{stops}"));
            assert_eq!(with(GETPPID, true), format!("{place} EACCES\n{stops}"), "a handler is asked");
            assert_eq!(with(MOUNT, true), format!("{place} EPERM\n{stops}"), "the profile refuses");
        }
    });
}

#[test]
fn no_tracer_comes_between_a_decision_and_its_call() {
    if !cfg!(target_arch = "x86_64") {
        skip!("the guest knows the registers of x86_64");
    }
    let with = |handled: Option<fn() -> Action>| {
        let mut command = boxed("rewriter", &["decided", "0"]);
        if let Some(action) = handled {
            command.handler(move || closure(&["getppid"], move |_| action()));
        }
        text(&command.output().expect("run"))
    };
    // USER_NOTIF outranks the RET_TRACE of the guest's own filter (seccomp(2)): a call that we let through has no stop any more.
    assert_eq!(with(Some(|| Action::Allow)), "decided made\nseccomp stops 0\n");
    assert_eq!(with(Some(|| Action::Return(0x51))), "decided answered\nseccomp stops 0\n");
    assert_eq!(with(None), "decided made\nseccomp stops 1\n", "the control: without us there is one");
}

#[test]
fn supervisor_and_keeper_are_out_of_reach() {
    also_elsewhere("inside::supervisor_and_keeper_are_out_of_reach", &NARROW, || {
        let supervisor = std::process::id().to_string();
        let run = |targets: &[&str]| {
            let mut command = boxed("reach", targets);
            command.handler(|| closure(&["getppid"], |_| Action::Pass));
            text(&command.output().expect("run"))
        };
        let own = run(&["child"]);
        let control = "child: readv OK writev OK getfd OK mem OK fd OK listeners 0 seize OK\n";
        assert_eq!(own, control, "the control: its own processes it can trace");
        let said = run(&["parent", &supervisor]);
        assert_eq!(said.lines().count(), 2, "{said}");
        for line in said.lines() {
            // Refused, or not to be seen at all.
            assert!(!line.contains("OK") && !line.contains("EFAULT") && line.contains(" listeners 0 "), "{line}");
        }
    });
}

#[test]
fn without_a_box_the_listener_can_be_seen() {
    // The control of `listeners 0`: from outside, this process's own descriptors show the listener of its box.
    let mut command = boxed("pair", &[]);
    command.handler(|| closure(&["creat"], |_| Action::after(std::time::Duration::from_secs(60), Action::Pass)));
    let child = command.spawn().expect("spawn");
    let own = fs::read_dir("/proc/self/fd").expect("proc").flatten();
    let links = own.filter_map(|entry| fs::read_link(entry.path()).ok());
    assert!(links.filter(|link| show(link).contains("seccomp")).count() >= 1);
    drop(child);
}
