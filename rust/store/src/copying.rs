//! Copying stored payload to another mountpath, verified on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aistore_core::checksum::{ChecksumType, Hasher};

use crate::blob::BlobWriter;
use crate::error::StoreError;
use crate::meta::{BlobId, ObjectMeta, Part, Role};
use crate::mountpath::SharedMountpath;
use crate::settle::Named;
use crate::trailer;

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Copies a whole payload from the first source that has it undamaged.
pub(crate) fn copy_whole(
    meta: &ObjectMeta,
    sources: &[(SharedMountpath, BlobId)],
    home: &SharedMountpath,
    object: Named<'_>,
    cancel: &AtomicBool,
) -> Result<BlobWriter, StoreError> {
    first_good(sources, object, |mountpath, blob| {
        let mut writer = BlobWriter::new(Arc::clone(home), meta.size)?;
        let mut hasher = Hasher::new(meta.checksum_type);
        read_blob(mountpath, blob, meta.size, cancel, |bytes| {
            hasher.update(bytes);
            writer.write(bytes)
        })?;
        compare(meta.checksum_type, &meta.checksum, hasher)?;
        Ok(writer)
    })
}

/// Copies one part, publishing its blob.
pub(crate) fn copy_part(
    object: Named<'_>,
    number: u32,
    (object_meta, part): (&ObjectMeta, &Part),
    sources: &[(SharedMountpath, BlobId)],
    home: &SharedMountpath,
    cancel: &AtomicBool,
) -> Result<BlobId, StoreError> {
    let (kind, checksum) = part_checksum(object_meta, part);
    let mut writer = first_good(sources, object, |mountpath, blob| {
        // What it was copied from goes.
        let mut writer = BlobWriter::new(Arc::clone(home), part.size)?.durably();
        let mut hasher = Hasher::new(kind);
        read_blob(mountpath, blob, part.size, cancel, |bytes| {
            hasher.update(bytes);
            writer.write(bytes)
        })?;
        compare(kind, &checksum, hasher)?;
        Ok(writer)
    })?;
    let blob = home.next_id(BlobId(0))?;
    let meta = ObjectMeta {
        size: part.size,
        checksum_type: kind,
        checksum,
        blob,
        ..ObjectMeta::default()
    };
    let role = Role::Part { upload: 0, number };
    let trailer = trailer::encode(role, object.bid, object.name, &meta);
    writer.publish(&trailer, (object.bid, blob))?;
    // What names a part may be committed elsewhere.
    home.commit_durably(Vec::new())?;
    Ok(blob)
}

/// What a part is verified by. The checksum of a lone part may be that of the object.
pub(crate) fn part_checksum(object: &ObjectMeta, part: &Part) -> (ChecksumType, String) {
    if object.parts.len() == 1 && part.crc32c == 0 {
        return (object.checksum_type, object.checksum.clone());
    }
    (ChecksumType::Crc32c, format!("{:08x}", part.crc32c))
}

/// Reads the payload of one blob through `sink`.
pub(crate) fn read_blob(
    mountpath: &SharedMountpath,
    blob: BlobId,
    size: u64,
    cancel: &AtomicBool,
    mut sink: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let path = mountpath.files.blob_path(blob);
    let stored = mountpath.open_blob(blob, false)?.ok_or_else(|| StoreError::Corrupt {
        path: path.clone(),
        reason: "the blob is missing".to_owned(),
    })?;
    let mut buffer = vec![0; PIECE_BYTES.min(usize::try_from(size).unwrap_or(PIECE_BYTES))];
    let mut offset = 0;
    while offset < size {
        if cancel.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled);
        }
        let left = usize::try_from(size - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = buffer.get_mut(..left).unwrap_or_default();
        stored
            .read_exact_at(piece, offset)
            .map_err(|source| StoreError::io(&path, "read", source))?;
        sink(piece)?;
        offset += left as u64;
    }
    Ok(())
}

/// Fails when the bytes do not have the checksum; type none has nothing to compare.
pub(crate) fn compare(
    kind: ChecksumType,
    expected: &str,
    hasher: Hasher,
) -> Result<(), StoreError> {
    let computed = hasher.finish();
    if kind == ChecksumType::None || expected.is_empty() || computed == expected {
        return Ok(());
    }
    Err(StoreError::Checksum { kind, expected: expected.to_owned(), computed })
}

fn first_good<T>(
    sources: &[(SharedMountpath, BlobId)],
    object: Named<'_>,
    mut copy: impl FnMut(&SharedMountpath, BlobId) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut failure = StoreError::Corrupt {
        path: object.name.into(),
        reason: "no mountpath holds its bytes".to_owned(),
    };
    for (mountpath, blob) in sources {
        match copy(mountpath, *blob) {
            Ok(copied) => return Ok(copied),
            Err(
                error @ (StoreError::Cancelled
                | StoreError::NoSpace { .. }
                | StoreError::TooFull { .. }),
            ) => return Err(error),
            Err(error) => {
                tracing::warn!(object = object.name, mountpath = %mountpath.path().display(), %error,
                    "cannot copy from here");
                failure = error;
            }
        }
    }
    Err(failure)
}
