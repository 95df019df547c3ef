//! Refusing puts before the disk is full.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::files::Files;

/// Space that puts leave free, so that the index can always be written: deleting must work on a disk
/// that is as full as it gets.
pub(crate) const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// How long an answer of the file system is used for small puts.
const FRESH: Duration = Duration::from_millis(50);
/// With less than this left the file system is asked each time.
const AMPLE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Remembers the free space of one mountpath for a moment.
#[derive(Debug, Default)]
pub(crate) struct Space(Mutex<Option<(Instant, u64)>>);

impl Space {
    /// Checks that `bytes` more fit.
    pub(crate) fn check(&self, files: &Files, bytes: u64) -> Result<(), StoreError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let need = bytes.saturating_add(RESERVE_BYTES);
        if let Some((asked, available)) = *known
            && asked.elapsed() < FRESH
            && available.saturating_sub(AMPLE_BYTES) > need
        {
            return Ok(());
        }
        let available = files.available()?;
        *known = Some((Instant::now(), available));
        if available < need {
            return Err(StoreError::NoSpace { path: files.mountpath().to_path_buf() });
        }
        Ok(())
    }
}
