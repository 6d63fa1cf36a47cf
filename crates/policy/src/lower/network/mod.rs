//! Network rules: none, the host's, or by address.
//!
//! | rules | who holds them |
//! |---|---|
//! | `none` | a network namespace, else no sockets |
//! | `host` | nobody: as asked |
//! | `tcp://*:PORTS` alone | Landlock (ABI 4); no call is asked about |
//! | addresses, names, UDP, denials | the calls are made by the supervisor, with its own copy of the address, on a duplicate of the socket |
//!
//! A box with rules by address shares the network of its caller. There, a call that the supervisor makes is never made by the guest as
//! well: Landlock, which does not know addresses, then refuses every TCP connect of the guest's own.

mod filter;
mod reach;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::path::PathBuf;

use tipstaff_abi::caps::KernelCaps;

pub use filter::Ask;
pub(super) use filter::{insert, refusals};
pub use reach::{OutOfReach, Peer, Reach, meant};

use super::host::Surroundings;
use super::plan::Cost;
use super::sink::{Refusal, Sink};
use super::view::{View, ViewOp};
use crate::profile::{self, Profile};
use crate::value::{Dest, NetRule, NetSpec, PortRange, Proto};

/// Ports that are worth a Landlock rule each; with more, the call is asked about.
const MANY: usize = 4096;

/// An address of this machine's loopback that nobody else is likely to listen on.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 84, 83, 53);

/// Which network the box has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    None,
    Host,
    /// The caller's, within rules.
    Rules,
}

/// Rules by address, for a box that shares the network of its caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Peers.
    pub reach: Reach,
    /// Ports that may be listened on; None: all.
    pub bind: Option<Vec<PortRange>>,
    /// TCP sockets can be made.
    pub tcp: bool,
    /// UDP sockets can be made.
    pub udp: bool,
    /// Whom a call reaches is asked.
    pub mediate_connect: bool,
    /// bind(2) is asked about.
    pub mediate_bind: bool,
    /// listen(2) is asked about: it would choose a port for a socket that has none.
    pub mediate_listen: bool,
    /// TCP ports that Landlock lets the guest itself connect to; None: Landlock is not asked.
    pub landlock_connect: Option<Vec<u16>>,
    /// TCP ports that Landlock lets the guest itself bind.
    pub landlock_bind: Option<Vec<u16>>,
    /// Allowed names with the addresses that were found at launch.
    pub hosts: Vec<(String, Vec<IpAddr>)>,
    /// Files and directories of the box's view beneath which unix sockets may be reached and made by name: those of `filesystem.write`.
    pub writable: Vec<PathBuf>,
}

impl NetworkPlan {
    /// The calls that somebody must be asked about.
    pub fn asked(&self) -> Vec<Ask> {
        filter::asked(self)
    }

    /// Files that a box sees instead of its host's, so that allowed names mean what they meant at launch: hosts(5).
    pub(super) fn texts(&self) -> Vec<(&'static str, String)> {
        if self.hosts.is_empty() {
            return Vec::new();
        }
        let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost\n");
        for (name, addresses) in self.hosts.iter().filter(|(name, _)| name != "localhost") {
            for address in addresses {
                text.push_str(&format!("{address}\t{name}\n"));
            }
        }
        // A search list of the root alone: without one resolvers make it of the host's own name (resolv.conf(5)).
        let resolver = format!("nameserver {RESOLVER}\nsearch .\noptions timeout:1 attempts:2\n");
        vec![("/etc/hosts", text), ("/etc/resolv.conf", resolver)]
    }

    /// Takes over what the view lets a guest write.
    pub(super) fn see(&mut self, view: &View) {
        let written = view.rights.iter().filter(|(_, rights)| rights.write).map(|(path, _)| path);
        let private =
            view.ops.iter().filter_map(|op| if let ViewOp::DiskDir(_, path, _) = op { Some(path) } else { None });
        self.writable = written.chain(private).cloned().collect();
    }

