//! This machine, as far as confinement goes; looked at once per process.

use std::sync::OnceLock;

use tipstaff_abi::caps::KernelCaps;
use tipstaff_cgroup::Hierarchies;
use tipstaff_sys::probe;

/// What the kernel, the user and the control groups allow.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Kernel and user.
    pub caps: KernelCaps,
    pub(crate) hierarchies: Hierarchies,
}

impl Machine {
    fn with(mut caps: KernelCaps) -> Self {
        let hierarchies = tipstaff_cgroup::discover();
        caps.cgroup = hierarchies.caps();
        Self { caps, hierarchies }
    }

    /// A quick look: it assumes that namespaces can be had where nothing cheap says otherwise. A launch that finds
    /// this wrong looks again. Control groups are looked for only where a profile has a limit that they could hold.
    pub fn quick(control_groups: bool) -> &'static Self {
        static QUICK: OnceLock<Machine> = OnceLock::new();
        static WITHOUT: OnceLock<Machine> = OnceLock::new();
        if control_groups {
            QUICK.get_or_init(|| Self::with(probe::quick()))
        } else {
            WITHOUT.get_or_init(|| Self { caps: probe::quick(), hierarchies: Hierarchies::default() })
        }
    }

    /// A full look: each feature was tried.
    pub fn full() -> &'static Self {
        static FULL: OnceLock<Machine> = OnceLock::new();
        FULL.get_or_init(|| Self::with(probe::full()))
    }
}
