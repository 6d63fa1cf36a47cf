//! Guests' own ptrace(2) under the ptrace engine: what a program that traces sees in a box is what it sees outside.
use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tipstaff_testkit::{Ran, Run, Scratch, User, guest, plain, run, skip, tipstaff_command};

use crate::both;

fn emulated(run: Run) -> Run {
    run.option("--engine", "ptrace").option("--guest-ptrace", "emulate")
}

fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// What each seed has printed.
fn played(ran: &Ran) -> BTreeMap<String, String> {
    let mut seeds = BTreeMap::<String, String>::new();
    let mut current = String::new();
    for line in ran.out().lines() {
        if line.starts_with("seed ") {
            line.clone_into(&mut current);
        }
        let text = seeds.entry(current.clone()).or_default();
        text.push_str(line);
        text.push('\n');
    }
    seeds
}

/// Random programs, natively twice and in the box. Where the box differs, both are run some times more: a program whose runs differ among
/// themselves is a race, and the box is right if it does what was seen outside. Outside everything is fast, and one order of events is what is
/// seen nearly always; so there the tracers are held up in these rounds, as the box holds them up, each time in another way. Gives the number of races.
fn compare(from: u32, count: u32) -> u32 {
    const ROUNDS: u32 = 48;
    let once = |boxed: bool, from: u32, count: u32, noise: Option<u32>| {
        let mut words = vec!["ptracediff".to_owned(), from.to_string(), count.to_string()];
        words.extend(noise.map(|noise| noise.to_string()));
        let made = if boxed { emulated(run(words)) } else { plain(words) };
        played(&made.patience(std::time::Duration::from_secs(280)).go())
    };
    let (first, second, inside) =
        (once(false, from, count, None), once(false, from, count, None), once(true, from, count, None));
    assert_eq!(first.len(), count as usize, "every seed is played");
    let mut races = 0;
    for (seed, outside) in &first {
        let mut seen = BTreeSet::from([outside.clone(), second[seed].clone()]);
        races += u32::from(seen.len() > 1);
        let mut boxed = BTreeSet::from([inside.get(seed).cloned().unwrap_or_default()]);
        let number: u32 = seed["seed ".len()..].parse().expect("a number");
        for round in 1..=ROUNDS {
            if !seen.is_disjoint(&boxed) {
                break;
            }
            seen.extend(once(false, number, 1, Some(round)).into_values());
            boxed.extend(once(true, number, 1, Some(if round % 2 == 0 { round } else { 0 })).into_values());
        }
        if seen.is_disjoint(&boxed) {
            let (outside, inside) = (outside.lines(), inside[seed].lines());
            let same = outside.clone().zip(inside.clone()).take_while(|(a, b)| a == b).count();
            let piece =
                |lines: std::str::Lines<'_>| lines.skip(same.saturating_sub(8)).take(12).collect::<Vec<_>>().join("\n");
            panic!("{seed}, line {same}:\noutside:\n{}\nin the box:\n{}", piece(outside), piece(inside));
        }
    }
    races
}

/// The programs sleep more than they work, so several are played at a time.
fn compare_all(from: u32, count: u32) {
    const PIECE: u32 = 5;
    let races: u32 = thread::scope(|scope| {
        let pieces: Vec<_> = (from..from + count)
            .step_by(PIECE as usize)
            .map(|first| scope.spawn(move || compare(first, PIECE.min(from + count - first))))
            .collect();
        pieces.into_iter().map(|piece| piece.join().unwrap_or_else(|failed| resume_unwind(failed))).sum()
    });
    println!("{count} seeds from {from}: {races} races among native runs, 0 differences");
}

macro_rules! seeds {
    ($($name:ident $from:literal)*) => {$(
        #[test]
        fn $name() {
            compare_all($from, 50);
        }
    )*};
}

mod random_programs_see_the_same {
    use super::compare_all;

