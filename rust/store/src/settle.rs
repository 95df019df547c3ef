//! Bringing one object to where it belongs, with as many copies as it should have.
//!
//! The one way in which stored objects move: a mountpath that comes or goes, a change of the number of
//! copies, and the repair of a damaged copy all are a difference between where the blobs of an object
//! are and where they should be. Bytes are copied, and verified, without holding anything; only the
//! change of the index entries excludes other changes of the same name. What changed meanwhile is
//! noticed, and done again.
//!
//! Order: new copies, then the main entry, then removal of what is no longer wanted. A crash in between
//! leaves the object readable, and entries that the next run takes away.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::blob::BlobWriter;
use crate::codec;
use crate::copying::{copy_part, copy_whole};
use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{BlobId, ObjectMeta, Part, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;
use crate::shared::Shared;
use crate::survey::{Found, Survey};
use crate::trailer;

/// How often an object that changes while it is copied is tried again.
const ATTEMPTS: usize = 32;

/// An object by its names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) bid: u64,
    pub(crate) uname: &'a str,
    pub(crate) name: &'a str,
}

/// What is to be done.
pub(crate) struct Order<'a> {
    /// Wanted representations of the object, itself included; fewer when there are fewer mountpaths.
    pub(crate) copies: usize,
    /// Blobs that are known to be damaged.
    pub(crate) bad: &'a [Place],
    /// Blobs to be replaced, although their payload can be copied.
    pub(crate) renew: &'a [Place],
    /// Ends the work early.
    pub(crate) cancel: &'a AtomicBool,
}

