//! Why programs failed: real situations, as strace showed them, in few events.

use tipstaff_abi::Arch;
use tipstaff_decode::Value;
use tipstaff_render::{What, Why};

use crate::samples::{Story, at_cwd, bytes, fd, flags};

fn told(story: &Story) -> Vec<String> {
    let mut out = Vec::new();
    story.tell(&mut Why::new(&mut out));
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[track_caller]
fn answer(story: &Story, expected: &str) {
    let lines = told(story);
    assert_eq!(lines[0], expected, "{lines:#?}");
}

fn program(argv: &[&str]) -> Story {
    let mut story = Story::default();
    story.exec(7, argv);
    start(&mut story, 7);
    story
}

/// What every program's start fails at.
fn start(story: &mut Story, pid: i32) {
    story.call(pid, "access", &[("pathname", bytes("/etc/ld.so.preload")), ("mode", flags(&["R_OK"]))], -2);
    story.open(pid, "/lib/glibc-hwcaps/x86-64-v3/libc.so.6", -2).open(pid, "/lib/libc.so.6", 3);
    story.open(pid, "/usr/lib/locale/C.UTF-8/LC_CTYPE", -2);
    story.call(pid, "ioctl", &[("fd", fd(1)), ("op", Value::Name("TCGETS")), ("argp", Value::Address(1))], -25);
}

/// A child that fails as cat does at a file that is not there.
fn cat_fails(story: &mut Story, pid: i32) {
    start(story, pid);
    story.open(pid, "/nope", -2).open(pid, "/usr/share/locale/C/LC_MESSAGES/libc.mo", -2);
    story
        .write(pid, 2, "cat: ")
        .write(pid, 2, "/nope")
        .write(pid, 2, ": No such file or directory")
        .write(pid, 2, "\n")
        .exits(pid, 1);
}

const NOPE: &str = r#"openat(AT_FDCWD, "/nope", O_RDONLY|O_CLOEXEC) failed with ENOENT (No such file or directory)"#;

#[test]
fn a_file_that_is_not_there() {
    let mut story = program(&["/bin/cat", "/nope"]);
    cat_fails(&mut story, 7);
    answer(&story, &format!("cat exited with status 1: {NOPE}"));
    assert_eq!(told(&story)[1], "  its last words on stderr: cat: /nope: No such file or directory");
}

#[test]
fn a_child_whose_status_a_shell_passes_on() {
    let mut story = program(&["/bin/sh", "-c", "cat /nope"]);
    story.fork(7, 8).exec(8, &["/bin/cat", "/nope"]);
    cat_fails(&mut story, 8);
    story.wait(7, 8).exits(7, 1);
    answer(&story, &format!("sh exited with status 1, because cat (pid 8) exited with status 1: {NOPE}"));
}

#[test]
fn a_child_whose_status_make_turns_into_its_own() {
    let mut story = program(&["/usr/bin/make"]);
    story.fork(7, 9).exec(9, &["/bin/true"]).exits(9, 0).wait(7, 9).fork(7, 8).exec(8, &["/bin/cat", "/nope"]);
    cat_fails(&mut story, 8);
    story.wait(7, 8).write(7, 2, "make: *** [Makefile:2: all] Error 1\n").exits(7, 2);
    answer(&story, &format!("make exited with status 2, most likely because cat (pid 8) exited with status 1: {NOPE}"));
}

#[test]
fn a_shell_that_fails_by_itself_after_its_child() {
    let mut story = program(&["/bin/sh", "-c", "ls /nope; exit 3"]);
    story.fork(7, 8).exec(8, &["/bin/ls", "/nope"]);
    cat_fails(&mut story, 8);
    story.wait(7, 8).exits(7, 3);
    answer(
        &story,
        "sh exited with status 3: no failing call explains it; a shell ends so by itself too (exit, false, test)",
    );
    assert!(told(&story).contains(&"  its child ls (pid 8) exited with status 1".to_owned()));
}

#[test]
fn a_later_complaint_of_the_parent_wins_over_an_earlier_child() {
    let mut story = program(&["/bin/sh"]);
    story.fork(7, 8).exec(8, &["/bin/cat", "/nope"]);
    cat_fails(&mut story, 8);
    story.wait(7, 8).call(7, "chdir", &[("path", bytes("/gone"))], -13);
    story.write(7, 2, "sh: 1: cd: can't cd to /gone: Permission denied\n").exits(7, 1);
    answer(&story, r#"sh exited with status 1: chdir("/gone") failed with EACCES (Permission denied)"#);
}

#[test]
fn a_search_that_ended_well_is_no_reason() {
    let mut story = program(&["/usr/bin/cc"]);
    story.open(7, "/usr/local/include/stdio.h", -2).open(7, "/usr/include/stdio.h", 3).open(7, "/src/mine.h", -2);
    story.write(7, 2, "x.c:1: fatal error: /src/mine.h: No such file or directory\nx.c includes stdio.h\n").exits(7, 1);
    answer(
        &story,
        r#"cc exited with status 1: openat(AT_FDCWD, "/src/mine.h", O_RDONLY|O_CLOEXEC) failed with ENOENT (No such file or directory)"#,
    );
}

#[test]
fn only_the_error_is_spoken_of() {
    let connect = |errno| {
        let address = Value::Struct(vec![
            ("sa_family", Value::Name("AF_INET")),
            ("sin_port", Value::Uint(80)),
            ("sin_addr", bytes("127.0.0.1")),
        ]);
        let mut story = program(&["/usr/bin/python3"]);
        story.open(7, "/opt/pyvenv.cfg", -2).call(7, "connect", &[("sockfd", fd(3)), ("addr", address)], errno);
        story.write(7, 2, "ConnectionRefusedError: [Errno 111] Connection refused\n").exits(7, 1);
        story
    };
    answer(
        &connect(-111),
        "python3 exited with status 1: connect(3, {sa_family=AF_INET, sin_port=80, sin_addr=\"127.0.0.1\"}) \
         failed with ECONNREFUSED (Connection refused)",
    );
    assert_eq!(told(&connect(-111))[1], "  nobody listens at that address");
    assert!(told(&connect(-101))[0].contains("perhaps connect("), "another error than the one that was spoken of");
}

#[test]
fn a_connection_that_fails_in_the_background() {
    let address = Value::Struct(vec![
        ("sa_family", Value::Name("AF_INET6")),
        ("sin6_port", Value::Uint(443)),
        ("sin6_addr", bytes("::1")),
    ]);
    let option = [
        ("sockfd", fd(5)),
        ("level", Value::Name("SOL_SOCKET")),
        ("optname", Value::Name("SO_ERROR")),
        ("optval", Value::List { items: vec![Value::Name("ECONNREFUSED")], more: false }),
    ];
    let mut story = program(&["/usr/bin/curl"]);
    story
        .call(7, "connect", &[("sockfd", fd(5)), ("addr", address)], -115)
        .call(7, "getsockopt", &option, 0)
        .exits(7, 7);
    let lines = told(&story);
    assert!(
        lines[0].starts_with("curl exited with status 7: perhaps the connection to [::1]:443, as getsockopt("),
        "{lines:#?}"
    );
    assert!(lines.contains(&"  this is a guess: it wrote nothing to stderr".to_owned()), "{lines:#?}");
}

#[test]
fn a_command_that_is_nowhere_in_path() {
    let mut story = program(&["/bin/sh", "-c", "nosuch"]);
    for path in ["/usr/local/bin/nosuch", "/usr/bin/nosuch", "/bin/nosuch"] {
        story.call(
            7,
            "newfstatat",
            &[("dirfd", at_cwd()), ("pathname", bytes(path)), ("statbuf", Value::Address(1))],
            -2,
        );
    }
    story.write(7, 2, "sh: 1: nosuch: not found\n").exits(7, 127);
    answer(&story, "sh exited with status 127: the command nosuch was not found");
    assert_eq!(told(&story)[1], "  it was looked for in /usr/local/bin/ /usr/bin/ /bin/");
}

#[test]
fn a_child_that_could_not_execute_tells_its_parent_by_other_means() {
    let mut story = program(&["/usr/bin/python3"]);
    story.fork(7, 8);
    for path in ["/usr/bin/nosuch", "/bin/nosuch"] {
        story.call(8, "execve", &[("pathname", bytes(path)), ("argv", Value::Address(1))], -2);
    }
    story
        .exits(8, 255)
        .wait(7, 8)
        .write(7, 2, "FileNotFoundError: [Errno 2] No such file or directory: 'nosuch'\n")
        .exits(7, 1);
    answer(
        &story,
        "python3 exited with status 1, most likely because python3 (pid 8) exited with status 255: the command nosuch was not found",
    );
    assert!(told(&story)[2].starts_with("  python3's last words on stderr: FileNotFoundError"));
}

#[test]
fn a_script_whose_interpreter_is_gone() {
    let mut story = program(&["/usr/bin/env", "./script"]);
    story.call(
        7,
        "newfstatat",
        &[("dirfd", at_cwd()), ("pathname", bytes("./script")), ("statbuf", Value::Address(1))],
        0,
    );
    story.call(7, "execve", &[("pathname", bytes("./script")), ("argv", Value::Address(1))], -2);
    story.write(7, 2, "env: './script': No such file or directory\n").exits(7, 127);
    answer(
        &story,
        r#"env exited with status 127: execve("./script", 0x1) failed with ENOENT (No such file or directory)"#,
    );
    assert!(told(&story)[1].contains("the file is there: the interpreter that it names"), "{:?}", told(&story));
}

#[test]
fn a_program_that_may_not_be_executed_and_one_that_is_none() {
    for (errno, words, hint) in
        [(-13, "Permission denied", "not executable"), (-8, "Exec format error", "neither an ELF program")]
    {
        let mut story = program(&["/usr/bin/env", "./data"]);
        story.call(7, "execve", &[("pathname", bytes("./data")), ("argv", Value::Address(1))], errno);
        story.write(7, 2, &format!("env: ./data: {words}\n")).exits(7, 126);
        let lines = told(&story);
        assert!(
            lines[0].starts_with("env exited with status 126: execve(\"./data\", 0x1) failed with E"),
            "{lines:#?}"
        );
        assert!(lines[1].contains(hint), "{lines:#?}");
    }
}

#[test]
fn a_shared_library_that_is_gone() {
    let mut story = program(&["./prog"]);
    for directory in ["/lib/tls/x86_64", "/lib", "/usr/lib"] {
        story.open(7, &format!("{directory}/libgone.so"), -2);
    }
    // ld.so writes its message with one writev(2).
    let pieces =
        ["./prog", ": error while loading shared libraries: ", "libgone.so", ": cannot open shared object file", "\n"];
    let items =
        pieces.map(|piece| Value::Struct(vec![("iov_base", bytes(piece)), ("iov_len", Value::Uint(1))])).to_vec();
    story
        .call(7, "writev", &[("fd", fd(2)), ("iov", Value::List { items, more: false }), ("iovcnt", Value::Int(5))], 80)
        .exits(7, 127);
    answer(&story, "prog exited with status 127: the shared library libgone.so could not be loaded");
    assert_eq!(told(&story)[1], "  it was looked for in /lib/ /usr/lib/");
}

fn killed(signal: i32, info: Vec<(&'static str, Value)>) -> Story {
    let mut story = program(&["./prog"]);
    if !info.is_empty() {
        story.signal(7, signal, info);
    }
    story.push(7, 7, What::Killed { signal, core: false });
    story
}

#[test]
fn deadly_signals_say_what_they_mean() {
    let info = |code, address| vec![("si_code", Value::Name(code)), ("si_addr", Value::Address(address))];
    answer(
        &killed(11, info("SEGV_MAPERR", 0)),
        "prog was killed by SIGSEGV: it used NULL, where nothing is mapped (SEGV_MAPERR), a null pointer most likely",
    );
    answer(
        &killed(11, info("SEGV_MAPERR", 0xdead_0000)),
        "prog was killed by SIGSEGV: it used 0xdead0000, where nothing is mapped (SEGV_MAPERR)",
    );
    answer(&killed(8, info("FPE_INTDIV", 0x40_1000)), "prog was killed by SIGFPE: it divided by zero at 0x401000");
    let arch = Value::Hex(Arch::X86_64.audit_arch().into());
    let refused = vec![("si_code", Value::Name("SYS_SECCOMP")), ("si_syscall", Value::Int(101)), ("si_arch", arch)];
    answer(&killed(31, refused), "prog was killed by SIGSYS: a seccomp filter refused the system call ptrace");
    let own = |signal, pid| {
        killed(
            signal,
            vec![("si_code", Value::Name("SI_TKILL")), ("si_pid", Value::Int(pid)), ("si_uid", Value::Int(0))],
        )
    };
    answer(&own(6, 7), "prog was killed by SIGABRT: it sent the signal to itself (abort, raise or kill)");
    answer(&own(15, 99), "prog was killed by SIGTERM: a process that is not traced (pid 99, uid 0) sent it");
    answer(&own(13, 7), "prog was killed by SIGPIPE: it wrote to a pipe or socket that nobody reads any more");
}

#[test]
fn sigkill_has_no_siginfo_but_perhaps_a_sender() {
    answer(
        &killed(9, vec![]),
        "prog was killed by SIGKILL: nobody in this trace sent it: somebody outside, or the kernel for want of memory (see dmesg)",
    );
    let mut story = program(&["/bin/sh"]);
    story.fork(7, 8).exec(8, &["/bin/sleep"]);
    story.call(7, "kill", &[("pid", Value::Int(8)), ("sig", Value::Name("SIGKILL"))], 0);
    story.push(8, 8, What::Killed { signal: 9, core: false }).wait(7, 8).exits(7, 137);
    answer(&story, "sh exited with status 137, because sleep (pid 8) was killed by SIGKILL: sh (pid 7) sent it");
}

#[test]
fn an_id_that_comes_again_is_another_process() {
    let mut story = program(&["/bin/sh"]);
    story.fork(7, 8).exec(8, &["/bin/true"]).exits(8, 0).wait(7, 8).fork(7, 8).exec(8, &["/bin/cat", "/nope"]);
    cat_fails(&mut story, 8);
    story.wait(7, 8).exits(7, 1);
    answer(&story, &format!("sh exited with status 1, because cat (pid 8) exited with status 1: {NOPE}"));
}

#[test]
fn a_child_that_is_seen_before_its_parent_tells_of_it() {
    let mut story = program(&["/bin/sh"]);
    story.call(8, "set_robust_list", &[], 0).fork(7, 8).exec(8, &["/bin/cat", "/nope"]);
    cat_fails(&mut story, 8);
    story.wait(7, 8).exits(7, 1);
    answer(&story, &format!("sh exited with status 1, because cat (pid 8) exited with status 1: {NOPE}"));
}

#[test]
fn ids_that_make_a_circle_end_too() {
    let mut story = Story::default();
    story.call(7, "getpid", &[], 7).call(8, "getpid", &[], 8).fork(8, 7).fork(7, 8).exits(8, 1).exits(7, 1);
    // That 8 made 7 can only be another 7.
    answer(&story, "the end of process 7 was not seen: there is nothing to explain yet");
}

#[test]
fn nothing_fits_and_it_says_so() {
    let mut story = program(&["/usr/bin/grep", "x"]);
    story.exits(7, 1);
    answer(&story, "grep exited with status 1: no failing call explains it");
    let mut story = program(&["/usr/bin/python3"]);
    story.open(7, "/usr/lib/python3/nosuch_module.py", -2).open(7, "/opt/data", -13);
    story.write(7, 2, "ValueError: bad number\n").exits(7, 1);
    let lines = told(&story);
    assert!(lines[0].contains("perhaps openat(AT_FDCWD, \"/opt/data\""), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("this is a guess")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("ValueError: bad number")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("nosuch_module.py")), "{lines:#?}");
}

#[test]
fn success_and_an_end_that_nobody_saw_are_no_failures() {
    let mut story = program(&["/bin/true"]);
    assert_eq!(told(&story), ["the end of true was not seen: there is nothing to explain yet"]);
    story.exits(7, 0);
    assert_eq!(told(&story), ["true exited with status 0: there is no failure to explain"]);
    assert_eq!(told(&Story::default()), ["nothing was traced"]);
}

#[test]
fn what_a_program_says_cannot_command_a_terminal() {
    let mut story = program(&["/bin/\x1b[31mcat"]);
    story.open(7, "/nope\x1b]0;x\x07", -2).write(7, 2, "/nope\x1b]0;x\x07: No such file or directory\n").exits(7, 1);
    let lines = told(&story);
    assert!(lines.iter().all(|line| !line.contains(['\x1b', '\x07'])), "{lines:#?}");
    assert!(lines[0].contains(r#""/nope\33]0;x\7""#), "{lines:#?}");
}
