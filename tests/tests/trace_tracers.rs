//! Programs that trace, under `tipstaff trace`: they work as outside, and both levels are shown.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tipstaff_testkit::{Ran, Run, Scratch, Signal, User, guest, plain, skip, tipstaff, tipstaff_command};

use crate::both;

/// Every call stops; a filter sends what is shown, and what tracers make.
const WAYS: [&[&str]; 2] = [&[], &["-e", "trace=openat,exit_group"]];

fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// `tipstaff trace -qq WAY -o TO -- WORDS`.
fn traced<W: AsRef<str>>(user: User, way: &[&str], to: &Path, words: &[W]) -> Run {
    let mut all = vec!["trace".to_owned(), "-qq".to_owned()];
    all.extend(way.iter().map(|&word| word.to_owned()));
    all.extend(["-o".to_owned(), to.display().to_string(), "--".to_owned()]);
    all.extend(words.iter().map(|word| word.as_ref().to_owned()));
    tipstaff_command(all).as_user(user)
}

/// The same, with the trace thrown away.
fn unseen<W: AsRef<str>>(user: User, way: &[&str], words: &[W]) -> Run {
    traced(user, way, Path::new("/dev/null"), words)
}

/// What the traced program itself has done; what a machine makes of it when it is busy may differ outside, too.
fn rows(user: User, way: &[&str]) {
    let program = guest("ptracerows").display().to_string();
    let names = plain([&program]).as_user(user).go().out();
    assert!(names.lines().count() > 50, "{names}");
    for name in names.lines() {
        let mut outside = BTreeSet::new();
        let same = (0..20).any(|_| {
            outside.insert(plain([&program, name]).as_user(user).go().out());
            let inside = unseen(user, way, &[&program, name]).go().out();
            inside.ends_with("done\n") && outside.contains(&inside)
        });
        assert!(same, "{name} under trace {way:?}: outside it is {outside:?}");
    }
}

both!(every_row_is_the_kernels_own_where_every_call_stops, |user| rows(user, WAYS[0]));
both!(every_row_is_the_kernels_own_under_a_filter, |user| rows(user, WAYS[1]));

/// Random programs, as in a box: a program whose runs differ among themselves is a race, and is run again until trace has done what was seen outside.
fn random(way: &[&str], from: u32, count: u32) {
    const ROUNDS: u32 = 48;
    let program = guest("ptracediff").display().to_string();
    for seed in from..from + count {
        let once = |inside: bool, noise: Option<u32>| {
            let mut words = vec![program.clone(), seed.to_string(), "1".to_owned()];
            words.extend(noise.map(|noise| noise.to_string()));
            let run = if inside { unseen(User::Root, way, &words) } else { plain(words) };
            run.patience(Duration::from_secs(280)).go().out()
        };
        let (mut seen, mut inside) = (BTreeSet::from([once(false, None)]), BTreeSet::from([once(true, None)]));
        for round in 1..=ROUNDS {
            if !seen.is_disjoint(&inside) {
                break;
            }
            seen.insert(once(false, Some(round)));
            inside.insert(once(true, (round % 2 == 0).then_some(round)));
        }
        assert!(!seen.is_disjoint(&inside), "seed {seed} under {way:?}:\noutside:\n{seen:?}\nunder trace:\n{inside:?}");
    }
}

mod random_programs_see_the_same {
    use tipstaff_testkit::{User, skip};

    use super::{WAYS, random};
    use crate::full_drill;

    fn count() -> u32 {
        if full_drill() { 300 } else { 12 }
    }

    #[test]
    fn where_every_call_stops() {
        if !User::Root.available() {
            skip!("not root");
        }
        random(WAYS[0], 0, count());
    }

    #[test]
    fn under_a_filter() {
        if !User::Root.available() {
            skip!("not root");
        }
        random(WAYS[1], 24, count());
    }
}

/// The calls of a trace of one thread, by name, from its last exec on.
fn names(text: &str) -> Vec<&str> {
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('(').map(|(name, _)| name))
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .collect();
    let from = names.iter().rposition(|&name| name == "execve").unwrap_or(0);
    names[from..].to_vec()
}

