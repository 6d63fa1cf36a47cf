//! `tipstaff profile explain`: why a call is in a profile.

use std::ffi::OsStr;
use std::path::Path;

use tipstaff_abi::Sysno;
use tipstaff_oci_seccomp::explain::explain;
use tipstaff_oci_seccomp::meaning::Meaning;
use tipstaff_recording::{Arguments, Recording};

use super::args::Machine;
use super::source::{Loaded, Source, load};
use crate::record::recordings;

/// Says it; the exit status.
pub fn call(call: &str, name: &OsStr, machine: &Machine) -> Result<u8, String> {
    if let Some(recording) = recording(Path::new(name)) {
        return of_recording(call, &recording?);
    }
    let loaded = load(name, machine)?;
    match &loaded.source {
        Source::Document(document) => {
            let explained = explain(document, call, &loaded.env()).map_err(|e| format!("{}: {e}", loaded.name))?;
            for (arch, meaning) in &explained.meanings {
                println!("{call} on {arch}: {meaning}");
            }
            for entry in &explained.entries {
                let comment = entry.comment.as_ref().map(|comment| format!("  # {comment}")).unwrap_or_default();
                match &entry.idle {
                    None => println!("  {}: {}{comment}", entry.place, entry.says),
                    Some(why) => {
                        println!("  {}: {}, which does not count here: {why}{comment}", entry.place, entry.says)
                    }
                }
            }
            println!("  defaultAction: {}", explained.default);
        }
        Source::Profile(_) => of_profile(call, &loaded)?,
    }
    Ok(0)
}

/// A file or directory of recordings, told by its ending or by what is in it.
fn recording(path: &Path) -> Option<Result<Recording, String>> {
    let named =
        path.extension().is_some_and(|ending| ending == "rec") || path.to_string_lossy().ends_with(".recording.json");
    (named || path.is_dir()).then(|| recordings::read_all(&[path.to_owned()]))
}

/// Which runs made it, by whom, in which phase, how often, when first, with which arguments, and what came of it.
fn of_recording(call: &str, recording: &Recording) -> Result<u8, String> {
    let mut found = false;
    for (at, run) in recording.runs().enumerate() {
        for made in run.calls.iter().filter(|made| made.name == call) {
            found = true;
            for seen in made.seen.iter() {
                let by = seen.executable.to_string();
                let by = if by.is_empty() { "a program that nobody could name".to_owned() } else { by };
                let (arch, phase, first) = (made.arch.name(), seen.phase.as_str(), seen.first_ns / 1_000_000);
                println!(
                    "run {}: {call} on {arch} by {by}, {phase}: {} times, first after {first} ms",
                    at + 1,
                    seen.count
                );
            }
            if let Some(arguments) = &made.arguments {
                println!("  {}", arguments_of(arguments));
            }
            if let Some(results) = &made.results {
                let name =
                    |errno: i32| tipstaff_abi::errno::name(errno).map_or_else(|| errno.to_string(), str::to_owned);
                let errnos = results.errnos.iter().map(|row| format!(", {} {}", name(row.errno), row.count));
                println!("  results: ok {}{}", results.ok, errnos.collect::<String>());
            }
            if let Some(refused) = made.refused.filter(|&count| count > 0) {
                println!("  refused by a filter: {refused} times");
            }
        }
    }
    if !found {
        println!("{call}: in none of {} runs", recording.len());
    }
    Ok(0)
}

fn arguments_of(arguments: &Arguments) -> String {
    const SHOWN: usize = 8;
    if arguments.demoted {
        return "arguments: too many to be told apart".to_owned();
    }
    let one = |values: &Vec<u64>| {
        let words = arguments.selected.iter().zip(values).map(|(select, value)| match select.behind {
            None => format!("arg{} = {value:#x}", select.index),
            Some(offset) => format!("arg{} -> {value:#x} at {offset}", select.index),
        });
        words.collect::<Vec<_>>().join(" and ")
    };
    let shown: Vec<String> = arguments.values.iter().take(SHOWN).map(one).collect();
    let more = arguments.values.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("arguments: {}{more}", shown.join("; "))
}

fn of_profile(call: &str, loaded: &Loaded) -> Result<(), String> {
    let filter = loaded.filter()?;
    let Some(nr) = Sysno::by_name(loaded.arch, call) else {
        let near = Sysno::nearest(loaded.arch, call).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(format!("{call}: no table knows this call{near}"));
    };
    let meaning = Meaning::of(&filter, loaded.arch, nr.0).map_err(|e| format!("{call}: {e}"))?;
    println!("{call} on {}: {meaning}", loaded.arch.name());
    Ok(())
}
