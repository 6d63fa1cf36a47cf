//! What a recording costs: CPU time (user and system) of the recorded tree, beside the same tree bare.

mod backends;
mod programs;

use std::ffi::OsString;
use std::time::Instant;

use tipstaff_observe::{Observer, Options, Phase, Returns, Setup, Target, Unavailable};

use crate::measure::{self, median};
use crate::system;
use programs::Programs;

const GETPPID: u32 = 2_000_000;
const BYSTANDER: u32 = 1_000_000;
const STRACED: u32 = 20_000;

/// The table of `tipstaff-bench record`; with a word only the rows of programs that have it in their names.
pub fn table(only: Option<&str>) -> anyhow::Result<()> {
    println!("{}", system::line());
    let rounds =
        std::env::var("TIPSTAFF_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8usize).max(1);
    println!(
        "CPU time (user and system) of the whole tree; median of {rounds} rounds, bare and ours in turn within each"
    );
    println!();
    println!("{:58} {:>9} {:>9} {:>6} {:>6}", "", "bare ms", "ours ms", "ratio", "goal");
    if let Err(error) = tipstaff_observe::probe() {
        measure::skip("recording by eBPF", &error.to_string());
        return backends::rows(&Programs::build()?, rounds);
    }
    let bench = Bench { programs: Programs::build()?, rounds, only: only.map(str::to_owned) };
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let calls = |count: u32| vec![bench.programs.path("getppid"), count.to_string().into()];
    let forks = vec![bench.programs.path("forkexec"), "300".into(), "/bin/true".into()];
    let dd = words(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000000", "status=none"]);
    let find = words(&["find", "/usr", "-name", "no-such-name"]);
    let plain = Options { phase: Phase::Setup, ..Options::default() };
    let mut lost = 0;
    lost += bench.row("getppid, 2 million", &calls(GETPPID), &plain, Some(1.35))?;
    lost += bench.row("dd bs=1, 2 million calls", &dd, &plain, Some(1.33))?;
    lost += bench.row("find /usr", &find, &plain, Some(1.06))?;
    lost += bench.row("300 fork and exec", &forks, &plain, Some(1.02))?;
    if only.is_none() {
        bench.bystanders()?;
        bench.beside_strace(&plain)?;
        println!();
    }
    let returns = Options { returns: Returns::Always, ..plain.clone() };
    lost += bench.row("getppid, with results and refused calls", &calls(GETPPID), &returns, None)?;
    let all = Options { files: true, sockets: true, capabilities: true, ..returns };
    let counts = Options { arguments: false, ..plain.clone() };
    lost += bench.row("find /usr, counts alone", &find, &counts, None)?;
    lost += bench.row("find /usr, with paths, sockets, capabilities", &find, &all, None)?;
    if only.is_none() {
        let ns = bench.bystander(1, &all)?;
        measure::figure("a bystander's call beside such a recording", &format!("+{ns:.0} ns"), None);
        println!();
        bench.start()?;
    }
    measure::figure("lost in all rounds", &lost.to_string(), Some(lost == 0));
    if only.is_none() { backends::rows(&bench.programs, rounds) } else { Ok(()) }
}

struct Bench {
    programs: Programs,
    rounds: usize,
    only: Option<String>,
}

impl Bench {
    fn bare(&self, words: &[OsString]) -> anyhow::Result<f64> {
        self.programs.start(words)?.run()
    }

    /// CPU time of a recorded command, and how much was lost. The observer goes with it: attached programs would make the next bare run dearer.
    fn recorded(&self, words: &[OsString], options: &Options) -> anyhow::Result<(f64, u64)> {
        let waiting = self.programs.start(words)?;
        let recording = Observer::load(&Setup::default())?.record(&Target::Tree(waiting.pid()), options)?;
        let us = waiting.run()?;
        let observed = recording.stop()?;
        Ok((us, u64::from(!observed.completeness.complete())))
    }

    fn row(&self, name: &str, words: &[OsString], options: &Options, goal: Option<f64>) -> anyhow::Result<u64> {
        if self.only.as_ref().is_some_and(|only| !name.contains(only)) {
            return Ok(0);
        }
        let (mut bare, mut ours, mut ratios, mut lost) = (Vec::new(), Vec::new(), Vec::new(), 0);
        self.bare(words)?;
        for _ in 0..self.rounds {
            // Bare before and behind, so that a machine that grows slower or faster is not taken for a price.
            let before = self.bare(words)?;
            let (us, missing) = self.recorded(words, options)?;
            let floor = (before + self.bare(words)?) / 2.0;
            bare.push(floor);
            ours.push(us);
            ratios.push(us / floor);
            lost += missing;
        }
        let ratio = median(&mut ratios);
        let (goal, met) = match goal {
            Some(goal) => (format!("{goal:.2}"), if ratio <= goal { "met" } else { "MISSED" }),
            None => ("-".to_owned(), ""),
        };
        let (bare, ours) = (median(&mut bare) / 1e3, median(&mut ours) / 1e3);
        println!("{name:58} {bare:9.1} {ours:9.1} {ratio:6.2} {goal:>6} {met}");
        Ok(lost)
    }

    fn bystanders(&self) -> anyhow::Result<()> {
        for (recordings, name) in [(1, "a bystander's call beside 1 recording"), (20, "a bystander's call beside 20")] {
            let ns = self.bystander(recordings, &Options::default())?;
            measure::figure(name, &format!("+{ns:.0} ns"), Some(ns <= 45.0));
        }
        Ok(())
    }

    /// What a call of somebody costs more, in nanoseconds, whom none of so many recordings is about.
    fn bystander(&self, recordings: usize, options: &Options) -> anyhow::Result<f64> {
        let words = [self.programs.path("getppid"), BYSTANDER.to_string().into()];
        let idle = ["sleep".into(), "0".into()];
        let mut more = Vec::new();
        self.bare(&words)?;
        for _ in 0..self.rounds {
            let before = self.bare(&words)?;
            let observer = Observer::load(&Setup::default())?;
            let targets = (0..recordings).map(|_| self.programs.start(&idle)).collect::<anyhow::Result<Vec<_>>>()?;
            let recording = |target: &programs::Waiting| observer.record(&Target::Tree(target.pid()), options);
            let recordings = targets.iter().map(recording).collect::<Result<Vec<_>, _>>()?;
            let ours = self.bare(&words)?;
            drop((recordings, observer));
            for target in targets {
                target.run()?;
            }
            let floor = (before + self.bare(&words)?) / 2.0;
            more.push((ours - floor) * 1e3 / f64::from(BYSTANDER));
        }
        Ok(median(&mut more))
    }

    /// The added cost beside that of `strace -f -c`, on one workload.
    fn beside_strace(&self, options: &Options) -> anyhow::Result<()> {
        let name = "added cost of strace -f -c, times ours (getppid)";
        let Some(strace) = system::find("strace") else {
            measure::skip(name, "strace is not installed (apt-get install strace)");
            return Ok(());
        };
        let getppid = |count: u32| vec![self.programs.path("getppid"), count.to_string().into()];
        let (few, many) = (getppid(STRACED), getppid(GETPPID));
        let mut straced = vec![strace.into_os_string(), "-f".into(), "-c".into(), "-o".into(), "/dev/null".into()];
        straced.extend(few.clone());
        let mut ratios = Vec::new();
        for _ in 0..self.rounds {
            let theirs = (self.bare(&straced)? - self.bare(&few)?) / f64::from(STRACED);
            let ours = (self.recorded(&many, options)?.0 - self.bare(&many)?) / f64::from(GETPPID);
            ratios.push(theirs / ours);
        }
        let ratio = median(&mut ratios);
        measure::figure(name, &format!("{ratio:.0} x"), Some(ratio >= 40.0));
        Ok(())
    }

    /// How long it takes until a recording has begun: loading, attaching, making the target a member.
    fn start(&self) -> anyhow::Result<()> {
        let idle = ["sleep".into(), "0".into()];
        let (mut first, mut next) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let target = self.programs.start(&idle)?;
            let begun = Instant::now();
            let observer = match Observer::load(&Setup::default()) {
                Ok(observer) => observer,
                Err(error @ Unavailable::Permission { .. }) => anyhow::bail!("{error}"),
                Err(error) => return Err(error.into()),
            };
            let recording = observer.record(&Target::Tree(target.pid()), &Options::default())?;
            first.push(begun.elapsed().as_secs_f64() * 1e3);
            let other = self.programs.start(&idle)?;
            let begun = Instant::now();
            let another = observer.record(&Target::Tree(other.pid()), &Options::default())?;
            next.push(begun.elapsed().as_secs_f64() * 1e3);
            drop((recording, another));
            target.run()?;
            other.run()?;
        }
        let (first, next) = (median(&mut first), median(&mut next));
        measure::figure("start, with loading", &format!("{first:.1} ms"), Some(first <= 50.0));
        measure::figure("start of a further recording", &format!("{next:.2} ms"), None);
        Ok(())
    }
}
