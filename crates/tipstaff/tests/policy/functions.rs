//! Decisions, and what they are made on.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tipstaff::policy::profile::PathRule;
use tipstaff::{Category, Command, Decision, Event, Interest, Output, PolicyFn, Subject, Verdict};
use tipstaff_testkit::{Machine, Scratch, User, Without, also_elsewhere, guest};

use crate::guests::{boxed, scratch, text, with_guests};

const EVERYWHERE: [(User, Machine); 4] = [
    (User::Ordinary, Machine::Full),
    (User::Root, Machine::Without(Without::Namespaces)),
    (User::Ordinary, Machine::Without(Without::UserNamespace)),
    (User::Ordinary, Machine::Without(Without::Listener)),
];

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).profile(with_guests());
    command
}

fn argv(event: &Event) -> &[OsString] {
    match event.subject() {
        Subject::Exec { argv, .. } => argv,
        other => panic!("{other:?}"),
    }
}

fn run(
    mut command: Command,
    interest: Interest,
    decide: impl Fn(&Event) -> Decision + Copy + Send + Sync + 'static,
) -> Output {
    command.policy_fn(move || PolicyFn::new(interest, decide));
    command.output().expect("run")
}

fn births(how: &str) -> (Scratch, Command) {
    let scratch = scratch();
    let file = scratch.file("shared", [0; 4096]);
    let mut command = boxed("births", &[file.to_str().expect("a path of the kit"), how]);
    let mut profile = with_guests();
    profile.0.filesystem.write.push(PathRule::new(&file));
    command.profile(profile);
    (scratch, command)
}

#[test]
fn a_decision_is_what_the_guest_gets() {
    also_elsewhere("functions::a_decision_is_what_the_guest_gets", &EVERYWHERE, || {
        let script = "/bin/echo one; /bin/echo two; echo $?";
        fn two(event: &Event) -> bool {
            argv(event).get(1).is_some_and(|arg| arg == "two")
        }
        let all = run(shell(script), Interest::EXEC, |_| Decision::Allow);
        assert_eq!(text(&all), "one\ntwo\n0\n", "{all:?}");
        assert!(all.report.denials.is_empty());
        let denied =
            run(shell(script), Interest::EXEC, move |event| if two(event) { Decision::Deny } else { Decision::Allow });
        assert_eq!(text(&denied), "one\n126\n", "{denied:?}");
        assert_eq!(denied.report.verdict, Verdict::Ok);
        let [denial] = &denied.report.denials[..] else { panic!("{denied:?}") };
        assert_eq!((denial.syscall.as_str(), denial.errno.as_deref()), ("execve", Some("EACCES")));
        assert!(denial.rule.to_string().starts_with("policy: exec /"), "{denial:?}");
        let absent = run(
            shell(script),
            Interest::EXEC,
            move |event| if two(event) { Decision::Errno(2) } else { Decision::Allow },
        );
        assert_eq!(text(&absent), "one\n127\n", "{absent:?}");
        let killed =
            run(shell(script), Interest::EXEC, move |event| if two(event) { Decision::Kill } else { Decision::Allow });
        // Under ptrace the caller dies first, and the shell can still say so.
        assert!(text(&killed).starts_with("one\n") && !text(&killed).contains("two"), "{killed:?}");
        assert_eq!(killed.report.verdict, Verdict::PolicyViolation);
    });
}