    seeds!(from_0 0 from_50 50 from_100 100 from_150 150 from_200 200 from_250 250);
}

/// One fact each: outside and in the box it is told in the same words.
fn row(name: &str) {
    let outside = plain(["ptracerows", name]).go();
    outside.check(outside.out().ends_with("done\n"), "it ends");
    let inside = emulated(run(["ptracerows", name])).go();
    assert_eq!(outside.out(), inside.out(), "{name}");
}

macro_rules! rows {
    ($($name:ident)*) => {
        mod row {
            $(#[test]
            fn $name() {
                super::row(stringify!($name));
            })*

            #[test]
            fn none_is_forgotten() {
                let names = tipstaff_testkit::plain(["ptracerows"]).go().out();
                assert_eq!(names.lines().collect::<Vec<_>>(), [$(stringify!($name)),*]);
            }
        }
    };
}

rows! {
    r1_unknown
    r2_state_and_thread
    r3_traceme
    r4_attach
    r5_seize
    r6_interrupt
    r7_listen
    r8_signals
    r9_singleblock
    r10_detach
    r11_kill
    r12_peek_poke
    r13_debug_registers
    r14_registers
    r15_sets
    r16_siginfo
    r17_mask
    r18_peeksiginfo
    r18_peeksiginfo_of_a_new_thread
    r19_r20_messages
    r21_set_syscall_info
    r23_r24_configurations
    o2_fork
    o2_vfork
    o2_clone
    o3_vforkdone
    o4_exec
    o4_exec_without
    o5_exit
    o_bad
    o7_exitkill
    o7_no_exitkill
    w4_group_stop
    w5_attach_to_stopped
    w6_threads_wait
    w7_selection
    w8_told_once
    w9_waitid
    w10_sigchld
    w10_no_stops
    w11_the_tracer_is_told_first
    w11_a_tracer_that_ignores_it
    w11_a_tracee_leaves_a_zombie
    w11_the_tracer_ends
    w11_a_thread_keeps_its_leader
    w14_a_thread_keeps_an_exec
    w13_a_signal_that_nobody_waited_for
    w14_exec_of_a_thread
    w14_stops_again_after_an_exec
    w14_an_interrupt_before_a_threads_exec
    w14_an_interrupt_and_a_signal_before_a_threads_exec
    o4_exec_by_step
    o4_exec_by_sysemu
    o4_exec_by_sysemu_step
    w10_the_thread_that_stopped_it_is_told_first
    r8_a_step_over_a_call_forces_its_trap
    r18_peeksiginfo_of_a_tracer
    w15_kill
    w_interrupted_wait
    sysemu
    o6_seccomp
    o6_seccomp_without
    w2_entry_before_seccomp
    w2_rewritten_at_the_entry
    w2_skipped_at_the_entry
    w2_rewritten_at_the_seccomp_stop
    w2_steps_into_seccomp
    w12_untraced_group_stop
    w13_group_stopped_tracee
    w13_a_thread_that_traces_ends
    w3_restarts
    r8_signals_elsewhere
    r3_traceme_twice
    a1_same_group
    o2_an_interrupted_untraced_clone
    o2_an_interrupted_untraced_clone_is_skipped
}

/// The same of what can be seen without ptrace(2), as root and as an ordinary user.
fn shown(user: User, name: &str) {
    let outside = plain(["ptraceshown", name]).as_user(user).go();
    outside.check(outside.out().ends_with("done\n"), "it ends");
    let inside = emulated(run(["ptraceshown", name])).as_user(user).go();
    assert_eq!(outside.out(), inside.out(), "{name}");
}

macro_rules! shown {
    ($($name:ident)*) => {
        mod shown {
            use super::*;

            $(both!($name, |user| super::super::shown(user, stringify!($name)));)*

            #[test]
            fn none_is_forgotten() {
                let names = tipstaff_testkit::plain(["ptraceshown"]).go().out();
                assert_eq!(names.lines().collect::<Vec<_>>(), [$(stringify!($name)),*]);
            }
        }
    };
}

