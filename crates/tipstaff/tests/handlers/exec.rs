//! What was approved is what runs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command as Plain;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tipstaff::handler::{Argv, Trap};
use tipstaff::policy::profile::PathRule;
use tipstaff::{Action, Command, Verdict};
use tipstaff_testkit::{Machine, Scratch, User, Without, also_elsewhere, guest};

use crate::guests::{boxed, closure, show, text, with_guests};

const EXECS: &[&str] = &["execve", "execveat"];

/// Two programs that differ in nothing but their names, which are equally long.
fn programs() -> (Scratch, PathBuf, PathBuf) {
    let user = if User::Root.available() { User::Root } else { User::Ordinary };
    let scratch = Scratch::new(user);
    let bytes = fs::read(guest("whoruns")).expect("guest");
    let file = |name| {
        let path = scratch.file(name, &bytes);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
        path
    };
    let (good, evil) = (file("good"), file("evil"));
    (scratch, good, evil)
}

fn swapping(args: &[&str], dir: &Path) -> Command {
    let mut command = boxed("swapexec", args);
    let mut profile = with_guests();
    profile.0.filesystem.exec.push(PathRule::new(dir));
    command.profile(profile);
    command
}

/// Approves what is good, after a while in which it can be swapped.
fn decide(good: bool) -> Action {
    if good { Action::after(Duration::from_millis(2), Action::Pass) } else { Action::Errno(13) }
}

/// Reads a string past the engine, which cannot know then that the decision rests on it.
fn peek(trap: &Trap<'_>, address: u64) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; 512];
    let memory = fs::File::open(format!("/proc/{}/mem", trap.tid())).expect("a tracee's memory");
    let read = memory.read_at(&mut bytes, address).unwrap_or(0);
    bytes.truncate(bytes[..read].iter().position(|b| *b == 0).unwrap_or(0));
    bytes
}

#[test]
fn a_swapped_path_never_runs() {
    let places = [(User::Ordinary, Machine::Full), (User::Root, Machine::Without(Without::Namespaces))];
    also_elsewhere("exec::a_swapped_path_never_runs", &places, || {
        let (scratch, good, evil) = programs();
        let args = ["path", show(&good), show(&evil), "400"];
        let mut command = swapping(&args, scratch.path());
        command.handler(|| closure(EXECS, |trap| decide(trap.path(0).is_ok_and(|path| path.ends_with("good")))));
        let output = command.output().expect("run");
        assert!(!text(&output).contains("evil"), "{output:?}");
        assert_eq!(output.report.verdict, Verdict::PolicyViolation, "{output:?}");
        let rule = "the executed program is not the approved one";
        assert!(output.report.denials.iter().any(|d| d.rule == *rule && &*d.action == "kill"), "{output:?}");
    });
    // The same decision without the verification.
    let (scratch, good, evil) = programs();
    let mut command = swapping(&["path", show(&good), show(&evil), "400"], scratch.path());
    command.handler(|| closure(EXECS, |trap| decide(peek(trap, trap.args()[0]).ends_with(b"good"))));
    let output = command.output().expect("run");
    assert!(text(&output).contains("evil"), "the attack works: {output:?}");
}

#[test]
fn a_swapped_argument_never_arrives() {
    let (scratch, good, _) = programs();
    let args = ["argv", "good", "evil", "400", show(&good)];
    let mut command = swapping(&args, scratch.path());
    let is_good = |argv: Argv| argv.0.get(1).is_some_and(|arg| arg == "good");
    command.handler(move || closure(EXECS, move |trap| decide(trap.argv(1).is_ok_and(is_good))));
    let output = command.output().expect("run");
    assert!(!text(&output).contains("evil"), "{output:?}");
    assert_eq!(output.report.verdict, Verdict::PolicyViolation, "{output:?}");
    let mut command = swapping(&args, scratch.path());
    let second = |trap: &Trap<'_>| {
        use std::os::unix::fs::FileExt;
        let memory = fs::File::open(format!("/proc/{}/mem", trap.tid())).expect("a tracee's memory");
        let mut word = [0; 8];
        memory.read_exact_at(&mut word, trap.args()[1] + 8).expect("argv");
        u64::from_ne_bytes(word)
    };
    command.handler(move || closure(EXECS, move |trap| decide(peek(trap, second(trap)) == b"good")));
    let output = command.output().expect("run");
    assert!(text(&output).contains("evil"), "the attack works: {output:?}");
}

