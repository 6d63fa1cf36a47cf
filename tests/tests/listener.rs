//! A seccomp listener of a guest's own: whole where the profile leaves it to guests, refused and told where it does not, and never a way past the box.
use tipstaff_testkit::{Machine, Ran, Run, Scratch, Without, plain, run};

use crate::both;

fn own(run: Run) -> Run {
    run.option("--guest-listener", "native")
}

/// Beside the box's own.
fn served(run: Run) -> Run {
    run.option("--guest-listener", "emulate")
}

fn denied(ran: &Ran, call: &str) -> Option<serde_json::Value> {
    let denials = ran.report["denials"].as_array().cloned().unwrap_or_default();
    denials.into_iter().find(|denial| denial["syscall"] == call)
}

both!(it_answers_every_request_as_outside, |user| {
    let outside = plain(["listener", "facts"]).as_user(user).go();
    outside.check(outside.out().ends_with("done\n"), "it ends");
    for made in [own, served] {
        let inside = made(run(["listener", "facts"])).as_user(user).go();
        inside.expect_ok();
        assert_eq!(outside.out(), inside.out());
    }
});

// One fact each, in the same words outside, with the kernel's own listener, and with one that is served.
both!(every_row_is_the_kernels_own, |user| {
    let names = plain(["listenrows"]).as_user(user).go().out();
    assert!(names.lines().count() > 25, "{names}");
    for name in names.lines() {
        let outside = plain(["listenrows", name]).as_user(user).go().out();
        assert!(outside.ends_with("done\n"), "{name}: {outside}");
        for made in [own, served] {
            let inside = made(run(["listenrows", name])).as_user(user).go().out();
            assert_eq!(outside, inside, "{name}");
        }
    }
});

both!(it_is_refused_unless_the_profile_says_so, |user| {
    for how in [None, Some("deny")] {
        for engine in ["native", "notify", "ptrace"] {
            let ran = run(["listener", "shadow", "openat", "/"]).option("--engine", engine).as_user(user);
            let ran = match how {
                Some(how) => ran.option("--guest-listener", how).go(),
                None => ran.go(),
            };
            ran.expect_ok().expect_stdout("listener EBUSY\nasked 0\nopenat: OK\n");
            let told = denied(&ran, "seccomp").expect("it is told");
            assert_eq!(told["rule"], "guest_listener = \"deny\"");
            // Where somebody is asked, the kernel's own cannot be had.
            let cure = if engine == "native" { "native" } else { "emulate" };
            assert_eq!(told["allow_with"], format!("[isolation] guest_listener = {cure:?}"));
        }
    }
    let ran = own(run(["listener", "shadow", "openat", "/"])).as_user(user).go();
    ran.expect_ok().expect_stdout("listener OK\nasked 1\nopenat: OK\n");
});

both!(what_the_profile_refuses_asks_no_listener, |user| {
    // An errno outranks a notification (seccomp(2)): the guest's own supervisor, which continues everything, is not asked.
    let shadow = |call: &str| own(run(["listener", "shadow", call])).as_user(user);
    for call in ["mount", "keyctl", "unshare"] {
        let ran = shadow(call).go();
        ran.expect_ok().expect_stdout(format!("listener OK\nasked 0\n{call}: EPERM\n"));
        ran.check(denied(&ran, call).is_none(), "who has no listener tells nothing");
        assert_eq!(ran.report["denials_coverage"], "none");
    }
    // The control: where the profile allows it, the guest's supervisor is asked, and the kernel answers.
    let scratch = Scratch::new(user);
    let allow = |name: &str, list: &str| {
        let toml = format!(
            "extends = \"default\"\n[isolation]\nguest_listener = \"native\"\n[syscalls]\n{list} = [\"{name}\"]\n"
        );
        let profile = scratch.file("p.toml", toml);
        run(["listener", "shadow", name]).profile(profile).as_user(user).go()
    };
    allow("mount", "allow").expect_stdout("listener OK\nasked 1\nmount: EFAULT\n");
    // Nor is a kill held up by it.
    let ran = allow("mount", "kill");
    ran.check(ran.out().starts_with("listener OK\nasked 0\nmount: signal 31\n"), "SIGSYS");
});

both!(a_call_that_it_continues_meets_the_same_view, |user| {
    let scratch = Scratch::new(user);
    let path = scratch.file("secret", "secret");
    let shadow = |run: Run| own(run).as_user(user).go();
    let words = ["listener".as_ref(), "shadow".as_ref(), "openat".as_ref(), path.as_os_str()];
    let hidden = shadow(run(words)).out();
    assert!(hidden.starts_with("listener OK\nasked 1\nopenat: E"), "{hidden}");
    shadow(run(words).option("--read", &path)).expect_stdout("listener OK\nasked 1\nopenat: OK\n");
});