shown! {
    p_nobody_traces
    p_traceme
    p_states
    p_stopped
    p_read_again p_read_after_many
    p_roads
    s_sigwait_first
    s_sigwait_last
    s_sigwait_of_no_child
    s_one_is_pending
    s_pending
    s_not_blocked
    s_handled_later
    s_ignored_but_blocked
    s_a_thread_takes_it
    s_signalfd
    s_signalfd_first
    s_signalfd_polled
    s_leader_leaves_first
    s_thread_executes
}

both!(strace_sees_calls_signals_and_ends, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let traced = |options: &[&str]| {
        let words = ["strace"].iter().chain(options).chain(&["sh", "-c", "(exit 3); kill -USR1 $$; exit 5"]);
        emulated(run(words)).as_user(user).go()
    };
    let plainly = traced(&["-qq", "-e", "trace=exit_group", "-e", "signal=none", "-f"]);
    let err = plainly.err();
    plainly.check(err.contains("exit_group(3)"), "the child's end");
    plainly.check(!err.contains("exit_group(5)"), "SIGUSR1 ends the shell before");
    let signals = traced(&["-f"]);
    let err = signals.err();
    for word in ["execve(", "+++ exited with 3 +++", "--- SIGCHLD {", "si_code=CLD_EXITED", "+++ killed by SIGUSR1 +++"]
    {
        signals.check(err.contains(word), format_args!("no {word}"));
    }
    let counted = traced(&["-c", "-f"]);
    counted.check(counted.err().contains("execve") && counted.err().contains("total"), "a table");
    let filtered = traced(&["-f", "--seccomp-bpf", "-e", "trace=exit_group"]);
    let err = filtered.err();
    filtered.check(err.contains("exit_group(3)") && !err.contains("execve("), "the wanted calls alone");
});

both!(strace_attaches_and_lets_go, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let ran = emulated(run(["sh", "-c", crate::STRACE_LETS_GO])).as_user(user).go();
    ran.expect_exit(0);
    let out = ran.out();
    ran.check(
        out.contains("<detached ...>") && out.contains("lives") && out.contains("ended 143"),
        "attached and let go",
    );
});

both!(strace_traces_strace, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let words = ["strace", "-e", "trace=ptrace", "strace", "-e", "trace=exit_group", "sh", "-c", "exit 4"];
    let ran = emulated(run(words)).as_user(user).go();
    ran.expect_exit(4);
    let err = ran.err();
    for word in ["PTRACE_SYSCALL", "PTRACE_GET_SYSCALL_INFO", "exit_group(4", "+++ exited with 4 +++"] {
        ran.check(err.contains(word), format_args!("no {word}"));
    }
});

both!(strace_injects_and_hides, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let traced = |options: &[&str], script: &str| {
        let words = [&["strace", "-qq"], options, &["sh", "-c", script]].concat();
        emulated(run(words)).as_user(user).go()
    };
    let value = traced(&["-e", "trace=getppid", "-e", "inject=getppid:retval=42"], "echo $PPID");
    value.expect_exit(0).check(value.out() == "42\n" && value.err().contains("= 42 (INJECTED)"), "another result");
    let failing = traced(&["-e", "trace=chdir", "-e", "inject=chdir:error=EXDEV"], "cd / || echo refused");
    failing.check(failing.out() == "refused\n" && failing.err().contains("EXDEV"), "an error instead of the call");
    let killing = traced(&["-e", "trace=chdir", "-e", "inject=chdir:signal=USR1"], "trap 'echo got' USR1; cd /");
    killing.check(killing.out() == "got\n" && killing.err().contains("--- SIGUSR1"), "a signal with the call");
    // The tracer is a grandchild; what was asked for is the tracee itself.
    let behind = traced(&["-D", "-e", "trace=exit_group"], "exit 3");
    behind.expect_exit(3);
});

