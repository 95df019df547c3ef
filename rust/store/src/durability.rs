//! When what was written is brought to the disk itself, so that it survives loss of power.
//!
//! Each bucket has a [`WritePolicy`]. *Immediate*: before the change is acknowledged; blobs first, then the
//! index entries that name them, and only then goes what they replace. Writers share the calls: whoever leads a
//! group of commits (see `commit`) syncs what all of them wrote. *Delayed*: with the next
//! [`Store::write_back`](crate::Store::write_back). *Never*: when the kernel sees fit.

mod pending;
mod policies;

use std::fs::File;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use aistore_core::config::WritePolicy;

use crate::error::StoreError;
use crate::files::{Dir, Files};
use crate::meta::BlobId;
use crate::segments::Segments;
use crate::sync::{Mutex, MutexGuard};
use pending::{Held, Lazy, Pending};
pub(crate) use policies::{Policies, Promise};

/// What one mountpath has to bring to the disk.
///
/// Blobs are noted under the policy that their bucket had when they were written, entries are committed under the one
/// that it has then. Where it became stricter in between, the first commit that must be on the disk makes all
/// urgent that was noted before, and what is noted later under an older [`Promise`] is urgent at once.
#[derive(Debug)]
pub(crate) struct Unsynced {
    policies: Policies,
    /// Before the next commit of a bucket whose policy is immediate.
    urgent: Mutex<Pending>,
    /// Held while what is urgent is synced: who finds nothing in the list must not go on while another one, who
    /// took it, is still at it.
    syncing: Mutex<()>,
    /// With the next write-back, or not at all.
    lazy: Mutex<Lazy>,
    /// Held while `lazy` is synced, for the reason of `syncing`; taken after that.
    writing_back: Mutex<()>,
    /// Whether the index has entries that may be in memory alone. Held while it is synced, for the same reason.
    index: Mutex<bool>,
    /// Segments below this one have their names on the disk.
    named_segments: AtomicU32,
    /// Blob directories that have, a bit each.
    named_shards: [AtomicU64; 4],
    /// Set when a sync failed. The system forgets what it could not write, so that another try would succeed.
    failed: AtomicBool,
    /// How often files, directories and the file system were synced.
    syncs: AtomicU64,
}

impl Unsynced {
    pub(crate) fn new(policies: Policies) -> Self {
        Self {
            policies,
            urgent: Mutex::default(),
            syncing: Mutex::default(),
            lazy: Mutex::default(),
            writing_back: Mutex::default(),
            index: Mutex::default(),
            named_segments: AtomicU32::new(0),
            named_shards: Default::default(),
            failed: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
        }
    }

    /// Notes the record of a blob in a segment; `true` when it came too late for the next write-back, and must be
    /// synced before an entry names it. Without a blob: one that was on the disk elsewhere.
    pub(crate) fn segment(&self, number: u32, blob: Option<BlobId>, promise: Promise) -> bool {
        self.note(promise, blob, |pending| {
            pending.segments.insert(number);
            // Whoever began the segment may have another policy, or be about to note it.
            if number >= self.named_segments.load(Ordering::Relaxed) {
                pending.dirs.insert(Dir::Segments);
            }
        })
    }

    /// Notes names that were made or removed in directories.
    pub(crate) fn dirs(&self, dirs: impl IntoIterator<Item = Dir>, promise: Promise) {
        self.note(promise, None, |pending| {
            for dir in dirs {
                // Whoever made it may have another policy, or be about to note it.
                if let Dir::Shard(number) = dir
                    && !self.is_named(number)
                {
                    pending.dirs.insert(Dir::Blobs);
                }
                pending.dirs.insert(dir);
            }
        });
    }

    /// Notes the file of a blob whose bytes were not synced; the whole file system where it is not at hand. `true` as
    /// for [`segment`](Self::segment).
    #[must_use]
    pub(crate) fn file(
        &self,
        blob: BlobId,
        file: impl FnOnce() -> Option<File>,
        promise: Promise,
    ) -> bool {
        self.note(promise, Some(blob), |pending| pending.hold(Held::Blob(blob), file()))
    }

