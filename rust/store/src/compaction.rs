//! Giving back the space of records that nothing refers to any more.
//!
//! Once a quarter of a full segment is waste, its live records are appended again and the file goes. So the
//! segments of a mountpath take at most a third more than what lives in them, the segment being written,
//! and what died since the last pass. Readers keep the file that they opened; writers wait for one record at
//! most. A record counts at its new place once the index says so, and the old file goes only after both are
//! on the disk: a crash, or a full disk, at any point in between loses nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StoreError;
use crate::mountpath::Mountpath;
use crate::segments::{Fill, HEADER_BYTES, Location, Record, Scan};
use crate::shared::Shared;
use crate::store::Store;

/// Share of a segment that is waste before it is worth while: one in so many bytes.
const WASTE: u64 = 4;
/// Records moved between two commits, and between two looks at whether to stop.
const BATCH: usize = 256;

/// What a pass over the segments did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments removed.
    pub segments: u64,
    /// Bytes of records that were appended again.
    pub moved_bytes: u64,
    /// Bytes that the removed segments had.
    pub freed_bytes: u64,
}

impl Store {
    /// Compacts every segment that is worth it, on all mountpaths. Blocks; ends early when `cancel` is set or
    /// the store closes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`] and others of the disk: nothing is lost, a later call goes on.
    pub fn compact(&self, cancel: &AtomicBool) -> Result<Compacted, StoreError> {
        let mut done = Compacted::default();
        for mountpath in self.shared.set().members() {
            // After a crash the index is checked first: what it does not name would be thrown away.
            if mountpath.unswept.load(Ordering::Relaxed) {
                continue;
            }
            let mut worth = mountpath.segments.full();
            worth.retain(|fill| fill.dead.saturating_mul(WASTE) >= fill.bytes);
            // Those that give most for least first.
            worth.sort_by_key(|fill| std::cmp::Reverse(fill.dead));
            for fill in worth {
                match compact_one(&self.shared, mountpath, fill, cancel) {
                    Ok(moved) => {
                        done.segments += 1;
                        done.moved_bytes += moved;
                        done.freed_bytes += fill.bytes;
                    }
                    Err(StoreError::Cancelled | StoreError::Closed) => return Ok(done),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(done)
    }
}

/// Moves the live records of a segment and removes it; returns the bytes moved.
fn compact_one(
    shared: &Shared,
    mountpath: &Mountpath,
    fill: Fill,
    cancel: &AtomicBool,
) -> Result<u64, StoreError> {
    let segments = &mountpath.segments;
    let Some(old) = segments.file(fill.number)? else { return Ok(0) };
    let path = segments.path(fill.number);
    let failed = |source| StoreError::io(&path, "read", source);
    let mut scan = Scan::new(&old).map_err(failed)?;
    let (mut moved, mut written) = (0, BTreeSet::new());
    let mut bytes = Vec::new();
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled);
        }
        // Not for the whole segment: who closes the store or changes its mountpaths waits for it.
        let _open = shared.enter()?;
        mountpath.check_writable()?;
        for _ in 0..BATCH {
            let Some(record) = scan.next().map_err(failed)? else {
                mountpath.commit_all(Vec::new())?;
                finish(mountpath, fill.number, &written)?;
                return Ok(moved);
            };
            let from = location(fill.number, &record);
            if mountpath.locations.get(&mountpath.index, record.header.blob)? != Some(from) {
                continue;
            }
            bytes.resize(from.length as usize, 0);
            let start = u64::from(from.offset) + HEADER_BYTES as u64;
            old.read_exact_at(&mut bytes, start).map_err(failed)?;
            let (payload, trailer) = bytes.split_at(record.header.payload as usize);
            // With the checksum that it had: what is damaged stays known as such.
            let to = segments.append_record(&record.header, payload, trailer)?;
            written.insert(to.segment);
            moved += record.header.stride();
            let blob = record.header.blob;
            if !mountpath.locations.relocate(&mountpath.index, blob, from, to)? {
                segments.mark_dead(to);
            }
        }
        mountpath.commit_all(Vec::new())?;
    }
}

/// Removes a segment after all that was moved from it is on the disk.
fn finish(mountpath: &Mountpath, number: u32, written: &BTreeSet<u32>) -> Result<(), StoreError> {
    for target in written {
        if let Some(file) = mountpath.segments.file(*target)? {
            let path = mountpath.segments.path(*target);
            file.sync_data().map_err(|source| StoreError::io(&path, "sync", source))?;
        }
    }
    mountpath.index.sync()?;
    mountpath.segments.remove(number)
}

/// Where a record of a segment lies.
pub(crate) fn location(segment: u32, record: &Record) -> Location {
    let length = record.header.payload.saturating_add(record.header.trailer);
    Location { segment, offset: record.offset, length }
}
