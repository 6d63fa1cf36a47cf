//! How good the profiles are that recordings give: real programs, recorded in a few runs, then held to what was recorded in a run that does other things.
//!
//! For each program of `programs/`: runs 1 to k are recorded, the profile of all of them is made, and the run that was held out is made under it. Every refused
//! call is told by the recorder that watches that run (a return without an entry). Then each of the runs is made once more, watched by us and by
//! strace at the same time, and the two lists of names are compared.

mod confirm;
mod guests;
mod profile;
mod program;
mod script;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::system;
use confirm::Differences;
use guests::Guests;
use profile::Figures;
use program::{HELD_OUT, PROGRAMS, Program};
use script::Scripts;

/// `tipstaff-bench quality [NAME…]`. False: a program did not work under its profile, or a name is not explained.
pub fn table(names: &[&str]) -> anyhow::Result<bool> {
    for name in names {
        let known = || PROGRAMS.iter().map(|program| program.name).collect::<Vec<_>>().join(", ");
        ensure!(PROGRAMS.iter().any(|program| program.name == *name), "no program {name:?}; there are {}", known());
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "this needs root: it records by eBPF, and starts servers as their users"
    );
    println!("{}", system::line());
    println!();
    println!(
        "| program | version | runs | names | of all | dangerous left | limited | missing after run 1 | refused in the held-out run | strace |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut fine = true;
    let mut notes = Vec::new();
    for program in PROGRAMS.iter().filter(|program| names.is_empty() || names.contains(&program.name)) {
        if let Some(missing) = program.missing() {
            println!("| {} | skipped: {missing} | | | | | | | | |", program.name);
            continue;
        }
        let row = row(program).with_context(|| program.name.to_owned())?;
        fine &= row.fine;
        println!("{}", row.line);
        notes.extend(row.notes.into_iter().map(|note| format!("{}: {note}", program.name)));
    }
    println!();
    notes.iter().for_each(|note| println!("- {note}"));
    Ok(fine)
}

struct Row {
    line: String,
    notes: Vec<String>,
    fine: bool,
}

fn row(program: &Program) -> anyhow::Result<Row> {
    let begun = Instant::now();
    let dir = tempfile::Builder::new().prefix("tipstaff-quality-").tempdir()?;
    open_to_all(dir.path())?;
    let guests = Guests::build(dir.path())?;
    let scripts = Scripts { dir: dir.path(), program, guests: &guests };
    let tipstaff = system::tipstaff()?;
    let store = dir.path().join("store");
    std::fs::create_dir(&store)?;
    let (json, bpf) = (dir.path().join("p.json"), dir.path().join("p.bpf"));
    let mut first = None;
    for run in program.runs {
        let mut record = vec![tipstaff.clone().into_os_string(), "record".into(), "--quiet".into(), "--store".into()];
        record.extend([
            store.clone().into(),
            "-o".into(),
            json.clone().into(),
            "-o".into(),
            bpf.clone().into(),
            "--".into(),
        ]);
        scripts.run(run, &record)?;
        if first.is_none() {
            first = Some(profile::read(&json)?);
        }
    }
    let after_one = first.context("no run")?;
    let all = profile::read(&json)?;
    let figures = Figures::of(&all)?;
    // Held to it, and watched.
    let held = dir.path().join("held.rec");
    let mut under = vec![tipstaff.into_os_string(), "record".into(), "--quiet".into(), "--results".into()];
    under.extend(["-o".into(), held.clone().into(), "--".into(), guests.under.clone().into(), bpf.into()]);
    let worked = scripts.run(HELD_OUT, &under);
    let held = profile::recording(&held)?;
    let refused = profile::refused(&held);
    let lacking = profile::lacking(&after_one, &held, &guests.under)?;
    let mut notes = Vec::new();
    if let Err(e) = &worked {
        notes.push(format!("the held-out run did not work under the profile: {e:#}"));
    }
    if !refused.is_empty() {
        notes.push(format!("refused in the held-out run: {}", list(&refused)));
    }
    if !lacking.is_empty() {
        notes.push(format!("the profile of run 1 alone lacks for the held-out run: {}", list(&lacking)));
    }
    if !figures.dangerous.is_empty() {
        notes.push(format!("dangerous, and used: {}", figures.dangerous.join(", ")));
    }
    if !figures.limited.is_empty() {
        notes.push(format!("limited by argument: {}", figures.limited.join(", ")));
    }
    let mut differences = Differences::default();
    let mut confirmed = 0;
    if confirm::strace().is_some() {
        for run in program.runs.iter().chain([&HELD_OUT]) {
            confirmed += confirm::run(&scripts, run, &mut differences)?;
        }
    }
    notes.extend(differences.explained());
    let unexplained = differences.unexplained();
    if !unexplained.is_empty() {
        notes.push(format!("NOT EXPLAINED: {}", unexplained.join(", ")));
    }
    let strace = match (confirm::strace(), unexplained.is_empty()) {
        (None, _) => "not installed".to_owned(),
        (_, true) => format!("{confirmed} names agree"),
        (_, false) => "DIFFERS".to_owned(),
    };
    notes.push(format!("took {:.0} s", begun.elapsed().as_secs_f64()));
    let line = format!(
        "| {} | {} | {} | {} | {:.1} % | {} | {} | {} | {} | {strace} |",
        program.name,
        program.version(),
        program.runs.len(),
        figures.names,
        figures.share * 100.0,
        figures.dangerous.len(),
        figures.limited.len(),
        lacking.len(),
        refused.len(),
    );
    Ok(Row { line, notes, fine: worked.is_ok() && refused.is_empty() && unexplained.is_empty() })
}

fn list(names: &std::collections::BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Programs may run as other users.
fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(())
}

/// Waits for a child for so long; it is killed then.
fn wait(child: &mut std::process::Child, limit: std::time::Duration) -> anyhow::Result<std::process::ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("it had not ended after {limit:?}");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
