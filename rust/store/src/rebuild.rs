//! Building the index from the blobs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::codec;
use crate::compaction::location;
use crate::error::StoreError;
use crate::files::{Files, parse_blob_name, read_dir};
use crate::index::{Change, Index};
use crate::meta::{BlobId, ObjectMeta, Role};
use crate::segments::{Location, Scan, Segments};
use crate::stored::Stored;
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
pub(crate) fn rebuild(
    files: &Files,
    segments: &Segments,
    index: &Index,
) -> Result<BlobId, StoreError> {
    let mut found =
        Gathered { index, pending: BTreeMap::new(), places: Vec::new(), seen: Seen::default() };
    for (_, dir) in files.blob_dirs()? {
        for entry in read_dir(&dir)? {
            let path = entry.map_err(|source| StoreError::io(&dir, "list", source))?.path();
            match describe(&path)? {
                Ok(description) => found.add(description, None)?,
                Err(reason) => {
                    files.quarantine(&path, &reason)?;
                    found.seen.damaged += 1;
                }
            }
        }
    }
    // In the order in which they were written: of a blob that a compaction moved, the later place counts.
    for fill in segments.fills() {
        gather_segment(segments, fill.number, &mut found)?;
    }
    found.write()?;
    let Seen { greatest, blobs, damaged } = found.seen;
    if blobs + damaged > 0 {
        let mountpath = files.mountpath().display();
        tracing::info!(%mountpath, blobs, damaged, "index rebuilt from the blobs");
    }
    Ok(greatest)
}

/// What was found so far.
struct Gathered<'i> {
    index: &'i Index,
    pending: BTreeMap<Vec<u8>, (Role, ObjectMeta)>,
    places: Vec<Change>,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    greatest: BlobId,
    blobs: u64,
    damaged: u64,
}

impl Gathered<'_> {
    /// Takes note of a blob and, if it is in a segment, of where.
    fn add(
        &mut self,
        description: Description,
        location: Option<Location>,
    ) -> Result<(), StoreError> {
        let blob = description.meta.blob;
        self.seen.greatest = self.seen.greatest.max(blob);
        self.seen.blobs += 1;
        if let Some(location) = location {
            self.places.push(Change::Place { blob, location });
        }
        // A part belongs to what names it; what nothing names is left for the sweep.
        if !matches!(description.role, Role::Part { .. }) {
            let key = codec::key(description.bid, &description.name);
            match self.pending.get(&key) {
                Some((_, other)) if other.blob > blob => {}
                _ => drop(self.pending.insert(key, (description.role, description.meta))),
            }
        }
        if self.pending.len() + self.places.len() >= BATCH { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let mut changes = std::mem::take(&mut self.places);
        for (key, (role, meta)) in std::mem::take(&mut self.pending) {
            let known = self.index.get(&key)?.and_then(|value| codec::decode_place(&value));
            if known.is_none_or(|(blob, _)| blob < meta.blob) {
                changes.push(Change::Set { key, value: codec::encode_entry(role, &meta) });
            }
        }
        if changes.is_empty() { Ok(()) } else { self.index.apply(changes, false) }
    }
}

/// Goes through the live records of one segment.
fn gather_segment(
    segments: &Segments,
    number: u32,
    found: &mut Gathered<'_>,
) -> Result<(), StoreError> {
    let Some(file) = segments.file(number)? else { return Ok(()) };
    let failed = |source| StoreError::io(&segments.path(number), "read", source);
    let dead = segments.dead_of(number)?;
    let mut scan = Scan::new(&file).map_err(failed)?;
    while let Some(record) = scan.next().map_err(failed)? {
        if dead.contains(&record.offset) {
            continue;
        }
        let location = location(number, &record);
        let described = scan.trailer(&record).map_err(failed)?;
        let described = trailer::of_record(described, location.length);
        match described {
            Ok(description) if description.meta.blob == record.header.blob => {
                found.add(description, Some(location))?;
            }
            Ok(_) | Err(_) => {
                tracing::error!(segment = %segments.path(number).display(), offset = record.offset,
                    "a record that does not describe itself is passed over");
                found.seen.damaged += 1;
            }
        }
    }
    Ok(())
}

/// Reads what the file at `path` says about itself; the inner error says what is wrong with it.
fn describe(path: &Path) -> Result<Result<Description, String>, StoreError> {
    let read = || -> io::Result<_> { trailer::read(&Stored::whole(Arc::new(File::open(path)?))) };
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

/// The greatest id among the blobs, from their names and headers alone.
pub(crate) fn greatest_blob(files: &Files, segments: &Segments) -> Result<BlobId, StoreError> {
    let mut greatest = BlobId(0);
    for fill in segments.fills() {
        let Some(file) = segments.file(fill.number)? else { continue };
        let failed = |source| StoreError::io(&segments.path(fill.number), "read", source);
        let mut scan = Scan::new(&file).map_err(failed)?;
        while let Some(record) = scan.next().map_err(failed)? {
            greatest = greatest.max(record.header.blob);
        }
    }
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
