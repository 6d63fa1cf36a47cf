//! Why nothing is recorded.

use std::ffi::OsString;

use tipstaff_recording::Backend;
use tipstaff_sys::Errno;

/// A backend that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub backend: Backend,
    /// What is missing.
    pub why: String,
}

/// Why a recording did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program cannot be executed: ENOENT where there is none.
    #[error("{program:?}: {errno}")]
    Exec {
        /// The program.
        program: OsString,
        /// Why.
        errno: Errno,
    },
    /// The target is not there, or cannot be looked at.
    #[error("{0}")]
    Target(String),
    /// No backend can be had, or the one that was asked for cannot.
    #[error("{}", words(.0))]
    NoBackend(Vec<PassedOver>),
    /// Something of our own failed.
    #[error("{0}")]
    Failed(String),
}

fn words(passed: &[PassedOver]) -> String {
    let each: Vec<String> = passed.iter().map(|p| format!("{}: {}", p.backend.as_str(), p.why)).collect();
    format!("nothing can record this here: {}", each.join("; "))
}
