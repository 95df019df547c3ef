//! Entries and locations that were read or written lately, as they are in the index, so that most lookups need
//! neither its engine nor the operating system.
//!
//! Exact: before a change reaches the engine its keys are forgotten here, and until it is over nothing is learned
//! from readers that may have read the engine before it. A reader therefore never sees what is older than what the
//! engine, or a reader before, told. Changes come one at a time; [`Index`](crate::index::Index) sees to it.
//!
//! Bounded: each shard has a ring of so many bytes, grown as it fills, in which the newest rows take the place of the
//! oldest. A row takes 12 bytes more than its key and value, and some 4 to 8 in the table that finds it.

mod shard;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::PoisonError;

use crate::steps::has_flaw;
use crate::sync::{Mutex, MutexGuard};
use shard::Shard;

/// Readers and the writer rarely meet in one shard.
const SHARDS: usize = 64;
/// A row has at most this part of a shard's ring: larger ones would push out too many.
const ROW_SHARE: usize = 64;

pub(crate) struct Rows {
    shards: Vec<Mutex<Shard>>,
    /// Keyed, so that nobody can choose names that meet in one place.
    hasher: RandomState,
    most_row: usize,
}

/// What a reader who found nothing may teach later.
pub(crate) struct Missed {
    hash: u64,
    epoch: u64,
}

impl Rows {
    /// At most so many bytes, of which nothing is taken before there are rows.
    pub(crate) fn new(bytes: usize) -> Self {
        Self::with_shards(bytes, SHARDS)
    }

    fn with_shards(bytes: usize, shards: usize) -> Self {
        let each = bytes / shards;
        let shards = (0..shards).map(|_| Mutex::new(Shard::new(each))).collect();
        Self { shards, hasher: RandomState::new(), most_row: each / ROW_SHARE }
    }

    /// The value under `key`, made by `found`; or what [`learn`](Self::learn) wants.
    pub(crate) fn get<T>(&self, key: &[u8], found: impl FnOnce(&[u8]) -> T) -> Result<T, Missed> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash);
        match shard.get(low(hash), key).filter(|_| !shard.is_changing(low(hash))) {
            Some(value) => Ok(found(value)),
            None => Err(Missed { hash, epoch: shard.epoch }),
        }
    }

    /// Keeps what the engine had under `key` after [`get`](Self::get) missed it, unless a change came between.
    pub(crate) fn learn(&self, missed: &Missed, key: &[u8], value: &[u8]) {
        if key.len() + value.len() > self.most_row {
            return;
        }
        let mut shard = self.shard(missed.hash);
        let low = low(missed.hash);
        let known = shard.epoch == missed.epoch && !shard.is_changing(low);
        if known || has_flaw("rows: learnt late") {
            // Another reader may have been as fast.
            shard.remove(low, key);
            shard.insert(low, key, value);
        }
    }

    /// The value under this key is about to change; returns what [`end`](Self::end) wants.
    pub(crate) fn begin(&self, key: &[u8]) -> u64 {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        shard.remove(low(hash), key);
        shard.changing.push(low(hash));
        shard.epoch += 1;
        hash
    }

    /// The change of this key is over. With `value` it is known what there is now.
    pub(crate) fn end(&self, hash: u64, key: &[u8], value: Option<&[u8]>) {
        let mut shard = self.shard(hash);
        shard.epoch += 1;
        let low = low(hash);
        if let Some(at) = shard.changing.iter().position(|changing| *changing == low) {
            shard.changing.swap_remove(at);
        }
        // The same key may have come before in one change; nobody has seen that.
        shard.remove(low, key);
        if let Some(value) = value.filter(|value| key.len() + value.len() <= self.most_row) {
            shard.insert(low, key, value);
        }
    }

    /// Much changed, of keys that are not told: nobody may look anything up meanwhile.
    pub(crate) fn forget_all(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The number of shards is a small constant and never zero.
        let at = usize::try_from(hash >> 32).unwrap_or(0) % self.shards.len();
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a hash that a shard goes by.
fn low(hash: u64) -> u32 {
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
