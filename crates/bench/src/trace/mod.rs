//! What tracing costs: one intercepted call beside the least that a tracer can do, the command beside strace, and beside no trace at all.

pub mod drill;
mod programs;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tipstaff_abi::{Arch, Sysno};
use tipstaff_seccomp::{Action, Filter, Rule, Table};
use tipstaff_trace::{Config, End, Go, Launch, Observer, Resume, Stop, Task, Tracer};

use crate::measure::{self, Effort, Subject};
use crate::system;
use programs::Programs;

/// Calls of one run of the first row.
const CALLS: u32 = 50_000;
/// Turns; these rows run for seconds.
const ROUNDS: usize = 5;

/// The table of `tipstaff-bench trace`.
pub fn table() -> anyhow::Result<()> {
    println!("{}", system::line());
    let effort = Effort { rounds: Effort::from_env().rounds.min(ROUNDS), iterations: 1 };
    println!("median of {} runs each, floor and ours in turn", effort.rounds);
    println!();
    measure::head();
    let programs = Programs::build()?;
    intercepted(&programs, effort)?;
    let dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=20000", "status=none"];
    beside_strace("dd bs=1 count=20000", &dd, effort)?;
    let source = programs.path("calls.c");
    let object = programs.path("compiled");
    let cc = ["gcc".as_ref(), "-O2".as_ref(), "-o".as_ref(), object.as_os_str(), source.as_os_str()];
    beside_strace("a compile of a small C program", &cc, effort)?;
    rare(effort)
}

/// A call that a filter sends to the tracer, which lets it go on.
fn intercepted(programs: &Programs, effort: Effort) -> anyhow::Result<()> {
    let calls = CALLS.to_string();
    let program = programs.path("calls");
    let floor = [programs.path("floor").into_os_string(), program.clone().into(), calls.clone().into()];
    let insns = only("getppid")?;
    let launch = Launch::new(program).arg(calls).filter_without_listener(insns);
    let mut seen = 0;
    let mut subjects: [Subject<'_>; 2] = [
        Box::new(|| run(&floor)),
        Box::new(|| {
            let mut count = Count::default();
            let mut tracer = Tracer::new(Config { start: Go::Free, ..Config::default() });
            tracer.launch(&launch, &mut count)?;
            tracer.run(&mut count)?;
            seen = count.calls;
            ensure!(count.end == Some(End::Exited(0)), "ended with {:?}", count.end);
            Ok(())
        }),
    ];
    let us = measure::compare(effort, &mut subjects)?;
    drop(subjects);
    ensure!(seen == CALLS, "{seen} calls seen of {CALLS}");
    let each = |whole: f64| whole / f64::from(CALLS);
    measure::row("intercepted call; floor: minimal C tracer on one CPU", each(us[0]), each(us[1]), Some(1.15));
    Ok(())
}

#[derive(Default)]
struct Count {
    calls: u32,
    end: Option<End>,
}

impl Observer for Count {
    fn on_stop(&mut self, _: &Task, stop: &mut Stop) -> Resume {
        self.calls += u32::from(matches!(stop, Stop::Seccomp(_)));
        Resume::AsBefore
    }

    fn on_end(&mut self, _: &Task, end: End) {
        self.end = Some(end);
    }
}

fn only(name: &str) -> anyhow::Result<Vec<tipstaff_abi::bpf::Insn>> {
    let arch = Arch::native().context("no table for this architecture")?;
    let number = Sysno::by_name(arch, name).context("no such call")?;
    let rules = BTreeMap::from([(number.0, vec![Rule::always(Action::Trace(0))])]);
    let table = Table { arch, rules, default: Action::Allow, unknown: Action::Allow };
    Ok(Filter { tables: vec![table], foreign: Action::Allow }.compile()?.insns().to_vec())
}

/// `tipstaff trace -c` and `-o` beside strace's. The goal is two thirds of its time.
fn beside_strace<W: AsRef<OsStr>>(name: &str, program: &[W], effort: Effort) -> anyhow::Result<()> {
    let tipstaff = system::tipstaff()?;
    let dir = tempfile::tempdir()?;
    for (form, count) in [("-c", true), ("-o", false)] {
        let row = format!("{form}, {name}; floor: strace -f {form}");
        let Some(strace) = system::find("strace") else {
            measure::skip(&row, "strace is not installed (apt-get install strace)");
            continue;
        };
        let words = |tracer: &Path, first: &str, out: &str| {
            let mut words = vec![tracer.as_os_str().to_owned(), first.into()];
            words.extend(count.then(|| "-c".into()));
            words.extend(["-o".into(), dir.path().join(out).into_os_string(), "--".into()]);
            words.extend(program.iter().map(|word| word.as_ref().to_owned()));
            words
        };
        let (theirs, ours) = (words(&strace, "-f", "theirs"), words(&tipstaff, "trace", "ours"));
        let mut subjects: [Subject<'_>; 2] = [Box::new(|| run(&theirs)), Box::new(|| run(&ours))];
        let us = measure::compare(effort, &mut subjects)?;
        measure::row(&row, us[0], us[1], Some(1.0 / 1.5));
    }
    Ok(())
}

/// One rare call of a program that makes many others.
fn rare(effort: Effort) -> anyhow::Result<()> {
    let find = ["find", "/usr", "-false"].map(|word| word.to_owned().into());
    let mut ours: Vec<std::ffi::OsString> = vec![system::tipstaff()?.into(), "trace".into()];
    ours.extend(["-q", "-e", "execve", "-o", "/dev/null", "--"].map(Into::into));
    ours.extend(find.clone());
    let effort = Effort { rounds: effort.rounds * 3, ..effort };
    let mut subjects: [Subject<'_>; 2] = [Box::new(|| run(&find)), Box::new(|| run(&ours))];
    let us = measure::compare(effort, &mut subjects)?;
    measure::row("-e execve, find /usr; floor: untraced", us[0], us[1], Some(1.05));
    Ok(())
}

fn run<W: AsRef<OsStr>>(words: &[W]) -> anyhow::Result<()> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("{:?}", words[0].as_ref()))?;
    ensure!(status.success(), "{:?} ended with {status}", words[0].as_ref());
    Ok(())
}
