//! Finds profiles by name, reads them, and follows `extends`. The only file of this crate that reads files.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::read::{parse, position};
use super::{Base, Error, Place, Problem, Profile};
use crate::presets;
use crate::value::nearest;

/// No profile is larger.
const MOST_BYTES: u64 = 1 << 20;

/// Finds profiles by name.
///
/// A name with a `/` in it or `.toml` at its end is a file. Any other is a preset or, if there is none, the file
/// `NAME.toml` in the user's profile directory: presets cannot be hidden by files.
/// `extends` follows the same rule; a relative path in it is relative to the file that it stands in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loader {
    /// What `~` means.
    pub home: Option<PathBuf>,
    /// The user's profile directory.
    pub profile_dir: Option<PathBuf>,
}

/// A profile that can be loaded by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The comment of its first line.
    pub description: String,
}

/// Where a profile comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is part of the program.
    Preset,
    /// A file in the user's profile directory.
    File(PathBuf),
    /// As `File`, but a preset has the same name and is found first.
    Hidden(PathBuf),
}

/// A profile's text, and who it is.
struct Found {
    name: String,
    /// One for each profile, however it was called: to notice a circle.
    identity: OsString,
    text: String,
    /// What a relative `extends` starts from.
    directory: PathBuf,
}

/// Where a name was mentioned: nowhere, or in the `extends` of a profile.
type Mention<'a> = Option<&'a Place>;

impl Loader {
    /// A loader for this user: `HOME`, and `tipstaff/profiles` in `XDG_CONFIG_HOME` or in `~/.config`.
    pub fn from_env() -> Self {
        let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = directory("HOME");
        let config = directory("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        Self { home, profile_dir: config.map(|config| config.join("tipstaff/profiles")) }
    }

    /// The profile of this name or path, on top of every profile that it extends.
    pub fn load(&self, name: impl AsRef<OsStr>) -> Result<Profile, Error> {
        self.load_with_files(name).map(|(profile, _)| profile)
    }

    /// The same, and the files that it was read from: a program that can write one writes the rules of the next run.
    pub fn load_with_files(&self, name: impl AsRef<OsStr>) -> Result<(Profile, Vec<PathBuf>), Error> {
        let mut found = self.find(name.as_ref(), Path::new(""), None)?;
        let mut chain = Vec::new();
        let mut files = Vec::new();
        let mut above = Profile::default();
        loop {
            let (mut profile, at) = parse(&found.name, &found.text, self.home.as_deref())?;
            // Like `extends`: a file that a profile names stands beside it, wherever the profile is used.
            if let Some(Base::Oci(path)) = &mut profile.syscalls.base
                && path.is_relative()
            {
                *path = found.directory.join(&*path);
            }
            files.extend(Some(PathBuf::from(&found.identity)).filter(|path| path.is_absolute() && path.is_file()));
            files.extend(match &profile.syscalls.base {
                Some(Base::Oci(path)) => fs::canonicalize(path).ok(),
                _ => None,
            });
            chain.push((found.name.clone(), found.identity));
            let base = profile.extends.clone();
            above = Profile::merge(Profile { extends: None, ..profile }, above);
            let Some(base) = base else {
                // Everything that was to be replaced has been.
                above.filesystem.replace.clear();
                return Ok((above, files));
            };
            let place = Place { name: found.name, position: at };
            found = self.find(base.as_ref(), &found.directory, Some(&place))?;
            if let Some(start) = chain.iter().position(|(_, identity)| *identity == found.identity) {
                let mut chain: Vec<_> = chain.drain(start..).map(|(name, _)| name).collect();
                chain.push(found.name);
                return Err(Error::new(place, Problem::Cycle { chain }));
            }
        }
    }

    /// Every profile that has a name: presets first, then the user's.
    pub fn list(&self) -> Vec<Entry> {
        let presets = presets::ALL.iter().map(|&(name, text)| Entry {
            name: name.to_owned(),
            origin: Origin::Preset,
            description: description(text),
        });
        let files = self.user_files().into_iter().map(|(name, path)| {
            let description = read(&path).ok().map(|bytes| description(&String::from_utf8_lossy(&bytes)));
            let hidden = presets::text(&name).is_some();
            let origin = if hidden { Origin::Hidden(path) } else { Origin::File(path) };
            Entry { name, origin, description: description.unwrap_or_default() }
        });
        presets.chain(files).collect()
    }

    /// The text of a preset.
    pub fn preset_text(name: &str) -> Option<&'static str> {
        presets::text(name)
    }

    fn find(&self, name: &OsStr, directory: &Path, mention: Mention<'_>) -> Result<Found, Error> {
        let shown = name.to_string_lossy();
        if shown.contains('/') || shown.ends_with(".toml") {
            return self.file(self.path(name, directory, mention.is_some()), &shown, mention);
        }
        if let Some(text) = presets::text(&shown) {
            let (name, identity) = (shown.to_string(), OsString::from(shown.as_ref()));
            return Ok(Found { name, identity, text: text.to_owned(), directory: PathBuf::new() });
        }
        let files = self.user_files();
        if let Some((_, path)) = files.iter().find(|(known, _)| known.as_str() == name) {
            return self.file(path.clone(), &path.to_string_lossy(), mention);
        }
        let mut choices: Vec<_> = presets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
        choices.extend(files.into_iter().map(|(name, _)| name));
        let nearest = nearest(&shown, choices.iter().map(String::as_str)).map(str::to_owned);
        let place = mention.cloned().unwrap_or_else(|| Place { name: shown.to_string(), position: None });
        Err(Error::new(place, Problem::NotFound { name: shown.to_string(), nearest, choices }))
    }

    /// The path that a name with a `/` means. A shell has put the home directory in its place already, a file has not.
    fn path(&self, name: &OsStr, directory: &Path, in_a_file: bool) -> PathBuf {
        match (Path::new(name).strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) if in_a_file => home.join(rest),
            _ => directory.join(name),
        }
    }

    fn file(&self, path: PathBuf, shown: &str, mention: Mention<'_>) -> Result<Found, Error> {
        let fault = |why: String| match mention {
            Some(place) => {
                let why = format!("cannot read `{}`: {why}", path.display());
                Error::new(place.clone(), Problem::Unreadable { why })
            }
            None => Error::new(Place { name: shown.to_owned(), position: None }, Problem::Unreadable { why }),
        };
        let name = if mention.is_some() { path.to_string_lossy().into_owned() } else { shown.to_owned() };
        let bytes = read(&path).map_err(|error| fault(words_of(&error)))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::new(Place { name, position: None }, Problem::TooLarge));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
            let place = Place { name: name.clone(), position: Some(position(&text, valid)) };
            Error::new(place, Problem::NotUtf8)
        })?;
        let identity = fs::canonicalize(&path).unwrap_or_else(|_| path.clone()).into_os_string();
        let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Found { name, identity, text, directory })
    }

    /// Names and paths of the files in the user's profile directory, by name.
    fn user_files(&self) -> Vec<(String, PathBuf)> {
        let entries = self.profile_dir.as_ref().and_then(|directory| fs::read_dir(directory).ok());
        let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path)))
            .collect();
        files.sort();
        files
    }
}

/// A little more than the largest profile, so that a larger one shows.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The error without its number.
fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn description(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix('#').map(|comment| comment.trim().to_owned()).unwrap_or_default()
}
