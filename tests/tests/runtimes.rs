//! Language runtimes reserve far more memory than they use: they start and run under a limit of what they use.
use std::process::Command;

use tipstaff_testkit::{Machine, Ran, Run, Scratch, User, Without, plain, run, skip};

/// Is `program` installed, so that this user can run it outside a box?
fn installed(program: &str, user: User) -> bool {
    plain(["/bin/sh", "-c", &format!("command -v {program} >/dev/null")]).as_user(user).go().code() == 0
}

/// With control groups, without, and without namespaces as well.
fn everywhere(user: User, check: impl Fn(Machine)) {
    for machine in [Machine::Full, Without::Cgroup.into(), Without::UserNamespace.into()] {
        if machine.unavailable(user).is_none() {
            check(machine);
        }
    }
}

fn limited(run: Run, user: User, machine: Machine) -> Ran {
    run.memory("256MiB").processes(64).wall("50s").as_user(user).on(machine).go()
}

macro_rules! runtime {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn root() {
                if !User::Root.available() {
                    skip!("the suite does not run as root");
                }
                let test: fn(User) = $test;
                test(User::Root);
            }

            #[test]
            fn ordinary() {
                let test: fn(User) = $test;
                test(User::Ordinary);
            }
        }
    };
}

runtime!(java, |user| {
    if !installed("javac", user) {
        skip!("javac is not installed");
    }
    let scratch = Scratch::new(user);
    let source = "class Hello { public static void main(String[] a) { System.out.println(\"hello\"); } }";
    scratch.file("Hello.java", source);
    let built = plain(["javac", "-d"]).arg(scratch.path()).arg(scratch.join("Hello.java")).as_user(user);
    built.cwd(scratch.path()).go().expect_exit(0);
    everywhere(user, |machine| {
        for options in [&[][..], &["-Xmx64m"]] {
            let java = run(["java"].iter().chain(options)).arg("-cp").arg(scratch.path()).arg("Hello");
            let ran = limited(java.option("--read", scratch.path()), user, machine);
            ran.expect_ok().expect_stdout("hello\n");
        }
    });
});

runtime!(node, |user| {
    if !installed("node", user) {
        skip!("node is not installed");
    }
    everywhere(user, |machine| {
        let node = run(["node", "-e", "console.log([1, 2, 3].map(x => x * 2).join())"]);
        limited(node, user, machine).expect_ok().expect_stdout("2,4,6\n");
    });
});

runtime!(python, |user| {
    if !installed("python3", user) {
        skip!("python3 is not installed");
    }
    let source = "import threading, subprocess\n\
        t = [threading.Thread(target=lambda: bytearray(1 << 20)) for _ in range(20)]\n\
        [x.start() for x in t]; [x.join() for x in t]\n\
        print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout, end='')\n";
    everywhere(user, |machine| {
        limited(run(["python3", "-c", source]), user, machine).expect_ok().expect_stdout("child\n");
    });
});

runtime!(go, |user| {
    if !installed("go", user) {
        skip!("go is not installed");
    }
    let scratch = Scratch::new(user);
    scratch.file(
        "main.go",
        "package main\nimport \"fmt\"\nfunc main() { c := make(chan int); go func() { c <- 7 }(); fmt.Println(<-c) }\n",
    );
    let program = scratch.join("main");
    let build = plain(["go", "build", "-o"]).arg(&program).arg(scratch.join("main.go"));
    build.env("GOCACHE", scratch.join("cache")).cwd(scratch.path()).as_user(user).go().expect_exit(0);
    everywhere(user, |machine| {
        let go = run([&program]).option("--read", scratch.path()).option("--exec", scratch.path());
        limited(go, user, machine).expect_ok().expect_stdout("7\n");
    });
});

/// A program that gcc builds with this sanitizer; None where it cannot.
fn sanitized(scratch: &Scratch, sanitizer: &str, source: &str) -> Option<std::path::PathBuf> {
    let file = scratch.file("main.c", source);
    let program = scratch.join("main");
    let flag = format!("-fsanitize={sanitizer}");
    let built = Command::new("gcc").args(["-g", "-O0", &flag, "-o"]).arg(&program).arg(file).output();
    built.is_ok_and(|out| out.status.success()).then_some(program)
}

runtime!(address_sanitizer, |user| {
    let scratch = Scratch::new(user);
    let source = "#include <stdio.h>\n#include <stdlib.h>\nint main(int c, char **v) { (void)v;\n\
        char *p = malloc(10); p[0] = 'x'; if (c > 1) p[10] = 'y'; printf(\"%c\\n\", p[0]); free(p); return 0; }\n";
    let Some(program) = sanitized(&scratch, "address", source) else { skip!("gcc has no address sanitizer") };
    everywhere(user, |machine| {
        let boxed = |program: Run| {
            limited(program.option("--read", scratch.path()).option("--exec", scratch.path()), user, machine)
        };
        // 20 TiB of address space are reserved.
        boxed(run([&program])).expect_ok().expect_stdout("x\n");
        // And the sanitizer works: it finds the error.
        let broken = boxed(run([&program]).arg("on"));
        broken.expect_verdict("nonzero_exit");
        broken.check(broken.err().contains("heap-buffer-overflow"), "the error is found");
    });
});

runtime!(leak_sanitizer, |user| {
    let scratch = Scratch::new(user);
    let source = "#include <stdio.h>\n#include <stdlib.h>\nvoid *volatile kept;\nint main(int c, char **v) { (void)v;\n\
        kept = malloc(77); if (c > 1) kept = NULL; puts(\"x\"); return 0; }\n";
    let Some(program) = sanitized(&scratch, "leak", source) else { skip!("gcc has no leak sanitizer") };
    everywhere(user, |machine| {
        let boxed = |program: Run| {
            limited(program.option("--read", scratch.path()).option("--exec", scratch.path()), user, machine)
        };
        boxed(run([&program])).expect_ok().expect_stdout("x\n");
        let leaking = boxed(run([&program]).arg("on"));
        leaking.check(leaking.err().contains("77 byte(s) leaked"), "the leak is found");
        leaking.expect_verdict("nonzero_exit");
    });
});
