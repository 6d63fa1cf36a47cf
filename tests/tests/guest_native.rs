//! Guests' own ptrace(2) under the native and notify engines: it is the kernel's, whole, and no way out of the box.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tipstaff_testkit::{Ran, Run, Scratch, User, Without, guest, plain, run, skip, tipstaff, tipstaff_command};

use crate::both;

const ENGINES: [&str; 2] = ["native", "notify"];

fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// What each seed has printed.
fn played(ran: &Ran) -> BTreeMap<u32, String> {
    let mut seeds = BTreeMap::<u32, String>::new();
    let mut current = 0;
    for line in ran.out().lines() {
        if let Some(number) = line.strip_prefix("seed ") {
            current = number.parse().expect("a number");
        }
        let text = seeds.entry(current).or_default();
        text.push_str(line);
        text.push('\n');
    }
    seeds
}

/// Random programs, natively twice and in the box. A program whose runs differ among themselves is a race: both are run again until the box has done
/// what was seen outside.
fn compare(engine: &str, from: u32, count: u32) {
    const ROUNDS: u32 = 48;
    let once = |boxed: bool, from: u32, count: u32, noise: Option<u32>| {
        let mut words = vec!["ptracediff".to_owned(), from.to_string(), count.to_string()];
        words.extend(noise.map(|noise| noise.to_string()));
        let made = if boxed { run(words).option("--engine", engine) } else { plain(words) };
        played(&made.patience(Duration::from_secs(280)).go())
    };
    let (first, second, inside) =
        (once(false, from, count, None), once(false, from, count, None), once(true, from, count, None));
    assert_eq!(first.len(), count as usize, "every seed is played");
    let mut races = 0;
    for (&seed, outside) in &first {
        let mut seen = BTreeSet::from([outside.clone(), second[&seed].clone()]);
        races += u32::from(seen.len() > 1);
        let mut boxed = BTreeSet::from([inside.get(&seed).cloned().unwrap_or_default()]);
        for round in 1..=ROUNDS {
            if !seen.is_disjoint(&boxed) {
                break;
            }
            // Held up at random: what can be seen on a busy machine.
            seen.extend(once(false, seed, 1, Some(round)).into_values());
            boxed.extend(once(true, seed, 1, Some(if round % 2 == 0 { round } else { 0 })).into_values());
        }
        assert!(!seen.is_disjoint(&boxed), "seed {seed}:\noutside:\n{outside}\nin the box:\n{}", inside[&seed]);
    }
    println!("{count} seeds from {from}, {engine}: {races} races among native runs, 0 differences");
}

mod random_programs_see_the_same {
    use super::compare;
    use crate::full_drill;

    fn count() -> u32 {
        if full_drill() { 300 } else { 12 }
    }

    #[test]
    fn native() {
        compare("native", 0, count());
    }

    #[test]
    fn notify() {
        compare("notify", 24, count());
    }
}

/// One fact each: outside and in the box it is told in the same words. What a busy machine makes of it outside may differ too.
fn rows(engine: &str) {
    for program in ["ptracerows", "ptraceshown"] {
        let names = plain([program]).go().out();
        assert!(names.lines().count() > 15, "{names}");
        for name in names.lines() {
            let mut outside = BTreeSet::new();
            let same = (0..20).any(|_| {
                outside.insert(plain([program, name]).go().out());
                let inside = run([program, name]).option("--engine", engine).go().out();
                inside.ends_with("done\n") && outside.contains(&inside)
            });
            assert!(same, "{name} under {engine}: outside it is {outside:?}");
        }
    }
}

#[test]
fn every_row_is_the_kernels_own_under_native() {
    rows("native");
}

#[test]
fn every_row_is_the_kernels_own_under_notify() {
    rows("notify");
}

both!(strace_sees_calls_signals_and_ends, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    for engine in ENGINES {
        let traced = |options: &[&str], script: &str| {
            let words = [&["strace"], options, &["sh", "-c", script]].concat();
            run(words).option("--engine", engine).as_user(user).go()
        };
        let script = "(exit 3); kill -USR1 $$; exit 5";
        let signals = traced(&["-f"], script);
        let err = signals.err();
        for word in
            ["execve(", "+++ exited with 3 +++", "--- SIGCHLD {", "si_code=CLD_EXITED", "+++ killed by SIGUSR1 +++"]
        {
            signals.check(err.contains(word), format_args!("no {word}"));
        }
        let counted = traced(&["-c", "-f"], script);
        counted.check(counted.err().contains("execve") && counted.err().contains("total"), "a table");
        let filtered = traced(&["-f", "--seccomp-bpf", "-e", "trace=exit_group"], script);
        let err = filtered.err();
        filtered.check(err.contains("exit_group(3)") && !err.contains("execve("), "the wanted calls alone");
        filtered.check(!err.contains("Stray"), "stops that nobody asked for");
        let words = ["-e", "trace=ptrace", "strace", "-e", "trace=exit_group"];
        let twice = traced(&words, "exit 4");
        twice.expect_exit(4);
        for word in ["PTRACE_SYSCALL", "exit_group(4", "+++ exited with 4 +++"] {
            twice.check(twice.err().contains(word), format_args!("no {word}"));
        }
    }
});

