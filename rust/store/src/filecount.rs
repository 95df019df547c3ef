//! How many blobs are files, and how many bytes they have.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;
use crate::files::{Files, parse_blob_name, read_dir};
use crate::meta::BlobId;
use crate::tally::Amount;

/// Count of the blobs that are files.
#[derive(Debug, Default)]
pub(crate) struct FileCount {
    state: Mutex<State>,
    /// Whether every file is counted: then changes need not be told apart any more.
    complete: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    count: i64,
    bytes: i64,
    /// How far the walk is that counts what there was at the start.
    walk: Walk,
}

#[derive(Debug, Default, Clone, Copy)]
enum Walk {
    /// It has not begun, so it will see what changes now.
    #[default]
    Ahead,
    /// Everything up to this directory and blob is counted, and every blob of a greater id than the ceiling.
    At { place: (u8, u64), ceiling: u64 },
    /// All is counted.
    Over,
}

impl FileCount {
    /// Begins with what was counted before.
    pub(crate) fn restore(&self, known: Amount) {
        let mut state = self.lock();
        state.count = i64::try_from(known.count).unwrap_or(0);
        state.bytes = i64::try_from(known.bytes).unwrap_or(0);
        state.walk = Walk::Over;
        self.complete.store(true, Ordering::Release);
    }

    /// From now on blobs with a greater id are counted as they come; those up to it by [`walk`](Self::walk).
    pub(crate) fn begin(&self, ceiling: BlobId) {
        self.lock().walk = Walk::At { place: (0, 0), ceiling: ceiling.0 };
    }

    /// Runs something that makes or removes the file of a blob, and counts what it says: +1 or -1 and bytes.
    pub(crate) fn change<T>(&self, blob: BlobId, change: impl FnOnce() -> (T, i64, u64)) -> T {
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(0);
        if self.complete.load(Ordering::Acquire) {
            let (result, sign, size) = change();
            let mut state = self.lock();
            state.count += sign;
            state.bytes += sign * bytes(size);
            return result;
        }
        // Held throughout: the walk comes before or after.
        let mut state = self.lock();
        let counted = match state.walk {
            Walk::Ahead => false,
            Walk::At { place, ceiling } => blob.0 > ceiling || (dir_of(blob), blob.0) <= place,
            Walk::Over => true,
        };
        let (result, sign, size) = change();
        if counted {
            state.count += sign;
            state.bytes += sign * bytes(size);
        }
        result
    }

    /// Counts the files that there were at the start; `false` when that was ended early.
    pub(crate) fn walk(&self, files: &Files, stop: &AtomicBool) -> Result<bool, StoreError> {
        for dir in 0..=u8::MAX {
            let path = files.blob_dir(dir);
            let mut found = Vec::new();
            if !path.exists() {
                self.pass((dir, u64::MAX));
                continue;
            }
            for entry in read_dir(&path)? {
                let entry = entry.map_err(|source| StoreError::io(&path, "list", source))?;
                found.extend(parse_blob_name(&entry.file_name()));
            }
            found.sort_unstable();
            for blob in found {
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                self.see(files, dir, blob)?;
            }
            self.pass((dir, u64::MAX));
        }
        let mut state = self.lock();
        state.walk = Walk::Over;
        self.complete.store(true, Ordering::Release);
        Ok(true)
    }

    fn see(&self, files: &Files, dir: u8, blob: BlobId) -> Result<(), StoreError> {
        let mut state = self.lock();
        let Walk::At { ceiling, .. } = state.walk else { return Ok(()) };
        if blob.0 <= ceiling
            && let Some(size) = files.blob_bytes(blob)?
        {
            state.count += 1;
            state.bytes += i64::try_from(size).unwrap_or(0);
        }
        state.walk = Walk::At { place: (dir, blob.0), ceiling };
        Ok(())
    }

    fn pass(&self, place: (u8, u64)) {
        let mut state = self.lock();
        if let Walk::At { ceiling, .. } = state.walk {
            state.walk = Walk::At { place, ceiling };
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    pub(crate) fn read(&self) -> Amount {
        let state = self.lock();
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        Amount { count: number(state.count), bytes: number(state.bytes) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dir_of(blob: BlobId) -> u8 {
    blob.0.to_le_bytes()[0]
}

/// Files of a directory that has few, and their bytes; one that goes meanwhile is passed over.
pub(crate) fn of_directory(dir: &Path) -> Amount {
    let mut found = Amount::default();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Ok(meta) = entry.metadata().map(|meta| (meta.is_file(), meta.size()))
            && meta.0
        {
            found.count += 1;
            found.bytes += meta.1;
        }
    }
    found
}
