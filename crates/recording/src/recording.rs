//! The file: a set of runs.

use serde::{Deserialize, Serialize};

use crate::{Run, Table};

/// The version of the file's format.
pub const SCHEMA: u32 = 1;

/// JSON Schema (draft 2020-12) of the file, as published in `schema/recording.schema.json`.
pub const JSON_SCHEMA: &str = include_str!("../schema/recording.schema.json");

/// Runs, in the order in which they began; of each run one state, the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    runs: Table<Run>,
}

/// The JSON as it is written.
#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    runs: &'a Table<Run>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[expect(dead_code, reason = "looked at before")]
    schema: u32,
    runs: Table<Run>,
}

/// Looked at first, so that a file of another version is told as such, and not by the first key that it has more.
#[derive(Deserialize)]
struct Version {
    schema: Option<u64>,
}

/// Why a file is no recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("line {line}, column {column}: {}", tipstaff_abi::one_line(message))]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// Another version of the format, or another kind of file.
    #[error("{}", match .0 {
        Some(version) => format!("a recording of version {version}; this tipstaff reads version {SCHEMA}"),
        None => "no recording: the key \"schema\" is missing".to_owned(),
    })]
    Version(Option<u64>),
    /// The shape is right, a value cannot be.
    #[error("{at}: {message}")]
    Value {
        /// Where, as `runs[0].calls`.
        at: String,
        /// What is wrong.
        message: String,
    },
}

impl From<Run> for Recording {
    fn from(run: Run) -> Self {
        Self { runs: [run].into_iter().collect() }
    }
}

impl Recording {
    /// The runs, in the order in which they began.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = &Run> + Clone {
        self.runs.iter()
    }

    /// How many runs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// No run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds a run. Of two states of the same run the later one stays.
    pub fn add(&mut self, run: Run) {
        use crate::Row;
        match self.runs.get(&run.key()) {
            Some(known) if rank(known) >= rank(&run) => {}
            _ => drop(self.runs.insert(run)),
        }
    }

    /// The union with another recording.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for run in other.runs.iter() {
            self.add(run.clone());
        }
        self
    }

    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let version: Version = serde_json::from_str(text).map_err(json)?;
        if version.schema != Some(u64::from(SCHEMA)) {
            return Err(Error::Version(version.schema));
        }
        let read: Read = serde_json::from_str(text).map_err(json)?;
        for (at, run) in read.runs.iter().enumerate() {
            check(run).map_err(|(place, message)| Error::Value { at: format!("runs[{at}].{place}"), message })?;
        }
        Ok(Self { runs: read.runs })
    }

    /// Writes the file: one line feed at its end; the same recording gives the same bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every key is a string, every value has a form.
        let mut text = serde_json::to_string_pretty(&Written { schema: SCHEMA, runs: &self.runs }).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// What makes one state of a run later than another: its time, and where that says nothing, anything that does not depend on the order of merging.
fn rank(run: &Run) -> (u64, String) {
    (run.duration_ns, serde_json::to_string(run).unwrap_or_default())
}

fn json(e: serde_json::Error) -> Error {
    let text = e.to_string();
    // serde_json says the place itself, at the end.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    Error::Json { line: e.line(), column: e.column(), message }
}

fn check(run: &Run) -> Result<(), (String, String)> {
    let wrong = |at: &str, message: &str| Err((at.to_owned(), message.to_owned()));
    if run.id.len() != 32 || !run.id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return wrong("id", "write 32 hexadecimal digits");
    }
    if !run.completeness.is_consistent() {
        return wrong("completeness", "the verdict does not follow from the shortfalls");
    }
    for (at, call) in run.calls.iter().enumerate() {
        if call.arguments.as_ref().is_some_and(|arguments| !arguments.is_consistent()) {
            return Err((format!("calls[{at}].arguments"), "values and selected words do not fit together".to_owned()));
        }
    }
    Ok(())
}
