//! openraft's view of the state machine: applies entries, keeps the snapshot file.
//!
//! The state lives in memory and is rebuilt at start from the snapshot and the log after it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::durable;
use crate::error::ClusterError;
use crate::raft_types::{
    Entry, LogId, Membership, Outcome, Snapshot, SnapshotMeta, StorageError, StorageIOError,
    TypeConfig,
};
use crate::state::ClusterState;
use crate::transition::transition;

/// Content of the snapshot file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    meta: SnapshotMeta,
    state: Arc<ClusterState>,
}

/// Handle to the state machine; clones share it.
#[derive(Clone)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
}

struct Shared {
    applied: Mutex<Applied>,
    state: watch::Sender<Arc<ClusterState>>,
    /// Held while the file is read or written; ordered before `applied`.
    file: Mutex<PathBuf>,
}

#[derive(Default)]
struct Applied {
    last: Option<LogId>,
    membership: Membership,
}

impl Machine {
    /// Starts from the snapshot in `path`, or empty. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, ClusterError> {
        let mut applied = Applied::default();
        let mut state = Arc::default();
        if let Some(stored) = durable::load::<Stored>(path)? {
            applied =
                Applied { last: stored.meta.last_log_id, membership: stored.meta.last_membership };
            state = stored.state;
        }
        let shared = Shared {
            applied: Mutex::new(applied),
            state: watch::Sender::new(state),
            file: Mutex::new(path.into()),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Follows the state.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.shared.state.subscribe()
    }

    /// Runs disk work off the async workers.
    async fn run<T: Send + 'static>(
        &self,
        error: impl FnOnce(AnyError) -> StorageIOError,
        work: impl FnOnce(&Shared) -> Result<T, ClusterError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(err)) => Err(error(AnyError::error(err)).into()),
            Err(err) => Err(error(AnyError::error(err)).into()),
        }
    }
}

/// Locks; what a panicking holder left behind is whole, because every section assigns at its end.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn apply(&self, entry: Entry) -> Outcome {
        let mut applied = lock(&self.applied);
        let result = match entry.payload {
            EntryPayload::Blank => Ok(()),
            EntryPayload::Membership(membership) => {
                applied.membership = Membership::new(Some(entry.log_id), membership);
                Ok(())
            }
            EntryPayload::Normal(command) => {
                let state = Arc::clone(&self.state.borrow());
                transition(&state, &command, entry.log_id.index).map(|next| {
                    if let Some(next) = next {
                        self.state.send_replace(Arc::new(next));
                    }
                })
            }
        };
        applied.last = Some(entry.log_id);
        result.into()
    }

    /// Writes the present state as the snapshot. The state is taken under the file's lock, so a slow
    /// writer never replaces a newer snapshot.
    fn snapshot(&self) -> Result<Stored, ClusterError> {
        let path = lock(&self.file);
        let stored = {
            let applied = lock(&self.applied);
            let position = applied.last.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let meta = SnapshotMeta {
                last_log_id: applied.last,
                last_membership: applied.membership.clone(),
                snapshot_id: position,
            };
            Stored { meta, state: Arc::clone(&self.state.borrow()) }
        };
        durable::store(&path, &stored)?;
        Ok(stored)
    }

    /// Takes over a snapshot from the leader: on disk first, then in memory.
    fn install(&self, stored: Stored) -> Result<(), ClusterError> {
        let path = lock(&self.file);
        durable::store(&path, &stored)?;
        let mut applied = lock(&self.applied);
        applied.last = stored.meta.last_log_id;
        applied.membership = stored.meta.last_membership;
        self.state.send_replace(stored.state);
        Ok(())
    }
}

fn as_snapshot(stored: Stored) -> Snapshot {
    Snapshot { meta: stored.meta, snapshot: Box::new(Arc::unwrap_or_clone(stored.state)) }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let error = |err| StorageIOError::write_snapshot(None, err);
        self.run(error, Shared::snapshot).await.map(as_snapshot)
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        let applied = lock(&self.shared.applied);
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        Ok(entries.into_iter().map(|entry| self.shared.apply(entry)).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<ClusterState>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<ClusterState>,
    ) -> Result<(), StorageError> {
        let stored = Stored { meta: meta.clone(), state: Arc::from(snapshot) };
        let signature = meta.signature();
        let error = |err| StorageIOError::write_snapshot(Some(signature), err);
        self.run(error, move |shared| shared.install(stored)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        // Read back, not kept: it is needed at start and by a lagging peer only.
        let error = |err| StorageIOError::read_snapshot(None, err);
        let load = |shared: &Shared| durable::load::<Stored>(&lock(&shared.file));
        Ok(self.run(error, load).await?.map(as_snapshot))
    }
}
