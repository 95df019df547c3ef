//! What becomes of a blob that did not look right.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, checksum};
use rustix::fs::{Advice, fadvise};

use super::check::{self, Wrong};
use super::entries::named;
use super::files::Reading;
use super::{Fault, Suspect};
use crate::codec::{self, RESERVED_BID};
use crate::error::StoreError;
use crate::heal::{Known, heal};
use crate::index::Change;
use crate::meta::{BlobId, Place};
use crate::mountpath::{Mountpath, SharedMountpath};
use crate::resilver::Guide;
use crate::segments::{HEADER_BYTES, Header, Location, PREAMBLE, salt_of};
use crate::set::MountpathSet;
use crate::settle::Named;
use crate::shared::Shared;
use crate::stored::Stored;
use crate::trailer;
use crate::uploads;

/// How often a blob is looked for that a compaction moves meanwhile; each move takes seconds.
const ATTEMPTS: usize = 16;

/// A damaged blob, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The mountpath that it lies on.
    pub mountpath: PathBuf,
    /// Bucket id and name of the object that it belongs to, or is to, when its upload is complete.
    pub object: (u64, String),
    /// The object's name in the cluster; empty for a part of an upload.
    pub uname: String,
    /// What is wrong with it.
    pub reason: String,
    /// What was done.
    pub outcome: Outcome,
}

/// What was done about a damaged blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was replaced from an intact copy, or from its own payload; the damaged bytes are in quarantine.
    Healed,
    /// It lies in quarantine, and reading the object, or going on with the upload, is an error.
    Quarantined,
    /// It stays where it is: its payload is intact, or it cannot even be set aside.
    Left,
    /// It is not there, and nothing is to replace it.
    Missing,
}

/// Whose a blob is.
enum Owner {
    Object { bid: u64, name: String },
    Upload { bid: u64, name: String, id: u64, key: Vec<u8> },
}

/// Looks at a suspect again and deals with it; `None` when nothing is wrong, or nobody needs it.
pub(super) fn settle_suspect(
    shared: &Shared,
    suspect: &Suspect,
    guide: &Guide<'_>,
) -> Result<Option<Damage>, StoreError> {
    let (at, blob) = (&suspect.at, suspect.blob);
    let Err(Wrong { fault, reason, .. }) = look(at, blob)? else { return Ok(None) };
    let place = Place { mountpath: at.digest, blob };
    let Some(owner) = owner(&shared.set(), place, suspect.hint.as_deref())? else {
        return Ok(None);
    };
    let mut damage = Damage {
        mountpath: at.path().to_path_buf(),
        object: owner.object(),
        uname: String::new(),
        reason,
        outcome: Outcome::Left,
    };
    let kept = fault != Fault::Missing && set_aside(at, blob, &damage);
    match &owner {
        Owner::Object { bid, name } => {
            let Some(home) = guide(*bid, name) else { return Ok(None) };
            let object = Named { bid: *bid, uname: &home.uname, name };
            if replace(shared, object, place, fault)? {
                damage.outcome = Outcome::Healed;
            }
            damage.uname = home.uname;
        }
        Owner::Upload { id, key, .. } if kept && fault == Fault::Payload => {
            // Whoever completes the upload is told that the part is not there, and may send it again.
            forget_part(shared, *id, key, place)?;
        }
        Owner::Upload { .. } => {}
    }
    if damage.outcome != Outcome::Healed {
        damage.outcome = match fault {
            Fault::Missing => Outcome::Missing,
            Fault::Payload if kept => {
                let _open = shared.enter()?;
                at.discard(blob);
                Outcome::Quarantined
            }
            Fault::Payload | Fault::Description | Fault::Unreadable => Outcome::Left,
        };
    }
    // What went meanwhile was not damaged, for all that anybody could see, and what was set aside is no news.
    let told = damage.outcome == Outcome::Missing
        && (at.files.set_aside(blob).is_some() || !is_named(&shared.set(), place, &owner.key())?);
    Ok((!told).then_some(damage))
}

impl Owner {
    fn object(&self) -> (u64, String) {
        match self {
            Self::Object { bid, name } | Self::Upload { bid, name, .. } => (*bid, name.clone()),
        }
    }

    fn key(&self) -> Vec<u8> {
        match self {
            Self::Object { bid, name } => codec::key(*bid, name),
            Self::Upload { key, .. } => key.clone(),
        }
    }
}