both!(strace_attaches_and_lets_go, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let script = crate::STRACE_LETS_GO;
    for engine in ENGINES {
        let ran = run(["sh", "-c", script]).option("--engine", engine).as_user(user).go();
        ran.expect_exit(0);
        let out = ran.out();
        ran.check(out.contains("<detached ...>") && out.contains("lives") && out.contains("ended 143"), "let go");
    }
});

/// A program with debug information that the box can see; None where this compiler cannot make it.
fn compiled(compiler: &str, scratch: &Scratch, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let (from, to) = (scratch.file(format!("{name}.c"), source), scratch.join(name));
    let made = Command::new(compiler).args(["-g", "-O0", "-pthread"]).args(flags).arg("-o").arg(&to).arg(from).output();
    made.is_ok_and(|made| made.status.success()).then_some(to)
}

fn shown(engine: &str, run: Run, program: &Path) -> Run {
    let dir = program.parent().expect("a directory");
    run.option("--engine", engine).option("--read", dir).option("--exec", dir)
}

const DEBUGGED: &str = r#"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
volatile int counter;
int work(int n) { int s = 0; for (int i = 0; i < n; i++) { counter = i; s += i; } return s; }
int main(int c, char **v) {
    int r = work(10);
    printf("sum %d\n", r);
    if (c > 1) { pid_t p = fork(); if (!p) { work(3); _exit(5); } int st; waitpid(p, &st, 0); printf("child %d\n", WEXITSTATUS(st)); }
    return 0;
}
"#;

fn debugged(engine: &str, user: User, program: &Path, commands: &[&str], args: &[&str]) -> Ran {
    let mut words: Vec<String> = ["gdb", "-nx", "-batch"].iter().map(|&w| w.to_owned()).collect();
    words.extend(commands.iter().flat_map(|command| ["-ex".to_owned(), (*command).to_owned()]));
    words.extend(["--args".to_owned(), program.display().to_string()]);
    words.extend(args.iter().map(|&w| w.to_owned()));
    shown(engine, run(words), program).as_user(user).go()
}

both!(gdb_breaks_steps_watches_and_follows, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled("gcc", &scratch, "debugged", DEBUGGED, &[]).expect("gcc");
    for engine in ENGINES {
        let commands =
            ["break work", "run", "bt", "watch counter", "c", "c", "delete", "stepi 200", "info registers rip", "c"];
        let ran = debugged(engine, user, &program, &commands, &[]);
        let out = ran.out();
        for word in ["Breakpoint 1, work (n=10)", "Old value = 0", "New value = 2", "sum 45", "exited normally"] {
            ran.check(out.contains(word), format_args!("no {word}"));
        }
        let caught = debugged(engine, user, &program, &["catch syscall exit_group", "run", "c", "kill"], &[]);
        caught.check(caught.out().contains("Catchpoint 1 (call to syscall exit_group)"), "the call is caught");
        let child = debugged(engine, user, &program, &["set follow-fork-mode child", "run"], &["x"]);
        child.check(child.out().contains("exited with code 05"), "the child");
        let script = "sleep 100 & p=$!; gdb -nx -batch -p $p -ex 'info registers rip' -ex detach; \
                      kill -0 $p && echo lives; kill $p; wait $p; echo ended $?";
        let attached = run(["sh", "-c", script]).option("--engine", engine).as_user(user).go();
        for word in ["rip  ", "detached]", "lives", "ended 143"] {
            attached.check(attached.out().contains(word), format_args!("no {word}"));
        }
    }
});

both!(sanitizers_find_leaks, |user| {
    const LEAK: &str =
        "#include <stdlib.h>\nchar *volatile p;\nint main(void) { p = malloc(1234); p = 0; return 0; }\n";
    let scratch = Scratch::new(user);
    let mut built = 0;
    for compiler in ["gcc", "clang"] {
        for flag in ["-fsanitize=address", "-fsanitize=leak"] {
            let Some(program) = compiled(compiler, &scratch, "leaks", LEAK, &[flag]) else {
                println!("{compiler} has no {flag}");
                continue;
            };
            built += 1;
            for engine in ENGINES {
                let ran = shown(engine, run([&program]), &program).as_user(user).go();
                let found = ran.err().contains("1234 byte(s) leaked in 1 allocation(s)");
                ran.check(found && ran.code() != 0, format_args!("{compiler} {flag}"));
            }
        }
    }
    if built == 0 {
        skip!("neither gcc nor clang can build with a sanitizer");
    }
});

