//! How one blob lies in a segment.
//!
//! ```text
//! segment = "AISSEGM\n" | version: u32 LE | salt: u32 LE | record ...
//! record  = header | payload | trailer (see `trailer`) | zeros up to a multiple of 8 bytes
//! header  = "AREC" | version: u8, 0: 3 bytes | blob: u64 LE | payload bytes: u32 LE
//!         | trailer bytes: u32 LE | crc32c of the payload: u32 LE
//!         | crc32c of the header so far, xor salt: u32 LE
//! ```
//!
//! The salt is random, so that bytes which a client stores cannot pass for a record where a scan has to
//! find its way after damage.
//!
//! The header says how far it is to the next record, so a scan reads no payload; the trailer is what a blob
//! in a file of its own has too, so both are described in one way.

use std::io;

use crate::meta::BlobId;

/// Bytes before the first record.
pub(crate) const PREAMBLE_BYTES: u64 = PREAMBLE as u64;
pub(crate) const PREAMBLE: usize = 16;
pub(crate) const HEADER_BYTES: usize = 32;
const SEGMENT_MAGIC: [u8; 8] = *b"AISSEGM\n";
const RECORD_MAGIC: [u8; 4] = *b"AREC";
const VERSION: u8 = 1;
/// Records start at multiples of this.
pub(crate) const ALIGNMENT: u64 = PADDING as u64;
pub(super) const PADDING: usize = 8;

/// What a record says before its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) blob: BlobId,
    pub(crate) payload: u32,
    pub(crate) trailer: u32,
    pub(crate) crc32c: u32,
}

impl Header {
    /// Bytes from one record's start to the next one's.
    pub(crate) fn stride(&self) -> u64 {
        stride(u64::from(self.payload) + u64::from(self.trailer))
    }

    pub(crate) fn encode(&self, salt: u32) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let fields: [&[u8]; 6] = [
            &RECORD_MAGIC,
            &[VERSION, 0, 0, 0],
            &self.blob.0.to_le_bytes(),
            &self.payload.to_le_bytes(),
            &self.trailer.to_le_bytes(),
            &self.crc32c.to_le_bytes(),
        ];
        let mut rest = &mut out[..];
        for field in fields {
            // All fields together fill 28 of the 32 bytes.
            let (now, later) = rest.split_at_mut(field.len());
            now.copy_from_slice(field);
            rest = later;
        }
        let crc = crc32c::crc32c(&out[..HEADER_BYTES - 4]) ^ salt;
        out[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// What bytes in the place of a header say, right or wrong: the blob, and bytes of payload and trailer.
    pub(crate) fn claims(bytes: &[u8; HEADER_BYTES]) -> (BlobId, u32) {
        let field = |at: usize| {
            let field = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
            field.copied().map_or(0, u32::from_le_bytes)
        };
        let blob = u64::from(field(8)) | u64::from(field(12)) << 32;
        (BlobId(blob), field(16).saturating_add(field(20)))
    }

    /// What bytes in the place of a header say of the payload's checksum, right or wrong.
    pub(crate) fn claimed_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
        let field = bytes.get(24..).and_then(<[u8]>::first_chunk::<4>);
        field.copied().map_or(0, u32::from_le_bytes)
    }

    /// Reads a header; `None` when these bytes are none.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES], salt: u32) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        if crc32c::crc32c(covered) ^ salt != u32::from_le_bytes(*crc) {
            return None;
        }
        let (magic, rest) = covered.split_first_chunk::<4>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        if *magic != RECORD_MAGIC || version[0] != VERSION {
            return None;
        }
        let (blob, rest) = rest.split_first_chunk::<8>()?;
        let (payload, rest) = rest.split_first_chunk::<4>()?;
        let (trailer, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            blob: BlobId(u64::from_le_bytes(*blob)),
            payload: u32::from_le_bytes(*payload),
            trailer: u32::from_le_bytes(*trailer),
            crc32c: u32::from_le_bytes(rest.first_chunk().copied()?),
        })
    }
}

/// Bytes that a record of so much payload and trailer takes.
pub(crate) fn stride(content: u64) -> u64 {
    (HEADER_BYTES as u64 + content).next_multiple_of(ALIGNMENT)
}

/// The first bytes of a segment.
pub(crate) fn preamble(salt: u32) -> [u8; PREAMBLE] {
    let mut out = [0; PREAMBLE];
    out[..8].copy_from_slice(&SEGMENT_MAGIC);
    out[8..12].copy_from_slice(&u32::from(VERSION).to_le_bytes());
    out[12..].copy_from_slice(&salt.to_le_bytes());
    out
}

/// Reads the first bytes of a segment: its salt.
pub(crate) fn salt_of(bytes: &[u8; PREAMBLE]) -> io::Result<u32> {
    let salt = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
    if *bytes == preamble(salt) {
        return Ok(salt);
    }
    let message = if bytes[..8] == SEGMENT_MAGIC {
        "the segment has a version that this release does not know: use the release that wrote it"
    } else {
        "this is no segment of a store"
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_round_trip_and_notice_any_changed_bit(
            blob in any::<u64>(), payload in any::<u32>(), trailer in any::<u32>(),
            crc32c in any::<u32>(), salt in any::<u32>(), bit in 0..HEADER_BYTES * 8,
        ) {
            let header = Header { blob: BlobId(blob), payload, trailer, crc32c };
            let mut bytes = header.encode(salt);
            prop_assert_eq!(Header::decode(&bytes, salt), Some(header));
            prop_assert_eq!(Header::decode(&bytes, !salt), None);
            let length = payload.saturating_add(trailer);
            prop_assert_eq!(Header::claims(&bytes), (BlobId(blob), length));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes, salt), None);
        }
    }

    #[test]
    fn records_start_at_multiples_of_eight() {
        assert_eq!(stride(0), 32);
        assert_eq!(stride(1), 40);
        assert_eq!(stride(8), 40);
        assert_eq!(salt_of(&preamble(0xabcd)).unwrap(), 0xabcd);
        let mut newer = preamble(1);
        newer[8] = 9;
        assert!(salt_of(&newer).unwrap_err().to_string().contains("version"));
    }
}
