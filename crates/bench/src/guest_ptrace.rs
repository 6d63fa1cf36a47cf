//! What a debugger and strace cost inside a box, beside the same outside: the kernel's own ptrace(2) under native and notify, ours under the
//! ptrace engine. There the floor is measured too: what is left when emulation does nothing but the stops that it cannot do without.

mod emulation;
pub mod proof;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tipstaff::policy::profile::{Engine, GuestPtrace, PathRule};
use tipstaff::{Profile, Stdio as Stream};

use crate::measure::{self, Effort, Subject};
use crate::system;

const HEADER: &str = include_str!("../../testkit/guests/guest.h");
const STEPPER: &str = include_str!("../../testkit/guests/stepper.c");
const DOUBLE: &str = include_str!("guest_ptrace/doublestop.c");
const SMALL: &str = "#include <stdio.h>\nint main(void) { puts(\"small\"); return 0; }\n";
const STEPS: &str = "10000";
const GOAL: f64 = 1.25;
/// Of emulation, beside the floor and beside the kernel's own.
const GOAL_FLOOR: f64 = 1.3;
const GOAL_BARE: f64 = 6.0;
/// A program that is stepped through.
const ENDLESS: &str = "volatile unsigned long n;\nint main(void) { for (;;) n++; }\n";
/// What makes and awaits 300 processes.
const FORKS: &str = "i=0; while [ $i -lt 300 ]; do (exit 0); i=$((i+1)); done";

/// Its rows.
pub fn table() -> anyhow::Result<()> {
    println!("{}", system::line());
    let effort = Effort::from_env();
    // A run takes a tenth of a second, not a millisecond.
    let effort = Effort { rounds: effort.rounds.min(7), iterations: effort.iterations.min(3) };
    println!(
        "median of {} rounds of {} runs each, bare and boxed in turn; whole runs, the start of the box included",
        effort.rounds, effort.iterations
    );
    println!();
    measure::head();
    let dir = build()?;
    let stepper = dir.path().join("stepper").into_os_string();
    rows(&format!("{STEPS} single steps with GETREGS"), &[stepper, STEPS.into()], dir.path(), effort)?;
    let small = dir.path().join("small.c").into_os_string();
    let object = dir.path().join("small.o").into_os_string();
    let words = ["strace", "-f", "-o", "/dev/null", "gcc", "-c", "-o"].map(Into::into);
    let words: Vec<_> = words.into_iter().chain([object, small]).collect();
    if Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        rows("strace -f of a small compile", &words, dir.path(), effort)?;
    } else {
        measure::skip("strace -f of a small compile", "strace is not installed (apt-get install strace)");
    }
    println!();
    emulation::rows(dir.path(), effort)
}

/// Beside this binary, so that no private /tmp hides it.
fn build() -> anyhow::Result<TempDir> {
    let exe = std::env::current_exe()?;
    let parent = exe.parent().context("a program lies in a directory")?;
    let dir = tempfile::Builder::new().prefix("bench-ptrace-").tempdir_in(parent)?;
    let texts = [
        ("guest.h", HEADER),
        ("stepper.c", STEPPER),
        ("doublestop.c", DOUBLE),
        ("endless.c", ENDLESS),
        ("small.c", SMALL),
    ];
    for (name, text) in texts {
        std::fs::write(dir.path().join(name), text)?;
    }
    for (name, options) in [("stepper", "-O2"), ("doublestop", "-O2"), ("endless", "-g")] {
        let mut cc = Command::new("gcc");
        cc.args(["-std=gnu17", options, "-static", "-o"]).arg(dir.path().join(name));
        cc.arg(dir.path().join(name).with_extension("c"));
        let status = cc.status().context("gcc is needed to build the programs (apt-get install gcc libc6-dev)")?;
        ensure!(status.success(), "gcc could not build {name}");
    }
    Ok(dir)
}

fn rows(name: &str, words: &[OsString], dir: &Path, effort: Effort) -> anyhow::Result<()> {
    let boxed = |engine| boxed(engine, None, words, dir);
    let mut subjects: Vec<Subject<'_>> = vec![bare(words), boxed(Engine::Native), boxed(Engine::Notify)];
    let figures = measure::compare(effort, &mut subjects)?;
    measure::row(&format!("{name}, native"), figures[0], figures[1], Some(GOAL));
    measure::row(&format!("{name}, notify"), figures[0], figures[2], Some(GOAL));
    Ok(())
}

/// Outside, in a session of its own, as the program of every box: where the kernel groups tasks by session, that alone is a difference.
fn bare(words: &[OsString]) -> Subject<'_> {
    Box::new(move || {
        let status =
            Command::new("setsid").arg("-w").args(words).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "{words:?}: {status}");
        Ok(())
    })
}

/// In a box.
fn boxed<'a>(engine: Engine, guests: Option<GuestPtrace>, words: &'a [OsString], dir: &Path) -> Subject<'a> {
    let mut command = command(engine, guests, words, dir);
    Box::new(move || {
        let report = command.as_mut().map_err(|e| anyhow::anyhow!("{e:#}"))?.status()?;
        ensure!(report.exit_code == Some(0), "{words:?}: {report:?}");
        Ok(())
    })
}

fn command(
    engine: Engine,
    guests: Option<GuestPtrace>,
    words: &[OsString],
    dir: &Path,
) -> anyhow::Result<tipstaff::Command> {
    let mut profile = Profile::preset("default")?;
    profile.0.isolation.engine = Some(engine);
    profile.0.isolation.guest_ptrace = guests;
    profile.0.filesystem.write.push(PathRule::new(dir));
    profile.0.filesystem.exec.push(PathRule::new(PathBuf::from(dir)));
    let mut command = tipstaff::Command::new(&words[0]);
    command.args(&words[1..]).profile(profile).stdin(Stream::null()).stdout(Stream::null()).stderr(Stream::null());
    Ok(command)
}
