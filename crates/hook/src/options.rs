//! What the administrator says, in the hook's arguments; never what the container's owner says.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What becomes of a container that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It does not start, and the runtime's error says why.
    #[default]
    Fail,
    /// It runs unrecorded, and the log says why.
    Run,
}

impl FromStr for OnError {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        match word {
            "fail" => Ok(Self::Fail),
            "run" => Ok(Self::Run),
            _ => Err(UnknownWord(word.to_owned())),
        }
    }
}

impl OnError {
    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Run => "run",
        }
    }
}

/// Neither `fail` nor `run`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0:?} is neither `fail` (the container does not start) nor `run` (it runs unrecorded)")]
pub struct UnknownWord(String);

/// How the hook behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What becomes of a container that cannot be recorded.
    pub on_error: OnError,
    /// Directories in which profiles may be written, and nowhere else.
    pub roots: Vec<PathBuf>,
    /// A recording that has not begun by then has failed.
    pub time_limit: Duration,
    /// So often what was seen is saved, for the case that the collector is killed.
    pub flush: Duration,
    /// The private directory in which start and finish of one container meet.
    pub runtime_dir: PathBuf,
    /// Where the hook and its collectors write what happened.
    pub log: Option<PathBuf>,
}

/// Where profiles may go unless the administrator says otherwise.
pub const ROOT: &str = "/var/lib/tipstaff/profiles";
/// The private directory of root's hook.
pub const RUNTIME_DIR: &str = "/run/tipstaff/hook";

impl Default for Options {
    fn default() -> Self {
        Self {
            on_error: OnError::Fail,
            roots: vec![ROOT.into()],
            time_limit: Duration::from_secs(10),
            flush: Duration::from_secs(10),
            runtime_dir: RUNTIME_DIR.into(),
            log: None,
        }
    }
}
