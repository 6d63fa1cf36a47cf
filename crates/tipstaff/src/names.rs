//! Host names of the network rules, resolved once: what a name means is decided before the box runs, and stays.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tipstaff_policy::profile::Network;
use tipstaff_policy::value::{Dest, NetRule, NetSpec};

use crate::Error;

/// What a resolver may take for all names together; getaddrinfo(3) itself would wait for half a minute and more.
const DEADLINE: Duration = Duration::from_secs(10);

/// The addresses of every host that the rules name, in the resolver's order.
pub(crate) fn resolve(network: &Network) -> Result<BTreeMap<String, Vec<IpAddr>>, Error> {
    let allow = network.allow.as_deref().unwrap_or_default().iter().filter_map(|spec| match spec {
        NetSpec::To(rule) => Some(("network.allow", rule)),
        _ => None,
    });
    let rules: Vec<(&str, &NetRule)> = allow.chain(network.deny.iter().map(|rule| ("network.deny", rule))).collect();
    let mut names = BTreeMap::new();
    let mut asked = Vec::new();
    for (key, rule) in rules {
        if let Dest::Name(name) = &rule.dest
            && names.insert(name.clone(), Vec::new()).is_none()
        {
            asked.push((key, rule.to_string(), name.clone()));
        }
    }
    // getaddrinfo(3) cannot be told to hurry, so it waits elsewhere.
    let (found, finds) = mpsc::channel();
    for (_, _, name) in &asked {
        let (name, found) = (name.clone(), found.clone());
        std::thread::Builder::new().name("names".into()).spawn(move || {
            let addresses = (name.as_str(), 0).to_socket_addrs().map(|all| all.map(|a| a.ip()).collect::<Vec<_>>());
            let _ = found.send((name, addresses.map_err(|e| e.to_string())));
        })?;
    }
    let until = Instant::now() + DEADLINE;
    let mut failures = BTreeMap::new();
    for _ in &asked {
        match finds.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((name, Ok(mut addresses))) => {
                let mut seen = Vec::new();
                addresses.retain(|addr| {
                    !seen.contains(addr) && {
                        seen.push(*addr);
                        true
                    }
                });
                names.insert(name, addresses);
            }
            Ok((name, Err(words))) => drop(failures.insert(name, words)),
            Err(_) => break,
        }
    }
    for (key, rule, name) in &asked {
        if names.get(name).is_none_or(Vec::is_empty) {
            let none = format!("no answer within {} seconds", DEADLINE.as_secs());
            let words = failures.remove(name).unwrap_or(none);
            let words = words.strip_prefix("failed to lookup address information: ").unwrap_or(&words);
            let text = format!(
                "{key} {rule:?}: cannot resolve the host {name:?}: {words}; correct the name, or write the address"
            );
            return Err(Error::Usage(text));
        }
    }
    Ok(names)
}