both!(both_levels_are_shown_call_by_call, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let scratch = Scratch::new(user);
    let theirs = scratch.join("theirs").display().to_string();
    // One file a thread.
    let ours = scratch.join("ours");
    let words = ["trace", "-qq", "-ff", "-o", &ours.display().to_string(), "--", "strace", "-o", &theirs, "true"];
    tipstaff_command(words).as_user(user).go().expect_exit(0);
    let theirs = std::fs::read_to_string(theirs).expect("strace's");
    assert!(theirs.ends_with("+++ exited with 0 +++\n"), "{theirs}");
    let dir = ours.parent().expect("a directory");
    let files = std::fs::read_dir(dir).expect("files").filter_map(|entry| {
        let entry = entry.expect("a file");
        let name = entry.file_name().into_string().expect("a name");
        name.starts_with("ours.").then(|| std::fs::read_to_string(entry.path()).expect("a trace"))
    });
    let ours: Vec<String> = files.collect();
    let tracer = ours.iter().find(|text| text.contains("ptrace(PTRACE_GET_SYSCALL_INFO")).expect("strace itself");
    for word in ["ptrace(PTRACE_SEIZE", "ptrace(PTRACE_SYSCALL", "WSTOPSIG(s) == SIGTRAP|0x80", "WIFEXITED(s)"] {
        assert!(tracer.contains(word), "no {word} in\n{tracer}");
    }
    let wanted = names(&theirs);
    assert!(wanted.len() > 10 && ours.iter().any(|text| names(text) == wanted), "{wanted:?}\n{ours:#?}");
});

both!(strace_works_as_outside, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    for way in WAYS {
        let run = |options: &[&str], script: &str| {
            let words = [&["strace"], options, &["sh", "-c", script]].concat();
            unseen(user, way, &words).go()
        };
        let script = "(exit 3); kill -USR1 $$; exit 5";
        let signals = run(&["-f"], script);
        for word in
            ["execve(", "+++ exited with 3 +++", "--- SIGCHLD {", "si_code=CLD_EXITED", "+++ killed by SIGUSR1 +++"]
        {
            signals.check(signals.err().contains(word), format_args!("no {word}"));
        }
        let counted = run(&["-c", "-f"], script);
        counted.check(counted.err().contains("execve") && counted.err().contains("total"), "a table");
        let filtered = run(&["-f", "--seccomp-bpf", "-e", "trace=exit_group"], script);
        filtered.check(
            filtered.err().contains("exit_group(3)") && !filtered.err().contains("execve("),
            "the wanted calls alone",
        );
        let twice = run(&["-e", "trace=ptrace", "strace", "-e", "trace=exit_group"], "exit 4");
        twice.expect_exit(4);
        for word in ["PTRACE_SYSCALL", "exit_group(4", "+++ exited with 4 +++"] {
            twice.check(twice.err().contains(word), format_args!("no {word}"));
        }
        let value = run(&["-qq", "-e", "trace=getppid", "-e", "inject=getppid:retval=42"], "echo $PPID");
        value.expect_exit(0).check(value.out() == "42\n" && value.err().contains("(INJECTED)"), "another result");
        run(&["-D", "-e", "trace=exit_group"], "exit 3").expect_exit(3);
        let attached = unseen(user, way, &["sh", "-c", crate::STRACE_LETS_GO]).go();
        let out = attached.out();
        attached.check(
            out.contains("<detached ...>") && out.contains("lives") && out.contains("ended 143"),
            "attached and let go",
        );
    }
});

both!(strace_tells_group_stops, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let script = crate::STRACE_TELLS_A_STOP;
    for way in WAYS {
        let ran = unseen(user, way, &["sh", "-c", script]).go();
        let out = ran.out();
        for word in ["--- SIGSTOP {", "--- stopped by SIGSTOP ---", "--- SIGCONT {"] {
            ran.check(out.contains(word), format_args!("no {word}"));
        }
        ran.check(out.starts_with("on\n"), "it goes on");
    }
});

both!(trace_traces_trace, |user| {
    let command = tipstaff().display().to_string();
    for outer in WAYS {
        for inner in WAYS {
            let scratch = Scratch::new(user);
            let [ours, theirs] = ["ours", "theirs"].map(|name| scratch.join(name));
            let theirs_name = theirs.display().to_string();
            let words = [&[command.as_str(), "trace", "-q"], inner, &["-o", &theirs_name, "--", "sh", "-c", "exit 3"]];
            traced(user, outer, &ours, &words.concat()).go().expect_exit(3);
            let [ours, theirs] = [ours, theirs].map(|path| std::fs::read_to_string(path).expect("a trace"));
            for word in ["openat(", "exit_group(3)", "+++ exited with 3 +++"] {
                assert!(theirs.contains(word), "{outer:?} {inner:?}: no {word} in\n{theirs}");
            }
            let opened =
                |text: &str| text.lines().filter(|line| line.contains("openat(") && line.contains("libc.so.6")).count();
            assert!(opened(&theirs) > 0 && opened(&ours) == opened(&theirs), "{outer:?} {inner:?}:\n{ours}\n{theirs}");
            assert!(ours.contains("exit_group(3"), "{outer:?} {inner:?}:\n{ours}");
        }
    }
});

