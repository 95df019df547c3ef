//! Turning a session into the object.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, Hasher};

use super::files::{self, OpenSession, find, name_of};
use super::intent::{self, Intent};
use super::{AppendState, COPY_BYTES, marks};
use crate::codec;
use crate::config::PutOptions;
use crate::error::StoreError;
use crate::files::{Dir, shard_of};
use crate::intents::{self, Step};
use crate::meta::{BlobId, ObjectMeta, Part, Place, Role};
use crate::mountpath::SharedMountpath;
use crate::shared::removals;
use crate::store::Store;
use crate::trailer;
use crate::writer::publish_manifest;

impl Store {
    /// Ends a session: what was appended becomes the object, in place of what it was.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownAppend`]; [`StoreError::Checksum`], after which the session goes on;
    /// [`StoreError::Corrupt`] where the disk no longer has what was appended: begin it anew;
    /// [`StoreError::Precondition`]; [`StoreError::Busy`]; [`StoreError::NoSpace`] or [`StoreError::TooFull`]
    /// where a disk has no room for one of the copies that `options` ask for, which
    /// [`set_copies`](Self::set_copies) makes afterwards. Then too the session goes on.
    pub fn flush_append(
        &self,
        (bid, uname, name): (u64, &str, &str),
        state: AppendState,
        options: &PutOptions,
    ) -> Result<ObjectMeta, StoreError> {
        let shared = &self.shared;
        drop(shared.enter()?);
        shared.check_room_for_copies(uname, options.copies, (state.size, 1))?;
        let busy = shared.appends.enter(state.id.0)?;
        let (mountpath, path) = find(shared, bid, uname, state.id.0)?;
        let OpenSession { file, crc32c, .. } = files::open(&mountpath, &path, state)?;
        let running = shared.appends.take_hasher(state);
        // Where this process has seen all of it, nothing was lost.
        let checksum = if let Some(hasher) = running.filter(|_| state.checksum == options.checksum)
        {
            hasher.finish()
        } else {
            let read = options.checksum != ChecksumType::None || mountpath.doubts.any();
            hash(&file, &path, state.size, options.checksum, crc32c.filter(|_| read))?
        };
        if let Some((kind, expected)) = &options.expected {
            let computed = if *kind == options.checksum {
                checksum.clone()
            } else {
                hash(&file, &path, state.size, *kind, None)?
            };
            if *kind != ChecksumType::None && !expected.eq_ignore_ascii_case(&computed) {
                let (kind, expected) = (*kind, expected.clone());
                return Err(StoreError::Checksum { kind, expected, computed });
            }
        }

        let _open = shared.enter()?;
        let _name = shared.lock_name(bid, name);
        shared.check_unsealed(bid, name)?;
        let key = codec::key(bid, name);
        let home = Arc::clone(shared.set().own(uname));
        home.check_writable()?;
        let old = shared.locate(uname, &key)?;
        options.check(name, || Ok(old.clone()))?;
        let mut meta = ObjectMeta {
            size: state.size,
            checksum_type: options.checksum,
            checksum,
            atime_ns: options.now_ns,
            mtime_ns: options.now_ns,
            version: options.next_version(old.as_ref().map(|(_, old)| old)),
            custom: old.as_ref().map(|(_, old)| old.custom.clone()).unwrap_or_default(),
            blob: home.next_id(old.as_ref().map_or(BlobId(0), |(_, old)| old.blob))?,
            ..ObjectMeta::default()
        };
        let before = shared.survey_for(&key, old.as_ref().map(|(_, old)| old))?;
        let promise = mountpath.policies.promise(bid);
        mountpath.note_loose(promise)?;
        let session = Session { mountpath: &mountpath, file: &file, path: &path };
        let blob = session.describe(&home, (bid, name), &mut meta)?;
        step!("flush: described");
        if !Arc::ptr_eq(&home, &mountpath) {
            shared.keep(&meta.parts);
            publish_manifest(&home, Role::Object, bid, name, &meta)?;
        }
        let intent = Intent {
            file: name_of(bid, uname, state.id.0),
            blob,
            home: Some(home.digest),
            key: key.clone(),
            value: codec::encode_value(&meta),
        };
        let intent_key = intent::key(state.id);
        if promise.is_immediate() {
            mountpath.unsynced.count_sync();
            let synced = file.sync_data().map_err(|source| StoreError::io(&path, "sync", source));
            // The session goes on, and its next flush would seem to succeed.
            synced.inspect_err(|error| mountpath.note_failure(error))?;
        }
        intent.begin(&intent_key, (&mountpath, &path), (&home, meta.blob))?;
        mountpath.unsynced.dirs([Dir::Appends, Dir::Blobs, shard_of(blob)], promise);
        if !promise.is_immediate()
            && mountpath.unsynced.file(blob, || file.try_clone().ok(), promise)
        {
            mountpath.sync_late(&file)?;
        }
        step!("flush: file is a blob");
        let mut steps = vec![Step::set(&home, key.clone(), intent.value)];
        steps.push(Step::forget(&mountpath, intent_key));
        steps.extend(removals(&key, &home, &meta, old.as_ref(), before.as_ref()));
        intents::commit(steps)?;
        step!("flush: committed");
        marks::remove(&path);
        step!("flush: mark removed");
        shared.clear(&key, &home, &meta, old, before.as_ref())?;
        drop(busy);
        Ok(meta)
    }
}

