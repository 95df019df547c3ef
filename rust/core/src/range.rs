//! The `Range` header of object reads.

/// Most ranges that are looked at in one header.
pub const MAX_RANGES: usize = 64;

/// A range of an object that can be served: first byte and number of bytes.
pub type ByteRange = (u64, u64);

/// Why a range cannot be served. Every case answers 416.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not `bytes=` with a list of `a-b`, `a-` or `-n`.
    #[error("malformed range: expected \"bytes=first-last\", \"bytes=first-\" or \"bytes=-count\"")]
    Malformed,
    /// Starts at or after the end of the object. Only this case carries `Content-Range: bytes */size`.
    #[error("range is beyond the end of the object")]
    Unsatisfiable,
    /// More ranges than one answer carries.
    #[error("more than {MAX_RANGES} ranges in one request: ask for fewer, or for the whole object")]
    TooMany,
    /// Ranges that share bytes: a small request must not make a large answer.
    #[error("overlapping ranges: ask for each byte once")]
    Overlapping,
}

/// Reads a `Range` header against an object of `size` bytes; the ranges come in the order asked, at
/// least one, and no two share a byte.
///
/// An end beyond the object is clipped; `-n` means the last `n` bytes and, with `n` above `size`, all of them.
/// Of several ranges those outside the object are dropped. `bytes=-0` alone is an empty range at the
/// end; among others it is dropped. Whitespace around numbers is ignored.
///
/// # Errors
///
/// [`RangeError`], by what the answer must say.
pub fn parse_ranges(header: &str, size: u64) -> Result<Vec<ByteRange>, RangeError> {
    let list = header.trim().strip_prefix("bytes=").ok_or(RangeError::Malformed)?;
    if list.split(',').nth(MAX_RANGES).is_some() {
        return Err(RangeError::TooMany);
    }
    let parts: Vec<&str> = list.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Err(RangeError::Malformed);
    }
    // The whole list is read before anything is decided, so that a malformed part always wins.
    let ranges = parts.iter().map(|part| parse_one(part, size)).collect::<Result<Vec<_>, _>>()?;
    let mut ranges: Vec<ByteRange> = ranges.into_iter().flatten().collect();
    if ranges.iter().any(|(_, length)| *length > 0) {
        ranges.retain(|(_, length)| *length > 0);
    } else {
        ranges.truncate(1);
    }
    if ranges.is_empty() {
        return Err(RangeError::Unsatisfiable);
    }
    let mut sorted = ranges.clone();
    sorted.sort_unstable();
    let overlap = |pair: &[ByteRange]| matches!(pair, [a, b] if a.0 + a.1 > b.0);
    if sorted.windows(2).any(overlap) {
        return Err(RangeError::Overlapping);
    }
    Ok(ranges)
}

/// One range; `None` when it lies outside the object.
fn parse_one(part: &str, size: u64) -> Result<Option<(u64, u64)>, RangeError> {
    let (first, last) = part.split_once('-').ok_or(RangeError::Malformed)?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let count = number(last)?.min(size);
        return Ok((size > 0).then_some((size - count, count)));
    }
    let start = number(first)?;
    let end = if last.is_empty() { u64::MAX } else { number(last)? };
    if start > end {
        return Err(RangeError::Malformed);
    }
    if start >= size {
        return Ok(None);
    }
    Ok(Some((start, end.min(size - 1) - start + 1)))
}

fn number(text: &str) -> Result<u64, RangeError> {
    // `parse` alone would also take a leading plus sign.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RangeError::Malformed);
    }
    // More digits than fit mean "past any end", as the protocol clips such ends.
    Ok(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RangeError::{Malformed, Overlapping, TooMany, Unsatisfiable};
    use super::*;

    #[test]
    fn every_form_of_the_protocol() {
        let one = |start, length| Ok(vec![(start, length)]);
        let cases = [
            ("bytes=0-0", one(0, 1)),
            ("bytes=2-5", one(2, 4)),
            ("bytes= 2 - 5 ", one(2, 4)),
            ("bytes=2-", one(2, 8)),
            ("bytes=-3", one(7, 3)),
            ("bytes=-30", one(0, 10)),
            ("bytes=-0", one(10, 0)),
            ("bytes=9-100", one(9, 1)),
            ("bytes=0-99999999999999999999999", one(0, 10)),
            ("bytes=10-", Err(Unsatisfiable)),
            ("bytes=10-11", Err(Unsatisfiable)),
            ("bytes=50-60,2-3", one(2, 2)),
            ("bytes=50-60,70-80", Err(Unsatisfiable)),
            ("bytes=0-1,2-3", Ok(vec![(0, 2), (2, 2)])),
            ("bytes=5-6, 0-1 ,-1", Ok(vec![(5, 2), (0, 2), (9, 1)])),
            ("bytes=0-1,,-0", one(0, 2)),
            ("bytes=-0,-0", one(10, 0)),
            ("bytes=0-3,3-4", Err(Overlapping)),
            ("bytes=5-,0-5", Err(Overlapping)),
            ("bytes=0-,0-", Err(Overlapping)),
            ("bytes=0-1,x", Err(Malformed)),
            ("bytes=", Err(Malformed)),
            ("bytes=,", Err(Malformed)),
            ("bytes=5", Err(Malformed)),
            ("bytes=5-2", Err(Malformed)),
            ("bytes=--3", Err(Malformed)),
            ("bytes=-", Err(Malformed)),
            ("bytes=+1-2", Err(Malformed)),
            ("bytes=a-b", Err(Malformed)),
            ("items=0-1", Err(Malformed)),
            ("0-1", Err(Malformed)),
            ("", Err(Malformed)),
        ];
        for (header, expected) in cases {
            assert_eq!(parse_ranges(header, 10), expected, "{header}");
        }
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=0-1,2-3"] {
            assert_eq!(parse_ranges(header, 0), Err(Unsatisfiable), "{header} of an empty object");
        }
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let list = |count: u64| {
            let parts: Vec<String> = (0..count).map(|i| format!("{i}-{i}")).collect();
            format!("bytes={}", parts.join(","))
        };
        assert_eq!(parse_ranges(&list(64), 1000).map(|ranges| ranges.len()), Ok(64));
        assert_eq!(parse_ranges(&list(65), 1000), Err(TooMany));
    }

    proptest! {
        #[test]
        fn served_ranges_lie_within_the_object_and_apart(header in "bytes=[0-9 ,-]{0,30}", size in any::<u64>()) {
            if let Ok(mut ranges) = parse_ranges(&header, size) {
                prop_assert!(!ranges.is_empty());
                ranges.sort_unstable();
                let mut end = 0;
                for (start, length) in ranges {
                    prop_assert!(start >= end);
                    end = start.checked_add(length).unwrap();
                }
                prop_assert!(end <= size);
            }
        }

        #[test]
        fn bounds_are_inclusive(first in 0..1000_u64, last in 0..1000_u64, size in 1..1000_u64) {
            let got = parse_ranges(&format!("bytes={first}-{last}"), size);
            let expected = if first > last {
                Err(Malformed)
            } else if first >= size {
                Err(Unsatisfiable)
            } else {
                Ok(vec![(first, last.min(size - 1) - first + 1)])
            };
            prop_assert_eq!(got, expected);
        }
    }
}
