//! Removal of blobs that a crash left without an index entry.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use crate::appends;
use crate::codec::{self, RESERVED_BID, V2};
use crate::compaction::location;
use crate::error::StoreError;
use crate::files::{parse_blob_name, read_dir};
use crate::meta::{BlobId, Place, Role};
use crate::mountpath::Mountpath;
use crate::segments::{Fill, HEADER_BYTES, Header, Location, Scan};
use crate::set::MountpathSet;
use crate::shared::Shared;
use crate::steps::has_flaw;
use crate::store::Store;
use crate::trailer;
use crate::uploads;

/// More orphans than a crash can leave: each call under way leaves two at most, a bucket being destroyed
/// one batch. Beyond it the index itself must have lost entries, and removing blobs would turn that into
/// loss of data.
const MAX_ORPHANS: usize = 4096;
/// Referenced ids held in memory at once (8 bytes each); more objects mean more passes over the index.
const IDS_PER_PASS: usize = 512 * 1024;
/// So much of the newest segments is searched for records of calls that a crash cut short. All such calls
/// together, a batch of a compaction included, write less; what is older yet is found when its segment is
/// compacted.
const BYTES_OF_A_CRASH: u64 = 64 << 20;
/// Blob directories.
const DIRS: usize = 256;

/// How a sweep ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything was looked at; so many blobs were removed.
    Done(usize),
    /// It was cancelled.
    Cancelled,
    /// Too many blobs without an entry: none removed, and the next start rebuilds the index.
    Suspicious,
}

/// Starts a sweep of each mountpath that needs one.
pub(crate) fn start(
    shared: &Arc<Shared>,
    cancel: &Arc<AtomicBool>,
) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let mut sweepers = Vec::new();
    let set = shared.set();
    let unswept = set.members().iter().filter(|one| one.unswept.load(Ordering::Relaxed));
    let unswept: Vec<_> = unswept.map(Arc::clone).collect();
    if !unswept.is_empty() {
        *shared.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(HashSet::new());
    }
    let left = Arc::new(AtomicUsize::new(unswept.len()));
    for mountpath in unswept {
        let (shared, cancel, left) = (Arc::clone(shared), Arc::clone(cancel), Arc::clone(&left));
        let path = Arc::clone(mountpath.path());
        let body = move || {
            run(&shared, &mountpath, &cancel);
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                *shared.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        };
        let sweeper = std::thread::Builder::new()
            .name("store-sweep".to_owned())
            .spawn(body)
            .map_err(|source| StoreError::io(&path, "start the sweep of", source))?;
        sweepers.push(sweeper);
    }
    Ok(sweepers)
}

impl Store {
    /// Whether the indexes are known to name all that lives: at once after a run that ended in order, else when
    /// what the last run left was looked through in the background.
    pub fn is_swept(&self) -> bool {
        self.shared.set().members().iter().all(|one| one.swept.load(Ordering::Acquire))
    }
}

/// Checks an index that is not swept for now: whether it names what was written last.
pub(crate) fn vouch(mountpath: &Mountpath) {
    let revived = revive_named(mountpath, &AtomicBool::new(false));
    match revived.and_then(|()| note_lost_records(mountpath)) {
        Ok(true) => mountpath.swept.store(true, Ordering::Release),
        Ok(false) => mountpath.request_rebuild(),
        Err(error) => {
            tracing::error!(mountpath = %mountpath.path().display(), %error, "the index cannot be checked");
        }
    }
}

fn run(shared: &Shared, mountpath: &Mountpath, cancel: &AtomicBool) {
    // Cleared first: a blob that cannot be removed meanwhile sets it again.
    mountpath.unswept.store(false, Ordering::Relaxed);
    let path = mountpath.path().display();
    match sweep(shared, mountpath, cancel) {
        Ok(Outcome::Done(removed)) => {
            mountpath.swept.store(true, Ordering::Release);
            if removed > 0 {
                tracing::info!(mountpath = %path, removed, "superseded blobs of an earlier run removed");
            }
        }
        Ok(Outcome::Cancelled | Outcome::Suspicious) => {
            mountpath.unswept.store(true, Ordering::Relaxed);
        }
        Err(error) => {
            tracing::error!(mountpath = %path, %error, "the sweep of superseded blobs failed");
            mountpath.unswept.store(true, Ordering::Relaxed);
        }
    }
}

