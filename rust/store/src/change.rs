//! Changes of an object's name or metadata, which leave its payload where it is.
//!
//! The blob that holds the payload describes the object as it was put. A change writes another blob, a
//! manifest, that describes the object anew and names the payload blobs as parts, and commits that.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::codec;
use crate::error::StoreError;
use crate::intents::{self, Step};
use crate::meta::{BlobId, MAX_NAME_BYTES, ObjectMeta, Part, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::shared::{Found, Shared};
use crate::store::Store;
use crate::survey::{self, Survey};
use crate::writer::{check_custom, publish_manifest};

/// What becomes of an object that is to move to another bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It moves, in place of the one that has its name there.
    Move,
    /// It goes, and the one that has its name there stays.
    Drop,
    /// Both stay.
    Leave,
}

impl Store {
    /// Changes the custom metadata of an object; `None` when there is none of that name. All else stays,
    /// the version included. The change is atomic, and survives the end of the process on return.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] when the result is larger than
    /// [`MAX_CUSTOM_BYTES`](crate::MAX_CUSTOM_BYTES); then nothing changed.
    pub fn patch_custom(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<Option<ObjectMeta>, StoreError> {
        let shared = &self.shared;
        let _open = shared.enter()?;
        let _name = shared.lock_name(bid, name);
        shared.check_unsealed(bid, name)?;
        let key = codec::key(bid, name);
        let Some(old) = shared.locate(uname, &key)? else { return Ok(None) };
        let mut custom = old.1.custom.clone();
        change(&mut custom);
        check_custom(name, &custom)?;
        if custom == old.1.custom {
            return Ok(Some(old.1));
        }
        let wanted = ObjectMeta { custom, ..old.1.clone() };
        shared.redescribe(&old, &key, wanted, (bid, uname, name), None).map(Some)
    }

    /// Gives an object another name in its bucket, in place of the object that has it, if any; `None` when
    /// there is no object of the old name. A name is the one in the cluster (`uname`), then the one in the
    /// bucket. Atomic: at every moment, and after a crash, one of the two names has the object.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for a new name that is empty, too long or the old one.
    pub fn rename(
        &self,
        bid: u64,
        from: (&str, &str),
        to: (&str, &str),
    ) -> Result<Option<ObjectMeta>, StoreError> {
        let (uname, name) = to;
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name == from.1 {
            let limits = format!("1 to {MAX_NAME_BYTES} bytes and differs from the old one");
            return Err(StoreError::Invalid(format!("a new object name has {limits}")));
        }
        let shared = &self.shared;
        let _open = shared.enter()?;
        let _names = shared.lock_names(bid, from.1, name);
        shared.check_unsealed(bid, from.1)?;
        let (old_key, key) = (codec::key(bid, from.1), codec::key(bid, name));
        let Some(old) = shared.locate(from.0, &old_key)? else { return Ok(None) };
        let home = Arc::clone(shared.set().own(uname));
        if home.digest != old.0.digest {
            home.space.check(&home.files, 0)?;
        }
        let overwritten = shared.locate(uname, &key)?;
        let wanted = old.1.clone();
        let to = (bid, uname, name);
        shared.redescribe(&old, &old_key, wanted, to, overwritten.as_ref()).map(Some)
    }
}

impl Store {
    /// Moves an object to another bucket; `None` when there is no object of the old name. A name is the
    /// bucket's id, the name in the cluster, the name in the bucket. Payload stays where it is. Atomic as
    /// [`Store::rename`], and allowed in a sealed bucket.
    ///
    /// `choose` is asked, under the locks of both names, what to do about the object and the one that has
    /// the new name already, if any.
    ///
    /// # Errors
    ///
    /// [`StoreError::Cancelled`] when that is the choice.
    pub fn move_to_bucket(
        &self,
        from: (u64, &str, &str),
        to: (u64, &str, &str),
        choose: impl FnOnce(&ObjectMeta, Option<&ObjectMeta>) -> Choice,
    ) -> Result<Option<ObjectMeta>, StoreError> {
        let shared = &self.shared;
        let _open = shared.enter()?;
        let _names = shared.lock_pair((from.0, from.2), (to.0, to.2));
        let (old_key, key) = (codec::key(from.0, from.2), codec::key(to.0, to.2));
        let Some(old) = shared.locate(from.1, &old_key)? else { return Ok(None) };
        let present = shared.locate(to.1, &key)?;
        match choose(&old.1, present.as_ref().map(|(_, meta)| meta)) {
            Choice::Move => {
                let wanted = old.1.clone();
                shared.redescribe(&old, &old_key, wanted, to, present.as_ref()).map(Some)
            }
            Choice::Drop => {
                let meta = old.1.clone();
                self.delete_locked(from.1, &old_key, from.2, None)?;
                Ok(Some(meta))
            }
            Choice::Leave => Err(StoreError::Cancelled),
        }
    }
}

impl Shared {
    /// Publishes manifests for `wanted` under the name `to` and commits them in place of `old`, and of what
    /// has that name.
    fn redescribe(
        &self,
        old: &Found,
        old_key: &[u8],
        mut wanted: ObjectMeta,
        (bid, uname, name): (u64, &str, &str),
        overwritten: Option<&Found>,
    ) -> Result<ObjectMeta, StoreError> {
        let key = codec::key(bid, name);
        let home = Arc::clone(self.set().own(uname));
        let above = overwritten.map_or(BlobId(0), |(_, meta)| meta.blob);
        let survey = self.survey_for(old_key, Some(&old.1))?;
        let known = survey.as_ref().map(|survey| known_copies(survey, old)).unwrap_or_default();
        wanted.parts = payload_of(&old.0, &old.1);
        for (mountpath, meta) in &known {
            add_places(&mut wanted.parts, &payload_of(mountpath, meta));
        }
        wanted.blob = home.next_id(above.max(old.1.blob))?;
        self.keep(&wanted.parts);
        self.settle_parts(bid, &home, &wanted.parts)?;
        let main = Place { mountpath: home.digest, blob: wanted.blob };
        let mut copies = Copies::default();
        let published = redescribe_copies(known, &wanted, main, (bid, &key, name), &mut copies);
        wanted.copies.clone_from(&copies.places);
        let published =
            published.and_then(|()| publish_manifest(&home, Role::Object, bid, name, &wanted));
        if let Err(error) = published {
            copies.abandon();
            return Err(error);
        }

        step!("change: described");
        let mut steps = vec![Step::set(&home, key.clone(), codec::encode_value(&wanted))];
        steps.extend(copies.steps);
        let mut superseded = Vec::new();
        supersede(old_key, Some(old), survey.as_ref(), &mut steps, &mut superseded);
        if key != old_key {
            let survey = self.survey_for(&key, overwritten.map(|(_, meta)| meta))?;
            supersede(&key, overwritten, survey.as_ref(), &mut steps, &mut superseded);
        }
        // After an error it is known at the next start only what the indexes hold.
        intents::commit(steps)
            .inspect_err(|_| self.set().members().iter().for_each(|one| one.leave_unswept()))?;

        step!("change: committed");
        let mut kept: HashSet<Place> = wanted.copies.iter().copied().collect();
        kept.insert(main);
        kept.extend(wanted.parts.iter().flat_map(|part| &part.places));
        superseded.retain(|place| !kept.contains(place));
        for place in superseded {
            self.discard(place);
            step!("change: old blob discarded");
        }
        Ok(wanted)
    }
}

/// Collects what is under a key and is no longer wanted: steps for the entries that none of `steps`
/// replaces, and every blob that they name.
fn supersede(
    key: &[u8],
    old: Option<&Found>,
    survey: Option<&Survey>,
    steps: &mut Vec<Step>,
    blobs: &mut Vec<Place>,
) {
    let surveyed = survey.iter().flat_map(|survey| &survey.0);
    let surveyed = surveyed.map(|found| (&found.mountpath, &found.meta));
    for (mountpath, meta) in surveyed.chain(old.map(|(mountpath, old)| (mountpath, old))) {
        let known = |step: &Step| step.mountpath.digest == mountpath.digest && step.key == key;
        if !steps.iter().any(known) {
            steps.push(Step::remove(mountpath, key.to_vec(), meta.blob));
        }
        // The description last: parts without one are never taken for an object.
        blobs.extend(meta.parts.iter().flat_map(|part| &part.places));
        blobs.push(Place { mountpath: mountpath.digest, blob: meta.blob });
    }
}

/// The copies of an object that are up to date: those that it knows, and those that know it.
fn known_copies(survey: &Survey, (home, old): &Found) -> Vec<Found> {
    let own = Place { mountpath: home.digest, blob: old.blob };
    let main = survey.0.iter().find(|found| found.place() == own);
    let knowing: Vec<Place> =
        main.iter().flat_map(|main| survey.copies_of(main)).map(survey::Found::place).collect();
    let known = survey.0.iter().filter(|found| {
        let place = found.place();
        old.copies.contains(&place) || knowing.contains(&place)
    });
    known.map(|found| (Arc::clone(&found.mountpath), found.meta.clone())).collect()
}

/// Publishes the same description on the mountpaths that hold copies of the object.
fn redescribe_copies(
    known: Vec<Found>,
    wanted: &ObjectMeta,
    main: Place,
    (bid, key, name): (u64, &[u8], &str),
    copies: &mut Copies,
) -> Result<(), StoreError> {
    for (mountpath, meta) in known {
        if mountpath.digest == main.mountpath {
            // The main description takes its place there.
            continue;
        }
        let blob = mountpath.next_id(meta.blob)?;
        let anew = ObjectMeta { blob, copies: Vec::new(), ..wanted.clone() };
        let role = Role::Copy { main };
        publish_manifest(&mountpath, role, bid, name, &anew)?;
        step!("change: description of a copy published");
        copies.steps.push(Step::set(&mountpath, key.to_vec(), codec::encode_entry(role, &anew)));
        copies.places.push(Place { mountpath: mountpath.digest, blob });
    }
    Ok(())
}

/// Adds where else the same bytes lie.
fn add_places(parts: &mut [Part], others: &[Part]) {
    if parts.len() != others.len() {
        return;
    }
    for (part, other) in parts.iter_mut().zip(others) {
        let new = other.places.iter().filter(|place| !part.places.contains(place));
        let new: Vec<Place> = new.copied().collect();
        part.places.extend(new);
    }
}

/// What becomes of the copies of an object.
#[derive(Default)]
struct Copies {
    places: Vec<Place>,
    steps: Vec<Step>,
}

impl Copies {
    /// Removes what no entry names.
    fn abandon(&self) {
        for (step, place) in self.steps.iter().zip(&self.places) {
            step.mountpath.discard(place.blob);
        }
    }
}

/// The blobs with the payload of a version, as parts. The checksum of a lone part is left out: it is the
/// object's own that covers it.
fn payload_of(mountpath: &SharedMountpath, meta: &ObjectMeta) -> Vec<Part> {
    if meta.parts.is_empty() {
        let place = Place { mountpath: mountpath.digest, blob: meta.blob };
        return vec![Part { size: meta.size, crc32c: 0, places: vec![place] }];
    }
    meta.parts.clone()
}
