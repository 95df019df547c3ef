//! Giving back the space of records that nothing refers to any more.
//!
//! Once a quarter of a full segment is waste, its live records are appended again and the file goes. So the
//! segments of a mountpath take at most a third more than what lives in them, the segment being written,
//! and what died since the last pass. Readers keep the file that they opened; writers wait for one record at
//! most. A record counts at its new place once the index says so, and the old file goes only after both are
//! on the disk: a crash, or a full disk, at any point in between loses nothing.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StoreError;
use crate::meta::BlobId;
use crate::mountpath::{Mountpath, SharedMountpath};
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
    /// Segments that could not be compacted; the log says why.
    pub failed: u64,
}

impl Store {
    /// Compacts every segment that is worth it, on all mountpaths. Blocks; ends early when `cancel` is set or
    /// the store closes, and does nothing while another call is at it. What fails loses nothing: where the
    /// disk is full a later call goes on, other segments are left as they are until the next start.
    pub fn compact(&self, cancel: &AtomicBool) -> Compacted {
        let mut done = Compacted::default();
        let Ok(_alone) = self.shared.compacting.try_lock() else { return done };
        for mountpath in self.shared.set().members() {
            // After a crash the index is checked first: what it does not name would be thrown away.
            if !mountpath.swept.load(Ordering::Acquire) {
                continue;
            }
            for fill in worth_while(mountpath) {
                match compact_one(&self.shared, mountpath, fill, cancel) {
                    Ok(moved) => {
                        done.segments += 1;
                        done.moved_bytes += moved;
                        done.freed_bytes += fill.bytes;
                    }
                    Err(StoreError::Cancelled | StoreError::Closed) => return done,
                    Err(error) => {
                        let segment = mountpath.segments.path(fill.number);
                        tracing::error!(segment = %segment.display(), %error, "a segment cannot be compacted");
                        done.failed += 1;
                        if matches!(error, StoreError::NoSpace { .. }) {
                            break;
                        }
                        mountpath.segments.avoid(fill.number);
                    }
                }
            }
        }
        done
    }
}

/// The segments that are mostly waste, those that give most first.
fn worth_while(mountpath: &Mountpath) -> Vec<Fill> {
    let segments = &mountpath.segments;
    let mut worth = segments.full();
    worth.retain(|fill| segments.waste(fill).saturating_mul(WASTE) >= segments.full_bytes());
    worth.sort_by_key(|fill| std::cmp::Reverse(segments.waste(fill)));
    worth
}

/// Moves the live records of a segment and removes it; returns the bytes moved.
fn compact_one(
    shared: &Shared,
    mountpath: &SharedMountpath,
    fill: Fill,
    cancel: &AtomicBool,
) -> Result<u64, StoreError> {
    let segments = &mountpath.segments;
    let Some(old) = segments.file(fill.number)? else { return Ok(0) };
    let path = segments.path(fill.number);
    let mut scan = Scan::new(&old).map_err(|source| StoreError::io(&path, "read", source))?;
    let mut moved = 0;
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(StoreError::Cancelled);
        }
        // Not for the whole segment: who closes the store or changes its mountpaths waits for it.
        let _open = shared.enter()?;
        if !shared.set().members().iter().any(|one| Arc::ptr_eq(one, mountpath)) {
            return Err(StoreError::Cancelled);
        }
        mountpath.check_writable()?;
        let (bytes, more) = move_batch(mountpath, fill.number, &old, &mut scan)?;
        moved += bytes;
        if !more {
            if !scan.was_sound() {
                check_forgotten(mountpath, fill.number)?;
            }
            // All of it is on the disk before the place where it came from goes.
            mountpath.settle_index()?;
            step!("compaction: all on the disk");
            segments.remove(fill.number)?;
            step!("compaction: segment removed");
            return Ok(moved);
        }
    }
}

/// Moves some records; returns their bytes, and whether there are more.
fn move_batch(
    mountpath: &Mountpath,
    number: u32,
    old: &File,
    scan: &mut Scan<'_>,
) -> Result<(u64, bool), StoreError> {
    let segments = &mountpath.segments;
    let (mut moved, mut left) = (0, Vec::new());
    let mut copies = Vec::new();
    let more = copy_batch(mountpath, number, old, scan, &mut copies);
    // Before anybody is told: commits of others take the new places along, and sync them.
    mountpath.settle_records(copies.iter().map(|(_, _, to, _)| to.segment))?;
    step!("compaction: copies on the disk");
    for (blob, from, to, stride) in copies {
        if mountpath.locations.relocate(&mountpath.index, blob, from, to)? {
            left.push(from);
            moved += stride;
        } else {
            segments.mark_dead(to);
        }
    }
    // On the disk, whatever the policies: loss of power must not take the move and leave the note of the old place.
    mountpath.commit_durably(Vec::new())?;
    step!("compaction: moves committed");
    // Should this pass end early: an index that is rebuilt must not find them alive once they are deleted.
    for from in left {
        segments.mark_dead(from);
    }
    Ok((moved, more?))
}

/// A record that was appended again: whose, from where, to where, and the bytes that it takes.
type Copied = (BlobId, Location, Location, u64);

/// Appends some live records again; returns whether there are more. What was appended before a failure counts.
fn copy_batch(
    mountpath: &Mountpath,
    number: u32,
    old: &File,
    scan: &mut Scan<'_>,
    copies: &mut Vec<Copied>,
) -> Result<bool, StoreError> {
    let segments = &mountpath.segments;
    let path = segments.path(number);
    let failed = |source| StoreError::io(&path, "read", source);
    let mut bytes = Vec::new();
    for _ in 0..BATCH {
        let Some(record) = scan.next().map_err(failed)? else {
            return Ok(false);
        };
        let (blob, from) = (record.header.blob, location(number, &record));
        if mountpath.locations.get(&mountpath.index, blob)? != Some(from) {
            continue;
        }
        bytes.resize(from.length as usize, 0);
        let start = u64::from(from.offset) + HEADER_BYTES as u64;
        old.read_exact_at(&mut bytes, start).map_err(failed)?;
        let (payload, trailer) = bytes.split_at(record.header.payload as usize);
        let mut placed = None;
        // With the checksum that it had: what is damaged stays known as such.
        segments.append_record(&record.header, payload, trailer, |at| placed = Some(at))?;
        let Some(to) = placed else { continue };
        step!("compaction: record appended again");
        copies.push((blob, from, to, record.header.stride()));
    }
    Ok(true)
}

/// Fails when the index still names records of a segment that a scan did not find.
fn check_forgotten(mountpath: &Mountpath, number: u32) -> Result<(), StoreError> {
    for entry in mountpath.index.locations() {
        let (blob, at) = entry?;
        // What is about to be forgotten is not in the way.
        let live =
            at.segment == number && mountpath.locations.get(&mountpath.index, blob)? == Some(at);
        if live {
            let reason = format!("blob {blob} is in it, but damaged");
            return Err(StoreError::Corrupt { path: mountpath.segments.path(number), reason });
        }
    }
    Ok(())
}

/// Where a record of a segment lies.
pub(crate) fn location(segment: u32, record: &Record) -> Location {
    let length = record.header.payload.saturating_add(record.header.trailer);
    Location { segment, offset: record.offset, length }
}