    /// Notes an append that was not synced: the file of the session, and its mark.
    pub(crate) fn session(&self, id: u64, file: Option<File>, mark: File, promise: Promise) {
        self.note(promise, None, |pending| {
            pending.hold(Held::Session(id), file);
            pending.hold(Held::Mark(id), Some(mark));
            pending.dirs.insert(Dir::Appends);
        });
    }

    /// Leaves it to the next write-back, or to the first change that must be on the disk before, to sync what a run
    /// wrote that did not end in order.
    pub(crate) fn note_interrupted(&self) {
        lock(&self.urgent).overflow = true;
    }

    /// Lets go of a blob that is removed: an open file keeps its space.
    pub(crate) fn forget(&self, blob: BlobId) {
        let _closed = lock(&self.lazy).pending.files.remove(&Held::Blob(blob));
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
        if self.has_failed() {
            let source = std::io::Error::other("an earlier sync failed");
            return Err(StoreError::io(files.mountpath(), "sync", source));
        }
        Ok(())
    }

    /// Whether a sync has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Syncs what a commit that is about to be acknowledged relies on.
    pub(crate) fn sync_urgent(&self, files: &Files, segments: &Segments) -> Result<(), StoreError> {
        let _alone = lock(&self.syncing);
        self.hasten();
        self.sync(|| std::mem::take(&mut *lock(&self.urgent)), files, segments)
    }

    /// Syncs all that was written before, but for what nobody promised to. `last` is the greatest id that was given
    /// out; returns up to which one all blobs that entries name are on the disk.
    pub(crate) fn sync_all(
        &self,
        last: BlobId,
        files: &Files,
        segments: &Segments,
    ) -> Result<BlobId, StoreError> {
        let mark = {
            let _alone = lock(&self.writing_back);
            let (taken, mark) = {
                let mut lazy = lock(&self.lazy);
                (lazy.take(last), lazy.mark)
            };
            self.sync(|| taken, files, segments)?;
            mark
        };
        // Last: what was noted as urgent before the mark moved counts too.
        self.sync_urgent(files, segments)?;
        Ok(mark)
    }

    /// Makes urgent all that was written before, if a policy became stricter since that was done: what is
    /// acknowledged under it may rely on anything.
    fn hasten(&self) {
        // The commit that asks was told its policy before, so that this is not older.
        let tightened = self.policies.tightened();
        let mut lazy = lock(&self.lazy);
        if lazy.tightened < tightened {
            lazy.tightened = tightened;
            let taken = lazy.take_all();
            lock(&self.urgent).join(taken);
            drop(lazy);
            // A write-back may be at what it took before.
            drop(lock(&self.writing_back));
        }
    }

    /// Whether anything was written that no policy brings to the disk; asks once.
    pub(crate) fn take_unpromised(&self) -> bool {
        std::mem::take(&mut lock(&self.lazy).unpromised)
    }

    /// Calls that brought something to the disk so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    pub(crate) fn count_sync(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    fn note(
        &self,
        promise: Promise,
        blob: Option<BlobId>,
        note: impl FnOnce(&mut Pending),
    ) -> bool {
        // Held to the end: whoever moves the mark, or makes all urgent, comes before or after.
        let mut lazy = lock(&self.lazy);
        if promise.is_immediate() || promise.tightened < lazy.tightened {
            // The bucket may have become stricter since, and what was noted till then is no longer waited for.
            note(&mut lock(&self.urgent));
        } else if promise.policy == WritePolicy::Never {
            lazy.unpromised = true;
        } else {
            note(&mut lazy.pending);
        }
        blob.is_some_and(|blob| blob <= lazy.mark)
    }

    fn sync(
        &self,
        take: impl FnOnce() -> Pending,
        files: &Files,
        segments: &Segments,
    ) -> Result<(), StoreError> {
        self.check(files)?;
        let taken = take();
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
        lock(&self.index)
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

fn lock<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