#[test]
fn what_was_audited_can_be_read() {
    let policy = PolicyFn::new(Interest::EXEC, |_| Decision::Audit);
    let trail = policy.audit();
    let mut command = shell("/bin/true; /bin/echo done");
    command.policy_fn(move || policy.clone());
    let output = command.output().expect("run");
    assert_eq!(text(&output), "done\n");
    let events = trail.events();
    assert_eq!((events.len(), trail.more()), (2, 0), "{events:?}");
    let last = &events[1];
    assert_eq!(
        (last.category(), last.call(), argv(last)),
        (Category::Process, "execve", &["/bin/echo", "done"].map(OsString::from)[..])
    );
    let Subject::Exec { path, file, .. } = last.subject() else { panic!("{last:?}") };
    assert_eq!((path.as_path(), file.file_name()), (Path::new("/bin/echo"), Some("echo".as_ref())));
    // The shell forks, and its child is the caller.
    assert!(last.pid() > 0 && last.parent() > 0 && last.tid() == last.pid() && last.process().is_none());
    let program = last.program().expect("readable");
    assert_eq!(program, std::fs::canonicalize("/bin/sh").expect("a shell"), "{last:?}");
}

#[test]
fn no_argument_is_hidden() {
    let pads = |n: usize| (0..n).map(|_| OsString::from("a")).collect::<Vec<_>>();
    let secret = OsString::from("secret");
    let long = OsString::from_vec(vec![b'x'; 128 * 1024 - 1]);
    let cases = [
        ("seventy in front", [pads(70), vec![secret.clone()]].concat()),
        ("one that is no text", vec![OsString::from_vec(vec![0xff, 0xfe]), secret.clone()]),
        ("a long one", vec![long, secret.clone()]),
        ("ten thousand", [pads(10_000), vec![secret]].concat()),
    ];
    for (what, args) in cases {
        let command = || {
            let mut command = boxed("execas", &["path", "/bin", "true"]);
            command.args(&args);
            command
        };
        let denied = run(command(), Interest::EXEC, |event| {
            let found = argv(event).iter().any(|arg| arg == "secret");
            if found { Decision::Deny } else { Decision::Allow }
        });
        assert_eq!(denied.report.exit_code, Some(8), "{what}: {:?}", denied.report);
        assert_eq!(String::from_utf8_lossy(&denied.stderr), "path: EACCES\n", "{what}");
        let allowed = run(command(), Interest::EXEC, |event| {
            let found = argv(event).iter().any(|arg| arg == "another");
            if found { Decision::Deny } else { Decision::Allow }
        });
        assert_eq!(allowed.report.verdict, Verdict::Ok, "{what}: {:?}", allowed.report);
    }
}

#[test]
fn what_was_approved_is_what_runs() {
    for attack in ["swapexec", "peerexec"] {
        let program = guest("args");
        let path = program.to_str().expect("a path of the kit");
        let args = if attack == "swapexec" {
            vec!["argv", "good", "evil", "300", path]
        } else {
            vec!["good", "evil", "300", path]
        };
        let hex = |word: &str| word.bytes().map(|b| format!("{b:02x}")).collect::<String>();
        let decided: Arc<Mutex<BTreeSet<bool>>> = Arc::default();
        let mut command = boxed(attack, &args);
        let all = decided.clone();
        command.policy_fn(move || {
            let all = all.clone();
            PolicyFn::new(Interest::EXEC, move |event| {
                let good = argv(event).get(1).is_some_and(|arg| arg == "good");
                all.lock().expect("set").insert(good);
                // Long enough to be swapped in.
                std::thread::sleep(std::time::Duration::from_millis(1));
                if good { Decision::Allow } else { Decision::Deny }
            })
        });
        let output = command.output().expect("run");
        assert!(!text(&output).contains(&hex("evil")), "{attack}: {output:?}");
        assert_eq!(output.report.verdict, Verdict::PolicyViolation, "{attack}: {output:?}");
        assert!(decided.lock().expect("set").contains(&true), "{attack}");
        // The attack works where nobody compares.
        let swapped = || text(&boxed(attack, &args).output().expect("run")).contains(&hex("evil"));
        assert!((0..20).any(|_| swapped()), "{attack}");
    }
}

