//! What a caller chooses: where the store lives, and how one object is put.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use aistore_core::checksum::ChecksumType;
use aistore_core::config::WritePolicy;

use crate::error::StoreError;
use crate::meta::ObjectMeta;
use crate::mountpaths::Leave;

/// Default of [`StoreConfig::index_cache_bytes`].
pub const DEFAULT_INDEX_CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Default of [`StoreConfig::max_record_bytes`]; see docs/decisions/0009-segments.md.
pub const DEFAULT_MAX_RECORD_BYTES: u64 = 64 * 1024;

/// Small enough that the live records of one segment fit into the space that puts leave free
/// ([`RESERVE_BYTES`](crate::space::RESERVE_BYTES)): a full disk can still be compacted.
pub const MAX_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// What each mountpath is opened with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Bytes of index cache.
    pub(crate) cache_bytes: u64,
    /// Files of blobs, and of segments, held open.
    pub(crate) descriptors: usize,
    pub(crate) max_record_bytes: u64,
    pub(crate) segment_bytes: u64,
}

/// Where a store keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Directories that hold the objects, at least one; created when absent. Their order does not matter:
    /// an object's place follows from the identity that each directory got when it was first used.
    pub mountpaths: Vec<PathBuf>,
    /// Directories that are being emptied, and what becomes of them then.
    pub draining: Vec<(PathBuf, Leave)>,
    /// Directories that are known but not used.
    pub disabled: Vec<PathBuf>,
    /// Memory for cached blocks of the index, in bytes, all mountpaths together. Default 16 MiB.
    pub index_cache_bytes: u64,
    /// Blobs of more bytes, description included, get a file of their own; smaller ones share files.
    /// Default [`DEFAULT_MAX_RECORD_BYTES`]; 0 for no sharing.
    pub max_record_bytes: u64,
    /// Size at which a file of small blobs is full, at most [`MAX_SEGMENT_BYTES`], its default.
    pub segment_bytes: u64,
    /// How durable changes are in buckets that [`Store::set_write_policies`](crate::Store::set_write_policies)
    /// does not name. Default [`WritePolicy::Delayed`].
    pub write_policy: WritePolicy,
}

impl StoreConfig {
    /// Configuration over `mountpaths` with every default.
    pub fn new(mountpaths: Vec<PathBuf>) -> Self {
        Self {
            mountpaths,
            draining: Vec::new(),
            disabled: Vec::new(),
            index_cache_bytes: DEFAULT_INDEX_CACHE_BYTES,
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            segment_bytes: MAX_SEGMENT_BYTES,
            write_policy: WritePolicy::Delayed,
        }
    }
}

/// How one object is put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PutOptions {
    /// Checksum computed while the bytes arrive, and stored.
    pub checksum: ChecksumType,
    /// Checksum that the bytes must have (hex, case does not matter), of any type; checked at the end.
    pub expected: Option<(ChecksumType, String)>,
    /// Expected payload bytes; refused at once when the disk cannot hold them. Need not be exact, but
    /// decides whether the object is cut into chunks.
    pub size_hint: Option<u64>,
    /// Custom metadata, at most [`MAX_CUSTOM_BYTES`](crate::MAX_CUSTOM_BYTES) in all.
    pub custom: BTreeMap<String, String>,
    /// Version of the object, where it is a copy of one that has it; else versions are counted or not, as
    /// `versioned` says.
    pub version: Option<u64>,
    /// Whether to count versions: an overwrite gets the old version plus one. Otherwise the version is 0.
    pub versioned: bool,
    /// Now, in nanoseconds since the Unix epoch; becomes the object's modification and access time.
    pub now_ns: u64,
    /// How often the object is stored, on different mountpaths: 0 and 1 for once. As often as there are
    /// mountpaths where those are fewer.
    pub copies: usize,
    /// When to cut the object into chunks; `None` for never.
    pub chunks: Option<Chunks>,
    /// Whether there must be no object of that name. Checked when the put begins and, under the lock of
    /// the name, when it ends.
    pub if_absent: bool,
    /// What the present object must be like; without one the put is refused. Checked as `if_absent`.
    pub if_match: Option<Condition>,
}

/// When and how an object is cut into chunks, which are spread over the mountpaths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// Objects of this size or more are cut.
    pub from: u64,
    /// Bytes of each chunk but the last. There are [`MAX_PARTS`](crate::MAX_PARTS) chunks at most; the
    /// last takes the rest. Of a put without a size hint, the first chunk has `from` bytes if that is more.
    pub size: u64,
}

impl PutOptions {
    /// Payload bytes of the first part; `None` when the object stays in one piece.
    pub(crate) fn first_cut(&self) -> Option<u64> {
        let Chunks { from, .. } = self.chunks?;
        match self.size_hint {
            Some(size) if size < from => None,
            Some(_) => Some(self.chunk_size()),
            None => Some(self.chunk_size().max(from)),
        }
    }

    /// Payload bytes of further parts.
    pub(crate) fn chunk_size(&self) -> u64 {
        self.chunks.map_or(u64::MAX, |chunks| chunks.size.max(1))
    }

    /// Version of the object that replaces `old`.
    pub(crate) fn next_version(&self, old: Option<&ObjectMeta>) -> u64 {
        match self.version {
            Some(version) => version,
            None if self.versioned => old.map_or(0, |old| old.version).saturating_add(1),
            None => 0,
        }
    }

    /// Checks the conditions; the present object is looked up only where there are any.
    pub(crate) fn check<P>(
        &self,
        name: &str,
        present: impl FnOnce() -> Result<Option<(P, ObjectMeta)>, StoreError>,
    ) -> Result<(), StoreError> {
        if !self.if_absent && self.if_match.is_none() {
            return Ok(());
        }
        let present = present()?;
        let absent_holds = !self.if_absent || present.is_none();
        let match_holds = match (&self.if_match, &present) {
            (None, _) => true,
            (Some(condition), Some((_, meta))) => condition.holds(meta),
            (Some(_), None) => false,
        };
        if absent_holds && match_holds {
            return Ok(());
        }
        Err(StoreError::Precondition { name: name.to_owned(), present: present.is_some() })
    }
}

/// A test of an object's present metadata.
#[derive(Clone)]
pub struct Condition(Arc<dyn Fn(&ObjectMeta) -> bool + Send + Sync>);

impl Condition {
    /// Wraps a test. It runs under the lock of the object's name, so it should be quick.
    pub fn new(test: impl Fn(&ObjectMeta) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(test))
    }

    pub(crate) fn holds(&self, meta: &ObjectMeta) -> bool {
        (self.0)(meta)
    }
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Condition(..)")
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Condition {}
