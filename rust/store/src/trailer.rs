//! The self-description at the end of each blob, from which a lost index is rebuilt.
//!
//! ```text
//! payload | body | length of body: u32 LE | crc32c of body and length: u32 LE | magic: 8 bytes
//! body = version 1 | bucket id: u64 BE | name | metadata (see `codec`)
//!      | version 2 | role | bucket id: u64 BE | name | metadata
//! ```
//!
//! As in the index, version 2 is written only where version 1 cannot say it.
//!
//! The payload comes first so that its offset in the file is 0, the same for every object.

use std::io;

use crate::codec::{
    Input, V2, decode_meta, decode_role, encode_meta, encode_role, put_bytes, version_of,
};
use crate::meta::{MAX_CUSTOM_BYTES, MAX_NAME_BYTES, MAX_PARTS, MAX_PLACES, ObjectMeta, Role};
use crate::stored::Stored;

const MAGIC: [u8; 8] = *b"AISBLOB\n";
const FOOTER_BYTES: usize = 16;
/// A greater announced length is damage: name, custom metadata with its lengths, the fixed fields, and
/// each part with its places.
const MAX_BODY_BYTES: usize =
    MAX_NAME_BYTES + 4 * MAX_CUSTOM_BYTES + 1024 + (MAX_PARTS + 1) * (16 + 16 * MAX_PLACES);
/// Read first: holds the whole trailer of nearly every object, so that one read is enough.
const FIRST_READ_BYTES: usize = 512;

/// What a blob says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) role: Role,
    pub(crate) bid: u64,
    pub(crate) name: String,
    pub(crate) meta: ObjectMeta,
}

/// Encodes the trailer of a blob.
pub(crate) fn encode(role: Role, bid: u64, name: &str, meta: &ObjectMeta) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + name.len());
    let version = version_of(role, meta);
    out.push(version);
    if version == V2 {
        encode_role(&mut out, role);
    }
    out.extend_from_slice(&bid.to_be_bytes());
    put_bytes(&mut out, name.as_bytes());
    encode_meta(&mut out, version, meta);
    // Bounded by MAX_BODY_BYTES: names and custom metadata are checked when a put begins.
    let length = u32::try_from(out.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&MAGIC);
    out
}

/// Reads the trailer of a blob; the inner error says what is wrong with it.
pub(crate) fn read(blob: &Stored) -> io::Result<Result<Description, &'static str>> {
    let length = blob.length()?;
    let window = usize::try_from(length).unwrap_or(usize::MAX).min(FIRST_READ_BYTES);
    let mut tail = vec![0; window];
    blob.read_exact_at(&mut tail, length - window as u64)?;
    let body_bytes = match body_length(&tail) {
        Ok(bytes) => bytes,
        Err(reason) => return Ok(Err(reason)),
    };
    let whole = body_bytes + FOOTER_BYTES;
    if whole as u64 > length {
        return Ok(Err("the trailer is longer than the file"));
    }
    if whole > window {
        tail = vec![0; whole];
        blob.read_exact_at(&mut tail, length - whole as u64)?;
    }
    let trailer = tail.get(tail.len() - whole..).unwrap_or_default();
    Ok(checked(trailer, length))
}

/// Parses the trailer of a record whose payload and trailer have `length` bytes.
pub(crate) fn of_record(trailer: &[u8], length: u32) -> Result<Description, &'static str> {
    if body_length(trailer)? + FOOTER_BYTES != trailer.len() {
        return Err("the trailer has another length");
    }
    checked(trailer, u64::from(length))
}

/// Parses a trailer and compares its payload size with the blob's length.
fn checked(trailer: &[u8], length: u64) -> Result<Description, &'static str> {
    let description = parse(trailer)?;
    // With parts the payload lies in other blobs.
    let here = if description.meta.parts.is_empty() { description.meta.size } else { 0 };
    if here.checked_add(trailer.len() as u64) == Some(length) {
        Ok(description)
    } else {
        Err("the payload has another length")
    }
}

