//! The proof of guests' ptrace(2), with totals: every row of the semantic table and random programs, outside and in a box of each engine, as root and as
//! an ordinary user; then the tests of real tools, of boxes in boxes and of attacks.

mod place;
mod rows;
mod seeds;
mod tools;

use std::fmt;

use self::place::Place;
use crate::system;

/// Engines, and how much of the seeds each gets: the kernel's own ptrace(2) cannot differ as ours can.
const ENGINES: [(&str, u32); 3] = [("ptrace", 1), ("native", 10), ("notify", 10)];

/// Who runs a program, outside and in the box.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// Uid 0.
    Root,
    /// A uid that is nobody's; or the caller's, who is not root.
    Ordinary,
}

/// What a part has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    played: u32,
    differ: u32,
}

impl Who {
    /// Both, where that can be had.
    fn all() -> &'static [Self] {
        if rustix::process::geteuid().is_root() { &[Self::Root, Self::Ordinary] } else { &[Self::Ordinary] }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Ordinary => "an ordinary user",
        })
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.played += other.played;
        self.differ += other.differ;
    }
}

/// All of it, with `seeds` random programs from `from` on for each user. Whether nothing differs, and everything was there to be run.
pub fn run(from: u32, seeds: u32) -> anyhow::Result<bool> {
    println!("{}", system::line());
    let place = Place::new()?;
    let (mut rows, mut programs) = (Count::default(), Count::default());
    for (engine, _) in ENGINES {
        for &who in Who::all() {
            rows += rows::play(&place, engine, who)?;
        }
    }
    for (engine, part) in ENGINES {
        for &who in Who::all() {
            programs += seeds::play(&place, engine, who, from, seeds.div_ceil(part))?;
        }
    }
    let tests = tools::run()?;
    println!();
    println!("rows            {:6} {:6} differences", rows.played, rows.differ);
    println!("random programs {:6} {:6} differences", programs.played, programs.differ);
    let tested = tests.is_some_and(|tests| tests.differ == 0);
    match tests {
        Some(tests) => println!("tests           {:6} {:6} failures", tests.played, tests.differ),
        None => println!("tests           not run: they need this project's sources, cargo and cargo-nextest"),
    }
    let fine = rows.differ + programs.differ == 0 && tested;
    println!("{}", if fine { "proven: nothing differs" } else { "NOT proven" });
    Ok(fine)
}

/// Random programs alone, under emulation or under the engine that is named.
pub fn seeds(from: u32, seeds: u32, engine: Option<&str>) -> anyhow::Result<bool> {
    println!("{}", system::line());
    let engine = engine.unwrap_or(ENGINES[0].0);
    anyhow::ensure!(
        ENGINES.iter().any(|(name, _)| *name == engine),
        "{engine:?} is no engine: ptrace, native or notify"
    );
    let place = Place::new()?;
    let mut programs = Count::default();
    for &who in Who::all() {
        programs += seeds::play(&place, engine, who, from, seeds)?;
    }
    Ok(programs.differ == 0)
}
