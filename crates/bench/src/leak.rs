//! Many runs in one process leave no descriptor, child, control group, mount, file, System V object or memory.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use tipstaff::Command;

use crate::drill::Sheet;
use crate::guests::Guests;
use crate::{library, system};

const ROUNDS_BEFORE: usize = 50;
const GROWTH_KIB: u64 = 1024;

/// What runs could leave behind.
pub struct Picture(Vec<(&'static str, BTreeSet<String>)>);

impl Picture {
    /// What is there now.
    pub fn now() -> Self {
        let lines = |path: &str| -> BTreeSet<String> {
            fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
        };
        let names = |dir: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path().display().to_string()).collect()
        };
        let mut objects = BTreeSet::new();
        for kind in ["shm", "sem", "msg"] {
            for line in lines(&format!("/proc/sysvipc/{kind}")).iter() {
                objects.insert(format!("{kind} {}", line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")));
            }
        }
        let mut children = BTreeSet::new();
        for task in names("/proc/self/task") {
            for pid in fs::read_to_string(format!("{task}/children")).unwrap_or_default().split_whitespace() {
                children.insert(pid.to_owned());
            }
        }
        Self(vec![
            ("descriptors", names("/proc/self/fd")),
            ("children, zombies too", children),
            ("control groups", system::cgroups_of(std::process::id()).into_iter().collect()),
            ("mounts", lines("/proc/self/mountinfo")),
            ("entries of /tmp", names("/tmp")),
            ("System V objects", objects),
        ])
    }
}

/// Resident memory of this process, in KiB.
pub fn rss() -> u64 {
    system::status(std::process::id(), "VmRSS").unwrap_or(0)
}

/// What is new since, kind by kind.
pub fn changed(before: &Picture, sheet: &mut Sheet) {
    // What the kernel takes down behind our back may need a moment.
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut after = Picture::now();
    while before.0.iter().zip(&after.0).any(|(b, a)| !a.1.is_subset(&b.1)) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
        after = Picture::now();
    }
    for ((what, before), (_, after)) in before.0.iter().zip(&after.0) {
        let new: Vec<&String> = after.difference(before).collect();
        if !new.is_empty() {
            println!("{what}: left {new:?}");
        }
        sheet.none(format!("{what}, new"), new.len());
    }
}

/// The same, and memory.
pub fn nothing_left(before: &Picture, rss_before: u64, sheet: &mut Sheet) {
    changed(before, sheet);
    let grown = rss().saturating_sub(rss_before);
    sheet.at_most("resident memory grew by", grown as f64, GROWTH_KIB as f64, "KiB");
}

/// Runs `n` boxes: all is as before.
pub fn drill(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let guests = Guests::build()?;
    let mut noop = Command::new(&guests.noop);
    noop.profile(library::full()?);
    let mut leaver = Command::new(&guests.leaver);
    leaver.profile(library::full()?);
    let mut one = |round: usize| library::once(if round % 4 == 3 { &mut leaver } else { &mut noop });
    for round in 0..ROUNDS_BEFORE {
        one(round)?;
    }
    let (before, rss_before, begun) = (Picture::now(), rss(), Instant::now());
    for round in 0..n {
        one(round)?;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / n.max(1) as f64;
    println!("{n} runs, all namespaces and control groups, one in four leaves what it can; {each:.0} µs each");
    nothing_left(&before, rss_before, sheet);
    Ok(())
}
