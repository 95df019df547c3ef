//! The followed copy of the state on nodes that do not vote.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::durable;
use crate::error::ClusterError;
use crate::state::ClusterState;

const STATE_FILE: &str = "state.json";
const LOCK_FILE: &str = "state.lock";

/// Last state that this node heard of, kept on disk so that it serves after a restart without
/// waiting for a gateway.
///
/// Methods block on the disk: call them from a blocking thread.
#[derive(Debug)]
pub struct Replica {
    state: watch::Sender<Arc<ClusterState>>,
    path: PathBuf,
    /// Serialises installs.
    turn: Mutex<()>,
    /// Locked for the life of the replica.
    _lock: File,
}

impl Replica {
    /// Opens or creates the copy in `dir`; an empty state (version 0) when there is none yet.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Locked`] when another process has it open; [`ClusterError::Corrupt`] and
    /// [`ClusterError::Format`] when what is stored cannot be read.
    pub fn open(dir: &Path) -> Result<Self, ClusterError> {
        durable::create_dir(dir)?;
        let lock_path = dir.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(ClusterError::io("create", &lock_path))?;
        lock.try_lock().map_err(|err| match err {
            TryLockError::WouldBlock => ClusterError::Locked { path: dir.into() },
            TryLockError::Error(source) => ClusterError::io("lock", &lock_path)(source),
        })?;
        let path = dir.join(STATE_FILE);
        let state: Arc<ClusterState> = durable::load(&path)?.unwrap_or_default();
        Ok(Self { state: watch::Sender::new(state), path, turn: Mutex::new(()), _lock: lock })
    }

    /// Follows the copy.
    pub fn watch(&self) -> watch::Receiver<Arc<ClusterState>> {
        self.state.subscribe()
    }

    /// Takes a newer state: on disk first, then visible to watchers. Returns whether it was newer;
    /// older, equal and not yet bootstrapped ones are ignored. Concurrent calls take turns.
    ///
    /// # Errors
    ///
    /// [`ClusterError::WrongCluster`] when it is of another cluster than the one held, whatever its
    /// version; [`ClusterError::Io`] when it cannot be stored. The copy is unchanged then.
    pub fn install(&self, state: ClusterState) -> Result<bool, ClusterError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let held = Arc::clone(&self.state.borrow());
        if !state.is_bootstrapped() {
            return Ok(false);
        }
        if held.is_bootstrapped() && held.uuid() != state.uuid() {
            return Err(ClusterError::WrongCluster {
                own: held.uuid().to_owned(),
                other: state.uuid().to_owned(),
                path: self.path.parent().unwrap_or(&self.path).into(),
            });
        }
        if state.version <= held.version {
            return Ok(false);
        }
        durable::store(&self.path, &state)?;
        self.state.send_replace(Arc::new(state));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(uuid: &str, version: u64) -> ClusterState {
        let mut state = ClusterState { version, ..ClusterState::default() };
        state.smap.uuid = uuid.to_owned();
        state
    }

    #[test]
    fn newer_states_are_kept_across_restarts_and_older_ones_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let replica = Replica::open(dir.path()).unwrap();
        let mut watch = replica.watch();
        assert_eq!(watch.borrow_and_update().version, 0);
        assert!(!replica.install(state("", 9)).unwrap(), "not bootstrapped");
        assert!(replica.install(state("a", 5)).unwrap());
        assert!(watch.has_changed().unwrap());
        assert!(!replica.install(state("a", 5)).unwrap());
        assert!(!replica.install(state("a", 4)).unwrap());
        assert!(replica.install(state("a", 6)).unwrap());
        drop(replica);
        let again = Replica::open(dir.path()).unwrap();
        assert_eq!(**again.watch().borrow(), state("a", 6));
    }

    #[test]
    fn another_clusters_state_is_refused_naming_both_and_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let replica = Replica::open(dir.path()).unwrap();
        replica.install(state("mine", 5)).unwrap();
        let err = replica.install(state("other", 99)).unwrap_err();
        assert!(matches!(err, ClusterError::WrongCluster { .. }));
        let text = err.to_string();
        for part in ["mine", "other", "empty the data directory", &*dir.path().to_string_lossy()] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(replica.watch().borrow().version, 5);
    }

    #[test]
    fn two_owners_and_damage_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let first = Replica::open(dir.path()).unwrap();
        let err = Replica::open(dir.path()).unwrap_err();
        assert!(matches!(err, ClusterError::Locked { .. }), "{err}");
        first.install(state("a", 1)).unwrap();
        drop(first);
        std::fs::write(dir.path().join(STATE_FILE), b"{\"format\":1,\"version\":").unwrap();
        let err = Replica::open(dir.path()).unwrap_err();
        assert!(matches!(err, ClusterError::Corrupt { .. }), "{err}");
    }
}
