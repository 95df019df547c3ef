//! The date spelling of listings, UTC.

use aistore_core::http_date::{Civil, civil};

/// `02 Jan 06 15:04 UTC`, from nanoseconds since the epoch.
pub(crate) fn listing_date(ns: u64) -> String {
    let Civil { year, month, day, hour, minute, .. } = civil(ns);
    format!("{day:02} {month} {:02} {hour:02}:{minute:02} UTC", year % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_match_known_moments() {
        assert_eq!(listing_date(1_709_251_199_000_000_000), "29 Feb 24 23:59 UTC");
    }
}
