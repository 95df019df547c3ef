//! Finding damage when an object is read, and repairing it from a copy.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aistore_core::checksum::{ChecksumType, Hasher};

use crate::codec;
use crate::copying::{compare, part_checksum, read_blob};
use crate::error::StoreError;
use crate::meta::{ObjectMeta, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::payload::{Opened, Payload};
use crate::reader::ObjectReader;
use crate::settle::{Named, Order, settle};
use crate::shared::Shared;
use crate::store::Store;
use crate::survey::Survey;

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// An object whose bytes were compared with its checksum.
#[derive(Debug)]
pub struct Verified {
    /// The object, undamaged.
    pub reader: ObjectReader,
    /// Whether it was damaged, and has been repaired from a copy.
    pub healed: bool,
}

impl Store {
    /// As [`open_object`](Self::open_object), but reads and verifies the whole payload first. A damaged
    /// object is repaired from a copy on another mountpath.
    ///
    /// # Errors
    ///
    /// [`StoreError::Checksum`] for damage that no copy can repair; otherwise as for `open_object`.
    pub fn open_verified(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
    ) -> Result<Option<Verified>, StoreError> {
        let mut healed = false;
        loop {
            let Some(reader) = self.open_object(bid, uname, name)? else { return Ok(None) };
            let Err(damage) = reader.own_disk().and_then(|own| verify(&own)) else {
                return Ok(Some(Verified { reader, healed }));
            };
            if healed {
                return Err(damage);
            }
            tracing::error!(object = name, mountpath = %reader.mountpath().display(), %damage,
                "a damaged object is read");
            let object = Named { bid, uname, name };
            if !heal(&self.shared, object, Known::default())? {
                return Err(damage);
            }
            healed = true;
        }
    }

    /// Gives one object this many copies on different mountpaths, itself included, or as many as there are
    /// mountpaths; returns the bytes written, `None` when nothing was to be done.
    ///
    /// # Errors
    ///
    /// [`StoreError::Checksum`] and others when no intact bytes are found to copy.
    pub fn set_copies(
        &self,
        bid: u64,
        uname: &str,
        name: &str,
        copies: usize,
    ) -> Result<Option<u64>, StoreError> {
        let order = Order { copies, bad: &[], renew: &[], cancel: &AtomicBool::new(false) };
        settle(&self.shared, Named { bid, uname, name }, &order)
    }

    /// The mountpaths that hold an object: its own first, then those of its copies.
    pub fn mountpaths_of(
        &self,
        meta: &ObjectMeta,
        main: &std::path::Path,
    ) -> Vec<std::path::PathBuf> {
        let set = self.shared.set();
        let copies = meta.copies.iter().filter_map(|copy| set.by_digest(copy.mountpath));
        let copies = copies.map(|mountpath| mountpath.path().to_path_buf());
        std::iter::once(main.to_owned()).chain(copies).collect()
    }
}

/// Compares the payload with the object's checksum.
fn verify(reader: &ObjectReader) -> Result<(), StoreError> {
    let meta = reader.meta();
    let mut hasher = Hasher::new(meta.checksum_type);
    let mut buffer = vec![0; PIECE_BYTES];
    let mut offset = 0;
    while offset < meta.size && meta.checksum_type != ChecksumType::None {
        let read = reader
            .read_at(&mut buffer, offset)
            .map_err(|source| StoreError::io(reader.mountpath(), "read an object on", source))?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        offset += read as u64;
    }
    compare(meta.checksum_type, &meta.checksum, hasher)
}

/// What is known of an object's blobs before their payload is compared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// Blobs that are damaged.
    pub(crate) bad: &'a [Place],
    /// Blobs whose payload may be intact, and which are to be replaced all the same.
    pub(crate) renew: &'a [Place],
}

/// Replaces the damaged blobs of an object; `false` when there is nothing to replace them from.
pub(crate) fn heal(
    shared: &Shared,
    object: Named<'_>,
    known: Known<'_>,
) -> Result<bool, StoreError> {
    let key = codec::key(object.bid, object.name);
    let set = shared.set();
    let survey = Survey::of(&set, &key, true)?;
    let Some(main) = survey.main(set.scattered) else { return Ok(false) };
    let mut bad = known.bad.to_vec();
    let mut copies = 1;
    for found in std::iter::once(main).chain(survey.copies_of(main)) {
        copies += usize::from(found.place() != main.place());
        if found.meta.parts.is_empty() && is_bad_whole(&found.mountpath, &found.meta) {
            bad.push(found.place());
        }
        for part in &found.meta.parts {
            let (kind, checksum) = part_checksum(&found.meta, part);
            for place in &part.places {
                let at = set.by_digest(place.mountpath);
                let is_good = |at| check_blob(at, place, part.size, kind, &checksum).is_ok();
                if !at.is_some_and(is_good) {
                    bad.push(*place);
                }
            }
        }
    }
    let copies = copies.max(1 + main.meta.copies.len());
    let order = Order { copies, bad: &bad, renew: known.renew, cancel: &AtomicBool::new(false) };
    match settle(shared, object, &order) {
        Ok(_) => Ok(true),
        Err(StoreError::Closed) => Err(StoreError::Closed),
        Err(error) => {
            tracing::error!(object = object.name, %error, "the object cannot be repaired");
            Ok(false)
        }
    }
}

fn is_bad_whole(mountpath: &SharedMountpath, meta: &ObjectMeta) -> bool {
    let place = Place { mountpath: mountpath.digest, blob: meta.blob };
    check_blob(mountpath, &place, meta.size, meta.checksum_type, &meta.checksum).is_err()
}

fn check_blob(
    mountpath: &SharedMountpath,
    place: &Place,
    size: u64,
    kind: ChecksumType,
    checksum: &str,
) -> Result<(), StoreError> {
    let mut hasher = Hasher::new(kind);
    read_blob(mountpath, place.blob, size, &AtomicBool::new(false), |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    compare(kind, checksum, hasher)
}

/// Opens a copy of the object under `key` that has the same content as `meta`.
pub(crate) fn open_copy(shared: &Shared, key: &[u8], meta: &ObjectMeta) -> Option<ObjectReader> {
    let set = shared.set();
    let survey = Survey::of(&set, key, true).ok()?;
    for found in &survey.0 {
        let same = found.meta.size == meta.size
            && found.meta.checksum == meta.checksum
            && found.meta.mtime_ns == meta.mtime_ns;
        if !same || !matches!(found.role, Role::Copy { .. }) {
            continue;
        }
        if let Ok(Opened::Payload(payload)) =
            Payload::open(shared, &found.mountpath, &found.meta, false)
        {
            let path = Arc::clone(found.mountpath.path());
            return Some(ObjectReader::new(meta.clone(), payload, path));
        }
    }
    None
}
