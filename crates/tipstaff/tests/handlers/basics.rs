//! Actions, panics, rewriting, counting, injecting.

use tipstaff::handler::provided::{Count, Counts, Inject, When};
use tipstaff::handler::{Entry, Return};
use tipstaff::{Action, Arch, Rewriter, SyscallSet, Sysno, Verdict};
use tipstaff_testkit::{Machine, User, Without, also_elsewhere};

use crate::guests::{boxed, closure, text};

const EVERYWHERE: [(User, Machine); 5] = [
    (User::Ordinary, Machine::Full),
    (User::Root, Machine::Without(Without::Namespaces)),
    (User::Ordinary, Machine::Without(Without::UserNamespace)),
    (User::Ordinary, Machine::Without(Without::Listener)),
    (User::Ordinary, Machine::Without(Without::Landlock)),
];

#[test]
fn an_action_is_what_the_guest_gets() {
    also_elsewhere("basics::an_action_is_what_the_guest_gets", &EVERYWHERE, || {
        let words = ["getuid", "getppid", "say=on"];
        let with = |action: fn() -> Action| {
            let mut command = boxed("calls", &words);
            command.handler(move || closure(&["getuid"], move |_| action()));
            command.output().expect("run")
        };
        let passed = with(|| Action::Pass);
        assert!(text(&passed).starts_with("getuid OK "), "{passed:?}");
        let first = |output: &tipstaff::Output| text(output).lines().next().map(str::to_owned);
        assert_eq!(first(&with(|| Action::Allow)), first(&passed));
        let refused = with(|| Action::Errno(13));
        assert!(text(&refused).starts_with("getuid EACCES -1\ngetppid OK"), "{refused:?}");
        assert_eq!(refused.report.verdict, Verdict::Ok);
        let denial = refused.report.denials.iter().find(|d| d.syscall == "getuid").expect("told");
        assert_eq!(
            (denial.rule.to_string().as_str(), denial.errno.as_deref(), denial.count),
            ("handler closure", Some("EACCES"), 1)
        );
        assert!(text(&with(|| Action::Return(4711))).starts_with("getuid OK 4711\n"));
        let killed = with(|| Action::Kill);
        assert_eq!((killed.report.verdict, text(&killed).as_str()), (Verdict::PolicyViolation, ""));
        assert_eq!(killed.report.denials.iter().find(|d| d.syscall == "getuid").map(|d| &*d.action), Some("kill"));
    });
}

#[test]
fn a_kill_is_a_policy_violation_however_fast_the_program_ends() {
    for _ in 0..20 {
        let mut command = boxed("calls", &["getuid"]);
        command.handler(|| closure(&["exit_group"], |_| Action::Kill));
        assert_eq!(command.output().expect("run").report.verdict, Verdict::PolicyViolation);
    }
}

#[test]
fn a_panic_is_an_errno_and_an_internal_error() {
    let run = |panics: bool| {
        let mut command = boxed("calls", &["getuid", "getppid"]);
        command.handler(move || {
            closure(&["getuid"], move |_| {
                assert!(!panics, "of my own making");
                Action::Pass
            })
        });
        command.output().expect("run")
    };
    let output = run(true);
    assert!(text(&output).starts_with("getuid EPERM -1\ngetppid OK"), "it goes on: {output:?}");
    assert_eq!(output.report.verdict, Verdict::InternalError);
    let error = output.report.error.expect("told");
    assert_eq!((&*error.step, error.message.to_string().as_str()), ("handler", "handler closure: of my own making"));
    assert_eq!(run(false).report.verdict, Verdict::Ok);
}

#[test]
fn the_first_that_does_not_pass_decides() {
    let mut command = boxed("calls", &["getuid"]);
    command.handler(|| closure(&["getppid"], |_| Action::Kill));
    command.handler(|| closure(&["getuid"], |_| Action::Pass));
    command.handler(|| closure(&["getuid"], |_| Action::Return(1)));
    command.handler(|| closure(&["getuid"], |_| Action::Return(2)));
    assert_eq!(text(&command.output().expect("run")), "getuid OK 1\n");
}

#[test]
fn calls_are_counted() {
    let counts = Counts::default();
    let mut command = boxed("calls", &["getuid", "getppid", "getuid", "cat=/nowhere", "getuid"]);
    let theirs = counts.clone();
    command.handler(move || {
        let arch = Arch::native().expect("a table");
        Count::new(SyscallSet::from_names(arch, ["getuid", "getppid", "openat", "mkdir"]), theirs.clone())
    });
    assert_eq!(command.output().expect("run").report.verdict, Verdict::Ok);
    let seen = ["getuid", "getppid", "openat", "mkdir"].map(|name| counts.of(name));
    assert_eq!(seen, [3, 1, 1, 0], "{:?}", counts.all());
}

#[test]
fn calls_of_another_architecture_are_an_error() {
    let native = Arch::native().expect("a table");
    let other = if native == Arch::X86_64 { Arch::I386 } else { Arch::X86_64 };
    let mut command = boxed("calls", &["getuid"]);
    command.handler(move || Count::new(SyscallSet::from_names(other, ["getuid"]), Counts::default()));
    let error = command.output().expect_err("refused").to_string();
    let right = format!("handler Count wants system calls of {}, and the box runs on {}", other.name(), native.name());
    assert!(error.contains(&right), "{error}");
}

