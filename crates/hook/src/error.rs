//! Why a hook failed; each is one line.

use std::path::PathBuf;

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What came on standard input is no state.
    #[error("container's state: {0}")]
    State(String),
    /// The annotation cannot be followed.
    #[error("invalid annotation: {0}")]
    Annotation(String),
    /// The bundle's configuration cannot be read.
    #[error("{0:?}: {1}")]
    Bundle(PathBuf, String),
    /// The profile may not, or cannot, go where the annotation says.
    #[error("{0}")]
    Output(String),
    /// The private directory cannot be used.
    #[error("{0:?}: {1}")]
    Place(PathBuf, String),
    /// The recording does not run.
    #[error("the recording was not started: {0}")]
    Start(String),
    /// There is no profile, or not a complete one.
    #[error("{0}")]
    Finish(String),
    /// The engine's configuration cannot be written.
    #[error("{0:?}: {1}")]
    Install(PathBuf, String),
}
