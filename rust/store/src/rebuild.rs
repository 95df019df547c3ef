//! Building the index from the blobs.
//!
//! One thread reads what the blobs say, in the order in which they were written; another sorts it and hands it to
//! the index in large, ordered pieces, which become files of the index as they are: no journal, no merging.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::io::Errno;

use crate::codec;
use crate::compaction::location;
use crate::error::StoreError;
use crate::files::{Files, parse_blob_name, read_dir};
use crate::index::Index;
use crate::meta::{BlobId, Role};
use crate::segments::{Location, Scan, Segments};
use crate::stored::Stored;
use crate::trailer::{self, Description};

/// Blobs that are handed over at once.
const BATCH: usize = 1024;
/// Batches that wait to be sorted.
const WAITING: usize = 8;
/// Keys and values that are sorted in memory, with what they cost there; more make another piece.
const PIECE_BYTES: usize = 32 << 20;
/// Memory of one blob besides its key and value.
const OVERHEAD_BYTES: usize = 128;

/// Fills an empty index with what the blobs say; returns the greatest blob id.
///
/// Of several blobs of one object the greatest id wins; the others are left for the sweep. A blob whose
/// trailer is damaged is quarantined. Reads a few hundred bytes per blob, no payload but that of tiny ones. Blobs
/// that are parts of another object are told apart once all mountpaths are open, see `manifests`.
///
/// Memory: some 32 MiB, however many blobs there are.
///
/// Limit: a blob that a crash left superseded, and that no sweep has reached yet, comes back if its object
/// was deleted in between. It takes a crash, a deletion before the sweep ends, and then a lost index.
pub(crate) fn rebuild(
    files: &Files,
    segments: &Segments,
    index: &Index,
) -> Result<BlobId, StoreError> {
    let (sender, receiver) = sync_channel(WAITING);
    let (read, written) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_all(files, segments, sender));
        let written = write_all(index, receiver);
        (reader.join(), written)
    });
    // Where writing failed, reading ends early, without an error of its own.
    written?;
    let Ok(read) = read else {
        return Err(StoreError::Invalid("reading the blobs for the index panicked".to_owned()));
    };
    let Seen { greatest, blobs, damaged } = read?;
    if blobs + damaged > 0 {
        let mountpath = files.mountpath().display();
        tracing::info!(%mountpath, blobs, damaged, "index rebuilt from the blobs");
    }
    Ok(greatest)
}

/// What one blob says.
struct Found {
    blob: BlobId,
    /// In a segment.
    location: Option<Location>,
    /// Key and value; none of a part, which belongs to what names it.
    entry: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Default)]
struct Seen {
    greatest: BlobId,
    blobs: u64,
    damaged: u64,
}

/// Hands out what the blobs say.
fn read_all(
    files: &Files,
    segments: &Segments,
    sender: SyncSender<Vec<Found>>,
) -> Result<Seen, StoreError> {
    let mut found = Gathered { batch: Vec::new(), sender, seen: Seen::default(), unheard: false };
    for (_, dir) in files.blob_dirs()? {
        for entry in read_dir(&dir)? {
            let path = entry.map_err(|source| StoreError::io(&dir, "list", source))?.path();
            match describe(&path)? {
                Ok(description) => found.add(description, None),
                Err(reason) => {
                    files.quarantine(&path, &reason)?;
                    found.seen.damaged += 1;
                }
            }
        }
    }
    // In the order in which they were written: of a blob that a compaction moved, the later place counts.
    for fill in segments.fills() {
        if found.unheard {
            break;
        }
        gather_segment(segments, fill.number, &mut found)?;
    }
    found.send();
    Ok(found.seen)
}

/// What was found so far.
struct Gathered {
    batch: Vec<Found>,
    sender: SyncSender<Vec<Found>>,
    seen: Seen,
    /// Whether nobody wants more.
    unheard: bool,
}

impl Gathered {
    /// Takes note of a blob and, if it is in a segment, of where.
    fn add(&mut self, description: Description, location: Option<Location>) {
        let Description { bid, name, role, meta } = description;
        self.seen.greatest = self.seen.greatest.max(meta.blob);
        self.seen.blobs += 1;
        // A part belongs to what names it; what nothing names is left for the sweep.
        let entry = !matches!(role, Role::Part { .. });
        let entry = entry.then(|| (codec::key(bid, &name), codec::encode_entry(role, &meta)));
        self.batch.push(Found { blob: meta.blob, location, entry });
        if self.batch.len() >= BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.unheard |= self.sender.send(batch).is_err();
    }
}