#[test]
fn a_handler_may_not_want_more_than_it_said() {
    let asked = std::sync::atomic::AtomicU32::new(0);
    let mut command = boxed("calls", &["getuid"]);
    command.handler(move || {
        let first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        closure(if first { &["getuid"] } else { &["getuid", "openat"] }, |_| Action::Pass)
    });
    let error = command.output().expect_err("refused").to_string();
    assert!(error.contains("a handler wants calls that the one made for the plan did not want"), "{error}");
}

#[test]
fn faults_are_injected_where_they_are_wanted() {
    let run = |text: &'static str| {
        let mut command = boxed("calls", &["getuid", "getuid", "getuid", "getppid"]);
        command.handler(move || Inject::parse(text, Arch::native().expect("a table")).expect(text));
        command.output().expect("run")
    };
    let lines = |output: &tipstaff::Output| {
        text(output).lines().map(|l| l.split(' ').nth(1).unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&run("getuid:error=ENOENT:when=2")), ["OK", "ENOENT", "OK", "OK"]);
    assert_eq!(lines(&run("getuid,getppid:error=EIO:when=2+2")), ["OK", "EIO", "OK", "EIO"]);
    assert!(text(&run("getuid:retval=77:when=1")).starts_with("getuid OK 77\n"));
    let slow = run("getuid:delay_enter=50ms");
    assert_eq!(lines(&slow), ["OK"; 4]);
    assert!(slow.report.wall_ns >= 150_000_000, "{}", slow.report.wall_ns);
    let signalled = run("getppid:signal=SIGUSR1");
    assert_eq!(signalled.report.signal.as_ref().map(|s| s.number), Some(10), "{:?}", signalled.report);
    assert_eq!(run("getuid:signal=SIGURG").report.verdict, Verdict::Ok, "ignored by default");
}

#[test]
fn a_delay_is_no_way_round_the_handlers_behind() {
    let mut command = boxed("calls", &["getuid"]);
    command.handler(|| {
        let arch = Arch::native().expect("a table");
        let set = SyscallSet::from_names(arch, ["getuid"]);
        Inject::new(set).delay(std::time::Duration::from_millis(1)).when(When::only(1))
    });
    command.handler(|| closure(&["getuid"], |_| Action::Errno(1)));
    assert_eq!(text(&command.output().expect("run")), "getuid EPERM -1\n");
}

/// Makes another call of getppid.
struct Becomes(&'static str);

impl Rewriter for Becomes {
    fn wants(&self, arch: Arch) -> SyscallSet {
        SyscallSet::from_names(arch, ["getppid"])
    }

    fn on_entry(&mut self, entry: &mut Entry<'_>) -> Action {
        entry.set_number(Sysno::by_name(entry.arch(), self.0).expect("a call"));
        Action::Pass
    }

    fn returns(&self, arch: Arch) -> SyscallSet {
        self.wants(arch)
    }

    fn on_return(&mut self, returned: &mut Return<'_>) {
        if returned.value() >= 0 {
            returned.set_value(returned.value() + 1_000_000);
        }
    }
}

#[test]
fn a_changed_call_is_filtered_again() {
    let run = |into: &'static str| {
        let mut command = boxed("calls", &["getuid", "getppid"]);
        command.rewriter(move || Becomes(into));
        command.output().expect("run")
    };
    // getuid's own answer, a million later.
    let allowed = run("getuid");
    let lines: Vec<_> = text(&allowed).lines().map(str::to_owned).collect();
    let number = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<i64>().ok()).expect("a number");
    assert_eq!(number(&lines[1]), number(&lines[0]) + 1_000_000, "{lines:?}");
    let refused = run("add_key");
    assert!(text(&refused).contains("getppid EPERM -1"), "{refused:?}");
    if !tipstaff::Machine::full().caps.listener {
        return;
    }
    let denial = refused.report.denials.iter().find(|d| d.syscall == "add_key").expect("told");
    assert!(denial.rule.to_string().contains("keyring"), "by the filter: {denial:?}");
}

#[test]
fn no_call_is_lost_or_seen_twice() {
    let counts = Counts::default();
    let theirs = counts.clone();
    let mut command = boxed("manycalls", &["16", "2000"]);
    command.handler(move || {
        let arch = Arch::native().expect("a table");
        Count::new(SyscallSet::from_names(arch, ["getppid"]), theirs.clone())
    });
    command.rewriter(|| Becomes("getppid"));
    let output = command.output().expect("run");
    assert_eq!((text(&output).as_str(), counts.of("getppid")), ("32000\n", 32000), "{output:?}");
}

#[test]
fn many_boxes_at_a_time_do_not_mix() {
    let threads: Vec<_> = (0..6)
        .map(|n| {
            std::thread::spawn(move || {
                for _ in 0..5 {
                    let mut command = boxed("calls", &["getuid"]);
                    command.handler(move || closure(&["getuid"], move |_| Action::Return(n)));
                    assert_eq!(text(&command.output().expect("run")), format!("getuid OK {n}\n"));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("thread"));
}