fn body_length(tail: &[u8]) -> Result<usize, &'static str> {
    let footer = tail.last_chunk::<FOOTER_BYTES>().ok_or("the file is too short")?;
    let [a, b, c, d, _, _, _, _, magic @ ..] = *footer;
    if magic != MAGIC {
        return Err("the end marker is missing");
    }
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_BODY_BYTES {
        Err("the length of the trailer makes no sense")
    } else {
        Ok(length)
    }
}

fn parse(trailer: &[u8]) -> Result<Description, &'static str> {
    let (rest, _magic) = trailer.split_last_chunk::<8>().ok_or("the file is too short")?;
    let (covered, crc) = rest.split_last_chunk::<4>().ok_or("the file is too short")?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
        return Err("the checksum of the trailer does not match");
    }
    let (body, _length) = covered.split_last_chunk::<4>().ok_or("the file is too short")?;
    decode(body).ok_or("the trailer cannot be decoded")
}

pub(crate) fn decode(body: &[u8]) -> Option<Description> {
    let mut input = Input(body);
    let version = input.byte()?;
    let role = decode_role(&mut input, version)?;
    let bid = input.u64()?;
    let name = std::str::from_utf8(input.bytes()?).ok()?.to_owned();
    let meta = decode_meta(&mut input, version)?;
    input.0.is_empty().then_some(Description { role, bid, name, meta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::{BlobId, Part, Place};
    use std::io::Write as _;

    fn blob(name: &str, payload: &[u8]) -> (Vec<u8>, Description) {
        let meta = ObjectMeta { size: payload.len() as u64, version: 3, ..ObjectMeta::default() };
        let mut bytes = payload.to_vec();
        bytes.extend(encode(Role::Object, 9, name, &meta));
        (bytes, Description { role: Role::Object, bid: 9, name: name.to_owned(), meta })
    }

    fn read_bytes(bytes: &[u8]) -> Result<Description, &'static str> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read(&Stored::whole(std::sync::Arc::new(file))).unwrap()
    }

    #[test]
    fn trailers_of_short_and_long_names_are_read_back() {
        for name in ["a", &"ü".repeat(MAX_NAME_BYTES / 2)] {
            for payload in [&b""[..], &[7; 5000]] {
                let (bytes, description) = blob(name, payload);
                assert_eq!(read_bytes(&bytes), Ok(description));
            }
        }
    }

    #[test]
    fn a_manifest_describes_payload_that_lies_elsewhere() {
        let place = Place { mountpath: 3, blob: BlobId(4) };
        let part = Part { size: 1 << 40, crc32c: 9, places: vec![place; 2] };
        let meta = ObjectMeta {
            size: 3 << 40,
            parts: vec![part; 3],
            chunked: true,
            ..ObjectMeta::default()
        };
        for role in [Role::Object, Role::Copy { main: place }] {
            let bytes = encode(role, 9, "n", &meta);
            let description = Description { role, bid: 9, name: "n".into(), meta: meta.clone() };
            assert_eq!(read_bytes(&bytes), Ok(description));
            assert!(read_bytes(&[b"payload", bytes.as_slice()].concat()).is_err());
        }
    }

    #[test]
    fn the_largest_manifest_is_read_back() {
        let place = Place { mountpath: u64::MAX, blob: BlobId(u64::MAX) };
        let part = Part { size: u64::MAX >> 20, crc32c: 9, places: vec![place; MAX_PLACES] };
        let parts = vec![part; MAX_PARTS];
        let meta = ObjectMeta { parts, copies: vec![place; MAX_PLACES], ..ObjectMeta::default() };
        let read = read_bytes(&encode(Role::Object, 9, "n", &meta)).unwrap();
        assert_eq!(read.meta, meta);
    }

    #[test]
    fn every_truncation_is_noticed() {
        let (bytes, _) = blob("some/name", b"payload");
        for keep in 0..bytes.len() {
            assert!(read_bytes(&bytes[..keep]).is_err(), "{keep} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn every_flipped_bit_of_the_trailer_is_noticed() {
        let (bytes, _) = blob("some/name", b"payload");
        for bit in 7 * 8..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read_bytes(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_payload_of_another_length_is_noticed() {
        let (mut bytes, _) = blob("n", b"payload");
        bytes.remove(0);
        assert_eq!(read_bytes(&bytes), Err("the payload has another length"));
    }
}
