//! Dates in HTTP headers, read and written. Always UTC.

use crate::civil::Civil;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const S_PER_DAY: u64 = 86_400;
/// Two-digit years from this on belong to the last century.
const TWO_DIGIT_PIVOT: u64 = 70;
/// Last year that can be written with four digits.
const MAX_YEAR: u64 = 9999;

/// `Wed, 14 May 2025 14:30:22 GMT`, from nanoseconds since the epoch.
pub fn http_date(ns: u64) -> String {
    let Civil { year, month, day, weekday, hour, minute, second, .. } = Civil::of(ns);
    // Made for every read: without the detour over formatting.
    let mut date = String::with_capacity("Wed, 14 May 2025 14:30:22 GMT".len());
    date.push_str(DAYS.get(usize::from(weekday)).copied().unwrap_or_default());
    date.push_str(", ");
    two_digits(&mut date, u64::from(day));
    date.push(' ');
    date.push_str(MONTHS.get(usize::from(month) - 1).copied().unwrap_or_default());
    date.push(' ');
    two_digits(&mut date, year / 100);
    two_digits(&mut date, year % 100);
    for (before, number) in [(' ', hour), (':', minute), (':', second)] {
        date.push(before);
        two_digits(&mut date, u64::from(number));
    }
    date.push_str(" GMT");
    date
}

fn two_digits(text: &mut String, number: u64) {
    for digit in [number / 10 % 10, number % 10] {
        text.push(u32::try_from(digit).ok().and_then(|n| char::from_digit(n, 10)).unwrap_or('0'));
    }
}

/// Seconds since the epoch of a date in any of the three forms that HTTP knows (RFC 9110, 5.6.7).
///
/// `None` when it is no such date. The name of the weekday is not checked against the date.
pub fn parse_http_date(text: &str) -> Option<u64> {
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    let rest: Vec<&str> = words.collect();
    match (first.strip_suffix(','), rest.as_slice()) {
        // Wed, 14 May 2025 14:30:22 GMT
        (Some(_), [day, month, year, time, "GMT"]) if year.len() == 4 => {
            seconds(number(year)?, month, number(day)?, time)
        }
        // Wednesday, 14-May-25 14:30:22 GMT
        (Some(_), [date, time, "GMT"]) => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            if year.len() != 2 || parts.next().is_some() {
                return None;
            }
            let year = number(year)?;
            let century = if year >= TWO_DIGIT_PIVOT { 1900 } else { 2000 };
            seconds(century + year, month, number(day)?, time)
        }
        // Wed May 14 14:30:22 2025
        (None, [month, day, time, year]) if year.len() == 4 => {
            seconds(number(year)?, month, number(day)?, time)
        }
        _ => None,
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Inverse of [`Civil::of`]. Source: as there, `days_from_civil`.
fn seconds(year: u64, month: &str, day: u64, time: &str) -> Option<u64> {
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    };
    let mut parts = time.split(':');
    let mut part = |limit: u64| {
        let text = parts.next().filter(|text| text.len() == 2)?;
        number(text).filter(|value| *value <= limit)
    };
    // 60: a leap second is a valid time.
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    let in_range = (1970..=MAX_YEAR).contains(&year) && (1..=days_in_month).contains(&day);
    if !in_range || parts.next().is_some() {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
    let shifted_month = (month + 9) % 12;
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = (era * 146_097 + of_era).checked_sub(719_468)?;
    Some(days * S_PER_DAY + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NS_PER_S: u64 = 1_000_000_000;

    #[test]
    fn dates_match_known_moments() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(1_747_233_022 * NS_PER_S + 9), "Wed, 14 May 2025 14:30:22 GMT");
        assert_eq!(http_date(951_782_400 * NS_PER_S), "Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn all_three_forms_are_read_and_others_are_not() {
        for good in [
            "Wed, 14 May 2025 14:30:22 GMT",
            "Wednesday, 14-May-25 14:30:22 GMT",
            "Wed May 14 14:30:22 2025",
        ] {
            assert_eq!(parse_http_date(good), Some(1_747_233_022), "{good}");
        }
        for bad in [
            "",
            "now",
            "Wed, 14 May 2025 14:30:22",
            "Wed, 31 Feb 2025 14:30:22 GMT",
            "Wed, 14 May 1925 14:30:22 GMT",
            "Wed, 14 Mai 2025 14:30:22 GMT",
            "Wed, 14 May 2025 25:30:22 GMT",
            "Wed, 14 May 2025 14:30:22 CET",
            "Wed, 14 May 2025 14:30:22:1 GMT",
            "Wed, 14 May 99999999999999999999 14:30:22 GMT",
            "Wed, 14-May-25-1 14:30:22 GMT",
        ] {
            assert_eq!(parse_http_date(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 0..253_402_300_800_u64) {
            // Sums in nanoseconds end in the year 2554.
            let seconds = seconds % (u64::MAX / NS_PER_S);
            prop_assert_eq!(parse_http_date(&http_date(seconds * NS_PER_S)), Some(seconds));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[A-Za-z0-9 ,:-]{0,40}") {
            let _ = parse_http_date(&text);
        }
    }
}
