//! `--memory-account exact`: requests for memory that do not fit fail with ENOMEM, and nothing else does.
use serde_json::Value;
use tipstaff_testkit::{Machine, Ran, Run, Scratch, User, Without, plain, run, skip};

use crate::{both, full_drill};

/// Bytes in a mebibyte.
const MIB: u64 = 1 << 20;

fn asks(kind: &str, mib: u64, code: u64) -> Run {
    run(["account", kind, &mib.to_string(), &code.to_string()]).memory("64MiB").wall("60s")
}

fn exact(run: Run, user: User, machine: Machine) -> Ran {
    run.option("--memory-account", "exact").as_user(user).on(machine).go()
}

/// With control groups, without, and without namespaces as well.
fn everywhere(user: User, check: impl Fn(Machine)) {
    for machine in [Machine::Full, Without::Cgroup.into(), Without::UserNamespace.into()] {
        if machine.unavailable(user).is_none() {
            check(machine);
        }
    }
}

fn hit(ran: &Ran) -> &Value {
    let hits = ran.report["limits_hit"].as_array();
    hits.and_then(|hits| hits.iter().find(|hit| hit["limit"] == "memory")).unwrap_or(&Value::Null)
}

/// What fits is given; what does not is refused, and that is the verdict, however the program takes it.
fn kind_is_refused(kind: &str, user: User) {
    everywhere(user, |machine| {
        exact(asks(kind, 40, 7), user, machine).expect_ok().expect_stdout("OK\n");
        let much = if kind == "kept" { 100 } else { 256 };
        let over = exact(asks(kind, much, 7), user, machine);
        over.expect_verdict("memory_limit").expect_exit(122);
        over.check(over.report["exit_code"] == 7, "the program ended by itself");
        let out = over.out();
        let got = out.strip_suffix(" ENOMEM\n").and_then(|mib| mib.parse::<u64>().ok());
        let least = if ["allocator", "stepwise"].contains(&kind) { 58 } else { 0 };
        over.check(got.is_some_and(|mib| (least..64).contains(&mib)), "it was refused at the limit");
        over.check(hit(&over)["limit_value"] == 64 * MIB, "the hit names the limit");
        over.check(
            hit(&over)["observed"].as_u64().is_some_and(|bytes| bytes > 64 * MIB),
            "and what it would have been",
        );
        let handled = exact(asks(kind, much, 0), user, machine);
        handled.expect_verdict("memory_limit").expect_exit(122);
        handled.check(handled.out() == out && handled.report["exit_code"] == 0, "the same, also for who can go on");
        handled.check(hit(&handled)["limit_value"] == 64 * MIB, "and the event");
        exact(asks(kind, much, 7).memory("400MiB"), user, machine).expect_ok().expect_stdout("OK\n");
    });
}

macro_rules! kinds {
    ($($kind:ident)*) => {
        mod kinds {
            $(mod $kind {
                use tipstaff_testkit::{Machine, User, skip};

                #[test]
                fn root() {
                    if let Some(why) = Machine::Full.unavailable(User::Root) {
                        skip!("{why}");
                    }
                    super::super::kind_is_refused(stringify!($kind), User::Root);
                }

                #[test]
                fn ordinary() {
                    super::super::kind_is_refused(stringify!($kind), User::Ordinary);
                }
            })*
        }
    };
}

kinds! { anonymous shared devzero file truncated allocated larger kept writable grown allocator stepwise }

both!(what_is_only_reserved_is_no_use, |user| {
    everywhere(user, |machine| {
        let ran = exact(asks("reserved", 1024, 7), user, machine);
        ran.expect_ok().expect_stdout("OK\n").check(hit(&ran).is_null(), "nothing was refused");
    });
});

both!(what_is_given_back_can_be_had_again, |user| {
    everywhere(user, |machine| {
        let ran = exact(asks("partial", 48, 7), user, machine);
        ran.expect_verdict("memory_limit").expect_stdout("OK\n").check(ran.report["exit_code"] == 0, "it went on");
    });
});

both!(memory_that_two_processes_share_whole_is_there_once, |user| {
    everywhere(user, |machine| {
        // A child of vfork(2) that takes its time.
        asks("vforked", 40, 7).as_user(user).on(machine).go().expect_ok().expect_stdout("OK\n");
        asks("vforked", 70, 7).as_user(user).on(machine).go().expect_verdict("memory_limit");
    });
});

both!(nothing_drifts, |user| {
    let (pairs, crashes) = if full_drill() { (100_000, 10_000) } else { (5_000, 200) };
    for (kind, times) in [("pairs", pairs), ("crashes", crashes)] {
        let ran = exact(asks(kind, times, 7).wall("300s"), user, Machine::Full);
        ran.expect_ok().expect_stdout("OK\n").check(hit(&ran).is_null(), "nothing was refused");
    }
});

both!(a_fork_copies_the_account_and_an_exec_resets_it, |user| {
    everywhere(user, |machine| {
        // The child is refused 8 MiB beside two times 40, and its end gives them back.
        let refused = exact(asks("forked", 40, 7), user, machine);
        refused.expect_verdict("memory_limit").expect_stdout("copy 7\nOK\nOK\n");
        exact(asks("forked", 40, 7).memory("128MiB"), user, machine).expect_ok().expect_stdout("copy 0\nOK\nOK\n");
    });
});

