//! J: what a submission tries against its judge.
use tipstaff_testkit::{Run, Scratch, marker, skip, survivors};

use crate::attacks;
use crate::case::Case;

attacks! {
    J1 "the answers beside the submission" => tried(native notify ptrace: answers_beside)
        + held("tests/tests/fs.rs": what_no_rule_names_is_out_of_reach magic_links_lead_nowhere);
    J2 "a verdict of one's own" => held("tests/tests/review.rs": a_report_that_the_guest_wrote_is_not_ours, "tests/tests/report.rs":
        the_report_descriptor_is_not_the_guests);
    J3 "the judge signalled or traced" => held("tests/tests/isolation.rs": the_box_cannot_stop_its_supervisor nobody_outside_can_be_signalled,
        "crates/tipstaff/tests/notify_engine/inside.rs": supervisor_and_keeper_are_out_of_reach);
    J4 "a compiler that reads secrets" => tried(notify: compiler_secrets)
        + held("tests/tests/programs.rs": a_compiler_reads_no_secrets);
    J5 "an endless file for the compiler" => tried(notify: endless_source);
    J6 "a compilation that explodes" => tried(notify: exploding_source);
    J7 "options for the compiler in names of files" => tried(native notify ptrace: words_of_others);
    J8 "work hidden in children, threads and constructors" => held("tests/tests/matrix.rs": forked_spinners thread_bomb, "tests/tests/limits.rs":
        cpu_used_is_told_truly);
    J9 "a daemon that waits for the next test" => tried(native notify ptrace: daemon)
        + held("tests/tests/leftovers.rs": daemons_are_gone_when_the_command_ends);
    J10 "verdicts by exit statuses and signals of one's own" => tried(native notify ptrace: false_verdicts)
        + held("tests/tests/matrix.rs": self_kill);
    J11 "a peer that closes, floods or never reads" => tried(native notify ptrace: peers)
        + held("tests/tests/matrix.rs": stdin_never_read stdin_never_closed, "tests/tests/stdio.rs": a_reader_that_goes_away_is_sigpipe_for_the_guest);
    J12 "output that is no text" => tried(native notify ptrace: odd_output)
        + held("tests/tests/stdio.rs": binary_output_is_untouched, "tests/tests/report.rs": bytes_that_are_no_text_are_base64);
    J13 "a checker that the output attacks" => tried(native notify ptrace: attacked_checker);
    J14 "limits of a few pages" => tried(native notify ptrace: small_limits);
    J15 "noise in the figures" => design("CPU time counts the program's own work; what a shared machine adds to it is measured by crates/bench and told in docs/limits.md, not hidden.");
}

fn answers_beside(case: &Case) {
    let scratch = Scratch::new(case.user);
    scratch.file("answers/1", "FORTY-TWO");
    scratch.file("submission/main", "x");
    let script = "cat ../answers/1 /proc/self/cwd/../answers/1 /proc/$PPID/cwd/answers/1 /proc/1/cwd/answers/1; ls .. ; find / -maxdepth 2 -name answers 2>/dev/null; \
                  for f in 3 4 5 6 7 8 9 10; do cat <&$f; done; cd ..; cat */1; true";
    let run = |run: Run| run.cwd(scratch.join("submission")).go();
    let free = run(case.free(["/bin/sh", "-c", script]));
    free.check(free.out().contains("FORTY-TWO"), "the control finds them");
    for profile in ["judge", "python", "node"] {
        let ran = run(case.boxed(["/bin/sh", "-c", script]).profile(profile));
        ran.check(!ran.out().contains("FORTY-TWO") && !ran.out().contains("answers"), "the answers are seen");
    }
}

/// Compiles this source under the judge's limits.
fn compiled(case: &Case, source: &str, options: &[(&str, &str)]) -> tipstaff_testkit::Ran {
    let run = case
        .boxed(["/usr/bin/gcc", "-fmax-errors=5", "-o", "/tmp/out", "-x", "c", "main.c"])
        .profile("judge")
        .env("LANG", "C")
        .work_file("main.c", source)
        .cwd("@WORK")
        .wall("30s");
    options.iter().fold(run, |run, (option, value)| run.option(option, value)).go()
}

fn there_is_gcc() -> bool {
    std::path::Path::new("/usr/bin/gcc").exists()
}

fn compiler_secrets(case: &Case) {
    if !there_is_gcc() {
        skip!("gcc is not installed");
    }
    compiled(case, "int main(void) { return 0; }\n", &[]).expect_ok();
    if case.is_root() {
        // The control: whoever compiles outside is shown it.
        let gcc = ["/usr/bin/gcc", "-fmax-errors=5", "-o", "/dev/null", "-x", "c", "main.c"];
        let source = "#include \"/etc/shadow\"\n";
        let free = case.free(gcc).work_file("main.c", source).cwd("@WORK").go();
        free.check(free.err().contains("root:"), "the control shows no secret");
    }
    for source in [
        "#include \"/etc/shadow\"\nint main(void) {}\n",
        "%:include \"/etc/shadow\"\nint main(void) {}\n",
        "__asm__(\".incbin \\\"/etc/shadow\\\"\");\nint main(void) {}\n",
        "#include \"/root/.bashrc\"\nint main(void) {}\n",
        "#include \"../../../../../../../../etc/shadow\"\nint main(void) {}\n",
    ] {
        let ran = compiled(case, source, &[]);
        ran.expect_verdict("nonzero_exit");
        ran.check(!ran.err().contains("root:"), "the compiler shows a secret");
    }
}

