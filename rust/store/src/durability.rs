//! When what was written is brought to the disk itself, so that it survives loss of power.
//!
//! Each bucket has a [`WritePolicy`]. *Immediate*: before the change is acknowledged; blobs first, then the
//! index entries that name them, and only then goes what they replace. Writers share the calls: whoever leads a
//! group of commits (see `commit`) syncs what all of them wrote. *Delayed*: with the next
//! [`Store::write_back`](crate::Store::write_back). *Never*: when the kernel sees fit.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
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

    /// Names the policies of buckets; the rest keep the one that they have. Returns whether one that was not
    /// immediate is now.
    pub(crate) fn set(&self, named: HashMap<u64, WritePolicy>) -> bool {
        let before = self.0.load_full();
        let other = before.other;
        let strictest = named.values().copied().fold(other, stricter);
        let now = Arc::new(Table { other, named, strictest });
        self.0.store(Arc::clone(&now));
        let immediate = |table: &Table, bid| table.of(bid) == WritePolicy::Immediate;
        let mut known = before.named.keys().chain(now.named.keys()).chain([&RESERVED_BID]);
        known.any(|bid| immediate(&now, *bid) && !immediate(&before, *bid))
    }

    pub(crate) fn of(&self, bid: u64) -> WritePolicy {
        self.0.load().of(bid)
    }

    /// The policy of the bucket that an index key belongs to.
    pub(crate) fn of_key(&self, key: &[u8]) -> WritePolicy {
        self.of(codec::bid_of(key))
    }
}

impl Table {
    fn of(&self, bid: u64) -> WritePolicy {
        if bid == RESERVED_BID {
            // Uploads and intents are of any bucket.
            return self.strictest;
        }
        self.named.get(&bid).copied().unwrap_or(self.other)
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
    /// Held while what is urgent is synced: who finds nothing in the list must not go on while another one, who
    /// took it, is still at it.
    syncing: Mutex<()>,
    /// With the next write-back.
    lazy: Mutex<Pending>,
    /// Held while `lazy` is synced, for the reason of `syncing`; taken after that.
    writing_back: Mutex<()>,
    /// Whether what is lazy has become urgent.
    hastened: AtomicBool,
    /// Whether the index has entries that may be in memory alone. Held while it is synced, for the same reason.
    index: Mutex<bool>,
    /// Segments below this one have their names on the disk.
    named_segments: AtomicU32,
    /// Blob directories that have, a bit each.
    named_shards: [AtomicU64; 4],
    /// Set when a sync failed. The system forgets what it could not write, so that another try would succeed.
    failed: AtomicBool,
    /// Whether something was written that nobody promised to bring to the disk.
    unpromised: AtomicBool,
    /// How often files, directories and the file system were synced.
    syncs: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    segments: BTreeSet<u32>,
    dirs: BTreeSet<Dir>,
    files: HashMap<Held, File>,
    /// Whether there were too many files to keep open.
    overflow: bool,
}

/// What a file that is kept open is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Held {
    Blob(BlobId),
    /// An append session.
    Session(u64),
    /// Its mark.
    Mark(u64),
}

impl Pending {
    fn hold(&mut self, what: Held, file: Option<File>) {
        match file {
            Some(file) if self.files.len() < MAX_FILES || self.files.contains_key(&what) => {
                self.files.insert(what, file);
            }
            _ => self.overflow = true,
        }
    }

    fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.dirs.is_empty() && self.files.is_empty() && !self.overflow
    }
}

impl Unsynced {
    /// Notes a record of a segment.
    pub(crate) fn segment(&self, number: u32, policy: WritePolicy) {
        let Some(mut pending) = self.pending(policy) else { return };
        pending.segments.insert(number);
        // Whoever began the segment may have another policy, or be about to note it.
        if number >= self.named_segments.load(Ordering::Relaxed) {
            pending.dirs.insert(Dir::Segments);
        }
    }

    /// Notes names that were made or removed in directories.
    pub(crate) fn dirs(&self, dirs: impl IntoIterator<Item = Dir>, policy: WritePolicy) {
        let Some(mut pending) = self.pending(policy) else { return };
        for dir in dirs {
            // Whoever made it may have another policy, or be about to note it.
            if let Dir::Shard(number) = dir
                && !self.is_named(number)
            {
                pending.dirs.insert(Dir::Blobs);
            }
            pending.dirs.insert(dir);
        }
    }

