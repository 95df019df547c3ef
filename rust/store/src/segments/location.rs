//! Where a blob lies among the segments of its mountpath, as the index keeps it.

use crate::meta::BlobId;

/// A record in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Location {
    pub(crate) segment: u32,
    /// Where its header starts.
    pub(crate) offset: u32,
    /// Payload and trailer.
    pub(crate) length: u32,
}

const BYTES: usize = 12;

impl Location {
    pub(crate) fn encode(self) -> [u8; BYTES] {
        let mut out = [0; BYTES];
        out[..4].copy_from_slice(&self.segment.to_be_bytes());
        out[4..8].copy_from_slice(&self.offset.to_be_bytes());
        out[8..].copy_from_slice(&self.length.to_be_bytes());
        out
    }

    /// `None` when these bytes are no location.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.as_array::<BYTES>()?.as_chunks::<4>().0;
        let [segment, offset, length] = fields else { return None };
        Some(Self {
            segment: u32::from_be_bytes(*segment),
            offset: u32::from_be_bytes(*offset),
            length: u32::from_be_bytes(*length),
        })
    }
}

/// Index key of a blob's location.
pub(crate) fn key(blob: BlobId) -> [u8; 8] {
    blob.0.to_be_bytes()
}

/// The blob of an index key.
pub(crate) fn blob_of(key: &[u8]) -> Option<BlobId> {
    Some(BlobId(u64::from_be_bytes(*key.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_and_keys_round_trip() {
        let location = Location { segment: 7, offset: u32::MAX, length: 70_000 };
        assert_eq!(Location::decode(&location.encode()), Some(location));
        assert_eq!(Location::decode(b"short"), None);
        assert_eq!(blob_of(&key(BlobId(1 << 60))), Some(BlobId(1 << 60)));
    }
}
