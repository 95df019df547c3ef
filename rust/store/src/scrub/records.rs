//! The part of a pass that reads segments, each from its first record to its last.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::check::{self, Wrong};
use super::cursor::Position;
use super::source::Source;
use super::{Scrubbed, Scrubber, Suspect};
use crate::codec;
use crate::compaction::location;
use crate::error::StoreError;
use crate::mountpath::SharedMountpath;
use crate::segments::{HEADER_BYTES, Record, Scan};

/// Bytes of a segment that are read at once.
const REGION_BYTES: u64 = 256 << 10;
/// A record that begins in a region may end so far behind it.
const BEYOND_BYTES: u64 = 128 << 10;

impl Scrubber {
    /// Compares the live records of one region.
    pub(super) fn segments(
        &mut self,
        mountpath: &SharedMountpath,
        (number, offset): (u32, u64),
        done: &mut Scrubbed,
        suspects: &mut Vec<Suspect>,
    ) {
        let Some(fill) = mountpath.segments.from(number) else {
            self.cursor.position = Position::Files { dir: 0, after: 0 };
            return;
        };
        let offset = if fill.number == number { offset } else { 0 };
        let path = mountpath.segments.path(fill.number);
        let next = match File::open(&path) {
            Ok(opened) => {
                let mut source = Source::new(opened);
                let region = region(mountpath, fill.number, (&mut source, offset), done, suspects);
                region.unwrap_or_else(|error| {
                    let error = StoreError::io(&path, "read", error);
                    tracing::error!(%error, offset, "a part of a segment cannot be read");
                    Region { next: Some(offset + REGION_BYTES), odd: true }
                })
            }
            // Compacted meanwhile: what lived in it lies in one that comes later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Region { next: None, odd: false }
            }
            Err(error) => {
                let error = StoreError::io(&path, "open", error);
                tracing::error!(%error, "a segment cannot be opened");
                Region { next: None, odd: true }
            }
        };
        if next.odd {
            self.cursor.odd.insert(fill.number);
        }
        let here = next.next.filter(|offset| *offset < fill.bytes);
        self.cursor.position = match here {
            Some(offset) => Position::Segments { number: fill.number, offset },
            None => Position::Segments { number: fill.number.saturating_add(1), offset: 0 },
        };
        done.cost += REGION_BYTES.min(fill.bytes.saturating_sub(offset)).max(1);
    }
}

/// How a region ended.
struct Region {
    /// Where the next one begins; `None` at the end of the segment.
    next: Option<u64>,
    /// Whether there are bytes that are no record: a damaged header, or what a crash tore off.
    odd: bool,
}

fn region(
    mountpath: &SharedMountpath,
    number: u32,
    (source, offset): (&mut Source, u64),
    done: &mut Scrubbed,
    suspects: &mut Vec<Suspect>,
) -> io::Result<Region> {
    let length = source.file().metadata()?.len();
    let end = (offset + REGION_BYTES).min(length);
    // At once, and into memory: what follows reads it piece by piece.
    let whole = (end + BEYOND_BYTES).min(length).saturating_sub(offset);
    let mut ahead = vec![0; usize::try_from(whole).unwrap_or(0)];
    source.read(&mut ahead, offset)?;
    drop(ahead);
    let file = std::sync::Arc::clone(source.file());
    let mut scan = Scan::new(&file)?.starting_at(offset);
    let mut bytes = Vec::new();
    let next = loop {
        if scan.position() >= end {
            break (end < length).then_some(scan.position());
        }
        let Some(record) = scan.next()? else { break None };
        if one(mountpath, number, (&file, &record), &mut bytes, suspects)? {
            done.blobs += 1;
            done.bytes += record.header.stride();
        }
    };
    Ok(Region { next, odd: scan.has_skipped() || (next.is_none() && !scan.was_sound()) })
}

/// Compares one record; `false` for one that nothing refers to.
fn one(
    mountpath: &SharedMountpath,
    number: u32,
    (file, record): (&File, &Record),
    bytes: &mut Vec<u8>,
    suspects: &mut Vec<Suspect>,
) -> io::Result<bool> {
    let (blob, at) = (record.header.blob, location(number, record));
    let known = mountpath.locations.get(&mountpath.index, blob).map_err(io::Error::other)?;
    if known != Some(at) {
        return Ok(false);
    }
    bytes.resize(at.length as usize, 0);
    file.read_exact_at(bytes, u64::from(at.offset) + HEADER_BYTES as u64)?;
    if let Err(Wrong { description, .. }) = check::record(&record.header, bytes) {
        let hint = description.map(|found| codec::key(found.bid, &found.name));
        suspects.push(Suspect { at: std::sync::Arc::clone(mountpath), blob, hint });
    }
    Ok(true)
}