#[test]
fn approved_execs_of_every_form_run() {
    let places = [
        (User::Ordinary, Machine::Full),
        (User::Root, Machine::Without(Without::Namespaces)),
        (User::Ordinary, Machine::Without(Without::UserNamespace)),
    ];
    also_elsewhere("exec::approved_execs_of_every_form_run", &places, || {
        let (scratch, good, _) = programs();
        let script = |name: &str, line: &str| {
            let path = scratch.file(name, line);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
        };
        script("script", &format!("#! {} an argument \n", good.display()));
        script("nested", &format!("#!{}/script\n", scratch.path().display()));
        std::os::unix::fs::symlink("good", scratch.join("link")).expect("link");
        let dir = show(scratch.path());
        let inside = |name: &str| format!("{dir}/{name}");
        let cases = [
            ("path", "good", "good x\n".to_owned()),
            ("relative", "good", "good x\n".to_owned()),
            ("dirfd", "good", "good x\n".to_owned()),
            ("fd", "good", "good x\n".to_owned()),
            ("magic", "good", "good x\n".to_owned()),
            ("empty", "good", "good\n".to_owned()),
            ("thread", "good", "good x\n".to_owned()),
            ("path", "link", "good x\n".to_owned()),
            ("path", "script", format!("good an argument {} x\n", inside("script"))),
            ("relative", "script", "good an argument script x\n".to_owned()),
            ("thread", "script", format!("good an argument {} x\n", inside("script"))),
            ("dirfd", "script", "good an argument /dev/fd/3/script x\n".to_owned()),
            ("fd", "script", "good an argument /dev/fd/3 x\n".to_owned()),
            ("path", "nested", format!("good an argument {} {} x\n", inside("script"), inside("nested"))),
        ];
        for (how, name, right) in cases {
            let seen: Arc<Mutex<BTreeSet<&'static str>>> = Arc::default();
            let mut command = boxed("execas", &[how, dir, name, "x"]);
            let mut profile = with_guests();
            profile.0.filesystem.exec.push(PathRule::new(dir));
            command.profile(profile);
            let theirs = Arc::clone(&seen);
            command.handler(move || {
                let seen = Arc::clone(&theirs);
                closure(EXECS, move |trap| {
                    let (path, argv) = if trap.name() == Some("execve") { (0, 1) } else { (1, 2) };
                    let read = trap.path(path).is_ok() && trap.argv(argv).is_ok();
                    seen.lock().expect("seen").insert(if read { "approved" } else { "not readable" });
                    Action::Allow
                })
            });
            let output = command.output().expect("run");
            assert_eq!(text(&output), right, "{how} {name}: {output:?}");
            assert_eq!(output.report.verdict, Verdict::Ok, "{how} {name}: {output:?}");
            assert_eq!(*seen.lock().expect("seen"), BTreeSet::from(["approved"]));
        }
    });
}

#[test]
fn an_exec_that_cannot_be_made_fails_as_it_would() {
    let (scratch, _, _) = programs();
    fs::create_dir(scratch.join("directory")).expect("directory");
    // Nobody writes to it: whoever opens it waits.
    assert!(Plain::new("mkfifo").arg(scratch.join("fifo")).status().expect("mkfifo").success());
    std::os::unix::fs::symlink("loop", scratch.join("loop")).expect("link");
    for (name, errno) in [("nothing", "ENOENT"), ("directory", "EACCES"), ("fifo", "EACCES"), ("loop", "ELOOP")] {
        let run = |asked: bool| {
            let mut command = boxed("execas", &["path", show(scratch.path()), name]);
            let mut profile = with_guests();
            profile.0.filesystem.exec.push(PathRule::new(scratch.path()));
            command.profile(profile);
            if asked {
                command.handler(|| {
                    closure(EXECS, |trap| {
                        assert!(trap.path(0).is_ok());
                        Action::Pass
                    })
                });
            }
            command.output().expect("run")
        };
        let native = run(false);
        assert_eq!(String::from_utf8_lossy(&native.stderr), format!("path: {errno}\n"));
        let asked = run(true);
        assert_eq!((asked.stderr, asked.report.exit_code), (native.stderr, native.report.exit_code), "{name}");
    }
}

#[test]
fn a_shell_with_its_pipelines_is_what_it_was() {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        "for i in 1 2 3 4 5; do ls / | sort | head -1; done; /bin/echo $(seq 1 30000) | wc -w; exec echo end",
    ]);
    command.profile(tipstaff::Profile::preset("default").expect("a preset"));
    let native = command.output().expect("run");
    command.handler(|| {
        closure(EXECS, |trap| {
            assert!(trap.path(0).is_ok() && trap.argv(1).is_ok());
            Action::Pass
        })
    });
    let output = command.output().expect("run");
    assert_eq!(text(&output), text(&native), "{output:?}");
    assert_eq!(output.report.verdict, Verdict::Ok, "{output:?}");
}
