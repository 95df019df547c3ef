//! What is missing or too much of one object, and where.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::work::Work;
use super::{Named, Order};
use crate::blob::BlobWriter;
use crate::copying::{copy_part, copy_whole};
use crate::error::StoreError;
use crate::meta::{BlobId, Part, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::set::MountpathSet;
use crate::survey::{Found, Survey};

/// One mountpath that is to hold the object or a copy, and the blob that already does.
pub(super) struct Seat {
    pub(super) mountpath: SharedMountpath,
    pub(super) blob: Option<BlobId>,
}

/// A part and where it is to lie.
pub(super) struct PartPlan {
    keep: Vec<Place>,
    add: Vec<SharedMountpath>,
}

pub(super) struct Plan {
    /// The object's own mountpath first.
    seats: Vec<Seat>,
    parts: Vec<PartPlan>,
    /// Blobs with the content, to copy from.
    sources: Vec<(SharedMountpath, BlobId)>,
    part_sources: Vec<Vec<(SharedMountpath, BlobId)>>,
}

impl Plan {
    pub(super) fn new(
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
    pub(super) fn is_done(&self, survey: &Survey, main: &Found) -> bool {
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
    pub(super) fn moves(&self, survey: &Survey) -> bool {
        let stays = |found: &Found| {
            let here = |seat: &Seat| Arc::ptr_eq(&seat.mountpath, &found.mountpath);
            self.seats.iter().any(|seat| here(seat) && seat.blob == Some(found.meta.blob))
        };
        !survey.0.iter().all(stays)
    }

    /// Writes the bytes that are missing somewhere; `moves`: so that they are on the disk before others go.
    pub(super) fn write(
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
