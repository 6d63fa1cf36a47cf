//! What is a test already: real tools, boxes in boxes, attacks.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::Count;

/// The workspace that this binary was built from.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Rows and random programs are played here.
const FILTER: &str = "package(tipstaff-tests) and not test(/random_programs|row::|shown::|every_row/) and \
    (test(/^(guest_ptrace|guest_native|guest_around|nested|listener)::/) or \
     binary(attacks) and test(/^(tracing::|seccomp::(S8|S9|S10|S11|S14)::|files::F6::|notifications::(N1|N16)::)/))";

/// None: they cannot be run here.
pub fn run() -> anyhow::Result<Option<Count>> {
    let there = Path::new(SOURCES).join("Cargo.toml").exists()
        && Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|out| out.status.success());
    if !there {
        return Ok(None);
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["nextest", "run", "--package", "tipstaff-tests", "--cargo-quiet", "--no-fail-fast", "-E", FILTER]);
    cargo.args(["--status-level", "fail", "--final-status-level", "fail", "--color", "never"]);
    let output = cargo.current_dir(SOURCES).stdin(Stdio::null()).stdout(Stdio::inherit()).output().context("cargo")?;
    let text = String::from_utf8_lossy(&output.stderr);
    eprint!("{text}");
    let Some((played, passed)) = summary(&text) else {
        anyhow::bail!("cargo nextest has not told how it ended: {}", output.status);
    };
    // Also what was built and not run.
    let failed = if output.status.success() { 0 } else { played.saturating_sub(passed).max(1) };
    Ok(Some(Count { played, differ: failed }))
}

/// How many tests were run, and how many passed: "Summary [   1.234s] 12 tests run: 11 passed (1 slow), 1 failed, 5 skipped". Where not all were run it is
/// "3/12 tests run".
fn summary(text: &str) -> Option<(u32, u32)> {
    let line = text.lines().rfind(|line| line.trim_start().starts_with("Summary"))?;
    let words: Vec<&str> = line.split([' ', ',', '(', ')']).filter(|word| !word.is_empty()).collect();
    let before = |name: &str| words.windows(2).find(|pair| pair[1].trim_end_matches('s') == name).map(|pair| pair[0]);
    let played = before("test")?.split('/').next()?.parse().ok()?;
    Some((played, before("passed").map_or(Some(0), |number| number.parse().ok())?))
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn totals_are_read() {
        let of = |line: &str| summary(&format!("     Running x\n------------\n     Summary [  14.5s] {line}\n"));
        assert_eq!(of("12 tests run: 11 passed (1 slow), 1 failed, 5 skipped"), Some((12, 11)));
        assert_eq!(of("3/12 tests run: 2 passed, 1 failed, 0 skipped"), Some((3, 2)));
        assert_eq!(of("1 test run: 1 passed, 900 skipped"), Some((1, 1)));
        assert_eq!(of("1 test run: 0 passed, 1 failed, 0 skipped"), Some((1, 0)));
        assert_eq!(summary("error: no tests"), None);
    }
}
