//! Bytes that are text nearly always: paths, names, messages that quote them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64;

/// Text as the kernel knows it: any bytes. In JSON a string where the bytes are UTF-8, else `{"base64": "…"}`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, where it is UTF-8.
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Display for Bytes {
    /// Lossy: what is not UTF-8 shows as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&OsStr> for Bytes {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<OsString> for Bytes {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl From<&Path> for Bytes {
    fn from(path: &Path) -> Self {
        path.as_os_str().into()
    }
}

impl From<PathBuf> for Bytes {
    fn from(path: PathBuf) -> Self {
        path.into_os_string().into()
    }
}

impl PartialEq<str> for Bytes {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Bytes {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.to_str() {
            Some(text) => to.serialize_str(text),
            None => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("base64", &base64::encode(&self.0))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Wire::deserialize(from)? {
            Wire::Text(text) => Ok(text.into()),
            Wire::Raw(raw) => base64::decode(&raw.base64).map(Self).ok_or_else(|| D::Error::custom("not base64")),
        }
    }
}

/// The two forms of JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Raw(Raw),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    base64: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_string() {
        assert_eq!(serde_json::to_string(&Bytes::from("/tmp/\u{e9}")).unwrap(), "\"/tmp/\u{e9}\"");
    }

    #[test]
    fn other_bytes_are_an_object_and_come_back() {
        let bytes = Bytes::from(&b"/tmp/\xff"[..]);
        let json = serde_json::to_string(&bytes).unwrap();
        assert_eq!(json, r#"{"base64":"L3RtcC//"}"#);
        assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), bytes);
    }

    #[test]
    fn an_object_of_another_kind_is_refused() {
        for json in [r#"{"base64":"?"}"#, r#"{"base32":"AA"}"#, r#"{"base64":"AA==","x":1}"#, "1"] {
            assert!(serde_json::from_str::<Bytes>(json).is_err(), "{json}");
        }
    }
}
