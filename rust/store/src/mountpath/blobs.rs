//! The blobs of one mountpath, wherever they lie: in segments or in files of their own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Mountpath;
use crate::durability::Promise;
use crate::error::StoreError;
use crate::meta::BlobId;
use crate::scrub;
use crate::segments::{HEADER_BYTES, Header, Location};
use crate::stored::Stored;

/// How often a blob is looked for that a compaction moves meanwhile; each move takes seconds.
const OPEN_ATTEMPTS: usize = 16;

impl Mountpath {
    /// Appends a small blob to a segment. It is there for good with the next commit on this
    /// mountpath: that of the entry which names it. Where the entry goes to another one, call
    /// [`settle_blobs`](Self::settle_blobs) before.
    pub(crate) fn append_blob(
        &self,
        (promise, blob): (Promise, BlobId),
        payload: &[u8],
        trailer: &[u8],
    ) -> Result<(), StoreError> {
        let mut late = None;
        self.segments.append(blob, payload, trailer, |at| {
            self.locations.place(blob, at);
            late = self.unsynced.segment(at.segment, Some(blob), promise).then_some(at.segment);
            self.tally.record(at, 1);
        })?;
        late.map_or(Ok(()), |segment| self.settle_records([segment]))
    }

    /// Opens a blob to read it; `None` when it does not exist, or was lost with the power. With `keep`, one in a file of
    /// its own stays open.
    pub(crate) fn open_blob(&self, blob: BlobId, keep: bool) -> Result<Option<Stored>, StoreError> {
        if let Some(file) = self.descriptors.get(blob) {
            return Ok(Some(Stored::whole(file)));
        }
        if self.doubts.concern(blob) && !self.is_sound(blob)? {
            return Ok(None);
        }
        self.find_blob(blob, keep)
    }

    /// Compares a blob that is in doubt. One that the disk does not give is left to who reads it.
    fn is_sound(&self, blob: BlobId) -> Result<bool, StoreError> {
        let sound = scrub::is_sound(self, blob)?;
        if sound {
            self.doubts.dispel(blob);
        }
        Ok(sound)
    }

    /// As [`open_blob`](Self::open_blob), whatever became of its bytes.
    pub(crate) fn find_blob(&self, blob: BlobId, keep: bool) -> Result<Option<Stored>, StoreError> {
        for _ in 0..OPEN_ATTEMPTS {
            let Some(at) = self.locations.get(&self.index, blob)? else { break };
            if let Some(file) = self.segments.file(at.segment)? {
                let failed =
                    |source| StoreError::io(&self.segments.path(at.segment), "read", source);
                if !is_record_of(&file, blob, at).map_err(failed)? {
                    // Lost with a disk that lost power, or damaged. Not the bytes of another one.
                    tracing::error!(mountpath = %self.path().display(), %blob, ?at, "a record is lost");
                    return Ok(None);
                }
                let start = u64::from(at.offset) + HEADER_BYTES as u64;
                return Ok(Some(Stored::record(file, start, u64::from(at.length))));
            }
            // Moved since the lookup, by a compaction.
        }
        let Some(file) = self.files.open_blob(blob)? else { return Ok(None) };
        step!("blob: opened");
        let file = Arc::new(file);
        if keep {
            self.descriptors.keep(blob, &file, || self.files.has_blob(blob));
        }
        Ok(Some(Stored::whole(file)))
    }

    /// Whether a blob is there.
    pub(crate) fn has_blob(&self, blob: BlobId) -> Result<bool, StoreError> {
        if self.locations.get(&self.index, blob)?.is_some() {
            return Ok(true);
        }
        self.files.has_blob(blob)
    }

