//! Values in JSON. Each kind has a form of its own, so that the name `AT_FDCWD` is never taken for a file of that name.

use std::fmt;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use tipstaff_decode::{Arg, Value};
use tipstaff_report::Bytes;

/// The largest whole number that every reader of JSON keeps exactly (RFC 8259, section 6).
const EXACT: u64 = (1 << 53) - 1;

/// A value.
pub(crate) struct Json<'a>(pub &'a Value);

/// Arguments or fields, by name.
pub(crate) struct Named<I>(pub I);

/// Bytes that are text nearly always: a string, or `{"base64": …}`.
pub(crate) struct Text<'a>(pub &'a [u8]);

/// A number; as a string of digits in an object where it is too large for some readers.
struct Number(i128);

/// A word in hexadecimal.
struct Hex(u64);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Int(number) => Number(i128::from(*number)).serialize(to),
            Value::Uint(number) => Number(i128::from(*number)).serialize(to),
            Value::Hex(word) => one(to, "hex", &Hex(*word)),
            Value::Octal(mode) => one(to, "octal", &format_args!("0{mode:o}")),
            Value::Name(name) => one(to, "name", name),
            Value::Flags { names, rest: 0 } => one(to, "flags", names),
            Value::Flags { names, rest } => two(to, ("flags", names), ("rest", &Hex(*rest))),
            Value::Bytes { bytes, cut: false } => Text(bytes).serialize(to),
            Value::Bytes { bytes, cut: true } => two(to, ("bytes", &Text(whole_characters(bytes))), ("cut", &true)),
            Value::Address(0) => to.serialize_unit(),
            Value::Address(address) => one(to, "address", &Hex(*address)),
            Value::Fd { number, path: None } => one(to, "fd", number),
            Value::Fd { number, path: Some(path) } => two(to, ("fd", number), ("path", &Text(path))),
            Value::Struct(fields) => one(to, "struct", &Named(fields.iter().map(|(name, value)| (*name, value)))),
            Value::List { items, more: false } => items_of(items, to),
            Value::List { items, more: true } => two(to, ("list", &Items(items)), ("more", &true)),
        }
    }
}

impl<'a, I: Iterator<Item = (&'static str, &'a Value)> + Clone> Serialize for Named<I> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.clone().map(|(name, value)| (name, Json(value))))
    }
}

/// A call's arguments, by name.
pub(crate) fn named(args: &[Arg]) -> Named<impl Iterator<Item = (&'static str, &Value)> + Clone> {
    Named(args.iter().map(|arg| (arg.name, &arg.value)))
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => to.serialize_str(text),
            Err(_) => Bytes::from(self.0).serialize(to),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(number) if self.0.unsigned_abs() <= u128::from(EXACT) => to.serialize_i64(number),
            _ => one(to, "int", &format_args!("{}", self.0)),
        }
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A number as a result has it.
pub(crate) fn number(value: i64) -> impl Serialize {
    Number(i128::from(value))
}

/// Several values.
struct Items<'a>(&'a [Value]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        items_of(self.0, to)
    }
}

fn items_of<S: Serializer>(items: &[Value], to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(items.len()))?;
    for item in items {
        list.serialize_element(&Json(item))?;
    }
    list.end()
}

fn one<S: Serializer>(to: S, key: &str, value: &(impl Serialize + ?Sized)) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

fn two<S: Serializer>(
    to: S,
    first: (&str, &(impl Serialize + ?Sized)),
    second: (&str, &(impl Serialize + ?Sized)),
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(2))?;
    map.serialize_entry(first.0, first.1)?;
    map.serialize_entry(second.0, second.1)?;
    map.end()
}

/// What was cut may end within a character; without its first bytes the rest can still be text.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    }
}
