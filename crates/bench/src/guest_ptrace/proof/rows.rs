//! Rows: one fact each, which is told in the same words outside and in the box.

use std::collections::BTreeSet;

use anyhow::ensure;

use super::place::Place;
use super::{Count, Who};

/// What a busy machine makes of a row outside may differ too: so often it is told again.
const ROUNDS: u32 = 20;

/// All rows under an engine.
pub fn play(place: &Place, engine: &str, who: Who) -> anyhow::Result<Count> {
    let (mut played, mut different) = (0, Vec::new());
    for program in ["ptracerows", "ptraceshown"] {
        let names = place.said(None, who, &[program.to_owned()])?.text;
        ensure!(names.lines().count() > 10, "{program} tells no rows");
        for name in names.lines() {
            let words = [program.to_owned(), name.to_owned()];
            let mut outside = BTreeSet::new();
            let mut same = false;
            for _ in 0..ROUNDS {
                outside.insert(place.said(None, who, &words)?.text);
                let inside = place.said(Some(engine), who, &words)?.text;
                same = inside.ends_with("done\n") && outside.contains(&inside);
                if same {
                    break;
                }
            }
            played += 1;
            if !same {
                different.push(name.to_owned());
            }
        }
    }
    println!("{engine}, {who}: {played} rows, {} differences {}", different.len(), different.join(" "));
    Ok(Count { played, differ: different.len() as u32 })
}
