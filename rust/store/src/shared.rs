//! What a store and its writers share: the mountpaths, and who may change what when.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use aistore_core::config::WritePolicy;
use arc_swap::ArcSwap;

use crate::appends::Appends;
use crate::codec;
use crate::durability::Policies;
use crate::error::StoreError;
use crate::index::Change;
use crate::intents::{self, Step};
use crate::meta::{ObjectMeta, Part, Place};
use crate::mountpath::SharedMountpath;
use crate::pins::Pins;
use crate::set::MountpathSet;
use crate::settle::remove_superseded;
use crate::space::Watermark;
use crate::survey::Survey;
use crate::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use crate::uploads::Uploads;

/// Locks that serialise changes of one name; two names rarely share one.
const NAME_LOCKS: usize = 256;
/// How often a lookup that found nothing is repeated because the set of mountpaths changed meanwhile.
/// Each repetition means that an administrator changed the mountpaths once more within microseconds.
const LOOKUP_ATTEMPTS: usize = 64;

/// Where an object is, and its metadata.
pub(crate) type Found = (SharedMountpath, ObjectMeta);

/// What writers keep alive.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Swapped only by who holds `gate` alone, so that a change which holds it shared works on one set.
    pub(crate) set: ArcSwap<MountpathSet>,
    names: Vec<Mutex<()>>,
    /// Buckets whose objects callers may not change; looked at under the lock of a name.
    sealed: ArcSwap<BTreeSet<u64>>,
    /// Whether the store is closed. Changes hold it shared; closing, destroying and swapping the set of
    /// mountpaths hold it alone.
    pub(crate) gate: RwLock<bool>,
    pub(crate) uploads: Uploads,
    pub(crate) appends: Appends,
    /// How full the file systems may get; each mountpath of the set goes by it.
    pub(crate) watermark: Watermark,
    /// How durable the changes of each bucket are to be.
    pub(crate) policies: Policies,
    /// Parts that are being read.
    pub(crate) pins: Arc<Pins>,
    /// Held while segments are compacted.
    pub(crate) compacting: Mutex<()>,
    /// While sweeps run: blobs that moved from one entry to another.
    pub(crate) kept: Mutex<Option<HashSet<Place>>>,
    /// How often an entry came to name a blob on a mountpath that is being emptied.
    pub(crate) strayed: AtomicU64,
}

impl Shared {
    pub(crate) fn new(set: MountpathSet, watermark: Watermark, policies: Policies) -> Self {
        let names = (0..NAME_LOCKS).map(|_| Mutex::default()).collect();
        Self {
            set: ArcSwap::from_pointee(set),
            names,
            sealed: ArcSwap::default(),
            gate: RwLock::new(false),
            uploads: Uploads::default(),
            appends: Appends::default(),
            watermark,
            policies,
            pins: Arc::default(),
            compacting: Mutex::default(),
            kept: Mutex::default(),
            strayed: AtomicU64::new(0),
        }
    }

    /// The mountpaths as of now.
    pub(crate) fn set(&self) -> Arc<MountpathSet> {
        self.set.load_full()
    }

