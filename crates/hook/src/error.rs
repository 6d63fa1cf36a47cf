//! Why a hook failed; each is one line, whatever the owner of a container wrote.

use std::path::PathBuf;

use tipstaff_abi::one_line;

/// Why a hook failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What came on standard input is no state.
    #[error("container's state: {}", one_line(.0))]
    State(String),
    /// The annotation cannot be followed.
    #[error("invalid annotation: {}", one_line(.0))]
    Annotation(String),
    /// The bundle's configuration cannot be read.
    #[error("{:?}: {}", .0, one_line(.1))]
    Bundle(PathBuf, String),
    /// The profile may not, or cannot, go where the annotation says.
    #[error("{}", one_line(.0))]
    Output(String),
    /// The private directory cannot be used.
    #[error("{:?}: {}", .0, one_line(.1))]
    Place(PathBuf, String),
    /// The recording does not run.
    #[error("the recording was not started: {}", one_line(.0))]
    Start(String),
    /// There is no profile, or not a complete one.
    #[error("{}", one_line(.0))]
    Finish(String),
    /// The engine's configuration cannot be written.
    #[error("{:?}: {}", .0, one_line(.1))]
    Install(PathBuf, String),
}
