//! What indexes that were rebuilt from blobs must learn from each other.
//!
//! A blob that some manifest names as a part holds payload only, whatever its trailer says: the object that
//! it was put as got another name or metadata since. A rebuild looks at one mountpath alone and takes it
//! for an object; manifests on any mountpath correct that here, before the store is used.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use crate::codec::{self, RESERVED_BID, V2};
use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{ObjectMeta, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;
use crate::trailer;

/// Removes entries of blobs that are parts, and sets aside manifests whose parts are lost. Does nothing
/// when no index was rebuilt. The indexes know that this is to be done until it is.
pub(crate) fn settle(set: &MountpathSet) -> Result<(), StoreError> {
    if !set.members().iter().any(|one| one.rebuilt.load(Ordering::Relaxed)) {
        return Ok(());
    }
    for mountpath in set.members() {
        let from = codec::key(RESERVED_BID + 1, "");
        let all = (Bound::Included(from.as_slice()), Bound::Unbounded);
        for entry in mountpath.index.range(all) {
            let (key, value) = entry?;
            if value.first() != Some(&V2) {
                continue;
            }
            let meta = codec::decode_value(&value).ok_or_else(|| mountpath.damaged_entry())?;
            settle_one(set, mountpath, &key, &meta)?;
        }
    }
    step!("manifests: compared");
    for mountpath in set.members().iter().filter(|one| one.rebuilt.load(Ordering::Relaxed)) {
        // A start that ends before this compares again.
        mountpath.end_rebuild()?;
        step!("manifests: comparison noted");
    }
    Ok(())
}

fn settle_one(
    set: &MountpathSet,
    mountpath: &SharedMountpath,
    key: &[u8],
    meta: &ObjectMeta,
) -> Result<(), StoreError> {
    for (index, part) in meta.parts.iter().enumerate() {
        let mut there = false;
        for place in &part.places {
            // Parts on an absent mountpath may come back with it.
            let Some(at) = set.by_digest(place.mountpath) else {
                there = true;
                continue;
            };
            there |= at.has_blob(place.blob)?;
            if at.rebuilt.load(Ordering::Relaxed) {
                forget_part(at, *place)?;
            }
        }
        if !there && mountpath.rebuilt.load(Ordering::Relaxed) {
            let reason = format!("part {} of the object that it describes is missing", index + 1);
            mountpath.quarantine(meta.blob, &reason)?;
            return mountpath.commit(Change::Remove { key: key.to_vec() });
        }
    }
    Ok(())
}

/// Removes the entry that names a part as an object of its own.
fn forget_part(at: &SharedMountpath, place: Place) -> Result<(), StoreError> {
    let Some(blob) = at.find_blob(place.blob, false)? else { return Ok(()) };
    let path = at.files.blob_path(place.blob);
    let read = trailer::read(&blob).map_err(|source| StoreError::io(&path, "read", source))?;
    let Ok(description) = read else { return Ok(()) };
    if matches!(description.role, Role::Part { .. }) {
        return Ok(());
    }
    let own = codec::key(description.bid, &description.name);
    let known = at.index.get(&own)?.and_then(|value| codec::decode_place(&value));
    if known.is_some_and(|(blob, _)| blob == place.blob) {
        at.commit(Change::Remove { key: own })?;
    }
    Ok(())
}