/// Removes the blobs of earlier runs that the index does not refer to.
///
/// An id of an earlier run enters an index again only when another entry referred to it (see
/// [`Shared::keep`]), so a blob that is an orphan now stays one: no lock is needed against concurrent puts
/// and deletes.
fn sweep(
    shared: &Shared,
    mountpath: &Mountpath,
    cancel: &AtomicBool,
) -> Result<Outcome, StoreError> {
    revive_named(mountpath, cancel)?;
    let found = find_orphans(shared, mountpath, cancel)?;
    let orphans = match found {
        Found::Orphans(orphans) if note_lost_records(mountpath)? => orphans,
        Found::Cancelled => return Ok(Outcome::Cancelled),
        Found::Orphans(_) | Found::TooMany => {
            tracing::error!(mountpath = %mountpath.path().display(), limit = MAX_ORPHANS,
            "the index lacks many blobs: nothing is removed, the next start rebuilds the index");
            mountpath.request_rebuild();
            return Ok(Outcome::Suspicious);
        }
    };
    let (mut removed, mut named) = (0, 0);
    for blob in orphans {
        let kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Place { mountpath: mountpath.digest, blob };
        if kept.as_ref().is_some_and(|kept| kept.contains(&place)) {
            continue;
        }
        if is_named(mountpath, blob)? {
            named += 1;
            continue;
        }
        mountpath.discard_orphan(blob);
        step!("sweep: orphan removed");
        removed += 1;
    }
    if named > 0 {
        tracing::error!(mountpath = %mountpath.path().display(), named,
            "a walk over the index missed objects that it has: their blobs stay, and the next start looks again");
        mountpath.leave_unswept();
    }
    Ok(Outcome::Done(removed))
}

/// Whether the object that a blob describes is this blob after all: nothing goes on the word of a walk over the index
/// alone, which costs data where the walk is at fault.
fn is_named(mountpath: &Mountpath, blob: BlobId) -> Result<bool, StoreError> {
    let Some(stored) = mountpath.find_blob(blob, false)? else { return Ok(false) };
    let Ok(Ok(description)) = trailer::read(&stored) else { return Ok(false) };
    let key = codec::key(description.bid, &description.name);
    let known = mountpath.index.get(&key)?.and_then(|value| codec::decode_place(&value));
    Ok(known.is_some_and(|(known, _)| known == blob))
}

/// Takes from the lists of dead records what the index names: loss of power may have kept such a note and not the
/// change of the index by which the record died. Nobody reads the lists to find an object, but who rebuilds an index.
fn revive_named(mountpath: &Mountpath, cancel: &AtomicBool) -> Result<(), StoreError> {
    if !mountpath.doubts.any() {
        return Ok(());
    }
    for Fill { number, .. } in mountpath.segments.fills() {
        if cancel.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(file) = mountpath.segments.file(number)? else { continue };
        let revived = mountpath.segments.revive(number, |offset| {
            let mut head = [0; HEADER_BYTES];
            if let Err(source) = file.read_exact_at(&mut head, u64::from(offset)) {
                let cut = source.kind() == ErrorKind::UnexpectedEof;
                let path = mountpath.segments.path(number);
                return if cut { Ok(false) } else { Err(StoreError::io(&path, "read", source)) };
            }
            let (blob, length) = Header::claims(&head);
            let known = mountpath.locations.get(&mountpath.index, blob)?;
            Ok(known == Some(Location { segment: number, offset, length }))
        })?;
        if revived > 0 {
            tracing::info!(segment = %mountpath.segments.path(number).display(), revived,
                "records that were noted as dead before the power was lost live");
        }
    }
    Ok(())
}

/// Notes records as dead that a crash left without a location, so that they count as waste: those at the
/// end, which were appended last. `false`, and none noted, when there are more than a crash can leave.
fn note_lost_records(mountpath: &Mountpath) -> Result<bool, StoreError> {
    let (mut waste, mut lost, mut passed) = (Vec::new(), 0, 0);
    for fill in mountpath.segments.fills().iter().rev() {
        if passed >= BYTES_OF_A_CRASH {
            break;
        }
        passed += fill.bytes;
        let Some(file) = mountpath.segments.file(fill.number)? else { continue };
        let path = mountpath.segments.path(fill.number);
        let failed = |source| StoreError::io(&path, "read", source);
        let dead = mountpath.segments.dead_of(fill.number)?;
        let mut scan = Scan::new(&file).map_err(failed)?;
        while let Some(record) = scan.next().map_err(failed)? {
            let (blob, at) = (record.header.blob, location(fill.number, &record));
            if blob > mountpath.first_of_run || dead.contains(&record.offset) {
                continue;
            }
            match mountpath.locations.get(&mountpath.index, blob)? {
                Some(known) if known == at => {}
                // Moved by a compaction that was cut short.
                Some(_) => waste.push(at),
                None => {
                    waste.push(at);
                    lost += 1;
                    if lost > MAX_ORPHANS {
                        return Ok(false);
                    }
                }
            }
        }
    }
    mountpath.segments.mark_lost(&waste)?;
    step!("sweep: lost records noted as dead");
    Ok(true)
}

/// What a search for orphans found.
enum Found {
    Orphans(Vec<BlobId>),
    /// More than a crash can leave.
    TooMany,
    Cancelled,
}

