//! Numbers that are true: CPU and memory beside the kernel's own figures, and the same verdict each time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use tipstaff::{Command, Profile, Report};

use super::Sheet;
use crate::notify::programs::Programs;

/// CPU time may differ by so much, or by a hundredth: what a program does after it has looked at its own clock.
const CPU_NS: f64 = 5e6;
const HUNDREDTH: f64 = 0.01;
const LIMIT: u64 = 64 << 20;

type Limits = fn(Profile) -> Profile;

/// A program, its limits, and what it must come to.
struct Case {
    words: Vec<String>,
    limits: Limits,
    verdict: &'static str,
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Programs far enough on either side of a limit that only one verdict is right.
fn judged(n: usize) -> Vec<Case> {
    const KINDS: [(&str, Limits, &str); 12] = [
        ("truth 40 0 anon 0", |p| p.cpu_ms(200), "ok"),
        ("spin", |p| p.cpu_ms(60), "time_limit"),
        ("truth 30 0 anon 1", |p| p.cpu_ms(300), "ok"),
        ("spin", |p| p.wall(Duration::from_millis(80)), "time_limit"),
        ("truth 1 24 anon 0", |p| p.memory(LIMIT), "ok"),
        ("hog", |p| p.memory(LIMIT), "memory_limit"),
        ("truth 1 24 shared 0", |p| p.memory(LIMIT), "ok"),
        ("exit 3", |p| p, "nonzero_exit"),
        ("raise 11", |p| p, "signaled"),
        ("flood 1000", |p| p.output(4096), "ok"),
        ("flood 100000", |p| p.output(4096), "output_limit"),
        ("threadbomb", |p| p.processes(8), "process_limit"),
    ];
    let case = |at: usize| {
        let (text, limits, verdict) = KINDS[at % KINDS.len()];
        Case { words: words(text), limits, verdict }
    };
    (0..n).map(case).collect()
}

fn run(programs: &Programs, case: &Case) -> anyhow::Result<(Report, String)> {
    let limits = |profile: Profile| {
        (case.limits)(profile.cpu_ms(20_000).wall(Duration::from_secs(60)).memory(512 << 20).processes(16))
    };
    let mut profile = limits(Profile::preset("judge")?);
    profile.0.filesystem.exec.push(tipstaff::policy::profile::PathRule::new(programs.dir()));
    profile.0.filesystem.read.push(tipstaff::policy::profile::PathRule::new(programs.dir()));
    let mut command = Command::new(programs.path(&case.words[0]));
    command.args(&case.words[1..]).profile(profile).stdin(tipstaff::Stdio::null());
    let output = command.output()?;
    Ok((output.report, String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn said(text: &str, key: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).with_context(|| format!("no {key} in {text:?}"))
}

/// `programs` programs, each run `times` times.
pub fn drill(count: usize, times: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let third = (count / 3).max(1);
    // Nearest to and farthest from the kernel's figure.
    let (mut cpu_off, mut cpu_wrong, mut memory_off, mut memory_wrong, mut runs) = (0.0_f64, 0, 0.0_f64, 0, 0);
    let mut sources: BTreeMap<String, usize> = BTreeMap::new();
    for n in 0..third {
        let text = format!("truth {} 0 anon {}", 5 + 13 * (n % 23), n % 4);
        let case = Case { words: words(&text), limits: |p| p, verdict: "ok" };
        for _ in 0..times {
            let (report, text) = run(&programs, &case)?;
            ensure!(report.exit_code == Some(0), "{:?} ended with {}", case.words, report.verdict);
            let (kernel, ours) = (said(&text, "cpu_us")? * 1e3, report.cpu_ns.total as f64);
            let off = (ours - kernel).abs();
            cpu_wrong += usize::from(off > CPU_NS.max(kernel * HUNDREDTH));
            cpu_off = cpu_off.max(off);
            runs += 1;
        }
    }
    println!("{runs} runs; farthest from the kernel's CPU time: {:.2} ms", cpu_off / 1e6);
    sheet.none(format!("CPU time off by over 1 % and 5 ms, of {runs} runs"), cpu_wrong);
    runs = 0;
    for n in 0..third {
        let text = format!("truth 1 {} {} 0", 64 + 8 * (n % 16), ["anon", "shared", "both"][n % 3]);
        let case = Case { words: words(&text), limits: |p| p, verdict: "ok" };
        for _ in 0..times {
            let (report, text) = run(&programs, &case)?;
            ensure!(report.exit_code == Some(0), "{:?} ended with {}", case.words, report.verdict);
            let kernel = said(&text, "memory_kib")? * 1024.0;
            let ours = report.memory_peak_bytes.context("no peak")? as f64;
            let off = (ours - kernel).abs() / kernel;
            memory_wrong += usize::from(off > HUNDREDTH);
            memory_off = memory_off.max(off);
            *sources.entry(format!("{:?}", report.memory_source)).or_default() += 1;
            runs += 1;
        }
    }
    println!("{runs} runs, {sources:?}; farthest from the kernel's peak: {:.2} %", memory_off * 100.0);
    sheet.none(format!("memory peak off by over 1 %, of {runs} runs"), memory_wrong);
    let (mut flips, mut wrong, mut runs) = (0, 0, 0);
    for case in judged(third) {
        let mut first = None;
        for _ in 0..times {
            let verdict = run(&programs, &case)?.0.verdict.to_string();
            flips += usize::from(*first.get_or_insert_with(|| verdict.clone()) != verdict);
            if verdict != case.verdict {
                println!("{:?}: {verdict}, not {}", case.words, case.verdict);
                wrong += 1;
            }
            runs += 1;
        }
    }
    sheet.none(format!("verdict flips, of {runs} runs"), flips);
    sheet.none("wrong verdicts", wrong);
    Ok(())
}