const DEBUGGED: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
volatile int counter;
int work(int n) { int s = 0; for (int i = 0; i < n; i++) { counter = i; s += i; } return s; }
static void *thread(void *arg) { work(4); return arg; }
int main(int c, char **v) {
    int r = work(10);
    printf("sum %d\n", r);
    fflush(stdout);
    if (c > 1) {
        pthread_t made[3];
        for (int i = 0; i < 3; i++) pthread_create(&made[i], NULL, thread, NULL);
        for (int i = 0; i < 3; i++) pthread_join(made[i], NULL);
        puts("joined");
    }
    return 0;
}
"#;

fn compiled(scratch: &Scratch, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let (from, to) = (scratch.file(format!("{name}.c"), source), scratch.join(name));
    let made = Command::new("gcc").args(["-g", "-O0", "-pthread"]).args(flags).arg("-o").arg(&to).arg(from).output();
    made.is_ok_and(|made| made.status.success()).then_some(to)
}

fn debugged(user: User, way: &[&str], program: &Path, commands: &[&str], args: &[&str]) -> Ran {
    let mut words: Vec<String> = ["gdb", "-nx", "-batch"].iter().map(|&word| word.to_owned()).collect();
    for command in commands {
        words.extend(["-ex".to_owned(), (*command).to_owned()]);
    }
    words.extend(["--args".to_owned(), program.display().to_string()]);
    words.extend(args.iter().map(|&word| word.to_owned()));
    unseen(user, way, &words).go()
}

both!(gdb_works_as_outside, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled(&scratch, "debugged", DEBUGGED, &[]).expect("gcc");
    for way in WAYS {
        let commands = ["break work", "run", "bt", "watch counter", "c", "c", "delete", "stepi", "stepi", "c"];
        let ran = debugged(user, way, &program, &commands, &[]);
        let out = ran.out();
        for word in
            ["Breakpoint 1, work (n=10)", "#1  0x", "Old value = 0", "New value = 2", "sum 45", "exited normally"]
        {
            ran.check(out.contains(word), format_args!("no {word}"));
        }
        let commands = ["break main", "run", "break write", "c", "stepi 40", "info registers rip", "delete", "c"];
        let ran = debugged(user, way, &program, &commands, &[]);
        for word in ["Breakpoint 2, ", "rip  ", "sum 45", "exited normally"] {
            ran.check(ran.out().contains(word), format_args!("no {word}"));
        }
        let ran = debugged(user, way, &program, &["catch syscall exit_group", "run", "kill"], &[]);
        ran.check(ran.out().contains("Catchpoint 1 (call to syscall exit_group)"), "the call is caught");
        let commands = ["break thread", "run", "thread apply all bt 1", "delete", "c"];
        let ran = debugged(user, way, &program, &commands, &["t"]);
        for word in ["hit Breakpoint 1, thread (arg=", "Thread 1 (", "joined", "exited normally"] {
            ran.check(ran.out().contains(word), format_args!("no {word}"));
        }
        let ran = unseen(
            user,
            way,
            &[
                "sh",
                "-c",
                "sleep 100 & p=$!; sleep 0.2; gdb -nx -batch -p $p -ex 'info registers rip' -ex detach; \
                  kill -0 $p && echo lives; kill $p; wait $p; echo ended $?",
            ],
        )
        .go();
        for word in ["rip  ", "detached]", "lives", "ended 143"] {
            ran.check(ran.out().contains(word), format_args!("no {word}"));
        }
    }
});

both!(a_step_that_makes_a_call_is_seen, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled(&scratch, "debugged", DEBUGGED, &[]).expect("gcc").display().to_string();
    let to = scratch.join("trace");
    for way in [&[][..], &["-e", "trace=write"]] {
        let words = ["gdb", "-nx", "-batch", "-ex", "break main", "-ex", "run", "-ex", "break write", "-ex", "c"];
        let words = [&words[..], &["-ex", "stepi 40", "-ex", "kill", &program]].concat();
        let ran = traced(user, way, &to, &words).go();
        ran.check(ran.out().contains("Breakpoint 2, ") && ran.out().contains("sum 45"), "it has written");
        let text = std::fs::read_to_string(&to).expect("a trace");
        assert!(text.contains("write(1, \"sum 45\\n\", 7"), "{way:?}:\n{text}");
    }
});

