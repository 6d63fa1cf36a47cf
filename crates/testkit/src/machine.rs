//! This machine, or a poorer one.
use crate::User;

/// A feature that is really taken away from outside before Tipstaff starts; `guests/without.c` says
/// how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    /// No control group file system is mounted.
    Cgroup,
    /// Making a user namespace answers EPERM.
    UserNamespace,
    /// Making any namespace answers EPERM, and CAP_SYS_ADMIN is gone.
    Namespaces,
    /// The kernel was built without Landlock.
    Landlock,
    /// A listener is already in the chain of filters: EBUSY.
    Listener,
    /// clone3 answers ENOSYS.
    Clone3,
    /// ptrace answers EPERM.
    Ptrace,
    /// A listener cannot be told to wake on one CPU, as before Linux 6.6.
    SyncWakeUp,
}

/// A whole environment that refuses more than one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// What Docker's default seccomp profile refuses without CAP_SYS_ADMIN, with Docker's
    /// capabilities.
    DockerSeccomp,
}

/// Where a run takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// This machine as it is.
    Full,
    /// This machine less one feature.
    Without(Without),
    /// This machine under somebody else's rules.
    Under(Under),
    /// This machine, with the ptrace engine; perhaps less one feature.
    Traced(Option<Without>),
    /// This machine, with the notify engine; perhaps less one feature.
    Notified(Option<Without>),
}

impl From<Without> for Machine {
    fn from(without: Without) -> Self {
        Self::Without(without)
    }
}

impl From<Under> for Machine {
    fn from(under: Under) -> Self {
        Self::Under(under)
    }
}

impl Machine {
    /// The engine that runs ask for here.
    pub(crate) fn engine(self) -> Option<&'static str> {
        match self {
            Self::Traced(_) => Some("ptrace"),
            Self::Notified(_) => Some("notify"),
            _ => None,
        }
    }

    /// The word for it on the command line of `without`.
    pub(crate) fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::Full | Self::Traced(None) | Self::Notified(None) => return None,
            Self::Traced(Some(without)) | Self::Notified(Some(without)) => return Self::Without(without).word(),
            Self::Without(Without::Cgroup) => "cgroup",
            Self::Without(Without::UserNamespace) => "userns",
            Self::Without(Without::Namespaces) => "namespaces",
            Self::Without(Without::Landlock) => "landlock",
            Self::Without(Without::Listener) => "listener",
            Self::Without(Without::Clone3) => "clone3",
            Self::Without(Without::Ptrace) => "ptrace",
            Self::Without(Without::SyncWakeUp) => "syncwakeup",
            Self::Under(Under::DockerSeccomp) => "docker",
        })
    }

    /// A refusal on this machine names the missing feature: one of these words stands in it,
    /// whatever the case. Empty where nothing is missing and so nothing may be refused.
    pub fn reasons(self) -> &'static [&'static str] {
        match self {
            Self::Full | Self::Traced(None) | Self::Notified(None) => &[],
            Self::Traced(Some(without)) | Self::Notified(Some(without)) => Self::Without(without).reasons(),
            Self::Without(Without::Cgroup) => &["cgroup", "control group"],
            Self::Without(Without::UserNamespace | Without::Namespaces) => &["namespace", "cap_sys_admin"],
            Self::Without(Without::Landlock) => &["landlock"],
            Self::Without(Without::Listener) => &["listener", "notification"],
            Self::Without(Without::Clone3) => &["clone3"],
            Self::Without(Without::Ptrace) => &["ptrace"],
            // Nothing is refused for it.
            Self::Without(Without::SyncWakeUp) => &[],
            Self::Under(Under::DockerSeccomp) => {
                &["namespace", "cap_sys_admin", "cgroup", "clone3", "mount", "seccomp"]
            }
        }
    }

    /// Can the suite make this machine for `user`? Else the reason why not.
    pub fn unavailable(self, user: User) -> Option<&'static str> {
        if !user.available() {
            return Some("the suite does not run as root");
        }
        match self {
            Self::Traced(Some(without)) | Self::Notified(Some(without)) => Self::Without(without).unavailable(user),
            // Hiding mounts needs a mount namespace of the host's user namespace. An ordinary user
            // owns no cgroup, unless delegated.
            Self::Without(Without::Cgroup) if User::me() != 0 => Some("hiding control groups needs root"),
            _ => None,
        }
    }
}
