//! One mountpath: its lock, files, index and ids, from opening to closing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use aistore_core::config::WritePolicy;
use aistore_core::placement;
use rustix::fs::FlockOperation;

use crate::codec;
use crate::commit::Committer;
use crate::config::Limits;
use crate::descriptors::Descriptors;
use crate::doubts::{self, Doubts, Past};
use crate::durability::{Policies, Promise, Unsynced};
use crate::error::StoreError;
use crate::faults::Counts;
use crate::files::Files;
use crate::identity::{Format, RunState};
use crate::ids::{BlobIds, CEILING_STEP, now_ns};
use crate::index::{Change, Index, OpenFailure};
use crate::locations::Locations;
use crate::meta::{BlobId, ObjectMeta, Role};
use crate::rebuild;
use crate::scrub;
use crate::segments::{HEADER_BYTES, Header, Location, Segments};
use crate::space::{Space, Watermark};
use crate::stored::Stored;
use crate::sync::{Mutex, MutexGuard};
use crate::tally::{Saved, Tally};

/// Its presence asks the next start to rebuild the index.
const REBUILD_MARKER: &str = "rebuild";
/// How often a blob is looked for that a compaction moves meanwhile; each move takes seconds.
const OPEN_ATTEMPTS: usize = 16;

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

/// Holds a mountpath. Given up on drop explicitly: a process that is being started just then shares the file
/// for a moment, and closing it here would leave the lock there.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = rustix::fs::flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%error, "a mountpath cannot be unlocked");
        }
    }
}

/// A mountpath that is locked and whose identity is known; the index is not open yet.
pub(crate) struct Claimed {
    files: Files,
    pub(crate) format: Format,
    /// Whether the mountpath was used for the first time.
    pub(crate) fresh: bool,
    run: Option<RunState>,
    lock: Lock,
}

impl Claimed {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let files = Files::open(path)?;
        let lock_path = files.path("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| StoreError::io(&lock_path, "open", source))?;
        let lock = match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Lock(lock),
            Err(rustix::io::Errno::AGAIN) => {
                return Err(StoreError::Locked { path: path.to_owned() });
            }
            Err(source) => return Err(StoreError::io(&lock_path, "lock", source)),
        };
        let (format, fresh) = Format::open(&files)?;
        let run = RunState::read(&files)?;
        Ok(Self { files, format, fresh, run, lock })
    }

    /// Whether objects may lie elsewhere than placement over `peers` says.
    pub(crate) fn scattered(&self, peers: &BTreeSet<String>) -> bool {
        match &self.run {
            Some(run) => run.scattered || run.peers != *peers,
            None => !self.fresh,
        }
    }
}

impl Mountpath {
    /// Cleans up after the last run and opens the index, rebuilding it where needed.
    pub(crate) fn open(
        claimed: Claimed,
        peers: &BTreeSet<String>,
        scattered: bool,
        limits: Limits,
        rules: (Watermark, Policies),
    ) -> Result<Self, StoreError> {
        let settled = claimed.run.as_ref().filter(|run| run.clean);
        let settled = settled.and_then(|run| run.settled.clone());
        let index = |files: &Files, segments: &Segments| {
            if let Some(settled) = settled {
                Index::empty_journals(&files.path("index"), &settled);
                step!("open: journals emptied");
            }
            open_index(files, segments, limits.cache_bytes)
        };
        Self::open_with(claimed, peers, scattered, limits, rules, index)
    }

