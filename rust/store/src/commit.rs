//! Group commit: concurrent writers share one write of the index journal, and what it takes to bring that and
//! their blobs to the disk.
//!
//! The first writer to find no commit under way becomes the leader and commits everything that is
//! waiting, its own change included; those who arrive meanwhile form the next group. Each waiting writer
//! is a blocked thread, so the group is bounded by the caller's pool of threads.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use crate::error::StoreError;
use crate::index::Change;
use crate::steps::has_flaw;
use crate::sync::{Condvar, Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Committer {
    state: Mutex<State>,
    progress: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Change>,
    writers: usize,
    /// Whether one of the writers wants all of it on the disk.
    sync: bool,
    /// Number of the group that `waiting` will be.
    next: u64,
    /// Groups with a lower number are done.
    done: u64,
    leading: bool,
    /// Failed groups whose writers have not all heard of it: (reason, writers left).
    failures: BTreeMap<u64, (Arc<StoreError>, usize)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Committer {
    /// Applies `changes` by `apply`, together with those of others who wait. `apply` is also told whether one of
    /// them asks for `sync`.
    pub(crate) fn commit(
        &self,
        changes: Vec<Change>,
        sync: bool,
        apply: impl Fn(Vec<Change>, bool) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.waiting.extend(changes);
        state.writers += 1;
        state.sync |= sync;
        let group = state.next;
        loop {
            if state.done > group {
                return state.outcome(group);
            }
            if state.leading {
                state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.leading = true;
            let changes = std::mem::take(&mut state.waiting);
            let writers = std::mem::take(&mut state.writers);
            let sync = std::mem::take(&mut state.sync) && !has_flaw("commit: sync forgotten");
            state.next += 1;
            drop(state);
            let result = apply(changes, sync);
            state = self.lock();
            state.leading = false;
            state.done = group + 1;
            if let Err(error) = result {
                let writers = if has_flaw("commit: one writer told") { 1 } else { writers };
                state.failures.insert(group, (Arc::new(error), writers));
            }
            self.progress.notify_all();
        }
    }

    // A poisoned lock means that a writer panicked; the state is consistent between statements above.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn outcome(&mut self, group: u64) -> Result<(), StoreError> {
        let Some((error, left)) = self.failures.get_mut(&group) else { return Ok(()) };
        *left -= 1;
        let failure = error.share();
        if *left == 0 {
            self.failures.remove(&group);
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::Index;
    use std::ops::Bound;

    #[test]
    fn every_writer_of_every_group_is_committed_before_it_returns() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("index"), 1 << 20).ok().unwrap();
        let committer = Committer::default();
        std::thread::scope(|scope| {
            for writer in 0..8_u32 {
                let (index, committer) = (&index, &committer);
                scope.spawn(move || {
                    for i in 0..200_u32 {
                        let key = format!("{writer:08}{i:04}").into_bytes();
                        let change = Change::Set { key: key.clone(), value: vec![1] };
                        let apply = |changes, sync| index.apply(changes, sync);
                        committer.commit(vec![change], i % 2 == 0, apply).unwrap();
                        assert!(index.get(&key).unwrap().is_some());
                    }
                });
            }
        });
        let all = index.range((Bound::Unbounded, Bound::Unbounded));
        assert_eq!(all.flatten().count(), 1600);
    }
}