both!(no_tracer_lifts_a_filter, |user| {
    for engine in ENGINES {
        let ran = run(["unfilter"]).option("--engine", engine).as_user(user).go();
        ran.expect_ok().expect_stdout("suspend EPERM\nfilter EACCES\ngetppid EXDEV\n");
    }
    // The control: root outside of any filter may. (An ordinary user may nowhere.)
    let outside = plain(["unfilter"]).as_user(user).go();
    if user == User::Root && outside.out().starts_with("suspend EPERM") {
        skip!("root is under a filter already, or lacks CAP_SYS_ADMIN");
    }
    let right = if user == User::Root {
        "suspend OK\nfilter OK\ngetppid OK\n"
    } else {
        "suspend EPERM\nfilter EACCES\ngetppid EXDEV\n"
    };
    outside.expect_stdout(right);
});

both!(a_call_that_a_guests_tracer_rewrites_is_filtered_again, |user| {
    let scratch = Scratch::new(user);
    let profile = scratch.file("p.toml", "extends = \"default\"\n[syscalls]\ndeny = [\"mkdir\"]\n");
    for engine in ENGINES {
        // The control: without the rule it is made.
        run(["ptracerewrite"]).option("--engine", engine).as_user(user).go().expect_stdout("mkdir OK\n");
        let made = run(["ptracerewrite"]).option("--engine", engine).as_user(user).profile(&profile).go();
        made.expect_stdout("mkdir EPERM\n");
    }
});

both!(a_strict_program_drives_no_loose_one, |user| {
    // The loose one is of the outer box, the strict one of a box in it: neither by ptrace(2) nor by process_vm_writev(2), /proc/PID/mem or pidfd_getfd(2).
    let [command, reach] = [tipstaff().display().to_string(), guest("reach").display().to_string()];
    let dirs = [&command, &reach].map(|path| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned());
    let nested = |engine: &str, strict: &str, target: &str| {
        let script = format!("sleep 100 & {strict} {reach} {target}; kill $!");
        let mut outer = run(["sh", "-c", &script]).option("--engine", engine).as_user(user);
        for dir in &dirs {
            outer = outer.option("--exec", dir).option("--read", dir);
        }
        let ran = outer.go();
        let line = ran.out();
        ran.check(line.lines().count() == 1, "one line");
        line
    };
    for engine in ENGINES {
        for inner in ["native", "ptrace"] {
            let strict = format!("{command} run --quiet --engine {inner} --exec {} --", dirs[1]);
            let line = nested(engine, &strict, "$!");
            assert!(!line.contains("OK") && !line.contains("EFAULT"), "{engine}, {inner}: {line}");
            // The control: what is the strict one's own it reaches.
            let own = nested(engine, &strict, "child");
            assert!(
                own.contains("readv OK writev OK getfd OK") && own.contains("seize OK"),
                "{engine}, {inner}: {own}"
            );
        }
        // The control: a neighbour in the same box does.
        let line = nested(engine, "", "$!");
        assert!(line.contains("getfd OK") && line.contains("seize OK"), "{engine}: {line}");
    }
});

both!(who_may_attach_is_the_profiles_to_say, |user| {
    let seen = |scope: &str, engine: &str| {
        let ran = run(["yama"]).option("--ptrace-scope", scope).option("--engine", engine).as_user(user).go();
        ran.expect_ok();
        ran.out()
    };
    let (all, some, none) =
        ("readv OK getfd OK seize OK", "readv OK getfd EPERM seize OK", "readv EPERM getfd EPERM seize EPERM");
    let restricted = format!(
        "child: {some}\ngrandchild: {some}\nparent: {none}\nneighbour: {none}\nnobody's number EINVAL\n\
         names the tracer OK\nneighbour: {some}\nnames its parent OK\nneighbour: {some}\nnames its child OK\nneighbour: {none}\n\
         names anybody EPERM\nneighbour: {none}\nnames nobody OK\nneighbour: {none}\ntraceme OK\ngone: seize ESRCH\n"
    );
    for engine in ["auto", "notify", "ptrace"] {
        assert_eq!(seen("restricted", engine), restricted, "{engine}");
        for scope in ["admin", "none"] {
            let seen = seen(scope, engine);
            assert!(!seen.contains("OK") && seen.contains("traceme EPERM"), "{engine}, {scope}: {seen}");
        }
        if !Path::new("/proc/sys/kernel/yama").exists() {
            // The control: whoever may by ids.
            let seen = seen("classic", engine);
            assert_eq!(seen.matches(all).count(), 9, "{engine}: {seen}");
        }
    }
    // Natively nobody could be asked.
    let refused = run(["yama"]).option("--ptrace-scope", "restricted").option("--engine", "native").as_user(user).go();
    refused.check(refused.code() == 125 && refused.err().contains("--engine auto"), "refused with the cure");
});

