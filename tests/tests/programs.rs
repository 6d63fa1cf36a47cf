//! Real programs under the presets that are made for them.
use std::path::Path;

use tipstaff_testkit::{Scratch, User, plain, run};

use crate::both;

/// Is `program` installed, so that this user can run it outside a box?
fn installed(program: &str, user: User) -> bool {
    plain(["/bin/sh", "-c", &format!("command -v {program} >/dev/null")]).as_user(user).go().code() == 0
}

macro_rules! needs {
    ($program:expr, $user:expr) => {
        if !installed($program, $user) {
            tipstaff_testkit::skip!("{} is not installed", $program);
        }
    };
}

both!(python, |user| {
    needs!("python3", user);
    let source = "import json, subprocess, threading, tempfile, sys\n\
        t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n\
        print(subprocess.run(['echo', 'child'], capture_output=True, text=True).stdout.strip())\n\
        with tempfile.TemporaryFile() as f: f.write(b'x')\n\
        print(json.dumps(sorted([3, 1, 2]))); sys.exit(4)\n";
    let ran = run(["python3", "@WORK/x.py"])
        .profile("python")
        .option("--read", "@WORK")
        .work_file("x.py", source)
        .as_user(user)
        .go();
    ran.expect_exit(4).expect_verdict("nonzero_exit").expect_stdout("thread\nchild\n[1, 2, 3]\n");
});

both!(python_under_exact_limits, |user| {
    needs!("python3", user);
    let boxed = |code: &str| {
        run(["python3", "-c", code]).profile("python").memory("128MiB").cpu("1s").wall("20s").as_user(user).go()
    };
    boxed("print('fine')").expect_ok().expect_stdout("fine\n");
    boxed("x = bytearray(400 << 20)").expect_verdict("memory_limit").expect_exit(122);
    boxed("while True: pass").expect_verdict("time_limit").expect_exit(124);
});

both!(node, |user| {
    needs!("node", user);
    let ran = run(["node", "-e", "setTimeout(() => console.log([1, 2, 3].map(x => x * 2).join()), 10)"])
        .profile("node")
        .as_user(user)
        .go();
    ran.expect_ok().expect_stdout("2,4,6\n");
});

both!(java, |user| {
    needs!("javac", user);
    let source = "class Hello { public static void main(String[] a) throws Exception { \
        Thread t = new Thread(() -> System.out.println(\"thread\")); t.start(); t.join(); } }";
    let scratch = Scratch::new(user);
    scratch.file("Hello.java", source);
    // The compiler and the virtual machine both: many threads, big reservations.
    let boxed = |words: &[&str]| {
        run(words)
            .profile("build")
            .cwd(scratch.path())
            .option("--write", scratch.path())
            .option("--cwd", scratch.path())
            .as_user(user)
            .go()
    };
    boxed(&["javac", "Hello.java"]).expect_ok();
    boxed(&["java", "-cp", ".", "Hello"]).expect_ok().expect_stdout("thread\n");
});

both!(go, |user| {
    needs!("go", user);
    let scratch = Scratch::new(user);
    scratch.file(
        "main.go",
        "package main\nimport \"fmt\"\nfunc main() { c := make(chan int); go func() { c <- 7 }(); fmt.Println(<-c) }\n",
    );
    let program = scratch.join("main");
    let build =
        plain(["go", "build", "-o"]).arg(&program).arg(scratch.join("main.go")).env("GOCACHE", scratch.join("cache"));
    build.cwd(scratch.path()).as_user(user).go().expect_exit(0);
    let ran = run([&program])
        .profile("judge")
        .option("--read", scratch.path())
        .option("--exec", scratch.path())
        .as_user(user)
        .go();
    ran.expect_ok().expect_stdout("7\n");
});

both!(a_c_program_from_source_to_verdict, |user| {
    let scratch = Scratch::new(user);
    scratch.file("a.c", "#include <stdio.h>\nint main(void) { puts(\"compiled\"); return 0; }\n");
    let dir = scratch.path();
    let compiled = run(["gcc", "-o", "a", "a.c"])
        .profile("build")
        .cwd(dir)
        .option("--write", dir)
        .option("--cwd", dir)
        .as_user(user)
        .go();
    compiled.expect_ok();
    // No rule names the program: that it was asked for is enough.
    run([&scratch.join("a")]).profile("judge").cwd(dir).as_user(user).go().expect_ok().expect_stdout("compiled\n");
});

both!(a_compiler_reads_no_secrets, |user| {
    // J4: the source asks for files of the machine.
    let scratch = Scratch::new(user);
    let secret = Scratch::new(user);
    let path = secret.file("secret.h", "#error the-secret\n");
    scratch.file("a.c", format!("#include \"{}\"\nint main(void) {{ return 0; }}\n", path.display()));
    let dir = scratch.path();
    let boxed = || {
        run(["gcc", "-o", "a", "a.c"])
            .profile("build")
            .cwd(dir)
            .option("--write", dir)
            .option("--cwd", dir)
            .as_user(user)
    };
    let ran = boxed().go();
    ran.check(ran.code() != 0 && !ran.err().contains("the-secret"), "the compiler read it");
    let control = boxed().option("--read", secret.path()).go();
    control.check(control.err().contains("the-secret"), "positive control: with a rule it is read");
});

both!(a_shell_pipeline, |user| {
    let script = "seq 1 100000 | grep 7 | sort -rn | head -n 1 | tr 9 8; exit ${PIPESTATUS[0]:-0}";
    run(["/bin/sh", "-c", script]).as_user(user).go().check(true, "").expect_stdout("88887\n");
});

both!(a_script_by_its_interpreter_line, |user| {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new(user);
    let script = scratch.file("script", "#!/bin/sh -e\necho \"$0\" \"$@\"\nfalse\necho never\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("own file");
    let ran =
        run([&script]).arg("a b").option("--read", scratch.path()).option("--exec", scratch.path()).as_user(user).go();
    ran.expect_exit(1);
    ran.check(ran.out().ends_with("script a b\n"), "arguments of the script");
});

both!(a_program_found_in_path, |user| {
    run(["true"]).as_user(user).go().expect_ok();
    run(["sh", "-c", "exit 3"]).as_user(user).go().expect_exit(3);
    assert!(Path::new("/bin/true").exists(), "what the tests take for granted");
});

both!(dynamic_guests_run_too, |user| {
    let program = tipstaff_testkit::guest_dynamic("exit");
    run([&program]).arg("9").option("--exec", program.parent().expect("dir")).as_user(user).go().expect_exit(9);
});
