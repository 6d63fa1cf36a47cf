//! `[limits]`

use std::time::Duration;

use toml::de::DeValue;

use super::section::Section;
use crate::profile::{Error, Limits, Problem};
use crate::value::{Setting, ValueError};

pub(super) const KEYS: &[&str] = &[
    "cpu",
    "cpu_percent",
    "wall",
    "idle",
    "memory",
    "memory_account",
    "processes",
    "output",
    "file_size",
    "open_files",
    "stack",
    "disk",
];

pub(super) fn read(section: Section<'_>) -> Result<Limits, Error> {
    Ok(Limits {
        cpu: duration(&section, "cpu")?,
        cpu_percent: count(&section, "cpu_percent")?,
        wall: duration(&section, "wall")?,
        idle: duration(&section, "idle")?,
        memory: size(&section, "memory")?,
        memory_account: section.parsed("memory_account")?,
        processes: count(&section, "processes")?,
        output: size(&section, "output")?,
        file_size: size(&section, "file_size")?,
        open_files: count(&section, "open_files")?,
        stack: size(&section, "stack")?,
        disk: size(&section, "disk")?,
    })
}

/// A number in quotes or without: `memory = 65536` and `memory = "64KiB"`.
fn setting<T>(
    section: &Section<'_>,
    key: &'static str,
    expected: &'static str,
    parse: fn(&str) -> Result<Setting<T>, ValueError>,
) -> Result<Option<Setting<T>>, Error> {
    let Some(value) = section.get(key) else { return Ok(None) };
    let parsed = match value.get_ref() {
        DeValue::String(text) => parse(text),
        DeValue::Integer(integer) => match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => parse(&number.to_string()),
            Err(_) => {
                let found = integer.to_string();
                let problem = Problem::OutOfRange { key: section.full(key), found, range: "1 to 18446744073709551615" };
                return Err(section.error(value.span(), problem));
            }
        },
        _ => return Err(section.wrong_type(key, value, expected)),
    };
    section.at(key, value.span(), parsed).map(Some)
}

fn duration(section: &Section<'_>, key: &'static str) -> Result<Option<Setting<Duration>>, Error> {
    setting(section, key, "a duration like \"10s\" or \"1500ms\"", Setting::parse_duration)
}

fn size(section: &Section<'_>, key: &'static str) -> Result<Option<Setting<u64>>, Error> {
    setting(section, key, "a size like \"64MiB\" or 65536", Setting::parse_size)
}

fn count(section: &Section<'_>, key: &'static str) -> Result<Option<Setting<u64>>, Error> {
    setting(section, key, "a whole number", Setting::parse_count)
}
