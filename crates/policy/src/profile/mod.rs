//! What a run may do, as a TOML file or as flags say it.
//!
//! A profile is a set of wishes: everything in it is optional, and a later profile goes over an earlier one
//! ([`Profile::merge`]): first the base that `extends` names, then the file, then the flags.
//!
//! | what | the later profile |
//! |---|---|
//! | single values (limits, switches, `argv`, `root`, `cwd`) | replaces |
//! | `[network] allow` | replaces as a whole, so that `none` closes what was open |
//! | every other list | adds; `replace = ["read"]` in the same section starts that list afresh |
//! | `env` | replaces name by name |
//! | a path that is allowed again | is no longer denied or protected by an earlier profile |

mod error;
mod filesystem;
mod isolation;
mod limits;
mod load;
mod network;
mod of_filter;
mod program;
mod read;
mod syscalls;
mod write;

pub use error::{Error, Place, Problem};
pub use filesystem::{CwdAccess, Filesystem, Mount, PathList, PathRule, Tmp};
pub use isolation::{Denials, Engine, GuestListener, GuestPtrace, Isolation, Namespace, Namespaces, PtraceScope};
pub use limits::{Limits, MemoryAccount};
pub use load::{Entry, Loader, Origin};
pub use network::Network;
pub use program::Program;
pub use syscalls::{ArgCondition, Base, CompareOp, RuleAction, SyscallRule, Syscalls, Width};

/// What a run may do. See the module's documentation for how two profiles become one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The profile below this one, by name or path; absent once a [`Loader`] has followed it.
    pub extends: Option<String>,
    /// What is run, and what it is given.
    pub program: Program,
    /// What it sees of the file system.
    pub filesystem: Filesystem,
    /// Whom it may talk to.
    pub network: Network,
    /// What it may ask the kernel.
    pub syscalls: Syscalls,
    /// How much it may use.
    pub limits: Limits,
    /// How all this is enforced.
    pub isolation: Isolation,
}

impl Profile {
    /// `over` on top of `base`.
    #[must_use]
    pub fn merge(base: Self, over: Self) -> Self {
        Self {
            extends: over.extends.or(base.extends),
            program: Program::merge(base.program, over.program),
            filesystem: Filesystem::merge(base.filesystem, over.filesystem),
            network: Network::merge(base.network, over.network),
            syscalls: Syscalls::merge(base.syscalls, over.syscalls),
            limits: Limits::merge(base.limits, over.limits),
            isolation: Isolation::merge(base.isolation, over.isolation),
        }
    }
}

/// `base` and then what of `over` is not there yet.
fn append<T: PartialEq>(mut base: Vec<T>, over: Vec<T>) -> Vec<T> {
    for item in over {
        if !base.contains(&item) {
            base.push(item);
        }
    }
    base
}
