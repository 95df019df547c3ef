//! Descriptors of small blobs, kept open: opening costs several times what reading ten kilobytes does.

use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};

use lru::LruCache;

use crate::error::StoreError;
use crate::meta::BlobId;
use crate::steps::has_flaw;
use crate::sync::{Mutex, MutexGuard};

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

    /// Keeps a blob open, unless it has been removed since it was opened: that would hold its space.
    pub(crate) fn keep(
        &self,
        blob: BlobId,
        file: &Arc<File>,
        is_there: impl FnOnce() -> Result<bool, StoreError>,
    ) {
        // The evicted descriptor is closed after the lock is released.
        let _evicted = self.lock().push(blob, Arc::clone(file));
        step!("descriptors: kept");
        // Looked for after it can be found here, as who removes it does so before he looks here.
        if !has_flaw("descriptors: kept unseen") && !is_there().unwrap_or(false) {
            self.forget(blob);
        }
    }

    /// Forgets a blob that `remove` takes away.
    pub(crate) fn remove<T>(&self, blob: BlobId, remove: impl FnOnce() -> T) -> T {
        let removed = remove();
        step!("descriptors: blob removed");
        self.forget(blob);
        removed
    }

    fn forget(&self, blob: BlobId) {
        let _closed = self.lock().pop(&blob);
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> Vec<Arc<File>> {
        self.lock().iter().map(|(_, file)| Arc::clone(file)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<BlobId, Arc<File>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
