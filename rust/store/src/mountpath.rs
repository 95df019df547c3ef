//! One mountpath: its lock, files, index and ids, from opening to closing.

mod blobs;
mod claim;
mod commits;
mod opening;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

pub(crate) use claim::Claimed;
use claim::Lock;
#[cfg(test)]
pub(crate) use opening::Built;

use crate::codec;
use crate::commit::Committer;
use crate::descriptors::Descriptors;
use crate::doubts::Doubts;
use crate::durability::{Policies, Unsynced};
use crate::error::StoreError;
use crate::faults::Counts;
use crate::files::Files;
use crate::identity::RunState;
use crate::ids::BlobIds;
use crate::index::Index;
use crate::locations::Locations;
use crate::meta::{BlobId, ObjectMeta, Role};
use crate::segments::Segments;
use crate::space::Space;
use crate::sync::{Mutex, MutexGuard};
use crate::tally::{Saved, Tally};

/// Its presence asks the next start to rebuild the index.
const REBUILD_MARKER: &str = "rebuild";

#[derive(Debug)]
pub(crate) struct Mountpath {
    pub(crate) files: Files,
    pub(crate) index: Index,
    /// How much is stored.
    pub(crate) tally: Tally,
    pub(crate) segments: Segments,
    pub(crate) locations: Locations,
    pub(crate) descriptors: Descriptors,
    pub(crate) space: Space,
    /// How often the disk failed.
    pub(crate) faults: Arc<Counts>,
    pub(crate) digest: u64,
    /// Payload and trailer of the largest blob that goes into a segment.
    pub(crate) max_record_bytes: u64,
    /// Identity, as written in its marker.
    pub(crate) uuid: String,
    /// Whether the last run over it did not end in order, or its index was rebuilt: what it knows of copies
    /// may be out of date.
    pub(crate) interrupted: bool,
    /// Greatest id that an earlier run may have given out.
    pub(crate) first_of_run: BlobId,
    /// How durable what belongs to a bucket is to be.
    pub(crate) policies: Policies,
    pub(crate) unsynced: Unsynced,
    committer: Committer,
    ids: BlobIds,
    run: Mutex<RunState>,
    /// Whether blobs may be named before they are on the disk.
    loose: AtomicBool,
    /// Whether the index may have changes that are not.
    index_loose: AtomicBool,
    /// Up to which blob all were brought to the disk, as far as that was noted.
    synced: AtomicU64,
    /// Blobs to be compared before they are read.
    pub(crate) doubts: Doubts,
    /// Set when a commit failed: what the index holds is then known only after a restart.
    failed: AtomicBool,
    /// Whether blobs may exist that nothing refers to.
    pub(crate) unswept: AtomicBool,
    /// Whether the index is known to name all that lives: only then may be removed what it does not name.
    pub(crate) swept: AtomicBool,
    /// Whether the index was rebuilt and not compared with those of the other mountpaths yet.
    pub(crate) rebuilt: AtomicBool,
    // Last, so that the lock is given up when all else is closed.
    _lock: Lock,
}

impl Mountpath {
    /// The mountpath, as configured.
    pub(crate) fn path(&self) -> &Arc<Path> {
        self.files.mountpath()
    }

    /// Metadata of the object under `key`; `None` when there is none, or only a copy.
    pub(crate) fn lookup(&self, key: &[u8]) -> Result<Option<ObjectMeta>, StoreError> {
        let entry = self.entry(key)?;
        Ok(entry.filter(|(role, _)| *role == Role::Object).map(|(_, meta)| meta))
    }

    /// The entry under `key`, whatever its role.
    pub(crate) fn entry(&self, key: &[u8]) -> Result<Option<(Role, ObjectMeta)>, StoreError> {
        let Some(value) = self.index.get(key)? else { return Ok(None) };
        match codec::decode_entry(&value) {
            Some(entry) => Ok(Some(entry)),
            None => Err(self.damaged_entry()),
        }
    }