    /// The name server that the box's `/etc/resolv.conf` names, if it has one: what a guest sends there is answered by the supervisor.
    pub fn resolver(&self) -> Option<SocketAddrV4> {
        (!self.hosts.is_empty()).then_some(SocketAddrV4::new(RESOLVER, 53))
    }

    /// What that name server knows.
    pub fn names(&self) -> Vec<(String, Vec<IpAddr>)> {
        let own = ("localhost".to_owned(), vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        self.hosts.iter().filter(|(name, _)| name != "localhost").cloned().chain([own]).collect()
    }

    /// TCP ports that some peer may be reached at; None: all, or too many to list.
    pub fn connect_ports(&self) -> Option<Vec<u16>> {
        self.reach.tcp_ports().and_then(|ranges| single(&ranges))
    }

    /// TCP ports that may be bound, 0 among them; None: all, or too many to list.
    pub fn bind_ports(&self) -> Option<Vec<u16>> {
        let ports = self.bind.as_ref().and_then(|ranges| single(ranges));
        ports.map(|ports| ports.into_iter().chain([0]).collect())
    }

    /// Whether there is anybody who cannot be reached.
    pub(super) fn limits_peers(&self) -> bool {
        !self.reach.everything || self.mediate_connect
    }

    /// Whether a port may be bound; 0 is one that the kernel chooses.
    pub fn may_bind(&self, port: u16) -> bool {
        self.bind.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(port)))
    }
}

pub(super) fn lower(
    profile: &Profile,
    caps: &KernelCaps,
    around: &Surroundings,
    sink: &mut Sink,
) -> Result<(Net, Option<NetworkPlan>), Refusal> {
    let network = &profile.network;
    let allow = network.allow.as_deref().unwrap_or_default();
    let everything = allow.contains(&NetSpec::Host);
    let rules: Vec<&NetRule> =
        allow.iter().filter_map(|spec| if let NetSpec::To(rule) = spec { Some(rule) } else { None }).collect();
    if let Some(both) = rules.iter().find(|rule| network.deny.contains(rule)) {
        return Err(sink.wrong(format!("network: \"{both}\" is both allowed and denied; leave one of the two out")));
    }
    let restricted = everything && around.addresses
        || !network.bind.is_empty()
        || everything && !network.deny.is_empty()
        || !rules.is_empty();
    if !restricted {
        return Ok((if everything { Net::Host } else { Net::None }, None));
    }
    let denials: Vec<&NetRule> = network.deny.iter().collect();
    let allow = peers(&rules, "allow", &around.names).map_err(|words| sink.wrong(words))?;
    let deny = peers(&denials, "deny", &around.names).map_err(|words| sink.wrong(words))?;
    let reach = Reach { everything, allow, deny };
    let bind = (!everything || !network.bind.is_empty()).then(|| network.bind.clone());
    let mut plan = NetworkPlan::default();
    if !everything {
        plan.hosts = hosts(&rules, &around.names);
    }
    plan.tcp = reach.uses(Proto::Tcp) || !network.bind.is_empty();
    // Names can be asked for: the resolver of this box answers on a UDP socket too.
    plan.udp = reach.uses(Proto::Udp) || !network.bind.is_empty() || !plan.hosts.is_empty();
    let landlock = caps.landlock_abi >= 4;
    let connect_ports = reach.tcp_ports().and_then(|ranges| single(&ranges));
    let alone =
        !around.addresses && landlock && reach.is_ports_alone() && network.bind.is_empty() && connect_ports.is_some();
    let open = everything && network.deny.is_empty();
    plan.mediate_connect = around.addresses || !(alone || open);
    let bind_ports = bind.as_ref().and_then(|ranges| single(ranges));
    // Abstract names of unix sockets are the whole network namespace's, and no Landlock rule is about binding one.
    plan.mediate_bind =
        around.addresses || bind.is_some() && (plan.udp || !landlock || bind_ports.is_none() || plan.mediate_connect);
    plan.mediate_listen = bind.as_ref().is_some_and(|_| !alone);
    if landlock {
        plan.landlock_connect = match (plan.mediate_connect, alone) {
            (true, _) => Some(Vec::new()),
            (false, true) => connect_ports,
            (false, false) => None,
        };
        // Port 0 as well: a client may choose its own address. Who listens on what comes of it is asked, or nobody can.
        let ports = bind_ports.map(|ports| ports.into_iter().chain([0]).collect());
        plan.landlock_bind = if plan.mediate_bind { Some(Vec::new()) } else { bind.as_ref().and(ports) };
    }
    plan.reach = reach;
    plan.bind = bind;
    say(&plan, network, alone, sink);
    Ok((Net::Rules, Some(plan)))
}

