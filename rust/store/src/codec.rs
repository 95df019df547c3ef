//! Binary form of metadata, shared by index values and blob trailers.
//!
//! Integers are LEB128 varints but for ids, which are big-endian. A reader of version 1 refuses other
//! versions: a new field means a new version byte and a decoder beside this one.

use std::collections::BTreeMap;

use aistore_core::checksum::ChecksumType;

use crate::meta::{BlobId, ObjectMeta};

/// Version byte that starts each index value.
const INDEX_V1: u8 = 1;

/// Index key of one object: the bucket id, big-endian, then the name.
pub(crate) fn key(bid: u64, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(BID_BYTES + name.len());
    key.extend_from_slice(&bid.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

/// Bytes of the bucket id at the start of a key.
pub(crate) const BID_BYTES: usize = 8;

/// Splits an index key; `None` when it is not one of an object.
pub(crate) fn split_key(key: &[u8]) -> Option<(u64, &str)> {
    let (bid, name) = key.split_first_chunk::<BID_BYTES>()?;
    Some((u64::from_be_bytes(*bid), std::str::from_utf8(name).ok()?))
}

/// Encodes an index value.
pub(crate) fn encode_value(meta: &ObjectMeta) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(INDEX_V1);
    encode_meta(&mut out, meta);
    out
}

/// Decodes an index value; `None` when it is damaged.
pub(crate) fn decode_value(value: &[u8]) -> Option<ObjectMeta> {
    let mut input = Input(value);
    if input.byte()? != INDEX_V1 {
        return None;
    }
    let meta = decode_meta(&mut input)?;
    input.0.is_empty().then_some(meta)
}

/// Decodes only blob and size: what a plain listing needs, without allocating.
pub(crate) fn decode_place(value: &[u8]) -> Option<(BlobId, u64)> {
    let mut input = Input(value);
    if input.byte()? != INDEX_V1 {
        return None;
    }
    Some((BlobId(input.u64()?), input.varint()?))
}

pub(crate) fn encode_meta(out: &mut Vec<u8>, meta: &ObjectMeta) {
    out.extend_from_slice(&meta.blob.0.to_be_bytes());
    put_varint(out, meta.size);
    put_varint(out, meta.version);
    put_varint(out, meta.mtime_ns);
    put_varint(out, meta.atime_ns);
    out.push(checksum_code(meta.checksum_type));
    put_bytes(out, &unhex(&meta.checksum));
    put_varint(out, meta.custom.len() as u64);
    for (key, value) in &meta.custom {
        put_bytes(out, key.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

pub(crate) fn decode_meta(input: &mut Input<'_>) -> Option<ObjectMeta> {
    let blob = BlobId(input.u64()?);
    let (size, version) = (input.varint()?, input.varint()?);
    let (mtime_ns, atime_ns) = (input.varint()?, input.varint()?);
    let checksum_type = checksum_of_code(input.byte()?)?;
    let checksum = hex(input.bytes()?);
    let mut custom = BTreeMap::new();
    for _ in 0..input.varint()? {
        let key = std::str::from_utf8(input.bytes()?).ok()?.to_owned();
        custom.insert(key, std::str::from_utf8(input.bytes()?).ok()?.to_owned());
    }
    Some(ObjectMeta { size, checksum_type, checksum, atime_ns, mtime_ns, version, custom, blob })
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to decode. Every step is `None` when the input ends or makes no sense.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*first))
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return None;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }
}

// Codes are part of the stored format: never renumber.
fn checksum_code(kind: ChecksumType) -> u8 {
    match kind {
        ChecksumType::None => 0,
        ChecksumType::Xxhash => 1,
        ChecksumType::Xxhash2 => 2,
        ChecksumType::Md5 => 3,
        ChecksumType::Crc32c => 4,
        ChecksumType::Sha256 => 5,
        ChecksumType::Sha512 => 6,
    }
}

fn checksum_of_code(code: u8) -> Option<ChecksumType> {
    Some(match code {
        0 => ChecksumType::None,
        1 => ChecksumType::Xxhash,
        2 => ChecksumType::Xxhash2,
        3 => ChecksumType::Md5,
        4 => ChecksumType::Crc32c,
        5 => ChecksumType::Sha256,
        6 => ChecksumType::Sha512,
        _ => return None,
    })
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(*byte));
    }
    out
}

/// Inverse of [`hex`]. The input is a checksum that this process computed, so it is well-formed hex.
fn unhex(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => 0,
    };
    text.as_bytes().chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_meta() -> impl Strategy<Value = ObjectMeta> {
        let custom = proptest::collection::btree_map(".{0,9}", ".{0,20}", 0..4);
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
        (numbers, 0_u8..7, any::<Vec<u8>>(), custom).prop_map(|(n, code, sum, custom)| ObjectMeta {
            size: n.0,
            checksum_type: checksum_of_code(code).unwrap(),
            checksum: hex(&sum),
            atime_ns: n.1,
            mtime_ns: n.2,
            version: n.3,
            custom,
            blob: BlobId(n.4),
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(meta in any_meta()) {
            let value = encode_value(&meta);
            prop_assert_eq!(decode_place(&value), Some((meta.blob, meta.size)));
            prop_assert_eq!(decode_value(&value), Some(meta));
        }

        #[test]
        fn a_shortened_value_is_refused(meta in any_meta(), cut in 1_usize..200) {
            let value = encode_value(&meta);
            let keep = value.len().saturating_sub(cut);
            prop_assert_eq!(decode_value(&value[..keep]), None);
        }

        #[test]
        fn garbage_never_panics(bytes in any::<Vec<u8>>()) {
            let _ = (decode_value(&bytes), decode_place(&bytes), split_key(&bytes));
        }
    }

    #[test]
    fn keys_sort_by_bucket_then_name() {
        assert!(key(1, "z") < key(2, "a"));
        assert!(key(2, "a") < key(2, "a/"));
        assert_eq!(split_key(&key(7, "ä/b")), Some((7, "ä/b")));
        assert_eq!(split_key(b"short"), None);
    }

    #[test]
    fn the_stored_form_stays_as_it_is() {
        let meta = ObjectMeta {
            size: 300,
            checksum_type: ChecksumType::Crc32c,
            checksum: "364b3fb7".into(),
            version: 2,
            mtime_ns: 1,
            blob: BlobId(5),
            custom: BTreeMap::from([("k".into(), "v".into())]),
            ..ObjectMeta::default()
        };
        let expected = [
            1, 0, 0, 0, 0, 0, 0, 0, 5, 0xac, 2, 2, 1, 0, 4, 4, 0x36, 0x4b, 0x3f, 0xb7, 1, 1, b'k',
            1, b'v',
        ];
        assert_eq!(encode_value(&meta), expected);
    }
}
