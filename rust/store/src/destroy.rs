//! Removing all objects of a bucket.
//!
//! Others go on meanwhile: a change waits for a few objects at most, those that share its lock, and this work
//! leaves a processor half of the time. What a crash cuts short is done by the next call: the objects that are
//! left are still found under the bucket's id.

use std::ops::Bound;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::appends;
use crate::codec;
use crate::error::StoreError;
use crate::index::Change;
use crate::list::successor;
use crate::meta::ObjectMeta;
use crate::mountpath::SharedMountpath;
use crate::shared::slot;
use crate::store::Store;

/// Objects looked up at once, some four for each lock. A crash leaves so many blobs to the sweep at most, which
/// stops at a multiple of it.
const BATCH: usize = 1024;
/// Longest pause between two batches.
const MOST_PAUSE: Duration = Duration::from_millis(10);

/// Walks over the mountpaths. Another one follows where an object moved from one to another meanwhile, or was put.
const WALKS: usize = 16;

/// What was removed: an entry, and the mountpath that had it.
type Removed = Vec<(SharedMountpath, ObjectMeta)>;

impl Store {
    /// Removes every object of a bucket; returns how many there were. Objects put meanwhile may stay.
    /// Its uploads and append sessions are ended.
    pub fn destroy_bucket(&self, bid: u64) -> Result<u64, StoreError> {
        self.abort_where(|owner, _| owner == bid)?;
        appends::remove_where(&self.shared, |owner, _| owner == bid)?;
        step!("destroy: uploads and appends ended");
        let prefix = codec::key(bid, "");
        let mut count = 0;
        for _ in 0..WALKS {
            for mountpath in self.shared.set().members() {
                count += self.destroy_found_on(mountpath, &prefix)?;
            }
            if self.is_gone(&prefix)? {
                break;
            }
        }
        for mountpath in self.shared.set().members() {
            // Once for all of it: the bucket is gone already, and what loss of power brings back goes again.
            mountpath.sync_changes_of(&prefix)?;
        }
        Ok(count)
    }

    /// Removes, everywhere, all objects under a prefix that one mountpath knows.
    fn destroy_found_on(
        &self,
        mountpath: &SharedMountpath,
        prefix: &[u8],
    ) -> Result<u64, StoreError> {
        let end = successor(prefix);
        let (mut from, mut count) = (Bound::Included(prefix.to_vec()), 0);
        loop {
            let started = Instant::now();
            let keys = self.destroy_batch(mountpath, &from, end.as_deref())?;
            let Some(last) = keys.last() else { return Ok(count) };
            count += keys.len() as u64;
            from = Bound::Excluded(last.clone());
            step!("destroy: batch discarded");
            std::thread::sleep(started.elapsed().min(MOST_PAUSE));
        }
    }

    /// Whether no mountpath knows anything under a prefix.
    fn is_gone(&self, prefix: &[u8]) -> Result<bool, StoreError> {
        // Alone: what moves must not be where it is not looked for.
        let _alone = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        let end = successor(prefix);
        for mountpath in self.shared.set().members() {
            let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            if let Some(entry) = mountpath.index.range((Bound::Included(prefix), end)).next() {
                entry?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes the objects of the next keys that a mountpath has between two; returns the keys.
    fn destroy_batch(
        &self,
        mountpath: &SharedMountpath,
        from: &Bound<Vec<u8>>,
        end: Option<&[u8]>,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let _open = self.shared.enter()?;
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let range = mountpath.index.range((from.as_ref().map(Vec::as_slice), end)).take(BATCH);
        let keys =
            range.map(|entry| Ok(entry?.0.to_vec())).collect::<Result<Vec<_>, StoreError>>()?;
        let mut sorted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        sorted.sort_by_cached_key(|key| slot_of(key));
        let mut removed = Vec::with_capacity(keys.len());
        for group in sorted.chunk_by(|one, other| slot_of(one) == slot_of(other)) {
            // A put between look and commit would lose its entry and leak its blob.
            let _names = group.first().and_then(|key| self.shared.lock_slot(slot_of(key)));
            removed.extend(self.remove(mountpath, group)?);
        }
        // No blob goes before the last entry that may name it: an object is whole until it is gone.
        for (mountpath, meta) in removed {
            self.shared.discard_version(&mountpath, &meta);
        }
        Ok(keys)
    }

    /// Removes the entries under these keys, whose names are locked, from a mountpath; where they name parts, from the
    /// others too, which may name the same ones.
    fn remove(&self, mountpath: &SharedMountpath, keys: &[&[u8]]) -> Result<Removed, StoreError> {
        let mut removed = remove_from(mountpath, keys)?;
        let in_parts = removed.iter().filter(|(_, _, meta)| !meta.parts.is_empty());
        let in_parts: Vec<&[u8]> = in_parts.map(|(key, ..)| *key).collect();
        if !in_parts.is_empty() {
            let set = self.shared.set();
            let others = set.members().iter().filter(|other| !Arc::ptr_eq(other, mountpath));
            for other in others {
                // After an error it is the next start that removes what was named.
                let more = remove_from(other, &in_parts);
                removed.extend(more.inspect_err(|_| mountpath.leave_unswept())?);
            }
        }
        Ok(removed.into_iter().map(|(_, mountpath, meta)| (mountpath, meta)).collect())
    }
}

type Entries<'k> = Vec<(&'k [u8], SharedMountpath, ObjectMeta)>;

/// Removes the entries that a mountpath has under these keys.
fn remove_from<'k>(
    mountpath: &SharedMountpath,
    keys: &[&'k [u8]],
) -> Result<Entries<'k>, StoreError> {
    mountpath.check_writable()?;
    let (mut removed, mut changes) = (Vec::new(), Vec::new());
    for key in keys {
        let Some(value) = mountpath.index.get(key)? else { continue };
        // An entry that cannot be decoded goes too; its blob is swept after the next crash.
        let meta = codec::decode_value(&value).unwrap_or_default();
        removed.push((*key, Arc::clone(mountpath), meta));
        changes.push(Change::Remove { key: key.to_vec() });
    }
    if !changes.is_empty() {
        mountpath.commit_unsynced(changes)?;
        step!("destroy: batch committed");
    }
    Ok(removed)
}

/// The lock of the name in a key.
fn slot_of(key: &[u8]) -> usize {
    codec::split_key(key).map_or(0, |(bid, name)| slot(bid, name))
}
