//! When what was written is brought to the disk itself, so that it survives loss of power.
//!
//! Each bucket has a [`WritePolicy`]. *Immediate*: before the change is acknowledged; blobs first, then the
//! index entries that name them, and only then goes what they replace. Writers share the calls: whoever leads a
//! group of commits (see `commit`) syncs what all of them wrote. *Delayed*: with the next
//! [`Store::write_back`](crate::Store::write_back). *Never*: when the kernel sees fit.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use aistore_core::config::WritePolicy;
use arc_swap::ArcSwap;

use crate::codec::{self, RESERVED_BID};
use crate::error::StoreError;
use crate::files::{Dir, Files};
use crate::meta::BlobId;
use crate::segments::Segments;
use crate::sync::{Mutex, MutexGuard};

/// Files kept open until they are written back; with more, the whole file system is.
const MAX_FILES: usize = 256;

/// The policies of the buckets, for all mountpaths of a store.
#[derive(Debug, Clone)]
pub(crate) struct Policies(Arc<ArcSwap<Table>>);

#[derive(Debug)]
struct Table {
    /// Of buckets that nobody named.
    other: WritePolicy,
    named: HashMap<u64, WritePolicy>,
    strictest: WritePolicy,
}

impl Policies {
    pub(crate) fn new(other: WritePolicy) -> Self {
        let table = Table { other, named: HashMap::new(), strictest: other };
        Self(Arc::new(ArcSwap::from_pointee(table)))
    }

    /// Names the policies of buckets; the rest keep the one that they have.
    pub(crate) fn set(&self, named: HashMap<u64, WritePolicy>) {
        let other = self.0.load().other;
        let strictest = named.values().copied().fold(other, stricter);
        self.0.store(Arc::new(Table { other, named, strictest }));
    }

    pub(crate) fn of(&self, bid: u64) -> WritePolicy {
        let table = self.0.load();
        if bid == RESERVED_BID {
            // Uploads and intents are of any bucket.
            return table.strictest;
        }
        table.named.get(&bid).copied().unwrap_or(table.other)
    }

    /// The policy of the bucket that an index key belongs to.
    pub(crate) fn of_key(&self, key: &[u8]) -> WritePolicy {
        self.of(codec::bid_of(key))
    }
}

fn stricter(one: WritePolicy, other: WritePolicy) -> WritePolicy {
    match (one, other) {
        (WritePolicy::Immediate, _) | (_, WritePolicy::Immediate) => WritePolicy::Immediate,
        (WritePolicy::Delayed, _) | (_, WritePolicy::Delayed) => WritePolicy::Delayed,
        _ => WritePolicy::Never,
    }
}

/// What one mountpath has to bring to the disk.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    /// Before the next commit of a bucket whose policy is immediate.
    urgent: Mutex<Pending>,
    /// With the next write-back.
    lazy: Mutex<Pending>,
    /// Whether the index has entries that may be in memory alone.
    index: AtomicBool,
    /// Whether something was written that nobody promised to bring to the disk.
    unpromised: AtomicBool,
    /// How often files, directories and the file system were synced.
    syncs: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    segments: BTreeSet<u32>,
    dirs: BTreeSet<Dir>,
    files: HashMap<BlobId, File>,
    /// Whether there were too many files to keep open.
    overflow: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.dirs.is_empty() && self.files.is_empty() && !self.overflow
    }

    fn add(&mut self, other: Self) {
        self.segments.extend(other.segments);
        self.dirs.extend(other.dirs);
        self.files.extend(other.files);
        self.overflow |= other.overflow;
    }
}

impl Unsynced {
    /// Notes a record of a segment; `first` if it is the first one of a new segment.
    pub(crate) fn segment(&self, number: u32, first: bool, policy: WritePolicy) {
        let Some(mut pending) = self.pending(policy) else { return };
        pending.segments.insert(number);
        if first {
            pending.dirs.insert(Dir::Segments);
        }
    }

    /// Notes names that were made or removed in directories.
    pub(crate) fn dirs(&self, dirs: impl IntoIterator<Item = Dir>, policy: WritePolicy) {
        if let Some(mut pending) = self.pending(policy) {
            pending.dirs.extend(dirs);
        }
    }

