//! Carrying out what was planned for one object: blobs get their names, entries are committed, and what they take the
//! place of goes.

use std::sync::Arc;

use super::Named;
use super::plan::Seat;
use crate::blob::BlobWriter;
use crate::codec;
use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{BlobId, ObjectMeta, Part, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;
use crate::shared::Shared;
use crate::survey::{Found, Survey};
use crate::trailer;

/// Bytes that wait for their index entries.
pub(super) struct Work {
    pub(super) seats: Vec<(Seat, Option<BlobWriter>)>,
    pub(super) parts: Vec<Part>,
    /// Blobs of parts that were written for this.
    pub(super) fresh: Vec<(SharedMountpath, BlobId)>,
    pub(super) bytes: u64,
    /// Whether others go.
    pub(super) moves: bool,
}

impl Work {
    pub(super) fn abandon(&self) {
        abandon(&self.fresh);
    }

    /// Makes the new state the current one; `false` when the object is no longer what was copied.
    pub(super) fn commit(
        self,
        shared: &Shared,
        set: &Arc<MountpathSet>,
        object: Named<'_>,
        survey: &Survey,
        main: &Found,
    ) -> Result<bool, StoreError> {
        let key = codec::key(object.bid, object.name);
        let _open = shared.enter()?;
        let _name = shared.lock_name(object.bid, object.name);
        let current = Arc::ptr_eq(set, &shared.set()) && Survey::of(set, &key, false)?.same(survey);
        if !current {
            self.abandon();
            return Ok(false);
        }
        let newest = survey.0.iter().map(|found| found.meta.blob).max().unwrap_or_default();
        let fresh = self.fresh;
        shared.keep(&self.parts);
        let settled = shared.settle_parts(object.bid, set.own(object.uname), &self.parts);
        settled.inspect_err(|_| abandon(&fresh))?;
        let written = match publish_seats(self.seats, self.parts, object, main, newest) {
            Ok(written) => written,
            Err(error) => {
                abandon(&fresh);
                return Err(error);
            }
        };
        if let Err(error) = write_entries(&key, &written, survey, self.moves) {
            // Whether the entries were written is not known: the blobs may be in use. The next start
            // sweeps those that are not.
            set.members().iter().for_each(|mountpath| mountpath.leave_unswept());
            return Err(error);
        }
        let Some(meta) = written.into_iter().next().map(|one| one.meta) else { return Ok(true) };
        let own = set.own(object.uname).digest;
        let own = Place { mountpath: own, blob: meta.blob };
        remove_superseded(shared, &key, survey, own, &meta)?;
        Ok(true)
    }
}

/// An entry whose blob is there.
struct Written {
    mountpath: SharedMountpath,
    role: Role,
    meta: ObjectMeta,
}

/// Gives all blobs their final names, or none. The object comes first, then its copies.
fn publish_seats(
    seats: Vec<(Seat, Option<BlobWriter>)>,
    parts: Vec<Part>,
    object: Named<'_>,
    main: &Found,
    newest: BlobId,
) -> Result<Vec<Written>, StoreError> {
    let mut ready = Vec::with_capacity(seats.len());
    for (seat, writer) in seats {
        let blob = match seat.blob {
            Some(blob) => blob,
            None => seat.mountpath.next_id(newest)?,
        };
        ready.push((seat.mountpath, blob, writer));
    }
    let places: Vec<Place> = ready
        .iter()
        .map(|(mountpath, blob, _)| Place { mountpath: mountpath.digest, blob: *blob })
        .collect();
    let Some((own, copies)) = places.split_first() else { return Ok(Vec::new()) };
    let meta = ObjectMeta { blob: own.blob, copies: copies.to_vec(), parts, ..main.meta.clone() };
    let (mut written, mut new): (Vec<Written>, Vec<(SharedMountpath, BlobId)>) = Default::default();
    for (rank, (mountpath, blob, writer)) in ready.into_iter().enumerate() {
        let (role, meta) = if rank == 0 {
            (Role::Object, meta.clone())
        } else {
            let entry = ObjectMeta { blob, copies: Vec::new(), ..meta.clone() };
            (Role::Copy { main: *own }, entry)
        };
        if let Some(mut writer) = writer {
            let trailer = trailer::encode(role, object.bid, object.name, &meta);
            writer.publish(&trailer, (object.bid, blob)).inspect_err(|_| abandon(&new))?;
            new.push((Arc::clone(&mountpath), blob));
            step!("settle: published");
        }
        written.push(Written { mountpath, role, meta });
    }
    Ok(written)
}

/// Commits the entries that are not there yet: copies first, the object last.
fn write_entries(
    key: &[u8],
    written: &[Written],
    before: &Survey,
    moves: bool,
) -> Result<(), StoreError> {
    for one in written.iter().rev() {
        let known = before.0.iter().any(|found| {
            Arc::ptr_eq(&found.mountpath, &one.mountpath)
                && found.role == one.role
                && found.meta == one.meta
        });
        if !known {
            let value = codec::encode_entry(one.role, &one.meta);
            let changes = vec![Change::Set { key: key.to_vec(), value }];
            if moves {
                one.mountpath.commit_durably(changes)?;
            } else {
                one.mountpath.commit_all(changes)?;
            }
            step!("settle: entry written");
        }
    }
    Ok(())
}

/// Removes blobs that no entry names.
fn abandon(blobs: &[(SharedMountpath, BlobId)]) {
    for (mountpath, blob) in blobs {
        mountpath.discard(*blob);
    }
}

/// Takes away entries and blobs that the new state does not name.
pub(crate) fn remove_superseded(
    shared: &Shared,
    key: &[u8],
    survey: &Survey,
    own: Place,
    meta: &ObjectMeta,
) -> Result<(), StoreError> {
    let seats = &meta.copies;
    for found in &survey.0 {
        let place = found.place();
        let seated_here = seats.iter().any(|seat| seat.mountpath == place.mountpath);
        if seats.contains(&place) || place == own {
            continue;
        }
        let replaced = found.mountpath.entry(key)?;
        if !seated_here && replaced.is_some_and(|(_, now)| now.blob == found.meta.blob) {
            found.mountpath.commit(Change::Remove { key: key.to_vec() })?;
        }
        found.mountpath.discard(found.meta.blob);
        step!("settle: superseded entry removed and blob discarded");
    }
    let kept: Vec<Place> = meta.parts.iter().flat_map(|part| part.places.clone()).collect();
    let before = survey.0.iter().flat_map(|found| &found.meta.parts);
    for place in before.flat_map(|part| &part.places) {
        if !kept.contains(place) {
            shared.discard(*place);
        }
    }
    Ok(())
}
