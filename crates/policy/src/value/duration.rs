//! Durations: `1s`, `1500ms`, `1.5s`. Never a bare number.

use std::time::Duration;

use super::ValueError;

/// Units by their suffix, in nanoseconds.
const UNITS: [(&str, u128); 5] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];

/// A length of time, exact to the nanosecond.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let bad = || ValueError::BadDuration { text: text.to_owned() };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()) => {
            (whole, fraction)
        }
        Some(_) => return Err(bad()),
        None => (number, ""),
    };
    if whole.is_empty() {
        return Err(bad());
    }
    if suffix.is_empty() {
        return Err(ValueError::BareDuration { text: text.to_owned() });
    }
    let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == suffix).ok_or_else(bad)?;
    let large = || ValueError::TooLarge { text: text.to_owned() };
    // Nobody counts beyond a century, and nothing below can overflow this way.
    let whole = whole.parse::<u64>().ok().filter(|&whole| u128::from(whole) * unit < CENTURY).ok_or_else(large)?;
    // More digits than nanoseconds cannot be kept, so they are no duration.
    let scale = u32::try_from(fraction.len()).ok().filter(|&digits| digits <= 12).ok_or_else(bad)?;
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().map_err(|_| bad())? } * unit;
    if !fraction.is_multiple_of(10u128.pow(scale)) {
        return Err(bad());
    }
    let ns = u128::from(whole) * unit + fraction / 10u128.pow(scale);
    u64::try_from(ns).map(Duration::from_nanos).map_err(|_| large())
}

const CENTURY: u128 = 100 * 366 * 24 * 3_600 * 1_000_000_000;

/// The shortest spelling that means the same.
pub fn format_duration(time: Duration) -> String {
    let ns = time.as_nanos();
    match UNITS.into_iter().find(|(_, unit)| ns != 0 && ns.is_multiple_of(*unit)) {
        Some((suffix, unit)) => format!("{}{suffix}", ns / unit),
        None => format!("{}.{:03}us", ns / 1_000, ns % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let times = [
            ("1s", 1_000_000_000),
            ("1500ms", 1_500_000_000),
            ("1.5s", 1_500_000_000),
            ("2m", 120_000_000_000),
            ("500us", 500_000),
            ("1h", 3_600_000_000_000),
            ("0.000000001s", 1),
            ("0s", 0),
        ];
        for (text, ns) in times {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(ns)), "{text}");
            let again = format_duration(Duration::from_nanos(ns));
            assert_eq!(parse_duration(&again), Ok(Duration::from_nanos(ns)), "{text} as {again}");
        }
    }

    #[test]
    fn a_bare_number_is_refused_with_the_cure() {
        let message = parse_duration("10").unwrap_err().to_string();
        assert_eq!(message, "`10` has no unit; write 10s for seconds or 10ms for milliseconds");
        assert!(matches!(parse_duration("1.5"), Err(ValueError::BareDuration { .. })));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "s", ".5s", "1.s", "1.2.3s", "-1s", "+1s", "1 s", "1S", "1m30s", "1min", "1e3s", "0.0000000001s", "1d"]
        {
            assert_eq!(parse_duration(text), Err(ValueError::BadDuration { text: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn no_duration_wraps_around() {
        for text in ["99999999999999999999s", "18446744073709551615h", "1000000h"] {
            assert!(matches!(parse_duration(text), Err(ValueError::TooLarge { .. })), "{text}");
        }
    }
}
