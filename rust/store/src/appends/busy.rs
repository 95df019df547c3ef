//! Which sessions are being worked on, and their running checksums.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aistore_core::checksum::Hasher;
use lru::LruCache;

use super::{AppendId, AppendState};
use crate::error::StoreError;

/// Sessions whose checksum is kept between appends; that of others is computed from the file at the flush.
const HASHED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Append sessions while the process runs.
#[derive(Clone)]
pub(crate) struct Appends(Arc<Mutex<State>>);

struct State {
    busy: HashSet<u64>,
    hashed: LruCache<u64, (AppendState, Hasher)>,
}

impl std::fmt::Debug for Appends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appends").finish_non_exhaustive()
    }
}

impl Default for Appends {
    fn default() -> Self {
        let mut hashed = LruCache::unbounded();
        hashed.resize(HASHED);
        Self(Arc::new(Mutex::new(State { busy: HashSet::new(), hashed })))
    }
}

impl Appends {
    /// Takes a session; one at a time may.
    pub(crate) fn enter(&self, id: u64) -> Result<Busy, StoreError> {
        if self.lock().busy.insert(id) {
            Ok(Busy { appends: self.clone(), id })
        } else {
            let id = AppendId(id);
            let what = format!("append session \"{id}\" is being worked on: wait for its answer");
            Err(StoreError::Busy(what))
        }
    }

    /// The checksum of exactly the bytes that `state` has, if it was kept.
    pub(crate) fn take_hasher(&self, state: AppendState) -> Option<Hasher> {
        let kept = self.lock().hashed.pop(&state.id.0);
        kept.filter(|(known, _)| *known == state).map(|(_, hasher)| hasher)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work on a session.
pub(crate) struct Busy {
    appends: Appends,
    id: u64,
}

impl Busy {
    /// Keeps the checksum for the next append.
    pub(crate) fn keep_hasher(&self, state: AppendState, hasher: Option<Hasher>) {
        if let Some(hasher) = hasher {
            let _evicted = self.appends.lock().hashed.push(self.id, (state, hasher));
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.appends.lock().busy.remove(&self.id);
    }
}
