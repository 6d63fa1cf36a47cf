//! The peers and ports of a Tipstaff profile.

use std::collections::{BTreeMap, BTreeSet};

use tipstaff_policy::profile::Network;
use tipstaff_policy::value::{NetSpec, PortRange};
use tipstaff_recording::{Recording, Socket, SocketUse};

/// More ports of one peer than this are all of them: they were chosen by the peer, and will be others the next time.
const PORTS: usize = 4;

pub(super) fn network(recording: &Recording) -> Network {
    let mut peers: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let mut bind = BTreeSet::new();
    let all = recording.runs().flat_map(|run| run.sockets.iter().flat_map(|sockets| sockets.iter()));
    for used in all {
        let (Some(address), Some(port)) = (&used.address, used.port) else { continue };
        match used.operation {
            Socket::Bind => drop(bind.insert(port)),
            // connect(2) to port 0 only asks for a route.
            Socket::Connect if port == 0 => {}
            Socket::Connect => drop(peers.entry(host(used, address)).or_default().insert(port)),
        }
    }
    let mut allow: Vec<NetSpec> = Vec::new();
    for (host, ports) in peers {
        let specs = if ports.len() > PORTS {
            vec![host]
        } else {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            vec![format!("{host}:{}", ports.join(","))]
        };
        allow.extend(specs.iter().filter_map(|spec| spec.parse().ok()));
    }
    if allow.is_empty() {
        allow.push(NetSpec::None);
    }
    let bind = bind.into_iter().map(|port| PortRange { first: port, last: port });
    Network { allow: Some(allow), deny: Vec::new(), bind: bind.collect() }
}

fn host(used: &SocketUse, address: &str) -> String {
    let proto = match used.kind.as_deref() {
        Some("SOCK_STREAM") => "tcp://",
        Some("SOCK_DGRAM") => "udp://",
        _ => "",
    };
    if used.family == "AF_INET6" { format!("{proto}[{address}]") } else { format!("{proto}{address}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_become_rules_that_can_be_read() {
        for spec in ["tcp://127.0.0.1:80,443", "udp://[::1]:53", "192.0.2.7", "[2001:db8::1]:8"] {
            assert!(spec.parse::<NetSpec>().is_ok(), "{spec}");
        }
    }
}
