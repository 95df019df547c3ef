//! Times in the layouts of Go, which spell out one fixed moment: `Mon Jan 2 15:04:05 MST 2006`. UTC only.

use crate::civil::Civil;

/// Layout of listings that ask for no other.
pub const DEFAULT_LAYOUT: &str = "02 Jan 06 15:04 MST";
/// Longest layout that is taken.
pub const MAX_LAYOUT_BYTES: usize = 128;

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Elements of layouts; of those that start alike the longer comes first.
const ELEMENTS: [&str; 30] = [
    "January", "Jan", "Monday", "Mon", "MST", "2006", "002", "01", "02", "03", "04", "05", "06",
    "15", "_2", "1", "2", "3", "4", "5", "PM", "pm", "-070000", "-07:00", "-0700", "-07",
    "Z070000", "Z07:00", "Z0700", "Z07",
];

/// Nanoseconds since the epoch as text; what is no element of a layout stays as it is.
pub fn format_time(layout: &str, unix_ns: u64) -> String {
    let time = Civil::of(unix_ns);
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some((digits, tail)) = fraction(rest, &out) {
            push_fraction(&mut out, digits, time.nanosecond);
            rest = tail;
        } else if let Some(element) = element(rest) {
            out.push_str(&text_of(element, &time));
            rest = rest.get(element.len()..).unwrap_or_default();
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

fn element(rest: &str) -> Option<&'static str> {
    let found = ELEMENTS.into_iter().find(|element| rest.starts_with(element))?;
    // `January` and `Monday` are whole words: `Month` and `Janitor` are text.
    let tail = rest.get(found.len()..).and_then(|tail| tail.chars().next());
    let word = matches!(found, "Jan" | "Mon");
    (!word || !tail.is_some_and(|next| next.is_ascii_lowercase())).then_some(found)
}

/// A point or comma with zeros or nines after seconds: the digits, and what follows.
fn fraction<'r>(rest: &'r str, before: &str) -> Option<(&'r str, &'r str)> {
    let digits = rest.strip_prefix(['.', ','])?;
    if !before.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    let kind = digits.chars().next().filter(|first| matches!(first, '0' | '9'))?;
    let length = digits.len() - digits.trim_start_matches(kind).len();
    let tail = digits.get(length..)?;
    if length > 9 || tail.starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    Some((rest.get(..=length)?, tail))
}

fn push_fraction(out: &mut String, pattern: &str, nanosecond: u32) {
    let all = format!("{nanosecond:09}");
    let digits = all.get(..pattern.len() - 1).unwrap_or_default();
    let digits = if pattern.ends_with('9') { digits.trim_end_matches('0') } else { digits };
    if !digits.is_empty() {
        out.push_str(pattern.get(..1).unwrap_or_default());
        out.push_str(digits);
    }
}

fn text_of(element: &str, time: &Civil) -> String {
    let month = MONTHS.get(usize::from(time.month) - 1).copied().unwrap_or_default();
    let day = DAYS.get(usize::from(time.weekday)).copied().unwrap_or_default();
    let short = |name: &str| name.get(..3).unwrap_or_default().to_owned();
    let hour = match time.hour % 12 {
        0 => 12,
        hour => hour,
    };
    match element {
        "January" => month.to_owned(),
        "Jan" => short(month),
        "Monday" => day.to_owned(),
        "Mon" => short(day),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", time.year),
        "06" => format!("{:02}", time.year % 100),
        "002" => format!("{:03}", time.day_of_year),
        "01" => format!("{:02}", time.month),
        "1" => time.month.to_string(),
        "02" => format!("{:02}", time.day),
        "_2" => format!("{:2}", time.day),
        "2" => time.day.to_string(),
        "15" => format!("{:02}", time.hour),
        "03" => format!("{hour:02}"),
        "3" => hour.to_string(),
        "04" => format!("{:02}", time.minute),
        "4" => time.minute.to_string(),
        "05" => format!("{:02}", time.second),
        "5" => time.second.to_string(),
        "PM" => if time.hour < 12 { "AM" } else { "PM" }.to_owned(),
        "pm" => if time.hour < 12 { "am" } else { "pm" }.to_owned(),
        zone if zone.starts_with('Z') => "Z".to_owned(),
        // An offset: its digits are all zero.
        zone => zone.replacen('-', "+", 1).replace('7', "0"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2024-02-29 23:05:09.012 UTC, a Thursday.
    const MOMENT: u64 = 1_709_247_909_012_000_000;

    #[test]
    fn the_layouts_of_the_standard_library() {
        for (layout, text) in [
            (DEFAULT_LAYOUT, "29 Feb 24 23:05 UTC"),
            ("2006-01-02T15:04:05Z07:00", "2024-02-29T23:05:09Z"),
            ("2006-01-02T15:04:05.999999999Z07:00", "2024-02-29T23:05:09.012Z"),
            ("Mon, 02 Jan 2006 15:04:05 MST", "Thu, 29 Feb 2024 23:05:09 UTC"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "Thu, 29 Feb 2024 23:05:09 +0000"),
            ("Mon Jan _2 15:04:05 2006", "Thu Feb 29 23:05:09 2024"),
            ("Monday, 02-Jan-06 15:04:05 MST", "Thursday, 29-Feb-24 23:05:09 UTC"),
            ("02 Jan 06 15:04 -0700", "29 Feb 24 23:05 +0000"),
            ("3:04PM", "11:05PM"),
            ("Jan _2 15:04:05.000", "Feb 29 23:05:09.012"),
            ("2006-01-02 15:04:05", "2024-02-29 23:05:09"),
            ("1/2/06 3 pm 002", "2/29/24 11 pm 060"),
            ("January 2 -07:00", "February 29 +00:00"),
            ("05,000000", "09,012000"),
            ("Month: ä", "Month: ä"),
        ] {
            assert_eq!(format_time(layout, MOMENT), text, "{layout}");
        }
        assert_eq!(format_time("Mon _2 Jan 2006 03:04AM", 0), "Thu  1 Jan 1970 12:00AM");
    }

    proptest! {
        #[test]
        fn any_layout_gives_some_text(layout in ".{0,40}", ns in any::<u64>()) {
            let _ = format_time(&layout, ns);
        }
    }
}