/// Puts one object in its place; returns the payload bytes written, `None` when nothing was to be done.
pub(crate) fn settle(
    shared: &Shared,
    object: Named<'_>,
    order: &Order<'_>,
) -> Result<Option<u64>, StoreError> {
    let key = codec::key(object.bid, object.name);
    for _ in 0..ATTEMPTS {
        let set = shared.set();
        let survey = Survey::of(&set, &key, false)?;
        let Some(main) = survey.main(set.scattered) else {
            if survey.0.is_empty() || remove_strays(shared, object, &key)? {
                return Ok(None);
            }
            continue;
        };
        let plan = Plan::new(&set, object, &survey, main, order);
        if plan.is_done(&survey, main) {
            return Ok(None);
        }
        let moves = plan.moves(&survey);
        let work = match plan.write(object, main, moves, order.cancel) {
            Ok(work) => work,
            // The blobs of an object that changes meanwhile go while they are copied.
            Err(StoreError::Corrupt { .. }) if has_changed(shared, object, &key, &survey)? => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let bytes = work.bytes;
        if work.commit(shared, &set, object, &survey, main)? {
            return Ok(Some(bytes));
        }
    }
    Err(StoreError::Invalid(format!("object \"{}\" is changed too often to be moved", object.name)))
}

/// Whether there is something else under `key` by now, a change that is under way included.
fn has_changed(
    shared: &Shared,
    object: Named<'_>,
    key: &[u8],
    before: &Survey,
) -> Result<bool, StoreError> {
    let _name = shared.lock_name(object.bid, object.name);
    Ok(!Survey::of(&shared.set(), key, false)?.same(before))
}

/// Removes copies that have no object; `false` when there is something else by now.
fn remove_strays(shared: &Shared, object: Named<'_>, key: &[u8]) -> Result<bool, StoreError> {
    let _open = shared.enter()?;
    let _name = shared.lock_name(object.bid, object.name);
    let set = shared.set();
    let survey = Survey::of(&set, key, false)?;
    if survey.main(set.scattered).is_some() {
        return Ok(false);
    }
    for stray in &survey.0 {
        stray.mountpath.commit(Change::Remove { key: key.to_vec() })?;
        stray.mountpath.discard(stray.meta.blob);
        // An object that was renamed meanwhile may rely on its parts: left to a sweep, which knows what is in use.
        let homes = stray.meta.parts.iter().flat_map(|part| &part.places);
        homes.filter_map(|place| set.by_digest(place.mountpath)).for_each(|at| at.leave_unswept());
    }
    Ok(true)
}

/// One mountpath that is to hold the object or a copy, and the blob that already does.
struct Seat {
    mountpath: SharedMountpath,
    blob: Option<BlobId>,
}

/// A part and where it is to lie.
struct PartPlan {
    keep: Vec<Place>,
    add: Vec<SharedMountpath>,
}

struct Plan {
    /// The object's own mountpath first.
    seats: Vec<Seat>,
    parts: Vec<PartPlan>,
    /// Blobs with the content, to copy from.
    sources: Vec<(SharedMountpath, BlobId)>,
    part_sources: Vec<Vec<(SharedMountpath, BlobId)>>,
}

impl Plan {
    fn new(
        set: &MountpathSet,
        object: Named<'_>,
        survey: &Survey,
        main: &Found,
        order: &Order<'_>,
    ) -> Self {
        let good = |found: &&Found| !order.bad.contains(&found.place());
        let mut reps: Vec<&Found> = std::iter::once(main).chain(survey.copies_of(main)).collect();
        reps.retain(good);
        let seats = set.ranked(object.uname, order.copies).into_iter().enumerate();
        let seats = seats.map(|(rank, mountpath)| {
            let here = reps.iter().find(|found| Arc::ptr_eq(&found.mountpath, &mountpath));
            // A copy's blob calls itself one, so it cannot become the object without being rewritten.
            let fits = here.filter(|found| {
                (rank > 0 || found.role == Role::Object) && !order.renew.contains(&found.place())
            });
            Seat { blob: fits.map(|found| found.meta.blob), mountpath }
        });
        let mut seats: Vec<Seat> = seats.collect();
        let known = known_parts(main, &reps);
        let parts = known.iter().enumerate();
        let parts: Vec<_> =
            parts.map(|(index, part)| plan_part(set, object, index, part, order)).collect();
        let changes = |found: &Found| {
            parts.iter().zip(&found.meta.parts).any(|(plan, part)| plan.changes(part))
        };
        if changes(main)
            || seats.iter().any(|seat| seat.blob.is_some() && differ(seat, &reps, main))
        {
            // The descriptions name the parts: all are written anew.
            for seat in &mut seats {
                seat.blob = None;
            }
        }
        let sources = reps.iter().map(|found| (Arc::clone(&found.mountpath), found.meta.blob));
        let part_sources = known.iter().map(|part| {
            let usable = part.places.iter().filter(|place| !order.bad.contains(place));
            let found =
                usable.filter_map(|p| Some((Arc::clone(set.by_digest(p.mountpath)?), p.blob)));
            found.collect()
        });
        Self { seats, parts, sources: sources.collect(), part_sources: part_sources.collect() }
    }

    /// Whether everything is as it should be.
    fn is_done(&self, survey: &Survey, main: &Found) -> bool {
        let Some((own, others)) = self.seats.split_first() else { return true };
        let place = |seat: &Seat| Place {
            mountpath: seat.mountpath.digest,
            blob: seat.blob.unwrap_or_default(),
        };
        let copies: Vec<Place> = others.iter().map(place).collect();
        self.seats.iter().all(|seat| seat.blob.is_some())
            && place(own) == main.place()
            && main.role == Role::Object
            && main.meta.copies == copies
            && survey.0.len() == self.seats.len()
    }

    /// Whether a blob goes for which another one comes.
    fn moves(&self, survey: &Survey) -> bool {
        let stays = |found: &Found| {
            let here = |seat: &Seat| Arc::ptr_eq(&seat.mountpath, &found.mountpath);
            self.seats.iter().any(|seat| here(seat) && seat.blob == Some(found.meta.blob))
        };
        !survey.0.iter().all(stays)
    }

    /// Writes the bytes that are missing somewhere; `moves`: so that they are on the disk before others go.
    fn write(
        self,
        object: Named<'_>,
        main: &Found,
        moves: bool,
        cancel: &AtomicBool,
    ) -> Result<Work, StoreError> {
        let (seats, parts, fresh) = (Vec::new(), Vec::new(), Vec::new());
        let mut work = Work { seats, parts, fresh, bytes: 0, moves };
        let parts = main.meta.parts.iter().zip(&self.parts).zip(&self.part_sources);
        for (index, ((part, plan), sources)) in parts.enumerate() {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            let mut places = plan.keep.clone();
            for home in &plan.add {
                let blob = copy_part(object, number, (&main.meta, part), sources, home, cancel)
                    .inspect_err(|_| work.abandon())?;
                step!("settle: part copied");
                work.fresh.push((Arc::clone(home), blob));
                work.bytes += part.size;
                places.push(Place { mountpath: home.digest, blob });
            }
            work.parts.push(Part { places, ..part.clone() });
        }
        for seat in self.seats {
            let written = match seat.blob {
                Some(_) => None,
                None if main.meta.parts.is_empty() => {
                    work.bytes += main.meta.size;
                    let written =
                        copy_whole(&main.meta, &self.sources, &seat.mountpath, object, cancel);
                    Some(written.inspect_err(|_| work.abandon())?)
                }
                None => Some(
                    BlobWriter::for_description(Arc::clone(&seat.mountpath))
                        .inspect_err(|_| work.abandon())?,
                ),
            };
            let written = written.map(|one| if moves { one.durably() } else { one });
            work.seats.push((seat, written));
        }
        Ok(work)
    }
}

impl PartPlan {
    fn changes(&self, part: &Part) -> bool {
        !self.add.is_empty() || self.keep != part.places
    }
}

/// Whether the description on a seat names other parts than that of the object.
fn differ(seat: &Seat, reps: &[&Found], main: &Found) -> bool {
    let here = reps.iter().find(|found| Arc::ptr_eq(&found.mountpath, &seat.mountpath));
    here.is_some_and(|found| found.meta.parts != main.meta.parts)
}

/// The parts of an object with every place that any of its descriptions names.
fn known_parts(main: &Found, reps: &[&Found]) -> Vec<Part> {
    let (mut known, count) = (main.meta.parts.clone(), main.meta.parts.len());
    for rep in reps.iter().filter(|rep| rep.meta.parts.len() == count) {
        for (part, other) in known.iter_mut().zip(&rep.meta.parts) {
            let new = other.places.iter().filter(|place| !part.places.contains(place));
            let new: Vec<Place> = new.copied().collect();
            part.places.extend(new);
        }
    }
    known
}

/// Parts may lie on any mountpath that takes objects, each copy on another one; the places that they
/// have are kept.
fn plan_part(
    set: &MountpathSet,
    object: Named<'_>,
    index: usize,
    part: &Part,
    order: &Order<'_>,
) -> PartPlan {
    let usable = |place: &&Place| {
        let home = set.available().iter().find(|one| one.digest == place.mountpath);
        !order.bad.contains(place)
            && !order.renew.contains(place)
            && home.is_some_and(|home| home.has_blob(place.blob).unwrap_or(false))
    };
    let most = order.copies.clamp(1, set.available().len());
    let keep: Vec<Place> = part.places.iter().filter(usable).take(most).copied().collect();
    let ranked = set.ranked(&format!("{}\n{index}", object.uname), usize::MAX).into_iter();
    let free = ranked.filter(|one| keep.iter().all(|place| place.mountpath != one.digest));
    let add = free.take(most - keep.len()).collect();
    PartPlan { keep, add }
}

/// Bytes that wait for their index entries.
struct Work {
    seats: Vec<(Seat, Option<BlobWriter>)>,
    parts: Vec<Part>,
    /// Blobs of parts that were written for this.
    fresh: Vec<(SharedMountpath, BlobId)>,
    bytes: u64,
    /// Whether others go.
    moves: bool,
}

impl Work {
    fn abandon(&self) {
        abandon(&self.fresh);
    }

    /// Makes the new state the current one; `false` when the object is no longer what was copied.
    fn commit(
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

#[cfg(test)]
mod tests;
