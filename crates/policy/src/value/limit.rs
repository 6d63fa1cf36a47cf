//! A limit, or the wish to have none.

use std::time::Duration;

use super::{ValueError, format_duration, format_size, parse_duration, parse_size};

/// What a profile says about one limit. Saying nothing leaves the limit of the profile below;
/// `"unlimited"` lifts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting<T> {
    /// No limit.
    Unlimited,
    /// This much. Never zero when it was parsed.
    At(T),
}

/// The word for [`Setting::Unlimited`].
pub(crate) const UNLIMITED: &str = "unlimited";

impl<T> Setting<T> {
    /// The limit, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Unlimited => None,
            Self::At(value) => Some(value),
        }
    }

    fn parse(text: &str, read: impl FnOnce(&str) -> Result<T, ValueError>, zero: T) -> Result<Self, ValueError>
    where
        T: PartialEq,
    {
        match text {
            UNLIMITED => Ok(Self::Unlimited),
            _ => read(text).and_then(|value| if value == zero { Err(ValueError::Zero) } else { Ok(Self::At(value)) }),
        }
    }
}

impl Setting<Duration> {
    /// A duration or `unlimited`.
    pub fn parse_duration(text: &str) -> Result<Self, ValueError> {
        // A bare zero is a zero before it is a number without a unit.
        if text == "0" { Err(ValueError::Zero) } else { Self::parse(text, parse_duration, Duration::ZERO) }
    }

    /// As a profile would say it.
    pub fn format_duration(self) -> String {
        self.value().map_or_else(|| UNLIMITED.to_owned(), format_duration)
    }
}

impl Setting<u64> {
    /// A size or `unlimited`.
    pub fn parse_size(text: &str) -> Result<Self, ValueError> {
        Self::parse(text, parse_size, 0)
    }

    /// A count or `unlimited`.
    pub fn parse_count(text: &str) -> Result<Self, ValueError> {
        Self::parse(text, count, 0)
    }

    /// As a profile would say a size.
    pub fn format_size(self) -> String {
        self.value().map_or_else(|| UNLIMITED.to_owned(), format_size)
    }

    /// As a profile would say a count.
    pub fn format_count(self) -> String {
        self.value().map_or_else(|| UNLIMITED.to_owned(), |count| count.to_string())
    }
}

fn count(text: &str) -> Result<u64, ValueError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::BadCount { text: text.to_owned() });
    }
    text.parse().map_err(|_| ValueError::TooLarge { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_refused_in_every_unit() {
        assert_eq!(Setting::parse_size("0"), Err(ValueError::Zero));
        assert_eq!(Setting::parse_size("0MiB"), Err(ValueError::Zero));
        assert_eq!(Setting::parse_count("0"), Err(ValueError::Zero));
        assert_eq!(Setting::parse_duration("0"), Err(ValueError::Zero));
        assert_eq!(Setting::parse_duration("0s"), Err(ValueError::Zero));
        assert_eq!(Setting::parse_duration("0.0ms"), Err(ValueError::Zero));
    }

    #[test]
    fn unlimited_is_a_setting() {
        assert_eq!(Setting::parse_size("unlimited"), Ok(Setting::Unlimited));
        assert_eq!(Setting::parse_count("unlimited"), Ok(Setting::Unlimited));
        assert_eq!(Setting::parse_duration("unlimited"), Ok(Setting::Unlimited));
    }

    #[test]
    fn a_count_has_no_unit_and_no_sign() {
        for text in ["", "-1", "+1", "1k", "1.0", "64MiB", "0x10"] {
            assert_eq!(Setting::parse_count(text), Err(ValueError::BadCount { text: text.to_owned() }), "{text}");
        }
        assert_eq!(Setting::parse_count("64"), Ok(Setting::At(64)));
    }
}
