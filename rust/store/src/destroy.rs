//! Removing all objects of a bucket.
//!
//! Others go on meanwhile: a change waits for a few objects at most, those that share its lock, and this work
//! leaves a processor half of the time. What a crash cuts short is done by the next call: the objects that are
//! left are still found under the bucket's id.

use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::appends;
use crate::codec;
use crate::error::StoreError;
use crate::index::Change;
use crate::list::successor;
use crate::meta::ObjectMeta;
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::shared::slot;
use crate::store::Store;

/// Objects looked up at once, some four for each lock. A crash leaves so many blobs to the sweep at most, which
/// stops at a multiple of it.
const BATCH: usize = 1024;
/// Longest pause between two batches.
const MOST_PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Removes every object of a bucket; returns how many there were. Objects put meanwhile may stay.
    /// Its uploads and append sessions are ended.
    pub fn destroy_bucket(&self, bid: u64) -> Result<u64, StoreError> {
        self.abort_where(|owner, _| owner == bid)?;
        appends::remove_where(&self.shared, |owner, _| owner == bid)?;
        step!("destroy: uploads and appends ended");
        let prefix = codec::key(bid, "");
        let end = successor(&prefix);
        let mut count = 0;
        for mountpath in self.shared.set().members() {
            let mut from = Bound::Included(prefix.clone());
            loop {
                let started = Instant::now();
                let (last, removed) = self.destroy_batch(mountpath, &from, end.as_deref())?;
                let Some(last) = last else { break };
                from = Bound::Excluded(last);
                count += removed.len() as u64;
                for meta in removed {
                    self.shared.discard_version(mountpath, &meta);
                }
                step!("destroy: batch discarded");
                std::thread::sleep(started.elapsed().min(MOST_PAUSE));
            }
            // Once for all of it: the bucket is gone already, and what loss of power brings back goes again.
            mountpath.sync_changes_of(&prefix)?;
        }
        Ok(count)
    }

    /// Removes the next index entries between two keys; returns the last key and what they named.
    fn destroy_batch(
        &self,
        mountpath: &SharedMountpath,
        from: &Bound<Vec<u8>>,
        end: Option<&[u8]>,
    ) -> Result<(Option<Vec<u8>>, Vec<ObjectMeta>), StoreError> {
        let _open = self.shared.enter()?;
        mountpath.check_writable()?;
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let range = mountpath.index.range((from.as_ref().map(Vec::as_slice), end)).take(BATCH);
        let mut keys =
            range.map(|entry| Ok(entry?.0.to_vec())).collect::<Result<Vec<_>, StoreError>>()?;
        let last = keys.last().cloned();
        keys.sort_by_cached_key(|key| slot_of(key));
        let mut removed = Vec::with_capacity(keys.len());
        for group in keys.chunk_by(|one, other| slot_of(one) == slot_of(other)) {
            // A put between look and commit would lose its entry and leak its blob.
            let _names = group.first().and_then(|key| self.shared.lock_slot(slot_of(key)));
            removed.extend(remove(mountpath, group)?);
        }
        Ok((last, removed))
    }
}

/// Removes these entries, whose names are locked; returns what they named.
fn remove(mountpath: &Mountpath, keys: &[Vec<u8>]) -> Result<Vec<ObjectMeta>, StoreError> {
    let (mut removed, mut changes) = (Vec::new(), Vec::new());
    for key in keys {
        let Some(value) = mountpath.index.get(key)? else { continue };
        // An entry that cannot be decoded goes too; its blob is swept after the next crash.
        removed.push(codec::decode_value(&value).unwrap_or_default());
        changes.push(Change::Remove { key: key.clone() });
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
