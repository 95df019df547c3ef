//! The `Range` header: the first eight bytes are the object's size, the rest is the header.

use aistore_core::range::{MAX_RANGES, parse_ranges};

/// Served ranges lie within the object, share no byte, and are not empty but for `-0`.
pub fn range(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    let Some(header) = crate::text(header) else { return };
    let Ok(mut ranges) = parse_ranges(header, size) else { return };
    assert!((1..=MAX_RANGES).contains(&ranges.len()), "{header:?}");
    ranges.sort_unstable();
    let (mut end, several) = (0, ranges.len() > 1);
    for (start, length) in ranges {
        assert!(start >= end, "{header:?} of {size}: a byte is served twice");
        assert!(length > 0 || !several, "{header:?} of {size}: an empty range among others");
        end = start.checked_add(length).expect("the end of a range overflows");
    }
    assert!(end <= size, "{header:?} of {size}");
}