    /// As [`open`](Self::open), with what opens the index and says whether, and up to which blob, it was rebuilt.
    pub(crate) fn open_with(
        claimed: Claimed,
        peers: &BTreeSet<String>,
        scattered: bool,
        limits: Limits,
        (watermark, policies): (Watermark, Policies),
        index: impl FnOnce(&Files, &Segments) -> Result<(Index, Option<BlobId>), StoreError>,
    ) -> Result<Self, StoreError> {
        let Claimed { files, format, fresh, run, lock } = claimed;
        let torn = files.empty_tmp()?;
        step!("open: unfinished uploads removed");
        if torn > 0 {
            tracing::info!(mountpath = %files.mountpath().display(), torn, "unfinished uploads removed");
        }
        let clean = run.as_ref().is_some_and(|run| run.clean);
        let unsynced = Unsynced::new(policies.clone());
        if run.is_some() && !clean {
            unsynced.note_interrupted();
        }
        let segments = Segments::open(files.path("segments"), clean, limits)?;
        let (index, rebuilt) = index(&files, &segments)?;
        step!("open: index opened");
        // The stored bound is missing or a crash may have lost it: look at the blobs themselves.
        let greatest = match (&run, &rebuilt) {
            (_, Some(greatest)) => *greatest,
            (Some(_), None) => BlobId(0),
            (None, None) => rebuild::greatest_blob(&files, &segments)?,
        };
        if !clean && !segments.is_numbered() {
            // A number that the index knows must not be given to another segment.
            for entry in index.locations() {
                segments.pass_over(entry?.1.segment);
            }
        }
        let last = greatest.0.max(run.as_ref().map_or(0, |run| run.id_ceiling)).max(now_ns());
        let boot = doubts::boot();
        let synced = doubts::read_synced(&files);
        let past = match &run {
            None if fresh => Past::default(),
            run => Past::of(run.as_ref(), &boot, synced, last),
        };
        if past.doubt.is_some() {
            tracing::warn!(mountpath = %files.mountpath().display(),
                "what was written last may have been lost with the power: it is compared before it is read");
        }
        let saved = run.and_then(|run| run.stored).filter(|_| clean && rebuilt.is_none());
        let tally = Tally::start(&index, saved.as_ref());
        match &saved {
            Some(saved) => files.count.restore(saved.files),
            None => files.count.begin(BlobId(last)),
        }
        let run = RunState {
            clean: false,
            id_ceiling: last.saturating_add(CEILING_STEP),
            peers: peers.clone(),
            scattered,
            boot,
            loose: past.loose,
            doubt: past.doubt,
            stored: None,
            settled: None,
        };
        // With it the names of the directories reach the disk; and after loss of power nobody takes this run for
        // one that ended in order.
        run.write(&files)?;
        step!("open: run noted");
        Ok(Self {
            space: Space::new(watermark),
            faults: Counts::start(files.mountpath()),
            index,
            tally,
            segments,
            locations: Locations::default(),
            descriptors: Descriptors::new(limits.descriptors),
            max_record_bytes: limits.max_record_bytes,
            digest: placement::digest(&format.uuid),
            uuid: format.uuid,
            interrupted: !clean || rebuilt.is_some(),
            first_of_run: BlobId(last),
            policies,
            unsynced,
            committer: Committer::default(),
            ids: BlobIds::new(BlobId(last), run.id_ceiling),
            loose: AtomicBool::new(run.loose.is_some()),
            synced: AtomicU64::new(synced),
            doubts: Doubts::new(run.doubt),
            run: Mutex::new(run),
            failed: AtomicBool::new(false),
            unswept: AtomicBool::new(!clean || rebuilt.is_some()),
            swept: AtomicBool::new(clean && rebuilt.is_none()),
            rebuilt: AtomicBool::new(rebuilt.is_some()),
            files,
            _lock: lock,
        })
    }

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

    /// Whether a commit failed, or something did not reach the disk.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.unsynced.has_failed()
    }

    /// Refuses changes after a failed commit.
    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Relaxed) {
            let reason = "an earlier write failed; mend the disk and restart the node".to_owned();
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

    /// Notes that every blob was compared with what it should be.
    pub(crate) fn end_doubts(&self) -> Result<(), StoreError> {
        if self.doubts.end() {
            let mut run = self.run();
            run.doubt = None;
            run.write(&self.files)?;
        }
        Ok(())
    }

    fn run(&self) -> MutexGuard<'_, RunState> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Whether the record of a blob lies where the index says. After loss of power another one may.
fn is_record_of(file: &File, blob: BlobId, at: Location) -> io::Result<bool> {
    let mut head = [0; HEADER_BYTES];
    match file.read_exact_at(&mut head, u64::from(at.offset)) {
        Ok(()) => Ok(Header::claims(&head) == (blob, at.length)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens the index; when it had to be rebuilt, also returns the greatest blob id found.
fn open_index(
    files: &Files,
    segments: &Segments,
    cache_bytes: u64,
) -> Result<(Index, Option<BlobId>), StoreError> {
    let (path, marker) = (files.path("index"), files.path(REBUILD_MARKER));
    let asked = marker.exists();
    let existed = path.exists();
    let mut empty = None;
    if asked {
        set_aside(files, &path, "a rebuild was asked for")?;
    } else {
        match Index::open(&path, cache_bytes) {
            Ok(index) if index.is_complete()? => return Ok((index, None)),
            Ok(index) if !existed => empty = Some(index),
            // Nobody ever used it, so there is nothing in it to look at.
            Ok(index) => {
                drop(index);
                tracing::warn!(path = %path.display(), "the index is unfinished and built anew");
                fs::remove_dir_all(&path)
                    .map_err(|source| StoreError::io(&path, "remove", source))?;
            }
            Err(OpenFailure::Damaged(reason)) => set_aside(files, &path, &reason)?,
            Err(OpenFailure::Failed(error)) => return Err(error),
        }
    }
    let index = match empty.map_or_else(|| Index::open(&path, cache_bytes), Ok) {
        Ok(index) => index,
        Err(OpenFailure::Damaged(reason)) => return Err(StoreError::Index { path, reason }),
        Err(OpenFailure::Failed(error)) => return Err(error),
    };
    let greatest = rebuild::rebuild(files, segments, &index)?;
    step!("rebuild: index filled");
    index.mark_complete()?;
    step!("rebuild: index complete");
    if asked {
        fs::remove_file(&marker).map_err(|source| StoreError::io(&marker, "remove", source))?;
    }
    Ok((index, Some(greatest)))
}

/// Moves a damaged index away, in place of the one set aside before it.
fn set_aside(files: &Files, path: &Path, reason: &str) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), reason, "the index is set aside and rebuilt from the blobs");
    let aside: PathBuf = files.path("index.damaged");
    let remove = if aside.is_dir() { fs::remove_dir_all(&aside) } else { Ok(()) };
    remove.map_err(|source| StoreError::io(&aside, "remove", source))?;
    step!("rebuild: place for the old index made");
    fs::rename(path, &aside).map_err(|source| StoreError::io(path, "set aside", source))
}

/// Mountpaths as shared by the store, its writers and its sweepers.
pub(crate) type SharedMountpath = Arc<Mountpath>;
