//! From recordings to a full Tipstaff profile: calls, files, peers.
//!
//! Limits are not in it: what a run has used says nothing of what the next one may.

mod calls;
mod files;
mod floor;
mod network;

use tipstaff_policy::profile::{CwdAccess, Profile};
use tipstaff_recording::{Recording, Target};

pub use floor::meet_floor;

use crate::{LearnOptions, learned};

/// A profile, and what has to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generalised {
    /// The profile.
    pub profile: Profile,
    /// What a box cannot be allowed, or what a reader should know: a line each.
    pub notes: Vec<String>,
}

/// The profile that runs what was recorded, in the same place. `None`: there is no run.
#[must_use]
pub fn profile(recording: &Recording, options: LearnOptions<'_>) -> Option<Generalised> {
    let first = recording.runs().next()?;
    let mut notes = Vec::new();
    let mut profile = Profile::default();
    if let Target::Command { argv, .. } = &first.target {
        profile.program.argv = Some(argv.iter().map(words).collect());
    }
    let directories = recording.runs().filter_map(|run| match &run.target {
        Target::Command { directory, .. } => Some(directory.clone()),
        _ => None,
    });
    profile.syscalls = calls::syscalls(recording, options, &mut notes);
    let found = files::filesystem(recording, &directories.collect(), &|path| path.is_dir());
    profile.filesystem = found.filesystem;
    profile.filesystem.cwd.get_or_insert(CwdAccess::None);
    profile.network = network::network(recording);
    if recording.runs().any(|run| run.files.is_none()) {
        notes.push("files and addresses were not recorded in every run; record with --files".into());
    }
    notes.extend(found.notes);
    Some(Generalised { profile, notes })
}

fn words(bytes: &tipstaff_report::Bytes) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.as_bytes().to_vec())
}

/// Where a profile comes from, as a comment at its top.
#[must_use]
pub fn heading(recording: &Recording) -> String {
    learned::about(recording).iter().map(|line| format!("# {}\n", line.replace(['\n', '\r'], " "))).collect()
}
