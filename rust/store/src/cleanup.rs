//! Removal of what was set aside, once nobody came for it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Bound;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::codec;
use crate::error::StoreError;
use crate::files::parse_blob_name;
use crate::meta::Place;
use crate::mountpath::SharedMountpath;
use crate::scrub::named;
use crate::set::MountpathSet;
use crate::store::Store;
use crate::stored::Stored;
use crate::tally::Amount;
use crate::trailer;

impl Store {
    /// Removes what was set aside before `before`, the time since the Unix epoch: damaged blobs, but for those that
    /// are all that is left of an object, and damaged indexes. Returns the files removed and their bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`], [`StoreError::Cancelled`], or the failure of an index; what cannot be removed is
    /// logged.
    pub fn remove_set_aside(
        &self,
        before: Duration,
        cancel: &AtomicBool,
    ) -> Result<Amount, StoreError> {
        drop(self.shared.enter()?);
        let set = self.shared.set();
        let mut old = HashMap::new();
        let mut removed = Amount::default();
        for mountpath in set.members() {
            old.extend(set_aside_before(mountpath, before));
            let index = mountpath.files.path("index.damaged");
            if is_before(&index, before) {
                remove_index(&index, &mut removed);
            }
        }
        old.retain(|place, path| !is_described(&set, *place, path).unwrap_or(true));
        if !old.is_empty() {
            keep_named(&set, &mut old, cancel)?;
        }
        for path in old.values() {
            let bytes = fs::metadata(path).map_or(0, |meta| meta.len());
            match fs::remove_file(path) {
                Ok(()) => {
                    removed.count += 1;
                    removed.bytes += bytes;
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove what was set aside");
                }
            }
        }
        Ok(removed)
    }
}

/// Blobs of a mountpath that were set aside before a moment.
fn set_aside_before(mountpath: &SharedMountpath, before: Duration) -> Vec<(Place, PathBuf)> {
    let dir = mountpath.files.path("quarantine");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let old = entries.filter(|entry| is_before(&entry.path(), before));
    let place = |entry: fs::DirEntry| {
        let blob = parse_blob_name(&entry.file_name())?;
        Some((Place { mountpath: mountpath.digest, blob }, entry.path()))
    };
    old.filter_map(place).collect()
}

/// Whether a file came to lie where it is before a moment: a link or a rename changes its status.
fn is_before(path: &Path, before: Duration) -> bool {
    let changed = fs::symlink_metadata(path).map(|meta| meta.ctime());
    changed.is_ok_and(|seconds| u64::try_from(seconds).unwrap_or(0) < before.as_secs())
}

fn remove_index(path: &Path, removed: &mut Amount) {
    let files = fs::read_dir(path).into_iter().flatten().flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum();
    match fs::remove_dir_all(path) {
        Ok(()) => {
            removed.count += 1;
            removed.bytes += bytes;
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot remove a damaged index");
        }
    }
}

/// Whether the object that a blob describes still names it.
fn is_described(set: &MountpathSet, place: Place, path: &Path) -> Result<bool, StoreError> {
    let failed = |source| StoreError::io(path, "read", source);
    let stored = Stored::whole(Arc::new(File::open(path).map_err(failed)?));
    let Ok(described) = trailer::read(&stored).map_err(failed)? else { return Ok(false) };
    let key = codec::key(described.bid, &described.name);
    for from in set.members() {
        let value = from.index.get(&key)?;
        if value.is_some_and(|value| named(from, &key, &value).contains(&place)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes those out that any entry names: of objects that were renamed since.
fn keep_named(
    set: &MountpathSet,
    old: &mut HashMap<Place, PathBuf>,
    cancel: &AtomicBool,
) -> Result<(), StoreError> {
    for from in set.members() {
        for entry in from.index.range((Bound::Unbounded, Bound::Unbounded)) {
            if cancel.load(Ordering::Relaxed) {
                return Err(StoreError::Cancelled);
            }
            let (key, value) = entry?;
            for place in named(from, &key, &value) {
                old.remove(&place);
            }
        }
    }
    Ok(())
}
