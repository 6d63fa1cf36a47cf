//! Lowering: from what a profile wishes to what this kernel, for this user, will enforce.
//!
//! ```text
//!  Profile ┐
//!  KernelCaps ├─ lower ─▶ Plan: namespaces, mount tree, Landlock rules, filter, limits, ids, environment
//!  Host    ┘              and for each rule: mechanism, cost, level
//! ```
//!
//! Each rule goes to the cheapest place that truly enforces it. What no place can enforce makes lowering refuse
//! ([`Refusal`]), unless the profile says `best_effort`; then the plan names the rule as weakened. Nothing here makes a
//! system call: the kernel is a value ([`KernelCaps`]), the file system is asked through [`Host`], so a test can take
//! any of it away.

mod account;
mod engine;
mod filter;
mod git_config;
mod host;
mod ids;
mod landlock;
mod limits;
mod missing;
mod namespaces;
mod network;
mod plan;
mod repositories;
mod sink;
mod stops;
#[cfg(test)]
mod tests;
mod view;

use tipstaff_abi::SyscallSet;
use tipstaff_abi::caps::KernelCaps;

pub use account::FIXED_FROM;
pub use engine::EnginePlan;
#[cfg(test)]
pub(crate) use filter::stock_filter;
pub use filter::{DeniedCall, FilterPlan, SECRET_WORDS, held_at, meaning};
pub use host::{Host, Kind, Surroundings};
pub use ids::IdPlan;
pub use landlock::{LandlockPlan, Rights};
pub use limits::{LimitPlan, MemoryBy, ProcessesBy, ThrottleBy};
pub(crate) use missing::{Missing, Objects, Sockets};
pub use namespaces::{NamespacePlan, SURVIVES};
pub use network::{Ask, NetworkPlan, OutOfReach, Peer, Reach, meant};
pub use plan::{Cost, Plan, PlanRule};
pub use sink::Refusal;
pub use stops::{TRACE_DATA, mediated, untraced};
pub use view::{COMMONDIR, PROC_KERNEL, View, ViewOp};

use crate::profile::Profile;
use sink::Sink;
use stops::Stops;

/// Lowers a profile. `around` says where and by whom the program is run.
pub fn lower(profile: &Profile, caps: &KernelCaps, host: &dyn Host, around: &Surroundings) -> Result<Plan, Refusal> {
    let mut sink = Sink::new(profile.isolation.best_effort == Some(true));
    let (net, mut network) = network::lower(profile, caps, around, &mut sink)?;
    if !caps.pidfd {
        sink.refuse(SURVIVES, "the kernel has no pidfd_open (Linux 5.3)", "use Linux 5.3 or later");
    }
    let namespaces = namespaces::lower(profile, caps, net, &mut sink);
    let ids = ids::lower(profile, caps, &namespaces, &mut sink);
    let available = engine::available(profile, caps, around);
    let limits = limits::lower(profile, caps, &namespaces, &ids, around, available, &mut sink);
    let counted = limits.asked(caps.arch);
    let texts = network.as_ref().map(NetworkPlan::texts).unwrap_or_default();
    let view = view::lower(profile, caps, host, around, &namespaces, (&limits, &texts), &mut sink)?;
    if let Some(network) = &mut network {
        network.see(&view);
    }
    let landlock = landlock::lower(caps, &namespaces, net, network.as_ref(), &view, host, &mut sink);
    let mut asks = network.as_ref().map(NetworkPlan::asked).unwrap_or_default();
    let births = if around.registers { stops::births() } else { Vec::new() };
    let account = limits.asks();
    let restricts = engine::restricts(profile);
    let attaching = if restricts { stops::attaching() } else { Vec::new() };
    engine::scope(profile, &namespaces, &mut sink);
    let calls = asks.iter().chain(&births).chain(&account).chain(&attaching).map(|ask| ask.call);
    let whole = around.handled.union(&counted);
    let asked = whole.union(&SyscallSet::from_names(caps.arch, calls));
    let engine = engine::lower(profile, caps, around, &asked, &mut sink);
    if engine == EnginePlan::Notify {
        asks.extend(births);
        asks.extend(account);
    }
    if engine != EnginePlan::Native {
        asks.extend(attaching);
    }
    let mediates = engine::mediates(profile, engine);
    if mediates {
        asks.extend(mediated(engine::shows(profile)));
    }
    let serves = engine::serves(profile, engine);
    if serves {
        asks.extend(stops::serving());
    }
    let trace_data = stops::trace_data(around.filters);
    let stops = Stops::of(engine, &whole, asks, !counted.is_empty() || around.registers, trace_data);
    let filter = filter::lower(profile, caps, &namespaces, (net, network.as_ref()), host, (stops, serves), &mut sink)?;
    let filter = filter.map(std::sync::Arc::new);
    let rules = sink.finish()?;
    let network = network.map(std::sync::Arc::new);
    Ok(Plan {
        engine,
        trace_data,
        mediates,
        serves,
        scope: if mediates { engine::told_scope(profile) } else { None },
        restricts,
        asked,
        namespaces,
        network,
        view,
        landlock,
        filter,
        limits,
        ids,
        rules,
    })
}
