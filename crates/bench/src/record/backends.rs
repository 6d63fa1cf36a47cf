//! The backends of `tipstaff record` as commands, beside `strace -f -c` and beside nothing: CPU time of the whole tree, the recorder's included.

use std::ffi::OsString;

use super::programs::Programs;
use crate::measure::{self, median};
use crate::system;

/// Of `strace -f -c`, for the ptrace backend.
const GOAL: f64 = 0.5;

/// The rows of this machine.
pub fn rows(programs: &Programs, rounds: usize) -> anyhow::Result<()> {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let workloads = [
        (
            "dd bs=1, 100,000 calls",
            words(&["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=50000", "status=none"]),
        ),
        ("find /usr/share/doc", words(&["find", "/usr/share/doc", "-name", "no-such-name"])),
        ("30 fork and exec", vec![programs.path("forkexec"), "30".into(), "/bin/true".into()]),
    ];
    println!();
    println!("as commands, CPU time of recorder and recorded; times bare, and the part of what strace -f -c takes");
    println!("{:58} {:>9} {:>9} {:>6} {:>6}", "", "bare ms", "ours ms", "x bare", "strace");
    let tipstaff = system::tipstaff()?.into_os_string();
    let strace = system::find("strace").map(std::path::PathBuf::into_os_string);
    if strace.is_none() {
        measure::skip("beside strace -f -c", "strace is not installed (apt-get install strace)");
    }
    let mut met = true;
    for (name, workload) in &workloads {
        let record = |backend: &str, more: &[&str]| {
            let mut all = vec![tipstaff.clone()];
            all.extend(self::words(&["record", "-q", "--backend", backend]));
            all.extend(self::words(more));
            all.push("--".into());
            all.extend(workload.clone());
            all
        };
        let mut subjects = vec![
            ("ebpf", record("ebpf", &[])),
            ("ptrace", record("ptrace", &[])),
            ("ptrace, with results", record("ptrace", &["--results"])),
            ("ptrace, with files", record("ptrace", &["--files"])),
            ("notify", record("notify", &[])),
        ];
        if let Some(strace) = &strace {
            let mut all = vec![strace.clone()];
            all.extend(self::words(&["-f", "-c", "-o", "/dev/null"]));
            all.extend(workload.clone());
            subjects.insert(0, ("strace -f -c", all));
        }
        let mut times = vec![Vec::new(); subjects.len()];
        let mut bare = Vec::new();
        let mut there = vec![true; subjects.len()];
        for _ in 0..rounds {
            bare.push(programs.start(workload)?.run()?);
            for (at, (_, words)) in subjects.iter().enumerate() {
                if there[at] {
                    match programs.start(words)?.run() {
                        Ok(us) => times[at].push(us),
                        Err(_) => there[at] = false,
                    }
                }
            }
        }
        let bare = median(&mut bare);
        let medians: Vec<Option<f64>> =
            times.iter_mut().zip(&there).map(|(times, there)| there.then(|| median(times))).collect();
        let theirs = strace.as_ref().and(medians[0]);
        for ((subject, _), ours) in subjects.iter().zip(&medians) {
            let name = format!("{name}: {subject}");
            let Some(ours) = ours else {
                measure::skip(&name, "cannot be had here");
                continue;
            };
            let part = theirs.map(|theirs| ours / theirs);
            let judged = match part.filter(|_| *subject == "ptrace") {
                Some(part) if part <= GOAL => "met",
                Some(_) => {
                    met = false;
                    "MISSED"
                }
                None => "",
            };
            let part = part.map_or_else(|| "-".to_owned(), |part| format!("{part:.2}"));
            println!("{name:58} {:9.1} {:9.1} {:6.1} {part:>6} {judged}", bare / 1e3, ours / 1e3, ours / bare);
        }
    }
    if strace.is_some() {
        measure::figure("ptrace at most half of strace -f -c", if met { "yes" } else { "no" }, Some(met));
    }
    Ok(())
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
