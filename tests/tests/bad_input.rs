//! Every kind of wrong input is one line with place and cure, a status of its own, and nothing was
//! started.
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use tipstaff_testkit::{Machine, Ran, Run, Scratch, User, Without, marker, run, survivors, tipstaff_command};

use crate::both;

/// A program that would be seen if it had been started: it says so.
fn witness() -> Run {
    run(["say", "STARTED", "STARTED"])
}

#[track_caller]
fn refused(ran: &Ran, code: i32, words: &[&str]) {
    ran.expect_error_line(code, words);
    ran.check(!ran.err().contains("STARTED"), "the program was started");
}

/// A profile of this text, and a run under it.
fn under_profile(text: &str, user: User) -> Ran {
    witness().profile("@WORK/p.toml").work_file("p.toml", text).as_user(user).go()
}

both!(unknown_profile_key_names_line_and_nearest, |user| {
    let ran = under_profile("[limits]\ncpu = \"1s\"\nmemroy = \"64MiB\"\n", user);
    refused(&ran, 125, &["p.toml", "3", "memroy", "memory"]);
    let ran = under_profile("[limitz]\ncpu = \"1s\"\n", user);
    refused(&ran, 125, &["p.toml", "limitz", "limits"]);
    // Positive control: the same file with the key spelt right.
    under_profile("[limits]\ncpu = \"1s\"\nmemory = \"64MiB\"\n", user).expect_ok();
});

both!(unknown_preset_names_the_nearest, |user| {
    refused(&witness().profile("juge").as_user(user).go(), 125, &["juge", "judge"]);
    witness().profile("judge").as_user(user).go().expect_ok();
});

both!(wrong_toml_drops_no_rule, |user| {
    refused(&under_profile("[limits\ncpu = 1s", user), 125, &["p.toml"]);
    refused(&under_profile("[limits]\ncpu = 5\n", user), 125, &["p.toml", "cpu"]);
    refused(&under_profile("[limits]\ncpu = \"1s\"\ncpu = \"2s\"\n", user), 125, &["p.toml", "cpu"]);
    refused(&under_profile("[network]\nallow = \"all\"\n", user), 125, &["p.toml", "allow"]);
});

both!(ambiguous_sizes_show_both_spellings, |user| {
    for size in ["64M", "64m", "64K", "1G"] {
        let ran = witness().memory(size).as_user(user).go();
        let unit = size[size.len() - 1..].to_uppercase();
        refused(&ran, 125, &[size, &format!("{unit}iB"), &format!("{unit}B")]);
    }
    for size in ["64MiB", "64MB", "67108864"] {
        witness().memory(size).as_user(user).go().expect_ok();
    }
});

both!(contradictory_and_senseless_values, |user| {
    for size in ["", "MiB", "-1", "1.5.2MiB", "99999999999999999999", "18446744073709551615GiB", "64 parsecs"] {
        refused(&witness().flag(&format!("--memory={size}")).as_user(user).go(), 125, &["memory"]);
    }
    for time in ["", "5", "s", "-1s", "1x", "99999999999999999999s"] {
        refused(&witness().flag(&format!("--cpu={time}")).as_user(user).go(), 125, &["cpu"]);
    }
    for time in ["1s", "1500ms"] {
        witness().cpu(time).as_user(user).go().expect_ok();
    }
});

both!(limits_of_zero_are_refused, |user| {
    for (option, zero) in [
        ("--cpu", "0s"),
        ("--wall", "0ms"),
        ("--idle", "0s"),
        ("--memory", "0"),
        ("--processes", "0"),
        ("--output", "0"),
        ("--file-size", "0"),
        ("--open-files", "0"),
        ("--stack", "0"),
        ("--disk", "0"),
    ] {
        let ran = witness().option(option, zero).as_user(user).go();
        refused(&ran, 125, &[option.trim_start_matches('-')]);
    }
});

both!(paths_that_do_not_exist, |user| {
    for option in ["--read", "--write", "--exec", "--deny"] {
        refused(&witness().option(option, "/no/such/place").as_user(user).go(), 125, &["/no/such/place", "if-exists"]);
        let forgiving = format!("{option}-if-exists");
        witness().option(&forgiving, "/no/such/place").as_user(user).go().expect_ok();
        witness().option(option, "@WORK").as_user(user).go().expect_ok();
    }
});