    /// Sets a damaged blob aside.
    pub(crate) fn quarantine(&self, blob: BlobId, reason: &str) -> Result<(), StoreError> {
        if self.locations.get(&self.index, blob)?.is_none() {
            let path = self.files.blob_path(blob);
            return self.descriptors.remove(blob, || self.files.quarantine(&path, reason));
        }
        let Some(stored) = self.find_blob(blob, false)? else { return Ok(()) };
        let failed = |source| StoreError::io(self.path(), "set a blob aside on", source);
        let mut bytes = vec![0; usize::try_from(stored.length().map_err(failed)?).unwrap_or(0)];
        stored.read_exact_at(&mut bytes, 0).map_err(failed)?;
        self.files.quarantine_bytes(blob, &bytes, reason)?;
        self.discard(blob);
        Ok(())
    }

    /// Copies a damaged blob to where such are set aside, and leaves it where it is; `false` when there is none.
    pub(crate) fn copy_to_quarantine(
        &self,
        blob: BlobId,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let Some(at) = self.locations.get(&self.index, blob)? else {
            return self.files.link_to_quarantine(blob, reason);
        };
        let Some(file) = self.segments.file(at.segment)? else { return Ok(false) };
        let mut bytes = vec![0; at.length as usize];
        file.read_exact_at(&mut bytes, u64::from(at.offset) + HEADER_BYTES as u64)
            .map_err(|source| StoreError::io(self.path(), "set a blob aside on", source))?;
        self.files.quarantine_bytes(blob, &bytes, reason)?;
        Ok(true)
    }

    /// Where a blob is that cannot be found, for messages.
    pub(crate) fn whereabouts(&self, blob: BlobId) -> String {
        let path = self.files.blob_path(blob);
        match self.files.set_aside(blob) {
            Some(aside) => {
                format!("it was damaged, and what is left of it is {}", aside.display())
            }
            None if self.doubts.concern(blob) => {
                format!("{} did not reach the disk before the power was lost", path.display())
            }
            None => format!("{} is missing", path.display()),
        }
    }

    /// Removes a blob that the index no longer refers to.
    pub(crate) fn discard(&self, blob: BlobId) {
        self.discard_and(blob, |at| self.segments.mark_dead(at));
    }

    /// As [`discard`](Self::discard), of a blob that an earlier run may have discarded already: a crash may
    /// have kept from the index that it lies in no segment any more.
    pub(crate) fn discard_orphan(&self, blob: BlobId) {
        self.discard_and(blob, |at| {
            if let Err(error) = self.segments.mark_lost(&[at]) {
                tracing::warn!(path = %self.path().display(), %error, "cannot note a dead record");
            }
        });
    }

    fn discard_and(&self, blob: BlobId, mark_dead: impl FnOnce(Location)) {
        self.unsynced.forget(blob);
        step!("discard: about to begin");
        let removed = match self.locations.take(&self.index, blob) {
            Ok(Some(at)) => {
                self.tally.record(at, -1);
                let known = self.is_there(blob, at);
                if known.as_ref().is_ok_and(|there| *there) {
                    mark_dead(at);
                }
                if let Err(error) = &known {
                    tracing::warn!(%blob, %error, "cannot look at a dead record: the next start does");
                }
                // Many at once, as when a bucket goes, must not pile up; a failure is noted there.
                let kept_up = !self.locations.is_crowded() || self.commit_all(Vec::new()).is_ok();
                known.is_ok() && kept_up
            }
            Ok(None) => self.descriptors.remove(blob, || self.files.remove_blob(blob)),
            Err(error) => {
                tracing::warn!(path = %self.path().display(), %error, "cannot look for a blob");
                false
            }
        };
        if !removed {
            self.unswept.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the record of a blob lies there.
    fn is_there(&self, blob: BlobId, at: Location) -> Result<bool, StoreError> {
        let Some(file) = self.segments.file(at.segment)? else { return Ok(false) };
        is_record_of(&file, blob, at)
            .map_err(|source| StoreError::io(&self.segments.path(at.segment), "read", source))
    }
}

/// Whether the record of a blob lies where the index says. After loss of power another one may.
fn is_record_of(file: &File, blob: BlobId, at: Location) -> io::Result<bool> {
    let mut head = [0; HEADER_BYTES];
    match file.read_exact_at(&mut head, u64::from(at.offset)) {
        Ok(()) => Ok(Header::claims(&head) == (blob, at.length)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
