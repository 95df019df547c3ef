//! Which blobs lie in segments, and where: the index's table of them, and what has yet to reach it.
//!
//! A blob's location is committed together with the entry that names the blob, in one write of the index's
//! journal, because every commit takes along what is pending here. Until then lookups find it here. After a
//! crash, a record without a location is waste, as a blob without an entry is.

use std::collections::HashMap;
use std::sync::PoisonError;

use crate::error::StoreError;
use crate::index::{Change, Index};
use crate::meta::BlobId;
use crate::segments::Location;
use crate::steps::has_flaw;
use crate::sync::{Mutex, MutexGuard};

/// Removals that wait for a commit to take them along; with more, one is made for them.
const MAX_PENDING: usize = 4096;

/// What is about to change in the table; `None` removes.
type Moves = HashMap<BlobId, Option<Location>>;

#[derive(Debug, Default)]
pub(crate) struct Locations {
    state: Mutex<State>,
    /// Held while a group is written, so that groups reach the index in the order in which they were taken:
    /// a location must not be overwritten by an older one.
    order: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    pending: Moves,
    /// Being written to the index.
    leaving: Moves,
}

impl State {
    /// What is about to be true of a blob; `None` when the index knows.
    fn known(&self, blob: BlobId) -> Option<&Option<Location>> {
        self.pending.get(&blob).or_else(|| self.leaving.get(&blob))
    }
}

impl Locations {
    /// Where a blob lies; `None` when it is in no segment.
    pub(crate) fn get(&self, index: &Index, blob: BlobId) -> Result<Option<Location>, StoreError> {
        if let Some(known) = self.lock().known(blob) {
            return Ok(*known);
        }
        index.location(blob)
    }

    /// Puts a blob where it was just written.
    pub(crate) fn place(&self, blob: BlobId, location: Location) {
        self.lock().pending.insert(blob, Some(location));
    }

    /// Forgets a blob and tells where it was. A move that comes at the same time is either over, and its
    /// new place is told, or does not take place.
    pub(crate) fn take(&self, index: &Index, blob: BlobId) -> Result<Option<Location>, StoreError> {
        let mut state = self.lock();
        let current = match state.known(blob) {
            Some(known) => *known,
            None => index.location(blob)?,
        };
        if current.is_some() {
            state.pending.insert(blob, None);
        }
        Ok(current)
    }

    /// Whether so many changes are pending that they should be written.
    pub(crate) fn is_crowded(&self) -> bool {
        self.lock().pending.len() >= MAX_PENDING
    }

    /// Whether nothing is pending.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.lock();
        state.pending.is_empty() && state.leaving.is_empty()
    }

    /// Puts a blob elsewhere if it still lies at `from`.
    pub(crate) fn relocate(
        &self,
        index: &Index,
        blob: BlobId,
        from: Location,
        to: Location,
    ) -> Result<bool, StoreError> {
        // Locked throughout: whoever forgets the blob meanwhile comes before or after.
        let mut state = self.lock();
        let current = match state.known(blob) {
            Some(known) => *known,
            None => index.location(blob)?,
        };
        let same = current == Some(from) || has_flaw("locations: moved whatever it is");
        if same {
            state.pending.insert(blob, Some(to));
        }
        Ok(same)
    }

    /// Applies changes of the index together with all that is pending, with `sync` on the disk; whether there
    /// were any.
    pub(crate) fn apply(
        &self,
        index: &Index,
        mut changes: Vec<Change>,
        sync: bool,
    ) -> Result<bool, StoreError> {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut state = self.lock();
            let taken = std::mem::take(&mut state.pending);
            changes.extend(taken.iter().map(|(blob, location)| match *location {
                Some(location) => Change::Place { blob: *blob, location },
                None => Change::Unplace { blob: *blob },
            }));
            if !has_flaw("locations: leaving unseen") {
                state.leaving = taken;
            }
        }
        if changes.is_empty() {
            return Ok(false);
        }
        step!("model: pending changes taken");
        let applied = index.apply(changes, sync);
        let mut state = self.lock();
        let left = std::mem::take(&mut state.leaving);
        if applied.is_err() {
            // What is newer stays.
            for (blob, location) in left {
                state.pending.entry(blob).or_insert(location);
            }
        }
        applied.map(|()| true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u32) -> Location {
        Location { segment: 1, offset, length: 10 }
    }

    fn index() -> (Index, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Index::open(&dir.path().join("index"), 1 << 20).ok().unwrap(), dir)
    }

    #[test]
    fn what_is_pending_is_seen_at_once_and_committed_with_the_next_change() {
        let (index, _dir) = index();
        let (locations, blob) = (Locations::default(), BlobId(7));
        locations.place(blob, at(16));
        assert_eq!(locations.get(&index, blob).unwrap(), Some(at(16)));
        assert_eq!(index.location(blob).unwrap(), None);
        let change = Change::Set { key: b"12345678name".to_vec(), value: vec![1] };
        locations.apply(&index, vec![change], false).unwrap();
        assert_eq!(index.location(blob).unwrap(), Some(at(16)));
        assert!(index.get(b"12345678name").unwrap().is_some());
        assert_eq!(locations.take(&index, blob).unwrap(), Some(at(16)));
        assert_eq!(locations.take(&index, blob).unwrap(), None);
        assert_eq!(locations.get(&index, blob).unwrap(), None);
        locations.apply(&index, Vec::new(), false).unwrap();
        assert_eq!(index.location(blob).unwrap(), None);
    }

    #[test]
    fn a_blob_is_moved_only_from_where_it_is() {
        let (index, _dir) = index();
        let (locations, blob) = (Locations::default(), BlobId(7));
        locations.place(blob, at(16));
        locations.apply(&index, Vec::new(), false).unwrap();
        assert!(!locations.relocate(&index, blob, at(99), at(200)).unwrap());
        assert!(locations.relocate(&index, blob, at(16), at(200)).unwrap());
        assert!(!locations.relocate(&index, blob, at(16), at(300)).unwrap());
        assert_eq!(locations.take(&index, blob).unwrap(), Some(at(200)));
        assert!(!locations.relocate(&index, blob, at(200), at(300)).unwrap());
        assert_eq!(locations.get(&index, blob).unwrap(), None);
    }

    #[test]
    fn lookups_never_miss_a_blob_while_groups_are_written() {
        let (index, _dir) = index();
        let locations = Locations::default();
        std::thread::scope(|scope| {
            for writer in 0..4_u64 {
                let (index, locations) = (&index, &locations);
                scope.spawn(move || {
                    for i in 0..300 {
                        let blob = BlobId(writer * 1000 + i);
                        locations.place(blob, at(16));
                        for _ in 0..3 {
                            assert!(locations.get(index, blob).unwrap().is_some());
                        }
                        locations.apply(index, Vec::new(), false).unwrap();
                        assert!(index.location(blob).unwrap().is_some());
                    }
                });
            }
        });
    }
}
