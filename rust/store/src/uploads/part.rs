//! Receiving one part of an upload.

use std::sync::Arc;

use aistore_core::checksum::{ChecksumType, Hasher};

use super::record::{self, PartRecord};
use super::{PartInfo, UploadId};
use crate::blob::BlobWriter;
use crate::error::StoreError;
use crate::index::Change;
use crate::meta::{MAX_PARTS, Role};
use crate::shared::Shared;
use crate::store::Store;
use crate::sync::RwLockReadGuard;
use crate::writer::{RELOCATIONS, publish_part};

/// How one part is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartOptions {
    /// Expected payload bytes; refused at once when the disk cannot hold them.
    pub size_hint: u64,
    /// Checksum that the bytes must have; checked at the end.
    pub expected: Option<(ChecksumType, String)>,
    /// Whether to compute and keep the MD5 of the bytes.
    pub md5: bool,
    /// Now, in nanoseconds since the Unix epoch.
    pub now_ns: u64,
}

/// A part in progress. Dropping it leaves nothing behind. Memory: at most 64 KiB.
pub struct PartWriter {
    store: Arc<Shared>,
    id: UploadId,
    number: u32,
    bid: u64,
    name: String,
    uname: String,
    options: PartOptions,
    blob: BlobWriter,
    crc32c: u32,
    /// Of the whole upload.
    running: Option<Hasher>,
    expected: Option<Hasher>,
    md5: Option<Hasher>,
    /// Whether the upload counts this part as arriving.
    arriving: bool,
}

impl std::fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("PartWriter");
        debug.field("id", &self.id).field("number", &self.number).finish_non_exhaustive()
    }
}

impl Store {
    /// Starts to receive part `number` of an upload of object `name`.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownUpload`]; [`StoreError::Invalid`] for a number out of 1 to
    /// [`MAX_PARTS`](crate::MAX_PARTS); [`StoreError::NoSpace`].
    pub fn begin_part(
        &self,
        (bid, name): (u64, &str),
        id: UploadId,
        number: u32,
        options: PartOptions,
    ) -> Result<PartWriter, StoreError> {
        let shared = &self.shared;
        drop(shared.enter()?);
        let nth = usize::try_from(number).unwrap_or(usize::MAX);
        if nth == 0 || nth > MAX_PARTS {
            return Err(StoreError::Invalid(format!(
                "invalid chunk number {number}: parts are numbered from 1 to {MAX_PARTS}"
            )));
        }
        let session = shared.session(bid, name, id)?;
        let mountpath = Arc::clone(shared.set().spread(&session.record.uname, nth));
        let blob = BlobWriter::new(mountpath, options.size_hint)?.for_bucket(bid);
        let expected = options.expected.as_ref().map(|(kind, _)| Hasher::new(*kind));
        let md5 = options.md5.then(|| Hasher::new(ChecksumType::Md5));
        Ok(PartWriter {
            running: shared.uploads.part_begins(id.0, number),
            store: Arc::clone(shared),
            id,
            number,
            bid,
            name: name.to_owned(),
            uname: session.record.uname,
            options,
            blob,
            crc32c: 0,
            expected,
            md5,
            arriving: true,
        })
    }
}

impl PartWriter {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`] or [`StoreError::Io`]. After one the part cannot be
    /// completed: drop the writer.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        for hasher in [&mut self.running, &mut self.expected, &mut self.md5].into_iter().flatten() {
            hasher.update(bytes);
        }
        self.blob.write(bytes)
    }

    /// Payload bytes so far.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    /// Makes this the part of its number, in place of one sent before. On return it survives the end of
    /// the process.
    ///
    /// # Errors
    ///
    /// [`StoreError::Checksum`]; [`StoreError::UnknownUpload`] when the upload ended meanwhile.
    pub fn finish(mut self) -> Result<PartInfo, StoreError> {
        if let (Some((kind, expected)), Some(hasher)) =
            (self.options.expected.take(), self.expected.take())
        {
            let computed = hasher.finish();
            if !expected.eq_ignore_ascii_case(&computed) {
                return Err(StoreError::Checksum { kind, expected, computed });
            }
        }
        let md5 = self.md5.take().map(|hasher| unhex(&hasher.finish())).unwrap_or_default();
        let store = Arc::clone(&self.store);
        let _open = self.enter_settled(&store)?;
        let _upload = store.uploads.lock(self.id.0);
        let session = store.session(self.bid, &self.name, self.id)?;
        session.mountpath.check_writable()?;
        let key = record::part_key(self.id.0, self.number);
        let old = session.mountpath.index.get(&key)?;
        let role = Role::Part { upload: self.id.0, number: self.number };
        let part = publish_part(&mut self.blob, role, self.bid, &self.name, self.crc32c)?;
        step!("upload: part published");
        let (size, mtime_ns) = (part.size, self.options.now_ns);
        let record = PartRecord { part, mtime_ns, md5 };
        let recorded = session.mountpath.commit(Change::Set { key, value: record.encode() });
        // Whether the record was written is known at the next start only, which sweeps the blob if not.
        recorded.inspect_err(|_| self.blob.mountpath().leave_unswept())?;
        step!("upload: part recorded");
        if let Some(old) = old.and_then(|value| PartRecord::decode(&value)) {
            for place in old.part.places {
                store.discard(place);
            }
        }
        self.arriving = false;
        store.uploads.part_ends(self.id.0, self.running.take());
        Ok(PartInfo { number: self.number, size, mtime_ns, md5: record.md5.try_into().ok() })
    }
}

impl PartWriter {
    /// Enters the store with the bytes on a mountpath that takes new objects: the one where they were
    /// written may have left meanwhile.
    fn enter_settled<'s>(
        &mut self,
        store: &'s Shared,
    ) -> Result<RwLockReadGuard<'s, bool>, StoreError> {
        for _ in 0..RELOCATIONS {
            let open = store.enter()?;
            let set = store.set();
            if set.available().iter().any(|at| Arc::ptr_eq(at, self.blob.mountpath())) {
                return Ok(open);
            }
            // Not while the store is held: copying may take long.
            drop(open);
            let nth = usize::try_from(self.number).unwrap_or(usize::MAX);
            self.blob.relocate(Arc::clone(set.spread(&self.uname, nth)))?;
        }
        let reason = "the mountpaths changed too often while the part was sent: send it again";
        Err(StoreError::Invalid(reason.to_owned()))
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if self.arriving {
            self.store.uploads.part_ends(self.id.0, None);
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| {
        std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    text.as_bytes().chunks_exact(2).filter_map(byte).collect()
}
