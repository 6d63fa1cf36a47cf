//! Standard streams: inherited, redirected, relayed.
use std::fs;
use std::io::{Read as _, Write as _};

use tipstaff_testkit::{Scratch, run};

use crate::both;

both!(streams_come_through, |user| {
    let ran = run(["say", "to stdout", "to stderr", "3"]).flag("--quiet").as_user(user).go();
    ran.expect_exit(3).expect_stdout("to stdout");
    ran.check(ran.err() == "to stderr", "stderr is the guest's own");
});

both!(stdin_arrives_whole, |user| {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    run(["copy"]).stdin(bytes.clone()).as_user(user).go().expect_ok().expect_stdout(&bytes);
    // And relayed, with an output limit.
    run(["copy"]).output("4MiB").stdin(bytes.clone()).as_user(user).go().expect_ok().expect_stdout(&bytes);
});

both!(inherited_streams_are_the_very_same, |user| {
    // Without an output limit there is no relay: the file of the caller is the file of the guest.
    let ran = run(["posture"]).as_user(user).go();
    ran.expect_ok();
    let posture = ran.json();
    ran.check(posture["fds"]["0"] == "/dev/null", "stdin is the caller's /dev/null");
    for fd in ["1", "2"] {
        ran.check(posture["fds"][fd].as_str().is_some_and(|target| target.starts_with("pipe:")), "the caller's pipe");
    }
});

both!(no_other_descriptor_arrives, |user| {
    let script = format!(
        "exec 5</etc/passwd 9</etc 200</etc/hosts 2>/dev/null; exec {} run --quiet --read {guests} --exec {guests} -- {}",
        tipstaff_testkit::tipstaff().display(),
        tipstaff_testkit::guest("posture").display(),
        guests = tipstaff_testkit::guest("posture").parent().expect("a directory").display(),
    );
    let ran = tipstaff_testkit::plain(["/bin/bash", "-c", &script]).as_user(user).go();
    ran.expect_exit(0);
    let posture = ran.json();
    let fds: Vec<_> = posture["fds"].as_object().expect("fds").keys().cloned().collect();
    ran.check(fds == ["0", "1", "2"], format_args!("descriptors {fds:?}"));
});

both!(closed_streams_are_not_somebody_elses_files, |user| {
    // The caller closed 0, 1 and 2: what the guest finds there is /dev/null or nothing, never a
    // file of ours.
    let script = format!(
        "exec {} run --quiet --report @WORK/r.json -- /bin/sh -c 'readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 >@WORK/seen' <&- >&- 2>&-",
        tipstaff_testkit::tipstaff().display()
    );
    let script = script.replace("-- /bin/sh", "--write @WORK -- /bin/sh");
    let started = tipstaff_testkit::plain(["/bin/bash", "-c", &script]).as_user(user).start();
    let work = started.work();
    let seen = work.join("seen");
    // The directory goes with the run: look before.
    assert!(started.ends(std::time::Duration::from_secs(30)), "a hang");
    let text = fs::read_to_string(&seen).unwrap_or_default();
    assert!(!text.contains("report") && !text.contains("r.json") && !text.contains("memfd"), "a file of ours: {text}");
    started.finish();
});

both!(files_for_every_stream, |user| {
    let scratch = Scratch::new(user);
    let input = scratch.file("in", "from a file");
    let output = scratch.join("out");
    let ran = run(["copy"]).option("--stdin", &input).option("--stdout", &output).as_user(user).go();
    ran.expect_ok().expect_stdout("");
    assert_eq!(fs::read(&output).expect("written"), b"from a file");
    let errors = scratch.join("err");
    run(["say", "", "complaint"]).option("--stderr", &errors).as_user(user).go().expect_ok();
    assert_eq!(fs::read(&errors).expect("written"), b"complaint");
});

both!(a_redirected_stream_counts_and_is_cut, |user| {
    let scratch = Scratch::new(user);
    let output = scratch.join("out");
    let ran = run(["flood", "100000"]).option("--stdout", &output).output("1000").as_user(user).go();
    ran.expect_verdict("output_limit").expect_exit(123);
    assert_eq!(fs::metadata(&output).expect("written").len(), 1000);
});

both!(much_output_reaches_a_file, |user| {
    // A regular file cannot be polled: the relay must not wait for it to become writable.
    let scratch = Scratch::new(user);
    let output = scratch.join("out");
    let flood =
        |bytes: &str| run(["flood", bytes]).option("--stdout", &output).output("16MiB").wall("30s").as_user(user).go();
    flood("9000000").expect_ok();
    assert_eq!(fs::metadata(&output).expect("written").len(), 9_000_000);
    flood("40000000").expect_verdict("output_limit");
    assert_eq!(fs::metadata(&output).expect("written").len(), 16 << 20);
});

both!(a_reader_that_goes_away_is_sigpipe_for_the_guest, |user| {
    let script = format!("{} run --quiet -- /usr/bin/yes | head -n 1", tipstaff_testkit::tipstaff().display());
    let ran =
        tipstaff_testkit::plain(["/bin/bash", "-c", &format!("{script}; echo ${{PIPESTATUS[0]}}")]).as_user(user).go();
    ran.expect_stdout("y\n141\n");
    // Relayed: our pipe breaks, not the guest's; it still ends, and not as ok with a limit crossed.
    let script =
        format!("{} run --quiet --output 1GiB -- /usr/bin/yes | head -n 1", tipstaff_testkit::tipstaff().display());
    let ran = tipstaff_testkit::plain(["/bin/bash", "-c", &script]).as_user(user).go();
    ran.expect_exit(0).expect_stdout("y\n");
});

both!(binary_output_is_untouched, |user| {
    let ran = run(["/bin/sh", "-c", "printf '\\000\\377\\n\\r\\n\\000'"]).output("1KiB").as_user(user).go();
    ran.expect_ok().expect_stdout(b"\0\xff\n\r\n\0");
});

both!(a_script_reads_the_rest_of_our_input, |user| {
    // The launcher takes nothing from a stdin that it only passes on.
    let mut file = tempfile(user);
    file.write_all(b"line one\nline two\n").expect("write");
    let mut file = reopen(&file);
    let mut first = [0; 9];
    file.read_exact(&mut first).expect("read");
    run(["copy"]).stdin_file(file).as_user(user).go().expect_ok().expect_stdout("line two\n");
});

fn tempfile(user: tipstaff_testkit::User) -> fs::File {
    let scratch = Scratch::new(user);
    fs::File::create_new(scratch.join("file")).expect("file")
}

/// The same file from its beginning; its name may be gone.
fn reopen(file: &fs::File) -> fs::File {
    use std::os::fd::AsRawFd as _;
    fs::File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("reopen")
}