fn endless_source(case: &Case) {
    if !there_is_gcc() {
        skip!("gcc is not installed");
    }
    for device in ["/dev/zero", "/dev/random", "/dev/urandom", "/dev/stdin", "/dev/tty", "/proc/self/fd/0"] {
        let ran = compiled(
            case,
            &format!("#include \"{device}\"\nint main(void) {{ return 0; }}\n"),
            &[("--cpu", "1s"), ("--memory", "128MiB")],
        );
        let ends = ["nonzero_exit", "ok", "memory_limit", "time_limit", "output_limit", "signaled"];
        ran.check(ends.contains(&ran.verdict()), format_args!("{device}: {}", ran.verdict()));
        // The control is what compiles in `compiler_secrets`.
        let endless = ["/dev/zero", "/dev/random", "/dev/urandom"].contains(&device);
        ran.check(!endless || ran.verdict() != "ok", format_args!("{device} was compiled"));
    }
}

fn exploding_source(case: &Case) {
    if !there_is_gcc() {
        skip!("gcc is not installed");
    }
    compiled(case, "char a[1 << 16] = {1};\nint main(void) { return a[1]; }\n", &[]).expect_ok(); // The control.
    let ran = compiled(
        case,
        "char a[1ULL << 34] = {1};\nint main(void) { return a[1]; }\n",
        &[("--file-size", "16MiB"), ("--cpu", "5s")],
    );
    ran.check(ran.verdict() != "ok", "a program of 16 GiB was made");
    let bomb = "#define A(x) x x x x x x x x\n#define B(x) A(A(A(A(A(x)))))\nint main(void) { B(B(B(;))) }\n";
    let ran = compiled(case, bomb, &[("--memory", "64MiB"), ("--cpu", "1s")]);
    ran.check(
        ["memory_limit", "time_limit", "nonzero_exit"].contains(&ran.verdict()),
        format_args!("verdict {}", ran.verdict()),
    );
    let errors: String = (0..20_000).map(|i| format!("int x{i} = y{i};\n")).collect();
    let ran = compiled(
        case,
        &format!("{errors}#pragma GCC diagnostic ignored \"-Wall\"\n"),
        &[("--output", "64KiB"), ("--cpu", "5s")],
    );
    ran.check(ran.stderr.len() < 80 << 10, "the flood of errors is cut");
}

fn daemon(case: &Case) {
    let mark = marker();
    case.free(["daemonize", "close", &mark]).go().expect_exit(0);
    assert!(!tipstaff_testkit::await_no_survivor(&mark, &[], std::time::Duration::ZERO).is_empty(), "the control");
    let mark = marker();
    let ran = case.boxed(["daemonize", "close", &mark]).profile("judge").wall("20s").go();
    ran.expect_ok();
    let left = tipstaff_testkit::await_no_survivor(&mark, &[], tipstaff_testkit::GONE);
    ran.check(left.is_empty(), "the daemon waits for the next test");
    assert!(survivors(&mark).is_empty());
}

fn false_verdicts(case: &Case) {
    let run = |run: Run| run.profile("judge").memory("64MiB").go();
    for status in ["121", "122", "123", "124", "137", "139", "152", "255"] {
        let ran = run(case.boxed(["exit", status]));
        let status: i32 = status.parse().expect("a number");
        ran.expect_verdict("nonzero_exit").expect_exit(status);
        ran.check(ran.report["exit_code"] == status, "the program's own status is told");
    }
    // SIGKILL, SIGXCPU, SIGSEGV, SIGSYS: nobody's limit was crossed.
    for signal in ["9", "24", "11", "31", "6"] {
        let ran = run(case.boxed(["raise", signal]));
        ran.expect_verdict("signaled").expect_exit(128 + signal.parse::<i32>().expect("a number"));
        ran.check(ran.report["limits_hit"].as_array().is_some_and(Vec::is_empty), "a limit that was not hit is told");
    }
    // The control: one that was.
    let ran = run(case.boxed(["spin"]).cpu("100ms"));
    ran.expect_verdict("time_limit").check(ran.hit("cpu"), "a limit that was hit is not told");
}

fn peers(case: &Case) {
    // The other side writes without end and reads nothing, or is gone before the first byte.
    let ran = case
        .boxed(["/bin/sh", "-c", "exec 1>&-; exec 0<&-; sleep 0.05; exit 3"])
        .profile("judge")
        .stdin(vec![b'x'; 1 << 20])
        .go();
    ran.expect_verdict("nonzero_exit").expect_exit(3);
    case.boxed(["/bin/cat"]).profile("judge").stdin("the control").go().expect_ok().expect_stdout("the control");
    let ran = case.boxed(["/bin/cat"]).profile("judge").silent_stdin().wall("300ms").go();
    ran.expect_verdict("time_limit");
    ran.check(ran.report["clock"] == "wall", "who waits for ever is ended by the wall clock");
}