    /// Notes the file of a blob whose bytes were not synced.
    pub(crate) fn file(&self, blob: BlobId, file: File, policy: WritePolicy) {
        let Some(mut pending) = self.pending(policy) else { return };
        if pending.files.len() < MAX_FILES {
            pending.files.insert(blob, file);
        } else {
            pending.overflow = true;
        }
    }

    /// Lets go of a blob that is removed: an open file keeps its space.
    pub(crate) fn forget(&self, blob: BlobId) {
        let _closed = lock(&self.lazy).files.remove(&blob);
    }

    /// Notes a write of the index that was not synced.
    pub(crate) fn index_written(&self) {
        self.index.store(true, Ordering::Relaxed);
    }

    /// Whether the index has to be synced; it counts as synced from now on.
    pub(crate) fn take_index(&self) -> bool {
        self.index.swap(false, Ordering::Relaxed)
    }

    /// Syncs what a commit that is about to be acknowledged relies on.
    pub(crate) fn sync_urgent(&self, files: &Files, segments: &Segments) -> Result<(), StoreError> {
        self.sync(&self.urgent, files, segments)
    }

    /// Syncs all that was written before.
    pub(crate) fn sync_all(&self, files: &Files, segments: &Segments) -> Result<(), StoreError> {
        self.sync(&self.urgent, files, segments)?;
        self.sync(&self.lazy, files, segments)
    }

    /// Whether anything was written that no policy brings to the disk; asks once.
    pub(crate) fn take_unpromised(&self) -> bool {
        self.unpromised.swap(false, Ordering::Relaxed)
    }

    /// Calls that brought something to the disk so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(crate) fn count_sync(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    fn pending(&self, policy: WritePolicy) -> Option<MutexGuard<'_, Pending>> {
        let pending = match policy {
            WritePolicy::Immediate => &self.urgent,
            WritePolicy::Delayed => &self.lazy,
            WritePolicy::Never => {
                self.unpromised.store(true, Ordering::Relaxed);
                return None;
            }
        };
        Some(lock(pending))
    }

    fn sync(
        &self,
        which: &Mutex<Pending>,
        files: &Files,
        segments: &Segments,
    ) -> Result<(), StoreError> {
        let taken = std::mem::take(&mut *lock(which));
        if taken.is_empty() {
            return Ok(());
        }
        let synced = self.sync_pending(&taken, files, segments);
        if synced.is_err() {
            lock(which).add(taken);
        }
        synced
    }

    fn sync_pending(
        &self,
        pending: &Pending,
        files: &Files,
        segments: &Segments,
    ) -> Result<(), StoreError> {
        if pending.overflow {
            self.count_sync();
            return files.sync_file_system();
        }
        for file in pending.files.values() {
            self.count_sync();
            file.sync_data().map_err(|source| StoreError::io(files.mountpath(), "sync", source))?;
        }
        for number in &pending.segments {
            self.count_sync();
            segments.sync_one(*number)?;
        }
        // Names last: a name without its bytes is worse than bytes without a name.
        for dir in &pending.dirs {
            self.count_sync();
            files.sync_dir(*dir)?;
        }
        Ok(())
    }
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_no_bucket_have_the_strictest_policy() {
        let policies = Policies::new(WritePolicy::Never);
        assert_eq!(policies.of(7), WritePolicy::Never);
        assert_eq!(policies.of(RESERVED_BID), WritePolicy::Never);
        policies.set([(7, WritePolicy::Immediate), (8, WritePolicy::Delayed)].into());
        let of_key = |bid| policies.of_key(&codec::key(bid, "name"));
        assert_eq!(of_key(7), WritePolicy::Immediate);
        assert_eq!(of_key(8), WritePolicy::Delayed);
        assert_eq!(of_key(9), WritePolicy::Never);
        assert_eq!(of_key(RESERVED_BID), WritePolicy::Immediate);
        policies.set([(8, WritePolicy::Delayed)].into());
        assert_eq!(policies.of(RESERVED_BID), WritePolicy::Delayed);
    }
}
