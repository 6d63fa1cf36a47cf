//! One table of a document, and how its values are taken out.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{SECTIONS, Source};
use crate::profile::{Error, PathRule, Problem};
use crate::value::{ValueError, nearest};

/// A place in the text.
pub(super) type Span = Range<usize>;
/// A value and its place.
pub(super) type Value<'a> = &'a Spanned<DeValue<'a>>;

/// One table of a document. All its keys are known.
#[derive(Clone)]
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    /// `limits`; empty for the document.
    name: String,
    span: Span,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    pub fn root(source: &'a Source<'a>, table: &'a DeTable<'a>, keys: &'static [&'static str]) -> Result<Self, Error> {
        Self { source, name: String::new(), span: 0..0, table }.known(keys)
    }

    /// The table under `key`.
    pub fn section(&self, key: &'static str, keys: &'static [&'static str]) -> Result<Option<Self>, Error> {
        self.get(key).map(|value| self.table(key, value, keys)).transpose()
    }

    /// The tables of the array under `key`.
    pub fn sections(&self, key: &'static str, keys: &'static [&'static str]) -> Result<Vec<Self>, Error> {
        self.items(key)?.unwrap_or_default().into_iter().map(|item| self.table(key, item, keys)).collect()
    }

    fn table(&self, key: &'static str, value: Value<'a>, keys: &'static [&'static str]) -> Result<Self, Error> {
        match value.get_ref() {
            DeValue::Table(table) => {
                Self { source: self.source, name: self.full(key), span: value.span(), table }.known(keys)
            }
            _ => Err(self.wrong_type(key, value, "a table")),
        }
    }

    /// Refuses the first key that is not one of `keys`.
    fn known(self, keys: &'static [&'static str]) -> Result<Self, Error> {
        let unknown = self.table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
        let Some(first) = unknown.min_by_key(|key| key.span().start) else { return Ok(self) };
        let word = first.get_ref().as_ref();
        let near = nearest(word, keys.iter().copied()).map(|near| self.full(near)).or_else(|| elsewhere(word));
        let problem = Problem::UnknownKey { key: self.full(word), nearest: near, choices: keys.to_vec() };
        Err(self.error(first.span(), problem))
    }

    pub fn error(&self, span: Span, problem: Problem) -> Error {
        self.source.error(span, problem)
    }

    /// An error of the whole table.
    pub fn error_here(&self, problem: Problem) -> Error {
        self.error(self.span.clone(), problem)
    }

    /// `key` with the name of the section.
    pub fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.table.get(key)
    }

    /// Every key and value, in the order of the text.
    pub fn entries(&self) -> Vec<(Span, &'a str, Value<'a>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, value)| (key.span(), key.get_ref().as_ref(), value)).collect();
        entries.sort_by_key(|(span, ..)| span.start);
        entries
    }

    /// The table under `key`, whose keys are the user's.
    pub fn free(&self, key: &'static str) -> Result<Option<Self>, Error> {
        self.get(key)
            .map(|value| match value.get_ref() {
                DeValue::Table(table) => {
                    Ok(Self { source: self.source, name: self.full(key), span: value.span(), table })
                }
                _ => Err(self.wrong_type(key, value, "a table")),
            })
            .transpose()
    }

    pub fn wrong_type(&self, key: &str, value: Value<'_>, expected: &'static str) -> Error {
        self.error(value.span(), Problem::WrongType { key: self.full(key), expected, found: kind(value.get_ref()) })
    }

    /// Gives the place of `value` to an error of its own.
    pub fn at<T>(&self, key: &str, span: Span, result: Result<T, ValueError>) -> Result<T, Error> {
        result.map_err(|error| self.error(span, Problem::BadValue { key: self.full(key), error }))
    }

    /// A text of at least one byte and no NUL.
    pub fn as_text(&self, key: &str, value: Value<'a>) -> Result<(Span, &'a str), Error> {
        let (span, text) = self.as_any_text(key, value)?;
        if text.is_empty() {
            return Err(self.error(span, Problem::Empty { key: self.full(key) }));
        }
        Ok((span, text))
    }

    /// A text without NUL.
    pub fn as_any_text(&self, key: &str, value: Value<'a>) -> Result<(Span, &'a str), Error> {
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                Err(self.error(value.span(), Problem::Nul { key: self.full(key) }))
            }
            DeValue::String(text) => Ok((value.span(), text.as_ref())),
            _ => Err(self.wrong_type(key, value, "a text in quotes")),
        }
    }

    pub fn text(&self, key: &'static str) -> Result<Option<(Span, &'a str)>, Error> {
        self.get(key).map(|value| self.as_text(key, value)).transpose()
    }

    /// A value that is a word or another small language.
    pub fn parsed<T: FromStr<Err = ValueError>>(&self, key: &'static str) -> Result<Option<T>, Error> {
        self.text(key)?.map(|(span, text)| self.at(key, span, text.parse())).transpose()
    }

    pub fn parsed_list<T: FromStr<Err = ValueError>>(&self, key: &'static str) -> Result<Option<Vec<T>>, Error> {
        let texts = self.texts(key)?;
        texts.map(|texts| texts.into_iter().map(|(span, text)| self.at(key, span, text.parse())).collect()).transpose()
    }

    pub fn flag(&self, key: &'static str) -> Result<Option<bool>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.get_ref() {
                DeValue::Boolean(flag) => Ok(Some(*flag)),
                _ => Err(self.wrong_type(key, value, "true or false")),
            },
        }
    }

    /// A whole number from `least` to `most`, which `range` says in words.
    pub fn number(
        &self,
        key: &'static str,
        (least, most): (i128, i128),
        range: &'static str,
    ) -> Result<Option<i128>, Error> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(self.wrong_type(key, value, "a whole number"));
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => {
                let problem = Problem::OutOfRange { key: self.full(key), found: integer.to_string(), range };
                Err(self.error(value.span(), problem))
            }
        }
    }

    pub fn items(&self, key: &str) -> Result<Option<Vec<Value<'a>>>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.get_ref() {
                DeValue::Array(items) => Ok(Some(items.iter().collect())),
                _ => Err(self.wrong_type(key, value, "a list in brackets")),
            },
        }
    }

    pub fn texts(&self, key: &'static str) -> Result<Option<Vec<(Span, &'a str)>>, Error> {
        let items = self.items(key)?;
        items.map(|items| items.into_iter().map(|item| self.as_text(key, item)).collect()).transpose()
    }

    pub fn os_texts(&self, key: &'static str) -> Result<Vec<OsString>, Error> {
        Ok(self.texts(key)?.unwrap_or_default().into_iter().map(|(_, text)| text.into()).collect())
    }

    pub fn path(&self, key: &'static str) -> Result<Option<PathBuf>, Error> {
        self.text(key)?.map(|(span, text)| self.expand(span, text)).transpose()
    }

    pub fn paths(&self, key: &'static str) -> Result<Vec<PathBuf>, Error> {
        let texts = self.texts(key)?.unwrap_or_default();
        texts.into_iter().map(|(span, text)| self.expand(span, text)).collect()
    }

    /// The rules of `key`, and those of `if_exists`, the same list for what need not exist.
    pub fn path_rules(&self, key: &'static str, if_exists: &'static str) -> Result<Vec<PathRule>, Error> {
        let strict = self.paths(key)?.into_iter().map(PathRule::new);
        Ok(strict.chain(self.paths(if_exists)?.into_iter().map(PathRule::if_exists)).collect())
    }

    /// As [`Section::path_rules`] for what is allowed: where there is no home directory, nothing in it exists.
    /// What is denied has no such mercy: a rule that says nothing would leave something open.
    pub fn allowed(&self, key: &'static str, if_exists: &'static str) -> Result<Vec<PathRule>, Error> {
        let mut rules: Vec<_> = self.paths(key)?.into_iter().map(PathRule::new).collect();
        for (span, text) in self.texts(if_exists)?.unwrap_or_default() {
            match self.expand(span, text) {
                Ok(path) => rules.push(PathRule::if_exists(path)),
                Err(error) if matches!(*error.problem, Problem::NoHome { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rules)
    }

    /// `text` with the home directory for `~`.
    fn expand(&self, span: Span, text: &str) -> Result<PathBuf, Error> {
        let Some(rest) = text.strip_prefix('~') else { return Ok(PathBuf::from(text)) };
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(self.error(span, Problem::OtherHome { path: text.to_owned() }));
        }
        let home = self.source.home.ok_or_else(|| self.error(span, Problem::NoHome { path: text.to_owned() }))?;
        let rest = Path::new(rest.trim_start_matches('/'));
        Ok(if rest.as_os_str().is_empty() { home.to_owned() } else { home.join(rest) })
    }
}

/// The section that has `word` as a key, for somebody who wrote it in another.
fn elsewhere(word: &str) -> Option<String> {
    let (section, _) = SECTIONS.into_iter().find(|(_, keys)| keys.contains(&word))?;
    Some(format!("{section}.{word}"))
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
