//! Ends: nothing outlives a supervisor with handlers, and nothing is left of many boxes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::boxes::{Hears, SUPERVISED, boxed, profile};
use super::programs::Programs;
use crate::drill::Sheet;
use crate::kill::{Random, marked};
use crate::leak::{self, Picture};
use crate::library;

/// First argument of this binary where it is a supervisor to be killed.
pub const TREE: &str = "notify-tree";
const WITHIN: Duration = Duration::from_secs(1);
/// Who is there after that has survived.
const GONE: Duration = Duration::from_secs(10);
const AT_A_TIME: usize = 8;
/// What the allocator and the threads of the first boxes take.
const BEFORE: usize = 50;

/// Supervises a tree of processes that try to get away, with handlers that are asked all the time.
pub fn tree(dir: &str, mark: &str) -> anyhow::Result<bool> {
    let dir = Path::new(dir);
    let words = [dir.join("tree").into_os_string(), mark.into(), "stopped".into()];
    let mut command = boxed(&words, profile(dir)?.processes(100))?;
    command.handler(|| Hears { threads: true, ..Hears::of(&SUPERVISED) });
    // One by the thread for all boxes, one by this one.
    let _other = command.spawn()?;
    command.status()?;
    Ok(true)
}

/// SIGKILL of `n` supervisors at random moments.
pub fn kill(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let seed = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let start = |mark: &str| -> anyhow::Result<std::process::Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([TREE.as_ref(), programs.dir().as_os_str(), mark.as_ref()]);
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?)
    };
    let begun = Instant::now();
    let mark = format!("{seed}-first");
    let mut first = start(&mark)?;
    while marked(&mark).len() < 30 && begun.elapsed() < Duration::from_secs(20) {}
    let range = begun.elapsed().as_micros() as u64 * 2;
    ensure!(marked(&mark).len() >= 30, "the trees did not come up");
    first.kill()?;
    first.wait()?;
    let (mut reached, mut survived, mut slowest) = (0, 0, Duration::ZERO);
    for point in 0..n {
        let mark = format!("{seed}-{point}.");
        let mut child = start(&mark)?;
        std::thread::sleep(Duration::from_micros(random.below(range)));
        let pid = child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        reached += usize::from(!children.trim().is_empty());
        child.kill()?;
        let killed = Instant::now();
        child.wait()?;
        let mut alive = marked(&mark);
        while !alive.is_empty() && killed.elapsed() < GONE {
            std::thread::sleep(Duration::from_millis(2));
            alive = marked(&mark);
        }
        slowest = slowest.max(killed.elapsed());
        survived += usize::from(!alive.is_empty());
        if !alive.is_empty() {
            println!("point {point}: {alive:?}");
        }
    }
    println!(
        "{n} supervisors killed within {range} µs of their start, {reached} with a box alive: {survived} left processes after \
         {GONE:?}, the slowest end took {slowest:.1?}"
    );
    ensure!(n < 20 || reached > n / 4, "too few points hit a living box");
    sheet.none(format!("boxes with survivors, {n} supervisors with handlers killed"), survived);
    sheet.within("slowest end", slowest, WITHIN);
    Ok(())
}

/// `n` boxes in sequence, then `n / 10` eight at a time, each with handlers.
pub fn leak(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let words = ["/bin/sh", "-c", "/bin/true & /bin/true; wait"];
    let make = || -> anyhow::Result<tipstaff::Command> {
        let mut command = boxed(&words, profile(programs.dir())?.memory(256 << 20).processes(64))?;
        command.handler(|| Hears { threads: true, ..Hears::of(&SUPERVISED) });
        Ok(command)
    };
    let several = |rounds: usize| -> anyhow::Result<()> {
        let mut commands = (0..AT_A_TIME).map(|_| make()).collect::<anyhow::Result<Vec<_>>>()?;
        for _ in 0..rounds {
            let children = commands.iter_mut().map(tipstaff::Command::spawn).collect::<Result<Vec<_>, _>>()?;
            for mut child in children {
                let report = super::wait_idly(&mut child)?;
                ensure!(report.exit_code == Some(0), "a run ended with {}", report.verdict);
            }
        }
        Ok(())
    };
    let mut one = make()?;
    for _ in 0..BEFORE {
        library::once(&mut one)?;
    }
    several(BEFORE / AT_A_TIME)?;
    let (before, rss, begun) = (Picture::now(), leak::rss(), Instant::now());
    for _ in 0..n {
        library::once(&mut one)?;
    }
    println!("{n} boxes in sequence, {:.0} µs each", begun.elapsed().as_secs_f64() * 1e6 / n.max(1) as f64);
    let begun = Instant::now();
    let rounds = (n / 10).div_ceil(AT_A_TIME);
    several(rounds)?;
    let whole = rounds * AT_A_TIME;
    println!("{whole} boxes eight at a time, {:.0} µs each", begun.elapsed().as_secs_f64() * 1e6 / whole.max(1) as f64);
    leak::nothing_left(&before, rss, sheet);
    Ok(())
}
