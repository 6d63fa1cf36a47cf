//! Why a result could not be put where it was to go.

use std::path::{Path, PathBuf};

/// Why a result could not be put where it was to go. One line with the place and the cure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A symbolic link in the place, or on the way there.
    #[error("{}: a symbolic link, which is not followed when results are written; name the file itself", .0.display())]
    Link(PathBuf),
    /// A directory, a device, a socket.
    #[error("{}: no file, so it is not replaced; give the path of a file", .0.display())]
    NoFile(PathBuf),
    /// It is there already.
    #[error("{}: there already; remove it, or say that it may be replaced", .0.display())]
    Exists(PathBuf),
    /// Relative, or with `..`.
    #[error("{}: write an absolute path without `..`", .0.display())]
    NotPlain(PathBuf),
    /// In none of the directories.
    #[error("{}: outside the directories that results may be written to ({roots}); choose a path below one of them", path.display())]
    Outside {
        /// The path.
        path: PathBuf,
        /// The directories.
        roots: String,
    },
    /// The system refused.
    #[error("{}: {words}", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What it said, and the cure where there is one.
        words: String,
        /// Its number.
        errno: i32,
    },
}

impl Error {
    pub(crate) fn outside(path: &Path, roots: &[PathBuf]) -> Self {
        let roots: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
        let roots = if roots.is_empty() { "none".to_owned() } else { roots.join(", ") };
        Self::Outside { path: path.to_owned(), roots }
    }

    pub(crate) fn system(path: &Path, errno: rustix::io::Errno) -> Self {
        Self::io(path, &errno.into())
    }

    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        let text = error.to_string();
        let said = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        let cure = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "; what stood there is as it was: make room, and do it again"
            }
            std::io::ErrorKind::NotFound => "; make the directory first",
            std::io::ErrorKind::PermissionDenied => "; choose a place that you may write to",
            std::io::ErrorKind::ReadOnlyFilesystem => "; choose a place that can be written",
            _ => "",
        };
        Self::System { path: path.to_owned(), words: format!("{said}{cure}"), errno: error.raw_os_error().unwrap_or(0) }
    }
}