both!(racing_threads_get_no_more_than_there_is, |user| {
    everywhere(user, |machine| {
        for _ in 0..3 {
            let ran = exact(asks("race", 0, 0), user, machine);
            ran.expect_verdict("memory_limit");
            let got = ran.out().strip_suffix(" ENOMEM\n").and_then(|mib| mib.parse::<u64>().ok());
            ran.check(got.is_some_and(|mib| (50..64).contains(&mib)), "all of the limit, and not more");
        }
    });
});

both!(segments_whose_size_nobody_sees_are_absent, |user| {
    let ran = exact(run(["memhog", "sysv_attached", "4", "0"]).memory("64MiB"), user, Machine::Full);
    ran.expect_exit(3).expect_stdout("0 ENOSYS\n");
    plain(["memhog", "sysv_attached", "4", "0"]).as_user(user).go().expect_exit(0).expect_stdout("OK\n");
});

both!(what_passes_the_account_is_killed, |user| {
    // Reserved, and then used: nobody was asked.
    let ran = exact(run(["memhog", "tables", "256", "1000"]).memory("64MiB").wall("30s"), user, Machine::Full);
    ran.expect_verdict("memory_limit").check(ran.report["exit_code"].is_null(), "killed");
});

both!(without_the_engine_it_is_refused_or_weakened, |user| {
    let ran = exact(run(["true"]).memory("64MiB").option("--engine", "native"), user, Machine::Full);
    ran.expect_exit(125);
    ran.check(ran.err().contains("limits.memory_account"), "the rule is named");
    let weak =
        exact(run(["true"]).memory("64MiB").option("--engine", "native").flag("--best-effort"), user, Machine::Full);
    weak.expect_ok();
    let rules = weak.report["enforcement"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = rules.iter().any(|rule| {
        rule["rule"].as_str().is_some_and(|rule| rule.contains("memory_account")) && rule["level"] == "weakened"
    });
    weak.check(told, "and weakened it is told");
    // Without a limit nothing can be too much.
    exact(run(["true"]).memory("unlimited").option("--engine", "native"), user, Machine::Full).expect_ok();
});

/// Runtimes reserve far more than they use: they start under 256 MiB.
fn starts(words: &[&str], user: User, output: &str) {
    if plain(["/bin/sh", "-c", &format!("command -v {} >/dev/null", words[0])]).as_user(user).go().code() != 0 {
        skip!("{} is not installed", words[0]);
    }
    everywhere(user, |machine| {
        let ran = exact(run(words).memory("256MiB").processes(128).wall("60s"), user, machine);
        ran.expect_ok().expect_stdout(output);
        ran.check(hit(&ran).is_null(), "nothing was refused");
    });
}

both!(node_starts, |user| starts(&["node", "-e", "console.log([1, 2, 3].map(x => x * 2).join())"], user, "2,4,6\n"));

both!(python_starts, |user| {
    // 40 stacks of 8 MiB.
    let source = "import threading, subprocess\n\
        e = threading.Event()\n\
        t = [threading.Thread(target=e.wait) for _ in range(40)]\n\
        [x.start() for x in t]; e.set(); [x.join() for x in t]\n\
        print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout, end='')\n";
    starts(&["python3", "-c", source], user, "child\n");
});

both!(java_starts, |user| {
    if plain(["/bin/sh", "-c", "command -v javac >/dev/null"]).as_user(user).go().code() != 0 {
        skip!("javac is not installed");
    }
    let scratch = Scratch::new(user);
    scratch.file(
        "Hello.java",
        "class Hello { public static void main(String[] a) { byte[][] b = new byte[40][];\n\
         for (int i = 0; i < 40; i++) b[i] = new byte[1 << 20]; System.out.println(\"hello\"); } }",
    );
    let built = plain(["javac", "-d"]).arg(scratch.path()).arg(scratch.join("Hello.java")).as_user(user);
    built.cwd(scratch.path()).go().expect_exit(0);
    everywhere(user, |machine| {
        let java = run(["java", "-cp"]).arg(scratch.path()).arg("Hello").option("--read", scratch.path());
        let ran = exact(java.memory("256MiB").processes(128).wall("60s"), user, machine);
        ran.expect_ok().expect_stdout("hello\n").check(hit(&ran).is_null(), "nothing was refused");
    });
});

both!(an_address_sanitizer_starts, |user| {
    let scratch = Scratch::new(user);
    let file = scratch.file(
        "main.c",
        "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts(malloc(10) ? \"x\" : \"y\"); return 0; }\n",
    );
    let program = scratch.join("main");
    let built = std::process::Command::new("gcc").args(["-fsanitize=address", "-o"]).arg(&program).arg(file).output();
    if !built.is_ok_and(|out| out.status.success()) {
        skip!("gcc has no address sanitizer");
    }
    everywhere(user, |machine| {
        let boxed = run([&program]).option("--read", scratch.path()).option("--exec", scratch.path());
        let boxed = boxed.option("--env", "ASAN_OPTIONS=detect_leaks=0");
        exact(boxed.memory("256MiB").processes(64).wall("60s"), user, machine).expect_ok().expect_stdout("x\n");
    });
});