both!(yamas_file_tells_the_boxs_scope_whether_the_kernel_has_yama_or_not, |user| {
    const FILE: &str = "/proc/sys/kernel/yama/ptrace_scope";
    let host = std::fs::read_to_string(FILE).map_or(0, |text| text.trim().parse::<u8>().expect("a scope"));
    let told = format!("cat {FILE}; cd /proc/sys/kernel; cat cap_last_cap osrelease random/poolsize; ls");
    let outside = plain(["sh", "-c", told.as_str()]).as_user(user).go().out();
    let mut ran = Vec::new();
    for (number, scope) in (0..).zip(["classic", "restricted", "admin", "none"]) {
        for engine in ["native", "notify", "ptrace"] {
            if (scope, engine) == ("restricted", "native") {
                continue;
            }
            let boxed = |script: &str| {
                let made = run(["sh", "-c", script]).option("--ptrace-scope", scope).option("--engine", engine);
                made.as_user(user).go()
            };
            let seen = boxed(&told);
            let first = format!("{}\n", host.max(number));
            let rest = seen.out().strip_prefix(&first).map(str::to_owned);
            seen.check(rest.is_some(), format_args!("{scope}, {engine}: begins with {first:?}"));
            // What else is there is the kernel's.
            let names = |text: &str| text.lines().filter(|name| *name != "yama").map(str::to_owned).collect::<Vec<_>>();
            let outside = outside.strip_prefix(&format!("{host}\n")).unwrap_or(&outside);
            seen.check(
                rest.is_some_and(|rest| names(&rest) == names(outside)),
                format_args!("{scope}, {engine}: {outside}"),
            );
            let written = boxed(&format!(
                "echo 0 >{FILE} || mkdir {FILE}.d || echo x >/proc/sys/kernel/.kernel/core_pattern || echo x >/proc/sys/kernel/core_pattern || echo refused"
            ));
            written.check(written.out() == "refused\n", format_args!("{scope}, {engine}: not to be written"));
            ran.push(scope);
        }
    }
    assert_eq!(ran.len(), 11);
    // Nobody has said anything: the host's.
    let host = plain(["cat", FILE]).as_user(user).go();
    assert_eq!(run(["cat", FILE]).as_user(user).go().out(), host.out());
    // Without a tree of its own a box has no place for it, and `explain` says so.
    let asked = || tipstaff_command(["explain", "--ptrace-scope", "restricted", "--", "true"]).as_user(user);
    let (with, without) = (asked().go(), asked().without(Without::Namespaces).go());
    let note = "guests read the host's /proc/sys/kernel/yama";
    with.check(!with.out().contains(note), "it has one");
    without.check(without.out().contains(note), "it has none");
});

both!(tools_work_where_attaching_is_restricted, |user| {
    let scratch = Scratch::new(user);
    const LEAK: &str =
        "#include <stdlib.h>\nchar *volatile p;\nint main(void) { p = malloc(1234); p = 0; return 0; }\n";
    let restricted = |run: Run| run.option("--ptrace-scope", "restricted").as_user(user);
    // LeakSanitizer's tracer is a child of what it traces, and is named by it.
    if let Some(program) = compiled("gcc", &scratch, "leaks", LEAK, &["-fsanitize=leak"]) {
        let ran = restricted(shown("notify", run([&program]), &program)).go();
        ran.check(ran.err().contains("1234 byte(s) leaked in 1 allocation(s)"), "a leak");
    }
    if installed("strace") {
        let ran = restricted(run(["strace", "-f", "-e", "trace=exit_group", "sh", "-c", "(exit 3); exit 5"])).go();
        ran.check(ran.code() == 5 && ran.err().contains("exit_group(3)"), "what it started itself");
        let ran = restricted(run(["sh", "-c", "sleep 100 & strace -p $!; kill $!"])).go();
        ran.check(ran.err().contains("Operation not permitted"), "a neighbour");
        let told = ran.report["denials"].as_array().is_some_and(|denials| {
            denials.iter().any(|denial| denial["rule"].as_str().is_some_and(|rule| rule.starts_with("ptrace_scope = ")))
        });
        ran.check(told, "the rule is not named");
    }
});
