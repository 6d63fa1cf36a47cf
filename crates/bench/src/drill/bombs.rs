//! Bombs: each ends within its limit and half a second, with the right verdict, near its limit, and beside other boxes that hardly feel it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{Sheet, Size};
use crate::kill::marked;
use crate::notify::boxes::number;
use crate::notify::programs::Programs;
use crate::system;

const LATE: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_secs(2);
const MARK: &str = "TIPSTAFF_BENCH_MARK";

/// Program, limits, the verdicts that are right, the limit of memory in MiB, and of which limit the end is counted from.
const BOMBS: [(&str, &str, &[&str], f64); 9] = [
    ("forkbomb", "--processes 64 --cpu 300ms --wall 20s", &["time_limit", "process_limit"], 256.0),
    ("threadbomb", "--processes 64 --cpu 300ms --wall 20s", &["time_limit", "process_limit"], 256.0),
    ("hog", "--memory 64MiB --wall 20s", &["memory_limit"], 64.0),
    ("memhog sharers 128", "--memory 64MiB --processes 64 --wall 20s", &["memory_limit"], 64.0),
    ("memhog memfd_written 128", "--memory 64MiB --wall 20s", &["memory_limit"], 64.0),
    ("pagetables 64", "--memory 64MiB --wall 20s", &["memory_limit"], 64.0),
    ("spin", "--cpu 300ms --wall 20s", &["time_limit"], 256.0),
    ("burners unreaped", "--cpu 300ms --processes 64 --wall 20s", &["time_limit"], 256.0),
    ("flood", "--output 1MiB --wall 20s", &["output_limit"], 256.0),
];

/// Each bomb so many times.
pub fn drill(times: usize, size: Size, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let (mut latest, mut slowest, mut wrong, mut largest) = (Duration::ZERO, Duration::ZERO, 0, 0.0_f64);
    let mut runs = 0;
    for round in 0..times {
        for (words, limits, verdicts, mib) in BOMBS {
            let mark = format!("bomb-{}-{round}-{runs}", std::process::id());
            let report = run(&programs, words, limits, None, Some(&mark))?;
            let ended = Instant::now();
            while !marked(&mark).is_empty() && ended.elapsed() < 2 * IDLE {
                std::thread::sleep(Duration::from_millis(2));
            }
            slowest = slowest.max(ended.elapsed());
            // Of what was hit on the way the last is what ended it.
            let hits =
                report.split_once("\"limits_hit\":[").and_then(|(_, rest)| Some(rest.split_once(']')?.0)).unwrap_or("");
            let hit = hits
                .split('{')
                .filter_map(|hit| number(hit, "at_ns").ok())
                .fold(None, |last: Option<f64>, at| Some(last.map_or(at, |last| last.max(at))));
            let wall = number(&report, "wall_ns")?;
            let late = hit.map_or(Duration::MAX, |at| Duration::from_nanos((wall - at).max(0.0) as u64));
            let peak = number(&report, "memory_peak_bytes")? / f64::from(1 << 20) / mib;
            if !verdicts.iter().any(|verdict| report.contains(&format!("\"verdict\":\"{verdict}\""))) || hit.is_none() {
                println!("{words}: {report}");
                wrong += 1;
            }
            (latest, largest) = (latest.max(late), largest.max(peak));
            runs += 1;
        }
    }
    sheet.none(format!("wrong verdicts, of {runs} bombs"), wrong);
    sheet.within("latest end after the limit", latest, LATE);
    sheet.at_most("largest peak, of the memory limit", largest * 100.0, 105.0, "%");
    sheet.within("until nothing is left of it", slowest, IDLE);
    beside(&programs, times, sheet)?;
    super::suite::tests("items R of the attack suite", "binary(attacks) and test(/^resources::/)", size, &[], sheet)
}

/// A box on one CPU while bombs go off on the other, beside the same without.
fn beside(programs: &Programs, times: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 || system::find("taskset").is_none() {
        sheet.skip("another box slowed by", "one CPU, or no taskset(1)");
        return Ok(());
    }
    let other = || -> anyhow::Result<f64> {
        number(&run(programs, "truth 300 0 anon 0", "--cpu 10s --wall 60s", Some("0"), None)?, "wall_ns")
    };
    let (mut calm, mut busy) = (Vec::new(), Vec::new());
    for _ in 0..(2 * times).max(5) {
        calm.push(other()?);
        let going = std::sync::atomic::AtomicBool::new(true);
        let took = std::thread::scope(|scope| {
            let bombs = scope.spawn(|| {
                let mut at = 0;
                while going.load(std::sync::atomic::Ordering::Relaxed) {
                    let (words, limits, ..) = BOMBS[at % BOMBS.len()];
                    run(programs, words, limits, Some("1"), None)?;
                    at += 1;
                }
                ensure!(at > 0, "no bomb");
                anyhow::Ok(())
            });
            let took = other();
            going.store(false, std::sync::atomic::Ordering::Relaxed);
            bombs.join().map_err(|_| anyhow::anyhow!("a panic"))??;
            took
        })?;
        busy.push(took);
    }
    // The fastest of each: what else the machine does slows either.
    let fastest = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
    let slowed = (fastest(&busy) / fastest(&calm) - 1.0) * 100.0;
    sheet.at_most("another box, on another CPU, slowed by", slowed, 10.0, "%");
    Ok(())
}

/// The report of a program in a box of the command's.
fn run(
    programs: &Programs,
    words: &str,
    limits: &str,
    cpu: Option<&str>,
    mark: Option<&str>,
) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("report");
    let mut command = match cpu {
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cpu]).arg(system::tipstaff()?);
            command
        }
        None => Command::new(system::tipstaff()?),
    };
    command.args(["run", "--quiet", "--profile", "judge"]);
    if !limits.contains("--memory") {
        command.args(["--memory", "256MiB"]);
    }
    command.args(limits.split(' ')).arg("--exec").arg(programs.dir()).arg("--read").arg(programs.dir());
    if let Some(mark) = mark {
        command.args(["--env", &format!("{MARK}={mark}")]);
    }
    let mut words = words.split(' ');
    command.arg("--report").arg(&file).arg("--").arg(programs.path(words.next().context("a program")?)).args(words);
    command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(std::fs::read_to_string(&file).context("no report")?.replace(['\n', ' '], ""))
}
