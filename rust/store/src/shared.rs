//! What a store and its writers share: the mountpaths, and who may change what when.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;

use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{BlobId, ObjectMeta};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;

/// Locks that serialise changes of one name; two names rarely share one.
const NAME_LOCKS: usize = 256;
/// How often a lookup that found nothing is repeated because the set of mountpaths changed meanwhile.
/// Each repetition means that an administrator changed the mountpaths once more within microseconds.
const LOOKUP_ATTEMPTS: usize = 64;

/// What writers keep alive.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Swapped only by who holds `gate` alone, so that a change which holds it shared works on one set.
    pub(crate) set: ArcSwap<MountpathSet>,
    names: Vec<Mutex<()>>,
    /// Whether the store is closed. Changes hold it shared; closing, destroying and swapping the set of
    /// mountpaths hold it alone.
    pub(crate) gate: RwLock<bool>,
}

impl Shared {
    pub(crate) fn new(set: MountpathSet) -> Self {
        let names = (0..NAME_LOCKS).map(|_| Mutex::default()).collect();
        Self { set: ArcSwap::from_pointee(set), names, gate: RwLock::new(false) }
    }

    /// The mountpaths as of now.
    pub(crate) fn set(&self) -> Arc<MountpathSet> {
        self.set.load_full()
    }

    /// Keeps the store open, and its set of mountpaths unchanged, for a change.
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

    /// Where an object is and what is known of it.
    ///
    /// While objects may lie elsewhere than placement says, all mountpaths are asked and the newest
    /// version wins. An object's own mountpath is then asked last: moves go there, so that an object on
    /// its way is found there if no longer where it came from.
    pub(crate) fn locate(
        &self,
        uname: &str,
        key: &[u8],
    ) -> Result<Option<(SharedMountpath, ObjectMeta)>, StoreError> {
        let mut set = self.set();
        for _ in 0..LOOKUP_ATTEMPTS {
            if let Some(found) = locate_in(&set, uname, key)? {
                return Ok(Some(found));
            }
            let now = self.set();
            if Arc::ptr_eq(&set, &now) {
                return Ok(None);
            }
            set = now;
        }
        Err(StoreError::Invalid("the mountpaths change too often to look an object up".to_owned()))
    }

    /// Removes the version on mountpath `old` that a put on mountpath `new` superseded.
    pub(crate) fn retire(
        new: &SharedMountpath,
        old: &SharedMountpath,
        key: Vec<u8>,
        blob: BlobId,
    ) -> Result<(), StoreError> {
        if !Arc::ptr_eq(old, new) {
            old.commit(Change::Remove { key })?;
        }
        old.discard(blob);
        Ok(())
    }
}

fn locate_in(
    set: &MountpathSet,
    uname: &str,
    key: &[u8],
) -> Result<Option<(SharedMountpath, ObjectMeta)>, StoreError> {
    let own = set.own(uname);
    let mut best: Option<(&SharedMountpath, ObjectMeta)> = None;
    if set.scattered {
        for other in set.members().iter().filter(|other| !Arc::ptr_eq(other, own)) {
            if let Some(meta) = other.lookup(key)?
                && best.as_ref().is_none_or(|(_, known)| known.blob < meta.blob)
            {
                best = Some((other, meta));
            }
        }
    }
    if let Some(meta) = own.lookup(key)?
        && best.as_ref().is_none_or(|(_, known)| known.blob < meta.blob)
    {
        best = Some((own, meta));
    }
    Ok(best.map(|(mountpath, meta)| (Arc::clone(mountpath), meta)))
}
