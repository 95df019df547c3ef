//! Changes of the index of one mountpath, and when they and the blobs that they name reach the disk.

use std::fs::File;
use std::sync::atomic::Ordering;

use aistore_core::config::WritePolicy;

use super::Mountpath;
use crate::doubts;
use crate::durability::Promise;
use crate::error::StoreError;
use crate::identity::RunState;
use crate::index::Change;
use crate::meta::BlobId;

impl Mountpath {
    /// Whether a commit failed, or something did not reach the disk.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.unsynced.has_failed()
    }

    /// Refuses changes after a failed commit.
    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            let reason = "an earlier write failed; mend the disk, then disable and enable the mountpath or restart the node".to_owned();
            return Err(StoreError::Index { path: self.files.path("index"), reason });
        }
        Ok(())
    }

    /// Applies one change; on return it is as durable as the policy of its bucket says, and so are the blobs
    /// that were published before on this mountpath. After an error it is unknown until a restart whether the
    /// change took place.
    pub(crate) fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.commit_all(vec![change])
    }

    /// Applies many changes at once; otherwise as [`commit`](Self::commit).
    pub(crate) fn commit_all(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let immediate = |key: &[u8]| self.policies.of_key(key) == WritePolicy::Immediate;
        let sync = changes.iter().filter_map(Change::key).any(immediate);
        self.commit_group(changes, sync)
    }

    /// As [`commit_all`](Self::commit_all), whatever the policy of the bucket: the caller ends with
    /// [`sync_changes_of`](Self::sync_changes_of).
    pub(crate) fn commit_unsynced(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.commit_group(changes, false)
    }

    /// As [`commit_all`](Self::commit_all), whatever the policy of the bucket: on return it is on the disk.
    pub(crate) fn commit_durably(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.commit_group(changes, true)
    }

    /// Brings all changes so far to the disk, if that is the policy of the bucket of this key.
    pub(crate) fn sync_changes_of(&self, key: &[u8]) -> Result<(), StoreError> {
        match self.policies.of_key(key) {
            WritePolicy::Immediate => self.commit_group(Vec::new(), true),
            WritePolicy::Delayed | WritePolicy::Never => Ok(()),
        }
    }

    fn commit_group(&self, changes: Vec<Change>, sync: bool) -> Result<(), StoreError> {
        let committed = self.committer.commit(changes, sync, |changes, sync| {
            // A failed sync may not be tried again: the system forgets what it could not write. And where it
            // did, what is written now may go the same way.
            self.check_writable()?;
            if sync {
                self.unsynced.sync_urgent(&self.files, &self.segments)?;
            }
            self.apply(changes, sync)
        });
        committed.inspect_err(|error| self.note_failure(error))
    }

    fn apply(&self, changes: Vec<Change>, sync: bool) -> Result<(), StoreError> {
        if !(sync || changes.is_empty() && self.locations.is_settled()) {
            self.note_unsynced()?;
        }
        let delta = self.tally.weigh(&self.index, &changes);
        let applied = self.locations.apply(&self.index, changes, sync)?;
        self.tally.add(&delta);
        match (applied, sync) {
            (true, false) => self.unsynced.index_written(),
            // The journal is one: what was written before is on the disk with it.
            (true, true) => self.unsynced.index_synced(),
            (false, true) => self.unsynced.sync_index(|| self.index.sync())?,
            (false, false) => {}
        }
        Ok(())
    }

    /// Brings everything that was written so far to the disk, but for what belongs to buckets whose policy is
    /// never to.
    pub(crate) fn write_back(&self) -> Result<(), StoreError> {
        self.check_writable()?;
        self.segments.settle_lists();
        let written = self.unsynced.sync_all(self.ids.last(), &self.files, &self.segments);
        let synced = written.inspect_err(|error| self.note_failure(error))?;
        let written = self.unsynced.sync_index(|| self.index.sync());
        written.inspect_err(|error| self.note_failure(error))?;
        self.note_synced(synced);
        Ok(())
    }

    /// Brings the records of these segments to the disk, names included, whatever the policies: something is to
    /// count there that was on the disk elsewhere.
    pub(crate) fn settle_records(
        &self,
        segments: impl IntoIterator<Item = u32>,
    ) -> Result<(), StoreError> {
        for number in segments {
            self.unsynced.segment(number, None, Promise::immediate());
        }
        let synced = self.unsynced.sync_urgent(&self.files, &self.segments);
        synced.inspect_err(|error| self.note_failure(error))
    }

    /// Brings all entries and locations to the disk, whatever the policies.
    pub(crate) fn settle_index(&self) -> Result<(), StoreError> {
        self.index.sync().inspect_err(|error| self.note_failure(error))
    }

    /// On return the blobs of a bucket published so far are as durable as its policy says.
    pub(crate) fn settle_blobs(&self, bid: u64) -> Result<(), StoreError> {
        // Somebody may be at it, so not even nothing to do means that it is done.
        let sync = self.policies.of(bid) == WritePolicy::Immediate;
        if !sync && self.locations.is_settled() {
            return self.check_writable();
        }
        self.commit_group(Vec::new(), sync)
    }

    /// Notes that a blob under this promise may be named before it is on the disk: the first one of a run waits
    /// until that is on the disk.
    pub(crate) fn note_loose(&self, promise: Promise) -> Result<(), StoreError> {
        if promise.is_immediate() || self.loose.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut run = self.run();
        if run.loose.is_none() {
            let noted = RunState { loose: Some(self.first_of_run.0), ..run.clone() };
            noted.write(&self.files)?;
            *run = noted;
        }
        self.loose.store(true, Ordering::Release);
        Ok(())
    }

    /// Notes that the index may have changes that are not on the disk: the first one of a run waits until that is.
    fn note_unsynced(&self) -> Result<(), StoreError> {
        if self.index_loose.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut run = self.run();
        if !run.unsynced {
            let noted = RunState { unsynced: true, ..run.clone() };
            noted.write(&self.files)?;
            *run = noted;
        }
        self.index_loose.store(true, Ordering::Release);
        Ok(())
    }

    /// Syncs a blob in a file of its own that came too late for a write-back.
    pub(crate) fn sync_late(&self, file: &File) -> Result<(), StoreError> {
        self.unsynced.count_sync();
        let synced = file.sync_data();
        let synced = synced.map_err(|source| StoreError::io(self.path(), "sync", source));
        synced.inspect_err(|error| self.note_failure(error))
    }

    fn note_synced(&self, upto: BlobId) {
        let loose = self.loose.load(Ordering::Relaxed);
        if loose && self.synced.fetch_max(upto.0, Ordering::Relaxed) < upto.0 {
            doubts::write_synced(&self.files, upto);
        }
    }

    /// Notes that an index which was rebuilt is compared with those of the other mountpaths. It is on the disk then, as is
    /// what the comparison removed.
    pub(crate) fn end_rebuild(&self) -> Result<(), StoreError> {
        self.index.mark_complete().inspect_err(|error| self.note_failure(error))?;
        self.rebuilt.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that every blob was compared with what it should be.
    pub(crate) fn end_doubts(&self) -> Result<(), StoreError> {
        if self.doubts.end() {
            let mut run = self.run();
            run.doubt = None;
            run.write(&self.files)?;
        }
        Ok(())
    }

    /// Notes that the file of a blob did not reach the disk. One for which there is no room goes, and nothing else is
    /// concerned.
    pub(crate) fn note_failed_sync(&self, error: &StoreError) {
        if !matches!(error, StoreError::NoSpace { .. }) {
            self.note_failure(error);
        }
    }

    /// Notes that something was not written, or not brought to the disk: no more changes.
    pub(crate) fn note_failure(&self, error: &StoreError) {
        tracing::error!(mountpath = %self.path().display(), %error, "a write failed: no more changes until the mountpath is opened anew");
        self.failed.store(true, Ordering::Relaxed);
        self.unswept.store(true, Ordering::Relaxed);
        self.tally.spoil();
    }
}
