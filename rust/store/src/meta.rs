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
    /// Where the payload lies.
    pub blob: BlobId,
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
        }
    }
}
