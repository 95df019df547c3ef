//! The store: objects over all mountpaths.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{JoinHandle, ScopedJoinHandle};

use aistore_core::config::WritePolicy;

use crate::appends;
use crate::codec::{self, RESERVED_BID};
use crate::config::{Condition, Limits, MAX_SEGMENT_BYTES, PutOptions, StoreConfig};
use crate::descriptors::MAX_CACHED_BLOB_BYTES;
use crate::durability::Policies;
use crate::error::StoreError;
use crate::faults::Tried;
use crate::heal;
use crate::index::Change;
use crate::intents;
use crate::list::{self, ListChunk, ListQuery};
use crate::manifests;
use crate::meta::{MAX_NAME_BYTES, ObjectMeta, Role};
use crate::mountpath::{Claimed, Mountpath};
use crate::mountpaths::{self, Admin};
use crate::payload::{Opened, Payload};
use crate::reader::ObjectReader;
use crate::set::MountpathSet;
use crate::shared::Shared;
use crate::space::Watermark;
use crate::survey::Survey;
use crate::sweep;
use crate::sync::Mutex;
use crate::usage::{self, MountpathStored, MountpathUsage};
use crate::writer::ObjectWriter;

/// How often a lookup is repeated when the blob found was replaced before it could be opened. Each
/// repetition means that another put of the same name completed in between.
const OPEN_ATTEMPTS: usize = 64;
/// Descriptors kept open, all mountpaths together; a quarter of the usual limit of a process.
const DESCRIPTORS: usize = 256;