/// A session that is about to become a blob.
struct Session<'a> {
    mountpath: &'a SharedMountpath,
    file: &'a File,
    path: &'a Path,
}

impl Session<'_> {
    /// Writes the trailer behind what was appended; returns the id of the blob that the file is to be.
    /// Where the object's mountpath is another one by now, the bytes stay where they are, as a part.
    fn describe(
        &self,
        home: &SharedMountpath,
        (bid, name): (u64, &str),
        meta: &mut ObjectMeta,
    ) -> Result<BlobId, StoreError> {
        if Arc::ptr_eq(home, self.mountpath) {
            let trailer = trailer::encode(Role::Object, bid, name, meta);
            append_trailer(self.file, self.path, &trailer, meta.size)?;
            return Ok(meta.blob);
        }
        let blob = self.mountpath.next_id(BlobId(0))?;
        let part = ObjectMeta { blob, custom: BTreeMap::new(), ..meta.clone() };
        let role = Role::Part { upload: 0, number: 1 };
        let trailer = trailer::encode(role, bid, name, &part);
        append_trailer(self.file, self.path, &trailer, meta.size)?;
        let place = Place { mountpath: self.mountpath.digest, blob };
        meta.parts = vec![Part { size: meta.size, crc32c: 0, places: vec![place] }];
        Ok(blob)
    }
}

fn append_trailer(file: &File, path: &Path, trailer: &[u8], at: u64) -> Result<(), StoreError> {
    file.write_all_at(trailer, at).map_err(|source| StoreError::io(path, "write to", source))
}

/// Checksum of the first `size` bytes, which must have this crc32c where it is known.
fn hash(
    file: &File,
    path: &Path,
    size: u64,
    kind: ChecksumType,
    appended: Option<u32>,
) -> Result<String, StoreError> {
    let (mut hasher, mut crc) = (Hasher::new(kind), 0);
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    while (kind != ChecksumType::None || appended.is_some()) && at < size {
        let wanted = usize::try_from(size - at).unwrap_or(usize::MAX).min(COPY_BYTES);
        let bytes = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact_at(bytes, at).map_err(|source| StoreError::io(path, "read", source))?;
        hasher.update(bytes);
        if appended.is_some() {
            crc = crc32c::crc32c_append(crc, bytes);
        }
        at += wanted as u64;
    }
    if appended.is_some_and(|appended| appended != crc) {
        let reason = "the disk does not have what was appended to it: begin it anew".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), reason });
    }
    Ok(hasher.finish())
}
