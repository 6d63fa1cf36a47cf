//! All runs of a recording, looked at together.

use std::collections::BTreeMap;

use tipstaff_abi::Arch;

use crate::{Phase, Recording, Run};

/// Which call was seen in which runs.
///
/// # What is still unseen
/// A run is a sample of what the workload can do. With k runs, let Q1 be the number of calls that were seen in exactly one of them, and Q2 in exactly two.
///
/// - The Good–Turing estimate of how many new calls the next run will show is Q1 / k.
/// - The lower bound of Chao (Chao2) for all calls that are still unseen is (k - 1) / k · Q1² / (2 · Q2); with no call seen twice exactly,
///   (k - 1) / k · Q1 · (Q1 - 1) / 2.
///
/// Both suppose that runs are alike in what they may do. One run says nothing about the next.
#[derive(Clone, Debug)]
pub struct Coverage {
    runs: usize,
    calls: BTreeMap<(Arch, u32), Covered>,
    new: Vec<Vec<(Arch, u32)>>,
}

/// A call in several runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Its name, or `#NUMBER`.
    pub name: String,
    /// The runs that it was seen in, as places in [`Recording::runs`], ascending.
    pub runs: Vec<usize>,
    /// How often in all.
    pub count: u64,
}

/// What is likely to be unseen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// New calls that the next run is likely to show.
    pub next_run: f64,
    /// Calls that are unseen, at least.
    pub unseen: f64,
}

impl Coverage {
    /// Counts what was seen in these phases; runs that saw nothing there count as runs all the same.
    #[must_use]
    pub fn of(recording: &Recording, phases: &[Phase]) -> Self {
        let mut calls: BTreeMap<(Arch, u32), Covered> = BTreeMap::new();
        let mut new = Vec::new();
        for (at, run) in recording.runs().enumerate() {
            let mut fresh = Vec::new();
            for (key, name, count) in seen(run, phases) {
                let covered = calls.entry(key).or_insert_with(|| {
                    fresh.push(key);
                    Covered { name: name.to_owned(), runs: Vec::new(), count: 0 }
                });
                covered.runs.push(at);
                covered.count = covered.count.saturating_add(count);
            }
            new.push(fresh);
        }
        Self { runs: recording.len(), calls, new }
    }

    /// How many runs: n of "k of n".
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// Every call that was seen.
    pub fn calls(&self) -> impl ExactSizeIterator<Item = (Arch, u32, &Covered)> {
        self.calls.iter().map(|(&(arch, number), covered)| (arch, number, covered))
    }

    /// For each run, the calls that no earlier run had: when this falls to nothing, the runs have said what they can.
    #[must_use]
    pub fn new_per_run(&self) -> &[Vec<(Arch, u32)>] {
        &self.new
    }

    /// What is likely to be unseen; `None` with fewer than two runs.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        if self.runs < 2 {
            return None;
        }
        let seen_in = |n: usize| self.calls.values().filter(|covered| covered.runs.len() == n).count() as f64;
        let (runs, once, twice) = (self.runs as f64, seen_in(1), seen_in(2));
        let pairs = if twice > 0.0 { once * once / (2.0 * twice) } else { once * (once - 1.0).max(0.0) / 2.0 };
        Some(Estimate { next_run: once / runs, unseen: (runs - 1.0) / runs * pairs })
    }
}

fn seen<'a>(run: &'a Run, phases: &'a [Phase]) -> impl Iterator<Item = ((Arch, u32), &'a str, u64)> {
    run.calls.iter().filter_map(|call| {
        let mut rows = call.seen.iter().filter(|row| phases.contains(&row.phase)).peekable();
        rows.peek()?;
        let count = rows.fold(0, |sum: u64, row| sum.saturating_add(row.count));
        Some(((call.arch, call.number), call.name.as_str(), count))
    })
}
