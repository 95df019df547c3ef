//! The `Range` header: the first eight bytes are the object's size, the rest is the header.

use aistore_core::range::{RangeError, parse_range};

/// A served range lies within the object, and is not empty but for `-0`.
pub fn range(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    let Some(header) = crate::text(header) else { return };
    match parse_range(header, size) {
        Ok((start, length)) => {
            let end = start.checked_add(length).expect("the end of a range overflows");
            assert!(end <= size, "{header:?} of {size}: {start}+{length}");
            let bare: String = header.chars().filter(|c| !c.is_whitespace()).collect();
            assert!(length > 0 || bare.contains("-0"), "{header:?} of {size} is empty");
        }
        Err(RangeError::Unsatisfiable) => assert!(header.trim().starts_with("bytes=")),
        Err(_) => {}
    }
}
