//! A storm of calls in one box, while another makes calls too, under one thread for both.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tipstaff::Stdio;

use super::boxes::{Echo, boxed, number, profile};
use super::programs::Programs;
use super::wait_idly;
use crate::{measure, system};

const PROCESSES: &str = "64";
const GROWTH_KIB: u64 = 1024;

/// `calls` calls of 64 processes.
pub fn drill(calls: usize) -> anyhow::Result<bool> {
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
    measure::figure("another box's p99 without a storm", &format!("{calm:.3} ms"), None);
    measure::figure("another box's p99 during the storm", &format!("{busy:.3} ms"), Some(busy <= 10.0));
    measure::figure("its slowest call", &format!("{:.3} ms", number(&said, "max")? / 1e6), None);
    measure::figure(
        "kill to report during a storm, worst of 20",
        &format!("{worst:.1?}"),
        Some(worst.as_millis() <= 100),
    );
    measure::figure("supervisor's memory grew by", &format!("{grown} KiB"), Some(grown <= GROWTH_KIB));
    ensure!(overlapped, "the storm was over before the other box: take more calls");
    let wrong = number(&said, "wrong")?;
    println!("answers that were another's: {wrong} in the other box; report of the storm: {}", report.verdict);
    let whole = calls / 64 * 64;
    Ok(wrong == 0.0 && counted.contains(&format!("calls {whole}, wrong 0")) && grown <= GROWTH_KIB)
}
