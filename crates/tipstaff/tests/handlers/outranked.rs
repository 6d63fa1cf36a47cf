//! A guest cannot outrank the tracer: its own filters, children that nobody traces, its own ptrace(2).

use std::process::Command as Plain;

use tipstaff::policy::profile::{Denials, Engine, RuleAction, SyscallRule};
use tipstaff::{Action, Command, Profile, Verdict};
use tipstaff_testkit::{Machine, Scratch, User, Without, also_elsewhere, guest};

use crate::guests::{ENGINE, boxed, closure, only, show, text, with_guests};

/// A directory with a file `secret`, and its path.
fn secret() -> (Scratch, String) {
    let user = if User::Root.available() { User::Root } else { User::Ordinary };
    let scratch = Scratch::new(user);
    let path = scratch.file("secret", "secret");
    let text = show(&path).to_owned();
    (scratch, text)
}

/// A box in which a handler refuses to open that file, which can be read there otherwise.
fn guarded(name: &str, args: &[&str], profile: Profile, file: &str) -> Command {
    let mut command = boxed(name, args);
    command.profile(profile.read(file));
    let file = file.to_owned();
    command.handler(move || {
        let file = file.clone();
        closure(&["openat", "open", "openat2"], move |trap| {
            let index = usize::from(trap.name() != Some("open"));
            if trap.path(index).is_ok_and(|path| path == std::path::Path::new(&file)) {
                return Action::Errno(13);
            }
            Action::Pass
        })
    });
    command
}

/// The same under a tracer without a listener.
fn plain(file: &str, name: &str, args: &[&str]) -> String {
    let out = Plain::new(guest("bantracer")).arg(file).arg(guest(name)).args(args).output().expect("run");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn its_own_listener_lets_nothing_through() {
    let places = [
        (User::Ordinary, Machine::Full),
        (User::Root, Machine::Without(Without::Namespaces)),
        (User::Ordinary, Machine::Without(Without::Listener)),
    ];
    also_elsewhere("outranked::its_own_listener_lets_nothing_through", &places, || {
        let (_scratch, file) = secret();
        let args = ["notify", &file];
        // What guards the file guards it: the same open without a filter of the guest's.
        let word = format!("cat={file}");
        let output = guarded("calls", &[&word], with_guests(), &file).output().expect("run");
        assert!(text(&output).contains("cat EACCES"), "{output:?}");
        let output = guarded("overrule", &args, with_guests(), &file).output().expect("run");
        assert_eq!(text(&output), "filter EBUSY\nopen EACCES\n", "{output:?}");
        // Without a listener of ours in the chain, our filter refuses the guest's.
        let mut silent = with_guests();
        silent.0.isolation.denials = Some(Denials::Silent);
        let output = guarded("overrule", &args, silent, &file).output().expect("run");
        assert_eq!(text(&output), "filter EBUSY\nopen EACCES\n", "{output:?}");
    });
}

#[test]
fn a_tracer_without_a_listener_is_escaped_from() {
    let (_scratch, file) = secret();
    assert!(plain(&file, "calls", &[&format!("cat={file}")]).contains("EACCES"), "it does refuse");
    assert_eq!(plain(&file, "overrule", &["notify", &file]), "filter OK\nopen OK\nread secret\n");
}

#[test]
fn its_own_filters_only_hide_calls() {
    let (_scratch, file) = secret();
    // A notification outranks what asks for a tracer, and a tracer's stop does not: seccomp(2).
    let trace = if ENGINE == Engine::Auto { "EACCES" } else { "ENOSYS" };
    for (how, open) in [("trap", "OK"), ("errno", "EXDEV"), ("trace", trace)] {
        let output = guarded("overrule", &[how, &file], with_guests(), &file).output().expect("run");
        // A trapped call returns its own number, which is no descriptor.
        assert_eq!(text(&output), format!("filter OK\nopen {open}\n"), "{how}: {output:?}");
        assert_eq!(output.report.verdict, Verdict::Ok);
        // As without us.
        if open != "EACCES" {
            let native = boxed("overrule", &[how, &file]).output().expect("run");
            assert_eq!(text(&native), text(&output), "{how}");
        }
    }
}

fn with_clone3() -> Profile {
    let mut profile = with_guests();
    let rule = SyscallRule { names: vec!["clone3".into()], action: RuleAction::Allow, conditions: Vec::new() };
    profile.0.syscalls.rules.push(rule);
    profile
}

#[test]
fn no_child_is_untraced() {
    if !only(Engine::Ptrace, "a notification needs no tracer, and clone3 is the profile's") {
        return;
    }
    let places = [(User::Ordinary, Machine::Full), (User::Root, Machine::Without(Without::Namespaces))];
    also_elsewhere("outranked::no_child_is_untraced", &places, || {
        let (_scratch, file) = secret();
        let output = guarded("unfollowed", &["clone", &file], with_guests(), &file).output().expect("run");
        assert_eq!(text(&output), "open EACCES\nclone OK\n", "the child is asked about: {output:?}");
        let output = guarded("unfollowed", &["clone3", &file], with_clone3(), &file).output().expect("run");
        assert_eq!(text(&output), "clone3 ENOSYS\n", "{output:?}");
    });
}

#[test]
fn a_child_is_untraced_where_nobody_minds() {
    let (_scratch, file) = secret();
    // Where nobody traces, the profile has its way.
    let mut allowed = with_clone3();
    allowed.0.isolation.engine = Some(Engine::Native);
    let output = boxed("unfollowed", &["clone3", &file]).profile(allowed.read(&file)).output().expect("run");
    assert_eq!(text(&output), "open OK\nclone3 OK\n", "{output:?}");
    // Under a tracer that lets it be, the child has none: its traced calls fail.
    assert_eq!(plain(&file, "unfollowed", &["clone", &file]), "open ENOSYS\nclone OK\n");
    assert_eq!(plain(&file, "unfollowed", &["clone3", &file]), "open ENOSYS\nclone3 OK\n");
}

#[test]
fn ptrace_inside_works_under_a_tracer_and_under_notifications() {
    let traced = || {
        let mut command = boxed("ptracer", &[]);
        command.handler(|| closure(&["getuid"], |_| Action::Pass));
        command.output().expect("run")
    };
    let output = traced();
    assert_eq!(output.report.verdict, Verdict::Ok, "{output:?}");
    let seen = text(&output);
    assert!(seen.contains("\"traceme\":\"OK\"") && seen.contains("\"seize\":\"OK\""), "{seen}");
    let denied = || {
        let mut with = with_guests();
        with.0.isolation.guest_ptrace = Some(tipstaff::policy::profile::GuestPtrace::Deny);
        let mut command = boxed("ptracer", &[]);
        command.profile(with).handler(|| closure(&["getuid"], |_| Action::Pass));
        text(&command.output().expect("run"))
    };
    assert!(denied().contains("\"traceme\":\"EPERM\""), "the control");
    let mut native = with_guests();
    native.0.isolation.engine = Some(Engine::Native);
    let native = text(&boxed("ptracer", &[]).profile(native).output().expect("run"));
    assert!(native.contains("\"traceme\":\"OK\"") && native.contains("\"seize\":\"OK\""), "{native}");
}
