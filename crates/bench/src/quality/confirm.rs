//! The same run under our eyes and under strace's: which names each has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use anyhow::{Context, ensure};
use tipstaff_record::{Options, Recorder, Target};

use super::script::Scripts;
use crate::system;

/// Why one may see a name that the other does not.
const EXPLAINED: &[(&str, &str)] = &[(
    "restart_syscall",
    "made by the kernel on a program's behalf: whether strace's own stops interrupt a call, and the kernel restarts it, is chance",
)];

/// strace, if it is installed.
pub fn strace() -> Option<PathBuf> {
    system::find("strace")
}

/// Names that one has seen and the other has not, with the runs in which it was so.
#[derive(Default)]
pub struct Differences {
    ours: BTreeMap<String, Vec<String>>,
    theirs: BTreeMap<String, Vec<String>>,
}

impl Differences {
    fn all(&self) -> impl Iterator<Item = (&String, &'static str, &Vec<String>)> {
        let ours = self.ours.iter().map(|(name, runs)| (name, "recorded, and not seen by strace", runs));
        ours.chain(self.theirs.iter().map(|(name, runs)| (name, "seen by strace, and not recorded", runs)))
    }

    /// Those with a reason, in words.
    pub fn explained(&self) -> Vec<String> {
        let why = |name: &str| EXPLAINED.iter().find(|(known, _)| *known == name).map(|(_, why)| *why);
        self.all()
            .filter_map(|(name, how, runs)| Some(format!("{name}: {how} (run {}): {}", runs.join(", "), why(name)?)))
            .collect()
    }

    /// Those without.
    pub fn unexplained(&self) -> Vec<String> {
        let left = self.all().filter(|(name, ..)| !EXPLAINED.iter().any(|(known, _)| known == name));
        left.map(|(name, how, runs)| format!("{name} ({how}, run {})", runs.join(", "))).collect()
    }
}

/// Makes a run, watched by both from the same moment on; how many names both have seen.
pub fn run(scripts: &Scripts<'_>, run: &str, differences: &mut Differences) -> anyhow::Result<usize> {
    let prepared = scripts.prepare(run)?;
    // It waits until both are there. What it calls from then on is seen by both; the wait itself by strace alone, or by nobody.
    let mut words = vec!["/bin/sh".into(), "-c".into(), "read _; exec \"$@\"".into(), "sh".into()];
    words.extend(prepared.words.iter().cloned());
    let mut child = prepared.command(&words).stdin(Stdio::piped()).spawn()?;
    let mut gate = child.stdin.take().context("a pipe")?;
    // Not in the run's own directory: a program that reads what is there would read what it does.
    let out = scripts.dir.join(format!("strace-{run}"));
    let mut strace = attach(child.id(), &out)?;
    let (says, _events) = channel();
    let pid = i32::try_from(child.id())?;
    let recorder = Recorder::start(&Target::Processes(vec![pid]), Options::default(), &says)?;
    gate.write_all(b"\n")?;
    drop(gate);
    let ended = scripts.finish(run, &prepared, child);
    let seen = recorder.stop();
    // It ends with the last of its tracees.
    super::wait(&mut strace, std::time::Duration::from_secs(60)).context("strace")?;
    ended?;
    let ours: BTreeSet<String> = seen.calls.iter().map(|call| call.name.clone()).collect();
    let theirs = names(&out)?;
    ensure!(!theirs.is_empty(), "strace has seen nothing");
    for (mine, other, into) in [(&ours, &theirs, &mut differences.ours), (&theirs, &ours, &mut differences.theirs)] {
        for name in mine.difference(other) {
            into.entry(name.clone()).or_default().push(run.to_owned());
        }
    }
    Ok(ours.intersection(&theirs).count())
}

fn attach(pid: u32, out: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(strace().context("strace")?);
    command.args(["-f", "-o"]).arg(out).args(["-p", &pid.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut strace = command.stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(strace.stderr.take().context("a pipe")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    ensure!(line.contains("attached"), "strace says {line:?}");
    // What else it says is thrown away, so that it never waits for a reader.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    Ok(strace)
}

/// The names in strace's lines: `PID name(…`, and `PID <... name resumed>…`.
fn names(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read(path)?;
    let mut names = BTreeSet::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
        let rest = rest.strip_prefix("<... ").unwrap_or(rest);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() && (after.starts_with('(') || after.starts_with(" resumed")) {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}
