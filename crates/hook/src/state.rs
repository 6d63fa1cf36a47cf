//! The container's state, as the runtime hands it to a hook on standard input (runtime-spec, `runtime.md`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Error;

/// An id is a name of files of ours, too.
const MOST_ID: usize = 200;

/// How far the container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// What runc says up to the start of the container's process.
    Creating,
    /// What crun says up to there.
    Created,
    /// The container's process runs: poststart.
    Running,
    /// Paused: no hook is run then, but the word exists.
    Paused,
    /// It has ended: poststop.
    Stopped,
}

/// The state. What else a runtime adds (crun: `root`, `created`, `owner`) is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The container's id, unique on this machine and for this runtime.
    pub id: String,
    /// How far it is.
    pub status: Status,
    /// The container's first process, in the PID namespace of whoever the runtime has run: the host's for prestart and
    /// createRuntime; 1 from runc and 0 from crun for createContainer; absent (runc) or 0 (crun) for poststop.
    #[serde(default)]
    pub pid: i32,
    /// The directory with `config.json`.
    pub bundle: PathBuf,
    /// The container's annotations; some runtimes write null for none.
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl State {
    /// Reads the JSON.
    ///
    /// # Errors
    /// No JSON, a member missing or of the wrong kind, an id that cannot be a name.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        if json.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::State(
                "nothing on standard input: a runtime runs this, with the container's state".into(),
            ));
        }
        let state: Self = serde_json::from_slice(json).map_err(|e| Error::State(e.to_string()))?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'.');
        if state.id.is_empty() || state.id.len() > MOST_ID || !state.id.bytes().all(plain) || state.id.starts_with('.')
        {
            let id = &state.id;
            return Err(Error::State(format!(
                "id: {id:?} is no container's id: 1 to {MOST_ID} letters, digits, `_+-.`"
            )));
        }
        if !state.bundle.is_absolute() {
            return Err(Error::State(format!("bundle: {:?} is no absolute path", state.bundle)));
        }
        Ok(state)
    }

    /// The annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.annotations.as_ref().unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let told = |json: &str| State::parse(json.as_bytes()).expect_err(json).to_string();
        assert!(told(" \n").contains("nothing on standard input"));
        assert!(told("{").starts_with("container's state: EOF"));
        assert!(told(r#"{"status":"stopped","bundle":"/b"}"#).contains("missing field `id`"));
        assert!(told(r#"{"id":"a","status":"dead","bundle":"/b"}"#).contains("unknown variant `dead`"));
        assert!(told(r#"{"id":"../a","status":"stopped","bundle":"/b"}"#).contains("is no container's id"));
        assert!(told(r#"{"id":"","status":"stopped","bundle":"/b"}"#).contains("is no container's id"));
        assert!(told(r#"{"id":"a","status":"stopped","bundle":"b"}"#).contains("no absolute path"));
        assert!(told(r#"{"id":"a","status":"creating","pid":"7","bundle":"/b"}"#).contains("invalid type"));
    }

    #[test]
    fn null_annotations_are_none() {
        let state =
            State::parse(br#"{"id":"a","status":"stopped","bundle":"/b","annotations":null}"#).expect("a state");
        assert_eq!((state.pid, state.annotations().len()), (0, 0));
    }
}
