//! What a box, a trace and a recording cost beside those of others: bare, the peer, and ours with the same set of restrictions, in turn.

mod adapters;
mod place;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::measure::median;
use crate::system;
use adapters::{ADAPTERS, Adapter};
use place::{Place, Side};
use rows::{ROWS, Row};

/// Fewer say little.
const ROUNDS: usize = 8;

/// A peer that is there.
struct Peer {
    adapter: &'static Adapter,
    version: String,
    theirs: Side,
    ours: Side,
}

/// What is asked for.
struct Asked {
    rows: Vec<&'static Row>,
    paths: BTreeMap<String, PathBuf>,
    json: bool,
}

fn parse(words: &[&str]) -> anyhow::Result<Asked> {
    let mut asked = Asked { rows: Vec::new(), paths: BTreeMap::new(), json: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--json" => asked.json = true,
            "--peer" => {
                let text = words.next().context("--peer wants NAME=PATH")?;
                let (name, path) = text.split_once('=').with_context(|| format!("--peer {text:?}: write NAME=PATH"))?;
                let known = || ADAPTERS.iter().map(|adapter| adapter.program).collect::<BTreeSet<_>>();
                if !ADAPTERS.iter().any(|adapter| adapter.program == name) {
                    bail!("--peer {name:?} is no peer that this bench knows; there are {:?}", known());
                }
                asked.paths.insert(name.to_owned(), path.into());
            }
            name => {
                let row = ROWS.iter().find(|row| row.name == name);
                let all = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
                asked.rows.push(row.with_context(|| format!("no row {name:?}; there are {}", all()))?);
            }
        }
    }
    if asked.rows.is_empty() {
        asked.rows = ROWS.iter().collect();
    }
    Ok(asked)
}

