//! Sizes and durations as text: the wire forms of configuration and bucket properties, and a form for tables.

mod typed;

use std::time::Duration;

pub use self::typed::{GoDuration, OptionalSize, Size};

/// Size units from large to small; every suffix means a power of 1024.
const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const NS_PER_US: u64 = 1_000;
const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;
/// Longest duration, as other implementations hold nanoseconds in 63 bits: about 292 years.
const MAX_DURATION_NS: u128 = i64::MAX as u128;

/// Text that is not a size or a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// Not a size.
    #[error(
        "invalid size \"{0}\": expected a number and a unit, such as \"512B\", \"64MiB\" or \"1.5G\""
    )]
    Size(String),
    /// Not a duration.
    #[error(
        "invalid duration \"{0}\": expected numbers with units ns, us, ms, s, m or h, such as \"300ms\", \"10s\" or \"1h30m\""
    )]
    Duration(String),
}

/// Writes a size in the largest unit that divides it, without decimals: `64MiB`, `1536KiB`, `0B`.
///
/// Never rounds: configuration travels between nodes in this form and must not change on the way.
pub fn format_size(bytes: u64) -> String {
    let fits = |(_, scale): &&(&str, u64)| bytes >= *scale && bytes.is_multiple_of(*scale);
    let (suffix, scale) = UNITS.iter().find(fits).copied().unwrap_or(("B", 1));
    format!("{}{suffix}", bytes / scale)
}

/// Reads a size: case-insensitive, suffixes `KiB`, `Ki`, `K`, `KB` and so on, `B` or none, all powers of 1024;
/// fractions allowed, the result is rounded down; empty means 0.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let bad = || UnitError::Size(text.to_owned());
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(0);
    }
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, suffix) = trimmed.split_at(split);
    let scale: u64 = match suffix.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1 << 10,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        "g" | "gb" | "gi" | "gib" => 1 << 30,
        "t" | "tb" | "ti" | "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    let scaled = decimal(number, u128::from(scale)).ok_or_else(bad)?;
    u64::try_from(scaled).map_err(|_| bad())
}

/// Multiplies a plain decimal number by `scale`, rounding down; `None` when it is no such number or too large.
fn decimal(number: &str, scale: u128) -> Option<u128> {
    // Digits past this many cannot change any result: scales are below 2^42.
    const FRACTION_DIGITS: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut tenths: u128 = 0;
    let mut divisor: u128 = 1;
    for digit in fraction.bytes().take(FRACTION_DIGITS) {
        tenths = tenths * 10 + u128::from(digit - b'0');
        divisor *= 10;
    }
    whole.checked_mul(scale)?.checked_add(tenths.checked_mul(scale)? / divisor)
}

/// Writes a duration in the Go form that the protocol uses: `300ms`, `10s`, `2m`, `1m30s`, `2h0m`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    match ns {
        0 => "0s".to_owned(),
        _ if ns < NS_PER_US => format!("{ns}ns"),
        _ if ns < NS_PER_MS => format!("{}µs", fraction(ns, NS_PER_US)),
        _ if ns < NS_PER_S => format!("{}ms", fraction(ns, NS_PER_MS)),
        _ => {
            let minutes = ns / NS_PER_S / 60;
            let seconds = ns - minutes * 60 * NS_PER_S;
            let tail = match seconds {
                // A trailing "0s" is dropped after minutes, which are then always written.
                0 => String::new(),
                _ => format!("{}s", fraction(seconds, NS_PER_S)),
            };
            match (minutes / 60, minutes % 60) {
                (0, 0) => tail,
                (0, m) => format!("{m}m{tail}"),
                (h, m) => format!("{h}h{m}m{tail}"),
            }
        }
    }
}

/// `value / unit` as decimal text without trailing zeros.
fn fraction(value: u64, unit: u64) -> String {
    let rest = value % unit;
    if rest == 0 {
        return (value / unit).to_string();
    }
    let width = usize::try_from(unit.ilog10()).unwrap_or_default();
    let text = format!("{}.{rest:0width$}", value / unit);
    text.trim_end_matches('0').to_owned()
}