both!(relative_and_strange_path_rules, |user| {
    // A path below a file; a link to nowhere.
    let scratch = Scratch::new(user);
    std::os::unix::fs::symlink("/no/such/place", scratch.join("dangling")).expect("link");
    refused(&witness().option("--read", "/etc/passwd/below").as_user(user).go(), 125, &["/etc/passwd/below"]);
    refused(&witness().option("--read", scratch.join("dangling")).as_user(user).go(), 125, &["dangling"]);
    refused(&witness().flag("--read=").as_user(user).go(), 125, &["read"]);
});

both!(no_program, |user| {
    let ran = tipstaff_command(["run"]).as_user(user).go();
    ran.expect_exit(125);
    let ran = tipstaff_command(["run", "--"]).as_user(user).go();
    ran.expect_exit(125);
    // argv of length one, and empty: not a program, not a panic.
    let ran = run([""]).as_user(user).go();
    ran.check([125, 127].contains(&ran.code()), "an empty name is no program");
    ran.check(!ran.err().contains("panicked"), "no panic");
});

both!(unreadable_profile, |user| {
    refused(&witness().profile("@WORK/absent.toml").as_user(user).go(), 125, &["absent.toml", "no such file"]);
    refused(&witness().profile("/etc/").as_user(user).go(), 125, &["/etc/"]);
    if user == User::Ordinary && User::me() == 0 {
        let scratch = Scratch::new(User::Root);
        let path = scratch.file("secret.toml", "[limits]\n");
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("own file");
        refused(&witness().profile(&path).as_user(user).go(), 125, &["secret.toml", "permission denied"]);
    }
});

both!(a_profile_that_extends_itself, |user| {
    let ran = witness()
        .profile("@WORK/a.toml")
        .work_file("a.toml", "extends = \"./b.toml\"\n")
        .work_file("b.toml", "extends = \"./a.toml\"\n")
        .as_user(user)
        .go();
    refused(&ran, 125, &["extends"]);
});

both!(arguments_that_are_no_text_work, |user| {
    let odd = OsStr::from_bytes(b"a\xff\xfeb\n\x01");
    let ran = run(["args"]).arg(odd).arg("").as_user(user).go();
    ran.expect_ok().expect_stdout("61fffe620a01\n\n");
});

both!(names_that_are_no_text_work, |user| {
    let scratch = Scratch::new(user);
    let name = OsStr::from_bytes(b"pro\xffgram");
    let path = scratch.join(name);
    std::fs::copy(tipstaff_testkit::guest("exit"), &path).expect("copy");
    let rules = |run: Run| run.option("--read", scratch.path()).option("--exec", scratch.path());
    rules(run([&path]).arg("5")).as_user(user).go().expect_exit(5);
});

both!(too_many_rules, |user| {
    // More rules than any kernel's filter holds: an error or a run that obeys, never a filter that
    // lost some (S32).
    let profile = |most: u32| -> String {
        let rule = |i| {
            format!(
                "[[syscalls.rule]]\nnames = [\"prctl\"]\naction = \"deny\"\nargs = [{{ index = 1, op = \"==\", value = {i} }}]\n"
            )
        };
        (1000..1000 + most).map(rule).collect()
    };
    under_profile(&profile(20), user).expect_ok();
    let ran = under_profile(&profile(40_000), user);
    ran.expect_exit(125);
    ran.check(!ran.out().contains("STARTED"), "the program was started");
});

both!(engines_that_cannot_be_had_are_refused_clearly, |user| {
    let emulated = |engine| witness().option("--guest-ptrace", "emulate").option("--engine", engine).as_user(user).go();
    refused(&emulated("native"), 125, &["guest_ptrace"]);
    refused(&emulated("notify"), 125, &["guest_ptrace"]);
    emulated("auto").expect_ok();
    witness().option("--engine", "notify").as_user(user).go().expect_ok();
    // Somebody else's filter has the one listener that a chain may have.
    let without = Machine::Without(Without::Listener);
    let ran = witness().option("--engine", "notify").as_user(user).on(without).go();
    refused(&ran, 125, &["listener", "nested", "--engine auto"]);
    witness().option("--engine", "native").as_user(user).go().expect_ok();
    witness().option("--engine", "ptrace").as_user(user).go().expect_ok();
    let without = Machine::Without(Without::Ptrace);
    let ran = witness().option("--engine", "ptrace").as_user(user).on(without).go();
    refused(&ran, 125, &["cannot trace", "--engine native"]);
    witness().option("--engine", "native").as_user(user).on(without).go().expect_ok();
    witness().option("--net", "none").as_user(user).go().expect_ok();
    refused(&witness().option("--engine", "warp").as_user(user).go(), 125, &["warp"]);
});

