//! Network rules: none or the host's, until the notify engine brings more.

use super::sink::Sink;
use crate::profile::Profile;
use crate::value::NetSpec;

/// Which network the box has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    None,
    Host,
}

pub(super) fn lower(profile: &Profile, sink: &mut Sink) -> Net {
    const CURE: &str = "use `--net none` or `--net host`";
    const WHY: &str = "rules by address arrive with the notify engine";
    let network = &profile.network;
    let allow = network.allow.as_deref().unwrap_or_default();
    if allow.iter().any(|spec| matches!(spec, NetSpec::To(_))) {
        sink.impossible("network.allow by address", WHY, CURE);
    }
    let host = allow.contains(&NetSpec::Host);
    // With no network at all there is nothing left to deny or to bind.
    if host && !network.deny.is_empty() {
        sink.impossible("network.deny", WHY, CURE);
    }
    if !network.bind.is_empty() && !host {
        sink.impossible("network.bind", WHY, CURE);
    }
    if host { Net::Host } else { Net::None }
}
