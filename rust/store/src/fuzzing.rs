//! Doors for the fuzz targets in `fuzz/`, which cannot see private parsers. Only built with `--cfg fuzzing`.

use crate::codec::{decode_entry, decode_place, encode_entry, split_key};
use crate::trailer;

/// An index key and an index value.
///
/// # Panics
///
/// When an accepted value does not survive being written again.
pub fn index(bytes: &[u8]) {
    let _ = split_key(bytes);
    let Some((role, meta)) = decode_entry(bytes) else { return };
    assert_eq!(decode_place(bytes), Some((meta.blob, meta.size)));
    let again = decode_entry(&encode_entry(role, &meta));
    assert_eq!(again, Some((role, meta)));
}

/// The body of a blob's trailer. Its checksum is not asked for: no fuzzer would guess one.
pub fn trailer(bytes: &[u8]) {
    let _ = trailer::decode(bytes);
}
