//! Building the index from the blobs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::codec;
use crate::error::StoreError;
use crate::files::{Files, parse_blob_name, read_dir};
use crate::index::{Change, Index};
use crate::meta::{BlobId, ObjectMeta, Role};
use crate::trailer::{self, Description};

/// Entries held in memory before they are written.
const BATCH: usize = 1024;

/// Fills an empty index with what the blobs say; returns the greatest blob id.
///
/// Of several blobs of one object the greatest id wins; the others are left for the sweep. A blob whose
/// trailer is damaged is quarantined. Reads a few hundred bytes per blob, no payload. Blobs that are parts
/// of another object are told apart once all mountpaths are open, see `manifests`.
///
/// Limit: a blob that a crash left superseded, and that no sweep has reached yet, comes back if its object
/// was deleted in between. It takes a crash, a deletion before the sweep ends, and then a lost index.
pub(crate) fn rebuild(files: &Files, index: &Index) -> Result<BlobId, StoreError> {
    let mut greatest = BlobId(0);
    let (mut objects, mut damaged) = (0_u64, 0_u64);
    let mut pending: BTreeMap<Vec<u8>, (Role, ObjectMeta)> = BTreeMap::new();
    for (_, dir) in files.blob_dirs()? {
        for entry in read_dir(&dir)? {
            let path = entry.map_err(|source| StoreError::io(&dir, "list", source))?.path();
            let description = match describe(&path)? {
                Ok(description) => description,
                Err(reason) => {
                    files.quarantine(&path, &reason)?;
                    damaged += 1;
                    continue;
                }
            };
            greatest = greatest.max(description.meta.blob);
            objects += 1;
            if matches!(description.role, Role::Part { .. }) {
                // Belongs to what names it; what nothing names is left for the sweep.
                continue;
            }
            let key = codec::key(description.bid, &description.name);
            match pending.get(&key) {
                Some((_, other)) if other.blob > description.meta.blob => {}
                _ => drop(pending.insert(key, (description.role, description.meta))),
            }
            if pending.len() >= BATCH {
                write(index, std::mem::take(&mut pending))?;
            }
        }
    }
    write(index, pending)?;
    if objects + damaged > 0 {
        let mountpath = files.mountpath().display();
        tracing::info!(%mountpath, blobs = objects, damaged, "index rebuilt from the blobs");
    }
    Ok(greatest)
}

/// Reads what the file at `path` says about itself; the inner error says what is wrong with it.
fn describe(path: &Path) -> Result<Result<Description, String>, StoreError> {
    let read = || -> io::Result<_> { trailer::read(&File::open(path)?) };
    match read() {
        Ok(Ok(described))
            if path.file_name().and_then(parse_blob_name) == Some(described.meta.blob) =>
        {
            Ok(Ok(described))
        }
        Ok(Ok(_)) => Ok(Err("its name does not match its content".to_owned())),
        Ok(Err(reason)) => Ok(Err(reason.to_owned())),
        Err(source) => match Errno::from_io_error(&source) {
            // Faults of the process or its rights, not of the file: nothing may be set aside for them.
            Some(Errno::ACCESS | Errno::PERM | Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
                Err(StoreError::io(path, "read the trailer of", source))
            }
            _ => Ok(Err(source.to_string())),
        },
    }
}

fn write(index: &Index, entries: BTreeMap<Vec<u8>, (Role, ObjectMeta)>) -> Result<(), StoreError> {
    let mut changes = Vec::with_capacity(entries.len());
    for (key, (role, meta)) in entries {
        let known = index.get(&key)?.and_then(|value| codec::decode_place(&value));
        if known.is_none_or(|(blob, _)| blob < meta.blob) {
            changes.push(Change::Set { key, value: codec::encode_entry(role, &meta) });
        }
    }
    if changes.is_empty() { Ok(()) } else { index.apply(changes) }
}

/// The greatest id among the blobs, from their names alone.
pub(crate) fn greatest_blob(files: &Files) -> Result<BlobId, StoreError> {
    let mut greatest = BlobId(0);
    for (_, dir) in files.blob_dirs()? {
        for entry in read_dir(&dir)? {
            let entry = entry.map_err(|source| StoreError::io(&dir, "list", source))?;
            if let Some(blob) = parse_blob_name(&entry.file_name()) {
                greatest = greatest.max(blob);
            }
        }
    }
    Ok(greatest)
}
