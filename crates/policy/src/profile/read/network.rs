//! `[network]`

use super::section::Section;
use crate::profile::{Error, Network, Problem};
use crate::value::{NetSpec, PortRange, parse_ports};

pub(super) const KEYS: &[&str] = &["allow", "deny", "bind"];

pub(super) fn read(section: Section<'_>) -> Result<Network, Error> {
    Ok(Network {
        allow: allow(&section)?,
        deny: section.parsed_list("deny")?.unwrap_or_default(),
        bind: bind(&section)?,
    })
}

fn allow(section: &Section<'_>) -> Result<Option<Vec<NetSpec>>, Error> {
    let Some(specs) = section.parsed_list::<NetSpec>("allow")? else { return Ok(None) };
    if !Network::allow_is_consistent(&specs) {
        let spans = section.texts("allow")?.unwrap_or_default();
        let alone = specs.iter().zip(spans).find(|(spec, _)| !matches!(spec, NetSpec::To(_)));
        let (span, word) = alone.map_or((0..0, ""), |(_, place)| place);
        return Err(section.error(span, Problem::NotAlone { word: word.to_owned() }));
    }
    Ok(Some(specs))
}

fn bind(section: &Section<'_>) -> Result<Vec<PortRange>, Error> {
    let mut ports = Vec::new();
    for (span, text) in section.texts("bind")?.unwrap_or_default() {
        ports.extend(section.at("bind", span, parse_ports(text))?);
    }
    Ok(ports)
}
