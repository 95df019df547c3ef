//! The `Range` header of object reads.

/// Most ranges that are looked at in one header.
pub const MAX_RANGES: usize = 64;

/// Why a range cannot be served. Every case answers 416.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not `bytes=` with a list of `a-b`, `a-` or `-n`.
    #[error("malformed range: expected \"bytes=first-last\", \"bytes=first-\" or \"bytes=-count\"")]
    Malformed,
    /// Starts at or after the end of the object. Only this case carries `Content-Range: bytes */size`.
    #[error("range is beyond the end of the object")]
    Unsatisfiable,
    /// More than one range that overlaps the object.
    #[error("cannot multi-range read - operation not supported: ask for one range per request")]
    Multiple,
}

/// Reads a `Range` header against an object of `size` bytes; returns start and length.
///
/// An end beyond the object is clipped; `-n` means the last `n` bytes and, with `n` above `size`, all of them.
/// Of several ranges those outside the object are dropped, and exactly one must remain.
/// `bytes=-0` is an empty range at the end. Whitespace around numbers is ignored.
///
/// # Errors
///
/// [`RangeError`], by what the answer must say.
pub fn parse_range(header: &str, size: u64) -> Result<(u64, u64), RangeError> {
    let list = header.trim().strip_prefix("bytes=").ok_or(RangeError::Malformed)?;
    if list.split(',').nth(MAX_RANGES).is_some() {
        return Err(RangeError::Multiple);
    }
    let mut found = None;
    let mut count = 0_usize;
    // The whole list is read before anything is decided, so that a malformed part always wins.
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let range = parse_one(part, size)?;
        count += 1;
        found = match (found, range) {
            (Some(_), Some(_)) => return Err(RangeError::Multiple),
            (kept, dropped) => kept.or(dropped),
        };
    }
    match found {
        Some(range) => Ok(range),
        None if count == 0 => Err(RangeError::Malformed),
        None => Err(RangeError::Unsatisfiable),
    }
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

    use super::RangeError::{Malformed, Multiple, Unsatisfiable};
    use super::*;

    #[test]
    fn every_form_of_the_protocol() {
        let cases = [
            ("bytes=0-0", Ok((0, 1))),
            ("bytes=2-5", Ok((2, 4))),
            ("bytes= 2 - 5 ", Ok((2, 4))),
            ("bytes=2-", Ok((2, 8))),
            ("bytes=-3", Ok((7, 3))),
            ("bytes=-30", Ok((0, 10))),
            ("bytes=-0", Ok((10, 0))),
            ("bytes=9-100", Ok((9, 1))),
            ("bytes=0-99999999999999999999999", Ok((0, 10))),
            ("bytes=10-", Err(Unsatisfiable)),
            ("bytes=10-11", Err(Unsatisfiable)),
            ("bytes=50-60,2-3", Ok((2, 2))),
            ("bytes=50-60,70-80", Err(Unsatisfiable)),
            ("bytes=0-1,2-3", Err(Multiple)),
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
            assert_eq!(parse_range(header, 10), expected, "{header}");
        }
        for header in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
            assert_eq!(parse_range(header, 0), Err(Unsatisfiable), "{header} of an empty object");
        }
    }

    proptest! {
        #[test]
        fn a_served_range_lies_within_the_object(header in "bytes=[0-9 ,-]{0,30}", size in any::<u64>()) {
            if let Ok((start, length)) = parse_range(&header, size) {
                prop_assert!(start.checked_add(length).is_some_and(|end| end <= size));
            }
        }

        #[test]
        fn bounds_are_inclusive(first in 0..1000_u64, last in 0..1000_u64, size in 1..1000_u64) {
            let got = parse_range(&format!("bytes={first}-{last}"), size);
            let expected = if first > last {
                Err(Malformed)
            } else if first >= size {
                Err(Unsatisfiable)
            } else {
                Ok((first, last.min(size - 1) - first + 1))
            };
            prop_assert_eq!(got, expected);
        }
    }
}