both!(values_that_do_not_exist, |user| {
    refused(&witness().option("--cwd", "/no/such/place").as_user(user).go(), 125, &["/no/such/place", "no such file"]);
    let ran = witness().option("--stdin", "/no/such/place").as_user(user).go();
    refused(&ran, 125, &["/no/such/place", "no such file"]);
    ran.check(!ran.err().contains("os error"), "words, not numbers");
    refused(&witness().option("--stdout", "/no/such/place/file").as_user(user).go(), 125, &["/no/such/place/file"]);
    refused(&witness().option("--env", "NO_EQUALS_SIGN").as_user(user).go(), 125, &["NO_EQUALS_SIGN"]);
    refused(&witness().option("--uid", "somebody").as_user(user).go(), 125, &["--uid", "write a whole number"]);
});

both!(a_report_that_cannot_be_written_is_an_error, |user| {
    let ran = witness().without_report().option("--report", "/no/such/place/report.json").as_user(user).go();
    ran.expect_exit(125);
    ran.check(!ran.out().contains("STARTED"), "found out before the start");
    let ran = witness().without_report().option("--report", "fd:99").as_user(user).go();
    ran.expect_exit(125);
});

both!(nothing_is_started, |user| {
    let mark = marker();
    let ran = run(["sleeper", "0", &mark]).option("--read", "/no/such/place").as_user(user).go();
    ran.expect_exit(125);
    ran.check(survivors(&mark).is_empty(), "something runs");
});

both!(profile_check_finds_and_finds_nothing, |user| {
    let check = |text: &str| {
        tipstaff_command(["profile", "check", "@WORK/p.toml"]).work_file("p.toml", text).as_user(user).go()
    };
    check("[limits]\ncpu = \"1s\"\n").expect_exit(0);
    let wrong = check("[limits]\nmemroy = \"64MiB\"\n");
    wrong.expect_exit(1);
    wrong.check(format!("{}{}", wrong.out(), wrong.err()).contains("memory"), "the nearest key is shown");
    tipstaff_command(["profile", "check", "/no/such/profile.toml"]).as_user(user).go().expect_exit(125);
});

both!(a_missing_argument_is_named_in_words, |user| {
    for (words, cure) in [
        (&["kill"][..], "name a box: `tipstaff kill NAME`"),
        (&["pause"], "name a box: `tipstaff pause NAME`"),
        (&["profile", "show"], "name a profile: `tipstaff profile show NAME`"),
        (&["generate"], "name a directory: `tipstaff generate DIRECTORY`"),
        (&["frob"], "`tipstaff --help` lists"),
    ] {
        tipstaff_command(words).as_user(user).go().expect_error_line(125, &[cure]);
    }
});

both!(help_is_a_command, |user| {
    let help = tipstaff_command(["help"]).as_user(user).go();
    help.expect_exit(0);
    help.check(help.out().contains("generate"), "all commands are shown");
    let run = tipstaff_command(["help", "run"]).as_user(user).go();
    run.expect_exit(0);
    run.check(run.out().contains("--memory") && run.out().contains("124"), "options and exit statuses");
});

both!(what_other_tools_call_it, |user| {
    for (words, cure) in [
        (&["kill", "-9", "box1"][..], "--signal KILL"),
        (&["kill", "-TERM", "box1"], "--signal TERM"),
        (&["run", "--timeout", "5s", "--", "true"], "--wall"),
        (&["run", "--frob", "--", "true"], "--frob"),
    ] {
        let ran = tipstaff_command(words).as_user(user).go();
        ran.expect_error_line(125, &[cure]);
        ran.check(!ran.err().contains("as a value"), "no advice to make an option the program");
    }
});

both!(generate_makes_its_directory, |user| {
    let scratch = Scratch::new(user);
    let directory = scratch.join("made/here");
    tipstaff_command([OsStr::new("generate"), directory.as_os_str()]).as_user(user).go().expect_exit(0);
    let page = std::fs::read_to_string(directory.join("tipstaff-run.1")).expect("a man page");
    assert!(page.contains("EXIT STATUS") || page.contains("Exit status"), "{page}");
});
