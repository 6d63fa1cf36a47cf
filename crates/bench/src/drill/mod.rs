//! The ten drills, each with the figures that it must reach: `tipstaff-bench drill [NAME…] [--short | --full]`.
//!
//! A drill is written once: here, beside what it drills (`kill`, `leak`, `notify`, `trace`), or as a test, which the test runner runs in the size that is
//! asked for. The short form takes some minutes; the full form hours.

mod bombs;
mod calls;
mod exec;
mod sheet;
mod suite;
mod truth;

use std::time::Instant;

use anyhow::{bail, ensure};

use crate::{kill, leak, notify, system, trace};

pub use sheet::{Sheet, alone};

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As much as some minutes allow.
    Short,
    /// What each figure asks for.
    Full,
}

impl Size {
    fn of(self, short: usize, full: usize) -> usize {
        if self == Self::Short { short } else { full }
    }
}

/// Name, what it is about, and the drill.
type Drill = (&'static str, &'static str, fn(Size, &mut Sheet) -> anyhow::Result<()>);

const DRILLS: [Drill; 10] = [
    ("kill", "SIGKILL of supervisors at random moments", |size, sheet| {
        kill::drill(size.of(60, 1000), sheet)?;
        notify::end::kill(size.of(20, 1000), sheet)?;
        trace::drill::kill(size.of(40, 1000), sheet)?;
        suite::tests("trees, stopped and traced, on poorer machines", "test(/^kill_drill::/)", size, &[], sheet)
    }),
    ("leak", "boxes in sequence and eight at a time leave nothing", |size, sheet| {
        leak::drill(size.of(500, 10_000), sheet)?;
        notify::end::leak(size.of(300, 10_000), sheet)
    }),
    ("storm", "a storm of notifications beside another box", |size, sheet| {
        notify::storm::drill(size.of(300_000, 1_000_000), sheet)
    }),
    ("eintr", "pipelines and signals: no call is told what it never is", |size, sheet| {
        notify::eintr::pipelines(size.of(300, 100_000), sheet)?;
        trace::drill::pipelines(size.of(100, 100_000), sheet)?;
        suite::tests(
            "runtimes that preempt by signals, calls that are interrupted",
            "(binary(attacks) and test(/^notifications::N7::/)) or test(/^(runtimes|signals)::/)",
            size,
            &[],
            sheet,
        )
    }),
    ("race", "arguments that change while they are decided about", |size, sheet| {
        notify::race::drill(size.of(20_000, 10_000_000), None, sheet)?;
        suite::tests("addresses and names that change", "test(/^network_drill::/)", size, &[], sheet)
    }),
    ("bombs", "each kind of resource, used without end", |size, sheet| bombs::drill(size.of(1, 20), size, sheet)),
    ("calls", "filters proven, calls fuzzed", |size, sheet| {
        calls::drill(size.of(100_000, 100_000_000) as u64, size, sheet)
    }),
    ("faults", "every system call of the supervisor fails once", |size, sheet| {
        suite::tests("errors injected: never an allow, a hang or a panic", "test(/^fault_drill::/)", size, &[], sheet)
    }),
    ("exec", "execs from threads, amid signals", |size, sheet| {
        trace::drill::exec(size.of(1000, 10_000), sheet)?;
        exec::drill(size.of(200, 10_000), sheet)
    }),
    ("truth", "the report's numbers beside the kernel's", |size, sheet| {
        truth::drill(size.of(36, 200), size.of(3, 100), sheet)?;
        suite::tests("each kernel feature removed in turn: refused, or told", "test(/^matrix::/)", size, &[], sheet)
    }),
];

/// The drills of these names, or all.
pub fn run(words: &[&str]) -> anyhow::Result<bool> {
    let mut size = Size::Short;
    let mut names = Vec::new();
    for word in words {
        match *word {
            "--short" => size = Size::Short,
            "--full" => size = Size::Full,
            name if DRILLS.iter().any(|(known, ..)| *known == name) => names.push(name),
            other => bail!("no drill {other:?}; there are {}", DRILLS.map(|(name, ..)| name).join(", ")),
        }
    }
    println!("{}", system::line());
    let mut sheets = Vec::new();
    for (name, about, drill) in DRILLS.iter().filter(|(name, ..)| names.is_empty() || names.contains(name)) {
        println!("\n{name}: {about}");
        let begun = Instant::now();
        let mut sheet = Sheet::default();
        if let Err(error) = drill(size, &mut sheet) {
            sheet.figure("could not be run", "-", format_args!("{error:#}"), false);
        }
        println!("  {:.0} s", begun.elapsed().as_secs_f64());
        sheets.push((*name, sheet));
    }
    ensure!(!sheets.is_empty(), "no drill");
    println!("\n| drill | figure | to reach | reached | |\n|---|---|---:|---:|---|");
    sheets.iter().for_each(|(name, sheet)| sheet.rows(name));
    Ok(sheets.iter().all(|(_, sheet)| sheet.held()))
}
