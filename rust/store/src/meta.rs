//! What is known about one object.

use std::collections::BTreeMap;
use std::fmt;

use aistore_core::checksum::ChecksumType;

/// Longest object name, in bytes.
pub const MAX_NAME_BYTES: usize = 8 * 1024;
/// Most custom metadata of one object, keys and values together, in bytes.
pub const MAX_CUSTOM_BYTES: usize = 64 * 1024;

/// Identity of a blob on its mountpath. Grows with each blob, so of two blobs of one object the one with
/// the greater id is the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlobId(pub u64);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Most parts of one object. The upload protocols number parts up to 10,000.
pub const MAX_PARTS: usize = 10_000;
/// Most places of one part, and most copies of one object.
pub const MAX_PLACES: usize = 32;

/// One stored copy of bytes: a blob on a mountpath.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Digest of the mountpath's identity.
    pub mountpath: u64,
    /// The blob there.
    pub blob: BlobId,
}

/// A piece of an object's payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Payload bytes, which are the first bytes of the blob.
    pub size: u64,
    /// CRC-32C of these bytes.
    pub crc32c: u32,
    /// Where they lie: the main copy, then the others.
    pub places: Vec<Place>,
}

/// What a blob, or an index entry, is to its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// The object itself: payload, or the description that names its parts.
    #[default]
    Object,
    /// A further whole representation of the object whose main blob is `main`. When the entry of the
    /// object names another blob, the copy is out of date.
    Copy {
        /// The main blob, on the object's own mountpath.
        main: Place,
    },
    /// A part of an upload, or of an object that was too large for one blob. Never an index entry of its
    /// own under the object's key.
    Part {
        /// The upload; 0 for an object that was cut into parts while it was put.
        upload: u64,
        /// Number of the part.
        number: u32,
    },
}

/// Metadata of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Payload bytes.
    pub size: u64,
    /// Type of `checksum`.
    pub checksum_type: ChecksumType,
    /// Checksum of the payload, lower-case hex; empty for type none.
    pub checksum: String,
    /// Last access, nanoseconds since the Unix epoch. Today the time of the put.
    pub atime_ns: u64,
    /// Last modification, nanoseconds since the Unix epoch.
    pub mtime_ns: u64,
    /// 1 for the first version, counting up; 0 when unversioned.
    pub version: u64,
    /// Custom metadata.
    pub custom: BTreeMap<String, String>,
    /// Where the payload lies; with `parts`, where this description lies.
    pub blob: BlobId,
    /// The payload in order, when it is not in `blob` itself.
    pub parts: Vec<Part>,
    /// Whether the object counts as one of several chunks for clients. Not so an object whose payload
    /// only lies in a blob of its own because its metadata or name was changed.
    pub chunked: bool,
    /// Further whole representations, on other mountpaths of the same target.
    pub copies: Vec<Place>,
}

impl ObjectMeta {
    /// Number of chunks and bytes of the largest; `None` when the object is not chunked.
    pub fn chunks(&self) -> Option<(usize, u64)> {
        let largest = self.parts.iter().map(|part| part.size).max()?;
        self.chunked.then_some((self.parts.len(), largest))
    }
}

impl Default for ObjectMeta {
    fn default() -> Self {
        Self {
            size: 0,
            checksum_type: ChecksumType::None,
            checksum: String::new(),
            atime_ns: 0,
            mtime_ns: 0,
            version: 0,
            custom: BTreeMap::new(),
            blob: BlobId(0),
            parts: Vec::new(),
            chunked: false,
            copies: Vec::new(),
        }
    }
}