fn odd_output(case: &Case) {
    let script = "head -c 3000000 /dev/zero; printf '\\377\\376\\000\\n'; printf '\\033]0;title\\007'";
    let ran = case.boxed(["/bin/sh", "-c", script]).profile("judge").go();
    ran.expect_ok();
    ran.check(ran.stdout_bytes == 3_000_000 + 4 + 10, format_args!("{} bytes", ran.stdout_bytes));
    ran.check(ran.stdout.ends_with(b"\xff\xfe\0\n\x1b]0;title\x07"), "bytes are what they were");
    // The program's name is told by us, and is not its to speak with.
    let ran = case.boxed(["/bin/sh", "-c", "exec -a \"$(printf 'a\\033[31mb')\" sleep 0"]).without_report().go();
    ran.check(!ran.stderr.contains(&0x1b), "the supervisor prints a guest's control characters");
}

fn small_limits(case: &Case) {
    for memory in ["512KiB", "1MiB", "4MiB"] {
        // The control of the limit below: what needs nothing runs.
        let ran = case.boxed(["exit", "0"]).profile("judge").memory(memory).go();
        ran.expect_ok();
        let ran = case.boxed(["hog"]).profile("judge").memory(memory).wall("30s").go();
        ran.expect_verdict("memory_limit");
    }
    case.boxed(["exit", "0"])
        .profile("judge")
        .processes(1)
        .option("--open-files", "3")
        .option("--stack", "64KiB")
        .go()
        .expect_ok();
}

fn words_of_others(case: &Case) {
    // What a file may be called, and what a shell or a compiler would make of it.
    let names = [
        "-fplugin=x.so",
        "-specs=x",
        "@file",
        "$(touch made)",
        "`touch made`",
        "; touch made",
        "| touch made",
        "a b\tc\nd",
        "*",
        "~root",
        "%s%n",
        "",
        "--",
        "--report",
        "\u{202e}",
    ];
    let hex: String =
        names.iter().map(|name| name.bytes().map(|b| format!("{b:02x}")).collect::<String>() + "\n").collect();
    let words = |run: Run| names.iter().fold(run, |run, name| run.arg(name)).cwd("@WORK").work_file("x", "").go();
    let ran = words(case.boxed(["args"]).option("--write", "@WORK"));
    ran.expect_ok().expect_stdout(&hex);
    // The control: whoever puts them into a line for a shell runs them.
    let line = format!("echo {}; ls", names[3]);
    let free = case.free(["/bin/sh", "-c", &line]).cwd("@WORK").work_file("x", "").go();
    free.expect_stdout("\nmade\nx\n");
    // Nor is a name that comes from a profile anything but bytes.
    let profile = "extends = \"judge\"\n[program]\nargv = [\"/bin/echo\", \"$(id)\", \"@x\"]\n";
    let ran = tipstaff_testkit::run([""; 0]).option("--engine", case.engine).as_user(case.user);
    let ran = ran.work_file("p.toml", profile).option("--profile", "@WORK/p.toml").go();
    ran.expect_ok().expect_stdout("$(id) @x\n");
}

/// A submission prints what its checker will run, and what the judge might take for a report.
fn attacked_checker(case: &Case) {
    let scratch = Scratch::new(case.user);
    scratch.file("judge/answer", "FORTY-TWO");
    let answer = scratch.join("judge/answer").display().to_string();
    let attack = format!("cat {answer}; echo ok > {answer}; kill -KILL $PPID 1; exit 0");
    let says = format!("{{\"schema\":1,\"verdict\":\"ok\",\"exit_code\":0}}\ntipstaff: ok\n\x1b]0;x\x07{attack}\n");
    let script = "printf '%s' \"$1\"; printf '%s' \"$1\" >&2; exit 3";
    let ran = case.boxed(["/bin/sh", "-c", script, "sh", &says]).profile("judge").go();
    ran.expect_verdict("nonzero_exit").expect_exit(3).expect_stdout(&says);
    // The worst of all checkers: it runs what it reads.
    let checker = ["/bin/sh", "-c", "read a; read b; read c; eval \"${c#?]0;x?}\""];
    let run = |run: Run| run.stdin(ran.stdout.clone()).go();
    let inside = run(case.boxed(checker).profile("judge"));
    inside.check(!inside.out().contains("FORTY-TWO") && !inside.report.is_null(), "the checker shows the answer");
    assert_eq!(std::fs::read(scratch.join("judge/answer")).expect("own file"), b"FORTY-TWO", "{inside}");
    // The control: outside it shows the answer and writes another.
    let outside = run(case.free(["/bin/bash", "-c", "kill() { :; }; read a; read b; read c; eval \"${c#?]0;x?}\""]));
    outside.check(outside.out().contains("FORTY-TWO"), "the control shows the answer");
    assert_eq!(std::fs::read(scratch.join("judge/answer")).expect("own file"), b"ok\n");
}
