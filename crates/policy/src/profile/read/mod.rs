//! From TOML to a profile.
//!
//! The document is walked by hand rather than by derive, so that every error has its line and column, and every
//! misspelt key its neighbour. One file for each group of sections; `section.rs` is the walker they share.

mod filesystem;
mod isolation;
mod limits;
mod network;
mod program;
mod section;
mod syscalls;

use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;

use super::{Error, Place, Problem, Profile};
use section::Section;

/// The sections of a profile and their keys.
const SECTIONS: [(&str, &[&str]); 6] = [
    ("program", program::KEYS),
    ("filesystem", filesystem::KEYS),
    ("network", network::KEYS),
    ("syscalls", syscalls::KEYS),
    ("limits", limits::KEYS),
    ("isolation", isolation::KEYS),
];

const KEYS: &[&str] = &["extends", "program", "filesystem", "network", "syscalls", "limits", "isolation"];

impl Profile {
    /// The profile that `text` says. `name` is for messages; `home` takes the place of `~`.
    pub fn from_toml(name: &str, text: &str, home: Option<&Path>) -> Result<Self, Error> {
        parse(name, text, home).map(|(profile, _)| profile)
    }
}

/// The profile, and where its `extends` stands, if it has one.
pub(super) fn parse(name: &str, text: &str, home: Option<&Path>) -> Result<(Profile, Option<(usize, usize)>), Error> {
    let source = Source { name, text, home: home.filter(|home| home.is_absolute()) };
    let document = DeTable::parse(text).map_err(|error| {
        let mut message = error.message().replace('\n', ", ");
        // "duplicate key" does not say which; the place does.
        if let Some(at) = error.span().and_then(|span| text.get(span)).filter(|at| !at.is_empty() && at.len() < 60) {
            message = format!("{message} {:?}", at.trim());
        }
        source.error(error.span().unwrap_or(0..0), Problem::Syntax { message })
    })?;
    let root = Section::root(&source, document.get_ref(), KEYS)?;
    let extends = root.text("extends")?;
    let place = extends.as_ref().map(|(span, _)| position(text, span.start));
    let profile = Profile {
        extends: extends.map(|(_, text)| text.to_owned()),
        program: root.section("program", program::KEYS)?.map(program::read).transpose()?.unwrap_or_default(),
        filesystem: root
            .section("filesystem", filesystem::KEYS)?
            .map(filesystem::read)
            .transpose()?
            .unwrap_or_default(),
        network: root.section("network", network::KEYS)?.map(network::read).transpose()?.unwrap_or_default(),
        syscalls: root.section("syscalls", syscalls::KEYS)?.map(syscalls::read).transpose()?.unwrap_or_default(),
        limits: root.section("limits", limits::KEYS)?.map(limits::read).transpose()?.unwrap_or_default(),
        isolation: root.section("isolation", isolation::KEYS)?.map(isolation::read).transpose()?.unwrap_or_default(),
    };
    Ok((profile, place))
}

/// A text, its name, and what `~` means in it.
struct Source<'a> {
    name: &'a str,
    text: &'a str,
    home: Option<&'a Path>,
}

impl Source<'_> {
    fn error(&self, span: Range<usize>, problem: Problem) -> Error {
        Error::new(Place { name: self.name.to_owned(), position: Some(position(self.text, span.start)) }, problem)
    }
}

/// Line and column of a byte, both from 1; columns count characters.
pub(in crate::profile) fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..byte.min(text.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (line, column)
}
