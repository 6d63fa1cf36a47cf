//! What is around guests' debuggers: limits, Yama's file, boxes in boxes, and the tools that need a while.
use std::process::Command;

use tipstaff_testkit::{Run, Scratch, guest, plain, run, skip, tipstaff};

use crate::both;

/// The engines, each with a ptrace(2) for guests.
const ENGINES: [&[(&str, &str)]; 3] =
    [&[("--engine", "native")], &[("--engine", "notify")], &[("--engine", "ptrace"), ("--guest-ptrace", "emulate")]];

fn with(options: &[(&str, &str)], run: Run) -> Run {
    options.iter().fold(run, |run, (option, value)| run.option(option, value))
}

fn installed(tool: &str, option: &str) -> bool {
    Command::new(tool).arg(option).output().is_ok_and(|out| out.status.success())
}

both!(limits_count_while_a_debugger_holds_its_tracee, |user| {
    for engine in ENGINES {
        let held = |how: &str| with(engine, run(["ptracehold", how])).as_user(user);
        let wall = held("stopped").wall("500ms").cpu("20s").go();
        wall.expect_verdict("time_limit").check(wall.report["clock"] == "wall", "nobody runs, and time goes by");
        wall.check(wall.out() == "held\n", "it was in the stop");
        for how in ["spins", "steps"] {
            let cpu = held(how).cpu("300ms").wall("60s").go();
            cpu.expect_verdict("time_limit")
                .check(cpu.report["clock"] == "cpu", format_args!("{how}: the tracee's CPU"));
        }
    }
    // The control: without a limit that is met it goes on until somebody else ends it.
    let free = with(ENGINES[2], run(["stepper", "100"])).cpu("20s").wall("60s").as_user(user).go();
    free.expect_exit(0).check(!free.hit("cpu") && !free.hit("wall"), "no limit");
});

both!(yamas_file_tells_the_boxs_scope, |user| {
    let script = "cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null; exec 5</proc/sys/kernel/yama/ptrace_scope || exit 0; cat <&5; (echo 0 >&5) 2>/dev/null || echo refused";
    let asked = |scope: Option<&str>| {
        let made = with(ENGINES[2], run(["sh", "-c", script])).as_user(user);
        scope.into_iter().fold(made, |made, scope| made.option("--ptrace-scope", scope)).go().out()
    };
    let host = plain(["sh", "-c", script]).as_user(user).go().out();
    if !host.is_empty() {
        skip!("this kernel has Yama, and its file tells the host's scope");
    }
    assert_eq!(asked(None), "", "nobody has said anything");
    assert!(asked(Some("restricted")).starts_with("1\n1\n"), "{}", asked(Some("restricted")));
    assert!(asked(Some("classic")).starts_with("0\n0\n"));
});

both!(our_tracer_is_not_seen_where_there_is_no_pid_namespace, |user| {
    // A box in a box shares the namespace of the one around it, so its tracer has a number there.
    let program = guest("ptraceshown").display().to_string();
    let command = tipstaff().display().to_string();
    let dirs = [&command, &program].map(|path| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned());
    let inside = |ptrace: &str, row: &str| {
        let mut words = vec![command.as_str(), "run", "--quiet", "--engine", "ptrace", "--guest-ptrace", ptrace];
        for dir in &dirs {
            words.extend(["--exec", dir]);
        }
        words.extend(["--", &program, row]);
        let outer = run(words).option("--engine", "native").as_user(user);
        dirs.iter().fold(outer, |outer, dir| outer.option("--exec", dir).option("--read", dir)).go().out()
    };
    for row in ["p_nobody_traces", "p_traceme", "p_states", "p_stopped", "p_read_again", "p_read_after_many", "p_roads"]
    {
        assert_eq!(inside("emulate", row), plain(["ptraceshown", row]).as_user(user).go().out(), "{row}");
    }
    // The control: files are not looked at, and tell.
    assert!(inside("native", "p_nobody_traces").starts_with("self: somebody\n"), "the control");
});