/// Reads a duration: any sequence of number and unit (`ns us ms s m h`), or `0`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let bad = || UnitError::Duration(text.to_owned());
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let scale = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => NS_PER_US,
            "ms" => NS_PER_MS,
            "s" => NS_PER_S,
            "m" => 60 * NS_PER_S,
            "h" => 3600 * NS_PER_S,
            _ => return Err(bad()),
        };
        let ns = decimal(number, u128::from(scale)).ok_or_else(bad)?;
        total = total.checked_add(ns).filter(|t| *t <= MAX_DURATION_NS).ok_or_else(bad)?;
        rest = next;
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| bad())
}

/// Writes a size for people, with two decimals from KiB on: `1.50GiB`, `512B`.
pub fn human_size(bytes: u64) -> String {
    let Some((suffix, scale)) = UNITS.iter().find(|(_, scale)| bytes >= *scale && *scale > 1)
    else {
        return format!("{bytes}B");
    };
    let hundredths = u128::from(bytes) * 100 / u128::from(*scale);
    format!("{}.{:02}{suffix}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_the_wire_form() {
        let cases = [
            (0, "0B"),
            (512, "512B"),
            (4 << 10, "4KiB"),
            (64 << 20, "64MiB"),
            (1 << 30, "1GiB"),
            (1 << 40, "1TiB"),
            (3 << 29, "1536MiB"),
            (1023, "1023B"),
        ];
        for (bytes, text) in cases {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn sizes_are_read_with_any_suffix_and_fractions() {
        for text in
            ["64MiB", "64mib", "64Mi", "64M", "64MB", "64 mb", "65536k", "67108864", "67108864B"]
        {
            assert_eq!(parse_size(text).unwrap(), 64 << 20, "{text}");
        }
        assert_eq!((parse_size("").unwrap(), parse_size("1.5G").unwrap()), (0, 3 << 29));
        for text in
            ["x", "-1", "1.2.3M", "1PB", "M", ".", "99999999999T", "1e3", "18446744073709551616"]
        {
            assert_eq!(parse_size(text), Err(UnitError::Size(text.into())), "{text}");
        }
    }

    #[test]
    fn durations_have_the_wire_form() {
        let cases = [
            (0, "0s"),
            (5, "5ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (10_000_000_000, "10s"),
            (1_500_000_000, "1.5s"),
            (120_000_000_000, "2m"),
            (90_000_000_000, "1m30s"),
            (7_200_000_000_000, "2h0m"),
            (5_400_000_000_000, "1h30m"),
            (3_605_000_000_000, "1h0m5s"),
        ];
        for (ns, text) in cases {
            assert_eq!(format_duration(Duration::from_nanos(ns)), text);
            assert_eq!(parse_duration(text).unwrap(), Duration::from_nanos(ns), "{text}");
        }
        for text in ["", "10", "s", "1x", "-1s", "1s2", "1..5s", "9999999999h", "1 s"] {
            assert_eq!(parse_duration(text), Err(UnitError::Duration(text.into())), "{text}");
        }
    }

    #[test]
    fn tables_show_two_decimals() {
        assert_eq!(human_size(3 << 29), "1.50GiB");
        assert_eq!((human_size(512), human_size(0)), ("512B".to_owned(), "0B".to_owned()));
        assert_eq!(human_size(u64::MAX), "16777215.99TiB");
    }

    proptest! {
        #[test]
        fn both_forms_round_trip(bytes in any::<u64>(), ns in 0..i64::MAX) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            let duration = Duration::from_nanos(ns.unsigned_abs());
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in ".{0,40}") {
            let _ = (parse_size(&text), parse_duration(&text));
        }

        #[test]
        fn number_like_text_is_a_value_or_an_error(text in "[0-9.]{0,60}(ns|us|h|m|T|GiB|)?[0-9.]{0,4}") {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
