//! What hooks and the collector tell each other, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;

/// What is to be recorded, and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The container's id.
    pub id: String,
    /// Its name, or its id.
    pub name: String,
    /// Its first process.
    pub pid: i32,
    /// Directories of control groups that are its alone, as the hook sees it: the collector is in another group.
    pub cgroups: Vec<PathBuf>,
    /// The runtime's name, where it is known.
    pub runtime: Option<String>,
    /// The directory with its configuration.
    pub bundle_dir: PathBuf,
    /// What that says.
    pub bundle: Bundle,
    /// The profile that stays, and is added to.
    pub input: Option<PathBuf>,
    /// Where the profile goes.
    pub output: PathBuf,
    /// Where profiles may go.
    pub roots: Vec<PathBuf>,
    /// Milliseconds between two flushes.
    pub flush_ms: u64,
}

/// What a collector is told before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The private directory.
    pub runtime_dir: PathBuf,
    /// The log.
    pub log: PathBuf,
}

/// What a hook asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Record this; the lock of the container's card comes along. The answer is a [`Hello`].
    Record(Box<Card>),
    /// The container of this id has ended. The answer is an [`End`], when it is on disk.
    Finish(String),
}

/// Whether it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hello {
    /// It is; what there is to say about how.
    Ready(Vec<String>),
    /// It is not, and why.
    Failed(String),
}

/// What came of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The file that was to be written.
    pub output: PathBuf,
    /// How many calls were seen, by name.
    pub names: usize,
    /// Why the profile may lack something; empty where it is complete.
    pub incomplete: Vec<String>,
    /// Calls that were made, and that the input profile refuses by name.
    #[serde(default)]
    pub beyond: Vec<String>,
    /// Why nothing was written. What was there before is there still.
    pub failed: Option<String>,
}

impl End {
    /// In words, a line each.
    pub fn lines(&self) -> Vec<String> {
        if let Some(why) = &self.failed {
            return vec![format!("{:?} was not written: {why}", self.output)];
        }
        let mut lines = vec![format!("{:?}: {} calls", self.output, self.names)];
        if !self.beyond.is_empty() {
            lines.push(format!("made, and refused by the input profile: {}", self.beyond.join(", ")));
        }
        lines.extend(self.incomplete.iter().map(|why| format!("{:?} is incomplete: {why}", self.output)));
        lines
    }
}
