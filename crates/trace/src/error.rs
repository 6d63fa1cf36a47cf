//! What a request on a stopped tracee can answer.

use tipstaff_sys::Errno;

/// Why a request on a stopped tracee failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tracee was in its stop when we last looked, so something killed it there: ESRCH, or the answer of the PTRACE_EVENT_EXIT that
    /// it has come to since. That is nothing to report: the next wait says how it ended.
    #[error("the tracee died")]
    Died,
    /// The kernel refused.
    #[error("{request}: {errno}")]
    Refused {
        /// The request.
        request: &'static str,
        /// Why.
        errno: Errno,
    },
}

impl Error {
    pub(crate) fn of(request: &'static str, errno: Errno) -> Self {
        if errno == Errno::SRCH { Self::Died } else { Self::Refused { request, errno } }
    }
}
