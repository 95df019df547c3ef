//! Removal of blobs that a crash left without an index entry.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::codec;
use crate::error::StoreError;
use crate::files::{parse_blob_name, read_dir};
use crate::meta::BlobId;
use crate::mountpath::{Mountpath, SharedMountpath};

/// More orphans than a crash can leave: each call under way leaves two at most, a bucket being destroyed
/// one batch. Beyond it the index itself must have lost entries, and removing blobs would turn that into
/// loss of data.
const MAX_ORPHANS: usize = 4096;
/// Referenced ids held in memory at once (8 bytes each); more objects mean more passes over the index.
const IDS_PER_PASS: usize = 512 * 1024;
/// Blob directories.
const DIRS: usize = 256;

/// How a sweep ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Everything was looked at; so many blobs were removed.
    Done(usize),
    /// It was cancelled.
    Cancelled,
    /// Too many blobs without an entry: none removed, and the next start rebuilds the index.
    Suspicious,
}

/// Starts a sweep of each mountpath that needs one.
pub(crate) fn start(
    mountpaths: &[SharedMountpath],
    cancel: &Arc<AtomicBool>,
) -> Result<Vec<JoinHandle<()>>, StoreError> {
    let mut sweepers = Vec::new();
    for mountpath in mountpaths {
        if !mountpath.unswept.load(Ordering::Relaxed) {
            continue;
        }
        let (mountpath, cancel) = (Arc::clone(mountpath), Arc::clone(cancel));
        let path = Arc::clone(mountpath.path());
        let body = move || run(&mountpath, &cancel);
        let sweeper = std::thread::Builder::new()
            .name("store-sweep".to_owned())
            .spawn(body)
            .map_err(|source| StoreError::io(&path, "start the sweep of", source))?;
        sweepers.push(sweeper);
    }
    Ok(sweepers)
}

fn run(mountpath: &Mountpath, cancel: &AtomicBool) {
    // Cleared first: a blob that cannot be removed meanwhile sets it again.
    mountpath.unswept.store(false, Ordering::Relaxed);
    let path = mountpath.path().display();
    match sweep(mountpath, cancel) {
        Ok(Outcome::Done(removed)) => {
            if removed > 0 {
                tracing::info!(mountpath = %path, removed, "superseded blobs of an earlier run removed");
            }
        }
        Ok(Outcome::Cancelled | Outcome::Suspicious) => {
            mountpath.unswept.store(true, Ordering::Relaxed);
        }
        Err(error) => {
            tracing::error!(mountpath = %path, %error, "the sweep of superseded blobs failed");
            mountpath.unswept.store(true, Ordering::Relaxed);
        }
    }
}

/// Removes the blobs of earlier runs that the index does not refer to.
///
/// An id of an earlier run never enters the index again, so a blob that is an orphan now stays one:
/// no lock is needed against concurrent puts and deletes.
fn sweep(mountpath: &Mountpath, cancel: &AtomicBool) -> Result<Outcome, StoreError> {
    let Some(orphans) = find_orphans(mountpath, cancel)? else { return Ok(Outcome::Cancelled) };
    if orphans.len() > MAX_ORPHANS {
        tracing::error!(mountpath = %mountpath.path().display(), limit = MAX_ORPHANS,
            "the index lacks many blobs: nothing is removed, the next start rebuilds the index");
        mountpath.request_rebuild();
        return Ok(Outcome::Suspicious);
    }
    for orphan in &orphans {
        mountpath.discard(*orphan);
    }
    Ok(Outcome::Done(orphans.len()))
}

/// Stops early once there are more than [`MAX_ORPHANS`]; `None` when cancelled.
fn find_orphans(
    mountpath: &Mountpath,
    cancel: &AtomicBool,
) -> Result<Option<Vec<BlobId>>, StoreError> {
    let passes = (mountpath.index.approximate_len() / IDS_PER_PASS + 1).min(DIRS);
    let dirs = mountpath.files.blob_dirs()?;
    let mut orphans = Vec::new();
    for pass in 0..passes {
        let mine = |low_byte: u8| usize::from(low_byte) % passes == pass;
        let mut referenced = HashSet::new();
        for entry in mountpath.index.range((Bound::Unbounded, Bound::Unbounded)) {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let (key, value) = entry?;
            if codec::split_key(&key).is_none() {
                continue;
            }
            let Some((blob, _)) = codec::decode_place(&value) else {
                return Err(mountpath.damaged_entry());
            };
            if blob <= mountpath.first_of_run && mine(blob.0.to_le_bytes()[0]) {
                referenced.insert(blob);
            }
        }
        for (_, dir) in dirs.iter().filter(|(number, _)| mine(*number)) {
            for entry in read_dir(dir)? {
                if cancel.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let entry = entry.map_err(|source| StoreError::io(dir, "list", source))?;
                let Some(blob) = parse_blob_name(&entry.file_name()) else { continue };
                if blob <= mountpath.first_of_run && !referenced.contains(&blob) {
                    orphans.push(blob);
                    if orphans.len() > MAX_ORPHANS {
                        return Ok(Some(orphans));
                    }
                }
            }
        }
    }
    Ok(Some(orphans))
}
