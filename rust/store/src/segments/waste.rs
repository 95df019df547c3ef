//! What of the segments is waste: records that nothing refers to, noted beside them, and room that was never filled.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::sync::{Arc, PoisonError};

use super::record::stride;
use super::{Fill, Location, Segments, dead};
use crate::error::StoreError;
use crate::files::replace_file;

/// Larger records than any that is written: payload is held back up to 64 KiB, and descriptions are small.
const MAX_RECORD_BYTES: u64 = 128 << 10;

impl Segments {
    /// Notes that nothing refers to a record any more. A list that cannot be written is tried again, see
    /// [`settle_lists`](Self::settle_lists).
    pub(crate) fn mark_dead(&self, location: Location) {
        // Held until the list has it, so that a sweep which reads the list counts nothing twice.
        let lost = self.lost.read().unwrap_or_else(PoisonError::into_inner);
        if !lost.contains(&location) {
            self.note_dead(location);
        }
    }

    /// Notes records of earlier runs as dead that a sweep found nobody to know, unless somebody did meanwhile.
    pub(crate) fn mark_lost(&self, found: &[Location]) -> Result<(), StoreError> {
        let mut lost = self.lost.write().unwrap_or_else(PoisonError::into_inner);
        let mut dead = BTreeMap::new();
        for location in found {
            let known = match dead.entry(location.segment) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(self.dead_of(location.segment)?),
            };
            if known.insert(location.offset) {
                self.note_dead(*location);
                lost.insert(*location);
            }
        }
        Ok(())
    }

    fn note_dead(&self, location: Location) {
        let bytes = stride(u64::from(location.length));
        if !self.table().add_dead(location.segment, bytes) {
            return;
        }
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.list_dead(location) {
            let path = self.list_path(location.segment);
            tracing::warn!(path = %path.display(), %error, "cannot note a dead record yet");
            owed.insert(location);
        }
    }

    /// Appends a record to the list of its segment. Called by one at a time: a torn entry is cut off before another
    /// follows, which it would shift.
    fn list_dead(&self, Location { segment, offset, length }: Location) -> io::Result<()> {
        let opened = self.table().list(segment);
        let list = match opened {
            Some(list) => list,
            None => Arc::new(dead::open(&self.list_path(segment))?),
        };
        let bytes = stride(u64::from(length));
        let appended = dead::append(&list, offset, u32::try_from(bytes).unwrap_or(u32::MAX));
        step!("segment: record noted as dead");
        match appended {
            Ok(()) => self.table().keep_list(segment, &list),
            // Whoever opens it cuts off what may have been written.
            Err(_) => self.table().close_list(segment),
        }
        appended
    }

    /// Tries once more to note dead records that no list has; `false` while there are some. A start after a run that
    /// leaves some looks for them.
    pub(crate) fn settle_lists(&self) -> bool {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.retain(|location| {
            let there = self.table().has(location.segment);
            there && self.list_dead(*location).is_err()
        });
        owed.is_empty()
    }

    /// Offsets of the records of a segment that were noted as dead.
    pub(crate) fn dead_of(
        &self,
        number: u32,
    ) -> Result<std::collections::HashSet<u32>, StoreError> {
        let path = self.list_path(number);
        let read = dead::read(&path).map_err(|source| StoreError::io(&path, "read", source))?;
        Ok(read.0)
    }

    /// Takes records from the list of a segment's dead ones for which `lives` says so; returns how many. On return that
    /// survives loss of power.
    pub(crate) fn revive(
        &self,
        number: u32,
        mut lives: impl FnMut(u32) -> Result<bool, StoreError>,
    ) -> Result<usize, StoreError> {
        // Held throughout: who notes a record as dead has taken its place from the index before.
        let _alone = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let living = self.dead_of(number)?.into_iter();
        let living = living.filter_map(|offset| match lives(offset) {
            Ok(lives) => lives.then_some(Ok(offset)),
            Err(error) => Some(Err(error)),
        });
        let living = living.collect::<Result<HashSet<u32>, StoreError>>()?;
        if living.is_empty() {
            return Ok(0);
        }
        let path = self.list_path(number);
        let bytes = fs::read(&path).map_err(|source| StoreError::io(&path, "read", source))?;
        let (kept, freed) = dead::without(&bytes, |offset| living.contains(&offset));
        replace_file(&path, &kept, true)?;
        let mut table = self.table();
        table.close_list(number);
        table.take_dead(number, freed);
        Ok(living.len())
    }

    /// How much of a segment is waste, the room included that was never filled: a start after a crash leaves
    /// the segment that was being written.
    pub(crate) fn waste(&self, fill: &Fill) -> u64 {
        let unfilled = self.full_bytes.saturating_sub(fill.bytes);
        // The last record of a full one may just not have found room.
        let unfilled = if unfilled > MAX_RECORD_BYTES { unfilled } else { 0 };
        fill.dead.saturating_add(unfilled)
    }
}
