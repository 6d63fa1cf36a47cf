//! `[isolation]`

use toml::de::DeValue;

use super::section::Section;
use crate::profile::{Error, Isolation, Namespaces};
use crate::value::{ValueError, nearest};

pub(super) const KEYS: &[&str] =
    &["namespaces", "engine", "best_effort", "guest_ptrace", "ptrace_scope", "guest_listener", "denials"];

pub(super) fn read(section: Section<'_>) -> Result<Isolation, Error> {
    Ok(Isolation {
        namespaces: namespaces(&section)?,
        engine: section.parsed("engine")?,
        best_effort: section.flag("best_effort")?,
        guest_ptrace: section.parsed("guest_ptrace")?,
        ptrace_scope: section.parsed("ptrace_scope")?,
        guest_listener: section.parsed("guest_listener")?,
        denials: section.parsed("denials")?,
    })
}

/// `"auto"`, `"none"` or a list of kinds.
fn namespaces(section: &Section<'_>) -> Result<Option<Namespaces>, Error> {
    let key = "namespaces";
    let Some(value) = section.get(key) else { return Ok(None) };
    match value.get_ref() {
        DeValue::Array(_) => Ok(section.parsed_list(key)?.map(|kinds| Namespaces::Only(kinds.into_iter().collect()))),
        DeValue::String(text) => match text.as_ref() {
            "auto" => Ok(Some(Namespaces::Auto)),
            "none" => Ok(Some(Namespaces::None)),
            other => {
                let error = ValueError::UnknownWord {
                    text: other.to_owned(),
                    nearest: nearest(other, ["auto", "none"]).map(str::to_owned),
                    choices: vec!["auto".into(), "none".into(), "a list of kinds".into()],
                };
                section.at(key, value.span(), Err(error))
            }
        },
        _ => Err(section.wrong_type(key, value, "\"auto\", \"none\" or a list of kinds")),
    }
}
