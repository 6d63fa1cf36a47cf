//! Files of recordings, and `tipstaff recording`.

use std::fs;
use std::path::{Path, PathBuf};

use tipstaff_artifact::Target;
use tipstaff_recording::{Recording, Run};

use super::args::RecordingAction;
use super::outputs::{Made, Output, Profiles};
use super::summary;
use crate::say;

/// The ending of a store's files.
const ENDING: &str = ".rec";

/// Does it; the exit status.
pub fn run(action: &RecordingAction) -> Result<u8, String> {
    match action {
        RecordingAction::Merge { files, output, format, quiet, profile } => {
            let profiles = Profiles::new(profile)?;
            let outputs = Output::open_all(output, *format)?;
            let recording = read_all(files)?;
            let mut made = Made::default();
            for output in &outputs {
                output.write(&recording, &profiles, &mut made)?;
            }
            if !quiet {
                summary::coverage(&recording, &profiles);
                made.notes.iter().for_each(say::note);
            }
            Ok(0)
        }
        RecordingAction::Show { files } => {
            summary::show(&read_all(files)?);
            Ok(0)
        }
    }
}

/// The recordings of these files, and of these directories' files, as one.
pub fn read_all(files: &[PathBuf]) -> Result<Recording, String> {
    let mut all = Recording::default();
    for path in files {
        all = all.merge(if path.is_dir() { read_store(path)? } else { read(path)? });
    }
    if all.is_empty() { Err("no run in these recordings".into()) } else { Ok(all) }
}

/// A recording.
pub fn read(path: &Path) -> Result<Recording, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {}", path.display(), say::words(&e)))?;
    Recording::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// All runs of a store. A directory that is not there yet is an empty one.
pub fn read_store(directory: &Path) -> Result<Recording, String> {
    let wrong = |e: &std::io::Error| format!("{}: {}", directory.display(), say::words(e));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir(directory).map_err(|e| wrong(&e))?;
            return Ok(Recording::default());
        }
        Err(e) => return Err(wrong(&e)),
    };
    let mut all = Recording::default();
    for entry in entries {
        let path = entry.map_err(|e| wrong(&e))?.path();
        if path.extension().is_some_and(|ending| ending == &ENDING[1..]) {
            all = all.merge(read(&path)?);
        }
    }
    Ok(all)
}

/// Writes a run into its file of a store: the same file for each state of one run.
pub fn keep(directory: &Path, run: Run) -> Result<(), String> {
    let path = directory.join(format!("{}{ENDING}", run.id));
    let target = Target::at(&path).map_err(|e| format!("--store {e}"))?;
    target.replace(Recording::from(run).to_json().as_bytes()).map_err(|e| format!("--store {e}"))
}