both!(strace_tells_group_stops, |user| {
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    let script = crate::STRACE_TELLS_A_STOP;
    let ran = emulated(run(["sh", "-c", script])).as_user(user).go();
    let out = ran.out();
    for word in ["--- SIGSTOP {", "--- stopped by SIGSTOP ---", "--- SIGCONT {"] {
        ran.check(out.contains(word), format_args!("no {word}"));
    }
    ran.check(out.starts_with("on\n"), "it goes on");
});

/// A program with debug information that the box can see.
fn compiled(scratch: &Scratch, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    compiled_by("gcc", scratch, name, source, flags)
}

fn compiled_by(compiler: &str, scratch: &Scratch, name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let (from, to) = (scratch.file(format!("{name}.c"), source), scratch.join(name));
    let made = Command::new(compiler).args(["-g", "-O0", "-pthread"]).args(flags).arg("-o").arg(&to).arg(from).output();
    made.is_ok_and(|made| made.status.success()).then_some(to)
}

const DEBUGGED: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
volatile int counter;
int work(int n) { int s = 0; for (int i = 0; i < n; i++) { counter = i; s += i; } return s; }
static void *thread(void *arg) { work(4); return arg; }
static void threads(void) {
    pthread_t made[3];
    for (int i = 0; i < 3; i++) pthread_create(&made[i], NULL, thread, NULL);
    for (int i = 0; i < 3; i++) pthread_join(made[i], NULL);
    puts("joined");
}
static void executes(void) {
    pid_t p = vfork();
    if (!p) { execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL); _exit(5); }
    int st;
    waitpid(p, &st, 0);
    printf("child %d\n", WEXITSTATUS(st));
}
int main(int c, char **v) {
    int r = work(10);
    printf("sum %d\n", r);
    if (c > 1 && *v[1] == 't') threads();
    if (c > 1 && *v[1] == 'v') executes();
    if (c > 1 && *v[1] == 'x') { pid_t p = fork(); if (!p) { work(3); _exit(5); } int st; waitpid(p, &st, 0); printf("child %d\n", WEXITSTATUS(st)); }
    return 0;
}
"#;

fn debugged(user: User, program: &Path, commands: &[&str], args: &[&str]) -> Ran {
    let mut words: Vec<String> = ["gdb", "-nx", "-batch"].iter().map(|&w| w.to_owned()).collect();
    for command in commands {
        words.extend(["-ex".to_owned(), (*command).to_owned()]);
    }
    words.push("--args".to_owned());
    words.push(program.display().to_string());
    words.extend(args.iter().map(|&w| w.to_owned()));
    let dir = program.parent().expect("a directory");
    emulated(run(words)).option("--read", dir).option("--exec", dir).as_user(user).go()
}

both!(gdb_breaks_steps_and_watches, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled(&scratch, "debugged", DEBUGGED, &[]).expect("gcc");
    let commands =
        ["break work", "run", "bt", "watch counter", "c", "c", "delete", "stepi", "stepi", "info registers rip", "c"];
    let ran = debugged(user, &program, &commands, &[]);
    let out = ran.out();
    for word in ["Breakpoint 1, work (n=10)", "#1  0x", "Old value = 0", "New value = 2", "sum 45", "exited normally"] {
        ran.check(out.contains(word), format_args!("no {word}"));
    }
    let ran = debugged(user, &program, &["catch syscall exit_group", "run", "c", "kill"], &[]);
    ran.check(ran.out().contains("Catchpoint 1 (call to syscall exit_group)"), "the call is caught");
});

both!(gdb_follows_forks, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled(&scratch, "debugged", DEBUGGED, &[]).expect("gcc");
    let parent = debugged(user, &program, &["set follow-fork-mode parent", "run"], &["x"]);
    parent.check(parent.out().contains("child 5") && parent.out().contains("exited normally"), "the parent");
    let child = debugged(user, &program, &["set follow-fork-mode child", "run"], &["x"]);
    child.check(child.out().contains("exited with code 05"), "the child");
});

