//! What can be wrong with a document: one line each, whatever stands in it.

use tipstaff_abi::one_line;

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("line {line}, column {column}: {}{}", member(path), one_line(message))]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The member, as `syscalls[3].args[0].value`; empty where it is the whole.
        path: String,
        /// What is wrong, and the nearest known key if one was misspelt.
        message: String,
    },
    /// The shape is right, a value is not.
    #[error("{}: {}", one_line(path), one_line(message))]
    Value {
        /// Where, as `syscalls[3].args[0].op`.
        path: String,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// The rules cannot be compiled.
    #[error(transparent)]
    Filter(#[from] tipstaff_seccomp::Error),
}

impl Error {
    pub(crate) fn value(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Value { path: path.into(), message: message.into() }
    }
}

fn member(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{}: ", one_line(path)) }
}
