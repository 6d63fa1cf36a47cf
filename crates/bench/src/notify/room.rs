//! Memory of the supervisor, per box and per process.

use std::time::{Duration, Instant};

use tipstaff::{Child, Command};

use super::boxes::{Hears, SUPERVISED, boxed, profile};
use super::programs::Programs;
use crate::{measure, system};

const BOXES: [usize; 3] = [1, 100, 500];
const PROCESSES: u64 = 500;

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
    let before = rss();
    let crowd = up(&mut sleepers(programs, PROCESSES)?)?;
    std::thread::sleep(Duration::from_millis(100));
    let each = rss().saturating_sub(before) as f64 * 1024.0 / PROCESSES as f64;
    measure::figure("supervisor's memory per process of a box of 500", &format!("{each:.0} B"), Some(each <= 200.0));
    drop(crowd);
    Ok(())
}
