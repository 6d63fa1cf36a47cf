//! A storm of calls in one box, while another makes calls too, under one thread for both.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tipstaff::Stdio;

use super::boxes::{Echo, boxed, number, profile};
use super::programs::Programs;
use super::wait_idly;
use crate::drill::Sheet;
use crate::system;

const PROCESSES: &str = "64";
const GROWTH_KIB: u64 = 1024;

/// `calls` calls of 64 processes.
pub fn drill(calls: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let start = |words: &[&str]| -> anyhow::Result<tipstaff::Child> {
        let program = programs.path(words[0]).display().to_string();
        let words: Vec<&str> = std::iter::once(program.as_str()).chain(words[1..].iter().copied()).collect();
        let mut command = boxed(&words, profile(programs.dir())?)?;
        command.handler(|| Echo).stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(command.spawn()?)
    };
    let text = |child: &mut tipstaff::Child| -> anyhow::Result<String> {
        let mut text = String::new();
        child.stdout.take().context("piped")?.read_to_string(&mut text)?;
        Ok(text)
    };
    let quiet = {
        let mut one = start(&["asks", "5000", "100"])?;
        let said = text(&mut one)?;
        wait_idly(&mut one)?;
        said
    };
    let rss = || system::status(std::process::id(), "VmRSS").unwrap_or(0);
    let before = rss();
    let begun = Instant::now();
    let mut crowd = start(&["crowd", PROCESSES, &calls.to_string()])?;
    let mut other = start(&["asks", "5000", "100"])?;
    let said = text(&mut other)?;
    wait_idly(&mut other)?;
    let overlapped = crowd.try_wait()?.is_none();
    let counted = text(&mut crowd)?;
    let report = wait_idly(&mut crowd)?;
    let rate = calls as f64 / begun.elapsed().as_secs_f64();
    let grown = rss().saturating_sub(before);
    // A box in the middle of its storm is killed.
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let mut child = start(&["crowd", PROCESSES, "100000000"])?;
        std::thread::sleep(Duration::from_millis(50));
        let begun = Instant::now();
        child.killer().kill();
        wait_idly(&mut child)?;
        worst = worst.max(begun.elapsed());
    }
    println!("storm: {} ({rate:.0} calls/s)", counted.trim().replace('\n', ", "));
    let p99 = |said: &str| number(said, "p99").map(|ns| ns / 1e6);
    let (calm, busy) = (p99(&quiet)?, p99(&said)?);
    println!(
        "another box without a storm: p99 {calm:.3} ms; its slowest call in it {:.3} ms",
        number(&said, "max")? / 1e6
    );
    ensure!(overlapped, "the storm was over before the other box: take more calls");
    let wrong = number(&said, "wrong")?;
    println!("report of the storm: {}", report.verdict);
    let whole = calls / 64 * 64;
    sheet.at_most(format!("another box's p99 in a storm of {whole} calls"), busy, 10.0, "ms");
    sheet.within("kill to report in a storm, worst of 20", worst, Duration::from_millis(100));
    let counted = counted.contains(&format!("calls {whole}, wrong 0"));
    sheet.figure(
        "answers that were another's, or none",
        0,
        if counted { wrong } else { f64::NAN },
        counted && wrong == 0.0,
    );
    sheet.at_most("supervisor's memory grew by", grown as f64, GROWTH_KIB as f64, "KiB");
    Ok(())
}