/// `tipstaff-bench peers [ROW...] [--peer NAME=PATH...] [--json]`.
pub fn run(words: &[&str]) -> anyhow::Result<bool> {
    let asked = parse(words)?;
    let place = Place::new()?;
    let rounds = std::env::var("TIPSTAFF_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let head = system::line();
    let mut skipped = Vec::new();
    let mut peers = Vec::new();
    for adapter in ADAPTERS {
        match there(adapter, &asked, &place) {
            Ok(peer) => peers.push(peer),
            Err(why) => skipped.push((adapter.name, format!("{why:#}"))),
        }
    }
    if !asked.json {
        println!("{head}");
        println!(
            "median of {rounds} rounds; bare, each peer, and tipstaff with that peer's set of restrictions in turn"
        );
        for (name, why) in &skipped {
            println!("skipped: {name}: {why}");
        }
        println!();
        println!(
            "{:36} {:14} {:>9} {:>9} {:>6} {:>9} {:>6} {:>7}",
            "", "peer", "bare", "peer", "x bare", "tipstaff", "x bare", "of peer"
        );
    }
    let mut all = Vec::new();
    for row in &asked.rows {
        for (peer, cell) in peers_of(row, &peers).zip(compare(row, &place, &peers, rounds)) {
            if !asked.json {
                println!("{}", line(row, peer, &cell));
            }
            all.push(value(row, peer, &cell));
        }
    }
    if asked.json {
        let skipped = skipped.iter().map(|(name, why)| json!({"peer": name, "why": why})).collect::<Vec<_>>();
        println!("{}", json!({"machine": head, "rounds": rounds, "skipped": skipped, "cells": all}));
    }
    Ok(true)
}

fn peers_of<'a>(row: &'a Row, peers: &'a [Peer]) -> impl Iterator<Item = &'a Peer> {
    peers.iter().filter(|peer| row.kinds.contains(&peer.adapter.kind))
}

/// Finds a peer, and sees that it does what all must do.
fn there(adapter: &'static Adapter, asked: &Asked, place: &Place) -> anyhow::Result<Peer> {
    let path = match asked.paths.get(adapter.program) {
        Some(path) => path.clone(),
        None => find(adapter.program)
            .with_context(|| format!("not installed ({}, or --peer {}=PATH)", adapter.from, adapter.program))?,
    };
    let said = std::process::Command::new(&path).arg("--version").output();
    let said = said.with_context(|| format!("{}", path.display()))?;
    let text = String::from_utf8_lossy(if said.stdout.is_empty() { &said.stderr } else { &said.stdout }).into_owned();
    let number = text.split_whitespace().find(|word| word.contains('.') && word.contains(|c: char| c.is_ascii_digit()));
    let version = number.unwrap_or("").trim_end_matches(&[',', '.'][..]).to_owned();
    let peer = Peer { adapter, version, theirs: Side::peer(adapter, &path), ours: place.ours(adapter)? };
    rows::works(place, &peer.theirs, adapter.kind).context("does not work here")?;
    rows::works(place, &peer.ours, adapter.kind)
        .context("tipstaff, with its set of restrictions, does not work here")?;
    Ok(peer)
}

fn find(program: &str) -> Option<PathBuf> {
    system::find(program).or_else(|| Some(PathBuf::from("/usr/sbin").join(program)).filter(|path| path.is_file()))
}

/// Three figures of one peer in one row, or what went wrong with one of them.
struct Cell {
    bare: f64,
    theirs: Result<f64, String>,
    ours: Result<f64, String>,
}

/// The figures of one side, round by round, until it fails.
#[derive(Default)]
struct Figures(Vec<f64>, Option<String>);

impl Figures {
    fn take(&mut self, row: &Row, place: &Place, side: &Side) {
        if self.1.is_none() {
            match rows::round(row, place, side) {
                Ok(figure) => self.0.push(figure),
                Err(error) => self.1 = Some(format!("{error:#}")),
            }
        }
    }

    fn figure(mut self) -> Result<f64, String> {
        self.1.map_or_else(|| Ok(median(&mut self.0)), Err)
    }
}

/// One row. The order turns around with each round, so that nobody always follows the same neighbour.
fn compare(row: &Row, place: &Place, peers: &[Peer], rounds: usize) -> Vec<Cell> {
    let bare = Side::bare();
    let mut sides = vec![&bare];
    sides.extend(peers_of(row, peers).flat_map(|peer| [&peer.theirs, &peer.ours]));
    let mut figures: Vec<Figures> = sides.iter().map(|_| Figures::default()).collect();
    for round in 0..rounds {
        for at in 0..sides.len() {
            let at = if round % 2 == 0 { at } else { sides.len() - 1 - at };
            if row.has_bare || at > 0 {
                figures[at].take(row, place, sides[at]);
            }
        }
    }
    let mut figures = figures.into_iter().map(Figures::figure);
    let bare = figures.next().and_then(Result::ok).unwrap_or(f64::NAN);
    let mut cells = Vec::new();
    while let (Some(theirs), Some(ours)) = (figures.next(), figures.next()) {
        cells.push(Cell { bare, theirs, ours });
    }
    cells
}

fn line(row: &Row, peer: &Peer, cell: &Cell) -> String {
    let pair = |figure: &Result<f64, String>| match figure {
        Ok(figure) if cell.bare.is_nan() => (format!("{figure:.0}"), "-".to_owned()),
        Ok(figure) => (format!("{figure:.0}"), format!("{:.2}", figure / cell.bare)),
        Err(_) => ("failed".to_owned(), "-".to_owned()),
    };
    let ((theirs, x), (ours, y)) = (pair(&cell.theirs), pair(&cell.ours));
    let bare = if cell.bare.is_nan() { "-".to_owned() } else { format!("{:.0}", cell.bare) };
    let of = match (&cell.theirs, &cell.ours) {
        (Ok(theirs), Ok(ours)) => format!("{:.2}", ours / theirs),
        _ => "-".to_owned(),
    };
    let what = format!("{}, {}", row.what, row.unit);
    let mut text = format!("{what:36} {:14} {bare:>9} {theirs:>9} {x:>6} {ours:>9} {y:>6} {of:>7}", peer.adapter.name);
    for (who, figure) in [(peer.adapter.name, &cell.theirs), ("tipstaff", &cell.ours)] {
        if let Err(why) = figure {
            text += &format!("\n    {who} failed: {}", why.lines().next().unwrap_or(""));
        }
    }
    text
}

fn value(row: &Row, peer: &Peer, cell: &Cell) -> Value {
    let side = |figure: &Result<f64, String>| match figure {
        Ok(figure) => json!({"figure": figure, "error": null}),
        Err(why) => json!({"figure": null, "error": why}),
    };
    json!({
        "row": row.name, "what": row.what, "unit": row.unit, "peer": peer.adapter.name, "version": peer.version,
        "bare": if cell.bare.is_nan() { Value::Null } else { json!(cell.bare) },
        "theirs": side(&cell.theirs), "ours": side(&cell.ours),
    })
}
