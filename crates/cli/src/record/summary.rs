//! Recordings for people.

use std::collections::BTreeSet;

use tipstaff_abi::Arch;
use tipstaff_oci_seccomp::danger;
use tipstaff_oci_seccomp::learn::Arguments;
use tipstaff_record::{learn, words};
use tipstaff_recording::{Coverage, Exit, Recording, Run};

use super::outputs::{Made, Profiles};
use crate::say;

/// What a run has come to, on standard error.
pub fn run(run: &Run, recording: &Recording, profiles: &Profiles, made: &Made) {
    let coverage = Coverage::of(recording, profiles.learn_options().phases);
    let runs = match coverage.runs() {
        0 | 1 => String::new(),
        n => format!(" in {n} runs, {} of them new in this one", new_in(&coverage, recording, run)),
    };
    say::note(format_args!("recorded by {}: {}{runs}", run.backend.as_str(), counted(coverage.calls().len(), "call")));
    if let Some(learned) = learn(recording, profiles.learn_options()) {
        let names: BTreeSet<String> = learned.calls.iter().map(|call| call.name()).collect();
        let dangerous: Vec<&str> =
            names.iter().map(String::as_str).filter(|name| danger::why(name).is_some()).collect();
        if !dangerous.is_empty() {
            say::note(format_args!("dangerous: {}", dangerous.join(", ")));
        }
        let limited: BTreeSet<String> = learned
            .calls
            .iter()
            .filter(|call| matches!(call.arguments, Arguments::Tuples(_)))
            .map(|call| call.name())
            .collect();
        if !limited.is_empty() {
            let limited: Vec<String> = limited.into_iter().collect();
            say::note(format_args!("arguments limited: {}", limited.join(", ")));
        }
        let foreign: BTreeSet<&str> =
            learned.calls.iter().map(|call| call.arch).filter(|&arch| arch != learned.arch).map(Arch::name).collect();
        if !foreign.is_empty() {
            let foreign: Vec<&str> = foreign.into_iter().collect();
            say::note(format_args!("calls of other architectures: {}", foreign.join(", ")));
        }
    }
    made.notes.iter().for_each(say::note);
    completeness(run);
}

fn completeness(run: &Run) {
    let (lost, kept): (Vec<_>, Vec<_>) =
        run.completeness.shortfalls().partition(|shortfall| shortfall.reason.is_loss());
    for shortfall in kept {
        say::note(shortfall);
    }
    if lost.is_empty() {
        say::note("complete");
    } else {
        let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
        say::note(format_args!("incomplete: {}", lost.join("; ")));
    }
}

fn new_in(coverage: &Coverage, recording: &Recording, run: &Run) -> usize {
    let at = recording.runs().position(|known| known.id == run.id);
    at.and_then(|at| coverage.new_per_run().get(at)).map_or(0, Vec::len)
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Which call was seen in how many runs, on standard output.
pub fn coverage(recording: &Recording, profiles: &Profiles) {
    let coverage = Coverage::of(recording, profiles.learn_options().phases);
    let runs = coverage.runs();
    let native = recording.runs().next().map(|run| run.machine.arch);
    let name = |arch: Arch, name: &str| {
        if Some(arch) == native { name.to_owned() } else { format!("{name}@{}", arch.name()) }
    };
    let mut rows: Vec<_> = coverage.calls().collect();
    // What few runs show is what one looks for.
    rows.sort_by(|a, b| (a.2.runs.len(), &a.2.name, a.0).cmp(&(b.2.runs.len(), &b.2.name, b.0)));
    println!("{:<28} {:>7}  {:>5}  {:>10}  by", "call", "runs", "first", "count");
    for (arch, number, covered) in rows {
        let first = covered.runs.first().copied().unwrap_or(0);
        let by = recording.runs().nth(first).and_then(|run| {
            let call = run.calls.get(&(arch, number))?;
            call.first().map(|seen| seen.executable.to_string())
        });
        println!(
            "{:<28} {:>7}  {:>5}  {:>10}  {}",
            name(arch, &covered.name),
            format!("{}/{runs}", covered.runs.len()),
            first + 1,
            covered.count,
            say::one_line(by.unwrap_or_default())
        );
    }
    let new: Vec<String> = coverage.new_per_run().iter().map(|new| new.len().to_string()).collect();
    println!("new calls per run: {}", new.join(" "));
    match coverage.estimate() {
        Some(estimate) => println!(
            "likely new in the next run: {:.1}; still unseen: {:.1} or more",
            estimate.next_run, estimate.unseen
        ),
        None => println!("one run says nothing about the next; record more"),
    }
}

/// What is in a recording, on standard output.
pub fn show(recording: &Recording) {
    for (at, run) in recording.runs().enumerate() {
        let exit = match &run.exit {
            Some(Exit::Code(code)) => format!("exit {code}"),
            Some(Exit::Signal(signal)) => signal.name.clone(),
            None => "end unknown".to_owned(),
        };
        println!("run {} {}", at + 1, run.id);
        println!(
            "  {} by {}, Linux {} {}, {}",
            say::one_line(words::target(&run.target)),
            run.backend.as_str(),
            run.machine.kernel,
            run.machine.arch.name(),
            run.tool
        );
        println!("  {:.3} s, {exit}, {}", run.duration_ns as f64 / 1e9, counted(run.calls.len(), "call"));
        let verdict = if run.completeness.is_complete() { "complete" } else { "incomplete" };
        let lacks: Vec<String> = run.completeness.shortfalls().map(ToString::to_string).collect();
        let colon = if lacks.is_empty() { "" } else { ": " };
        println!("  {verdict}{colon}{}", lacks.join("; "));
        for call in run.calls.iter() {
            let by: BTreeSet<String> =
                call.seen.iter().map(|seen| format!("{} {}", seen.phase.as_str(), seen.executable)).collect();
            let by: Vec<String> = by.into_iter().collect();
            println!(
                "  {:>10} {:<8} {:<24} {}",
                call.count(),
                call.arch.name(),
                call.name,
                say::one_line(by.join(", "))
            );
        }
    }
}
