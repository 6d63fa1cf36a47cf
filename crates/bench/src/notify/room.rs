//! Memory of the supervisor, per box and per process.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use tipstaff::{Child, Command};

use super::boxes::{Echo, Hears, SUPERVISED, boxed, profile};
use super::programs::Programs;
use crate::{measure, system};

const BOXES: [usize; 3] = [1, 100, 500];
const PROCESSES: u64 = 500;
/// A thread each.
const HOT: usize = 50;

fn rss() -> u64 {
    system::status(std::process::id(), "VmRSS").unwrap_or(0)
}

/// Boxes with `children` processes each that do nothing, and have made calls that were heard.
fn sleepers(programs: &Programs, children: u64) -> anyhow::Result<Command> {
    let script = format!("i=0; while [ $i -lt {children} ]; do sleep 1000 & i=$((i+1)); done; echo up; wait");
    let mut command = boxed(&["/bin/sh", "-c", &script], profile(programs.dir())?)?;
    command.handler(|| Hears { threads: true, ..Hears::of(&SUPERVISED) });
    command.stdin(tipstaff::Stdio::null()).stdout(tipstaff::Stdio::piped());
    Ok(command)
}

/// KiB for each box that has a thread.
pub fn hot(dir: &Path) -> anyhow::Result<f64> {
    let mut command = once_hot(dir)?;
    let mut boxes = vec![up(&mut command)?];
    let before = rss();
    while boxes.len() <= HOT {
        boxes.push(up(&mut command)?);
    }
    Ok(rss().saturating_sub(before) as f64 / HOT as f64)
}

/// Boxes that have asked so much that a thread of their own received it, and are silent now.
fn once_hot(dir: &Path) -> anyhow::Result<Command> {
    let script = format!("{} 5000 >/dev/null; echo up; sleep 1000", dir.join("asks").display());
    let mut command = boxed(&["/bin/sh", "-c", &script], profile(dir)?)?;
    command.handler(|| Echo).stdin(tipstaff::Stdio::null()).stdout(tipstaff::Stdio::piped());
    Ok(command)
}

fn up(command: &mut Command) -> anyhow::Result<Child> {
    let mut child = command.spawn()?;
    let mut text = [0; 3];
    if let Some(out) = &mut child.stdout {
        std::io::Read::read_exact(out, &mut text)?;
    }
    Ok(child)
}

pub fn rows(programs: &Programs) -> anyhow::Result<()> {
    // What the first box costs is the library's.
    let mut command = sleepers(programs, 1)?;
    let mut boxes = vec![up(&mut command)?];
    let first = rss();
    let mut last = (1, first);
    for count in BOXES.into_iter().skip(1) {
        while boxes.len() < count {
            boxes.push(up(&mut command)?);
        }
        let now = rss();
        let each = (now.saturating_sub(last.1)) as f64 / (count - last.0) as f64;
        let name = format!("supervisor's memory per box, {} to {count} boxes", last.0);
        measure::figure(&name, &format!("{each:.1} KiB ({} to {now} KiB)", last.1), Some(each <= 64.0));
        last = (count, now);
    }
    let begun = Instant::now();
    boxes.clear();
    measure::figure("500 boxes dropped", &format!("{:.1?}", begun.elapsed()), None);
    // In a process whose allocator has nothing to spare.
    let mut helper = std::process::Command::new(std::env::current_exe()?);
    helper.args([super::HELPER.as_ref(), "hot".as_ref(), programs.dir().as_os_str()]);
    let said = String::from_utf8_lossy(&helper.output()?.stdout).trim().to_owned();
    let each: f64 = said.parse().with_context(|| format!("the helper said {said:?}"))?;
    let name = format!("supervisor's memory per box that asked much, {HOT} boxes");
    measure::figure(&name, &format!("{each:.1} KiB"), Some(each <= 64.0));
    let before = rss();
    let crowd = up(&mut sleepers(programs, PROCESSES)?)?;
    std::thread::sleep(Duration::from_millis(100));
    let each = rss().saturating_sub(before) as f64 * 1024.0 / PROCESSES as f64;
    measure::figure("supervisor's memory per process of a box of 500", &format!("{each:.0} B"), Some(each <= 200.0));
    drop(crowd);
    Ok(())
}
