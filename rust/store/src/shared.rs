//! What a store and its writers share: the mountpaths, and who may change what when.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use aistore_core::placement;

use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{BlobId, ObjectMeta};
use crate::mountpath::SharedMountpath;

/// Locks that serialise changes of one name; two names rarely share one.
const NAME_LOCKS: usize = 256;

/// What writers keep alive.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mountpaths: Vec<SharedMountpath>,
    digests: Vec<u64>,
    /// Whether a miss must look at the other mountpaths too.
    scattered: bool,
    names: Vec<Mutex<()>>,
    /// Whether the store is closed. Changes hold it shared; closing and destroying hold it alone.
    pub(crate) gate: RwLock<bool>,
}

impl Shared {
    pub(crate) fn new(mountpaths: Vec<SharedMountpath>, scattered: bool) -> Self {
        let digests = mountpaths.iter().map(|mountpath| mountpath.digest).collect();
        let names = (0..NAME_LOCKS).map(|_| Mutex::default()).collect();
        Self { mountpaths, digests, scattered, names, gate: RwLock::new(false) }
    }

    /// A mountpath by its number. Numbers come from [`place`](Self::place) and iteration alone.
    #[expect(clippy::indexing_slicing, reason = "see above: every number is in range")]
    pub(crate) fn mountpath(&self, place: usize) -> &SharedMountpath {
        &self.mountpaths[place]
    }

    /// The mountpath that an object belongs on.
    pub(crate) fn place(&self, uname: &str) -> usize {
        placement::pick(&self.digests, uname).unwrap_or(0)
    }

    /// Keeps the store open for a change.
    pub(crate) fn enter(&self) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let closed = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if *closed { Err(StoreError::Closed) } else { Ok(closed) }
    }

    /// Serialises changes of one name.
    pub(crate) fn lock_name(&self, bid: u64, name: &str) -> Option<MutexGuard<'_, ()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((bid, name));
        let slot = usize::try_from(hash % NAME_LOCKS as u64).unwrap_or(0);
        let lock = self.names.get(slot)?;
        Some(lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where an object is and what is known of it. Its own mountpath comes first; the others are asked
    /// only when the set of mountpaths changed.
    pub(crate) fn locate(
        &self,
        place: usize,
        key: &[u8],
    ) -> Result<Option<(usize, ObjectMeta)>, StoreError> {
        if let Some(meta) = self.mountpath(place).lookup(key)? {
            return Ok(Some((place, meta)));
        }
        if self.scattered {
            for (other, mountpath) in self.mountpaths.iter().enumerate() {
                if let Some(meta) = mountpath.lookup(key)? {
                    return Ok(Some((other, meta)));
                }
            }
        }
        Ok(None)
    }

    /// Removes the version that a put on mountpath `new` superseded.
    pub(crate) fn retire(
        &self,
        new: usize,
        old: usize,
        key: Vec<u8>,
        blob: BlobId,
    ) -> Result<(), StoreError> {
        let mountpath = self.mountpath(old);
        if old != new {
            mountpath.commit(Change::Remove { key })?;
        }
        mountpath.discard(blob);
        Ok(())
    }
}