fn say(plan: &NetworkPlan, network: &profile::Network, alone: bool, sink: &mut Sink) {
    let calls: Vec<&str> = plan.asked().iter().map(|ask| ask.call).collect();
    let named = |of: &[&str]| -> String {
        let mut list: Vec<&str> = calls.iter().copied().filter(|call| of.contains(call)).collect();
        list.dedup();
        list.join(", ")
    };
    let sends = named(&["connect", "sendto", "sendmsg", "sendmmsg"]);
    let why = format!("asked about, and made on the guest's behalf: {sends}; a filter cannot see their addresses");
    let mut rules: Vec<(&str, String)> = Vec::new();
    if let Some(allow) = &network.allow {
        rules.push(("allow", allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    if !network.deny.is_empty() {
        rules.push(("deny", network.deny.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    for (key, list) in rules {
        let rule = format!("network.{key} = {list}");
        if alone {
            sink.full(&rule, "landlock, seccomp", Cost::Kernel);
        } else if plan.mediate_connect {
            sink.full_but(&rule, "on behalf, seccomp", &why, Cost::Notified);
        } else {
            sink.full(&rule, "not isolated, as asked", Cost::Free);
        }
    }
    let Some(bind) = &plan.bind else { return };
    let ports: Vec<String> = bind.iter().map(ToString::to_string).collect();
    let rule = format!("network.bind = {}", if ports.is_empty() { "none".to_owned() } else { ports.join(", ") });
    let asked = named(&["bind", "listen"]);
    match (alone, asked.is_empty()) {
        (false, false) => {
            let why = format!("asked about, and made on the guest's behalf: {asked}");
            sink.full_but(&rule, "on behalf, landlock, seccomp", &why, Cost::Notified);
        }
        _ => sink.full(&rule, "landlock, seccomp", Cost::Kernel),
    }
}

/// Each port of some ranges; None if they are too many for a rule each.
fn single(ranges: &[PortRange]) -> Option<Vec<u16>> {
    let many: usize = ranges.iter().map(|range| usize::from(range.last - range.first) + 1).sum();
    (many <= MANY).then(|| ranges.iter().flat_map(|range| range.first..=range.last).collect())
}

type Names = BTreeMap<String, Vec<IpAddr>>;

fn peers(rules: &[&NetRule], key: &str, names: &Names) -> Result<Vec<Peer>, String> {
    let one = |rule: &&NetRule| {
        let pinned = match &rule.dest {
            Dest::Name(name) => names.get(name).filter(|found| !found.is_empty()).ok_or_else(|| {
                format!("network.{key}: \"{rule}\": the host {name:?} has no address; correct the name, or write the address")
            })?,
            _ => &Vec::new(),
        };
        Ok(Peer::new(rule, pinned))
    };
    rules.iter().map(one).collect()
}

fn hosts(rules: &[&NetRule], names: &Names) -> Vec<(String, Vec<IpAddr>)> {
    let mut hosts: Vec<(String, Vec<IpAddr>)> = Vec::new();
    for rule in rules {
        if let Dest::Name(name) = &rule.dest
            && !hosts.iter().any(|(known, _)| known == name)
        {
            hosts.push((name.clone(), names.get(name).cloned().unwrap_or_default()));
        }
    }
    hosts
}

#[cfg(test)]
mod tests;