both!(gdb_sees_threads, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled(&scratch, "debugged", DEBUGGED, &[]).expect("gcc");
    let commands = ["break thread", "run", "thread apply all bt 1", "delete", "c"];
    let ran = debugged(user, &program, &commands, &["t"]);
    let out = ran.out();
    for word in ["hit Breakpoint 1, thread (arg=", "Thread 1 (", "Thread 2 (", "joined", "exited normally"] {
        ran.check(out.contains(word), format_args!("no {word}"));
    }
    let ran = debugged(user, &program, &["set non-stop on", "break thread", "run", "info threads", "kill"], &["t"]);
    ran.check(ran.out().contains("hit Breakpoint 1, thread (arg="), "one alone stops");
});

both!(gdb_watches_without_hardware_and_steps_far, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled(&scratch, "debugged", DEBUGGED, &[]).expect("gcc");
    let commands = ["set can-use-hw-watchpoints 0", "break work", "run", "watch counter", "c", "c", "delete", "c"];
    let ran = debugged(user, &program, &commands, &[]);
    for word in ["Watchpoint 2: counter", "Old value = 1", "New value = 2", "sum 45", "exited normally"] {
        ran.check(ran.out().contains(word), format_args!("no {word}"));
    }
    let commands =
        ["break main", "run", "hbreak work", "c", "delete", "stepi 200", "printf \"at %d\\n\", counter", "c"];
    let ran = debugged(user, &program, &commands, &[]);
    for word in ["Hardware assisted breakpoint 2", "Breakpoint 2, work (n=10)", "at 9", "sum 45", "exited normally"] {
        ran.check(ran.out().contains(word), format_args!("no {word}"));
    }
});

both!(gdb_follows_a_vfork_into_its_program, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let scratch = Scratch::new(user);
    let program = compiled(&scratch, "debugged", DEBUGGED, &[]).expect("gcc");
    let ran = debugged(user, &program, &["set follow-fork-mode child", "catch exec", "run", "c"], &["v"]);
    for word in ["Catchpoint 1 (exec'd", "exited with code 07"] {
        ran.check(ran.out().contains(word), format_args!("no {word}"));
    }
});

both!(gdb_writes_a_core, |user| {
    if !installed("gdb") {
        skip!("gcore is not installed (apt-get install gdb)");
    }
    let script = "sleep 100 & p=$!; cd /tmp; gcore -o core $p; test -s core.$p && echo written; \
                  kill $p; wait $p; echo ended $?";
    let ran = emulated(run(["sh", "-c", script])).as_user(user).go();
    for word in ["Saved corefile core.", "written", "ended 143"] {
        ran.check(ran.out().contains(word), format_args!("no {word}"));
    }
});

both!(python_tells_where_it_fails, |user| {
    if !installed("python3") {
        skip!("python3 is not installed (apt-get install python3)");
    }
    // By signals, under a tracer of the guest's own and without.
    let program = ["python3", "-X", "faulthandler", "-c", "import ctypes; ctypes.string_at(0)"];
    for tracer in [&[][..], &["strace", "-f", "-qq", "-e", "trace=none", "-o", "/dev/null"]] {
        if !tracer.is_empty() && !installed("strace") {
            skip!("strace is not installed (apt-get install strace)");
        }
        let ran = emulated(run(tracer.iter().chain(&program))).as_user(user).go();
        for word in ["Fatal Python error: Segmentation fault", "in string_at"] {
            ran.check(ran.err().contains(word), format_args!("no {word}"));
        }
    }
});

