//! Conditional request headers and dates: one header a line, in a fixed order.

use aistore_core::conditional::{Conditions, Validators, if_range_holds};
use aistore_core::http_date::{http_date, parse_http_date};

const HEADERS: [&str; 4] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"];

/// Nanoseconds of later dates do not fit.
const LAST_S: u64 = 18_000_000_000;

/// Parsed or refused; a date that parses is written and read as the same second.
pub fn conditions(data: &[u8]) {
    let Some(text) = crate::text(data) else { return };
    let lines: Vec<&str> = text.split('\n').collect();
    let find = |name: &'static str| {
        let at = HEADERS.iter().position(|header| header.eq_ignore_ascii_case(name))?;
        lines.get(at).copied().filter(|line| !line.is_empty())
    };
    let current = Validators { etag: "\"v1-44bc2cf5ad770999-abc\"", modified_s: 1_700_000_000 };
    for line in &lines {
        let _ = if_range_holds(line, current);
        if let Some(seconds) = parse_http_date(line).filter(|seconds| *seconds < LAST_S) {
            let again = http_date(seconds * 1_000_000_000);
            assert_eq!(parse_http_date(&again), Some(seconds), "{line:?} as {again:?}");
        }
    }
    if let Ok(conditions) = Conditions::parse(find) {
        let _ = (conditions.for_read(Some(current)), conditions.for_read(None));
        let _ = (conditions.for_change(Some(current)), conditions.for_change(None));
        assert!(!(conditions.is_empty() && conditions.wants_absent()));
    }
}