#[test]
fn a_process_can_be_refused() {
    let refused = run(shell("/bin/echo a; echo $?"), Interest::FORK, |event| {
        assert!(matches!(event.subject(), Subject::Fork { flags } if flags & 0xff == 17), "{event:?}");
        Decision::Errno(11)
    });
    assert!(!text(&refused).contains('a') && refused.report.exit_code != Some(0), "{refused:?}");
    assert!(refused.report.denials.iter().any(|d| d.rule == *"policy: a new process"), "{refused:?}");
    let made = run(shell("/bin/echo a; echo $?"), Interest::FORK, |_| Decision::Allow);
    assert_eq!(text(&made), "a\n0\n");
}

#[test]
fn threads_are_not_asked_about() {
    let (_scratch, command) = births("threads");
    let asked = run(command, Interest::FORK, |_| Decision::Deny);
    assert_eq!(text(&asked), "8 threads\n", "{asked:?}");
    let (_scratch, command) = births("fork");
    let asked = run(command, Interest::FORK, |_| Decision::Deny);
    assert_eq!(String::from_utf8_lossy(&asked.stderr), "fork: EPERM\n", "{asked:?}");
}

#[test]
fn an_open_is_told_and_never_decided() {
    let script = "read line < /etc/hostname; echo went on";
    let policy = PolicyFn::new(Interest::OPEN, |event| match event.subject() {
        Subject::Open { path } if path == Path::new("/etc/hostname") => Decision::Audit,
        _ => Decision::Allow,
    });
    let trail = policy.audit();
    let mut command = shell(script);
    command.policy_fn(move || policy.clone());
    assert_eq!(text(&command.output().expect("run")), "went on\n");
    assert_eq!(trail.events().len(), 1, "{:?}", trail.events());
    let wrong = run(shell(script), Interest::OPEN, |event| match event.subject() {
        Subject::Open { path } if path == Path::new("/etc/hostname") => Decision::Deny,
        _ => Decision::Allow,
    });
    assert_eq!(wrong.report.verdict, Verdict::InternalError, "{wrong:?}");
    let words = wrong.report.error.expect("told").message.to_string();
    assert!(words.contains("only the profile can deny paths"), "{words}");
}

#[test]
fn other_calls_are_decided_by_their_words() {
    let decide = |event: &Event| if event.args()[0] == 7 { Decision::Errno(13) } else { Decision::Allow };
    let run = |first: &str| {
        let mut command = boxed("steps", &[]);
        command.policy_fn(move || PolicyFn::new(Interest::default(), decide).calls(["getppid"]).named("words"));
        command.stdin(tipstaff::Stdio::piped());
        let mut child = command.stdout(tipstaff::Stdio::piped()).spawn().expect("spawn");
        use std::io::{BufRead, BufReader, Write};
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "{first}").expect("written");
        drop(stdin);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let report = child.wait().expect("wait");
        (line, report.verdict)
    };
    assert_eq!(run("pid"), ("OK\n".to_owned(), Verdict::Ok));
    let mut wrong = boxed("steps", &[]);
    wrong.policy_fn(|| PolicyFn::new(Interest::EXEC, |_| Decision::Allow).calls(["no_such_call"]));
    let words = wrong.output().expect_err("refused").to_string();
    assert!(words.contains("\"no_such_call\" is no system call"), "{words}");
}

#[test]
fn eighty_spawns_by_each_of_eight_threads_are_decided() {
    let (_scratch, mut command) = births("storm");
    let count = Arc::new(Mutex::new(0));
    let all = count.clone();
    command.policy_fn(move || {
        let all = all.clone();
        let decide = move |event: &Event| {
            assert!(event.process().is_some_and(|process| process.pid() == event.pid() && process.lives()));
            *all.lock().expect("count") += 1;
            Decision::Allow
        };
        PolicyFn::new(Interest::EXEC, decide).know_processes()
    });
    let output = command.output().expect("run");
    assert_eq!((text(&output).as_str(), output.report.verdict), ("640 spawns\n", Verdict::Ok), "{output:?}");
    assert_eq!(*count.lock().expect("count"), 640);
    assert!(output.report.denials.is_empty(), "{output:?}");
}
