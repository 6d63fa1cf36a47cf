//! What notification does to programs whose signals interrupt.

use std::time::{Duration, Instant};

use anyhow::Context;
use tipstaff::Profile;
use tipstaff::policy::value::Setting;

use super::boxes::{Hears, boxed, profile};
use super::programs::Programs;
use crate::drill::Sheet;

const CALLS: [&str; 16] = [
    "getppid", "open", "openat", "stat", "close", "dup", "fork", "vfork", "clone", "execve", "socket", "connect",
    "bind", "pipe", "mmap", "kill",
];

/// How the filter names what the program calls.
fn filtered(call: &str) -> &str {
    match call {
        "stat" => "newfstatat",
        "pipe" => "pipe2",
        other => other,
    }
}

/// `n` calls of each kind under a timer signal every 300 µs without SA_RESTART.
pub fn table(n: usize) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    println!("{n} calls of each kind, a signal every 300 µs, a handler without SA_RESTART: how many returned EINTR");
    println!();
    println!("| call | natively | profile `default`, nothing notified | notified |");
    println!("|---|---:|---:|---:|");
    let program = programs.path("interrupted").display().to_string();
    for call in CALLS {
        let count = n.to_string();
        let words = [program.as_str(), call, &count];
        let plain = std::process::Command::new(words[0]).args(&words[1..]).output()?;
        let native = eintr(&plain.stdout)?;
        let mut silent = boxed(&words, Profile(profile(programs.dir())?.0))?;
        let quiet = eintr(&silent.output()?.stdout)?;
        let mut heard = boxed(&words, profile(programs.dir())?)?;
        heard.handler(move || Hears::of(&[filtered(call)]));
        let notified = eintr(&heard.output()?.stdout)?;
        println!("| {call} | {native} | {quiet} | {notified} |");
    }
    Ok(())
}

fn eintr(text: &[u8]) -> anyhow::Result<u64> {
    let text = String::from_utf8_lossy(text);
    let number = text.split_whitespace().skip_while(|word| *word != "EINTR").nth(1);
    number.and_then(|n| n.parse().ok()).with_context(|| format!("the program said {text:?}"))
}

/// `n` pipelines of three under dash: nothing asked, execs asked about, and, for comparison, forks.
pub fn pipelines(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let script = format!("i=0; while [ $i -lt {n} ]; do echo a | cat | cat || exit 1; i=$((i+1)); done");
    for (what, calls, must) in
        [("nothing", &[][..], true), ("execve", &["execve"][..], true), ("clone", &["clone"][..], false)]
    {
        let mut profile = profile(programs.dir())?.wall(Duration::from_secs(60) + Duration::from_millis(30 * n as u64));
        profile.0.limits.cpu = Some(Setting::Unlimited);
        let mut command = boxed(&["/bin/dash", "-c", &script], profile)?;
        if !calls.is_empty() {
            command.handler(move || Hears::of(calls));
        }
        let begun = Instant::now();
        let output = command.output()?;
        let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        let errors = String::from_utf8_lossy(&output.stderr);
        let forks = errors.matches("Cannot fork").count();
        println!(
            "{what} notified: {lines} pipelines of {n} in {:.1?}, verdict {}, {forks} \"Cannot fork\"",
            begun.elapsed(),
            output.report.verdict
        );
        if must {
            let ended = if output.report.exit_code == Some(0) { lines } else { 0 };
            sheet.all(format!("pipelines under dash, {what} notified"), ended, n);
            sheet.none("  \"Cannot fork\"", forks);
        }
    }
    Ok(())
}
