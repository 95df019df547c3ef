//! Descriptors of small blobs, kept open: opening costs several times what reading ten kilobytes does.

use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::meta::BlobId;

/// Larger blobs are opened each time: the cost vanishes beside the transfer, and a cached descriptor
/// of a deleted blob would hold its space.
pub(crate) const MAX_CACHED_BLOB_BYTES: u64 = 1024 * 1024;

/// Least recently used descriptors of one mountpath.
#[derive(Debug)]
pub(crate) struct Descriptors(Mutex<LruCache<BlobId, Arc<File>>>);

impl Descriptors {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        // Not preallocated: an idle target stays small.
        let mut cache = LruCache::unbounded();
        cache.resize(capacity);
        Self(Mutex::new(cache))
    }

    pub(crate) fn get(&self, blob: BlobId) -> Option<Arc<File>> {
        self.lock().get(&blob).cloned()
    }

    pub(crate) fn insert(&self, blob: BlobId, file: &Arc<File>) {
        // The evicted descriptor is closed after the lock is released.
        let _evicted = self.lock().push(blob, Arc::clone(file));
    }

    pub(crate) fn forget(&self, blob: BlobId) {
        let _closed = self.lock().pop(&blob);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<BlobId, Arc<File>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
