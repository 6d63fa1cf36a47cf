//! The ptrace engine with `guest_ptrace = "emulate"`, beside the kernel's own and beside the floor.
//!
//! A guest's call of ptrace(2) or wait4(2) has to stop for our tracer, and so has every stop of its tracee: `doublestop` does these stops and nothing
//! else. For a real tool the floor is the tool outside, and for each of its calls and each of its tracee's stops what the same costs there, and the engine's
//! own stops (forks, execs, ends), measured as the same program under the engine without a tracer.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tipstaff::policy::profile::{Engine, GuestPtrace};

use super::{FORKS, GOAL_BARE, GOAL_FLOOR, STEPS, bare, boxed};
use crate::measure::{self, Effort, Subject};

/// Its rows.
pub fn rows(dir: &Path, effort: Effort) -> anyhow::Result<()> {
    let emulated = |words| boxed(Engine::Ptrace, Some(GuestPtrace::Emulate), words, dir);
    idle(dir, effort)?;

    let plain = double(dir, "plain", 10_000, (2, 1), false);
    let doubled = double(dir, "double", 10_000, (2, 1), false);
    let pinned = double(dir, "pinned", 10_000, (2, 1), false);
    let subjects = &mut [bare(&plain), bare(&pinned), bare(&doubled), emulated(&plain)];
    let figures = measure::compare(effort, subjects)?;
    let cpu = measure::compare_cpu(effort.rounds, &mut subjects[2..])?;
    shown(&format!("{STEPS} single steps with GETREGS"), figures[0], &figures[1..3], figures[3]);
    measure::row(&format!("{STEPS} single steps, emulated: CPU beside the floor's"), cpu[0], cpu[1], None);

    let path = |name: &str| dir.join(name).into_os_string();
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let steps = format!("stepi {STEPS}");
    let mut gdb = words(&["gdb", "-nx", "-batch", "-ex", "tbreak main", "-ex", "run", "-ex", &steps, "-ex", "kill"]);
    gdb.push(path("endless"));
    tool("gdb, 10000 stepi", "gdb", &gdb, None, dir, effort)?;

    let compile = [words(&["gcc", "-c", "-o"]), vec![path("small.o"), path("small.c")]].concat();
    let strace = [words(&["strace", "-f", "-o", "/dev/null"]), compile.clone()].concat();
    tool("strace -f of a small compile", "strace", &strace, Some(&compile), dir, effort)
}

/// What a box costs whose guests could trace and do not.
fn idle(dir: &Path, effort: Effort) -> anyhow::Result<()> {
    let words: Vec<OsString> = ["sh", "-c", FORKS].iter().map(OsString::from).collect();
    let with = |guests| boxed(Engine::Ptrace, Some(guests), &words, dir);
    let subjects = &mut [with(GuestPtrace::Deny), with(GuestPtrace::Native), with(GuestPtrace::Emulate)];
    let figures = measure::compare(effort, subjects)?;
    measure::row("300 forks of a shell, nobody traces: deny, native", figures[0], figures[1], None);
    measure::row("300 forks of a shell, nobody traces: deny, emulate", figures[0], figures[2], None);
    Ok(())
}

/// `handles`: it has a handler for SIGCHLD, whose every signal is a stop too.
fn double(dir: &Path, how: &str, steps: u64, (asks, waits): (u64, u64), handles: bool) -> Vec<OsString> {
    let numbers = [steps, asks, waits, u64::from(handles)].map(|number| number.to_string().into());
    [vec![dir.join("doublestop").into_os_string(), how.into()], numbers.to_vec()].concat()
}

/// `floors`: with all of them on one CPU, and where the kernel has put them.
fn shown(name: &str, bare: f64, floors: &[f64], ours: f64) {
    measure::row(&format!("{name}, emulated: beside the floor"), floors[1], ours, Some(GOAL_FLOOR));
    measure::row(&format!("{name}, emulated: beside the floor on one CPU"), floors[0], ours, None);
    measure::row(&format!("{name}, emulated: beside outside"), bare, ours, Some(GOAL_BARE));
}

/// A real tracer. `alone`: what it traces, where that makes processes.
fn tool(
    name: &str,
    program: &str,
    words: &[OsString],
    alone: Option<&[OsString]>,
    dir: &Path,
    effort: Effort,
) -> anyhow::Result<()> {
    let there =
        |name| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !there(program) || !there("strace") {
        measure::skip(name, &format!("{program} and strace are needed (apt-get install {program} strace)"));
        return Ok(());
    }
    let (asks, waits, stops) = calls(words, dir)?;
    let per_stop = |calls: u64| (calls as f64 / stops as f64).round().max(1.0) as u64;
    // gdb has a handler, strace has not.
    let handles = program == "gdb";
    let pattern = (per_stop(asks), per_stop(waits));
    let [plain, pinned, doubled] = ["plain", "pinned", "double"].map(|how| double(dir, how, stops, pattern, handles));
    let ours = boxed(Engine::Ptrace, Some(GuestPtrace::Emulate), words, dir);
    let mut subjects: Vec<Subject<'_>> = vec![bare(words), ours, bare(&plain), bare(&pinned), bare(&doubled)];
    if let Some(alone) = alone {
        subjects.push(bare(alone));
        subjects.push(boxed(Engine::Ptrace, Some(GuestPtrace::Deny), alone, dir));
    }
    let figures = measure::compare(effort, &mut subjects)?;
    let engine = figures.get(5).zip(figures.get(6)).map_or(0.0, |(bare, boxed)| (boxed - bare).max(0.0));
    let [pinned, free] = [3, 4].map(|at| (figures[at] - figures[2]).max(0.0));
    let pieces = format!(
        "{stops} stops, {asks} ptrace, {waits} wait4: outside {:.0} µs, the engine {engine:.0}, double stops {free:.0} (on one CPU {pinned:.0})",
        figures[0]
    );
    measure::figure(&format!("{name}: the floor"), &pieces, None);
    shown(name, figures[0], &[pinned, free].map(|double| figures[0] + engine + double), figures[1]);
    Ok(())
}

/// How often a tracer calls ptrace(2), wait4(2), and is told of a stop, outside.
fn calls(words: &[OsString], dir: &Path) -> anyhow::Result<(u64, u64, u64)> {
    let file = dir.join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-e", "trace=ptrace,wait4", "-e", "signal=none", "-o"]).arg(&file).args(words);
    let status = strace.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "{strace:?}: {status}");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
    let count = |what: &dyn Fn(&str) -> bool| text.lines().filter(|line| what(line)).count() as u64;
    let stops = count(&|line| line.starts_with("wait4(") && line.contains("WIFSTOPPED"));
    ensure!(stops > 0, "{words:?} has told of no stop");
    Ok((count(&|line| line.starts_with("ptrace(")), count(&|line| line.starts_with("wait4(")), stops))
}
