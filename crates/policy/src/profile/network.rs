//! Whom a program may talk to.

use crate::value::{NetRule, NetSpec, PortRange};

/// Whom a program may talk to. Deny beats allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Peers it may connect to. Absent or empty: nobody. `none` and `host` stand alone.
    pub allow: Option<Vec<NetSpec>>,
    /// Peers it may not connect to, whatever `allow` says.
    pub deny: Vec<NetRule>,
    /// Ports it may listen on; port 0 is one that the kernel chooses.
    pub bind: Vec<PortRange>,
}

impl Network {
    pub(super) fn merge(base: Self, over: Self) -> Self {
        Self {
            allow: over.allow.or(base.allow),
            deny: super::append(base.deny, over.deny),
            bind: super::append(base.bind, over.bind),
        }
    }

    /// Whether the list of peers is one: `none` and `host` stand alone.
    pub fn allow_is_consistent(allow: &[NetSpec]) -> bool {
        allow.len() <= 1 || allow.iter().all(|spec| matches!(spec, NetSpec::To(_)))
    }
}