    /// Notes the file of a blob whose bytes were not synced; the whole file system where it is not at hand.
    pub(crate) fn file(&self, blob: BlobId, file: Option<File>, policy: WritePolicy) {
        if let Some(mut pending) = self.pending(policy) {
            pending.hold(Held::Blob(blob), file);
        }
    }

    /// Notes an append that was not synced: the file of the session, and its mark.
    pub(crate) fn session(&self, id: u64, file: Option<File>, mark: File, policy: WritePolicy) {
        let Some(mut pending) = self.pending(policy) else { return };
        pending.hold(Held::Session(id), file);
        pending.hold(Held::Mark(id), Some(mark));
        pending.dirs.insert(Dir::Appends);
    }

    /// Leaves it to the next write-back, or to the first change that must be on the disk before, to sync what a run
    /// wrote that did not end in order.
    pub(crate) fn note_interrupted(&self) {
        lock(&self.lazy).overflow = true;
        self.hasten();
    }

    /// Makes the next commit of a bucket whose policy is immediate sync all that was written before: a policy
    /// became stricter, and what is acknowledged under it may rely on anything.
    pub(crate) fn hasten(&self) {
        self.hastened.store(true, Ordering::Relaxed);
    }

    /// Lets go of a blob that is removed: an open file keeps its space.
    pub(crate) fn forget(&self, blob: BlobId) {
        let _closed = lock(&self.lazy).files.remove(&Held::Blob(blob));
    }

    /// Notes a write of the index that was not synced.
    pub(crate) fn index_written(&self) {
        *self.index() = true;
    }

    /// Notes that all writes of the index were synced, by who alone writes.
    pub(crate) fn index_synced(&self) {
        self.count_sync();
        *self.index() = false;
    }

    /// Syncs the index by `sync`, unless that has been done since it was last written.
    pub(crate) fn sync_index(
        &self,
        sync: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut written = self.index();
        if *written {
            self.count_sync();
            sync()?;
            *written = false;
        }
        Ok(())
    }

    /// Fails once a sync has failed.
    fn check(&self, files: &Files) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            let source = std::io::Error::other("an earlier sync failed");
            return Err(StoreError::io(files.mountpath(), "sync", source));
        }
        Ok(())
    }

    /// Syncs what a commit that is about to be acknowledged relies on.
    pub(crate) fn sync_urgent(&self, files: &Files, segments: &Segments) -> Result<(), StoreError> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hastened.swap(false, Ordering::Relaxed) {
            let unpromised = self.take_unpromised();
            lock(&self.lazy).overflow |= unpromised;
            self.sync_lazy(files, segments)?;
        }
        self.sync(&self.urgent, files, segments)
    }

    /// Syncs all that was written before.
    pub(crate) fn sync_all(&self, files: &Files, segments: &Segments) -> Result<(), StoreError> {
        self.sync_urgent(files, segments)?;
        self.sync_lazy(files, segments)
    }

    fn sync_lazy(&self, files: &Files, segments: &Segments) -> Result<(), StoreError> {
        let _alone = self.writing_back.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.check(files)?;
        let taken = std::mem::take(&mut *lock(which));
        if taken.is_empty() {
            return Ok(());
        }
        let synced = self.sync_pending(&taken, files, segments);
        match &synced {
            Ok(()) => self.note_named(&taken),
            Err(_) => self.failed.store(true, Ordering::Relaxed),
        }
        synced
    }

    fn is_named(&self, shard: u8) -> bool {
        let word = self.named_shards.get(usize::from(shard / 64));
        word.is_some_and(|word| word.load(Ordering::Relaxed) >> (shard % 64) & 1 == 1)
    }

    /// Notes whose names were brought to the disk.
    fn note_named(&self, synced: &Pending) {
        if synced.overflow || synced.dirs.contains(&Dir::Segments) {
            let bound = synced.segments.last().map_or(0, |last| last.saturating_add(1));
            self.named_segments.fetch_max(bound, Ordering::Relaxed);
        }
        if synced.overflow || synced.dirs.contains(&Dir::Blobs) {
            for dir in &synced.dirs {
                if let Dir::Shard(number) = dir
                    && let Some(word) = self.named_shards.get(usize::from(number / 64))
                {
                    word.fetch_or(1 << (number % 64), Ordering::Relaxed);
                }
            }
        }
    }

    fn index(&self) -> MutexGuard<'_, bool> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
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
