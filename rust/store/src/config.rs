//! What a caller chooses: where the store lives, and how one object is put.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aistore_core::checksum::ChecksumType;

/// Default of [`StoreConfig::index_cache_bytes`].
pub const DEFAULT_INDEX_CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Where a store keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Directories that hold the objects, at least one; created when absent. Their order does not matter:
    /// an object's place follows from the identity that each directory got when it was first used.
    pub mountpaths: Vec<PathBuf>,
    /// Memory for cached blocks of the index, in bytes, all mountpaths together. Default 16 MiB.
    pub index_cache_bytes: u64,
}

impl StoreConfig {
    /// Configuration over `mountpaths` with every default.
    pub fn new(mountpaths: Vec<PathBuf>) -> Self {
        Self { mountpaths, index_cache_bytes: DEFAULT_INDEX_CACHE_BYTES }
    }
}

/// How one object is put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// Checksum computed while the bytes arrive, and stored.
    pub checksum: ChecksumType,
    /// Checksum that the bytes must have (hex, case does not matter), of any type; checked at the end.
    pub expected: Option<(ChecksumType, String)>,
    /// Expected payload bytes; refused at once when the disk cannot hold them. Need not be exact.
    pub size_hint: Option<u64>,
    /// Custom metadata, at most [`MAX_CUSTOM_BYTES`](crate::MAX_CUSTOM_BYTES) in all.
    pub custom: BTreeMap<String, String>,
    /// Whether to count versions: an overwrite gets the old version plus one. Otherwise the version is 0.
    pub versioned: bool,
    /// Now, in nanoseconds since the Unix epoch; becomes the object's modification and access time.
    pub now_ns: u64,
}
