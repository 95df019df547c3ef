//! Refusing puts before the disk is full.
//!
//! Two bounds, each of its own kind: a percentage of the file system from which on nothing new is taken, which
//! an operator sets, and a reserve in bytes that nobody can switch off.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::files::Files;
use crate::mountpath::SharedMountpath;
use crate::store::Store;
use crate::sync::Mutex;

/// Space that puts leave free, so that the index can always be written: deleting must work on a disk
/// that is as full as it gets.
pub(crate) const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// How long an answer of the file system is used for small puts, and for a refusal.
const FRESH: Duration = Duration::from_millis(50);
/// How long an answer of the file system is used to tell that it is not too full.
const FILL_FRESH: Duration = Duration::from_secs(1);
/// The setting that the watermark comes from.
const OUT_OF_SPACE: &str = "space.out_of_space";
/// With less than this left the file system is asked each time.
const AMPLE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Percentage of a file system, one for all mountpaths of a store, above which nothing new is written.
#[derive(Debug, Clone)]
pub(crate) struct Watermark(Arc<AtomicU32>);

impl Default for Watermark {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(100)))
    }
}

impl Watermark {
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, percent: u32) {
        if self.get() != percent {
            self.0.store(percent, Ordering::Relaxed);
        }
    }
}

/// What a file system says of itself, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) used: u64,
    /// What can still be written.
    pub(crate) available: u64,
}

impl Room {
    /// Whether more than `percent` is in use.
    fn is_above(self, percent: u32) -> bool {
        let whole = u128::from(self.used) + u128::from(self.available);
        u128::from(self.used) * 100 > u128::from(percent) * whole
    }

    /// The part in use, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a percentage with one decimal")]
    fn percent(self) -> f64 {
        let whole = self.used.saturating_add(self.available).max(1);
        self.used as f64 * 100.0 / whole as f64
    }
}

/// Remembers the free space of one mountpath for a moment.
#[derive(Debug, Default)]
pub(crate) struct Space {
    known: Mutex<Option<(Instant, Room)>>,
    watermark: Watermark,
}

impl Space {
    pub(crate) fn new(watermark: Watermark) -> Self {
        Self { known: Mutex::default(), watermark }
    }

    /// Checks that `bytes` more of somebody's data fit.
    pub(crate) fn check(&self, files: &Files, bytes: u64) -> Result<(), StoreError> {
        self.check_fill(files, self.watermark.get(), OUT_OF_SPACE)?;
        self.check_reserve(files, bytes)
    }

    /// Checks that `bytes` fit, however full the operator wants the disk to get: for what describes data
    /// that is stored already.
    pub(crate) fn check_reserve(&self, files: &Files, bytes: u64) -> Result<(), StoreError> {
        let need = bytes.saturating_add(RESERVE_BYTES);
        let ample = |room: Room| room.available.saturating_sub(AMPLE_BYTES) > need;
        if self.known(FRESH).is_some_and(ample) {
            return Ok(());
        }
        if self.ask(files)?.available < need {
            return Err(StoreError::NoSpace { path: files.mountpath().to_path_buf() });
        }
        Ok(())
    }

    /// Checks that at most `limit` percent are in use.
    pub(crate) fn check_fill(
        &self,
        files: &Files,
        limit: u32,
        setting: &'static str,
    ) -> Result<(), StoreError> {
        if limit >= 100 || self.known(FILL_FRESH).is_some_and(|room| !room.is_above(limit)) {
            return Ok(());
        }
        // Somebody may have made room: a refusal wants fresher news.
        let room = match self.known(FRESH) {
            Some(room) => room,
            None => self.ask(files)?,
        };
        if room.is_above(limit) {
            let path = files.mountpath().to_path_buf();
            return Err(StoreError::TooFull { path, percent: room.percent(), limit, setting });
        }
        Ok(())
    }

    fn known(&self, age: Duration) -> Option<Room> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(asked, _)| asked.elapsed() < age).map(|(_, room)| room)
    }

    fn ask(&self, files: &Files) -> Result<Room, StoreError> {
        // Held while asking, so that a crowd of puts costs one question.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let room = files.room()?;
        *known = Some((Instant::now(), room));
        Ok(room)
    }
}

impl Store {
    /// Refuses new data on a mountpath once more than `percent` of its file system is in use; 100 leaves it
    /// to the reserve. Reads, deletions and changes that only describe what is stored go on. Cheap when
    /// nothing changes.
    pub fn set_out_of_space(&self, percent: u32) {
        self.shared.watermark.set(percent);
    }

    /// Checks that no mountpath has more than `percent` of its file system in use, which is what `setting`
    /// allows. Asks the file systems, at most about once per second each.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooFull`]; [`StoreError::Io`] when a file system does not answer.
    pub fn check_fill(&self, percent: u32, setting: &'static str) -> Result<(), StoreError> {
        let set = self.shared.set();
        let check = |one: &SharedMountpath| one.space.check_fill(&one.files, percent, setting);
        set.members().iter().try_for_each(check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_is_passed_by_more_than_its_percentage() {
        let room = Room { used: 95, available: 5 };
        assert!(room.is_above(94) && !room.is_above(95) && !room.is_above(100));
        assert!((room.percent() - 95.0).abs() < 1e-9);
        let whole = Room { used: u64::MAX, available: u64::MAX };
        assert!(whole.is_above(49) && !whole.is_above(50));
        assert!(!Room { used: 0, available: 0 }.is_above(0));
    }

    #[test]
    fn a_file_system_is_asked_about_once_per_second_and_a_refusal_is_fresher() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path()).unwrap();
        let watermark = Watermark::default();
        let space = Space::new(watermark.clone());
        let remember = |used, ago| {
            let at = Instant::now().checked_sub(ago).unwrap();
            *space.known.lock().unwrap() = Some((at, Room { used, available: 100 << 30 }));
        };
        watermark.set(50);
        remember(0, FILL_FRESH / 2);
        space.check_fill(&files, 50, "x").unwrap();
        remember(1 << 40, Duration::ZERO);
        let err = space.check(&files, 0).unwrap_err();
        assert!(matches!(err, StoreError::TooFull { limit: 50, .. }), "{err}");
        assert!(err.to_string().contains("space.out_of_space"), "{err}");
        space.check_reserve(&files, 0).unwrap();
        watermark.set(100);
        space.check(&files, 0).unwrap();
        // Old news of a full disk is not believed.
        remember(u64::MAX >> 1, FILL_FRESH / 2);
        let _ = space.check_fill(&files, 99, "x");
        assert!(space.known(FRESH).is_some_and(|room| room.used < u64::MAX >> 1));
    }
}