both!(an_outer_debugger_does_not_loosen_an_inner_box, |user| {
    if !installed("strace", "--version") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let (command, program) = (tipstaff().display().to_string(), guest("ptracerewrite").display().to_string());
    let dirs = [&command, &program].map(|path| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned());
    let exec = dirs.each_ref().map(|dir| format!("--exec {dir}")).join(" ");
    let inside = |debugger: &str, strict: bool, program: &str| {
        let profile = if strict { "--profile /var/tmp/strict.toml" } else { "" };
        let script = format!(
            "printf 'extends = \"default\"\n[syscalls]\ndeny = [\"mkdir\"]\n' >/var/tmp/strict.toml; \
             exec {debugger} {command} run --quiet --engine native --write /tmp {exec} {profile} -- {program}"
        );
        let outer = run(["sh", "-c", &script]).option("--engine", "native").as_user(user);
        dirs.iter().fold(outer, |outer, dir| outer.option("--exec", dir).option("--read", dir)).go().out()
    };
    // A debugger in the inner box, which makes its child call mkdir(2); and one in the outer box, which has everything of the inner one as a tracee.
    assert_eq!(inside("", true, &program), "mkdir EPERM\n");
    // The control: who is asked is the file system, where the inner box may have no /tmp (EACCES).
    let free = inside("", false, &program);
    assert!(["mkdir OK\n", "mkdir EACCES\n"].contains(&free.as_str()), "the control: {free}");
    let debugger = "strace -f -qq -o /dev/null";
    let probe = format!("{} 83 @/tmp/made 448", guest("sysprobe").display());
    assert_eq!(inside(debugger, true, &probe), "-1 EPERM\n");
    let free = inside(debugger, false, &probe);
    assert!(["0 OK\n", "-1 EACCES\n"].contains(&free.as_str()), "the control: {free}");
});

both!(proot_shows_other_paths_and_skips_calls, |user| {
    if !installed("proot", "--version") {
        skip!("proot is not installed (apt-get install proot)");
    }
    // Its calls are skipped by the number -2, and some are made anew with other arguments.
    let scratch = Scratch::new(user);
    let (there, seen) = (scratch.dir("there"), scratch.dir("seen"));
    scratch.file("there/here", "shown elsewhere\n");
    let bind = format!("{}:{}", there.display(), seen.display());
    let script = "cd \"$1\" && pwd; cat here; (exit 3); echo $?; printf 'a\\nb\\n' | wc -l; id -u";
    let words = ["proot", "-b", &bind, "sh", "-c", script, "sh", &seen.display().to_string()];
    let outside = plain(words).as_user(user).go();
    let wanted = format!("{}\nshown elsewhere\n3\n2\n", seen.display());
    outside.check(outside.out().starts_with(&wanted), "it works outside");
    for engine in ENGINES {
        // Its loader is written to /tmp and executed there.
        let made = with(engine, run(words)).option("--exec", scratch.path()).cwd(scratch.path());
        let ran = made.as_user(user).go();
        ran.expect_ok();
        ran.check(ran.out().starts_with(&wanted), format_args!("{engine:?}"));
    }
});

both!(ltrace_sees_library_calls, |user| {
    if !installed("ltrace", "--version") {
        skip!("ltrace is not installed (apt-get install ltrace)");
    }
    const CALLS: &str = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { void *p = malloc(77); puts(p ? \"hello\" : \"\"); free(p); return 4; }\n";
    let scratch = Scratch::new(user);
    let (from, to) = (scratch.file("calls.c", CALLS), scratch.join("calls"));
    let made = Command::new("gcc").arg("-O0").arg("-o").arg(&to).arg(from).status().expect("gcc");
    assert!(made.success(), "gcc");
    let dir = to.parent().expect("a directory");
    for engine in ENGINES {
        let words = ["ltrace".to_owned(), to.display().to_string()];
        let ran = with(engine, run(words)).option("--read", dir).option("--exec", dir).as_user(user).go();
        for word in ["malloc(77)", "puts(\"hello\")", "+++ exited (status 4) +++"] {
            ran.check(ran.err().contains(word), format_args!("no {word}"));
        }
    }
});

both!(jhsdb_looks_into_a_jvm, |user| {
    const NAP: &str = "public class Nap {\n  static void napping() throws Exception { System.out.println(\"up\"); Thread.sleep(600000); }\n  public static void main(String[] a) throws Exception { napping(); }\n}\n";
    if !installed("javac", "-version") || !installed("jhsdb", "--version") && !installed("jhsdb", "--help") {
        skip!("a JDK is not installed (apt-get install default-jdk-headless)");
    }
    let scratch = Scratch::new(user);
    let source = scratch.file("Nap.java", NAP);
    let dir = source.parent().expect("a directory");
    let made = Command::new("javac").arg("-d").arg(dir).arg(&source).status().expect("javac");
    assert!(made.success(), "javac");
    let script = format!(
        "java -XX:+UseSerialGC -cp {} Nap >/tmp/out & p=$!; until grep -q up /tmp/out; do sleep 0.1; kill -0 $p || exit 9; done; \
         jhsdb jstack --pid $p 2>&1; kill $p; wait $p; echo ended $?",
        dir.display()
    );
    let ran = with(ENGINES[2], run(["sh", "-c", &script]))
        .option("--read", dir)
        .patience(std::time::Duration::from_secs(250))
        .as_user(user)
        .go();
    for word in ["Nap.napping()", "ended 143"] {
        ran.check(ran.out().contains(word), format_args!("no {word}"));
    }
});
