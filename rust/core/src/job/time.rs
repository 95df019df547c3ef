//! Times in snapshots: RFC 3339 with nanoseconds, UTC.

/// What stands for "not yet".
pub const UNSET_TIME: &str = "0001-01-01T00:00:00Z";

const NS_PER_S: u64 = 1_000_000_000;

/// A Unix time as RFC 3339 text; 0 is [`UNSET_TIME`]. Trailing zeros of the fraction are left out.
///
/// Source: the days-to-civil conversion by Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", restricted to times after 1970.
pub fn rfc3339(unix_ns: u64) -> String {
    if unix_ns == 0 {
        return UNSET_TIME.to_owned();
    }
    let (seconds, fraction) = (unix_ns / NS_PER_S, unix_ns % NS_PER_S);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468; // days since 0000-03-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction > 0 {
        let digits = format!(".{fraction:09}");
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Reads what [`rfc3339`] writes; `None` for any other text.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    if text == UNSET_TIME {
        return Some(0);
    }
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let number = |text: &str, most: usize| -> Option<u64> {
        let digits = text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let three = |text: &str, by: char| -> Option<[u64; 3]> {
        let mut parts = text.splitn(3, by).map(|part| number(part, 4));
        Some([parts.next()??, parts.next()??, parts.next()??])
    };
    let ([year, month, day], [hour, minute, second]) = (three(date, '-')?, three(time, ':')?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years start in March, so that the leap day is the last.
    let year = year - u64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    let fraction = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<9}"), 9)? };
    seconds.checked_mul(NS_PER_S)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (unix, text) in [
            (0, UNSET_TIME),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_000_000_000_500_000_000, "2001-09-09T01:46:40.5Z"),
            (4_107_542_400_123_456_789, "2100-03-01T00:00:00.123456789Z"),
        ] {
            assert_eq!(rfc3339(unix), text);
            assert_eq!(parse_rfc3339(text), Some(unix));
        }
        for bad in ["", "now", "2001-09-09", "2001-13-09T01:46:40Z", "2001-09-09T01:46:40+01:00"] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_time_comes_back(unix in 0..u64::MAX) {
            proptest::prop_assert_eq!(parse_rfc3339(&rfc3339(unix)), Some(unix));
        }

        #[test]
        fn any_text_parses_or_fails_cleanly(text in "[0-9TZ.:-]{0,40}") {
            let _ = parse_rfc3339(&text);
        }
    }
}
