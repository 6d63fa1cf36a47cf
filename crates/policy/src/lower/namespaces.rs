//! Which namespaces the box gets, and what holds where none can be had.

use tipstaff_abi::caps::KernelCaps;

use super::network::Net;
use super::plan::Cost;
use super::sink::Sink;
use crate::profile::{Namespace, Namespaces, Profile};

/// The namespaces of a box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespacePlan {
    /// A user namespace, since the caller is not privileged.
    pub user: bool,
    /// A mount tree of its own.
    pub mount: bool,
    /// PID 1 is our keeper; nothing survives it.
    pub pid: bool,
    /// System V objects and message queues.
    pub ipc: bool,
    /// Host name.
    pub uts: bool,
    /// A network with nothing but a loopback.
    pub net: bool,
}

const CURE: &str = "run as root, or allow unprivileged user namespaces (`tipstaff doctor` says how)";

pub(super) fn lower(profile: &Profile, caps: &KernelCaps, net: Net, sink: &mut Sink) -> NamespacePlan {
    let auto = Namespaces::Auto;
    let wanted = profile.isolation.namespaces.as_ref().unwrap_or(&auto);
    let can = caps.namespaces || caps.user_namespace;
    let mounts = can && caps.mount_api && caps.procfs;
    let mut plan = match wanted {
        Namespaces::None => NamespacePlan::default(),
        Namespaces::Auto => NamespacePlan {
            user: can && !caps.namespaces,
            mount: mounts,
            pid: mounts,
            ipc: can,
            uts: can,
            net: can && net == Net::None,
        },
        Namespaces::Only(set) => exactly(set, caps, net, sink),
    };
    if plan.mount || plan.pid || plan.ipc || plan.uts || plan.net {
        plan.user |= !caps.namespaces && caps.user_namespace;
    }
    survivors(&plan, caps, sink);
    if plan.ipc {
        sink.full("private System V IPC", "ipc namespace", Cost::Free);
    } else {
        // Without the namespace, objects would outlive the box: the filter refuses to make any.
        sink.full("private System V IPC", "seccomp (refused)", Cost::Kernel);
    }
    if *wanted == Namespaces::Auto && !plan.pid {
        sink.note("hidden processes", "landlock", "no PID namespace: other processes' names can be listed", Cost::Free);
    }
    plan
}

fn exactly(set: &std::collections::BTreeSet<Namespace>, caps: &KernelCaps, net: Net, sink: &mut Sink) -> NamespacePlan {
    let has = |n: Namespace| set.contains(&n);
    let can = caps.namespaces || caps.user_namespace;
    let mut plan = NamespacePlan::default();
    let mut want = |n: Namespace, possible: bool, slot: &mut bool| {
        if has(n) {
            if possible {
                *slot = true;
            } else {
                sink.refuse(&format!("namespace {n}"), "it cannot be created here", CURE);
            }
        }
    };
    want(Namespace::User, caps.user_namespace, &mut plan.user);
    want(Namespace::Mount, can && caps.mount_api && caps.procfs, &mut plan.mount);
    want(Namespace::Pid, can && caps.procfs, &mut plan.pid);
    want(Namespace::Ipc, can, &mut plan.ipc);
    want(Namespace::Uts, can, &mut plan.uts);
    want(Namespace::Net, can && net == Net::None, &mut plan.net);
    if has(Namespace::Cgroup) {
        sink.impossible("namespace cgroup", "the box shows no cgroup file system", "leave it out");
    }
    if plan.pid && !plan.mount {
        sink.impossible("namespace pid", "without a mount namespace /proc would show the host's", "add `mount`");
    }
    if plan.mount && !plan.pid {
        sink.impossible("namespace mount", "its /proc belongs to a PID namespace", "add `pid`");
    }
    plan
}

/// Rule 4, as plan and report name it.
pub const SURVIVES: &str = "nothing survives the box";

/// A PID namespace, or a reaper that no guest can signal or trace: Landlock's signal
/// scope (ABI 6) and its ptrace rule.
fn survivors(plan: &NamespacePlan, caps: &KernelCaps, sink: &mut Sink) {
    if plan.pid {
        sink.full(SURVIVES, "pid namespace", Cost::Free);
    } else if caps.landlock_abi >= 6 {
        sink.full(SURVIVES, "subreaper, guarded by landlock's signal scope", Cost::Free);
    } else {
        let why = "neither a PID namespace nor Landlock's signal scope (ABI 6, Linux 6.12) can be had";
        sink.impossible(SURVIVES, why, CURE);
    }
}
