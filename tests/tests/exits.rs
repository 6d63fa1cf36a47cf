//! Exit statuses, word for word.
use tipstaff_testkit::{guest, run};

use crate::{both, users};

#[test]
fn every_status_comes_through() {
    // Each of them as root or as an ordinary user in turn; the corners as both.
    for code in 0..=255u8 {
        for (at, user) in users().enumerate() {
            let corner = [0, 1, 2, 120, 121, 122, 123, 124, 125, 126, 127, 128, 137, 139, 255].contains(&code);
            if !corner && usize::from(code) % users().count() != at {
                continue;
            }
            let ran = run(["exit", &code.to_string()]).as_user(user).go();
            ran.expect_exit(i32::from(code)).expect_verdict(if code == 0 { "ok" } else { "nonzero_exit" });
            ran.check(ran.report["exit_code"] == code, "exit_code is the program's own");
            ran.check(ran.report["signal"].is_null(), "no signal");
        }
    }
}

#[test]
fn every_signal_is_told() {
    let default_ignored = [17, 18, 23, 28];
    let stops = [19, 20, 21, 22];
    for signal in (1..=64).filter(|signal| ![32, 33].contains(signal) && !stops.contains(signal)) {
        for (at, user) in users().enumerate() {
            if signal as usize % users().count() != at {
                continue;
            }
            let ran = run(["raise", &signal.to_string()]).as_user(user).go();
            if default_ignored.contains(&signal) {
                ran.expect_exit(64).expect_verdict("nonzero_exit");
            } else {
                ran.expect_exit(128 + signal).expect_verdict("signaled");
                ran.check(ran.report["signal"]["number"] == signal, "number of the signal");
                ran.check(ran.report["exit_code"].is_null(), "no exit code");
                ran.check(ran.report["limits_hit"] == serde_json::json!([]), "no limit was crossed");
            }
        }
    }
}

both!(signals_have_their_names, |user| {
    for (number, name) in [("6", "SIGABRT"), ("9", "SIGKILL"), ("11", "SIGSEGV"), ("13", "SIGPIPE"), ("15", "SIGTERM")]
    {
        let ran = run(["raise", number]).as_user(user).go();
        ran.check(ran.report["signal"]["name"] == name, format_args!("signal {number} is {name}"));
    }
});

both!(limits_have_statuses, |user| {
    run(["spin"]).cpu("200ms").as_user(user).go().expect_exit(124);
    run(["sleeper"]).wall("300ms").as_user(user).go().expect_exit(124);
    run(["hog"]).memory("32MiB").wall("20s").as_user(user).go().expect_exit(122);
    run(["flood", "1000000"]).output("1KiB").as_user(user).go().expect_exit(123);
    run(["forklimit", "1"]).processes(8).as_user(user).go().expect_exit(123);
    run(["int80"]).as_user(user).go().expect_exit(121);
});

both!(not_found_is_127, |user| {
    for program in ["/no/such/program", "no-such-program-in-path"] {
        let ran = run([program]).as_user(user).go();
        ran.expect_error_line(127, &[program]).expect_verdict("launch_failed");
        ran.check(ran.report["error"]["errno"] == "ENOENT", "the report names the errno");
        ran.check(!ran.report["error"]["message"].is_null(), "the report says what happened");
    }
});

both!(not_executable_is_126, |user| {
    // A directory; a file without the bit; a file of no format; a script whose interpreter is
    // missing is "not found" to a shell too.
    let ran = run(["/usr"]).as_user(user).go();
    ran.expect_error_line(126, &["/usr"]).expect_verdict("launch_failed");
    let no_bit = run(["@WORK/plain"])
        .option("--read", "@WORK")
        .option("--exec", "@WORK")
        .work_file("plain", "text")
        .as_user(user)
        .go();
    no_bit.expect_error_line(126, &["plain"]).expect_verdict("launch_failed");
});

both!(a_file_of_no_format_is_126, |user| {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tipstaff_testkit::Scratch::new(user);
    let path = scratch.file("noformat", b"\x01\x02\x03\x04");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("own file");
    let ran = run([&path]).option("--read", scratch.path()).option("--exec", scratch.path()).as_user(user).go();
    ran.expect_error_line(126, &["noformat"]).expect_verdict("launch_failed");
    // Positive control: the same place, a file that is a program.
    std::fs::copy(guest("exit"), &path).expect("copy");
    let ran =
        run([&path]).arg("7").option("--read", scratch.path()).option("--exec", scratch.path()).as_user(user).go();
    ran.expect_exit(7);
});

both!(usage_is_125, |user| {
    let wrong = run(["/bin/true"]).flag("--no-such-option").as_user(user).go();
    wrong.expect_exit(125);
    wrong.check(wrong.report.is_null(), "no report before the arguments are understood");
});

both!(the_clean_ends_of_the_other_commands, |user| {
    for words in [&["--help"][..], &["--version"], &["run", "--help"], &["profile", "list"]] {
        tipstaff_testkit::tipstaff_command(words).as_user(user).go().expect_exit(0);
    }
    let doctor = tipstaff_testkit::tipstaff_command(["doctor"]).as_user(user).go();
    doctor.check([0, 1].contains(&doctor.code()), "doctor ends with 0 or 1");
    doctor.check(doctor.out().lines().count() > 3, "doctor says what it found");
});
