//! Which sessions are being worked on, and their running checksums.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use aistore_core::checksum::Hasher;
use lru::LruCache;

use super::{AppendId, AppendState};
use crate::error::StoreError;
use crate::sync::{Mutex, MutexGuard};

/// Sessions whose checksum is kept between appends; that of others is computed from the file at the flush.
const HASHED: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// How long a request waits for a session that is being moved off a mountpath.
const MOVE_WAIT: Duration = Duration::from_mins(1);
const MOVE_STEP: Duration = Duration::from_millis(2);

/// Append sessions while the process runs.
#[derive(Clone)]
pub(crate) struct Appends(Arc<Mutex<State>>);

struct State {
    busy: HashSet<u64>,
    /// Of those that are busy: being moved to another mountpath.
    moving: HashSet<u64>,
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
        Self(Arc::new(Mutex::new(State { busy: HashSet::new(), moving: HashSet::new(), hashed })))
    }
}

impl Appends {
    /// Takes a session; one at a time may. One that is being moved is waited for.
    pub(crate) fn enter(&self, id: u64) -> Result<Busy, StoreError> {
        let since = Instant::now();
        loop {
            let mut state = self.lock();
            if state.busy.insert(id) {
                return Ok(Busy { appends: self.clone(), id });
            }
            if !state.moving.contains(&id) || since.elapsed() > MOVE_WAIT {
                let id = AppendId(id);
                let what =
                    format!("append session \"{id}\" is being worked on: wait for its answer");
                return Err(StoreError::Busy(what));
            }
            drop(state);
            std::thread::sleep(MOVE_STEP);
        }
    }

    /// Takes a session to move it; `None` while somebody works on it.
    pub(crate) fn enter_to_move(&self, id: u64) -> Option<Busy> {
        let mut state = self.lock();
        let free = state.busy.insert(id) && state.moving.insert(id);
        free.then(|| Busy { appends: self.clone(), id })
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
        let mut state = self.appends.lock();
        state.moving.remove(&self.id);
        state.busy.remove(&self.id);
    }
}
