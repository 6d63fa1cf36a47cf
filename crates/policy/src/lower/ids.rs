//! User and group ids of the guest.

use tipstaff_abi::caps::KernelCaps;

use super::namespaces::NamespacePlan;
use super::plan::Cost;
use super::sink::Sink;
use crate::profile::Profile;

/// Which ids the guest has, inside and outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdPlan {
    /// As the guest sees itself.
    pub inside: (u32, u32),
    /// As the host sees it.
    pub outside: (u32, u32),
    /// setresuid(2), setresgid(2) to `inside`, with supplementary groups cleared: the caller may.
    pub change: bool,
    /// CAP_SETGID is there and setgroups(2) not switched off: supplementary groups can be cleared.
    pub clear_groups: bool,
}

pub(super) fn lower(profile: &Profile, caps: &KernelCaps, ns: &NamespacePlan, sink: &mut Sink) -> IdPlan {
    let own = (caps.uid, caps.gid);
    let wanted = (profile.program.uid.unwrap_or(own.0), profile.program.gid.unwrap_or(own.1));
    let change = wanted != own;
    if wanted.0 == u32::MAX || wanted.1 == u32::MAX {
        // setresuid(2): -1 is "leave it as it is".
        sink.impossible("uid and gid", "4294967295 (-1) means no id at all", "use a number below it");
    }
    if ns.user {
        // One id is mapped, under whatever number; it stays ours on the host.
        return IdPlan { inside: wanted, outside: own, change: false, clear_groups: false };
    }
    if change && !caps.setuid {
        let rule = format!("uid {} gid {}", wanted.0, wanted.1);
        sink.impossible(&rule, "changing ids needs CAP_SETUID and CAP_SETGID", "run as root, or leave --uid out");
    } else if change {
        sink.full(&format!("uid {} gid {}", wanted.0, wanted.1), "setresuid", Cost::Free);
    }
    IdPlan { inside: wanted, outside: wanted, change, clear_groups: caps.setuid && caps.setgroups }
}