    /// Keeps the store open, and its set of mountpaths unchanged, for a change.
    pub(crate) fn enter(&self) -> Result<RwLockReadGuard<'_, bool>, StoreError> {
        let closed = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if *closed { Err(StoreError::Closed) } else { Ok(closed) }
    }

    /// Refuses changes in these buckets from now on, and in no others. On return every change that was
    /// let in before is over.
    pub(crate) fn seal(&self, buckets: BTreeSet<u64>) {
        self.sealed.store(Arc::new(buckets));
        for slot in 0..self.names.len() {
            drop(self.lock_slot(slot));
        }
    }

    /// Refuses a change of a name whose lock is held, in a sealed bucket.
    pub(crate) fn check_unsealed(&self, bid: u64, name: &str) -> Result<(), StoreError> {
        if self.sealed.load().contains(&bid) {
            return Err(StoreError::Sealed { name: name.to_owned() });
        }
        Ok(())
    }

    /// Serialises changes of one name.
    pub(crate) fn lock_name(&self, bid: u64, name: &str) -> Option<MutexGuard<'_, ()>> {
        self.lock_slot(slot(bid, name))
    }

    /// Serialises changes of two names of one bucket.
    pub(crate) fn lock_names(
        &self,
        bid: u64,
        one: &str,
        other: &str,
    ) -> [Option<MutexGuard<'_, ()>>; 2] {
        self.lock_pair((bid, one), (bid, other))
    }

    /// Serialises changes of two names, each of a bucket.
    pub(crate) fn lock_pair(
        &self,
        one: (u64, &str),
        other: (u64, &str),
    ) -> [Option<MutexGuard<'_, ()>>; 2] {
        let (one, other) = (slot(one.0, one.1), slot(other.0, other.1));
        // In one order always, so that two such callers never wait for each other.
        let first = self.lock_slot(one.min(other));
        [first, if one == other { None } else { self.lock_slot(one.max(other)) }]
    }

    pub(crate) fn lock_slot(&self, slot: usize) -> Option<MutexGuard<'_, ()>> {
        let lock = self.names.get(slot)?;
        Some(lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where an object is and what is known of it.
    ///
    /// While objects may lie elsewhere than placement says, all mountpaths are asked and the newest
    /// version wins. An object's own mountpath is then asked last: moves go there, so that an object on
    /// its way is found there if no longer where it came from.
    pub(crate) fn locate(
        &self,
        uname: &str,
        key: &[u8],
    ) -> Result<Option<(SharedMountpath, ObjectMeta)>, StoreError> {
        let mut set = self.set();
        for _ in 0..LOOKUP_ATTEMPTS {
            if let Some(found) = locate_in(&set, uname, key)? {
                return Ok(Some(found));
            }
            let now = self.set();
            if Arc::ptr_eq(&set, &now) {
                return Ok(None);
            }
            set = now;
        }
        Err(StoreError::Invalid("the mountpaths change too often to look an object up".to_owned()))
    }

    /// Makes `meta`, whose blob is published on `home`, the object under `key`, in place of `old`. Copies
    /// that `meta` names are committed already; `before` is what there was before them.
    pub(crate) fn replace(
        &self,
        home: &SharedMountpath,
        key: &[u8],
        meta: &ObjectMeta,
        old: Option<Found>,
        before: Option<&Survey>,
    ) -> Result<(), StoreError> {
        let stale = removals(key, home, meta, old.as_ref(), before);
        let value = codec::encode_value(meta);
        if stale.is_empty() {
            // Most puts: these share their writes of the journal.
            home.commit(Change::Set { key: key.to_vec(), value })?;
        } else {
            let set = Step::set(home, key.to_vec(), value);
            intents::commit(std::iter::once(set).chain(stale).collect())?;
        }
        step!("object: committed, old one not removed");
        self.clear(key, home, meta, old, before)
    }

    /// Removes the blobs of what `meta` took the place of, once the index says so.
    pub(crate) fn clear(
        &self,
        key: &[u8],
        home: &SharedMountpath,
        meta: &ObjectMeta,
        old: Option<Found>,
        before: Option<&Survey>,
    ) -> Result<(), StoreError> {
        if let Some(before) = before {
            let own = Place { mountpath: home.digest, blob: meta.blob };
            return remove_superseded(self, key, before, own, meta);
        }
        if let Some((mountpath, old)) = old {
            self.discard_version(&mountpath, &old);
        }
        Ok(())
    }

    /// Everything under `key`; `None` when there is but one mountpath to look at.
    ///
    /// Whoever changes the object takes away all of it, whatever the object knows of copies: an entry that
    /// a crash left behind, or that a rebuilt index forgot, would bring the object back once a mountpath goes
    /// or comes.
    pub(crate) fn survey_for(
        &self,
        key: &[u8],
        old: Option<&ObjectMeta>,
    ) -> Result<Option<Survey>, StoreError> {
        let set = self.set();
        if set.members().len() == 1 {
            return Ok(None);
        }
        // A disk that fails does not stop the changes of objects that have nothing to do with it.
        let expected = set.scattered || old.is_some_and(|old| !old.copies.is_empty());
        Survey::of(&set, key, !expected).map(Some)
    }

    /// Removes all blobs of a version that the index no longer has.
    pub(crate) fn discard_version(&self, mountpath: &SharedMountpath, old: &ObjectMeta) {
        // The description last: parts without one are never taken for an object.
        for place in old.parts.iter().flat_map(|part| &part.places) {
            self.discard(*place);
        }
        step!("version: parts discarded");
        mountpath.discard(old.blob);
    }

    /// Removes a blob that the index no longer refers to, now or when its last reader is gone.
    pub(crate) fn discard(&self, place: Place) {
        if self.pins.may_remove(place) {
            self.remove(place);
        }
        self.remove_released();
    }

    /// Removes discarded blobs whose last reader is gone.
    pub(crate) fn remove_released(&self) {
        for place in self.pins.released() {
            self.remove(place);
        }
    }

    fn remove(&self, place: Place) {
        // One on a detached mountpath is swept when that comes back.
        if let Some(mountpath) = self.by_digest(place.mountpath) {
            mountpath.discard(place.blob);
        }
    }

    /// Whether a blob of an object was set aside as damaged, or may have been lost with the power: that it is not there
    /// says nothing of the disk.
    pub(crate) fn is_accounted_for(&self, home: &SharedMountpath, meta: &ObjectMeta) -> bool {
        let mut parts = meta.parts.iter().flat_map(|part| &part.places);
        let known = |at: &SharedMountpath, blob| {
            at.doubts.concern(blob) || at.files.set_aside(blob).is_some()
        };
        known(home, meta.blob)
            || parts.any(|place| {
                let at = self.by_digest(place.mountpath);
                at.is_some_and(|at| known(&at, place.blob))
            })
    }

    /// The mountpath of this digest, if it is in use.
    pub(crate) fn by_digest(&self, digest: u64) -> Option<SharedMountpath> {
        self.set().by_digest(digest).map(Arc::clone)
    }

    /// Refuses parts on a mountpath that was taken away while they were sent.
    pub(crate) fn check_attached(&self, name: &str, parts: &[Part]) -> Result<(), StoreError> {
        let set = self.set();
        let gone =
            |part: &Part| !part.places.iter().any(|one| set.by_digest(one.mountpath).is_some());
        match parts.iter().position(gone) {
            None => Ok(()),
            Some(index) => Err(StoreError::Invalid(format!(
                "the mountpath that took part {} of \"{name}\" was detached meanwhile: send it again",
                index + 1
            ))),
        }
    }

    /// Refuses an object of `size` bytes in as many copies where a disk that would get one cannot take it,
    /// as a put does from its start. `pieces` may lie on different disks.
    pub(crate) fn check_room_for_copies(
        &self,
        uname: &str,
        copies: usize,
        (size, pieces): (u64, usize),
    ) -> Result<(), StoreError> {
        let seats = self.set().ranked(uname, copies);
        let spread = pieces.clamp(1, self.set().available().len().max(1)) as u64;
        for seat in seats.iter().skip(1) {
            seat.check_writable()?;
            seat.space.check(&seat.files, size.div_ceil(spread))?;
        }
        Ok(())
    }

    /// On return the parts of an object of this bucket are as durable as its policy says, but for those on `home`, where
    /// that comes with the commit of the entry that names them. They may have been written under another policy, or
    /// by a run that did not end in order.
    pub(crate) fn settle_parts(
        &self,
        bid: u64,
        home: &SharedMountpath,
        parts: &[Part],
    ) -> Result<(), StoreError> {
        if self.policies.of(bid) != WritePolicy::Immediate {
            return Ok(());
        }
        let places = parts.iter().flat_map(|part| &part.places);
        let digests: BTreeSet<u64> = places.map(|place| place.mountpath).collect();
        // What lies on a mountpath that is away went there in order, or is not to be relied on.
        let homes = digests.into_iter().filter_map(|digest| self.by_digest(digest));
        homes.filter(|at| !Arc::ptr_eq(at, home)).try_for_each(|at| at.settle_blobs(bid))
    }

    /// Announces that blobs which the index refers to already are about to be named by another entry, so
    /// that a sweep which reads the two entries at different times takes none of them for an orphan.
    ///
    /// Where one of them lies on a mountpath that is being emptied, whoever empties it looks again.
    pub(crate) fn keep(&self, parts: &[Part]) {
        let set = self.set();
        let stays = |place: &Place| set.available().iter().any(|at| at.digest == place.mountpath);
        if !set.draining().is_empty() && !parts.iter().flat_map(|part| &part.places).all(stays) {
            self.strayed.fetch_add(1, Ordering::Relaxed);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_mut() {
            kept.extend(parts.iter().flat_map(|part| &part.places));
        }
    }
}

/// Removal of the entries under `key` that a new version on `home` does not take the place of: of the old
/// version, of its copies, and of what a change of the mountpaths left elsewhere.
pub(crate) fn removals(
    key: &[u8],
    home: &SharedMountpath,
    meta: &ObjectMeta,
    old: Option<&Found>,
    before: Option<&Survey>,
) -> Vec<Step> {
    let taken = |at: &SharedMountpath| {
        at.digest == home.digest || meta.copies.iter().any(|copy| copy.mountpath == at.digest)
    };
    let step = |at: &SharedMountpath, blob| Step::remove(at, key.to_vec(), blob);
    if let Some(before) = before {
        let stale = before.0.iter().filter(|found| !taken(&found.mountpath));
        return stale.map(|found| step(&found.mountpath, found.meta.blob)).collect();
    }
    let stale = old.filter(|(at, _)| !taken(at));
    stale.map(|(at, old)| step(at, old.blob)).into_iter().collect()
}

/// Number of the lock of a name.
pub(crate) fn slot(bid: u64, name: &str) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((bid, name));
    usize::try_from(hash % NAME_LOCKS as u64).unwrap_or(0)
}

