//! The proof of guests' ptrace(2), with totals: every row of the semantic table and random programs, outside and in a box of each engine.
//!
//! A program whose runs differ among themselves is a race. Where a box differs from what was seen outside, both are run again, held up at random, and the box is
//! right if it does what was seen outside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::HEADER;
use crate::system;

const GUESTS: [(&str, &str); 3] = [
    ("ptracerows", include_str!("../../../testkit/guests/ptracerows.c")),
    ("ptraceshown", include_str!("../../../testkit/guests/ptraceshown.c")),
    ("ptracediff", include_str!("../../../testkit/guests/ptracediff.c")),
];
const ROWS: &str = include_str!("../../../testkit/guests/rows.h");
/// Engines, and how much of the seeds each gets: the kernel's own ptrace(2) cannot differ as ours can.
const ENGINES: [(&str, u32); 3] = [("ptrace", 1), ("native", 10), ("notify", 10)];
/// Seeds of one run.
const BATCH: u32 = 50;
/// Runs of a program that differs, until it is a difference.
const ROUNDS: u32 = 48;

struct Bench {
    dir: TempDir,
    tipstaff: PathBuf,
}

/// Rows and `seeds` random programs from `from` on. Whether nothing differs.
pub fn run(from: u32, seeds: u32) -> anyhow::Result<bool> {
    println!("{}", system::line());
    let bench = Bench::new()?;
    let mut fine = true;
    for (engine, _) in ENGINES {
        fine &= bench.rows(engine)?;
    }
    for (engine, part) in ENGINES {
        fine &= bench.seeds(engine, from, seeds.div_ceil(part))?;
    }
    println!("{}", if fine { "0 differences" } else { "there are differences" });
    Ok(fine)
}

impl Bench {
    fn new() -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        let dir = tempfile::Builder::new().prefix("bench-proof-").tempdir_in(
            std::env::var_os("TIPSTAFF_BENCH_DIR").map_or_else(
                || exe.parent().map(Path::to_path_buf).context("a program lies in a directory"),
                |dir| Ok(dir.into()),
            )?,
        )?;
        for (name, text) in [("guest.h", HEADER), ("rows.h", ROWS)] {
            std::fs::write(dir.path().join(name), text)?;
        }
        for (name, text) in GUESTS {
            let source = dir.path().join(name).with_extension("c");
            std::fs::write(&source, text)?;
            let mut cc = Command::new("gcc");
            cc.args(["-std=gnu17", "-O1", "-pthread", "-o"]).arg(dir.path().join(name)).arg(&source);
            let status = cc.status().context("gcc is needed to build the programs (apt-get install gcc libc6-dev)")?;
            ensure!(status.success(), "gcc could not build {name}");
        }
        Ok(Self { dir, tipstaff: system::tipstaff()? })
    }

    /// What a program says, outside or in a box.
    fn said(&self, engine: Option<&str>, words: &[String]) -> anyhow::Result<String> {
        let program = self.dir.path().join(&words[0]);
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "280"]);
        if let Some(engine) = engine {
            command.arg(&self.tipstaff).args(["run", "--quiet", "--engine", engine]);
            if engine == "ptrace" {
                command.args(["--guest-ptrace", "emulate"]);
            }
            command.arg("--read").arg(self.dir.path()).arg("--exec").arg(self.dir.path()).arg("--");
        }
        command.arg(program).args(&words[1..]).stderr(Stdio::null());
        Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
    }

    fn rows(&self, engine: &str) -> anyhow::Result<bool> {
        let (mut count, mut different) = (0, Vec::new());
        for program in ["ptracerows", "ptraceshown"] {
            let names = self.said(None, &[program.to_owned()])?;
            ensure!(names.lines().count() > 10, "{program} tells no rows");
            for name in names.lines() {
                let words = [program.to_owned(), name.to_owned()];
                let mut outside = BTreeSet::new();
                let mut same = false;
                // What a busy machine makes of it outside may differ too.
                for _ in 0..20 {
                    outside.insert(self.said(None, &words)?);
                    let inside = self.said(Some(engine), &words)?;
                    same = inside.ends_with("done\n") && outside.contains(&inside);
                    if same {
                        break;
                    }
                }
                count += 1;
                if !same {
                    different.push(name.to_owned());
                }
            }
        }
        println!("{engine}: {count} rows, {} differences {}", different.len(), different.join(" "));
        Ok(different.is_empty())
    }

    fn played(
        &self,
        engine: Option<&str>,
        from: u32,
        count: u32,
        noise: Option<u32>,
    ) -> anyhow::Result<BTreeMap<u32, String>> {
        let mut words = vec!["ptracediff".to_owned(), from.to_string(), count.to_string()];
        words.extend(noise.map(|noise| noise.to_string()));
        let (mut seeds, mut current) = (BTreeMap::<u32, String>::new(), 0);
        for line in self.said(engine, &words)?.lines() {
            if let Some(number) = line.strip_prefix("seed ") {
                current = number.parse().context("a seed")?;
            }
            let text = seeds.entry(current).or_default();
            text.push_str(line);
            text.push('\n');
        }
        Ok(seeds)
    }

    fn seeds(&self, engine: &str, from: u32, count: u32) -> anyhow::Result<bool> {
        let (mut played, mut races, mut different) = (0, 0, Vec::new());
        while played < count {
            let (first, some) = (from + played, BATCH.min(count - played));
            let outside = self.played(None, first, some, None)?;
            let again = self.played(None, first, some, None)?;
            let inside = self.played(Some(engine), first, some, None)?;
            ensure!(outside.len() == some as usize, "seeds from {first} do not end outside");
            for (&seed, text) in &outside {
                let mut seen = BTreeSet::from([text.clone(), again.get(&seed).cloned().unwrap_or_default()]);
                races += u32::from(seen.len() > 1);
                let mut boxed = BTreeSet::from([inside.get(&seed).cloned().unwrap_or_default()]);
                for round in 1..=ROUNDS {
                    if !seen.is_disjoint(&boxed) {
                        break;
                    }
                    seen.extend(self.played(None, seed, 1, Some(round))?.into_values());
                    let noise = (round % 2 == 0).then_some(round);
                    boxed.extend(self.played(Some(engine), seed, 1, noise)?.into_values());
                }
                if seen.is_disjoint(&boxed) {
                    println!(
                        "{engine}: seed {seed} differs; outside:\n{text}in the box:\n{}",
                        inside.get(&seed).map_or("", |text| text)
                    );
                    different.push(seed);
                }
            }
            played += some;
            if played % 500 == 0 && played < count {
                println!("{engine}: {played} seeds so far, {} differences", different.len());
            }
        }
        println!(
            "{engine}: {count} random programs from {from}, {races} races among runs outside, {} differences {different:?}",
            different.len()
        );
        Ok(different.is_empty())
    }
}
