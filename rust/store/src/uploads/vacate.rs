//! Moving uploads off mountpaths that are being emptied.
//!
//! The bytes of a part are copied while nothing is held; its record then changes only if the part was not
//! sent again meanwhile. The records of an upload move in one step, which an intent carries over a crash.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::record::{self, PartRecord, UploadRecord};
use super::{Session, UploadId, part_of_entry};
use crate::codec;
use crate::copying::copy_part;
use crate::error::StoreError;
use crate::index::Change;
use crate::intents::{self, Step};
use crate::list::successor;
use crate::meta::{ObjectMeta, Place};
use crate::set::MountpathSet;
use crate::settle::Named;
use crate::shared::Shared;

/// Moves parts and records of all uploads to mountpaths that take new objects. Calls `failed` for each
/// upload that cannot be moved, with the name of its object.
pub(crate) fn vacate(
    shared: &Shared,
    cancel: &AtomicBool,
    mut failed: impl FnMut(&str, &StoreError),
) -> Result<(), StoreError> {
    if shared.set().draining().is_empty() {
        return Ok(());
    }
    for (record, info) in shared.all_uploads()? {
        match vacate_one(shared, &record, info.id, cancel) {
            // Completed or aborted meanwhile.
            Ok(()) | Err(StoreError::UnknownUpload { .. }) => {}
            Err(error @ (StoreError::Cancelled | StoreError::Closed)) => return Err(error),
            Err(error) => failed(&record.uname, &error),
        }
    }
    Ok(())
}

fn vacate_one(
    shared: &Shared,
    record: &UploadRecord,
    id: UploadId,
    cancel: &AtomicBool,
) -> Result<(), StoreError> {
    for (number, part) in shared.session(record.bid, &record.name, id)?.parts()? {
        vacate_part(shared, record, id, (number, &part), cancel)?;
    }
    let _open = shared.enter()?;
    let _upload = shared.uploads.lock(id.0);
    let set = shared.set();
    let session = shared.session(record.bid, &record.name, id)?;
    if is_available(&set, session.mountpath.digest) {
        return Ok(());
    }
    let home = set.own(&record.uname);
    let parts = session.parts()?;
    for part in parts.values() {
        shared.keep(std::slice::from_ref(&part.part));
    }
    let mut steps = vec![Step::write(home, record::upload_key(id.0), session.record.encode())];
    steps.extend(
        parts.iter().map(|(number, part)| {
            Step::write(home, record::part_key(id.0, *number), part.encode())
        }),
    );
    let keys = session.keys(parts.keys().copied());
    steps.extend(keys.map(|key| Step::forget(&session.mountpath, key)));
    step!("vacate: upload about to move");
    intents::commit(steps)
}

/// Moves the bytes of one part, unless they lie well.
fn vacate_part(
    shared: &Shared,
    record: &UploadRecord,
    id: UploadId,
    (number, old): (u32, &PartRecord),
    cancel: &AtomicBool,
) -> Result<(), StoreError> {
    let set = shared.set();
    let places = &old.part.places;
    let sources: Vec<_> = places
        .iter()
        .filter_map(|place| Some((Arc::clone(set.by_digest(place.mountpath)?), place.blob)))
        .collect();
    // One that lies on a mountpath which is gone already is told to who completes the upload.
    if sources.is_empty() || places.iter().all(|place| is_available(&set, place.mountpath)) {
        return Ok(());
    }
    let home = set.spread(&record.uname, usize::try_from(number).unwrap_or(usize::MAX));
    let object = Named { bid: record.bid, uname: &record.uname, name: &record.name };
    let moving = (&ObjectMeta::default(), &old.part);
    let blob = copy_part(object, number, moving, &sources, home, cancel)?;
    step!("vacate: part copied");
    let place = Place { mountpath: home.digest, blob };
    let moved = move_record(shared, &set, record, id, (number, old), place);
    if !matches!(moved, Ok(true)) {
        home.discard(blob);
    }
    moved.map(drop)
}

/// Makes a part lie at `place`; `false` when it is no longer what was copied.
fn move_record(
    shared: &Shared,
    set: &Arc<MountpathSet>,
    record: &UploadRecord,
    id: UploadId,
    (number, old): (u32, &PartRecord),
    place: Place,
) -> Result<bool, StoreError> {
    let _open = shared.enter()?;
    let _upload = shared.uploads.lock(id.0);
    let session: Session = shared.session(record.bid, &record.name, id)?;
    let key = record::part_key(id.0, number);
    let now = session.mountpath.index.get(&key)?.and_then(|value| PartRecord::decode(&value));
    if now.as_ref() != Some(old) || !Arc::ptr_eq(set, &shared.set()) {
        return Ok(false);
    }
    session.mountpath.check_writable()?;
    let mut new = old.clone();
    new.part.places = vec![place];
    session.mountpath.commit(Change::Set { key, value: new.encode() })?;
    step!("vacate: part recorded elsewhere");
    for place in &old.part.places {
        shared.discard(*place);
    }
    Ok(true)
}

fn is_available(set: &MountpathSet, digest: u64) -> bool {
    set.available().iter().any(|at| at.digest == digest)
}

/// Whether a part of any upload lies on a mountpath.
pub(crate) fn names_mountpath(set: &MountpathSet, digest: u64) -> Result<bool, StoreError> {
    let prefix = record::all_prefix();
    let end = successor(&prefix);
    for mountpath in set.members() {
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        for entry in mountpath.index.range((Bound::Included(prefix.as_slice()), end)) {
            let (key, value) = entry?;
            let name = codec::split_key(&key).map(|(_, name)| name);
            if !matches!(name.and_then(record::subject), Some(record::Subject::Part(..))) {
                continue;
            }
            let (_, part) = part_of_entry(mountpath, &key, &value)?;
            if part.part.places.iter().any(|place| place.mountpath == digest) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