fn locate_in(
    set: &MountpathSet,
    uname: &str,
    key: &[u8],
) -> Result<Option<(SharedMountpath, ObjectMeta)>, StoreError> {
    let own = set.own(uname);
    let mut best: Option<(&SharedMountpath, ObjectMeta)> = None;
    if set.scattered {
        for other in set.members().iter().filter(|other| !Arc::ptr_eq(other, own)) {
            // One that fails must not hide what the others have.
            let looked = other.lookup(key).unwrap_or_else(|error| {
                tracing::warn!(%error, "a mountpath is passed over");
                None
            });
            if let Some(meta) = looked
                && best.as_ref().is_none_or(|(_, known)| known.blob < meta.blob)
            {
                best = Some((other, meta));
            }
        }
    }
    let looked = own.lookup(key);
    let failed = looked.is_err();
    if let Ok(Some(meta)) = &looked
        && best.as_ref().is_none_or(|(_, known)| known.blob < meta.blob)
    {
        best = Some((own, meta.clone()));
    }
    if best.is_none() && (set.scattered || failed) {
        // The object may be lost with its mountpath, and have a copy.
        if let Some(found) = Survey::of(set, key, true)?.main(true) {
            return Ok(Some((Arc::clone(&found.mountpath), found.meta.clone())));
        }
        looked?;
    }
    Ok(best.map(|(mountpath, meta)| (Arc::clone(mountpath), meta)))
}
