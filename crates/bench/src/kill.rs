//! SIGKILL of the supervisor at a random moment: after a second nothing is left.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::drill::Sheet;
use crate::system;

/// Sessions of their own, orphans, and a shell that waits for none of them.
const TREE: &str = "setsid sh -c 'sleep 1000 & (sleep 1000 & exec sleep 1000) & wait' & (setsid sleep 1000 &); \
                    sleep 1000";
const WITHIN: Duration = Duration::from_secs(1);
/// Who is there after that has survived.
const GONE: Duration = Duration::from_secs(10);
/// In the environment of every process of the box; in the arguments of the supervisor and of the keeper, which has
/// the supervisor's.
const MARK: &str = "TIPSTAFF_BENCH_MARK";

/// xorshift64: the points only have to be spread.
pub struct Random(pub u64);

impl Random {
    /// A number below `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }
}

/// Processes that carry the mark; zombies have neither arguments nor environment.
pub fn marked(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else { continue };
        let holds = |file: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
        };
        if holds("cmdline") || holds("environ") {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            found.push(format!("{pid} {}", comm.trim()));
        }
    }
    found
}

/// Kills `n` supervisors: none may leave anything.
pub fn drill(n: usize, sheet: &mut Sheet) -> anyhow::Result<()> {
    let tipstaff = system::tipstaff()?;
    let seed = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    let start = |mark: &str| {
        let mut command = Command::new(&tipstaff);
        command.args(["run", "--quiet", "--memory=256MiB", "--processes=64", "--cpu=60s", "--env"]);
        command.arg(format!("{MARK}={mark}")).args(["--", "/bin/sh", "-c", TREE]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()
    };
    // How long a start takes here, and that the mark is seen while the tree lives.
    let begun = Instant::now();
    let mark = format!("{seed}-first");
    let mut first = start(&mark)?;
    let mut up = marked(&mark).len();
    while up < 8 && begun.elapsed() < Duration::from_secs(10) {
        up = marked(&mark).len();
    }
    let whole = begun.elapsed();
    first.kill()?;
    first.wait()?;
    anyhow::ensure!(up >= 8, "the tree did not come up: {up} processes");
    let range = whole.as_micros() as u64 * 2;
    let (mut reached, mut survived, mut slowest) = (0, 0, Duration::ZERO);
    let mut groups = 0;
    for point in 0..n {
        let mark = format!("{seed}-{point}");
        let delay = Duration::from_micros(random.below(range));
        let begun = Instant::now();
        let mut child = start(&mark)?;
        let pid = child.id();
        std::thread::sleep(delay.saturating_sub(begun.elapsed()));
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        reached += usize::from(!children.trim().is_empty());
        child.kill()?;
        let killed = Instant::now();
        child.wait()?;
        let (mut alive, mut kept);
        loop {
            alive = marked(&mark);
            kept = system::cgroups_of(pid);
            if alive.is_empty() && kept.is_empty() || killed.elapsed() > GONE {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        slowest = slowest.max(killed.elapsed());
        survived += usize::from(!alive.is_empty());
        groups += kept.len();
        if !alive.is_empty() || !kept.is_empty() {
            println!("point {point}, killed {delay:?} after its start: processes {alive:?}, control groups {kept:?}");
        }
    }
    println!("{n} supervisors killed within {range} µs of their start, {reached} with a box alive");
    anyhow::ensure!(n < 20 || reached > n / 4, "too few points hit a living box");
    sheet.none(format!("boxes with survivors, {n} supervisors killed"), survived);
    sheet.none("control groups left", groups);
    sheet.within("slowest end", slowest, WITHIN);
    Ok(())
}