/// Blobs that nothing refers to.
fn find_orphans(
    shared: &Shared,
    mountpath: &Mountpath,
    cancel: &AtomicBool,
) -> Result<Found, StoreError> {
    let passes = (mountpath.index.approximate_len() / IDS_PER_PASS + 1).min(DIRS);
    let dirs = mountpath.files.blob_dirs()?;
    let (mut orphans, mut looked_at, mut suspicious) = (Vec::new(), 0, 0);
    for pass in 0..passes {
        let mine = |low_byte: u8| usize::from(low_byte) % passes == pass;
        let mut referenced = HashSet::new();
        for other in shared.set().members() {
            let done = collect(other, mountpath, cancel, |blob| {
                let missed = has_flaw("sweep: a walk that misses");
                if !missed && blob <= mountpath.first_of_run && mine(blob.0.to_le_bytes()[0]) {
                    referenced.insert(blob);
                }
            })?;
            if !done {
                return Ok(Found::Cancelled);
            }
        }
        for (_, dir) in dirs.iter().filter(|(number, _)| mine(*number)) {
            for entry in read_dir(dir)? {
                if cancel.load(Ordering::Relaxed) {
                    return Ok(Found::Cancelled);
                }
                let entry = entry.map_err(|source| StoreError::io(dir, "list", source))?;
                let Some(blob) = parse_blob_name(&entry.file_name()) else { continue };
                if blob <= mountpath.first_of_run && !referenced.contains(&blob) {
                    orphans.push(blob);
                }
            }
        }
        for entry in mountpath.index.locations() {
            if cancel.load(Ordering::Relaxed) {
                return Ok(Found::Cancelled);
            }
            let (blob, _) = entry?;
            let old = blob <= mountpath.first_of_run && mine(blob.0.to_le_bytes()[0]);
            if old && !referenced.contains(&blob) {
                orphans.push(blob);
            }
        }
        for orphan in orphans.get(looked_at..).unwrap_or_default() {
            // Parts may be many: those of puts that a crash cut short.
            if !is_part(mountpath, *orphan)? {
                suspicious += 1;
                if suspicious > MAX_ORPHANS {
                    return Ok(Found::TooMany);
                }
            }
        }
        looked_at = orphans.len();
    }
    Ok(Found::Orphans(orphans))
}

/// Hands out what the index of `from` refers to on mountpath `to`; `false` when cancelled.
fn collect(
    from: &Mountpath,
    to: &Mountpath,
    cancel: &AtomicBool,
    mut refer: impl FnMut(BlobId),
) -> Result<bool, StoreError> {
    let own = from.digest == to.digest;
    for entry in from.index.range((Bound::Unbounded, Bound::Unbounded)) {
        if cancel.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let (key, value) = entry?;
        let Some((bid, name)) = codec::split_key(&key) else { continue };
        let parts = if bid == RESERVED_BID {
            appends::parts_of_entry(name, &value)
                .or_else(|| uploads::parts_of_entry(name, &value))
                .ok_or_else(|| from.damaged_entry())?
        } else {
            if own {
                let place = codec::decode_place(&value).ok_or_else(|| from.damaged_entry())?;
                refer(place.0);
            }
            if value.first() != Some(&V2) {
                continue;
            }
            codec::decode_value(&value).ok_or_else(|| from.damaged_entry())?.parts
        };
        let places = parts.iter().flat_map(|part| &part.places);
        places.filter(|place| place.mountpath == to.digest).for_each(|place| refer(place.blob));
    }
    Ok(true)
}

/// Whether any index names a blob of a mountpath.
pub(crate) fn is_referenced(set: &MountpathSet, to: &Mountpath) -> Result<bool, StoreError> {
    let mut found = false;
    for from in set.members() {
        collect(from, to, &AtomicBool::new(false), |_| found = true)?;
        if found {
            break;
        }
    }
    Ok(found)
}

fn is_part(mountpath: &Mountpath, blob: BlobId) -> Result<bool, StoreError> {
    let Some(blob) = mountpath.find_blob(blob, false)? else { return Ok(true) };
    Ok(match trailer::read(&blob) {
        Ok(Ok(description)) => matches!(description.role, Role::Part { .. }),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PutOptions, StoreConfig};
    use crate::steps::with_flaw;

    #[test]
    fn what_the_index_names_stays_whatever_a_walk_says() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(StoreConfig::new(vec![dir.path().to_owned()])).unwrap();
        let uname = |name: &str| format!("ais/@#/b/{name}");
        let store = open();
        for (name, size) in [("small", 10), ("large", 300_000)] {
            let mut put = store.begin_put(7, &uname(name), name, PutOptions::default()).unwrap();
            put.write(&vec![1; size]).unwrap();
            put.finish().unwrap();
        }
        store.close().unwrap();
        drop(store);
        let store = open();
        let mountpath = Arc::clone(&store.shared.set().members()[0]);
        let cancel = AtomicBool::new(false);
        with_flaw("sweep: a walk that misses", || {
            assert_eq!(sweep(&store.shared, &mountpath, &cancel).unwrap(), Outcome::Done(0));
        });
        assert!(mountpath.unswept.load(Ordering::Relaxed), "the next start looks again");
        for (name, size) in [("small", 10), ("large", 300_000)] {
            let reader = store.open_object(7, &uname(name), name).unwrap().unwrap();
            assert_eq!(reader.read_at(&mut vec![0; size], 0).unwrap(), size);
        }
        assert_eq!(sweep(&store.shared, &mountpath, &cancel).unwrap(), Outcome::Done(0));
    }
}
