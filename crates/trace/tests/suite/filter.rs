//! Seccomp-driven tracing: only the wanted calls stop.

use std::collections::BTreeMap;

use tipstaff_abi::bpf::Insn;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_seccomp::{Action, Filter, Rule, Table};
use tipstaff_trace::{Config, DetachError, End, Go, Observer, Resume, Stop, Task, Tracer, Untraced};

use crate::kit::{Recorder, What, guest, run, run_with};

/// RET_TRACE for these calls, everything else is let through.
pub fn tracing(names: &[&str]) -> Vec<Insn> {
    let mut table =
        Table { arch: Arch::X86_64, rules: BTreeMap::new(), default: Action::Allow, unknown: Action::Allow };
    for name in names {
        let number = Sysno::by_name(Arch::X86_64, name).expect("a call");
        table.push(number, Rule { conditions: vec![], action: Action::Trace(7) });
    }
    let filter = Filter { tables: vec![table], foreign: Action::Allow };
    filter.compile().expect("a filter").insns().to_vec()
}

pub const FREE: Config = Config {
    start: Go::Free,
    untraced: Untraced::Escape,
    filtered_untraced: false,
    follow: true,
    usage: false,
    returns: false,
    foreign: false,
};

/// Shows the return of each wanted call.
#[derive(Default)]
struct Returns(Recorder);

impl Observer for Returns {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        self.0.on_stop(task, stop);
        match stop {
            Stop::Seccomp(s) => {
                assert_eq!(s.data(), 7);
                Resume::ToSyscall
            }
            Stop::Left(_) | Stop::Executed(_) => Resume::Free,
            _ => Resume::AsBefore,
        }
    }

    fn on_end(&mut self, task: &Task, end: End) {
        self.0.on_end(task, end);
    }
}

#[test]
fn only_wanted_calls_stop_and_each_returns() {
    let launch = guest("callcount").args(["2", "500"]).filter_without_listener(tracing(&["getpriority"]));
    let mut seen = Returns::default();
    let (pid, output) = run_with(FREE, launch, &mut seen);
    let seen = seen.0;
    assert_eq!(output, "1000\n");
    assert_eq!(seen.end(pid), Some(End::Exited(0)));
    assert_eq!(seen.count(|what| *what == What::Seccomp("getpriority", false)), 1000);
    assert_eq!(seen.count(|what| matches!(what, What::Left("getpriority", 1..))), 1000);
    // Nothing but those and the exec that began it.
    assert_eq!(seen.count(|what| matches!(what, What::Entered(_))), 1);
    assert_eq!(seen.count(|what| matches!(what, What::Left(..))), 1000);
}

#[test]
fn a_return_that_is_wanted_survives_the_events_in_between() {
    let launch = guest("lifecycle").arg("fork").filter_without_listener(tracing(&["clone", "clone3", "fork", "wait4"]));
    let mut seen = Returns::default();
    let (pid, _) = run_with(FREE, launch, &mut seen);
    let seen = seen.0;
    let child = seen.0.iter().find_map(|seen| match seen.what {
        What::Forked(_, child) => Some(child),
        _ => None,
    });
    let child = child.expect("a child");
    assert!(seen.position(pid, |what| *what == What::Left("clone", child.into())).is_some(), "{seen:#?}");
    assert!(seen.position(pid, |what| *what == What::Left("wait4", child.into())).is_some(), "{seen:#?}");
    assert_eq!(seen.end(pid), Some(End::Exited(0)));
}

#[test]
fn both_stops_of_one_call_are_told_apart() {
    let launch = guest("callcount").args(["1", "3"]).filter_without_listener(tracing(&["getpriority"]));
    let ran = run(Config::default(), launch);
    ran.seen.expect_whole();
    assert_eq!(ran.seen.count(|what| *what == What::Entered("getpriority")), 3);
    assert_eq!(ran.seen.count(|what| *what == What::Seccomp("getpriority", true)), 3);
    assert_eq!(ran.seen.count(|what| matches!(what, What::Left("getpriority", _))), 3);
}

#[test]
fn no_new_privs_only_where_it_is_needed() {
    let mut tracer = Tracer::new(FREE);
    let launch = guest("exit").filter(tracing(&["getpriority"]));
    let launched = tracer.launch(&launch, &mut Recorder::default()).expect("launch");
    let admin = std::fs::read_to_string("/proc/self/status").expect("status");
    let caps = admin.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
    let caps = u64::from_str_radix(caps.trim(), 16).expect("hex");
    assert_eq!(launched.no_new_privs, caps >> 21 & 1 == 0);
}

#[test]
fn a_filtered_program_is_not_let_go() {
    let mut tracer = Tracer::new(FREE);
    let launch = guest("sleeper").arg("0").filter(tracing(&["getpriority"]));
    let launched = tracer.launch(&launch, &mut Recorder::default()).expect("launch");
    assert_eq!(tracer.detach(&mut Recorder::default()), Err(DetachError::Filtered(launched.pid)));
    // It is still traced, and goes with its tracer.
    assert_eq!(tracer.tasks().len(), 1);
    drop(tracer);
    assert!(!std::path::Path::new(&format!("/proc/{}", launched.pid)).exists());
}

/// Changes what calls do: the number's registers at the entry, the result at the exit.
struct Rewrite {
    skip: bool,
}

impl Observer for Rewrite {
    fn on_stop(&mut self, task: &Task, stop: &mut Stop) -> Resume {
        match stop {
            Stop::Seccomp(s) if self.skip => {
                let mut registers = s.registers().expect("registers");
                registers.set_number(-1);
                registers.set_result(-1);
                s.set_registers(&registers).expect("set");
                Resume::Free
            }
            Stop::Seccomp(_) => Resume::ToSyscall,
            Stop::Left(s) if task.call().is_some_and(|call| call.name() == Some("getpriority")) => {
                let mut registers = s.registers().expect("registers");
                registers.set_result(-22);
                s.set_registers(&registers).expect("set");
                Resume::Free
            }
            _ => Resume::AsBefore,
        }
    }
}

#[test]
fn calls_can_be_skipped_and_results_changed() {
    for skip in [true, false] {
        let launch = guest("callcount").args(["1", "10"]).filter(tracing(&["getpriority"]));
        let (_, output) = run_with(FREE, launch, &mut Rewrite { skip });
        assert_eq!(output, "0\n", "every call failed; skip: {skip}");
    }
}

#[test]
fn one_tracer_runs_many_filtered_programs_one_after_the_other() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let mut tracer = Tracer::new(FREE);
    let mut seen = Recorder::default();
    let mut counts = Vec::new();
    for _ in 0..5 {
        let launch = guest("exit").arg("2").filter(tracing(&["getpriority"]));
        let pid = tracer.launch(&launch, &mut seen).expect("launch").pid;
        tracer.run(&mut seen).expect("run");
        assert_eq!(seen.end(pid), Some(End::Exited(2)));
        counts.push(descriptors());
    }
    assert_eq!(counts[1], counts[4], "listeners of programs that are gone are closed: {counts:?}");
}
