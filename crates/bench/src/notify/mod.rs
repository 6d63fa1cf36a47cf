//! What notifications cost, beside the least that a supervisor can do; and the long drills of the notify engine.

pub mod boxes;
pub mod eintr;
pub mod end;
pub mod programs;
pub mod race;
mod redis;
mod room;
pub mod storm;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::drill::alone;
use crate::measure::{self, Effort, Subject, median};
use crate::system;
use boxes::{Echo, Hears, SUPERVISED, boxed, number, profile};
use programs::Programs;

/// First argument of this binary where it is one side of the first row.
pub const HELPER: &str = "notify-helper";
pub use end::{TREE, tree};

/// `tipstaff-bench notify race N CALL`.
pub fn race(n: usize, call: &str) -> anyhow::Result<bool> {
    println!("{}", system::line());
    alone(|sheet| race::drill(n, Some(call), sheet))
}

/// Calls of one run of the first row.
const CALLS: &str = "50000";
/// Turns; these rows run for seconds.
const ROUNDS: usize = 7;
const PIPELINES: &str = "i=0; while [ $i -lt 200 ]; do echo a | cat | cat >/dev/null || exit 1; i=$((i+1)); done";

/// `tipstaff-bench notify [NAME [N]]`.
pub fn run(name: &str, n: Option<usize>) -> anyhow::Result<bool> {
    println!("{}", system::line());
    match name {
        "table" => table().map(|()| true),
        "room" => room::rows(&Programs::build()?).map(|()| true),
        "storm" => alone(|sheet| storm::drill(n.unwrap_or(1_000_000), sheet)),
        "eintr" => eintr::table(n.unwrap_or(20_000)).map(|()| true),
        "pipelines" => alone(|sheet| eintr::pipelines(n.unwrap_or(100_000), sheet)),
        "race" => alone(|sheet| race::drill(n.unwrap_or(1_000_000), None, sheet)),
        "kill" => alone(|sheet| end::kill(n.unwrap_or(1000), sheet)),
        "leak" => alone(|sheet| end::leak(n.unwrap_or(10_000), sheet)),
        _ => bail!("no {name:?}; there are table, room, storm, eintr, pipelines, race, kill, leak"),
    }
}

fn table() -> anyhow::Result<()> {
    let effort = Effort { rounds: Effort::from_env().rounds.min(ROUNDS), iterations: 1 };
    println!("median of {} runs each, floor and ours in turn", effort.rounds);
    println!();
    measure::head();
    let programs = Programs::build()?;
    notified(&programs, effort)?;
    pipeline(&programs, effort)?;
    redis::row(&programs, effort)?;
    println!();
    room::rows(&programs)
}

/// A call that the supervisor answers with a value.
fn notified(programs: &Programs, effort: Effort) -> anyhow::Result<()> {
    let exe = std::env::current_exe()?;
    let (floor, asks) = (programs.path("floor"), programs.path("asks"));
    let waits =
        |how: &str| [exe.as_os_str(), HELPER.as_ref(), how.as_ref(), programs.dir().as_os_str()].map(ToOwned::to_owned);
    let bare =
        |place: &str| [floor.as_os_str(), place.as_ref(), asks.as_os_str(), CALLS.as_ref()].map(ToOwned::to_owned);
    for (place, before) in [("free CPUs", None), ("one CPU", Some("0"))] {
        let (mut apart, mut beside, mut ours, mut hall) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..effort.rounds {
            apart.push(each(before, &bare("apart"))?);
            ours.push(each(before, &waits("wait"))?);
            hall.push(each(before, &waits("hall"))?);
            beside.push(each(before, &bare("beside"))?);
        }
        let (apart, beside, ours) = (median(&mut apart), median(&mut beside), median(&mut ours));
        let name = format!("notified call, {place}; floor: RECV and SEND in C");
        measure::row(&name, apart, ours, Some(1.15));
        measure::row(
            &format!("  supervised by the thread for all boxes, {place}"),
            apart,
            median(&mut hall),
            Some(1.15),
        );
        measure::row(&format!("  floor in one session with its program, {place}"), beside, ours, None);
    }
    Ok(())
}

/// Microseconds of a call, the median of a run, as the program itself has found: a mean would be that of what else runs on the machine.
fn each(cpu: Option<&str>, words: &[std::ffi::OsString]) -> anyhow::Result<f64> {
    let mut command = match cpu {
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cpu]).args(words);
            command
        }
        None => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            command
        }
    };
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("taskset or the program")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && number(&text, "wrong")? == 0.0,
        "{words:?} ended with {}: {text}",
        output.status
    );
    Ok(number(&text, "p50")? / 1000.0)
}

/// Our side of the first row, in a process of its own, so that it can be kept on one CPU.
pub fn helper(how: &str, dir: &str) -> anyhow::Result<bool> {
    let dir = Path::new(dir);
    if how == "hot" {
        println!("{}", room::hot(dir)?);
        return Ok(true);
    }
    let mut command = boxed(&[dir.join("asks").as_os_str(), CALLS.as_ref()], profile(dir)?)?;
    command.handler(|| Echo);
    let report = match how {
        "wait" => command.status()?,
        _ => {
            let mut child = command.spawn()?;
            wait_idly(&mut child)?
        }
    };
    Ok(report.exit_code == Some(0))
}

/// Waits without taking the supervision over.
fn wait_idly(child: &mut tipstaff::Child) -> anyhow::Result<tipstaff::Report> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        // EINTR is seen by the next round.
        let _ = poll(&mut [PollFd::new(child, PollFlags::IN)], None);
        if let Some(report) = child.try_wait()? {
            return Ok(report);
        }
    }
}

/// A shell that starts programs, under a handler that hears of every program and connection.
fn pipeline(programs: &Programs, effort: Effort) -> anyhow::Result<()> {
    let words = ["/bin/dash", "-c", PIPELINES];
    let mut bare = crate::bare::Bare::new(&words, 0)?;
    let limited = || anyhow::Ok(profile(programs.dir())?.memory(1 << 30).processes(64));
    let mut silent = boxed(&words, limited()?)?;
    let mut heard = boxed(&words, limited()?)?;
    heard.handler(|| Hears::of(&SUPERVISED));
    let mut subjects: [Subject<'_>; 3] = [
        Box::new(|| bare.run()),
        Box::new(|| crate::library::once(&mut silent)),
        Box::new(|| crate::library::once(&mut heard)),
    ];
    let us = measure::compare(effort, &mut subjects)?;
    measure::row("200 shell pipelines, box with limits; floor: bare", us[0], us[1], None);
    measure::row("  and a handler for programs and network", us[0], us[2], Some(1.25));
    Ok(())
}