both!(where_somebody_must_be_asked_it_cannot_be_had, |user| {
    let refused = |options: &[(&str, &str)], words: &[&str]| {
        let mut asked = own(run(["exit", "0"])).as_user(user);
        for (option, value) in options {
            asked = asked.option(option, value);
        }
        let ran = asked.go();
        ran.check(ran.code() == 125, "refused");
        let said = ran.report["error"]["message"].as_str().unwrap_or_default().to_owned() + &ran.err();
        for word in words {
            ran.check(said.contains(word), format_args!("the refusal does not say {word:?}"));
        }
    };
    refused(&[("--engine", "notify")], &["guest_listener", "one listener", "--engine native"]);
    refused(&[("--engine", "ptrace")], &["guest_listener", "outranks"]);
    refused(&[("--guest-ptrace", "emulate")], &["guest_listener"]);
    let bad = run(["exit", "0"]).option("--guest-listener", "own").as_user(user).go();
    bad.expect_error_line(125, &["--guest-listener", "native", "deny"]);
});

/// A box with a listener of its guest's, which this machine refuses and says what cures it.
fn refused_below_a_listener(boxed: fn(Run) -> Run, cure: &str) {
    for user in crate::users() {
        let machine = Machine::Without(Without::Listener);
        let ran = boxed(run(["exit", "0"])).on(machine).as_user(user).go();
        ran.expect_refused(machine);
        let said = ran.report["error"]["message"].as_str().unwrap_or_default().to_owned() + &ran.err();
        ran.check(said.contains(cure), "no cure");
        // The control: without it this machine has a box.
        run(["exit", "0"]).on(machine).as_user(user).go().expect_ok();
    }
}

#[test]
fn under_a_listener_of_somebody_elses_it_is_refused() {
    refused_below_a_listener(own, "--guest-listener native");
}

both!(what_the_profile_refuses_asks_no_served_listener_and_is_told, |user| {
    for call in ["mount", "keyctl", "unshare"] {
        let ran = served(run(["listener", "shadow", call])).as_user(user).go();
        ran.expect_ok().expect_stdout(format!("listener OK\nasked 0\n{call}: EPERM\n"));
        ran.check(denied(&ran, call).is_some(), "the box's own listener is there");
        assert_eq!(ran.report["denials_coverage"], "syscalls");
    }
    // The control: where the profile allows it, the guest's supervisor is asked, and the kernel answers.
    let scratch = Scratch::new(user);
    let profile = scratch.file("p.toml", "extends = \"default\"\n[syscalls]\nallow = [\"mount\"]\n");
    let ran = served(run(["listener", "shadow", "mount"]).profile(profile)).as_user(user).go();
    ran.expect_stdout("listener OK\nasked 1\nmount: EFAULT\n");
});

both!(what_a_served_listener_continues_meets_our_handlers, |user| {
    // The one escape that there is from an engine of stops: a notification outranks them, and a supervisor of the guest's continues everything.
    let attach = |scope: &str| {
        let ran = run(["listener", "shadow", "ptrace"]).option("--ptrace-scope", scope);
        served(ran).as_user(user).go()
    };
    let refused = attach("restricted");
    refused.expect_ok().expect_stdout("listener OK\nasked 1\nptrace: EPERM\n");
    refused.check(denied(&refused, "ptrace").is_some(), "a handler has refused it");
    attach("classic").expect_ok().expect_stdout("listener OK\nasked 1\nptrace: OK\n");
    // And the view.
    let scratch = Scratch::new(user);
    let path = scratch.file("secret", "secret");
    for (option, expected) in [("--deny", "EACCES"), ("--read", "OK")] {
        let ran = served(run(["outrank".as_ref(), path.as_os_str()]).option(option, &path)).as_user(user).go();
        let lines: Vec<String> = ran.out().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "OK", "the listener is had");
        assert_eq!(lines[1] == "OK", expected == "OK", "{option}: {lines:?}");
    }
});

both!(a_served_listener_needs_a_tracer, |user| {
    for engine in ["native", "notify"] {
        let ran = served(run(["exit", "0"])).option("--engine", engine).as_user(user).go();
        ran.check(ran.code() == 125, "refused");
        let said = ran.report["error"]["message"].as_str().unwrap_or_default().to_owned() + &ran.err();
        ran.check(said.contains("guest_listener = \"emulate\"") && said.contains("--engine ptrace"), "no cure");
    }
    served(run(["exit", "0"])).option("--engine", "ptrace").as_user(user).go().expect_ok();
});

both!(many_that_wait_leave_nothing_behind_and_hold_up_nobody, |user| {
    // The box is killed while its tasks wait for a supervisor that never answers; whoever waits for nobody goes on meanwhile.
    let ran = served(run(["listenrows", "floods"])).option("--wall", "60s").as_user(user).go();
    ran.expect_ok().expect_stdout("nobody is held up\ndone\n");
});

#[test]
fn under_a_listener_of_somebody_elses_none_is_served() {
    refused_below_a_listener(served, "emulate");
}
