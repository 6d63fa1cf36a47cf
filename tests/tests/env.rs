//! The environment: clean by default, what is asked for and nothing else.
use std::collections::BTreeMap;

use tipstaff_testkit::{Ran, run};

use crate::both;

fn environ(ran: &Ran) -> BTreeMap<String, String> {
    let out = ran.out();
    let entries = out.split_terminator('\0').map(|entry| entry.split_once('=').unwrap_or((entry, "")));
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

both!(clean_but_for_four, |user| {
    let ran = run(["environ"])
        .env("SECRET_TOKEN", "hunter2")
        .env("LD_PRELOAD", "/no/such/library.so")
        .env("GCONV_PATH", "/tmp")
        .env("GLIBC_TUNABLES", "glibc.malloc.check=0")
        .env("PYTHONPATH", "/tmp")
        .env("LC_ALL", "C")
        .env("LANG", "C.UTF-8")
        .as_user(user)
        .go();
    ran.expect_ok();
    let seen = environ(&ran);
    for name in seen.keys() {
        ran.check(["PATH", "HOME", "TERM", "LANG"].contains(&name.as_str()), format_args!("{name} came through"));
    }
    ran.check(seen.contains_key("PATH"), "PATH is there");
    ran.check(seen.get("LANG").is_some_and(|lang| lang == "C.UTF-8"), "LANG is the caller's");
});

both!(what_is_asked_for_comes_through, |user| {
    let ran = run(["environ"])
        .env("WANTED", "yes = no")
        .env("UNWANTED", "no")
        .option("--pass-env", "WANTED")
        .option("--env", "GIVEN=a=b")
        .option("--env", "EMPTY=")
        .option("--env", "LANG=de_DE.UTF-8")
        .as_user(user)
        .go();
    ran.expect_ok();
    let seen = environ(&ran);
    assert_eq!(seen.get("WANTED").map(String::as_str), Some("yes = no"));
    assert_eq!(seen.get("GIVEN").map(String::as_str), Some("a=b"));
    assert_eq!(seen.get("EMPTY").map(String::as_str), Some(""));
    assert_eq!(seen.get("LANG").map(String::as_str), Some("de_DE.UTF-8"));
    assert!(!seen.contains_key("UNWANTED"));
});

both!(a_variable_that_is_not_set_is_not_passed, |user| {
    let ran = run(["environ"]).option("--pass-env", "NOT_SET_ANYWHERE").as_user(user).go();
    ran.expect_ok();
    assert!(!environ(&ran).contains_key("NOT_SET_ANYWHERE"));
});

both!(bytes_that_are_no_text_pass, |user| {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let ran = run(["environ"]).env("ODD", odd).option("--pass-env", "ODD").as_user(user).go();
    ran.expect_ok();
    ran.check(ran.stdout.windows(6).any(|window| window == b"ODD=\xff\xfe"), "the bytes came through");
});

both!(the_callers_variables_do_not_steer_the_loader, |user| {
    // A dynamic program, a preload that would end it: LD_PRELOAD of the caller must not arrive, one
    // that is given must.
    let program = tipstaff_testkit::guest_dynamic("environ");
    let boxed = |program: &std::path::Path| {
        run([program]).option("--read", "@WORK").option("--read", program.parent().expect("dir"))
    };
    let ran =
        boxed(&program).option("--exec", program.parent().expect("dir")).env("LD_DEBUG", "files").as_user(user).go();
    ran.expect_ok();
    ran.check(!ran.err().contains("calling init"), "LD_DEBUG reached the loader");
    let ran = boxed(&program)
        .option("--exec", program.parent().expect("dir"))
        .option("--env", "LD_DEBUG=files")
        .as_user(user)
        .go();
    ran.check(ran.err().contains("calling init"), "positive control: --env LD_DEBUG reaches the loader");
});
