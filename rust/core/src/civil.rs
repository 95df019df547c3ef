//! Calendar of a Unix time, UTC.

const NS_PER_S: u64 = 1_000_000_000;
const S_PER_DAY: u64 = 86_400;

/// A moment in the calendar; of times after 1970 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Day of the year, from 1.
    pub day_of_year: u16,
    /// Day of the week; 0 is Sunday.
    pub weekday: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
    /// Nanosecond.
    pub nanosecond: u32,
}

impl Civil {
    /// The moment `unix_ns` nanoseconds after the epoch.
    ///
    /// Source: H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`; unsigned
    /// suffices because times before 1970 do not occur.
    #[expect(clippy::cast_possible_truncation, reason = "each is bounded by its modulus")]
    pub fn of(unix_ns: u64) -> Self {
        let seconds = unix_ns / NS_PER_S;
        let (days, rest) = (seconds / S_PER_DAY, seconds % S_PER_DAY);
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        // Days from March 1 are 59 or 60 after those from January 1.
        let day_of_year =
            if month <= 2 { of_year - 306 + 1 } else { of_year + 59 + u64::from(leap) + 1 };
        Self {
            year,
            month: month as u8,
            day: (of_year - (153 * from_march + 2) / 5 + 1) as u8,
            day_of_year: day_of_year as u16,
            weekday: ((days + 4) % 7) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            nanosecond: (unix_ns % NS_PER_S) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (unix_s, year, month, day, of_year, weekday) in [
            (0, 1970, 1, 1, 1, 4),
            (951_782_400, 2000, 2, 29, 60, 2),
            (951_868_800, 2000, 3, 1, 61, 3),
            (1_767_225_599, 2025, 12, 31, 365, 3),
            (4_107_542_400, 2100, 3, 1, 60, 1),
        ] {
            let civil = Civil::of(unix_s * NS_PER_S);
            assert_eq!((civil.year, civil.month, civil.day), (year, month, day));
            assert_eq!((civil.day_of_year, civil.weekday), (of_year, weekday), "{civil:?}");
        }
    }
}
