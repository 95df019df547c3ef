//! Binary form of metadata, shared by index values and blob trailers.
//!
//! Integers are LEB128 varints but for ids and digests, which are big-endian. Version 1 has the fields of
//! an object in one blob; version 2 adds role, parts and copies, and is written only where one of them is
//! not the default, so most entries stay small. A new field means a new version byte and a decoder beside
//! these.
//!
//! ```text
//! version 1 | fields
//! version 2 | role | fields | parts | chunked: u8 | copies
//! role      = 0 (object) | 1, main place (copy) | 2, upload: u64 BE, number (part)
//! parts     = count, (size, crc32c: u32 BE, places) each;  places = count, place each
//! place     = digest of the mountpath: u64 BE | blob: u64 BE
//! ```

use std::collections::BTreeMap;

use aistore_core::checksum::ChecksumType;

use crate::meta::{BlobId, MAX_PARTS, MAX_PLACES, ObjectMeta, Part, Place, Role};

/// First byte of an entry without role, parts and copies.
pub(crate) const V1: u8 = 1;
/// First byte of an entry with any of them.
pub(crate) const V2: u8 = 2;

/// Index key of one object: the bucket id, big-endian, then the name.
pub(crate) fn key(bid: u64, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(BID_BYTES + name.len());
    key.extend_from_slice(&bid.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

/// Bucket id of entries that are no objects: uploads and intents. No bucket has it.
pub(crate) const RESERVED_BID: u64 = 0;

/// Bytes of the bucket id at the start of a key.
pub(crate) const BID_BYTES: usize = 8;

/// The bucket id in an index key; that of entries which are no objects for what is no key.
pub(crate) fn bid_of(key: &[u8]) -> u64 {
    key.first_chunk::<BID_BYTES>().map_or(RESERVED_BID, |bid| u64::from_be_bytes(*bid))
}

/// Splits an index key; `None` when it is not one of an object.
pub(crate) fn split_key(key: &[u8]) -> Option<(u64, &str)> {
    let (bid, name) = key.split_first_chunk::<BID_BYTES>()?;
    Some((u64::from_be_bytes(*bid), std::str::from_utf8(name).ok()?))
}

/// The version byte that an entry needs.
pub(crate) fn version_of(role: Role, meta: &ObjectMeta) -> u8 {
    let plain = role == Role::Object && meta.parts.is_empty() && meta.copies.is_empty();
    if plain && !meta.chunked { V1 } else { V2 }
}

/// Encodes the index value of an object.
pub(crate) fn encode_value(meta: &ObjectMeta) -> Vec<u8> {
    encode_entry(Role::Object, meta)
}

/// Encodes an index value.
pub(crate) fn encode_entry(role: Role, meta: &ObjectMeta) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let version = version_of(role, meta);
    out.push(version);
    if version == V2 {
        encode_role(&mut out, role);
    }
    encode_meta(&mut out, version, meta);
    out
}

/// Decodes an index value; `None` when it is damaged.
pub(crate) fn decode_entry(value: &[u8]) -> Option<(Role, ObjectMeta)> {
    let mut input = Input(value);
    let version = input.byte()?;
    let role = decode_role(&mut input, version)?;
    let meta = decode_meta(&mut input, version)?;
    input.0.is_empty().then_some((role, meta))
}

/// Decodes an index value, whatever its role.
pub(crate) fn decode_value(value: &[u8]) -> Option<ObjectMeta> {
    decode_entry(value).map(|(_, meta)| meta)
}

/// Decodes only blob and size: what a plain listing needs, without allocating.
pub(crate) fn decode_place(value: &[u8]) -> Option<(BlobId, u64)> {
    let mut input = Input(value);
    let version = input.byte()?;
    decode_role(&mut input, version)?;
    Some((BlobId(input.u64()?), input.varint()?))
}

/// Decodes only role and size, without allocating.
pub(crate) fn decode_standing(value: &[u8]) -> Option<(Role, u64)> {
    let mut input = Input(value);
    let version = input.byte()?;
    let role = decode_role(&mut input, version)?;
    input.u64()?;
    Some((role, input.varint()?))
}

/// Decodes role, blob, size and `chunked`, the rest being default: what a plain listing needs.
///
/// Allocates only for the few entries that are not of version 1.
pub(crate) fn decode_brief(value: &[u8]) -> Option<(Role, ObjectMeta)> {
    if value.first() != Some(&V1) {
        return decode_entry(value);
    }
    let (blob, size) = decode_place(value)?;
    Some((Role::Object, ObjectMeta { size, blob, ..ObjectMeta::default() }))
}

const ROLE_OBJECT: u8 = 0;
const ROLE_COPY: u8 = 1;
const ROLE_PART: u8 = 2;

pub(crate) fn encode_role(out: &mut Vec<u8>, role: Role) {
    match role {
        Role::Object => out.push(ROLE_OBJECT),
        Role::Copy { main } => {
            out.push(ROLE_COPY);
            encode_place(out, main);
        }
        Role::Part { upload, number } => {
            out.push(ROLE_PART);
            out.extend_from_slice(&upload.to_be_bytes());
            put_varint(out, u64::from(number));
        }
    }
}

/// The role that an entry of this version has; `None` for versions that are not known.
pub(crate) fn decode_role(input: &mut Input<'_>, version: u8) -> Option<Role> {
    match version {
        V1 => Some(Role::Object),
        V2 => match input.byte()? {
            ROLE_OBJECT => Some(Role::Object),
            ROLE_COPY => Some(Role::Copy { main: decode_at(input)? }),
            ROLE_PART => {
                let upload = input.u64()?;
                Some(Role::Part { upload, number: u32::try_from(input.varint()?).ok()? })
            }
            _ => None,
        },
        _ => None,
    }
}

fn encode_place(out: &mut Vec<u8>, place: Place) {
    out.extend_from_slice(&place.mountpath.to_be_bytes());
    out.extend_from_slice(&place.blob.0.to_be_bytes());
}

fn decode_at(input: &mut Input<'_>) -> Option<Place> {
    Some(Place { mountpath: input.u64()?, blob: BlobId(input.u64()?) })
}

fn encode_places(out: &mut Vec<u8>, places: &[Place]) {
    put_varint(out, places.len() as u64);
    for place in places {
        encode_place(out, *place);
    }
}

fn decode_places(input: &mut Input<'_>) -> Option<Vec<Place>> {
    let count = input.count(MAX_PLACES)?;
    (0..count).map(|_| decode_at(input)).collect()
}

/// Encodes one part of an object.
pub(crate) fn encode_part(out: &mut Vec<u8>, part: &Part) {
    put_varint(out, part.size);
    out.extend_from_slice(&part.crc32c.to_be_bytes());
    encode_places(out, &part.places);
}

pub(crate) fn decode_part(input: &mut Input<'_>) -> Option<Part> {
    let (size, crc32c) = (input.varint()?, input.u32()?);
    Some(Part { size, crc32c, places: decode_places(input)? })
}

pub(crate) fn encode_meta(out: &mut Vec<u8>, version: u8, meta: &ObjectMeta) {
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
    if version != V1 {
        put_varint(out, meta.parts.len() as u64);
        for part in &meta.parts {
            encode_part(out, part);
        }
        out.push(u8::from(meta.chunked));
        encode_places(out, &meta.copies);
    }
}

pub(crate) fn decode_meta(input: &mut Input<'_>, version: u8) -> Option<ObjectMeta> {
    let blob = BlobId(input.u64()?);
    let (size, object_version) = (input.varint()?, input.varint()?);
    let (mtime_ns, atime_ns) = (input.varint()?, input.varint()?);
    let checksum_type = checksum_of_code(input.byte()?)?;
    let checksum = hex(input.bytes()?);
    let mut custom = BTreeMap::new();
    for _ in 0..input.varint()? {
        let key = std::str::from_utf8(input.bytes()?).ok()?.to_owned();
        custom.insert(key, std::str::from_utf8(input.bytes()?).ok()?.to_owned());
    }
    let mut meta = ObjectMeta {
        size,
        checksum_type,
        checksum,
        atime_ns,
        mtime_ns,
        version: object_version,
        custom,
        blob,
        ..ObjectMeta::default()
    };
    if version != V1 {
        let count = input.count(MAX_PARTS)?;
        meta.parts = (0..count).map(|_| decode_part(input)).collect::<Option<_>>()?;
        meta.chunked = match input.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        meta.copies = decode_places(input)?;
    }
    Some(meta)
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

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    /// The length of a list of at most `most` items.
    pub(crate) fn count(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.varint()?).ok().filter(|count| *count <= most)
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
mod tests;