/// Keeps the damaged bytes for a person to look at; `false` when they cannot be kept.
fn set_aside(at: &SharedMountpath, blob: BlobId, damage: &Damage) -> bool {
    let kept = at.copy_to_quarantine(blob, &damage.reason);
    kept.unwrap_or_else(|error| {
        tracing::error!(object = damage.object.1, %error, "a damaged blob cannot be set aside");
        false
    })
}

/// Replaces a blob of an object; `false` when there is nothing to replace it from.
fn replace(
    shared: &Shared,
    object: Named<'_>,
    place: Place,
    fault: Fault,
) -> Result<bool, StoreError> {
    let key = codec::key(object.bid, object.name);
    let one = [place];
    let known = match fault {
        Fault::Description => Known { bad: &[], renew: &one },
        Fault::Payload | Fault::Unreadable | Fault::Missing => Known { bad: &one, renew: &[] },
    };
    if fault == Fault::Description && restore_record(shared, place)? {
        return Ok(true);
    }
    Ok(heal(shared, object, known)? && !is_named(&shared.set(), place, &key)?)
}

/// Writes a record anew whose header alone is damaged; `false` for anything else.
fn restore_record(shared: &Shared, place: Place) -> Result<bool, StoreError> {
    let _open = shared.enter()?;
    let Some(at) = shared.by_digest(place.mountpath) else { return Ok(false) };
    let Some(from) = at.locations.get(&at.index, place.blob)? else { return Ok(false) };
    let Some(file) = at.segments.file(from.segment)? else { return Ok(false) };
    let Ok((bytes, trailer)) = content(&file, from) else { return Ok(false) };
    let described = bytes.get(trailer..).map(|bytes| trailer::of_record(bytes, from.length));
    if !matches!(described, Some(Ok(found)) if found.meta.blob == place.blob) {
        return Ok(false);
    }
    let mut placed = None;
    let (payload, trailer) = bytes.split_at_checked(trailer).unwrap_or_default();
    at.segments.append(place.blob, payload, trailer, |to| placed = Some(to))?;
    let Some(to) = placed else { return Ok(false) };
    // Before anybody is told: commits of others take the new place along, and sync it.
    at.settle_records([to.segment])?;
    let moved = at.locations.relocate(&at.index, place.blob, from, to)?;
    at.commit_all(Vec::new())?;
    at.segments.mark_dead(if moved { from } else { to });
    Ok(moved)
}

fn forget_part(shared: &Shared, id: u64, key: &[u8], place: Place) -> Result<(), StoreError> {
    let _open = shared.enter()?;
    let _upload = shared.uploads.lock(id);
    for mountpath in shared.set().members() {
        let value = mountpath.index.get(key)?;
        if value.is_some_and(|value| named(mountpath, key, &value).contains(&place)) {
            mountpath.commit(Change::Remove { key: key.to_vec() })?;
        }
    }
    Ok(())
}

/// Whose a blob is; `None` when no index names it.
fn owner(
    set: &MountpathSet,
    place: Place,
    hint: Option<&[u8]>,
) -> Result<Option<Owner>, StoreError> {
    if let Some(key) = hint
        && is_named(set, place, key)?
    {
        return owner_of(set, key);
    }
    // Rare: the object was renamed since, or the blob does not say whose it is.
    for from in set.members() {
        for entry in from.index.range((Bound::Unbounded, Bound::Unbounded)) {
            let (key, value) = entry?;
            if named(from, &key, &value).contains(&place) {
                return owner_of(set, &key);
            }
        }
    }
    Ok(None)
}