/// Writes what it is handed to the index.
fn write_all(index: &Index, receiver: Receiver<Vec<Found>>) -> Result<(), StoreError> {
    let mut piece = Piece::default();
    for batch in receiver {
        for found in batch {
            piece.add(found);
        }
        if piece.bytes >= PIECE_BYTES {
            std::mem::take(&mut piece).write(index)?;
        }
    }
    piece.write(index)
}

/// What goes into the index at once.
#[derive(Default)]
struct Piece {
    entries: Vec<(Vec<u8>, BlobId, Vec<u8>)>,
    places: Vec<(BlobId, Location)>,
    bytes: usize,
}

impl Piece {
    fn add(&mut self, found: Found) {
        let Found { blob, location, entry } = found;
        self.places.extend(location.map(|location| (blob, location)));
        self.bytes += OVERHEAD_BYTES;
        if let Some((key, value)) = entry {
            self.bytes += key.len() + value.len();
            self.entries.push((key, blob, value));
        }
    }

    fn write(mut self, index: &Index) -> Result<(), StoreError> {
        // Of equals the last comes first, and stays.
        self.places.reverse();
        self.places.sort_by_key(|(blob, _)| *blob);
        self.places.dedup_by_key(|(blob, _)| *blob);
        self.entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        self.entries.dedup_by(|later, kept| later.0 == kept.0);
        let mut entries = Vec::with_capacity(self.entries.len());
        for (key, blob, value) in self.entries {
            let known = index.get(&key)?.and_then(|value| codec::decode_place(&value));
            if known.is_none_or(|(known, _)| known < blob) {
                entries.push((key, value));
            }
        }
        index.load(entries, self.places)
    }
}

/// Goes through the live records of one segment.
fn gather_segment(
    segments: &Segments,
    number: u32,
    found: &mut Gathered,
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
                found.add(description, Some(location));
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

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;
    use crate::meta::ObjectMeta;

    const MANY: u64 = 20_000;

    fn found(name: u64, blob: u64, offset: u32) -> Found {
        let meta = ObjectMeta { size: blob, blob: BlobId(blob), ..ObjectMeta::default() };
        let entry = (codec::key(1, &format!("{name:08}")), codec::encode_value(&meta));
        let location = Location { segment: 1, offset, length: 8 };
        Found { blob: meta.blob, location: Some(location), entry: Some(entry) }
    }

    #[test]
    fn the_newest_blob_and_the_last_place_win_within_a_piece_and_across_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("index"), 1 << 20).ok().unwrap();
        let newest = |name: u64| name + 2 * MANY;
        let mut piece = Piece::default();
        for name in (0..MANY).rev() {
            piece.add(found(name, newest(name), 8));
            // Superseded, and found later.
            piece.add(found(name, name + MANY, 16));
            // Moved.
            piece.add(found(name, newest(name), 24));
        }
        piece.write(&index).unwrap();
        let mut piece = Piece::default();
        for name in 0..MANY {
            piece.add(found(name, name + 1, 32));
        }
        piece.add(found(7, newest(7), 40));
        piece.write(&index).unwrap();
        // Too few for a file of their own.
        let mut piece = Piece::default();
        piece.add(found(8, newest(8) + MANY, 48));
        piece.write(&index).unwrap();
        let all = index.range((Bound::Unbounded, Bound::Unbounded));
        let blobs: Vec<BlobId> =
            all.map(|entry| codec::decode_place(&entry.unwrap().1).unwrap().0).collect();
        let wanted = (0..MANY).map(|name| BlobId(newest(name) + if name == 8 { MANY } else { 0 }));
        assert_eq!(blobs, wanted.collect::<Vec<_>>());
        let offset = |blob: u64| index.location(BlobId(blob)).unwrap().unwrap().offset;
        assert_eq!([newest(7), newest(9), MANY + 9, 10].map(offset), [40, 24, 16, 32]);
    }
}