both!(sanitizers_find_leaks, |user| {
    const LEAK: &str = "#include <stdlib.h>\nint main(void) { volatile char *p = malloc(1234); p = 0; return 0; }\n";
    let scratch = Scratch::new(user);
    for flag in ["-fsanitize=address", "-fsanitize=leak"] {
        let Some(program) = compiled(&scratch, "leaks", LEAK, &[flag]) else {
            skip!("gcc has no {flag}");
        };
        for way in WAYS {
            let ran = unseen(user, way, &[program.display().to_string()]).go();
            ran.check(ran.err().contains("1234 byte(s) leaked in 1 allocation(s)"), format_args!("{flag} {way:?}"));
        }
    }
});

/// Yama's restricted scope lets an ordinary user trace descendants alone.
fn may_attach(user: User) -> bool {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    user == User::Root || matches!(scope.trim(), "" | "0")
}

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_traced(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|by| by.trim() != "0"))
}

both!(what_was_attached_to_may_trace_its_own, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    if !may_attach(user) {
        skip!("Yama forbids to attach");
    }
    let scratch = Scratch::new(user);
    let [go, ours] = ["go", "ours"].map(|name| scratch.join(name));
    let script = format!(
        "echo ready; while ! [ -e {} ]; do sleep 0.02; done; strace -f -qq -e trace=exit_group sh -c '(exit 3); exit 4'; echo $?",
        go.display()
    );
    let target = plain(["sh", "-c", &script]).as_user(user).start();
    target.await_output("ready", 1);
    let pid = target.pid();
    let words = ["trace", "-q", "-e", "exit_group", "-o", &ours.display().to_string(), "-p", &pid.to_string()];
    let tracer = tipstaff_command(words).as_user(user).start();
    until("never attached", || is_traced(pid));
    std::fs::write(&go, "").expect("a file");
    let ran = target.finish();
    ran.expect_exit(0).expect_stdout("ready\n4\n");
    ran.check(ran.err().contains("exit_group(3)") && ran.err().contains("exit_group(4)"), "strace has seen both");
    tracer.finish().expect_exit(0);
    let ours = std::fs::read_to_string(ours).expect("a trace");
    assert!(ours.contains("exit_group(3") && ours.contains("exit_group(4"), "{ours}");
});

both!(what_is_let_go_goes_on_without_its_tracer, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    if !may_attach(user) {
        skip!("Yama forbids to attach");
    }
    let scratch = Scratch::new(user);
    let [go, end] = ["go", "end"].map(|name| scratch.join(name));
    let wait = |file: &Path| format!("while ! [ -e {} ]; do sleep 0.02; done", file.display());
    let inner = format!("echo traced; {}; exit 3", wait(&end));
    let script = format!("echo ready; {}; strace -qq -o /dev/null sh -c '{inner}'; echo over", wait(&go));
    let target = plain(["sh", "-c", &script]).as_user(user).start();
    target.await_output("ready", 1);
    let pid = target.pid();
    let tracer = tipstaff_command(["trace", "-o", "/dev/null", "-p", &pid.to_string()]).as_user(user).start();
    until("never attached", || is_traced(pid));
    std::fs::write(&go, "").expect("a file");
    target.await_output("traced", 1);
    tracer.signal(Signal::INT);
    tracer.finish().expect_exit(0);
    std::fs::write(&end, "").expect("a file");
    // The tracee runs to its end, and nobody waits for ever.
    target.finish_anyhow().expect_stdout("ready\ntraced\nover\n");
});

both!(whoever_is_not_ours_is_traced_by_the_kernel, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    if !may_attach(user) {
        skip!("Yama forbids to attach");
    }
    for way in WAYS {
        // A busy machine may be slower than a short nap.
        let seen = ["2000", "10000", "40000"].into_iter().any(|nap| {
            let target = plain(["napper", nap]).as_user(user).start();
            target.await_output("ready", 1);
            let pid = target.pid();
            let tracer = unseen(user, way, &["strace", "-e", "trace=exit_group", "-p", &pid.to_string()]).start();
            while !is_traced(pid) && !target.ends(Duration::from_millis(5)) {}
            let attached = is_traced(pid);
            let ran = tracer.finish();
            if attached {
                ran.expect_exit(0);
                ran.check(ran.err().contains("+++ exited with 0 +++"), "its end is seen");
            }
            target.finish().expect_exit(0).expect_stdout("ready\nOK long\n");
            attached
        });
        assert!(seen, "never attached");
    }
});