fn is_named(set: &MountpathSet, place: Place, key: &[u8]) -> Result<bool, StoreError> {
    for from in set.members() {
        let value = from.index.get(key)?;
        if value.is_some_and(|value| named(from, key, &value).contains(&place)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn owner_of(set: &MountpathSet, key: &[u8]) -> Result<Option<Owner>, StoreError> {
    let Some((bid, name)) = codec::split_key(key) else { return Ok(None) };
    if bid != RESERVED_BID {
        return Ok(Some(Owner::Object { bid, name: name.to_owned() }));
    }
    let Some(id) = uploads::of_part(name) else { return Ok(None) };
    let found = uploads::object_of(set, id)?;
    Ok(found.map(|(bid, name)| Owner::Upload { bid, name, id, key: key.to_vec() }))
}

/// Reads a blob, from the disk where the system allows that, and says what is wrong with it.
pub(super) fn look(at: &Mountpath, blob: BlobId) -> Result<Result<(), Wrong>, StoreError> {
    for _ in 0..ATTEMPTS {
        let known = at.locations.get(&at.index, blob)?;
        let seen = match known {
            Some(location) => match at.segments.file(location.segment)? {
                Some(file) => record_at(&file, blob, location),
                None => Ok(Err(Wrong::new(Fault::Missing, "its segment is missing"))),
            },
            None => match Reading::open(at, blob)? {
                Some(mut reading) => file(&mut reading),
                None => Ok(Err(Wrong::new(Fault::Missing, at.whereabouts(blob)))),
            },
        };
        let seen = seen.unwrap_or_else(|error| {
            Err(Wrong::new(Fault::Unreadable, format!("it cannot be read: {error}")))
        });
        // A compaction may have moved it, and a change removed it.
        if seen.is_ok() || at.locations.get(&at.index, blob)? == known {
            return Ok(seen);
        }
    }
    Ok(Ok(()))
}

/// Whether readers may have a blob: its payload is as it should be, or the disk does not give it, which they will see.
pub(crate) fn is_sound(at: &Mountpath, blob: BlobId) -> Result<bool, StoreError> {
    let Err(Wrong { fault, reason, .. }) = look(at, blob)? else { return Ok(true) };
    let readable = match fault {
        Fault::Payload | Fault::Missing => false,
        // What a record holds has a checksum in its header too.
        Fault::Description => at.locations.get(&at.index, blob)?.is_some(),
        Fault::Unreadable => true,
    };
    if !readable {
        tracing::error!(mountpath = %at.path().display(), %blob, reason, "lost with the power");
    }
    Ok(readable)
}

fn file(reading: &mut Reading) -> io::Result<Result<(), Wrong>> {
    reading.forget_cached();
    loop {
        if let Some(seen) = reading.read(u64::MAX)? {
            return Ok(seen);
        }
    }
}

fn record_at(file: &Arc<File>, blob: BlobId, at: Location) -> io::Result<Result<(), Wrong>> {
    let (start, length) = (u64::from(at.offset), HEADER_BYTES as u64 + u64::from(at.length));
    let _ = fadvise(file, start, std::num::NonZeroU64::new(length), Advice::DontNeed);
    if file.metadata()?.len() < start + length {
        return Ok(Err(Wrong::new(Fault::Missing, "its segment ends before it")));
    }
    let mut head = [0; HEADER_BYTES];
    file.read_exact_at(&mut head, start)?;
    let (bytes, trailer) = content(file, at)?;
    let mut preamble = [0; PREAMBLE];
    file.read_exact_at(&mut preamble, 0)?;
    let header = salt_of(&preamble).ok().and_then(|salt| Header::decode(&head, salt));
    if let Some(header) = header {
        let same =
            header.blob == blob && header.payload.saturating_add(header.trailer) == at.length;
        let other = || Err(Wrong::new(Fault::Missing, "another record lies in its place"));
        return Ok(if same { check::record(&header, &bytes) } else { other() });
    }
    Ok(Err(headless(&head, &bytes, trailer, blob)))
}

/// What is wrong with a record whose header is damaged.
fn headless(head: &[u8; HEADER_BYTES], bytes: &[u8], trailer: usize, blob: BlobId) -> Wrong {
    let (payload, described) = bytes.split_at_checked(trailer).unwrap_or_default();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let Some(description) = trailer::of_record(described, length).ok() else {
        return Wrong::new(Fault::Payload, "its header and its trailer are damaged");
    };
    let crc = Header::claimed_crc(head);
    let meta = &description.meta;
    let matches = meta.checksum_type != ChecksumType::None
        && meta.parts.is_empty()
        && checksum(meta.checksum_type, payload) == meta.checksum;
    let intact = matches || crc32c::crc32c(payload) == crc;
    if meta.blob != blob {
        return Wrong::new(Fault::Missing, "another record lies in its place");
    }
    let fault = if intact { Fault::Description } else { Fault::Payload };
    let reason = "the header of its record is damaged".to_owned();
    Wrong { fault, reason, description: Some(Box::new(description)) }
}

/// Payload and trailer of a record, and where in them the trailer begins, by what its end says.
fn content(file: &Arc<File>, at: Location) -> io::Result<(Vec<u8>, usize)> {
    let start = u64::from(at.offset) + HEADER_BYTES as u64;
    let mut bytes = vec![0; at.length as usize];
    file.read_exact_at(&mut bytes, start)?;
    let stored = Stored::record(Arc::clone(file), start, u64::from(at.length));
    let payload = match trailer::read(&stored)? {
        Ok(found) if found.meta.parts.is_empty() => found.meta.size,
        _ => 0,
    };
    Ok((bytes, usize::try_from(payload).unwrap_or(0)))
}
