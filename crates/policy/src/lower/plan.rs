//! What lowering yields.

use std::fmt;
use std::sync::Arc;

use tipstaff_abi::SyscallSet;
use tipstaff_report::Enforcement;

use super::{EnginePlan, FilterPlan, IdPlan, LandlockPlan, LimitPlan, NamespacePlan, NetworkPlan, View};

/// What a rule costs each time it is consulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Nothing after the launch.
    Free,
    /// Checked inside the kernel, in nanoseconds.
    Kernel,
    /// A wake-up of the supervisor now and then.
    Timer,
    /// Data passes through the supervisor.
    Relay,
    /// A round trip to the supervisor, for refused calls only.
    Denied,
    /// Samples of /proc.
    Sampling,
    /// A round trip to the supervisor for each such call: 3 µs on one CPU, 25 and more where it has to wake another. A signal that comes
    /// before the supervisor has taken the call makes it fail with EINTR, where the handler has no SA_RESTART.
    Notified,
    /// Stops for a tracer: 5 µs and more each.
    Traced,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "at launch only",
            Self::Kernel => "in the kernel",
            Self::Timer => "timer",
            Self::Relay => "relayed",
            Self::Denied => "refused calls only",
            Self::Sampling => "sampled",
            Self::Notified => "a round trip per call",
            Self::Traced => "stops for a tracer",
        })
    }
}

/// A rule of the profile, with what holds it and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRule {
    /// Rule, mechanism, level.
    pub enforcement: Enforcement,
    /// Price.
    pub cost: Cost,
}

/// Everything a launch needs, finished and read-only. One plan serves many boxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Who decides what the kernel cannot.
    pub engine: EnginePlan,
    /// The data of our filter's RET_TRACE.
    pub trace_data: u16,
    /// Our tracer plays the kernel's part in guests' ptrace(2).
    pub mediates: bool,
    /// Our tracer serves listeners of guests' own.
    pub serves: bool,
    /// What guests are told of Yama's scope then; None: nothing of ours.
    pub scope: Option<u8>,
    /// Who may attach to whom is asked about.
    pub restricts: bool,
    /// The calls that the engine is asked about; empty where nobody is.
    pub asked: SyscallSet,
    /// Namespaces.
    pub namespaces: NamespacePlan,
    /// Network rules by address; None where the box has no network, or all of its caller's.
    pub network: Option<Arc<NetworkPlan>>,
    /// What is seen of the file system.
    pub view: View,
    /// Landlock's rules; None where the kernel has no Landlock.
    pub landlock: Option<LandlockPlan>,
    /// The seccomp filter; None where the kernel has no seccomp and the profile bears that.
    pub filter: Option<Arc<FilterPlan>>,
    /// Limits and their mechanisms.
    pub limits: LimitPlan,
    /// User and group ids.
    pub ids: IdPlan,
    /// Each rule with its mechanism.
    pub rules: Vec<PlanRule>,
}
