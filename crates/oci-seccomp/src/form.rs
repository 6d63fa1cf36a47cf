//! Whose dialect a document is written in.

use crate::{Condition, Document};

/// Whose dialect a document is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The runtime specification: what runc, crun and youki take in `config.json`. Docker and Podman take it, too.
    #[default]
    Strict,
    /// moby: with `archMap`, `includes`, `excludes` and their `minKernel`.
    Docker,
    /// containers-common (Podman, Buildah, CRI-O): as Docker's, with errnos by name and without `minKernel`.
    Containers,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Strict, Self::Docker, Self::Containers];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "oci",
            Self::Docker => "docker",
            Self::Containers => "containers",
        }
    }
}

impl Document {
    /// The dialect that it shows: errnos by name are containers-common's; other members that the specification does not have are Docker's.
    #[must_use]
    pub fn form(&self) -> Form {
        let entries = || self.syscalls.iter().flatten();
        if self.default_errno.is_some() || entries().any(|entry| entry.errno.is_some()) {
            return Form::Containers;
        }
        let says = |condition: &Option<Condition>| condition.is_some();
        let more = |entry: &crate::Syscall| {
            says(&entry.includes) || says(&entry.excludes) || entry.name.is_some() || entry.comment.is_some()
        };
        if self.arch_map.is_some() || entries().any(more) { Form::Docker } else { Form::Strict }
    }
}
