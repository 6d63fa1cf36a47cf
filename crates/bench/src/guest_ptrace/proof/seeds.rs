//! Random programs, each by its seed. They sleep more than they work, so several are played at a time.
//!
//! A program whose runs differ among themselves is a race. Where a box differs from what was seen outside, both are run again, held up at random, and the box is
//! right if it does what was seen outside. What still differs is tried once more when nothing else runs. A box that stands still is a difference at once: no later
//! run takes that back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, ensure};

use super::place::Place;
use super::{Count, Who};

/// Seeds of one run.
const BATCH: u32 = 10;
/// Runs of a program that differs, until it is a difference.
const ROUNDS: u32 = 48;
/// Batches at a time, for each CPU.
const LANES: usize = 24;
/// Seeds between two lines that tell how far it is.
const FAR: u32 = 500;

/// A seed, and what was seen of it.
struct Seen {
    seed: u32,
    outside: BTreeSet<String>,
    inside: BTreeSet<String>,
}

/// What a batch has come to.
#[derive(Default)]
struct Batch {
    races: u32,
    differ: Vec<Seen>,
}

/// How far all lanes are.
struct Far {
    next: u32,
    played: u32,
    all: Batch,
    failed: Option<anyhow::Error>,
}

/// One part of the proof: who plays where.
struct Part<'a> {
    place: &'a Place,
    engine: &'a str,
    who: Who,
    /// Seeds whose box stood still.
    still: Mutex<BTreeSet<u32>>,
}

/// `count` random programs from `from` on.
pub fn play(place: &Place, engine: &str, who: Who, from: u32, count: u32) -> anyhow::Result<Count> {
    let part = Part { place, engine, who, still: Mutex::default() };
    let far = Mutex::new(Far { next: 0, played: 0, all: Batch::default(), failed: None });
    let lanes = thread::available_parallelism().map_or(1, usize::from) * LANES;
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| part.lane(&far, from, count));
        }
    });
    let Far { played, all, failed, .. } = far.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(failed) = failed {
        return Err(failed);
    }
    let mut different = Vec::new();
    for seen in all.differ {
        let again = part.again(seen)?;
        if let Some(seen) = again {
            let one = |set: &BTreeSet<String>| set.first().cloned().unwrap_or_default();
            println!(
                "{engine}, {who}: seed {} differs; outside:\n{}in the box:\n{}",
                seen.seed,
                one(&seen.outside),
                one(&seen.inside)
            );
            different.push(seen.seed);
        }
    }
    let still = part.still.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !still.is_empty() {
        println!("{engine}, {who}: boxes that stood still, of seeds {still:?}");
        different.extend(still.iter().filter(|seed| !different.contains(seed)).copied().collect::<Vec<_>>());
    }
    println!(
        "{engine}, {who}: {played} random programs from {from}, {} races among runs outside, {} differences {different:?}",
        all.races,
        different.len()
    );
    Ok(Count { played, differ: different.len() as u32 })
}

impl Part<'_> {
    /// Batch after batch, as long as there are some.
    fn lane(&self, far: &Mutex<Far>, from: u32, count: u32) {
        loop {
            let (first, some) = {
                let Ok(mut far) = far.lock() else { return };
                if far.failed.is_some() || far.next == count {
                    return;
                }
                let some = BATCH.min(count - far.next);
                far.next += some;
                (from + far.next - some, some)
            };
            let batch = self.batch(first, some);
            let Ok(mut far) = far.lock() else { return };
            match batch {
                Ok(batch) => {
                    far.all.races += batch.races;
                    far.all.differ.extend(batch.differ);
                    let before = far.played / FAR;
                    far.played += some;
                    if far.played / FAR > before && far.played < count {
                        let suspects: Vec<u32> = far.all.differ.iter().map(|seen| seen.seed).collect();
                        println!(
                            "{}, {}: {} seeds so far, to look at again: {suspects:?}",
                            self.engine, self.who, far.played
                        );
                    }
                }
                Err(e) => far.failed = Some(e),
            }
        }
    }

    fn batch(&self, first: u32, some: u32) -> anyhow::Result<Batch> {
        let outside = self.played(None, first, some, None)?;
        let again = self.played(None, first, some, None)?;
        let inside = self.played(Some(self.engine), first, some, None)?;
        ensure!(outside.len() == some as usize, "seeds from {first} do not end outside");
        let mut batch = Batch::default();
        for (seed, text) in outside {
            let seen = Seen {
                seed,
                outside: BTreeSet::from([text, again.get(&seed).cloned().unwrap_or_default()]),
                inside: BTreeSet::from([inside.get(&seed).cloned().unwrap_or_default()]),
            };
            batch.races += u32::from(seen.outside.len() > 1);
            batch.differ.extend(self.again(seen)?);
        }
        Ok(batch)
    }

    /// Until the box has done what was seen outside. Some: it has not.
    fn again(&self, mut seen: Seen) -> anyhow::Result<Option<Seen>> {
        for round in 1..=ROUNDS {
            if !seen.outside.is_disjoint(&seen.inside) {
                return Ok(None);
            }
            seen.outside.extend(self.played(None, seen.seed, 1, Some(round))?.into_values());
            let noise = if round % 2 == 0 { round } else { 0 };
            seen.inside.extend(self.played(Some(self.engine), seen.seed, 1, Some(noise))?.into_values());
        }
        Ok(seen.outside.is_disjoint(&seen.inside).then_some(seen))
    }

    /// What each seed has printed.
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
        let said = self.place.said(engine, self.who, &words)?;
        for line in said.text.lines() {
            if let Some(number) = line.strip_prefix("seed ") {
                current = number.parse().context("a seed")?;
            }
            let text = seeds.entry(current).or_default();
            text.push_str(line);
            text.push('\n');
        }
        if said.stood_still && engine.is_some() {
            self.still.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(current);
        }
        Ok(seeds)
    }
}
