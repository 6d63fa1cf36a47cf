//! Every new process is known before it runs.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tipstaff::handler::{Process, Trap};
use tipstaff::policy::profile::{Engine, PathRule};
use tipstaff::{Action, Arch, Command, Handler, SyscallSet, Verdict};
use tipstaff_testkit::{Machine, Scratch, User, Without, also_elsewhere};

use crate::guests::{ENGINE, boxed, scratch, text, with_guests};

/// Calls `seen` for each process.
struct Register<F>(F);

impl<F: FnMut(&Process) + Send> Handler for Register<F> {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::new(arch)
    }

    fn on_syscall(&mut self, _: &mut Trap<'_>) -> Action {
        Action::Pass
    }

    fn knows_processes(&self) -> bool {
        true
    }

    fn on_process(&mut self, process: &Process) {
        (self.0)(process);
    }

    fn name(&self) -> &str {
        "register"
    }
}

fn births(how: &[&str]) -> (Scratch, Command) {
    let scratch = scratch();
    let file = scratch.file("shared", [0; 4096]);
    let mut command = boxed("births", &[file.to_str().expect("a path of the kit")]);
    let mut profile = with_guests();
    profile.0.filesystem.write.push(PathRule::new(&file));
    command.args(how).profile(profile);
    (scratch, command)
}

type Known = Arc<Mutex<Vec<Process>>>;

/// A run whose processes are all kept.
fn registered(how: &[&str]) -> (tipstaff::Output, Vec<Process>) {
    let (_scratch, mut command) = births(how);
    let known = Known::default();
    let all = known.clone();
    command.handler(move || {
        let all = all.clone();
        all.lock().expect("list").clear();
        Register(move |process: &Process| all.lock().expect("list").push(process.clone()))
    });
    let output = command.output().expect("run");
    let known = known.lock().expect("list").clone();
    (output, known)
}

const ROADS: [&str; 6] = ["fork", "raw", "vfork", "clone", "clone3", "spawn"];

#[test]
fn a_process_has_not_run_when_it_is_known() {
    let places = [
        (User::Ordinary, Machine::Full),
        (User::Root, Machine::Without(Without::Namespaces)),
        (User::Ordinary, Machine::Without(Without::UserNamespace)),
        (User::Ordinary, Machine::Without(Without::Listener)),
    ];
    also_elsewhere("births::a_process_has_not_run_when_it_is_known", &places, || {
        for how in ROADS {
            let (scratch, mut command) = births(&[how]);
            let path = scratch.join("shared");
            let known = Arc::new(Mutex::new(Vec::new()));
            let all = known.clone();
            command.handler(move || {
                let (all, path) = (all.clone(), path.clone());
                // A launch can fail and be tried again otherwise.
                all.lock().expect("list").clear();
                Register(move |process: &Process| {
                    // Long enough to run; one that stands does not.
                    std::thread::sleep(Duration::from_millis(30));
                    let mut count = [0; 8];
                    fs::File::open(&path).and_then(|f| f.read_exact_at(&mut count, 8)).expect("shared");
                    all.lock().expect("list").push((process.clone(), u64::from_ne_bytes(count), process.lives()));
                })
            });
            let output = command.output().expect("run");
            assert_eq!(text(&output), format!("{how}\n"), "{output:?}");
            assert_eq!(output.report.verdict, Verdict::Ok, "{how}: {output:?}");
            let known = known.lock().expect("list");
            let [first, child] = &known[..] else { panic!("{how}: {known:?}") };
            assert!(child.1 == 0 && child.2, "{how}: {known:?}");
            assert_eq!(child.0.parent(), first.0.pid(), "{how}");
            assert!(child.0.started() >= first.0.started() && first.0.started() > 0, "{how}: {known:?}");
            assert!(!child.0.lives() && child.0.pidfd().is_some(), "{how}: its descriptor outlives it");
            if how != "spawn" {
                let mut count = [0; 8];
                fs::File::open(scratch.join("shared")).and_then(|f| f.read_exact_at(&mut count, 8)).expect("shared");
                assert_eq!(u64::from_ne_bytes(count), 1, "{how}: it has run since");
            }
        }
    });
}

#[test]
fn many_at_once_all_succeed() {
    let (output, known) = registered(&["storm"]);
    assert_eq!(text(&output), "640 spawns\n", "{output:?}");
    assert_eq!(output.report.verdict, Verdict::Ok, "{output:?}");
    assert_eq!(known.len(), 641, "threads are not processes");
    assert!(output.report.denials.is_empty(), "{output:?}");
}

#[test]
fn a_call_that_fails_makes_nothing() {
    let (output, known) = registered(&["failing"]);
    assert_eq!(text(&output), "1000 refused\n", "{output:?}");
    assert_eq!(known.len(), 2);
}

#[test]
fn signals_do_not_make_forks_fail() {
    let (output, known) = registered(&["timer", "50"]);
    let words = text(&output);
    let made: usize = words.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert_eq!(known.len(), made + 1, "{words}");
    assert_eq!(output.report.verdict, Verdict::Ok, "{output:?}");
}

#[test]
fn nobody_is_born_past_the_register() {
    let (output, known) = registered(&["untraced"]);
    if ENGINE == Engine::Ptrace {
        assert_eq!((text(&output).as_str(), known.len()), ("untraced: OK\n", 2), "the flag is taken out");
    } else {
        assert_eq!((text(&output).as_str(), known.len()), ("untraced: EPERM\n", 1));
        let rule = "handler that knows every process: CLONE_UNTRACED";
        assert!(output.report.denials.iter().any(|d| d.rule == *rule), "{output:?}");
    }
    let (_scratch, mut native) = births(&["untraced"]);
    assert_eq!(text(&native.output().expect("run")), "untraced: OK\n");
}

#[test]
fn a_debugger_in_the_box_has_its_tracee_and_says_so() {
    let (output, known) = registered(&["traced"]);
    if ENGINE == Engine::Ptrace {
        assert_eq!((text(&output).as_str(), known.len()), ("traced: OK\n", 3), "our tracer shares: {output:?}");
    } else {
        assert_eq!((text(&output).as_str(), known.len()), ("traced: EPERM\n", 2), "{output:?}");
        let told = |d: &tipstaff::report::Denial| d.rule.to_string().contains("the caller has a tracer");
        assert!(output.report.denials.iter().any(told), "{output:?}");
    }
    let (_scratch, mut native) = births(&["traced"]);
    let mut profile = with_guests();
    profile.0.isolation.engine = None;
    profile.0.filesystem.write.push(PathRule::new(_scratch.join("shared")));
    assert_eq!(text(&native.profile(profile).output().expect("run")), "traced: OK\n");
}

#[test]
fn who_wants_it_pays_and_nobody_else() {
    let (_scratch, mut command) = births(&["fork"]);
    let plan = command.explain().expect("plan");
    assert!(!plan.rules.iter().any(|r| r.enforcement.rule.to_string().contains("is known")));
    command.handler(|| Register(|_: &Process| {}));
    let plan = command.explain().expect("plan");
    let rule = plan.rules.iter().find(|r| r.enforcement.rule.to_string().contains("is known")).expect("said");
    let mechanism = if ENGINE == Engine::Ptrace { "ptrace events" } else { "seccomp notification, ptrace" };
    assert!(rule.enforcement.mechanism.starts_with(mechanism), "{rule:?}");
}