    /// Leaves it to the next start to look for blobs that nothing refers to.
    pub(crate) fn leave_unswept(&self) {
        self.unswept.store(true, Ordering::Relaxed);
    }

    /// Records which mountpaths belong together, and whether objects lie where they belong.
    pub(crate) fn note_peers(
        &self,
        peers: &BTreeSet<String>,
        scattered: bool,
    ) -> Result<(), StoreError> {
        let mut run = self.run();
        run.peers.clone_from(peers);
        run.scattered = scattered;
        run.write(&self.files)
    }

    pub(crate) fn damaged_entry(&self) -> StoreError {
        let reason = "an entry cannot be decoded; restart the node to rebuild the index".to_owned();
        self.request_rebuild();
        StoreError::Corrupt { path: self.files.path("index"), reason }
    }

    /// The id of the next blob, greater than `above`: the id of the version that it supersedes, which may
    /// lie on another mountpath.
    pub(crate) fn next_id(&self, above: BlobId) -> Result<BlobId, StoreError> {
        self.ids.next(above, |ceiling| {
            let mut run = self.run();
            run.id_ceiling = ceiling;
            run.write(&self.files)
        })
    }

    /// Lets all of these mountpaths give out only ids that are greater than those of each: of two versions of
    /// an object, made while one mountpath or the other was away, the later one is then the newer one.
    pub(crate) fn align_ids<'m>(mountpaths: impl Iterator<Item = &'m SharedMountpath> + Clone) {
        let last = mountpaths.clone().map(|one| one.ids.last()).max().unwrap_or_default();
        mountpaths.for_each(|one| one.ids.raise(last));
    }

    fn run(&self) -> MutexGuard<'_, RunState> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the next start to rebuild the index.
    pub(crate) fn request_rebuild(&self) {
        let marker = self.files.path(REBUILD_MARKER);
        if let Err(error) = File::create(&marker) {
            tracing::error!(path = %marker.display(), %error, "cannot leave the rebuild marker");
        }
    }

    /// Flushes the index and records that this run ended in order.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.tally.stop.store(true, Ordering::Relaxed);
        self.commit_all(Vec::new())?;
        self.unsynced.sync_all(self.ids.last(), &self.files, &self.segments)?;
        self.segments.sync()?;
        if self.unsynced.take_unpromised() {
            self.files.sync_file_system()?;
        }
        step!("close: segments on the disk");
        self.index.sync()?;
        let settled = self.index.settle();
        step!("close: index settled");
        let mut run = self.run();
        // What is still unswept stays so: the next start then sweeps again.
        let failed = self.has_failed();
        let swept = !self.unswept.load(Ordering::Relaxed) && self.segments.settle_lists();
        run.clean = !failed && swept;
        step!("close: about to be noted");
        if run.clean {
            run.loose = None;
            run.unsynced = false;
        }
        run.id_ceiling = self.ids.last().0;
        run.stored = self.is_counted().then(|| self.stored());
        run.settled = settled;
        run.write(&self.files)
    }

    /// Counts what there was at the start, if nobody knows yet.
    pub(crate) fn count(&self) {
        let files = self.tally.count(self.path()) && !self.files.count.is_complete();
        if files && let Err(error) = self.files.count.walk(&self.files, &self.tally.stop) {
            tracing::error!(mountpath = %self.path().display(), %error, "files cannot be counted");
        }
    }

    /// Whether [`stored`](Self::stored) is exact.
    pub(crate) fn is_counted(&self) -> bool {
        self.tally.is_complete() && self.files.count.is_complete()
    }

    /// How much is stored in entries, records and files.
    pub(crate) fn stored(&self) -> Saved {
        Saved { files: self.files.count.read(), ..self.tally.read() }
    }
}

/// Mountpaths as shared by the store, its writers and its sweepers.
pub(crate) type SharedMountpath = Arc<Mountpath>;
