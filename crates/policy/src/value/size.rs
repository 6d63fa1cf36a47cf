//! Sizes: `65536`, `64MiB`, `64MB`. Never `64M`.

use super::ValueError;

/// Units by their suffix.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

/// A number of bytes. `64M`, `64m` and their kin are refused with the two spellings they could mean.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let bad = || ValueError::BadSize { text: text.to_owned() };
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    if digits.is_empty() {
        return Err(bad());
    }
    if let Some(letter @ ('K' | 'M' | 'G' | 'T')) = single(suffix).map(|c| c.to_ascii_uppercase()) {
        let binary = format!("{digits}{letter}iB");
        return Err(ValueError::AmbiguousSize { text: text.to_owned(), binary, decimal: format!("{digits}{letter}B") });
    }
    let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == suffix).ok_or_else(bad)?;
    let number = digits.parse::<u64>().ok();
    number.and_then(|number| number.checked_mul(unit)).ok_or_else(|| ValueError::TooLarge { text: text.to_owned() })
}

/// The shortest spelling that means the same.
pub fn format_size(bytes: u64) -> String {
    let unit =
        UNITS.into_iter().skip(1).filter(|(_, unit)| bytes != 0 && bytes.is_multiple_of(*unit)).max_by_key(|u| u.1);
    match unit {
        Some((suffix, unit)) => format!("{}{suffix}", bytes / unit),
        None => bytes.to_string(),
    }
}

fn single(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let sizes = [
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("64KB", 64_000),
            ("64MiB", 67_108_864),
            ("64MB", 64_000_000),
            ("2GiB", 2_147_483_648),
            ("2GB", 2_000_000_000),
            ("1TiB", 1_099_511_627_776),
            ("1TB", 1_000_000_000_000),
            ("0", 0),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn one_letter_is_refused_with_both_meanings() {
        for text in ["64M", "64m"] {
            let message = parse_size(text).unwrap_err().to_string();
            assert_eq!(message, format!("`{text}` could mean 64MiB or 64MB; write one of the two"));
        }
        for text in ["64k", "1G", "1g", "2T", "64K"] {
            assert!(matches!(parse_size(text), Err(ValueError::AmbiguousSize { .. })), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "MiB", "-1", "+1", "1.5GiB", "64 MiB", "64mib", "64MIB", "0x10", "64B", "1e3", "٣", "64MiB "]
        {
            assert_eq!(parse_size(text), Err(ValueError::BadSize { text: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn no_size_wraps_around() {
        for text in ["18446744073709551616", "99999999999TiB"] {
            assert_eq!(parse_size(text), Err(ValueError::TooLarge { text: text.to_owned() }));
        }
        assert_eq!(parse_size("18446744073709551615"), Ok(u64::MAX));
    }
}
