//! What stands in a profile, and in a recording.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use tipstaff_abi::{Arch, Sysno};
use tipstaff_oci_seccomp::extend::missing;
use tipstaff_oci_seccomp::{self as oci, Document, Env, danger};
use tipstaff_record::{LearnOptions, learn};
use tipstaff_recording::Recording;

/// What the table says of a profile.
pub struct Figures {
    /// Names that are allowed, with whatever arguments.
    pub names: usize,
    /// Their share of all names that the machine's own architecture has.
    pub share: f64,
    /// Those that reach beyond a program's own process and files.
    pub dangerous: Vec<String>,
    /// Those that are allowed with certain arguments only.
    pub limited: Vec<String>,
}

/// Reads a profile.
pub fn read(path: &Path) -> anyhow::Result<Document> {
    Ok(oci::parse(&std::fs::read_to_string(path).with_context(|| path.display().to_string())?)?)
}

/// Reads a recording.
pub fn recording(path: &Path) -> anyhow::Result<Recording> {
    Ok(Recording::parse(&std::fs::read_to_string(path).with_context(|| path.display().to_string())?)?)
}

impl Figures {
    /// Counts.
    pub fn of(document: &Document) -> anyhow::Result<Self> {
        let arch = Arch::native().context("no table of this machine's calls")?;
        let (mut whole, mut some) = (BTreeSet::new(), BTreeSet::new());
        for entry in document.syscalls.iter().flatten().filter(|entry| entry.action == "SCMP_ACT_ALLOW") {
            let set = if entry.args.as_ref().is_some_and(|args| !args.is_empty()) { &mut some } else { &mut whole };
            set.extend(entry.names.iter().flatten().cloned());
        }
        some.retain(|name| !whole.contains(name));
        let names: BTreeSet<&String> = whole.iter().chain(&some).collect();
        let all = Sysno::all(arch).count();
        Ok(Self {
            names: names.len(),
            share: names.iter().filter(|name| Sysno::by_name(arch, name).is_some()).count() as f64 / all as f64,
            dangerous: names.iter().filter(|name| danger::why(name).is_some()).map(|name| (*name).clone()).collect(),
            limited: some.into_iter().collect(),
        })
    }
}

/// The calls that a filter refused, as the recorder has seen it.
pub fn refused(recording: &Recording) -> BTreeSet<String> {
    let calls = recording.runs().flat_map(|run| run.calls.iter());
    calls.filter(|call| call.refused.is_some_and(|count| count > 0)).map(|call| call.name.clone()).collect()
}

/// What a profile lacks for what was seen, but for what `starter` alone called: it stands outside of the profile.
pub fn lacking(document: &Document, recording: &Recording, starter: &Path) -> anyhow::Result<BTreeSet<String>> {
    let starter = tipstaff_report::Bytes::from(starter.as_os_str());
    let calls = || recording.runs().flat_map(|run| run.calls.iter());
    let own = |name: &str| {
        let mut seen = calls().filter(|call| call.name == name).flat_map(|call| call.seen.iter());
        seen.all(|seen| seen.executable == starter)
    };
    let learned = learn(recording, LearnOptions::default()).context("nothing was recorded")?;
    let env = Env { arch: learned.arch, kernel: tipstaff_sys::ids::release(), caps: &[], form: None };
    let filter = oci::evaluate(document, &env)?.filter;
    let missing = missing(&filter, &learned)?.into_iter().map(|missing| missing.name);
    Ok(missing.filter(|name| !own(name)).collect())
}
