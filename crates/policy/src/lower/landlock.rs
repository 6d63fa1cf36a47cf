//! Landlock's part: rights beneath paths, TCP ports, scopes.

use std::path::PathBuf;

use tipstaff_abi::caps::KernelCaps;

use super::host::{Host, Kind};
use super::namespaces::NamespacePlan;
use super::network::{Net, NetworkPlan};
use super::plan::Cost;
use super::sink::Sink;
use super::view::{View, ViewOp};

/// What may be done beneath a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Open files for reading, list directories.
    pub read: bool,
    /// Write, create, remove, rename, truncate.
    pub write: bool,
    /// Execute.
    pub exec: bool,
    /// ioctl(2) on devices, and write to them.
    pub device: bool,
}

impl Rights {
    pub(super) const READ: Self = Self { read: true, write: false, exec: false, device: false };
}

/// The ruleset, in Landlock's own words but not yet its bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LandlockPlan {
    /// ABI that the rules are for.
    pub abi: u32,
    /// Rights beneath paths of the box's view.
    pub rules: Vec<(PathBuf, Rights)>,
    /// TCP ports that may be connected to; None: connect(2) is not handled (ABI 4).
    pub connect: Option<Vec<u16>>,
    /// TCP ports that may be bound; None: bind(2) is not handled (ABI 4).
    pub bind: Option<Vec<u16>>,
    /// Abstract unix sockets and signals are scoped (ABI 6).
    pub scoped: bool,
}

pub(super) fn lower(
    caps: &KernelCaps,
    ns: &NamespacePlan,
    net: Net,
    network: Option<&NetworkPlan>,
    view: &View,
    host: &dyn Host,
    sink: &mut Sink,
) -> Option<LandlockPlan> {
    let abi = caps.landlock_abi;
    if abi == 0 {
        sink.note("second layer", "none", "the kernel offers no Landlock: mounts and seccomp stand alone", Cost::Free);
        return None;
    }
    let mut rules = view.rights.clone();
    if ns.mount {
        for op in &view.ops {
            match op {
                ViewOp::DiskDir(_, path, _) => {
                    let exec = view.private_exec.contains(path);
                    rules.push((path.clone(), Rights { read: true, write: true, exec, device: false }));
                }
                ViewOp::Proc => rules.push(("/proc".into(), Rights { write: true, ..Rights::READ })),
                ViewOp::Devpts => {
                    rules.push(("/dev".into(), Rights { read: true, write: true, exec: false, device: true }));
                }
                _ => {}
            }
        }
        sink.full("filesystem, second layer", &format!("landlock (ABI {abi})"), Cost::Kernel);
    } else if abi < 3 {
        let why = format!("Landlock ABI {abi} does not cover truncate and link (ABI 3, Linux 6.2)");
        sink.weaken("filesystem", "landlock", &why, "use Linux 6.2 or later, or allow namespaces", Cost::Kernel);
    }
    rules.retain(|(path, _)| ns.mount || host.kind(path).is_some_and(|k| !matches!(k, Kind::Link(_))));
    // In a network namespace of the box's own, its loopback is its own too.
    let (connect, bind) = match network {
        Some(plan) => (plan.landlock_connect.clone(), plan.landlock_bind.clone()),
        None if net == Net::None && !ns.net && abi >= 4 => (Some(Vec::new()), Some(Vec::new())),
        None => (None, None),
    };
    Some(LandlockPlan { abi, rules, connect, bind, scoped: abi >= 6 })
}
