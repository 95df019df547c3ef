//! The two date spellings of the wire, both UTC.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const NS_PER_S: u64 = 1_000_000_000;
const S_PER_DAY: u64 = 86_400;

struct Civil {
    year: u64,
    month: &'static str,
    day: u64,
    weekday: &'static str,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Splits nanoseconds since the epoch. Source: H. Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`; unsigned suffices because times before 1970 do not occur.
fn civil(ns: u64) -> Civil {
    let seconds = ns / NS_PER_S;
    let (days, rest) = (seconds / S_PER_DAY, seconds % S_PER_DAY);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 2 } else { shifted_month - 10 };
    let year = year_of_era + era * 400 + u64::from(month < 2);
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or("???")
    };
    Civil {
        year,
        month: name(&MONTHS, month),
        day,
        weekday: name(&DAYS, days % 7),
        hour: rest / 3600,
        minute: rest / 60 % 60,
        second: rest % 60,
    }
}

/// `Wed, 14 May 2025 14:30:22 GMT`, from nanoseconds since the epoch.
pub(crate) fn http_date(ns: u64) -> String {
    let Civil { year, month, day, weekday, hour, minute, second } = civil(ns);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `02 Jan 06 15:04 UTC`, from nanoseconds since the epoch; the form of listings.
pub(crate) fn listing_date(ns: u64) -> String {
    let Civil { year, month, day, hour, minute, .. } = civil(ns);
    format!("{day:02} {month} {:02} {hour:02}:{minute:02} UTC", year % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_match_known_moments() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(1_747_233_022 * NS_PER_S + 9), "Wed, 14 May 2025 14:30:22 GMT");
        assert_eq!(http_date(951_782_400 * NS_PER_S), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(listing_date(1_709_251_199 * NS_PER_S), "29 Feb 24 23:59 UTC");
    }
}