/// The objects of one target. Share it through an `Arc`; every method may be called from any thread.
#[derive(Debug)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    pub(crate) admin: Mutex<Admin>,
    cancel: Arc<AtomicBool>,
    /// Threads that end by themselves, or when the store is closed.
    pub(crate) sweepers: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store: creates missing directories, locks each mountpath, removes uploads that a crash
    /// cut short, and rebuilds an index that is missing, damaged or marked for it.
    ///
    /// After a crash a thread per mountpath removes superseded blobs in the background.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when another process has a mountpath open, [`StoreError::Format`] for one
    /// of another version, [`StoreError::ReadOnly`], [`StoreError::NoSpace`], [`StoreError::Io`].
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let count = config.mountpaths.len();
        if count == 0 {
            let reason = "an object store needs at least one mountpath".to_owned();
            return Err(StoreError::Invalid(reason));
        }
        let all = config.mountpaths.iter().chain(config.draining.iter().map(|(path, _)| path));
        let claimed = all.map(|path| Claimed::open(path));
        let claimed = claimed.collect::<Result<Vec<_>, _>>()?;
        let peers: BTreeSet<String> = claimed.iter().map(|one| one.format.uuid.clone()).collect();
        let scattered =
            !config.draining.is_empty() || claimed.iter().any(|one| one.scattered(&peers));
        if scattered {
            tracing::warn!("the set of mountpaths changed: objects are looked up on all of them");
        }
        let limits = Limits {
            cache_bytes: config.index_cache_bytes / count as u64,
            descriptors: DESCRIPTORS.div_ceil(count),
            max_record_bytes: config.max_record_bytes,
            segment_bytes: config.segment_bytes.min(MAX_SEGMENT_BYTES),
        };
        // At once, as each may have a journal to replay or an index to rebuild.
        let rules = (Watermark::default(), Policies::new(config.write_policy));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let open = |one| {
                scope.spawn(|| Mountpath::open(one, &peers, scattered, limits, rules.clone()))
            };
            let threads: Vec<_> = claimed.into_iter().map(open).collect();
            threads.into_iter().map(ScopedJoinHandle::join).collect()
        });
        let mut mountpaths = Vec::with_capacity(count);
        for one in opened {
            let panicked = |_| StoreError::Invalid("opening a mountpath panicked".to_owned());
            mountpaths.push(Arc::new(one.map_err(panicked)??));
        }
        Mountpath::align_ids(mountpaths.iter());
        let draining = mountpaths.split_off(count);
        let set = MountpathSet::new(mountpaths, draining, scattered)?;
        intents::roll_forward(&set)?;
        step!("open: intents completed");
        appends::roll_forward(&set)?;
        step!("open: flushes completed");
        manifests::settle(&set)?;
        step!("open: manifests compared");
        let cancel = Arc::new(AtomicBool::new(false));
        let (watermark, policies) = rules.clone();
        let shared = Arc::new(Shared::new(set, watermark, policies));
        // A disabled mountpath may hold descriptions of what would seem to be orphans.
        let mut sweepers = if config.disabled.is_empty() {
            if scattered {
                // One that left in order had what was on its way just then, and may be back after a crash.
                shared.set().members().iter().for_each(|one| one.leave_unswept());
            }
            sweep::start(&shared, &cancel)?
        } else {
            shared.set().members().iter().for_each(|one| sweep::vouch(one));
            Vec::new()
        };
        for mountpath in shared.set().members() {
            sweepers.extend(usage::start_count(mountpath)?);
        }
        let sweepers = Mutex::new(sweepers);
        let admin = mountpaths::admin(config.disabled, config.draining, limits);
        Ok(Self { shared, admin, cancel, sweepers })
    }

    /// A store over mountpaths that are open already.
    #[cfg(test)]
    pub(crate) fn over(set: MountpathSet, limits: Limits, rules: (Watermark, Policies)) -> Self {
        Self {
            shared: Arc::new(Shared::new(set, rules.0, rules.1)),
            admin: mountpaths::admin(Vec::new(), Vec::new(), limits),
            cancel: Arc::default(),
            sweepers: Mutex::default(),
        }
    }

    /// Starts a put of object `name` of bucket `bid`. `uname` is the object's name in the cluster, from
    /// which its mountpath follows.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for an empty or too long name or too much custom metadata,
    /// [`StoreError::NoSpace`] when the hinted size does not fit, [`StoreError::Closed`].
    pub fn begin_put(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
        options: PutOptions,
    ) -> Result<ObjectWriter, StoreError> {
        drop(self.shared.enter()?);
        check_name(bid, name)?;
        ObjectWriter::new(Arc::clone(&self.shared), bid, uname, name, options)
    }

    /// Metadata of an object; `None` when there is none of that name.
    pub fn head(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
    ) -> Result<Option<ObjectMeta>, StoreError> {
        let found = self.shared.locate(uname, &codec::key(bid, name))?;
        Ok(found.map(|(_, meta)| meta))
    }

    /// Opens an object for reading; `None` when there is none of that name.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when the index knows the object but its blob is gone.
    pub fn open_object(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
    ) -> Result<Option<ObjectReader>, StoreError> {
        let key = codec::key(bid, name);
        let mut missing = None;
        for _ in 0..OPEN_ATTEMPTS {
            let Some((mountpath, meta)) = self.shared.locate(uname, &key)? else { return Ok(None) };
            let cache = meta.size <= MAX_CACHED_BLOB_BYTES;
            let opened = Payload::open(&self.shared, &mountpath, &meta, cache);
            let lost = match opened.or_else(|error| match meta.copies.as_slice() {
                [] => Err(error),
                _ => Ok(Opened::Missing(error.to_string())),
            })? {
                Opened::Payload(payload) => {
                    let path = Arc::clone(mountpath.path());
                    if matches!(payload, Payload::Whole(_)) {
                        return Ok(Some(self.reader(meta, payload, path, key)));
                    }
                    // Parts are pinned now; they were not discarded before if the entry is still there.
                    match self.shared.locate(uname, &key)? {
                        Some((_, now)) if now.parts == meta.parts => {
                            return Ok(Some(self.reader(meta, payload, path, key)));
                        }
                        _ => continue,
                    }
                }
                Opened::Missing(lost) => lost,
            };
            // Replaced or deleted since the lookup; the same blob twice means that it is lost.
            if missing == Some(meta.blob) {
                if !self.shared.is_accounted_for(&mountpath, &meta) {
                    mountpath.faults.note(Tried::Read, &std::io::ErrorKind::NotFound.into());
                }
                if let Some(copy) = heal::open_copy(&self.shared, &key, &meta) {
                    tracing::error!(object = name, lost, "an object is read from its copy");
                    return Ok(Some(copy));
                }
                let path = mountpath.files.blob_path(meta.blob);
                let reason = format!("the payload of object \"{name}\" is not there: {lost}");
                return Err(StoreError::Corrupt { path, reason });
            }
            missing = Some(meta.blob);
        }
        Err(StoreError::Invalid(format!("object \"{name}\" is overwritten too often to be opened")))
    }

    /// A reader that turns to a copy, if there is one, where the disk fails it.
    fn reader(
        &self,
        meta: ObjectMeta,
        payload: Payload,
        path: Arc<Path>,
        key: Vec<u8>,
    ) -> ObjectReader {
        let mirrored = !meta.copies.is_empty();
        let reader = ObjectReader::new(meta, payload, path);
        if mirrored { reader.with_copies(Arc::clone(&self.shared), key) } else { reader }
    }

    /// Deletes an object; `false` when there is none of that name. On return the deletion survives the
    /// end of the process.
    pub fn delete(&self, bid: u64, uname: &str, name: &str) -> Result<bool, StoreError> {
        self.delete_if(bid, uname, name, None)
    }

    /// As [`delete`](Self::delete), if the object is as the condition says.
    ///
    /// # Errors
    ///
    /// [`StoreError::Precondition`] when it is not; then nothing was deleted.
    pub fn delete_if(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
        condition: Option<&Condition>,
    ) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let _open = shared.enter()?;
        let _name = shared.lock_name(bid, name);
        shared.check_unsealed(bid, name)?;
        self.delete_locked(uname, &codec::key(bid, name), name, condition)
    }

    /// As [`delete_if`](Self::delete_if), of an object in a sealed bucket that was brought to another.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn take_away(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
        condition: &Condition,
    ) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let _open = shared.enter()?;
        let _name = shared.lock_name(bid, name);
        self.delete_locked(uname, &codec::key(bid, name), name, Some(condition))
    }

    /// Refuses changes of objects in these buckets, and in no others. On return every change that was let in
    /// before is over, so that who walks a sealed bucket sees all that was acknowledged in it. Moving away
    /// ([`move_to_bucket`](Self::move_to_bucket), [`take_away`](Self::take_away)) stays possible, as does
    /// all that leaves objects as they are for callers. Blocks while changes end.
    pub fn seal(&self, buckets: std::collections::BTreeSet<u64>) {
        self.shared.seal(buckets);
    }

    /// Deletes an object whose name is locked.
    pub(crate) fn delete_locked(
        &self,
        uname: &str,
        key: &[u8],
        name: &str,
        condition: Option<&Condition>,
    ) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let Some((_, meta)) = shared.locate(uname, key)? else { return Ok(false) };
        if condition.is_some_and(|condition| !condition.holds(&meta)) {
            return Err(StoreError::Precondition { name: name.to_owned(), present: true });
        }
        // On all mountpaths, whatever the object knows of copies: an entry that a crash left behind would
        // bring the object back once a mountpath goes or comes.
        let mut all = Survey::of(&shared.set(), key, false)?;
        for one in &all.0 {
            one.mountpath.check_writable()?;
        }
        // Copies first: what is left after a crash is the object, whole. No blob goes before the last entry,
        // as object and copies may name the same parts.
        all.0.sort_by_key(|one| (one.role == Role::Object, one.meta.blob));
        for one in &all.0 {
            one.mountpath.commit(Change::Remove { key: key.to_vec() })?;
            step!("delete: entry removed");
        }
        for one in &all.0 {
            shared.discard_version(&one.mountpath, &one.meta);
        }
        Ok(true)
    }

    /// Lists part of a bucket in byte-wise order of the names, over all mountpaths.
    pub fn list(&self, bid: u64, query: &ListQuery<'_>) -> Result<ListChunk, StoreError> {
        list::list(&self.shared, bid, query)
    }

    /// Ids of the buckets that have objects, uploads or append sessions here, ascending.
    pub fn buckets(&self) -> Result<Vec<u64>, StoreError> {
        let mut found = BTreeSet::new();
        for mountpath in self.shared.set().members() {
            let mut from = codec::key(RESERVED_BID + 1, "");
            loop {
                let bounds = (Bound::Included(from.as_slice()), Bound::Unbounded);
                let Some(entry) = mountpath.index.range(bounds).next() else { break };
                let (key, _) = entry?;
                let Some((bid, _)) = codec::split_key(&key) else {
                    return Err(mountpath.damaged_entry());
                };
                found.insert(bid);
                match bid.checked_add(1) {
                    Some(next) => from = codec::key(next, ""),
                    None => break,
                }
            }
        }
        found.extend(self.shared.all_uploads()?.into_iter().map(|(record, _)| record.bid));
        found.extend(appends::bids(&self.shared)?);
        Ok(found.into_iter().collect())
    }

    /// Capacity of each mountpath, in the order of the configuration.
    pub fn usage(&self) -> Vec<MountpathUsage> {
        let set = self.shared.set();
        set.members().iter().map(|mountpath| usage::usage(mountpath.path())).collect()
    }

    /// What is stored on each mountpath, in the order of [`usage`](Self::usage). Looks at few small directories,
    /// whatever the number of objects.
    pub fn stored(&self) -> Vec<MountpathStored> {
        let set = self.shared.set();
        set.members().iter().map(|mountpath| usage::stored(mountpath)).collect()
    }

    /// Removes the discarded parts of objects whose last reader is gone. Changes do so in passing; call this
    /// now and then for a store that is only read.
    pub fn tidy(&self) -> Result<(), StoreError> {
        let _open = self.shared.enter()?;
        self.shared.remove_released();
        Ok(())
    }

    /// Sets how durable the changes of each bucket are when they return, by bucket id. Buckets that are not named
    /// have the policy of [`StoreConfig::write_policy`].
    pub fn set_write_policies(&self, policies: HashMap<u64, WritePolicy>) {
        self.shared.policies.set(policies);
    }

    /// Brings to the disk what was written to buckets whose policy is [`WritePolicy::Delayed`]: call it every
    /// few seconds.
    ///
    /// # Errors
    ///
    /// The first one of a mountpath, after all were tried. Such a mountpath takes no more changes: what the
    /// system could not write may be lost.
    pub fn write_back(&self) -> Result<(), StoreError> {
        // Without keeping the store open meanwhile: this may take long, and nobody must wait for it.
        let set = self.shared.set();
        let results: Vec<_> = set.members().iter().map(|one| one.write_back()).collect();
        results.into_iter().collect()
    }

    /// How often anything was brought to the disk so far: files, directories and the index.
    pub fn syncs(&self) -> u64 {
        self.shared.set().members().iter().map(|one| one.unsynced.syncs()).sum()
    }

    /// Refuses further changes, waits for those under way, and records that the store ended in order, so
    /// that the next start has nothing to sweep. Reads still work. Idempotent.
    pub fn close(&self) -> Result<(), StoreError> {
        self.cancel.store(true, Ordering::Relaxed);
        for mountpath in self.shared.set().members() {
            mountpath.tally.stop.store(true, Ordering::Relaxed);
        }
        let sweepers = {
            let mut sweepers = self.sweepers.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *sweepers)
        };
        for sweeper in sweepers {
            if sweeper.join().is_err() {
                tracing::error!("a sweep panicked");
            }
        }
        let mut closed = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *closed, true) {
            return Ok(());
        }
        self.shared.remove_released();
        let failed = self.shared.set().members().iter().any(|one| one.has_failed());
        if failed || self.shared.pins.any_left() {
            // Readers outlive the store: what they still hold is swept at the next start. And what a change that failed
            // on one mountpath left on the others is known then too.
            self.shared.set().members().iter().for_each(|one| one.leave_unswept());
        }
        let results: Vec<_> = self.shared.set().members().iter().map(|one| one.close()).collect();
        results.into_iter().collect()
    }
}

/// Refuses what cannot be stored under any circumstances.
pub(crate) fn check_name(bid: u64, name: &str) -> Result<(), StoreError> {
    if bid == RESERVED_BID {
        return Err(StoreError::Invalid(format!("no bucket has the id {RESERVED_BID}")));
    }
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(StoreError::Invalid(format!(
            "an object name has 1 to {MAX_NAME_BYTES} bytes; this one has {}",
            name.len()
        )));
    }
    Ok(())
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the object store could not be closed in order");
        }
    }
}