// A thread is killed in its fork, with its child just made, by an exec or the end of its process: the child stands in its first stop, which nobody tells of.
both!(children_of_threads_that_end_in_their_fork_go_on, |user| {
    let rounds = |run: Run| run.as_user(user).patience(std::time::Duration::from_secs(250)).go();
    for mode in ["emulate", "native"] {
        let ran = rounds(run(["orphans", "20"]).option("--engine", "ptrace").option("--guest-ptrace", mode));
        ran.expect_exit(0).expect_stdout("20 rounds\n");
    }
    if !installed("strace") {
        skip!("strace is not installed (apt-get install strace)");
    }
    // Whoever is made so is its tracer's too.
    let program = guest("orphans");
    let dir = program.parent().expect("a directory");
    let words = ["strace", "-f", "-qq", "-e", "trace=none", "-o", "/dev/null"].map(std::ffi::OsStr::new);
    let words = words.into_iter().chain([program.as_os_str(), "8".as_ref()]);
    let ran = rounds(emulated(run(words)).option("--read", dir).option("--exec", dir));
    ran.expect_exit(0).expect_stdout("8 rounds\n");
});

both!(gdb_attaches_and_lets_go, |user| {
    if !installed("gdb") {
        skip!("gdb is not installed (apt-get install gdb)");
    }
    let script = "sleep 100 & p=$!; sleep 0.2; gdb -nx -batch -p $p -ex 'info registers rip' -ex detach; \
                  kill -0 $p && echo lives; kill $p; wait $p; echo ended $?";
    let ran = emulated(run(["sh", "-c", script])).as_user(user).go();
    let out = ran.out();
    for word in ["rip  ", "detached]", "lives", "ended 143"] {
        ran.check(out.contains(word), format_args!("no {word}"));
    }
});

both!(sanitizers_find_leaks, |user| {
    const LEAK: &str = "#include <stdlib.h>\nint main(void) { volatile char *p = malloc(1234); p = 0; return 0; }\n";
    let scratch = Scratch::new(user);
    for (compiler, flag) in
        ["gcc", "clang"].into_iter().flat_map(|name| [(name, "-fsanitize=address"), (name, "-fsanitize=leak")])
    {
        let Some(program) = compiled_by(compiler, &scratch, "leaks", LEAK, &[flag]) else {
            skip!("{compiler} has no {flag}");
        };
        let dir = program.parent().expect("a directory");
        let ran = emulated(run([&program])).option("--read", dir).option("--exec", dir).as_user(user).go();
        ran.check(ran.err().contains("1234 byte(s) leaked in 1 allocation(s)"), format_args!("{compiler} {flag}"));
    }
});

both!(a_call_that_a_guests_tracer_rewrites_is_filtered_again, |user| {
    // The control: without the rule it is made.
    let free = emulated(run(["ptracerewrite"])).as_user(user).go();
    free.expect_stdout("mkdir OK\n");
    let profile = "[syscalls]\ndeny = [\"mkdir\"]\n";
    let made = emulated(run(["ptracerewrite"])).as_user(user).work_file("p.toml", profile).profile("@WORK/p.toml").go();
    made.expect_stdout("mkdir EPERM\n");
});

both!(what_cannot_be_is_refused_with_reason_and_cure, |user| {
    let ran = tipstaff_command(["explain", "--engine", "notify", "--guest-ptrace", "emulate"]).as_user(user).go();
    ran.check(ran.code() != 0 && ran.err().contains("--engine ptrace"), "the cure");
    let ran = tipstaff_command(["explain", "--engine", "ptrace"]).as_user(user).go();
    ran.expect_exit(0)
        .check(ran.out().contains("guests' ptrace(2) is emulated"), "native becomes emulate, and it is told");
    // The control of all others: denied it is refused.
    let denied = run(["traceme"]).option("--engine", "ptrace").option("--guest-ptrace", "deny").as_user(user).go();
    denied.check(denied.out().contains("EPERM") || denied.code() != 0, "ptrace is denied");
    let _ = guest("traceme");
});
