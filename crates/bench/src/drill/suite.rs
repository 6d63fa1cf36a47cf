//! Drills whose body is a test: run by the test runner, in the size that is asked for.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::{Sheet, Size};
use crate::system;

/// What a test says of itself on a line of its own: `figure NAME NUMBER`.
const FIGURE: &str = "figure ";

/// All that the runner says, on standard error; what takes hours says how far it is.
fn told(command: &mut Command, size: Size) -> std::io::Result<String> {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut text = String::new();
    for line in child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')) {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if size == Size::Full && ["PASS [", FIGURE].iter().any(|word| line.trim_start().starts_with(word)) {
            println!("{}", line.trim());
        }
        text += &line;
        text.push('\n');
    }
    child.wait()?;
    Ok(text)
}

/// Runs the tests of a filter (the runner's own language); `what` is the line of the table. Figures that the tests print are summed.
pub fn tests(what: &str, filter: &str, size: Size, env: &[(&str, String)], sheet: &mut Sheet) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["nextest", "run", "--package", "tipstaff-tests", "-E", filter]);
    command.args([
        "--success-output",
        "immediate",
        "--failure-output",
        "immediate",
        "--show-progress",
        "none",
        "--color",
        "never",
        "--no-fail-fast",
        // A drill has no second go.
        "--retries",
        "0",
    ]);
    command.current_dir(&root).stdin(Stdio::null()).envs(env.iter().map(|(name, value)| (*name, value)));
    // A full drill may take hours, says itself what hangs, and is of the command beside this one.
    if size == Size::Full {
        command.env("TIPSTAFF_DRILL", "full").env("TIPSTAFF_BIN", system::tipstaff()?);
        command.args(["--profile", "drill"]);
    }
    let text = told(&mut command, size)
        .context("cargo nextest: cargo install cargo-nextest, and run this in the repository")?;
    let summary = text.lines().rev().find(|line| line.trim_start().starts_with("Summary ["));
    let Some(summary) = summary else { anyhow::bail!("the tests of {what} did not run:\n{text}") };
    let count = |word: &str| {
        let words: Vec<&str> = summary.split_whitespace().collect();
        words
            .windows(2)
            .find(|pair| pair[1].trim_end_matches(',') == word)
            .and_then(|pair| pair[0].parse().ok())
            .unwrap_or(0)
    };
    let run: usize =
        summary.split("] ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    ensure!(run > 0, "no test of {what} ran");
    let passed = count("passed");
    if passed != run {
        text.lines()
            .filter(|line| ["FAIL", "TIMEOUT", "panicked"].iter().any(|word| line.contains(word)))
            .for_each(|line| println!("{line}"));
    }
    sheet.all(what, passed, run);
    let mut figures: Vec<(&str, u64)> = Vec::new();
    for line in text.lines().filter_map(|line| line.trim_start().strip_prefix(FIGURE)) {
        let Some((name, number)) = line.rsplit_once(' ').and_then(|(name, number)| Some((name, number.parse().ok()?)))
        else {
            continue;
        };
        match figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += number,
            None => figures.push((name, number)),
        }
    }
    for (name, sum) in figures {
        sheet.figure(format!("  {name}"), "over 0", sum, sum > 0);
    }
    Ok(())
}
